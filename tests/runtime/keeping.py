"""A keeper on a simulated machine, whose elections a test decides by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager

import anyio
import attrs
from kubevip_arp import ArpBackend
from kubevip_ndp import NdpBackend

from kubevip.backend import Answer, Backend, Sighting
from kubevip.election import Cause, Standing
from kubevip.lease import Timing
from kubevip.model import Family, IPAddress, LeaseKey, Term, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.clearance import Conflict
from kubevip.runtime.keeper import Keeper
from kubevip.testing import FakeHost, Segment

LEASE, OTHER_LEASE = LeaseKey("kube-system", "lock"), LeaseKey("kube-system", "other")
VIP, VIP2, VIP6 = (Vip.parse(text, interface="eth0") for text in ("10.0.0.99", "10.0.0.98", "fd00::99"))
TIMING = Timing(duration=15, renew_deadline=10, retry_period=2)
# What asking on the wire takes, and a little more.
ASKED = 0.05


def now() -> float:
    return asyncio.get_running_loop().time()


class Noting(Backend):
    """Calls the backend that it stands for, and notes the calls beside what is on the links meanwhile."""

    def __init__(self, inner: Backend, log: list[tuple[str, Vip, bool]], host: FakeHost) -> None:
        super().__init__(host)
        self.inner, self.log, self.machine = inner, log, host
        self.errors: dict[Vip, Exception] = {}

    def note(self, verb: str, vip: Vip) -> None:
        self.log.append((verb, vip, vip in self.machine.addresses.present()))

    async def announce(self, vip: Vip) -> None:
        self.note("announce", vip)
        if vip in self.errors:
            raise self.errors[vip]
        await self.inner.announce(vip)

    async def withdraw(self, vip: Vip) -> None:
        self.note("withdraw", vip)
        await self.inner.withdraw(vip)

    async def probe(self, vip: Vip) -> None:
        self.note("probe", vip)
        await self.inner.probe(vip)

    def sightings(self, interface: str, report: Callable[[Sighting], None]) -> AbstractContextManager[None]:
        return self.inner.sightings(interface, report)

    def claims(
        self, interface: str, addresses: Collection[IPAddress], report: Callable[[Sighting], None]
    ) -> AbstractContextManager[None]:
        return self.inner.claims(interface, addresses, report)

    async def inquire(self, vip: Vip, witness: IPAddress) -> bool:
        self.note("inquire", vip)
        return await self.inner.inquire(vip, witness)

    def answers(self, interface: str, report: Callable[[Answer], None]) -> AbstractContextManager[None]:
        return self.inner.answers(interface, report)


@attrs.define(eq=False)
class Keeping:
    host: FakeHost
    keeper: Keeper
    backends: dict[Family, Noting]
    announcers: dict[Family, Announcer]
    calls: list[tuple[str, Vip, bool]]
    changed: list[tuple[float, Vip, bool]] = attrs.field(factory=list)
    conflicts: list[tuple[float, Conflict]] = attrs.field(factory=list)
    failing: list[tuple[float, Vip, str]] = attrs.field(factory=list)
    token: int = 0

    def lead(self, *, asked: float | None = None, lease: LeaseKey = LEASE, cause: Cause | None = Cause.VACANT) -> Term:
        """Let this node win (or renew, without a *cause*) *lease* by a request sent at *asked*."""
        if cause is not None:
            self.token += 1
            self.keeper.campaigning(lease, cause)
        asked = now() if asked is None else asked
        term = Term(lease, self.host.node, self.token, asked + TIMING.renew_deadline, asked + TIMING.duration)
        self.keeper.standing(lease, Standing.LEADING, term)
        return term

    def renew(self, lease: LeaseKey = LEASE) -> Term:
        return self.lead(lease=lease, cause=None)

    def follow(self, standing: Standing = Standing.FOLLOWING, lease: LeaseKey = LEASE) -> None:
        self.keeper.standing(lease, standing, None)

    def release(self, lease: LeaseKey = LEASE) -> None:
        """Let this node give up *lease* as it does when it is stopped."""
        self.keeper.expect_successor(lease)
        self.follow(Standing.VACANT, lease)

    @property
    def present(self) -> frozenset[Vip]:
        return self.host.addresses.present()

    def announced(self, vip: Vip) -> bool:
        return self.keeper.term_of(vip) is not None

    def verbs(self, vip: Vip) -> list[str]:
        return [verb for verb, called, _present in self.calls if called == vip]


@asynccontextmanager
async def keeping(
    segment: Segment, *wanted: Vip, node: str = "a", linger: float = 3.0, running: bool = True
) -> AsyncIterator[Keeping]:
    """Run a keeper that wants *wanted* by ``LEASE``; *running*: until the context is left."""
    host = FakeHost(node, segment)
    calls: list[tuple[str, Vip, bool]] = []
    backends = {
        Family.IPV4: Noting(ArpBackend(host), calls, host),
        Family.IPV6: Noting(NdpBackend(host), calls, host),
    }
    announcers = {
        family: Announcer(type(each.inner).__name__, each, each.inner.cadence) for family, each in backends.items()
    }
    keeper = Keeper(host.addresses, host.links, announcers, TIMING, linger)
    made = Keeping(host, keeper, backends, announcers, calls)
    keeper.changed = lambda vip: made.changed.append((now(), vip, made.announced(vip)))
    keeper.conflicting = lambda conflict: made.conflicts.append((now(), conflict))
    keeper.failing = lambda vip, reason: made.failing.append((now(), vip, reason))
    for vip in wanted:
        keeper.want(vip, LEASE)
    async with anyio.create_task_group() as tasks:
        if running:
            tasks.start_soon(keeper.run)
        yield made
        tasks.cancel_scope.cancel()
