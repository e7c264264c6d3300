"""Whether a node should have addresses at all, in spread mode: it says so in its Lease, and all others heed it.

And on which links it may have them. A link that is down is told of by leaving out its networks: what belongs there goes
to others, and what is on other links stays. Nothing of that is said before the API server has answered since the link
is down (``kubevip.runtime.deadlink``): over that link a word would arrive when the link is back, and move all for
nothing. A node with all its links down keeps what it has until others may miss it.
"""

import asyncio
import math
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet

import anyio
import anyio.abc
import attrs

from kubevip.eligibility import Ground, Unfit
from kubevip.runtime.deadlink import DeadLink
from kubevip.runtime.elector import Elector
from kubevip.runtime.fitness import AILING_FOR, REST, TICK, FitnessStatistics
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.voice import Voice


@attrs.define(eq=False)
class NodeFitness:
    """The grounds against this node, which has the Lease of *elector*; that is renewed when there are others.

    *is_up* tells whether an interface is there and up. *links* returns those on which others listen for this node;
    where nobody does, *voice* is that of nobody. *needs_link* is ``Fitness``'s.
    """

    _keeper: Keeper
    _elector: Elector
    _is_up: Callable[[str], bool]
    _links: Callable[[], AbstractSet[str]] = frozenset
    voice: Voice = attrs.field(factory=Voice)
    needs_link: bool = True

    _unfit: dict[Ground, Unfit] = attrs.field(factory=dict, init=False)
    _ailing_since: float | None = attrs.field(default=None, init=False)
    _dead: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _dead_links: dict[str, DeadLink] = attrs.field(factory=dict, init=False)
    _tasks: anyio.abc.TaskGroup | None = attrs.field(default=None, init=False)

    def report(self, ground: Ground, text: str | None, *, until: float = math.inf) -> None:
        """Let *ground* count against this node until *until*; ``None``: not any more."""
        before = self._unfit.get(ground)
        after = Unfit(ground, text, until) if text is not None else None
        if after is None:
            self._unfit.pop(ground, None)
        else:
            self._unfit[ground] = after
        if (before is None) != (after is None):
            self._elector.renew()

    @property
    def why(self) -> str:
        """What is against this node; empty where nothing is."""
        return "; ".join(str(each) for each in sorted(self._unfit.values(), key=lambda each: -each.ground.severity))

    @property
    def dead(self) -> Collection[str]:
        """The links on which this node should have nothing."""
        return self._dead

    async def run(self) -> None:
        """Look at what nobody tells, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for known in self._dead_links.values():
                self._tasks.start_soon(known.run)
            try:
                while True:
                    self.link_changed("")
                    self._look_at_vips(asyncio.get_running_loop().time())
                    await anyio.sleep(TICK)
            finally:
                self._tasks = None

    # Links

    def link_changed(self, _interface: str) -> None:
        """An interface has come, gone or changed."""
        if not self.needs_link:
            return
        links, own = self._links(), {vip.interface for vip in self._keeper.governed_by(self._elector.lease)}
        down = {name for name in links | own | self._dead if not self._is_up(name)}
        if links and links <= down:
            self.voice.cut()
        for name in sorted(self._dead_links.keys() - down):
            self._dead_links[name].end()
        if self.voice.is_cut and not links <= down:
            self.voice.mend()
        dead = frozenset(name for name in down if self._is_dead(name))
        if dead != self._dead:
            self._dead = dead
            self._elector.renew()
        lost = any(each and each <= dead for each in (links, own))
        self.report(Ground.LINK, "" if lost else None)

    def _is_dead(self, name: str) -> bool:
        """Tell whether others are to know that the link of that name, which is down, is so."""
        record = self._elector.record
        if name in self._dead or record is None or record.holder != self._elector.identity:
            return True
        known = self._dead_links.get(name)
        if known is None:
            known = self._dead_links[name] = DeadLink(self._elector, lambda: self.link_changed(name), self.voice)
            if self._tasks is not None:
                self._tasks.start_soon(known.run)
        known.begin()
        return known.reached

    # Addresses

    def _look_at_vips(self, now: float) -> None:
        """What can't be held here may be held elsewhere."""
        ailing = self._unfit.get(Ground.BACKEND)
        if ailing is not None and ailing.until <= now:
            self.report(Ground.BACKEND, None)
        text = self._keeper.ailing(self._elector.lease)
        if not text:
            self._ailing_since = None
        elif self._ailing_since is None:
            self._ailing_since = now
        elif now - self._ailing_since >= AILING_FOR:
            self.report(Ground.BACKEND, f"none of its addresses can be held: {text}", until=now + REST)

    def statistics(self) -> FitnessStatistics:
        """Return a snapshot."""
        return FitnessStatistics({each.ground: str(each) for each in self._unfit.values()}, False, {}, 0)
