"""Give LoadBalancer Services their addresses, from the pools of a ConfigMap: kube-vip-cloud-provider's work.

Flags of a cloud-controller-manager that don't matter here are accepted. SIGTERM releases the Lease and exits 0.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Literal, cast

import anyio
import anyio.abc

from kubevip.cli.agent import fail, leaves, rarely_look_for_garbage
from kubevip.config.provider import ProviderSettings, add_provider_flags, load_provider
from kubevip.errors import ConfigError, KubeVipError
from kubevip.version import __version__

log = logging.getLogger("kubevip.cli.provider")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; those that are not known are kept beside them."""
    add_provider_flags(parser)
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(unknown=[])


def run(arguments: argparse.Namespace) -> int:
    """Run the provider; return 2 where its settings can't be used."""
    given = {name: value for name, value in vars(arguments).items() if name.startswith("-")}
    try:
        settings, notices = load_provider(os.environ, given, arguments.unknown)
    except ConfigError as error:
        for sentence in error.problems:
            print(f"kubevip: {sentence}", file=sys.stderr)
        return 2
    from kubevip.log import set_up

    form = cast("Literal['auto', 'text', 'json']", settings.log_format)
    set_up(form, -4 if settings.verbosity >= 4 else 0)
    for notice in notices:
        log.warning(notice)
    return _run(settings)


def _run(settings: ProviderSettings) -> int:
    from kubevip.kube.lean import load_lean

    load_lean()
    from kubevip.provider import Provider

    provider = Provider(settings, os.environ)
    rarely_look_for_garbage()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, provider.stop)
            await provider.run()
            tasks.cancel_scope.cancel()

    try:
        anyio.run(main)
    except KubeVipError as error:
        return fail([error])
    except BaseExceptionGroup as group:
        known, other = group.split(KubeVipError)
        if other is not None or known is None:
            raise
        return fail(leaves(known))
    log.info("stopped")
    return 0


async def _obey_signals(stop: Callable[[], None], *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _number in signals:
            stop()


def main() -> int:
    """Run as the command ``kube-vip-cloud-provider``, which has no name of a command of ours."""
    from kubevip import cli

    return cli.main(["provider", *sys.argv[1:]])
