"""Holds the VIPs that this node is to hold, and no others.

The keeper knows which VIPs are wanted and which Lease governs each; electors tell it which Leases this node
leads. From that, and from what is on the links, follows a plan (``kubevip.reconcile``), which it carries out:

    hold:     1 address on the link, for as long as the Lease is ours   2 announce
    release:  1 withdraw                                                2 address off

It is level-triggered: whatever changed only marks VIPs as to be looked at.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import anyio
import attrs

from kubevip import reconcile
from kubevip.election import Cause, Standing
from kubevip.lease import Timing
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.ports import Addresses, Links
from kubevip.reconcile import Hold
from kubevip.runtime.agenda import Agenda
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.clearance import Clearance, Conflict, Manner
from kubevip.runtime.complaints import Complaints
from kubevip.runtime.entitlement import Entitlement
from kubevip.runtime.handover import Handover
from kubevip.runtime.healing import Healing
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.leftovers import Leftovers
from kubevip.runtime.mandates import Mandates
from kubevip.runtime.pacing import Pacer
from kubevip.runtime.parting import Parting
from kubevip.runtime.putting import Putting
from kubevip.runtime.retry import Retry
from kubevip.runtime.viplog import VipLog

log = logging.getLogger(__name__)

# For each IPv6 address that is written, Linux looks at all that there are: a thousand take 0.3 s.
MANY = 300


@attrs.frozen
class KeeperStatistics:
    """A snapshot of the addresses: how many are wanted here, held, announced, failing and being handed over.

    *contested* are left to another machine, whose MAC address it is. *healed* and *conflicts* count from the start;
    *busy* is for how many seconds the kernel has been asked.
    """

    wanted: int
    held: int
    announced: int
    failing: Mapping[Vip, str]
    contested: Mapping[Vip, str]
    lingering: int
    healed: int
    conflicts: int
    busy: float


@attrs.define(eq=False)
class Keeper:
    """Holds VIPs from ``run()`` until it is cancelled. Its methods are called from the event loop.

    *linger* is how many seconds a VIP stays after its Lease was released, for a successor that isn't seen.
    *changed* is called with each VIP that begins or ceases to be held and announced here.
    *conflicting* is called when another machine goes on answering for a VIP, *settled* when one that claimed a
    VIP which is held does so no more; *failing* with a VIP and the reason why it can't be held.
    """

    _addresses: Addresses
    _links: Links
    _announcers: Mapping[Family, Announcer]
    _timing: Timing
    linger: float
    changed: Callable[[Vip], None] = lambda _vip: None
    conflicting: Callable[[Conflict], None] = lambda _conflict: None
    failing: Callable[[Vip, str], None] = lambda _vip, _reason: None
    settled: Callable[[Vip, str], None] = lambda _vip, _mac: None

    _mandates: Mandates = attrs.field(factory=Mandates, init=False)
    _followers: list[Callable[[Vip], None]] = attrs.field(factory=list, init=False)
    _log: VipLog = attrs.field(init=False)
    _held: Holdings = attrs.field(init=False)
    _agenda: Agenda = attrs.field(init=False)
    _handover: Handover = attrs.field(init=False)
    _clearance: Clearance = attrs.field(init=False)
    _retry: Retry[Vip] = attrs.field(init=False)
    _putting: Putting = attrs.field(init=False)
    _leftovers: Leftovers = attrs.field(init=False)
    _parting: Parting = attrs.field(init=False)
    _entitlement: Entitlement = attrs.field(init=False)
    _complaints: Complaints = attrs.field(init=False)
    _healing: Healing = attrs.field(init=False)
    _busy_since: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._log = VipLog(log, self._mandates.lease)
        self._putting = Putting(self._addresses, self._links, self._announcers)
        self._held = Holdings(
            self._addresses, self._announcers, self._putting, self._log, self.may_announce, self._tell
        )
        self._handover = Handover(self._announcers, self._links.get, self._look_at)
        self._parting = Parting(self._mandates, self._held, self._links, self._handover, self.linger, self._look_at)
        self._leftovers = Leftovers(self._addresses, self._mandates, self._held)
        self._retry = Retry(self._look_at)
        self._complaints = Complaints(
            self._log,
            self._retry,
            lambda vip, reason: self.failing(vip, reason),
            lambda conflict: self.conflicting(conflict),
        )
        self._clearance = Clearance(
            self._announcers,
            self._links.get,
            self._held.find,
            lambda vip: self._mandates.term(vip) is not None,
            self._look_at,
            self._complaints.contested,
        )
        self._entitlement = Entitlement(self._mandates, self._held, self._clearance, self._parting)
        self._healing = Healing(self._addresses, self._links, self._mandates, self._held, self._log, self._look_at)
        self._agenda = Agenda(self._entitlement.renewals_among, self._entitlement.arrivals_among)
        for announcer in self._announcers.values():
            announcer.may_announce, announcer.refuted = self.may_announce, self.reannounce

    # What is wanted

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """Hold *vip* whenever this node leads *lease*. Held by another Lease it stays, where this node leads both."""
        if self._mandates.lease(vip) == lease:
            return
        if self._mandates.term(vip) is not None and self.leads(lease):
            self._handover.forget((vip,))
            self._mandates.reassign(vip, lease)
        else:
            self.unwant(vip)
            self._mandates.assign(vip, lease)
        self._look_at((vip,))

    def unwant(self, vip: Vip) -> None:
        """Hold *vip* no more; it is removed at once."""
        led = self._mandates.term(vip) is not None
        if not self._mandates.unassign(vip) and vip not in self._handover.lingering():
            return
        self._sweep_unless_held(vip, led)
        self._clearance.forget((vip,))
        self._handover.forget((vip,))
        self._look_at((vip,))

    def entrust(self, vip: Vip, lease: LeaseKey, cause: Cause, silent_by: float, left_by: float = 0.0) -> None:
        """Hold *vip* whenever this node leads *lease*, as it may already; see ``Clearance`` for the rest."""
        self.want(vip, lease)
        self._clearance.come_by((vip,), cause, silent_by=silent_by, left_by=left_by)

    def watch_for(self, vips: Collection[Vip]) -> Collection[Vip]:
        """Look out for successors of *vips*, which are about to be passed on; return those others may still have."""
        self._parting.watch_for(vips)
        return self._clearance.lacking(frozenset(vips))

    def pass_on(self, vip: Vip, within: float = 0.0) -> None:
        """Hold *vip* no more; it stays for another node, told *within* so many seconds, at most *linger* after that."""
        if not self._mandates.unassign(vip):
            return
        self._sweep_unless_held(vip, True)
        self._clearance.forget((vip,))
        self._parting.pass_on(vip, within)
        self._look_at((vip,))

    def sweep(self, vips: Iterable[Vip]) -> None:
        """Remove what another process of this agent has left of *vips*, which other nodes are to hold now."""
        self._leftovers.stray(vips)
        self._agenda.wake()

    def _sweep_unless_held(self, vip: Vip, led: bool) -> None:
        """What this process was to hold, and has not come to, may be there from the one before."""
        if led and vip not in self._held:
            self.sweep((vip,))

    def yield_to(self, vip: Vip, mac: str, pause: float) -> None:
        """Let go of *vip* because of another machine; after *pause* seconds hold it again when that is silent."""
        if self._mandates.term(vip) is not None:
            self._clearance.contest(vip, mac, pause)
            self._look_at((vip,))

    # What the electors tell

    def campaigning(self, lease: LeaseKey, cause: Cause, *, strange: Collection[Vip] = ()) -> None:
        """A write is on its way by which this node may come to lead *lease*.

        Where its last holder has not said that it goes, somebody may still answer: that is asked meanwhile.
        Who answers after the Lease of a known holder was deleted is that holder, who waits to see us. Of *strange* VIPs
        the Lease says nothing: its last holder may not have had them.
        """
        vips = [vip for vip in self._mandates.governed_by(lease) if vip not in strange]
        self._clearance.come_by(vips, cause, Manner.INSIST if self._leftovers.knows(lease) else Manner.YIELD)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """Where this node stands in the election for *lease* now."""
        if standing is Standing.UNKNOWN:
            return
        if standing is not Standing.VACANT and self._leftovers.learn(lease):
            self._agenda.wake()
        if term is not None:
            self._mandates.lead(lease, term)
            if not self._mandates.leaves(lease):
                self._handover.forget(self._mandates.governed_by(lease))
            self._look_at(self._mandates.governed_by(lease))
        else:
            self._stand_back(lease, standing)

    def _stand_back(self, lease: LeaseKey, standing: Standing) -> None:
        if self._parting.stand_back(lease, standing):
            self._leftovers.doubt(lease)
        self._clearance.forget(self._mandates.governed_by(lease))
        self._look_at(self._mandates.governed_by(lease))

    def expect_successor(self, *leases: LeaseKey) -> None:
        """Look out for successors from now on, and claim nothing any more: *leases* are about to be released."""
        self._look_at(self._parting.expect_successor(leases))

    def remain(self, lease: LeaseKey) -> None:
        """Go on as before: *lease* isn't released after all."""
        self._mandates.remain(lease)
        self._handover.forget(self._mandates.governed_by(lease))
        self._look_at(self._mandates.governed_by(lease))

    def forget(self, lease: LeaseKey) -> None:
        """Drop what is known of *lease*, for which nobody campaigns here any more."""
        self._leftovers.forget(lease)
        self._mandates.forget(lease)

    def hurry(self) -> None:
        """Try at once what has failed: a backend says that it may succeed now."""
        self._retry.hurry()

    def reannounce(self, vips: Collection[Vip]) -> None:
        """Announce *vips* anew: a backend says that they, which were announced, are so no more."""
        self._held.refute(vips)
        self._look_at(vip for vip in vips if vip in self._held)

    # What it tells

    def governed_by(self, lease: LeaseKey) -> Collection[Vip]:
        """Return the VIPs that are to be held by whoever leads *lease*."""
        return self._mandates.governed_by(lease)

    def leads(self, lease: LeaseKey) -> bool:
        """Tell whether this node leads *lease*, and isn't about to release it."""
        return self._mandates.leads(lease) and not self._mandates.leaves(lease)

    def holds(self, vip: Vip) -> bool:
        """Tell whether *vip* is on its link here, as far as is known, whatever the reason."""
        return vip in self._held

    def carries(self, lease: LeaseKey) -> bool:
        """Tell whether a link is up that a VIP of *lease* belongs on; without a VIP none is needed."""
        interfaces = {vip.interface for vip in self._mandates.governed_by(lease)}
        return not interfaces or any(map(self._parting.carries, interfaces))

    def ailing(self, lease: LeaseKey) -> str:
        """Return why none of the VIPs of *lease* can be held here; empty unless all of them fail."""
        failing, vips = self._retry.failing(), self._mandates.governed_by(lease)
        return failing[vips[0]] if failing and vips and all(vip in failing for vip in vips) else ""

    def term_of(self, vip: Vip) -> Term | None:
        """Return the term by which *vip* is held and announced here now, or ``None``."""
        return self._mandates.term(vip) if self._held.is_announced(vip) else None

    def lease_of(self, vip: Vip) -> LeaseKey | None:
        """Return the Lease that governs *vip*."""
        return self._mandates.lease(vip)

    def wanted_since(self, vip: Vip) -> float:
        """Return since when *vip* has been to be held here; now, where it isn't."""
        return self._mandates.since(vip)

    def rival(self, vip: Vip) -> str:
        """Return the MAC address of the machine that *vip* is left to; empty where it isn't."""
        return self._clearance.rival(vip)

    def follow(self, changed: Callable[[Vip], None]) -> None:
        """Call *changed*, too, with each VIP that begins or ceases to be held and announced here."""
        self._followers.append(changed)

    def _tell(self, vip: Vip) -> None:
        self.changed(vip)
        for changed in self._followers:
            changed(vip)

    def may_announce(self, vip: Vip) -> bool:
        """Tell whether announcing *vip* is still right at this moment."""
        return self._mandates.may_claim(vip) and self._held.is_on_link(vip)

    async def wait_released(self) -> None:
        """Wait until no VIP is held here."""
        await self._held.wait_empty()

    async def drop_all(self) -> None:
        """Withdraw and remove everything at once, without a successor."""
        held = tuple(self._held)
        self._handover.forget(held)
        self._mandates.cease_all()
        await self._release(held)

    def statistics(self) -> KeeperStatistics:
        """Return a snapshot."""
        announced = sum(1 for vip in self._held if self.term_of(vip) is not None)
        wanted = sum(1 for vip in self._mandates.all() if self._mandates.term(vip) is not None)
        return KeeperStatistics(
            wanted=wanted,
            held=len(self._held),
            announced=announced,
            failing=self._retry.failing(),
            contested=self._clearance.contested(),
            lingering=self._handover.count,
            healed=self._healing.healed,
            conflicts=self._complaints.conflicts,
            busy=0.0 if self._busy_since is None else self._now() - self._busy_since,
        )

    # Driving

    async def run(self) -> None:
        """Hold what is to be held, until cancelled."""
        with self._healing.watch():
            async with anyio.create_task_group() as tasks:
                for part in (self._clearance, self._handover, self._parting, self._retry):
                    tasks.start_soon(part.run)
                tasks.start_soon(Pacer(self._addresses, self._timing, self._entitlement.families).run)
                for announcer in {id(each): each for each in self._announcers.values()}.values():
                    tasks.start_soon(announcer.run)
                while True:
                    self._busy_since = self._now()
                    await self._reconcile()
                    self._busy_since = None
                    await self._wait()

    async def _reconcile(self) -> None:
        dirty = self._agenda.take()
        desired = self._entitlement.desired(dirty)
        plan = reconcile.plan(
            dirty,
            desired=desired,
            held=self._held.entries,
            keep=self._handover.lingering(),
            last=self._mandates.last_terms(dirty),
            dear={Family.IPV6} if len(self._held) > MANY else (),
            lag=self._putting.lag,
            now=self._now(),
        )
        for vip in self._retry.among(dirty):
            if vip not in self._held and self._mandates.term(vip) is None:
                # There is nothing left that could fail.
                self._retry.forget(vip)
        await self._release(plan.release)
        if plan.hold:
            await self._hold(plan.hold)
        await self._leftovers.remove()

    async def _release(self, vips: Collection[Vip]) -> None:
        if not vips:
            return
        failed = await self._held.release(vips)
        for vip in vips:
            if vip not in failed:
                self._retry.forget(vip)
        self._complaints.failed(failed, "releasing")

    async def _hold(self, steps: Sequence[Hold]) -> None:
        outcome = await self._held.hold(steps)
        unfinished = outcome.failed.keys() | outcome.late
        self._retry.forget_all(step.vip for step in steps if step.vip not in unfinished)
        self._look_at(outcome.late)
        self._complaints.failed(outcome.failed, "holding")

    def _look_at(self, vips: Iterable[Vip]) -> None:
        self._agenda.add(vips)

    async def _wait(self) -> None:
        """Wait until there is something to look at, at the latest until the first term ends."""
        with anyio.move_on_after(self._mandates.first_end() - self._now()) as scope:
            await self._agenda.wait()
        self._agenda.clear()
        if scope.cancelled_caught:
            for lease in self._mandates.ended():
                self.standing(lease, Standing.EXPIRED, None)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
