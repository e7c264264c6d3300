"""Processes inside one event loop, which can be stopped and killed as the kernel stops and kills real ones.

What runs in a process is told by its context (``contextvars``), which every task and timer inherits from what
started it. ``VirtualTimeLoop`` asks before each callback whether its process may run.
"""

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

Answer = TypeVar("Answer")

_CURRENT: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("_CURRENT", default=None)


@attrs.frozen
class Clock:
    """A machine's monotonic clock: it shows *offset* at the world's time 0 and goes at *rate*, which is about 1."""

    offset: float = 0.0
    rate: float = 1.0

    def local(self, universal: float) -> float:
        """Return what the clock shows at a time of the world."""
        return self.offset + self.rate * universal

    def universal(self, local: float) -> float:
        """Return when in the world the clock shows *local*; never before it does, whatever rounding makes of it."""
        found = (local - self.offset) / self.rate
        while self.local(found) < local:
            found += math.ulp(max(abs(local), abs(found)))
        return found


class Resumable(Protocol):
    """What a loop must offer for processes to be stopped in it; ``VirtualTimeLoop`` does."""

    def run_turn(self, turn: "Turn") -> None:
        """Run *turn* soon."""


@attrs.define(eq=False)
class Turn:
    """A callback of a process, which runs when its time has come and the process runs."""

    process: "Process"
    callback: Callable[..., object]
    args: tuple[object, ...]
    context: contextvars.Context
    handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        """Run, or be put off until the process runs again."""
        if self.process.stopped:
            self.process.put_off(self)
        elif self.handle is None or not self.handle.cancelled():
            self.callback(*self.args)


@attrs.define(eq=False)
class Process:
    """What a real process would be: tasks that stop, go on and die together. It needs a ``VirtualTimeLoop``.

    The loop's time is its *clock*'s to it, and the world's to everybody without one. A killed process is stopped for
    good. So that whoever waits for its tasks can end, it is buried: they run to their end, and the fakes of this
    package take no notice of what they still do.
    """

    name: str
    clock: Clock | None = None
    stopped: bool = attrs.field(default=False, init=False)
    dead: bool = attrs.field(default=False, init=False)
    _loop: Resumable | None = attrs.field(default=None, init=False)
    _put_off: list[Turn] = attrs.field(factory=list, init=False)

    def start(self, tasks: asyncio.TaskGroup, main: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
        """Run *main*, and whatever that starts, as this process; its tasks end with *tasks*."""
        context = contextvars.copy_context()
        context.run(_CURRENT.set, self)
        return tasks.create_task(main(), name=self.name, context=context)

    def stop(self) -> None:
        """Let nothing of it run from now on (SIGSTOP); time and the rest of the world go on."""
        self.stopped = True

    def resume(self) -> None:
        """Let it go on (SIGCONT); it does first what has come due meanwhile, in that order."""
        self.stopped = False
        turns, self._put_off = self._put_off, []
        for turn in turns:
            assert self._loop is not None
            self._loop.run_turn(turn)

    def kill(self) -> None:
        """Let nothing of it run from now on, for ever (SIGKILL)."""
        self.stopped = self.dead = True

    def bury(self) -> None:
        """Let the tasks of a killed process go on to their end, without any effect."""
        self.dead = True
        self.resume()

    def within(self, ask: Callable[[], Answer]) -> Answer:
        """Return what *ask* returns where it is code of this process, and goes by its clock."""
        context = contextvars.copy_context()
        context.run(_CURRENT.set, self)
        return context.run(ask)

    def put_off(self, turn: Turn) -> None:
        """Keep *turn* until the process runs again."""
        self._put_off.append(turn)

    def enter(self, loop: Resumable) -> None:
        """Note the loop that runs it."""
        self._loop = loop

    @staticmethod
    def of(context: contextvars.Context) -> "Process | None":
        """Return the process that *context* belongs to, where it belongs to one."""
        return context.get(_CURRENT)


def running_process() -> Process | None:
    """Return the process that the running code belongs to, where it belongs to one."""
    return _CURRENT.get()


def clock_here() -> Clock | None:
    """Return the clock that the running code goes by; ``None`` where that is the world's time."""
    process = _CURRENT.get()
    return process.clock if process is not None else None


def universal_time() -> float:
    """Return the world's time in seconds, whatever clock the running code goes by."""
    return contextvars.Context().run(asyncio.get_running_loop().time)


def effectless() -> bool:
    """Tell whether the running code belongs to a killed process: a fake must take no notice of it."""
    process = _CURRENT.get()
    return process is not None and process.dead


@attrs.define(eq=False)
class Listener:
    """Somebody who asked to be told: that happens with the next turn of the loop, and in his own process."""

    _callback: Callable[..., object]
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context, init=False)

    def tell(self, *args: object, after: float = 0.0) -> None:
        """Call him with *args*, *after* seconds from now."""
        loop = asyncio.get_running_loop()
        if after > 0:
            loop.call_later(after, self._callback, *args, context=self._context)
        else:
            loop.call_soon(self._callback, *args, context=self._context)
