"""Wakes a task that waits, at a time or before.

An event and a cancel scope would do the same, by cancelling the task at the time: several times the work, for those
who wait ten times a second.
"""

import asyncio
import math

import attrs


@attrs.define(eq=False)
class Bell:
    """A bell for one task. It may be rung before anybody waits: then who waits next doesn't."""

    _rung: bool = attrs.field(default=False, init=False)
    _waiter: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)

    def ring(self) -> None:
        """Wake who waits, or will."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float = math.inf) -> bool:
        """Wait until it was rung since, or until a time on the loop's clock; tell whether it was rung."""
        if not self._rung:
            await self._sleep(until)
        rung, self._rung = self._rung, False
        return rung

    async def _sleep(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_at(until, _end, waiter) if until < math.inf else None
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
