"""How addresses leave this node: to a successor who is waited for, or at once where nobody would be reached here."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable

import anyio
import attrs

from kubevip import fence
from kubevip.election import Standing
from kubevip.model import LeaseKey, Vip
from kubevip.ports import Links, is_up
from kubevip.runtime.handover import Handover
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.mandates import Mandates


@attrs.define(eq=False)
class Parting:
    """Hands over what is held, by Lease or one by one. *linger* is how many seconds a VIP stays for a successor.

    *look_at* is called with VIPs whose lifetimes can be made to last until their Lease is over.
    """

    _mandates: Mandates
    _held: Holdings
    _links: Links
    _handover: Handover
    _linger: float
    _look_at: Callable[[Iterable[Vip]], None]
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def carries(self, interface: str) -> bool:
        """Tell whether *interface* is up."""
        return is_up(self._links, interface)

    def lingers(self, vip: Vip) -> bool:
        """Tell whether *vip* stays for a successor: nobody is reached by a link that is down, so it goes before."""
        return vip in self._held and self.carries(vip.interface)

    def watch_for(self, vips: Iterable[Vip]) -> None:
        """Look out for successors of *vips*, which are about to be passed on."""
        self._handover.watch([vip for vip in vips if vip in self._held])

    def pass_on(self, vip: Vip, within: float) -> None:
        """Keep *vip*, which no Lease governs here any more, for a successor, who is told *within* so many seconds."""
        if self.lingers(vip):
            self._held.announce_no_more((vip,))
            self._handover.begin((vip,), self._now() + within + self._linger)
        else:
            self._handover.forget((vip,))

    def expect_successor(self, leases: Iterable[LeaseKey]) -> Collection[Vip]:
        """Look out for successors, and claim nothing any more; return the VIPs that need not wait for one."""
        vips: list[Vip] = []
        for lease in leases:
            self._mandates.leave(lease)
            vips += (vip for vip in self._mandates.governed_by(lease) if vip in self._held)
        self._handover.watch(vips)
        self._wake.set()
        return [vip for vip in vips if not self.lingers(vip)]

    def stand_back(self, lease: LeaseKey, standing: Standing) -> bool:
        """Lead *lease* no more. Tell whether this node led, and did not hold all that it governs."""
        led = self._mandates.cease(lease)
        vips = [vip for vip in self._mandates.governed_by(lease) if vip in self._held]
        # The watch may show a successor before our own release is answered.
        released = standing is Standing.VACANT or (standing is Standing.FOLLOWING and self._handover.expects(vips))
        if led and released:
            # Nobody is reached by a link that is down. When it comes back, the successor must be the only one.
            reached = [vip for vip in vips if self.carries(vip.interface)]
            self._held.announce_no_more(vips)
            self._handover.forget(set(vips).difference(reached))
            self._handover.begin(reached, self._now() + self._linger)
        elif standing is Standing.EXPIRED:
            self._handover.forget(vips)
        return led and len(vips) < len(self._mandates.governed_by(lease))

    async def run(self) -> None:
        """Let what waits for a successor last, until cancelled.

        A renewal would have given it another lifetime, and none follows: over a slow way to the API server the
        successor may need longer than what is left of the last one.
        """
        while True:
            due = self._next_due()
            with anyio.move_on_after(due - self._now()) as scope:
                await self._wake.wait()
            self._wake.clear()
            if scope.cancelled_caught:
                self._look_at(vip for lease in self._mandates.last for vip in self._mandates.governed_by(lease))

    def _next_due(self) -> float:
        """Return when a lifetime can be made longer; forget the last terms of Leases that are over."""
        now = self._now()
        self._mandates.forget_last(now)
        return min((fence.next_start(term.expires, now) for term in self._mandates.last.values()), default=math.inf)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
