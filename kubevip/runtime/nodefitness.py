"""Whether a node should have addresses at all, in spread mode: it says so in its Lease, and all others heed it."""

import asyncio
import math
from collections.abc import Callable

import anyio
import attrs

from kubevip.eligibility import Ground, Unfit
from kubevip.model import LeaseKey
from kubevip.runtime.fitness import AILING_FOR, REST, TICK, FitnessStatistics
from kubevip.runtime.keeper import Keeper


@attrs.define(eq=False)
class NodeFitness:
    """The grounds against this node. *changed* is called when there are others; *needs_link* is ``Fitness``'s."""

    _keeper: Keeper
    _lease: LeaseKey
    changed: Callable[[], None]
    needs_link: bool = True

    _unfit: dict[Ground, Unfit] = attrs.field(factory=dict, init=False)
    _ailing_since: float | None = attrs.field(default=None, init=False)

    def report(self, ground: Ground, text: str | None, *, until: float = math.inf) -> None:
        """Let *ground* count against this node until *until*; ``None``: not any more."""
        before = self._unfit.get(ground)
        after = Unfit(ground, text, until) if text is not None else None
        if after is None:
            self._unfit.pop(ground, None)
        else:
            self._unfit[ground] = after
        if (before is None) != (after is None):
            self.changed()

    @property
    def why(self) -> str:
        """What is against this node; empty where nothing is."""
        return "; ".join(str(each) for each in sorted(self._unfit.values(), key=lambda each: -each.ground.severity))

    async def run(self) -> None:
        """Look at what nobody tells, until cancelled."""
        while True:
            self.link_changed("")
            self._look_at_vips(asyncio.get_running_loop().time())
            await anyio.sleep(TICK)

    def link_changed(self, _interface: str) -> None:
        """An interface has come, gone or changed."""
        if self.needs_link:
            self.report(Ground.LINK, None if self._keeper.carries(self._lease) else "")

    def _look_at_vips(self, now: float) -> None:
        """What can't be held here may be held elsewhere."""
        ailing = self._unfit.get(Ground.BACKEND)
        if ailing is not None and ailing.until <= now:
            self.report(Ground.BACKEND, None)
        text = self._keeper.ailing(self._lease)
        if not text:
            self._ailing_since = None
        elif self._ailing_since is None:
            self._ailing_since = now
        elif now - self._ailing_since >= AILING_FOR:
            self.report(Ground.BACKEND, f"none of its addresses can be held: {text}", until=now + REST)

    def statistics(self) -> FitnessStatistics:
        """Return a snapshot."""
        return FitnessStatistics({each.ground: str(each) for each in self._unfit.values()}, False, {}, 0)
