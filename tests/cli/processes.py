"""``python -m kubevip`` as a process, as a user starts it: what it says, and how it ends."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from kubevip.net.segment import Machine
from tests.kernel import in_thread
from tests.waiting import until


@attrs.define(eq=False)
class Process:
    """A process that was started, and what it has written so far."""

    process: "subprocess.Popen[bytes]"
    _out: Path
    _err: Path

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    async def wait(self, bound: float = 20.0) -> int:
        """Wait until it has ended; return its exit code."""
        return await in_thread(self.process.wait, bound)

    def logged(self) -> list[dict[str, Any]]:
        """Return the log lines of an agent."""
        return [json.loads(line) for line in self.err.splitlines()]

    async def wait_logged(self, message: str, bound: float = 10.0) -> dict[str, Any]:
        """Wait for a log line that begins like *message*; return it."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.logged() if line["message"].startswith(message)), None)

        return await until(found, bound, f"{message!r} in the log")


@attrs.define(eq=False)
class Starter:
    """Starts commands with nothing in their environment but what is given."""

    _directory: Path
    _processes: list[Process] = attrs.field(factory=list, init=False)

    @classmethod
    @contextlib.contextmanager
    def ending(cls, directory: Path) -> Iterator["Starter"]:
        """Kill at the end what still runs."""
        starter = cls(directory)
        try:
            yield starter
        finally:
            for each in starter._processes:
                each.process.kill()
                each.process.wait()

    def __call__(
        self, *arguments: str, machine: Machine | None = None, program: tuple[str, ...] = (), **environment: str
    ) -> Process:
        """Start ``python -m kubevip`` with *arguments*, or another *program*, on *machine*."""
        stem = self._directory / f"process{len(self._processes)}"
        out, err = stem.with_suffix(".out"), stem.with_suffix(".err")
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        with contextlib.ExitStack() as stack:
            if machine is not None:
                stack.enter_context(machine.entered())
            process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "kubevip")), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context(out.open("wb")),
                stderr=stack.enter_context(err.open("wb")),
                env={**kept, "HOME": str(self._directory), "PYTHONWARNINGS": "error", **environment},
                cwd=self._directory,
            )
        started = Process(process, out, err)
        self._processes.append(started)
        return started

    async def run(self, *arguments: str, **options: Any) -> tuple[int, Process]:
        """Run a command to its end; return its exit code and what it wrote."""
        started = self(*arguments, **options)
        return await started.wait(), started
