"""An event loop whose time jumps, so that hours of waiting run in milliseconds and the same run is the same run.

The clock stands still while anything is ready to run, and jumps to the next timer when nothing is. Real
sockets, threads and child processes have no place in such a loop: time would run away from them.
"""

import asyncio
import contextvars
import functools
import math
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from kubevip.testing.process import Process, Turn, clock_here

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
Arguments = TypeVarTuple("Arguments")

DAY = 86400.0
# What is under way when a test ends (a request to a slow server, say) has so many virtual seconds to end.
GRACE = 60.0
# So many turns of the loop without any time in between are too many.
TURNS = 100_000


class Deadlock(AssertionError):
    """Every task waits for something, and no timer is left that could bring it about."""


class Livelock(AssertionError):
    """Something is always ready to run, so that time stands still."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for real time to pass it lets virtual time jump."""

    def __init__(self, jump: Callable[[], None], stuck: Callable[[], None]) -> None:
        super().__init__()
        self._jump = jump
        self._stuck = stuck
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            self._turns += 1
            if self._turns > TURNS:
                self._stuck()
            return []
        self._turns = 0
        ready = super().select(0)
        if not ready:
            self._jump()
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, which starts at 0 and runs what ``Process`` lets it run.

    Each process goes by its own clock, where it has one.
    """

    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self, *, limit: float = math.inf) -> None:
        self._virtual_now = 0.0
        self._limit = limit
        self._processes: list[Process] = []
        super().__init__(_Selector(self._jump, self._stuck))

    def time(self) -> float:
        """Return the virtual time in seconds, by the clock of the running process."""
        clock = clock_here()
        return self._virtual_now if clock is None else clock.local(self._virtual_now)

    def _jump(self) -> None:
        if not self._scheduled:
            names = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
            self.bury_all()
            raise Deadlock(f"at {self._virtual_now:g} s nothing can go on any more; these tasks wait for ever: {names}")
        # Exactly the timer's own time, so that rounding never makes it early.
        self._virtual_now = max(self._virtual_now, self._scheduled[0].when())
        # A timer that comes later, by however little, is not due.
        self._clock_resolution = math.ulp(self._virtual_now)
        if self._virtual_now > self._limit:
            limit, self._limit = self._limit, math.inf
            self.bury_all()
            raise TimeoutError(f"it hasn't ended after {limit:g} s of virtual time")

    def _stuck(self) -> None:
        self.bury_all()
        raise Livelock(f"at {self._virtual_now:g} s time stands still: after {TURNS} turns something is still ready")

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run *callback* with the next turn of the loop, if its process runs."""
        context = contextvars.copy_context() if context is None else context
        turn = self._turn(callback, args, context)
        if turn is None:
            return super().call_soon(callback, *args, context=context)
        turn.handle = super().call_soon(turn, context=context)
        return turn.handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run *callback* at the virtual time *when*, or as soon after it as its process runs."""
        clock = clock_here()
        when = when if clock is None else clock.universal(when)
        context = contextvars.copy_context() if context is None else context
        turn = self._turn(callback, args, context)
        if turn is None:
            return super().call_at(when, callback, *args, context=context)
        timer = super().call_at(when, turn, context=context)
        turn.handle = timer
        return timer

    def _turn(
        self, callback: Callable[..., object], args: tuple[object, ...], context: contextvars.Context
    ) -> Turn | None:
        process = Process.of(context)
        if process is None:
            return None
        if process not in self._processes:
            process.enter(self)
            self._processes.append(process)
        return Turn(process, callback, args, context)

    def run_turn(self, turn: Turn) -> None:
        """Run what was put off while its process was stopped."""
        super().call_soon(turn, context=turn.context)

    def bury_all(self) -> None:
        """Let the tasks of stopped and killed processes come to their end."""
        for process in self._processes:
            if process.stopped:
                process.bury()


def run_virtual(
    main: Callable[[*Arguments], Coroutine[Any, Any, Result]], *args: *Arguments, seed: int = 0, limit: float = DAY
) -> Result:
    """Run ``main(*args)`` in virtual time from 0 on, and return what it returns.

    Python's global random numbers start from *seed* meanwhile. *limit* is in virtual seconds.

    :raises Deadlock: if nothing can go on any more.
    :raises Livelock: if something goes on without any time in between, for ever.
    :raises TimeoutError: if it hasn't ended after *limit*.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        with asyncio.Runner(loop_factory=functools.partial(VirtualTimeLoop, limit=limit)) as runner:
            return runner.run(_to_its_end(main(*args)))
    finally:
        random.setstate(before)


async def _to_its_end(main: Coroutine[Any, Any, Result]) -> Result:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    try:
        return await main
    finally:
        loop.bury_all()


def virtual(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Decorate a test that is a coroutine function: it runs in virtual time, and needs no plugin of the test runner.

    It fails if it leaves a task behind that doesn't end by itself.
    """

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        run_virtual(_leaving_nothing, functools.partial(test, *args, **kwargs))

    return run


async def _leaving_nothing(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await test()
    await asyncio.sleep(GRACE)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"the test leaves tasks behind: {', '.join(sorted(task.get_name() for task in left))}"
