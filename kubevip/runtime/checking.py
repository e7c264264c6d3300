"""Asks again and again whether what this node is there for works: by a command, or by a URL.

A check has *timeout* seconds. What takes longer has failed; a command is killed then, with all that it has started.
Whatever it writes is read and dropped, but for the first line of its stderr, which says why it failed.
"""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import time
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Self

import aiohttp
import anyio
import anyio.to_thread
import attrs

from kubevip.config.fitness import Fitness
from kubevip.eligibility import Streak

log = logging.getLogger(__name__)

# Of what a check says so much is looked at, and shown.
HEAD, SHOWN = 4096, 200
# How much a pipe holds at most, unless somebody has enlarged it (pipe(7)), and how much is read at once.
_PIPE, _PART = 1 << 20, 1 << 16
# What is killed is gone within this many seconds, unless the kernel itself is stuck.
GONE_WITHIN = 1.0

# Returns why the node isn't fit; empty where it is.
Probe = Callable[[], Awaitable[str]]


@attrs.frozen
class CheckStatistics:
    """A snapshot: *healthy* is ``None`` before the first result, *streak* counts results like the *last* in a row.

    *last* says why the last one failed, empty where it didn't; it took *seconds*.
    """

    name: str
    healthy: bool | None
    runs: int
    failures: int
    streak: int
    last: str
    seconds: float


@attrs.define(eq=False)
class Check:
    """Asks *probe* every *interval* seconds, from ``run()`` until it is cancelled.

    *changed* is called when the health has changed, and with each failure while it is bad: its text has changed.
    """

    name: str
    _probe: Probe
    _interval: float
    _timeout: float
    _streak: Streak
    changed: Callable[[], None] = lambda: None

    _runs: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _last: str = attrs.field(default="", init=False)
    _seconds: float = attrs.field(default=0.0, init=False)

    @property
    def complaint(self) -> str | None:
        """Why this node isn't fit; ``None`` where it is. Before the first result it says so."""
        if self._streak.healthy is None:
            return f"check {self.name} has no result yet"
        if self._streak.healthy:
            return None
        times = "once" if self._streak.length == 1 else f"{self._streak.length} times"
        return f"check {self.name} failed {times}: {self._last}" if self._last else f"check {self.name} failed before"

    @property
    def has_result(self) -> bool:
        """Whether it has been made once."""
        return self._streak.healthy is not None

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            began = anyio.current_time()
            self._note(await self._ask())
            await anyio.sleep(max(0.0, began + self._interval - anyio.current_time()))

    async def _ask(self) -> str:
        started = time.monotonic()
        try:
            with anyio.fail_after(self._timeout):
                return await self._probe()
        except TimeoutError:
            return f"no result within {self._timeout:g} s"
        except Exception as error:
            # Whatever it is, this node isn't known to be fit, and the next check may go better.
            return _shown(f"{type(error).__name__}: {error}")
        finally:
            self._seconds = time.monotonic() - started

    def _note(self, reason: str) -> None:
        self._runs += 1
        self._failures += bool(reason)
        self._last = reason
        turned = self._streak.add(not reason)
        if turned and reason:
            log.warning("a check fails", extra={"check": self.name, "reason": reason})
        elif turned and self._runs > 1:
            log.info("a check succeeds again", extra={"check": self.name})
        if turned or not self._streak.healthy:
            self.changed()

    def statistics(self) -> CheckStatistics:
        """Return a snapshot."""
        streak = self._streak
        return CheckStatistics(
            self.name, streak.healthy, self._runs, self._failures, streak.length, self._last, self._seconds
        )


@attrs.define(eq=False)
class Command:
    """Runs a program without a shell, in a session of its own; it is healthy where that exits with 0."""

    _words: Sequence[str]
    _left: asyncio.subprocess.Process | None = attrs.field(default=None, init=False)

    async def __call__(self) -> str:
        """Run it once; return why it failed."""
        if self._left is not None and self._left.returncode is None:
            return f"process {self._left.pid} of an earlier check can't be killed"
        with _Saying.opened() as saying:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=saying.end,
                    start_new_session=True,
                )
            except OSError as error:
                return _shown(f"{self._words[0]} can't be started: {error.strerror or error}")
            try:
                return _told(await process.wait(), saying.so_far())
            finally:
                self._left = process
                await _end(process)


@attrs.define(eq=False)
class _Saying:
    """What a program says: the start of it is kept, and it may say as much more as it likes.

    asyncio's own pipes would have its end waited for, too, which those may keep open whom the program has started.
    """

    _pipe: int
    end: int
    _head: bytearray = attrs.field(factory=bytearray, init=False)

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator[Self]:
        """Listen while the context is open; *end* is what the program writes to."""
        loop, (pipe, end) = asyncio.get_running_loop(), os.pipe()
        os.set_blocking(pipe, False)
        saying = cls(pipe, end)
        loop.add_reader(pipe, saying._read)
        try:
            yield saying
        finally:
            loop.remove_reader(pipe)
            os.close(pipe)
            os.close(end)

    def _read(self) -> bool:
        try:
            part = os.read(self._pipe, _PART)
        except BlockingIOError:
            return False
        self._head += part[: HEAD - len(self._head)]
        return bool(part)

    def so_far(self) -> bytes:
        """Return the start of what it has said."""
        # A program that has ended has said no more than a pipe holds; those that it has left behind may go on.
        for _ in range(_PIPE // _PART):
            if not self._read():
                break
        return bytes(self._head)


def _told(code: int, said: bytes) -> str:
    if code == 0:
        return ""
    how = f"exit {code}" if code > 0 else f"killed by {_signal(-code)}"
    first = _first_line(said)
    return f"{how}: {first}" if first else how


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill whatever is left of it: its group is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(GONE_WITHIN, shield=True):
        await process.wait()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@attrs.define(eq=False)
class Web:
    """Asks a URL with GET; it is healthy where that answers with one of the statuses *healthy*.

    As with the kubelet's probes, certificates aren't verified unless it *verifies* them: an API server's own is rarely
    made out to localhost, and nothing is said that anybody could abuse. *authorities* is a file with those that it
    believes, read anew each time; without one it believes the system's. A redirection is an answer, and isn't followed.
    """

    _url: str
    healthy: Container[int] = range(200, 400)
    verifies: bool = False
    authorities: Path | None = None

    async def __call__(self) -> str:
        """Ask once; return why it failed."""
        # A connection of its own each time: that the server still takes new ones is what is asked.
        try:
            connector = aiohttp.TCPConnector(ssl=await self._trust(), force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
                session.get(self._url, allow_redirects=False) as response,
            ):
                if response.status in self.healthy:
                    return ""
                said = _first_line(await response.content.read(HEAD))
                return f"HTTP {response.status}: {said}" if said else f"HTTP {response.status}"
        except (aiohttp.ClientError, OSError) as error:
            return _shown(str(error) or type(error).__name__)

    async def _trust(self) -> ssl.SSLContext | bool:
        if not self.verifies or self.authorities is None:
            return self.verifies
        try:
            return await anyio.to_thread.run_sync(_believing, self.authorities)
        except (ssl.SSLError, OSError) as error:
            raise OSError(f"{self.authorities} can't be used: {error.strerror or error}") from error


def _believing(authorities: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authorities))


def _first_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return _shown(lines[0]) if lines else ""


def _shown(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text).strip()
    return printable if len(printable) <= SHOWN else f"{printable[:SHOWN]}…"


def probes(fitness: Fitness) -> dict[str, Probe]:
    """Return what is asked, by name, as *fitness* says: a command, a URL, both or nothing."""
    found: dict[str, Probe] = {}
    if fitness.command:
        found["command"] = Command(fitness.command)
    if fitness.url:
        found["http"] = Web(fitness.url)
    return found
