"""A provider as a process, and what providers answer over HTTP."""

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from tests.kernel import in_thread
from tests.waiting import until


@attrs.define(eq=False, repr=False)
class Running:
    """A provider as a process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, bound: float = 10.0) -> int:
        return await in_thread(self.process.wait, bound)

    async def stop(self) -> int:
        self.tell(signal.SIGTERM)
        return await self.wait()

    def logged(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.logged()]

    async def wait_logged(self, message: str, bound: float = 10.0, **fields: str) -> dict[str, Any]:
        """Wait for a log line that begins like *message*, and whose fields contain *fields*; return it."""

        def found() -> dict[str, Any] | None:
            for line in self.logged():
                if line["message"].startswith(message) and all(
                    text in line.get(key, "") for key, text in fields.items()
                ):
                    return line
            return None

        try:
            return await until(found, bound, f"{message!r} in the log")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log: {self.log.read_text()[-3000:]}") from error

    async def ask(self, path: str) -> tuple[int, str]:
        return await ask(self.port, path)


async def ask(port: int, path: str) -> tuple[int, str]:
    """Ask a provider over HTTP; return the status, 0 where nobody answers, and the body."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
            return await _get(session, path)
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def metrics(port: int) -> dict[str, float]:
    _status, text = await ask(port, "/metrics")
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
