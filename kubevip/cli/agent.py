"""Keep the addresses of the control plane and of LoadBalancer Services, as one node of several.

Every flag can be given as an environment variable too, which wins. SIGTERM hands over what this node holds and
exits 0; a second one doesn't wait for successors. SIGUSR1 prints what the agent was told and what it does.
"""

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import anyio
import anyio.abc

from kubevip.cli.pipes import tell_while_read
from kubevip.config import Loaded, add_flags, load
from kubevip.errors import ConfigError, KubeVipError

if TYPE_CHECKING:
    from kubevip.agent import Agent

log = logging.getLogger("kubevip.cli.agent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting."""
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the agent; return 2 where its settings can't be used, 1 where it can't work."""
    try:
        loaded = load(os.environ, arguments)
    except ConfigError as error:
        for sentence in (*error.problems, *getattr(error, "__notes__", ())):
            print(f"kubevip: {sentence}", file=sys.stderr)
        return 2
    _set_up_logging(loaded)
    for notice in loaded.notices:
        log.warning(notice)
    return _run(loaded)


def _set_up_logging(loaded: Loaded) -> None:
    from kubevip.log import set_up

    form = cast("Literal['auto', 'text', 'json']", loaded.settings.logging.format)
    set_up(form, loaded.settings.logging.level)


def _run(loaded: Loaded) -> int:
    from kubevip.kube.lean import load_lean
    from kubevip.net.capabilities import take_up

    try:
        take_up()
    except KubeVipError as error:
        return fail([error])
    load_lean()
    from kubevip.agent import Agent

    agent = Agent(loaded.settings, settings_of_backends(loaded))
    rarely_look_for_garbage()
    take_turns_often()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_obey_signals, agent, loaded, tasks.cancel_scope)
            await agent.run()
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


def settings_of_backends(loaded: Loaded) -> dict[str, str]:
    """Return the environment with what flags and the config file say in it: a backend reads its settings there."""
    return {**os.environ, **{name: given.text for name, given in loaded.given.items() if given.setting.env}}


def rarely_look_for_garbage() -> None:
    """Keep the collector from stopping the loop: for 50 to 100 ms at a time while thousands of Services are read.

    What is loaded by now stays for good, with the little garbage that loading makes, and what comes makes few cycles.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def take_turns_often() -> None:
    """Let the thread that talks to the kernel go on soon after the kernel's answer, also while the loop is busy.

    It needs the interpreter twice for each batch of addresses, and would wait 5 ms each time: thousands of
    renewals would come too late.
    """
    sys.setswitchinterval(0.0005)


async def _obey_signals(
    agent: "Agent", loaded: Loaded, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        task_status.started()
        told = False
        async for number in signals:
            if number == signal.SIGUSR1:
                # Nobody may read it, and that is no reason to end.
                tell_while_read(lambda: _show(agent, loaded))
                continue
            if told:
                scope.cancel()
            told = True
            agent.stop()


def _show(agent: "Agent", loaded: Loaded) -> int:
    print(agent.dump(loaded.given))
    return 0


def fail(errors: Sequence[BaseException]) -> int:
    """Say what is wrong; settings that turn out to be unusable count as told wrong."""
    for error in errors:
        log.error(str(error))
    return 2 if all(isinstance(error, ConfigError) for error in errors) else 1


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions that a group is made of."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]
