"""An API server with the operator's setup of the provider, and providers before it."""

import argparse
import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import attrs

from kubevip.config import Kubeconfig
from kubevip.config.provider import add_provider_flags, load_provider
from kubevip.emulator import Emulator, Fault
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.provider import Provider
from tests.provider_system.ledger import Ledger
from tests.provider_system.objects import ACCOUNT, LEASE, MANIFESTS, SECOND, Objects
from tests.provider_system.running import Running, free_port

OPERATORS_FLAG = f"--leader-elect-resource-name={LEASE}"
# A Lease that others may take after 3 seconds: the shortest there is.
BRISK = (
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
)
QUIET = "--prometheusHTTPServer=off"
_numbers = itertools.count(1)
_PARSER = argparse.ArgumentParser()
add_provider_flags(_PARSER)


@attrs.define(eq=False, repr=False)
class Site(Objects):
    """A running server: the built-in one, which makes faults, or a real one."""

    server: Any
    directory: Path
    ledger: Ledger
    _processes: list[Running] = attrs.field(factory=list, init=False)

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, server: Any, directory: Path) -> AsyncIterator[Self]:
        """Apply the operator's manifests to *server*, and take away what tests have left when it is over."""
        async with client_of(server, directory, "admin") as admin:
            site = cls(admin, server, directory, Ledger(admin))
            await site.apply(MANIFESTS)
            async with site.ledger.kept():
                try:
                    yield site
                finally:
                    site.end_processes()
                    site.clear_faults()
                    if site.is_real:
                        await site.clean()
        if admin.server.startswith("https"):
            # Watches that were cut off say goodbye yet, which nobody can wait for.
            await asyncio.sleep(0.02)

    @property
    def is_real(self) -> bool:
        return not isinstance(self.server, Emulator)

    # Faults of the built-in server

    def fault(self, action: str, **selection: Any) -> int:
        """Let the server do something wrong to providers, and to nobody else."""
        return self.server.faults.add(Fault(action=action, **{"users": (ACCOUNT, SECOND), **selection}))

    def clear_faults(self) -> None:
        if not self.is_real:
            self.server.faults.clear()

    # Providers

    def environment(self, user: str = ACCOUNT, **more: str) -> dict[str, str]:
        return {"KUBECONFIG": str(self.directory / file_of(user)), "HOME": str(self.directory), **more}

    def make_provider(self, *flags: str, user: str = ACCOUNT, **environment: str) -> Provider:
        environ = self.environment(user, **environment)
        settings, _notices = load_provider(environ, parse((OPERATORS_FLAG, *BRISK, QUIET, *flags)))
        return Provider(settings, environ)

    @contextlib.asynccontextmanager
    async def provider(self, *flags: str, user: str = ACCOUNT, **environment: str) -> AsyncIterator[Provider]:
        """Run a provider in this process, with the operator's flag and *flags*."""
        provider = self.make_provider(*flags, user=user, **environment)
        task = asyncio.create_task(provider.run())
        try:
            yield provider
        finally:
            provider.stop()
            await task

    def start(self, *flags: str, user: str = ACCOUNT, port: int = 0, **environment: str) -> Running:
        """Start a provider as a process, with the operator's flag and *flags*."""
        log = self.directory / f"provider{next(_numbers)}.log"
        port = port or free_port()
        command = [sys.executable, "-m", "kubevip", "provider", OPERATORS_FLAG, *BRISK, *flags]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, f"--prometheusHTTPServer=127.0.0.1:{port}", "--logging-format=json"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**kept, "PYTHONWARNINGS": "error", **self.environment(user, **environment)},
            )
        running = Running(process, log, port)
        self._processes.append(running)
        return running

    def end_processes(self) -> None:
        for running in self._processes:
            running.process.kill()
            running.process.wait()
        self._processes.clear()


@contextlib.asynccontextmanager
async def client_of(server: Any, directory: Path, user: str) -> AsyncIterator[Client]:
    """A client; kubeconfigs of all users are written on the way."""
    for each in ("admin", ACCOUNT, SECOND):
        (directory / file_of(each)).write_text(server.kubeconfig(each))
    path = directory / file_of(user)
    async with await connect([Kubeconfig(paths=(path,), reason="the test's")]) as client:
        yield client


def parse(flags: Sequence[str]) -> dict[str, str | None]:
    """Read flags as the command does."""
    return dict(vars(_PARSER.parse_args(flags)))


def file_of(user: str) -> str:
    return user.replace(":", "-")
