"""Holds the VIPs that this node is to hold, and no others.

The keeper knows which VIPs are wanted and which Lease governs each; electors tell it which Leases this node
leads. From that, and from what is on the links, follows a plan (``kubevip.reconcile``), which it carries out:

    hold:     1 address on the link, for as long as the Lease is ours   2 announce
    release:  1 withdraw                                                2 address off

It is level-triggered: whatever changed only marks VIPs as to be looked at.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import anyio
import attrs
from anyio.streams.memory import MemoryObjectSendStream

from kubevip import reconcile
from kubevip.election import Cause, Standing, Timing
from kubevip.errors import NetworkError, TooLate
from kubevip.model import Family, IPAddress, LeaseKey, Term, Vip
from kubevip.ports import Addresses, Links
from kubevip.reconcile import Held, Hold
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.clearance import Clearance, Conflict, Manner
from kubevip.runtime.handover import Handover
from kubevip.runtime.leftovers import remove_leftovers
from kubevip.runtime.pacing import Pacer
from kubevip.runtime.retry import Retry

log = logging.getLogger(__name__)

# VIPs put on links in one go: small enough that the first one is announced while the last one is still to come.
CHUNK = 128
LOG_EACH = 8
# A kernel that takes longer than this, in seconds, will do so again.
NOTICEABLE = 0.02
# For each IPv6 address that is written, Linux looks at all that there are: a thousand take 0.3 s.
MANY = 300


@attrs.frozen
class KeeperStatistics:
    """A snapshot of the addresses: how many are wanted here, held, announced, failing and being handed over.

    *healed* and *conflicts* count from the start; *busy* is for how many seconds the kernel has been asked.
    """

    wanted: int
    held: int
    announced: int
    failing: Mapping[Vip, str]
    lingering: int
    healed: int
    conflicts: int
    busy: float


@attrs.define(eq=False)
class Keeper:
    """Holds VIPs from ``run()`` until it is cancelled. Its methods are called from the event loop.

    *linger* is how many seconds a VIP stays after its Lease was released, for a successor that isn't seen.
    *changed* is called with each VIP that begins or ceases to be held and announced here.
    *conflicting* is called when another machine goes on answering for a VIP, *failing* with a VIP and the
    reason why it can't be held.
    """

    _addresses: Addresses
    _links: Links
    _announcers: Mapping[Family, Announcer]
    _timing: Timing
    linger: float
    changed: Callable[[Vip], None] = lambda _vip: None
    conflicting: Callable[[Conflict], None] = lambda _conflict: None
    failing: Callable[[Vip, str], None] = lambda _vip, _reason: None

    _lease_of: dict[Vip, LeaseKey] = attrs.field(factory=dict, init=False)
    _wanted: dict[LeaseKey, set[Vip]] = attrs.field(factory=dict, init=False)
    _terms: dict[LeaseKey, Term] = attrs.field(factory=dict, init=False)
    _held: dict[Vip, Held] = attrs.field(factory=dict, init=False)
    _dirty: set[Vip] = attrs.field(factory=set, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _empty: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _handover: Handover = attrs.field(init=False)
    _clearance: Clearance = attrs.field(init=False)
    _retry: Retry[Vip] = attrs.field(init=False)
    _tidy: set[LeaseKey] = attrs.field(factory=set, init=False)
    _untidy: set[LeaseKey] = attrs.field(factory=set, init=False)
    _lag: float = attrs.field(default=0.0, init=False)
    _healed: int = attrs.field(default=0, init=False)
    _conflicts: int = attrs.field(default=0, init=False)
    _busy_since: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._handover = Handover(self._announcers, self._links.get, self._look_at)
        self._clearance = Clearance(
            self._announcers, self._links.get, self._on_our_links, self._look_at, self._contested
        )
        self._retry = Retry(self._look_at)
        for announcer in self._announcers.values():
            announcer.may_announce = self.may_announce

    # What is wanted

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """Hold *vip* whenever this node leads *lease*."""
        if self._lease_of.get(vip) == lease:
            return
        self.unwant(vip)
        self._lease_of[vip] = lease
        self._wanted.setdefault(lease, set()).add(vip)
        self._look_at((vip,))

    def unwant(self, vip: Vip) -> None:
        """Hold *vip* no more; it is removed at once."""
        lease = self._lease_of.pop(vip, None)
        if lease is None:
            return
        self._wanted[lease].discard(vip)
        self._clearance.forget((vip,))
        self._handover.forget((vip,))
        self._look_at((vip,))

    # What the electors tell

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """A write is on its way by which this node may come to lead *lease*.

        Where its last holder has not said that it goes, somebody may still answer: that is asked meanwhile.
        """
        vips = self._wanted_by(lease)
        if cause is Cause.VACANT:
            self._clearance.grant(vips)
        elif cause is Cause.OURS:
            self._clearance.adopt(vips)
        else:
            self._clearance.seek(vips, Manner.INSIST if cause is Cause.EXPIRED else Manner.YIELD)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """Where this node stands in the election for *lease* now."""
        if standing is Standing.UNKNOWN:
            return
        if lease not in self._tidy and standing is not Standing.VACANT:
            self._tidy.add(lease)
            self._untidy.add(lease)
            self._wake.set()
        if term is not None:
            self._terms[lease] = term
            self._handover.forget(self._wanted_by(lease))
            self._look_at(self._wanted_by(lease))
        else:
            self._stand_back(lease, standing)

    def _stand_back(self, lease: LeaseKey, standing: Standing) -> None:
        led = self._terms.pop(lease, None)
        vips = [vip for vip in self._wanted_by(lease) if vip in self._held]
        # The watch may show a successor before our own release is answered.
        released = standing is Standing.VACANT or (standing is Standing.FOLLOWING and self._handover.expects(vips))
        if led is not None and released:
            self._announce_no_more(vips)
            self._handover.begin(vips, self._now() + self.linger)
        elif standing is Standing.EXPIRED:
            self._handover.forget(vips)
        self._clearance.forget(self._wanted_by(lease))
        self._look_at(self._wanted_by(lease))

    def expect_successor(self, lease: LeaseKey) -> None:
        """Look out for a successor from now on: *lease* is about to be released."""
        self._handover.watch([vip for vip in self._wanted_by(lease) if vip in self._held])

    # What it tells

    def term_of(self, vip: Vip) -> Term | None:
        """Return the term by which *vip* is held and announced here now, or ``None``."""
        held = self._held.get(vip)
        term = self._term(vip)
        return term if held is not None and held.ends is not None and held.announced else None

    def may_announce(self, vip: Vip) -> bool:
        """Tell whether announcing *vip* is still right at this moment."""
        return self._term(vip) is not None and vip in self._held

    async def wait_released(self) -> None:
        """Wait until no VIP is held here."""
        while self._held:
            self._empty.clear()
            await self._empty.wait()

    async def drop_all(self) -> None:
        """Withdraw and remove everything at once, without a successor."""
        held = tuple(self._held)
        self._handover.forget(held)
        self._terms.clear()
        await self._release(held)

    def statistics(self) -> KeeperStatistics:
        """Return a snapshot."""
        announced = sum(1 for vip in self._held if self.term_of(vip) is not None)
        wanted = sum(1 for vip in self._lease_of if self._term(vip) is not None)
        return KeeperStatistics(
            wanted=wanted,
            held=len(self._held),
            announced=announced,
            failing=self._retry.failing(),
            lingering=self._handover.count,
            healed=self._healed,
            conflicts=self._conflicts,
            busy=0.0 if self._busy_since is None else self._now() - self._busy_since,
        )

    def _term(self, vip: Vip) -> Term | None:
        lease = self._lease_of.get(vip)
        term = self._terms.get(lease) if lease is not None else None
        return term if term is not None and self._now() < term.until else None

    # Driving

    async def run(self) -> None:
        """Hold what is to be held, until cancelled."""
        unsubscribe = (self._addresses.subscribe(self._removed), self._links.subscribe(self._link_changed))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._clearance.run)
                tasks.start_soon(self._handover.run)
                tasks.start_soon(self._retry.run)
                tasks.start_soon(Pacer(self._addresses, self._timing, self._paced_families).run)
                for announcer in {id(each): each for each in self._announcers.values()}.values():
                    tasks.start_soon(announcer.run)
                while True:
                    self._busy_since = self._now()
                    await self._reconcile()
                    self._busy_since = None
                    await self._wait()
        finally:
            for end in unsubscribe:
                end()

    async def _reconcile(self) -> None:
        dirty, self._dirty = self._dirty, set()
        led = {vip: term for vip in dirty if (term := self._term(vip)) is not None}
        # What is on our link needs no asking: to remove it for that would be an outage.
        self._clearance.grant(vip for vip in led if vip in self._held and self._held[vip].ends is not None)
        self._clearance.seek(led, Manner.YIELD)
        desired = {vip: term for vip, term in led.items() if self._clearance.has(vip)}
        plan = reconcile.plan(
            dirty,
            desired=desired,
            held=self._held,
            keep=self._handover.lingering(),
            dear={Family.IPV6} if len(self._held) > MANY else (),
            lag=self._lag,
            now=self._now(),
        )
        for vip in dirty:
            if vip not in self._held and self._term(vip) is None:
                # There is nothing left that could fail.
                self._retry.forget(vip)
        await self._release(plan.release)
        if plan.hold:
            await self._hold(plan.hold)
        await self._tidy_up()

    async def _release(self, vips: Collection[Vip]) -> None:
        if not vips:
            return
        for family, announcer in self._announcers.items():
            await announcer.withdraw(vip for vip in vips if vip.family is family)
        before = {vip: self._held.pop(vip) for vip in vips}
        failed = await self._addresses.remove(tuple(vips))
        for vip in vips:
            if vip in failed:
                self._held.setdefault(vip, attrs.evolve(before[vip], announced=False))
            else:
                self._retry.forget(vip)
            self.changed(vip)
        self._log(logging.INFO, "released", [vip for vip in vips if vip not in failed])
        self._fail(failed, "releasing")
        if not self._held:
            self._empty.set()

    async def _hold(self, steps: Sequence[Hold]) -> None:
        """Put addresses and announce them, chunk by chunk: while the kernel has one, the one before is announced."""
        there, here = anyio.create_memory_object_stream[tuple[Sequence[Hold], dict[Vip, Exception]]](1)
        async with anyio.create_task_group() as tasks, here:
            tasks.start_soon(self._put, [steps[at : at + CHUNK] for at in range(0, len(steps), CHUNK)], there)
            async for chunk, failed in here:
                await self._announce([step.vip for step in chunk if step.announce and step.vip not in failed], failed)
                for step in chunk:
                    if step.vip not in failed:
                        self._retry.forget(step.vip)
                self._fail(failed, "holding")

    async def _put(
        self,
        chunks: Sequence[Sequence[Hold]],
        done: MemoryObjectSendStream[tuple[Sequence[Hold], dict[Vip, Exception]]],
    ) -> None:
        async with done:
            for number, chunk in enumerate(chunks):
                failed = self._refuse([step.vip for step in chunk])
                put = [(step.vip, step.lifetime) for step in chunk if step.lifetime is not None]
                put = [(vip, lifetime) for vip, lifetime in put if vip not in failed]
                if put:
                    failed |= await self._put_by(min(step.until for step in chunk), put)
                late = {vip for vip, error in failed.items() if isinstance(error, TooLate)}
                for vip in late:
                    del failed[vip]
                await done.send(([step for step in chunk if step.vip not in late], failed))
                if late:
                    # What comes after it would be later still.
                    self._look_at(step.vip for rest in chunks[number:] for step in rest)
                    return

    async def _put_by(self, not_after: float, vips: Sequence[tuple[Vip, int]]) -> Mapping[Vip, Exception]:
        """Put addresses whose lifetimes have to begin by *not_after*; those that don't are looked at anew at once."""
        asked = self._now()
        failed = await self._addresses.put(vips, not_after=not_after)
        finished = self._now()
        self._lag = finished - asked if finished - asked > NOTICEABLE else 0.0
        for vip, lifetime in vips:
            if vip not in failed:
                known = self._held.get(vip)
                # Where the kernel took so long that the lifetime may be too long, it is to be put again.
                ends = asked + lifetime if finished < not_after else finished
                self._held[vip] = Held(vip, ends, known is not None and known.announced)
        if finished >= not_after:
            self._look_at(vip for vip, _lifetime in vips)
        return failed

    def _refuse(self, vips: Iterable[Vip]) -> dict[Vip, Exception]:
        """Return those of *vips* that are the node's own addresses: removing one would cut the node off."""
        own = {vip: self._links.own(vip.address) for vip in vips}
        return {
            vip: NetworkError(f"{vip} is this node's own address on {interface}; choose another one")
            for vip, interface in own.items()
            if interface is not None
        }

    async def _announce(self, vips: Collection[Vip], failed: dict[Vip, Exception]) -> None:
        # Putting the addresses took time: whoever lost its term meanwhile is released by the next pass.
        still = [vip for vip in vips if self.may_announce(vip)]
        for family, announcer in self._announcers.items():
            failed |= await announcer.announce(vip for vip in still if vip.family is family)
        announced = [vip for vip in still if vip not in failed and vip in self._held]
        for vip in announced:
            self._held[vip] = Held(vip, self._held[vip].ends, announced=True)
            self.changed(vip)
        self._log(logging.INFO, "holding", announced)

    def _announce_no_more(self, vips: Collection[Vip]) -> None:
        for family, announcer in self._announcers.items():
            announcer.pause(vip for vip in vips if vip.family is family)
        for vip in vips:
            self._held[vip] = attrs.evolve(self._held[vip], announced=False)
            self.changed(vip)

    def _paced_families(self) -> set[Family]:
        return {vip.family for vip in self._held if self._term(vip) is not None}

    async def _tidy_up(self) -> None:
        """Remove what another agent left on our links, once per Lease, when it is known who leads."""
        while self._untidy:
            lease = self._untidy.pop()
            vips = self._wanted_by(lease)
            await remove_leftovers(self._addresses, vips, keep=vips if lease in self._terms else ())

    # What happens to it

    def _removed(self, address: IPAddress, interface: str) -> None:
        gone = [vip for vip in self._held if vip.address == address and vip.interface == interface]
        for vip in gone:
            self._held[vip] = attrs.evolve(self._held[vip], ends=None, announced=False)
        taken = [vip for vip in gone if self._term(vip) is not None]
        self._healed += len(taken)
        self._log(logging.WARNING, "putting back what someone else removed", taken)
        self._look_at(gone)

    def _link_changed(self, name: str) -> None:
        vips = [vip for vip in self._lease_of if vip.interface == name]
        for vip in vips:
            if vip in self._held:
                self._held[vip] = attrs.evolve(self._held[vip], ends=None, announced=False)
        if vips:
            log.info("the interface has changed", extra={"interface": name})
        self._look_at(vips)

    def _contested(self, conflicts: Collection[Conflict]) -> None:
        self._conflicts += len(conflicts)
        for conflict in conflicts:
            self.conflicting(conflict)
        for manner in Manner:
            vips = [conflict.vip for conflict in conflicts if conflict.manner is manner]
            macs = ", ".join(sorted({conflict.mac for conflict in conflicts if conflict.manner is manner}))
            doing = "taking" if manner is Manner.INSIST else "not taking"
            self._log(logging.ERROR, doing, vips, mac=macs, reason="another machine answers for it")

    async def _on_our_links(self, vips: Collection[Vip]) -> Collection[Vip]:
        found = await self._addresses.find({vip.address for vip in vips})
        return {presence.vip for presence in found}.intersection(vips)

    def _fail(self, failed: Mapping[Vip, Exception], doing: str) -> None:
        news: dict[str, list[Vip]] = {}
        for vip, error in failed.items():
            if self._retry.after(vip, error):
                news.setdefault(str(error), []).append(vip)
                self.failing(vip, str(error))
        for text, vips in news.items():
            self._log(logging.ERROR, f"failed in {doing}", vips, reason=text)

    def _look_at(self, vips: Iterable[Vip]) -> None:
        self._dirty.update(vips)
        if self._dirty:
            self._wake.set()

    def _wanted_by(self, lease: LeaseKey) -> tuple[Vip, ...]:
        return tuple(self._wanted.get(lease, ()))

    def _log(self, level: int, message: str, vips: Collection[Vip], **extra: str) -> None:
        """Log a line for each VIP, or one for all where they are many: a takeover must not wait for its log."""
        if len(vips) > LOG_EACH:
            some = ", ".join(map(str, itertools.islice(vips, 3)))
            log.log(level, "%s %d addresses", message, len(vips), extra={"vip": f"{some}, ...", **extra})
            return
        for vip in vips:
            lease = str(self._lease_of.get(vip, ""))
            described = {"vip": str(vip), "interface": vip.interface, "lease": lease}
            log.log(level, "%s the address", message, extra={**described, **extra})

    async def _wait(self) -> None:
        """Wait until there is something to look at, at the latest until the first term ends."""
        until = min((term.until for term in self._terms.values()), default=math.inf)
        with anyio.move_on_after(until - self._now()) as scope:
            await self._wake.wait()
        self._wake.clear()
        if scope.cancelled_caught:
            now = self._now()
            for lease in [lease for lease, term in self._terms.items() if term.until <= now]:
                self.standing(lease, Standing.EXPIRED, None)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
