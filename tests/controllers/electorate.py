"""Nodes that elect a holder for each Service, in virtual time: real electors and keepers on a fake segment."""

import asyncio
import contextlib
import ipaddress
import itertools
from collections.abc import AsyncIterator, Iterable

import anyio
import attrs
from kubevip_arp import ArpBackend

from kubevip.claims import Claims
from kubevip.controllers.electing import Electing
from kubevip.controllers.ownership import Ownership
from kubevip.governance import OfPrimary, Rules, own_lease
from kubevip.lease import Timing
from kubevip.model import Family, IPAddress, LeaseKey, ServiceKey, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.clearance import Conflict
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.keeper import Keeper
from kubevip.service import LEASE_NAME, ServiceView
from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, Segment
from kubevip.testing.history import Tenure, tenures

COMMON = LeaseKey("kube-system", "plndr-svcs-lock")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
LINGER = 3.0
# What an event takes from the API server to an address on the link, and more.
SOON = 0.3
X, Y = (ipaddress.ip_address(text) for text in ("10.0.0.101", "10.0.0.102"))


def vip(address: IPAddress) -> Vip:
    return Vip(address, "eth0")


def lease(name: str) -> LeaseKey:
    return own_lease(ServiceKey("shop", name))


@attrs.frozen
class Service:
    """A Service as it is created: *age* orders them, a smaller one is older."""

    name: str
    addresses: tuple[IPAddress, ...]
    age: int = 0
    shared: str = ""

    @property
    def view(self) -> ServiceView:
        annotations = {LEASE_NAME: self.shared} if self.shared else {}
        return ServiceView(
            key=ServiceKey("shop", self.name), annotations=annotations, created=f"2026-01-01T00:00:{self.age:02}Z"
        )


@attrs.define(eq=False)
class Node:
    """One node; it is told of Services by hand."""

    name: str
    segment: Segment
    store: FaultyLeases
    host: FakeHost = attrs.field(init=False)
    keeper: Keeper = attrs.field(init=False)
    electing: Electing = attrs.field(init=False)
    ownership: Ownership = attrs.field(init=False)
    electors: dict[LeaseKey, Elector] = attrs.field(factory=dict)
    conflicts: list[Conflict] = attrs.field(factory=list)
    begun: list[LeaseKey] = attrs.field(factory=list)
    handed_over: list[float] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.host = FakeHost(self.name, self.segment)
        backend = ArpBackend(self.host)
        announcer = Announcer("arp", backend, backend.cadence)
        self.keeper = Keeper(self.host.addresses, self.host.links, {Family.IPV4: announcer}, TIMING, LINGER)
        self.electing = Electing(self.keeper, self, {COMMON}, grace=TIMING.duration)
        governance = OfPrimary(Rules(common=COMMON, every=True))
        claims = Claims(governance)
        governance.served = lambda key, address: vip(address) in claims.of(key)
        self.ownership = Ownership(claims, self.keeper, self.electing)
        self.keeper.conflicting = self.conflicts.append

    # What ``Electing`` wants of it

    def begin(self, lease: LeaseKey, follower: Follower) -> Elector:
        self.begun.append(lease)
        self.electors[lease] = Elector(lease, self.name, TIMING, self.store, follower)
        return self.electors[lease]

    def end(self, lease: LeaseKey) -> None:
        del self.electors[lease]

    def elector(self, lease: LeaseKey) -> Elector | None:
        return self.electors.get(lease)

    # What happens to it

    def learn(self, service: Service, *, here: bool = True) -> None:
        """The Service is there; *here*: this node has an endpoint for it, else only others have one."""
        vips = [vip(address) for address in service.addresses]
        if not here:
            self.handed_over.append(now())
        self.ownership.serve(service.view.key, service.view, vips, vips if here else (), elsewhere=not here)

    def forget(self, service: Service) -> None:
        """The Service is gone."""
        self.ownership.serve(service.view.key, None, (), ())

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.keeper.run)
            tasks.start_soon(self.electing.run)

    # What a test asks

    def has(self, address: IPAddress) -> bool:
        return vip(address) in self.host.addresses.present()

    def leads(self, lease: LeaseKey) -> bool:
        return lease in self.electors and self.electors[lease].term is not None

    def tenures(self) -> list[Tenure]:
        return tenures(self.name, self.host.addresses.changes)


@attrs.define(eq=False)
class Electorate:
    """Nodes on one segment, before one API server."""

    segment: Segment
    leases: MemoryLeases
    nodes: dict[str, Node]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def learn(self, service: Service, *names: str) -> None:
        """Let all nodes, or those of *names*, learn that the Service is there."""
        for name in names or self.nodes:
            self.nodes[name].learn(service)

    def forget(self, service: Service, *names: str) -> None:
        """Let all nodes, or those of *names*, learn that the Service is gone."""
        for name in names or self.nodes:
            self.nodes[name].forget(service)

    def holders(self, address: IPAddress) -> list[str]:
        return [node.name for node in self.nodes.values() if node.has(address)]

    def holder(self, address: IPAddress) -> Node:
        """Return the only node that has *address*."""
        (name,) = self.holders(address)
        return self.nodes[name]

    def others(self, node: Node) -> list[Node]:
        return [each for each in self.nodes.values() if each is not node]

    def tenures(self) -> list[Tenure]:
        return list(itertools.chain.from_iterable(node.tenures() for node in self.nodes.values()))


@contextlib.asynccontextmanager
async def electorate(names: Iterable[str] = "abc", *, latency: float = 0.005) -> AsyncIterator[Electorate]:
    """Run nodes until the context is left."""
    segment, leases = Segment(), MemoryLeases()
    nodes = {name: Node(name, segment, FaultyLeases(leases, latency=latency)) for name in names}
    async with anyio.create_task_group() as tasks:
        for node in nodes.values():
            tasks.start_soon(node.run)
        yield Electorate(segment, leases, nodes)
        tasks.cancel_scope.cancel()


def now() -> float:
    return asyncio.get_running_loop().time()
