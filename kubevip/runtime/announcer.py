"""Calls a backend at its cadence, so that no backend needs a timer."""

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import anyio
import anyio.lowlevel
import attrs

from kubevip.backend import Backend, Cadence
from kubevip.errors import KubeVipError
from kubevip.model import Vip
from kubevip.runtime.bell import Bell

log = logging.getLogger(__name__)

# A backend that takes longer than this for one VIP, in seconds, is taken for stuck: the others must not wait.
PATIENCE = 10.0
# Who is announced at about the same time is repeated together: as a part of the period, so much earlier than alone.
TOGETHER = 0.1
# Frames sent in one go; then everything else that the loop has to do gets its turn.
CHUNK = 64


async def attempt(verb: Callable[[Vip], Awaitable[None]], vip: Vip) -> Exception | None:
    """Call a backend; return what it raised. Whatever that is, it must not stop the other VIPs."""
    try:
        await verb(vip)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return KubeVipError("something that the backend waited for was cancelled")
    except Exception as error:
        return error
    return None


@attrs.frozen
class AnnouncerStatistics:
    """A snapshot: how many VIPs are announced, and the calls of the backend so far."""

    announced: int
    announcements: int
    failures: int


@attrs.define(eq=False)
class _Due:
    """What is announced again at *when*: VIPs, each with the round in which it was announced."""

    when: float
    number: int
    periodic: bool
    vips: list[tuple[Vip, int]]

    def __lt__(self, other: "_Due") -> bool:
        return (self.when, self.number) < (other.when, other.number)


@attrs.define(eq=False)
class Announcer:
    """Announces VIPs through one backend, now and again.

    *may_announce*, which its keeper sets, is asked before each repetition: between two of them the process
    may have been stopped for so long that somebody else holds the VIP. *refuted*, which it sets too, is called with
    VIPs that are announced no more, because repeating it has failed.
    """

    name: str
    backend: Backend
    cadence: Cadence
    may_announce: Callable[[Vip], bool] = lambda _vip: True
    refuted: Callable[[Collection[Vip]], None] = lambda _vips: None

    _due: list[_Due] = attrs.field(factory=list, init=False)
    _round: dict[Vip, int] = attrs.field(factory=dict, init=False)
    _rounds: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _wake: Bell = attrs.field(factory=Bell, init=False)
    _announcements: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)

    async def announce(self, vips: Iterable[Vip]) -> dict[Vip, Exception]:
        """Announce VIPs now, and from now on at the cadence; return those that failed, with the error."""
        this_round = next(self._rounds)
        now = asyncio.get_running_loop().time()
        announced: list[Vip] = []

        def heard(vip: Vip, error: Exception | None) -> None:
            self._announcements += 1
            self._failures += error is not None
            if error is None:
                self._round[vip] = this_round
                announced.append(vip)

        failed = await self._each(self.backend.announce, tuple(vips), heard)
        if announced:
            self._schedule([(vip, this_round) for vip in announced], now)
        return failed

    async def repeat(self, vips: Iterable[Vip]) -> None:
        """Announce once more, beside the cadence, those of VIPs that are announced."""
        await self._repeat([(vip, self._round[vip]) for vip in vips if vip in self._round])

    async def withdraw(self, vips: Iterable[Vip]) -> None:
        """Stop announcing VIPs. An error is only logged: the address goes next, and with it the announcement."""
        withdrawn = tuple(vips)
        for vip in withdrawn:
            self._round.pop(vip, None)
        self._log("withdrawing", await self._each(self.backend.withdraw, withdrawn))

    def pause(self, vips: Iterable[Vip]) -> None:
        """Repeat no announcement of VIPs, and withdraw none: a successor is to be believed."""
        for vip in vips:
            self._round.pop(vip, None)

    async def run(self) -> None:
        """Repeat announcements until cancelled."""
        while True:
            await self._repeat_all_due()
            await self._wake.wait(self._due[0].when if self._due else math.inf)

    def statistics(self) -> AnnouncerStatistics:
        """Return a snapshot."""
        return AnnouncerStatistics(len(self._round), self._announcements, self._failures)

    def _schedule(self, vips: list[tuple[Vip, int]], now: float) -> None:
        for after in self.cadence.burst:
            heapq.heappush(self._due, _Due(now + after, next(self._numbers), False, vips))
        if self.cadence.period is not None:
            self._add(vips, now + max(self.cadence.burst, default=0.0) + self.cadence.period)
        self._wake.ring()

    def _add(self, vips: list[tuple[Vip, int]], when: float) -> None:
        """Repeat *vips* at *when*, or with those that are due a little earlier: each wakes nobody for itself."""
        assert self.cadence.period is not None
        soonest = when - TOGETHER * self.cadence.period
        near = [due for due in self._due if due.periodic and soonest <= due.when <= when and self._current(due)]
        if near:
            max(near).vips.extend(vips)
        else:
            heapq.heappush(self._due, _Due(when, next(self._numbers), True, list(vips)))

    def _current(self, due: _Due) -> list[tuple[Vip, int]]:
        return [(vip, this_round) for vip, this_round in due.vips if self._round.get(vip) == this_round]

    async def _repeat_all_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._due and self._due[0].when <= now:
            due = heapq.heappop(self._due)
            current = self._current(due)
            await self._repeat(current)
            if due.periodic and current and self.cadence.period is not None:
                self._add(current, asyncio.get_running_loop().time() + self.cadence.period)

    async def _repeat(self, vips: list[tuple[Vip, int]]) -> None:
        rounds = dict(vips)

        def may(vip: Vip) -> bool:
            # Asked for each one: meanwhile it may have been withdrawn.
            return self._round.get(vip) == rounds[vip] and self.may_announce(vip)

        def heard(_vip: Vip, error: Exception | None) -> None:
            self._announcements += 1
            self._failures += error is not None

        failed = await self._each(self.backend.announce, tuple(rounds), heard, may)
        self._log("announcing", failed)
        if failed and not self.backend.exclusive:
            # Who has an address alone answers for it too, so that one repetition less isn't the end of it.
            self.refuted(tuple(failed))

    async def _each(
        self,
        verb: Callable[[Vip], Awaitable[None]],
        vips: tuple[Vip, ...],
        heard: Callable[[Vip, Exception | None], None] = lambda _vip, _error: None,
        may: Callable[[Vip], bool] = lambda _vip: True,
    ) -> dict[Vip, Exception]:
        """Call *verb* for each VIP that still *may*; return those that failed. One that hangs fails with the rest."""
        failed: dict[Vip, Exception] = {}
        left = dict.fromkeys(vips)
        with anyio.move_on_after(PATIENCE) as scope:
            for number, vip in enumerate(vips, start=1):
                if may(vip):
                    error = await attempt(verb, vip)
                    heard(vip, error)
                    if error is not None:
                        failed[vip] = error
                del left[vip]
                if number % CHUNK == 0 or anyio.current_time() > scope.deadline - PATIENCE / 2:
                    scope.deadline = anyio.current_time() + PATIENCE
                if number % CHUNK == 0:
                    await anyio.lowlevel.checkpoint()
        for vip in left:
            failed[vip] = error = KubeVipError(f"backend {self.name!r} has not answered within {PATIENCE:g} s")
            heard(vip, error)
        return failed

    def _log(self, doing: str, failed: Mapping[Vip, Exception]) -> None:
        for vip, error in failed.items():
            log.warning("%s failed", doing, extra={"vip": str(vip), "backend": self.name, "reason": str(error)})
