"""Services come and go in any order, and nodes see it at different times: never two holders, in the end exactly one.

A failure names its seed; the same seed is the same run.
"""

import asyncio
import random

import anyio
import attrs
import pytest

from kubevip.governance import OfPrimary, Rules
from kubevip.testing import overlaps, run_virtual
from tests.controllers.electorate import COMMON, LINGER, TIMING, Electorate, Node, Service, X, Y, electorate, now, vip

CHANGES = 20
NAMES = ("web", "dns", "mail")
# How late a node may learn of a change, in seconds; seldom it is for long.
LAGS = (0.0, 0.01, 0.05, 0.3, 0.3, 2.0)


@attrs.define(eq=False)
class Life:
    """What happens to the Services, and how each node learns of it: in order, and late."""

    chance: random.Random
    nodes: Electorate
    local: bool
    known: dict[str, Service] = attrs.field(factory=dict)
    served: dict[str, set[str]] = attrs.field(factory=dict)
    queues: dict[str, "asyncio.Queue[tuple[float, Service, bool, bool]]"] = attrs.field(factory=dict)

    async def deliver(self, node: Node) -> None:
        queue = self.queues[node.name]
        while True:
            due, service, there, here = await queue.get()
            await anyio.sleep_until(due)
            if there:
                node.learn(service, here=here)
            else:
                node.forget(service)

    def tell(self, service: Service, there: bool) -> None:
        for name, queue in self.queues.items():
            here = not self.local or name in self.served.get(service.name, set())
            queue.put_nowait((now() + self.chance.choice(LAGS) * self.chance.random(), service, there, here))

    def change(self) -> None:
        name = self.chance.choice(NAMES)
        if name in self.known and self.chance.random() < 0.4:
            self.tell(self.known.pop(name), False)
            return
        addresses = tuple(address for address in (X, Y) if self.chance.random() < 0.7)
        shared = "ours" if not self.local and self.chance.random() < 0.3 else ""
        age = self.known[name].age if name in self.known else self.chance.randrange(60)
        self.known[name] = Service(name, addresses, age, shared)
        # A Service with one local endpoint at least, on whichever node.
        self.served[name] = {self.chance.choice("abc")} | {node for node in "abc" if self.chance.random() < 0.5}
        self.tell(self.known[name], True)

    def expected(self) -> OfPrimary:
        governance = OfPrimary(Rules(common=COMMON, every=True))
        for service in self.known.values():
            governance.asks(service.view.key, service.view, [vip(each) for each in service.addresses])
        return governance


async def live(seed: int, local: bool) -> Electorate:
    chance = random.Random(seed)
    async with electorate(latency=chance.choice((0.001, 0.01, 0.05))) as nodes, anyio.create_task_group() as tasks:
        life = Life(chance, nodes, local, queues={name: asyncio.Queue() for name in nodes.nodes})
        for node in nodes.nodes.values():
            node.store.lag = chance.choice((0.0, 0.02, 0.2))
            tasks.start_soon(life.deliver, node)
        for _change in range(CHANGES):
            life.change()
            await anyio.sleep(chance.choice((0.0, 0.02, 0.5, 3.0)) * chance.random())
        await anyio.sleep(4 * TIMING.duration)
        judge(seed, life)
        tasks.cancel_scope.cancel()
    return nodes


def judge(seed: int, life: Life) -> None:
    """Each address that is asked for is with the holder of its Lease, and with nobody else."""
    governance, nodes = life.expected(), life.nodes
    for address in (X, Y):
        lease = governance.lease(address)
        expected = [nodes.leases.holder(lease)] if lease is not None else []
        assert nodes.holders(address) == expected, f"seed {seed}: {address} by {lease}, {life.known}"
    needed = {governance.lease(address) for address in (X, Y)} - {None}
    for node in nodes.nodes.values():
        assert set(node.electors) <= needed, f"seed {seed}: {node.name} campaigns for what nobody needs"


def doubles(nodes: Electorate) -> list[str]:
    """Say when two nodes had an address, but for planned handovers."""
    planned = [began for node in nodes.nodes.values() for began in node.handed_over]
    return [
        f"{earlier} and {later}"
        for earlier, later in overlaps(nodes.tenures())
        if not any(began <= later.start <= began + LINGER + 1 for began in planned)
    ]


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_whoever_learns_what_when_two_never_hold_an_address(first: int) -> None:
    for seed in range(first, first + 8):
        assert doubles(run_virtual(live, seed, False, seed=seed)) == [], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, 16, 8))
def test_with_local_endpoints_only_handovers_overlap(first: int) -> None:
    for seed in range(first, first + 8):
        assert doubles(run_virtual(live, seed, True, seed=seed)) == [], f"seed {seed}"


def test_the_same_seed_is_the_same_life() -> None:
    one, other = (run_virtual(live, 7, False, seed=7) for _time in range(2))
    assert one.tenures() == other.tenures()
    assert one.leases.written == other.leases.written
