"""Whole agents that spread Services, in virtual time: a fleet, what happens in it, and what it holds then."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable

from kubevip.lease import Timing
from kubevip.model import IPAddress
from kubevip.testing.process import Clock
from kubevip.testing.simulation.manners import SPREAD, Manners
from kubevip.testing.simulation.scenario import Scenario, names
from kubevip.testing.simulation.server import Answer, ApiServer, Request
from kubevip.testing.simulation.simulation import Simulation
from kubevip.testing.simulation.world import ServicePlan, World
from kubevip.testing.virtual import run_virtual
from tests.waiting import until

FIRST = ipaddress.ip_address("10.0.1.0")
QUICK = Timing(duration=5, renew_deadline=3, retry_period=1)


def plans(count: int) -> tuple[ServicePlan, ...]:
    return tuple(ServicePlan(name=f"s{number}", addresses=(FIRST + number,)) for number in range(count))


def scenario(
    nodes: int,
    services: tuple[ServicePlan, ...],
    *,
    timing: Timing = QUICK,
    linger: float = 3.0,
    latency: float = 0.005,
) -> Scenario:
    return Scenario(
        seed=1,
        timing=timing,
        linger=linger,
        latency=latency,
        manners=Manners(kind=SPREAD, spread=True),
        clocks=tuple(Clock() for _ in range(nodes)),
        control_plane=(),
        services=services,
        callers=(),
        faults=(),
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


def in_fleet(found: Scenario, story: Callable[[World], Awaitable[None]]) -> None:
    """Create the Services, start all nodes, and let *story* happen."""

    async def live() -> None:
        async with asyncio.TaskGroup() as tasks:
            world = Simulation(found, patience=0).build(tasks)
            world.create_nodes()
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


def counting(counted: Counter[str]) -> Callable[[ApiServer, Request], Answer]:
    """Return an ``ApiServer.answer`` that counts requests by method and kind."""
    answer = ApiServer.answer

    def count(server: ApiServer, request: Request) -> Answer:
        kind = next((kind for kind in ("leases", "services", "endpointslices") if f"/{kind}" in request.path), "other")
        counted[f"{request.method} {kind}"] += 1
        return answer(server, request)

    return count
