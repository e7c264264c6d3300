"""Whole agents that spread Services, in virtual time: a fleet, and what it holds."""

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from kubevip.config import Settings
from kubevip.lease import Timing
from kubevip.model import IPAddress, LeaseKey
from kubevip.testing.process import Clock
from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.evidence import tenures
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.scenario import Scenario, names
from kubevip.testing.simulation.server import ApiServer, Request
from kubevip.testing.simulation.simulation import Run, Simulation
from kubevip.testing.simulation.weather import Weather
from kubevip.testing.simulation.world import ServicePlan, World
from kubevip.testing.virtual import run_virtual
from tests.waiting import until

FIRST = ipaddress.ip_address("10.0.1.0")
QUICK = Timing(duration=5, renew_deadline=3, retry_period=1)
# Two may hold an address for so long: in a handover, and where a kernel is late or frames get lost.
HANDOVER, STRUCK = 0.05, 0.375


@attrs.frozen(kw_only=True)
class SpreadScenario(Scenario):
    """A scenario in spread mode. Which Lease governs an address changes, so its judges are others."""

    @property
    def governing(self) -> dict[IPAddress, LeaseKey]:
        return {}

    def settings(self, node: str, *known: Any) -> Settings:
        found = super().settings(node, *known)
        return attrs.evolve(found, services=attrs.evolve(found.services, placement="spread"))


@attrs.define(eq=False)
class SpreadSimulation(Simulation):
    """A run in which each address has to have one holder in the end."""

    def build(self, tasks: asyncio.TaskGroup) -> World:
        return self._build(tasks)

    def _complaints(self, world: World) -> list[str]:
        found = super()._complaints(world)
        return found + [f"{address} is held by {on}" for address, on in holders(world).items() if len(on) != 1]


def plans(count: int) -> tuple[ServicePlan, ...]:
    return tuple(ServicePlan(name=f"s{number}", addresses=(FIRST + number,)) for number in range(count))


def scenario(
    nodes: int,
    services: tuple[ServicePlan, ...],
    *faults: Fault,
    seed: int = 1,
    timing: Timing = QUICK,
    clocks: tuple[Clock, ...] = (),
) -> SpreadScenario:
    return SpreadScenario(
        seed=seed,
        timing=timing,
        linger=3.0,
        clocks=clocks or tuple(Clock() for _ in range(nodes)),
        control_plane=(),
        services=services,
        callers=(),
        faults=faults,
    )


def holders(world: World) -> dict[IPAddress, list[str]]:
    """Return which nodes have each address on a link."""
    return {
        address: [name for name, node in world.nodes.items() if node.machine.addresses.has(address)]
        for plan in world.services.values()
        for address in plan.addresses
    }


def loads(world: World) -> Counter[str]:
    return Counter(name for on in holders(world).values() for name in on)


async def settled(world: World, within: float, *, without: str = "") -> float:
    """Wait until each address has one holder, none of them *without*; return how long that took."""
    began = asyncio.get_running_loop().time()
    await until(lambda: all(len(on) == 1 and on != [without] for on in holders(world).values()), within)
    return asyncio.get_running_loop().time() - began


def in_fleet(found: SpreadScenario, story: Callable[[World], Awaitable[None]]) -> None:
    """Create the Services, start all nodes, and let *story* happen."""

    async def live() -> None:
        async with asyncio.TaskGroup() as tasks:
            world = SpreadSimulation(found, patience=0).build(tasks)
            for plan in found.services:
                world.create_service(plan.name)
            for name in names(len(found.clocks)):
                world.nodes[name].start()
            try:
                await story(world)
            finally:
                for node in world.nodes.values():
                    await node.bury()

    run_virtual(live, seed=found.seed)


def counting(counted: Counter[str]) -> Callable[[ApiServer, Request], object]:
    """Return an ``ApiServer.answer`` that counts requests by method and kind."""
    answer = ApiServer.answer

    def count(server: ApiServer, request: Request) -> object:
        kind = next((kind for kind in ("leases", "services", "endpointslices") if f"/{kind}" in request.path), "other")
        counted[f"{request.method} {kind}"] += 1
        return answer(server, request)

    return count


def overlaps(run: Run) -> list[str]:
    """Return where two held an address for longer than they may."""
    found = []
    held = tenures(list(run.chronicle.all(Moved)), run.end)
    weather = Weather(run.scenario.faults)
    for number, later in enumerate(held):
        for earlier in held[:number]:
            both = (earlier.node, later.node)
            if earlier.address != later.address or earlier.node == later.node:
                continue
            allowed = HANDOVER
            if not weather.carries(both, later.start - 2, later.start + 3):
                allowed = run.scenario.timing.duration + STRUCK
            elif weather.striking(both, later.start - 2, later.start + 0.1):
                allowed = STRUCK
            if earlier.overlap(later) > allowed:
                found.append(f"at {later.start:.3f} s {both} hold {later.address} for {earlier.overlap(later):.3f} s")
    return found


def chance(seed: int) -> random.Random:
    return random.Random(f"spread {seed}")
