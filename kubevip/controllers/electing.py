"""Campaigns for a Lease as long as it governs an address that is wanted here, and moves addresses between Leases.

Where Services have Leases of their own, these come and go with them, and an address that several Services use changes
its Lease when its primary goes (``kubevip.governance``). Nodes learn of that at different times. Hence:

* Who holds an address by the old Lease keeps both until it leads the new one too: then the address has moved, and
  nothing has happened on the wire. When it sees somebody else with the new Lease, it lets go of the address.
* The others leave a new Lease to the holder of the old one for a moment.
* The old Lease is kept for a while after that: who knows less than we do must not find it free.
* Whoever takes the new Lease asks on the wire before it takes the address, and yields (``kubevip.runtime.clearance``):
  that nobody has the Lease doesn't say that nobody has the address.
* The same is true of a Lease that is released because it isn't needed any more; that is said in it.

A Lease that is wanted here no more is resigned. Where other nodes can serve what it governs, that is a planned
handover: the addresses stay until a successor is seen.
"""

import asyncio
import logging
import math
from collections.abc import Collection
from typing import Protocol

import anyio
import anyio.abc
import attrs

from kubevip.election import Cause, Standing
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey, Term, Vip
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import supervised
from kubevip.succession import Word

log = logging.getLogger(__name__)

# For how many seconds a Lease is left to whoever holds its addresses by another one: longer than a watch event takes.
MOMENT = 1.0


class Campaigning(Protocol):
    """Makes campaigns; ``kubevip.campaigns.Campaigns`` does."""

    def begin(self, lease: LeaseKey, follower: Follower) -> Elector:
        """Make a campaign for *lease*, with all that gates it; whoever asked runs it."""

    def end(self, lease: LeaseKey) -> None:
        """Forget the campaign for *lease*, which has ended."""

    def elector(self, lease: LeaseKey) -> Elector | None:
        """Return the campaign for *lease*; ``None`` where there is none, or nobody else takes part in it."""


@attrs.define(eq=False)
class _Campaign:
    elector: Elector
    leaving: bool = False


@attrs.define(eq=False)
class Electing:
    """The ``Holding`` of an agent whose Services have Leases of their own, and the follower of all its elections.

    It campaigns from ``run()`` until it is cancelled; ``stop()`` lets it begin nothing any more. Leases of *static*
    are campaigned for by others, whatever they govern. A Lease whose addresses have moved is kept for *grace* seconds.
    Unless it *overlaps*, an address goes before a successor comes: routers send traffic to all who announce it, also
    to a node that has no endpoint for it any more.
    """

    _keeper: Keeper
    _campaigning: Campaigning
    _static: Collection[LeaseKey]
    _grace: float
    _overlaps: bool = True

    _campaigns: dict[LeaseKey, _Campaign] = attrs.field(factory=dict, init=False)
    _moving: dict[Vip, LeaseKey] = attrs.field(factory=dict, init=False)
    _conceding: set[Vip] = attrs.field(factory=set, init=False)
    # VIPs that are being handed over and are wanted again by another Lease: whoever takes the first one may have them.
    _later: dict[Vip, LeaseKey] = attrs.field(factory=dict, init=False)
    _kept_until: dict[LeaseKey, float] = attrs.field(factory=dict, init=False)
    _deferring: dict[LeaseKey, float] = attrs.field(factory=dict, init=False)
    # VIPs whose Lease was seen with another node, as long as it governs them; and by which one they were until when.
    _followed: set[Vip] = attrs.field(factory=set, init=False)
    _before: dict[Vip, tuple[LeaseKey, float]] = attrs.field(factory=dict, init=False)
    _dirty: dict[LeaseKey, None] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _stopped: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.follow(self._changed)

    # What is wanted

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """See ``Holding``."""
        before, target = self._keeper.lease_of(vip), self._moving.pop(vip, None)
        self._later.pop(vip, None)
        if vip in self._conceding and before is not None and before != lease and self._is_leaving(before):
            self._later[vip] = lease
            return
        self._conceding.discard(vip)
        if before is not None and before != lease and self._is_held_by(before) and self._is_open(lease):
            self._moving[vip] = lease
        else:
            if before is not None and before != lease:
                self._defer(lease, before)
            self._assign(vip, lease)
        self._look_at(before, target, lease)

    def unwant(self, vip: Vip) -> None:
        """See ``Holding``."""
        before, target = self._keeper.lease_of(vip), self._moving.pop(vip, None)
        self._later.pop(vip, None)
        self._conceding.discard(vip)
        self._leave(vip)
        self._keeper.unwant(vip)
        self._look_at(before, target)

    def hand_over(self, vip: Vip) -> None:
        """See ``Holding``; it stays only where its Lease goes with it."""
        lease = self._keeper.lease_of(vip)
        stays = self._overlaps and lease not in self._static and vip not in self._moving
        if lease is None or not stays or not self._keeper.leads(lease):
            self.unwant(vip)
        else:
            self._conceding.add(vip)
            self._look_at(lease)

    def _is_held_by(self, lease: LeaseKey) -> bool:
        """Tell whether what *lease* governs is held here, or may be in a moment."""
        return self._keeper.leads(lease) and not self._is_leaving(lease)

    def _is_leaving(self, lease: LeaseKey) -> bool:
        return lease in self._campaigns and self._campaigns[lease].leaving

    def _is_open(self, lease: LeaseKey) -> bool:
        """Tell whether it isn't known yet who leads *lease*, as far as this node may be the one."""
        if self._keeper.leads(lease):
            return False
        elector = self._campaigning.elector(lease)
        return elector is None or elector.standing is not Standing.FOLLOWING

    def _assign(self, vip: Vip, lease: LeaseKey) -> None:
        before = self._keeper.lease_of(vip)
        if before is not None and before != lease and self._keeper.leads(before):
            self._kept_until[before] = self._now() + self._grace
        if before != lease:
            self._leave(vip)
        self._keeper.want(vip, lease)
        elector = self._campaigning.elector(lease)
        if elector is not None and elector.standing is Standing.FOLLOWING:
            self._followed.add(vip)

    def _leave(self, vip: Vip) -> None:
        """Remember by which Lease *vip* was held until now."""
        lease = self._keeper.lease_of(vip)
        self._followed.discard(vip)
        if lease is not None:
            self._before[vip] = (lease, self._now())

    def _is_strange(self, vip: Vip, lease: LeaseKey) -> bool:
        """Tell whether *vip* may be with somebody who doesn't know that *lease* governs it."""
        before, until = self._before.get(vip, (lease, 0.0))
        return vip not in self._followed or (before != lease and self._now() < until + self._grace)

    def _defer(self, lease: LeaseKey, before: LeaseKey) -> None:
        """Leave *lease* to who holds its addresses by the Lease *before*, if that is somebody else."""
        elector = self._campaigning.elector(before)
        record = elector.record if elector is not None else None
        if elector is not None and record is not None and record.holder not in ("", elector.identity):
            self._deferring[lease] = self._now() + MOMENT

    def _look_at(self, *leases: LeaseKey | None) -> None:
        self._dirty.update(dict.fromkeys(lease for lease in leases if lease is not None and lease not in self._static))
        if self._dirty:
            self._wake.set()

    # What the electors tell

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """See ``Follower``."""
        governed = self._keeper.governed_by(lease)
        if lease in self._campaigns and not _was_left(self._campaigns[lease].elector.record):
            governed = tuple(vip for vip in governed if self._is_strange(vip, lease))
        self._keeper.campaigning(lease, cause, strange=governed if lease not in self._static else ())

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """See ``Follower``."""
        self._keeper.standing(lease, standing, term)
        if standing is Standing.FOLLOWING:
            self._followed.update(self._keeper.governed_by(lease))
        for vip, target in tuple(self._moving.items()):
            before = self._keeper.lease_of(vip)
            arrived = target == lease and standing in (Standing.LEADING, Standing.FOLLOWING)
            lost = before == lease and term is None
            if arrived or lost:
                self._moving.pop(vip)
                self._assign(vip, target)
                self._look_at(before, target)

    def _changed(self, vip: Vip) -> None:
        if vip in self._conceding and vip not in self._later and not self._keeper.holds(vip):
            self.unwant(vip)

    # Driving

    async def run(self) -> None:
        """Campaign until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._wake.clear()
                due = self._settle(tasks)
                with anyio.move_on_after(due - self._now()):
                    await self._wake.wait()

    def stop(self) -> None:
        """Begin no campaign any more: all are about to be resigned."""
        self._stopped = True

    def _settle(self, tasks: anyio.abc.TaskGroup) -> float:
        """Begin and resign what is due; return when there is something to look at again."""
        now = self._now()
        for lease in [lease for lease, until in self._kept_until.items() if until <= now]:
            del self._kept_until[lease]
            self._dirty[lease] = None
        self._before = {vip: last for vip, last in self._before.items() if now < last[1] + self._grace}
        dirty, self._dirty = self._dirty, {}
        for lease in dirty:
            self._settle_one(lease, tasks)
        return min(self._kept_until.values(), default=math.inf)

    def _settle_one(self, lease: LeaseKey, tasks: anyio.abc.TaskGroup) -> None:
        campaign = self._campaigns.get(lease)
        governed = self._keeper.governed_by(lease)
        conceded = [vip for vip in governed if vip in self._conceding]
        if len(conceded) < len(governed) or lease in self._moving.values():
            for vip in conceded:
                if vip not in self._later:
                    # Its Lease stays here: nobody else could take it.
                    self.unwant(vip)
            if campaign is None and not self._stopped:
                self._begin(lease, tasks)
        elif campaign is None:
            self._kept_until.pop(lease, None)
            for vip in conceded:
                if not self._keeper.holds(vip):
                    self.unwant(vip)
        elif not campaign.leaving and (conceded or lease not in self._kept_until):
            # Whoever asks for one of its addresses again gets it by another term.
            self._keeper.expect_successor(lease)
            if not conceded:
                campaign.elector.word = _leave
            campaign.leaving = True
            campaign.elector.resign()

    def _begin(self, lease: LeaseKey, tasks: anyio.abc.TaskGroup) -> None:
        elector = self._campaigning.begin(lease, self)
        usual, until = elector.deference, self._deferring.pop(lease, -math.inf)

        def deference(record: Record | None) -> float:
            return max(usual(record), MOMENT if self._now() < until else 0.0)

        if until > self._now():
            elector.deference = deference
        self._campaigns[lease] = _Campaign(elector)
        tasks.start_soon(self._run, lease, elector)

    async def _run(self, lease: LeaseKey, elector: Elector) -> None:
        await supervised(f"the election for {lease}", elector.run)
        del self._campaigns[lease]
        self._campaigning.end(lease)
        self._keeper.forget(lease)
        for vip in [vip for vip in self._later if self._keeper.lease_of(vip) == lease]:
            self.want(vip, self._later[vip])
        self._look_at(lease)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _leave(claim: Claim, _base: Record | None) -> str:
    """Say in a Lease that is released: nothing is handed over by that."""
    return "" if claim.holder else str(Word("", claim.transitions, why="it governs nothing here any more"))


def _was_left(record: Record | None) -> bool:
    """Tell whether the last holder of a Lease has said that."""
    return record is not None and record.vacant and Word.of(record) is not None
