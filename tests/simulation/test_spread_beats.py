"""Whole agents that spread Services and send heartbeats: how soon a lost node's addresses answer elsewhere."""

import anyio
import attrs

from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.evidence import tenures
from kubevip.testing.simulation.faults_api import ApiCut
from kubevip.testing.simulation.faults_node import PowerOff
from kubevip.testing.simulation.faults_segment import Cut
from kubevip.testing.simulation.scenario import Scenario
from kubevip.testing.simulation.world import ServicePlan, World
from tests.simulation.spread import QUICK, holders, in_fleet, plans, scenario, settled
from tests.waiting import until

# In seconds: three heartbeats of 100 ms, and what asking, two writes and the watches take.
SOON = 0.6


def fast(nodes: int, services: tuple[ServicePlan, ...], *, seed: int = 1, latency: float = 0.005) -> Scenario:
    return attrs.evolve(scenario(nodes, services, latency=latency), failover="fast", seed=seed)


def doubled(world: World) -> float:
    """Return for how long two had one address, at most."""
    held = tenures(list(world.chronicle.all(Moved)), universal_time())
    pairs = [(one, two) for one in held for two in held if one.node < two.node and one.address == two.address]
    return max((one.overlap(two) for one, two in pairs if one.overlap(two) > 0), default=0.0)


async def ready(world: World) -> None:
    await settled(world, 3)
    await anyio.sleep(3)


def power_off(seed: int) -> float:
    """Return after how many seconds all addresses of a node that lost its power are at others."""
    found: list[float] = []

    async def story(world: World) -> None:
        await ready(world)
        await anyio.sleep(0.137 * seed)
        before = holders(world)
        PowerOff(start=0, duration=1, nodes=("n1",)).strike(world)
        found.append(await settled(world, 3, without="n1"))
        after = holders(world)
        assert all(on == before[address] for address, on in after.items() if before[address] != ["n1"])
        assert doubled(world) == 0

    in_fleet(fast(4, plans(40), seed=seed), story)
    return found[0]


def test_addresses_of_a_node_without_power_answer_elsewhere_in_well_under_a_second() -> None:
    took = [power_off(seed) for seed in range(5)]
    assert max(took) < SOON


def test_agent_that_is_killed_alone_keeps_its_addresses_until_its_kernel_lets_them_go() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = holders(world)
        world.nodes["n1"].kill()
        await anyio.sleep(0.1)
        assert holders(world) == before
        gone = anyio.current_time()
        while any("n1" in on for on in holders(world).values()):
            assert not any(len(on) > 1 for on in holders(world).values())
            await anyio.sleep(0.01)
            gone = anyio.current_time()
        await settled(world, 3, without="n1")
        assert anyio.current_time() - gone < 0.4
        assert doubled(world) == 0

    in_fleet(fast(4, plans(20)), story)


def test_node_that_is_cut_off_from_everything_has_nothing_before_others_may_meet_it() -> None:
    async def story(world: World) -> None:
        await ready(world)
        nodes = ("n1",)
        for fault in (Cut(start=0, duration=1, nodes=nodes), ApiCut(start=0, duration=1, nodes=nodes)):
            fault.strike(world)
        began = anyio.current_time()
        await until(lambda: not any("n1" in on for on in holders(world).values()), 0.7)
        await settled(world, 3, without="n1")
        assert anyio.current_time() - began < 1

    in_fleet(fast(4, plans(20)), story)


def test_node_that_others_do_not_hear_and_that_still_answers_is_not_hurried() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = holders(world)
        world.nodes["n1"].stall()
        await anyio.sleep(1)
        assert holders(world) == before
        world.nodes["n1"].resume()
        await anyio.sleep(10)
        assert holders(world) == before

    in_fleet(fast(3, plans(12)), story)


def test_node_that_reaches_the_api_server_and_is_cut_off_from_the_segment_stops_within_an_event() -> None:
    async def story(world: World) -> None:
        await ready(world)
        Cut(start=0, duration=1, nodes=("n1",)).strike(world)
        assert await settled(world, 3, without="n1") < SOON
        assert doubled(world) == 0

    in_fleet(fast(4, plans(20)), story)


def test_two_nodes_without_a_witness_wait_for_the_lease() -> None:
    async def story(world: World) -> None:
        await ready(world)
        PowerOff(start=0, duration=1, nodes=("n1",)).strike(world)
        assert QUICK.duration - 2 < await settled(world, 8, without="n1") < QUICK.duration + 1
        assert doubled(world) == 0

    in_fleet(fast(2, plans(10)), story)


def test_two_nodes_of_four_that_lose_their_power_at_once_are_both_succeeded() -> None:
    async def story(world: World) -> None:
        await ready(world)
        PowerOff(start=0, duration=1, nodes=("n1", "n2")).strike(world)

        def there() -> bool:
            return all(on in (["n3"], ["n4"]) for on in holders(world).values())

        await until(there, 2)
        assert doubled(world) == 0

    in_fleet(fast(4, plans(40)), story)


def test_node_sends_one_heartbeat_an_interval_whatever_the_number_of_addresses() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = sent(world)
        await anyio.sleep(10)
        assert all(99 <= after - before[name] <= 101 for name, after in sent(world).items())

    for count in (1, 100):
        in_fleet(fast(3, plans(count)), story)


def sent(world: World) -> dict[str, int]:
    found = {}
    for name, node in world.nodes.items():
        known = node.statistics()
        assert known is not None
        found[name] = sum(pulse.sent for pulse in known.pulses.values())
    return found


def test_node_that_is_cut_off_from_the_segment_alone_takes_nothing_while_it_lasts() -> None:
    async def story(world: World) -> None:
        await ready(world)
        once = [address for address, on in holders(world).items() if on == ["n1"]]
        fault = Cut(start=0, duration=1, nodes=("n1",))
        fault.strike(world)
        await settled(world, 3, without="n1")
        # As new ones they would be n1's again.
        for name in [plan.name for plan in world.services.values() if set(plan.addresses) & set(once)]:
            world.delete_service(name)
            await anyio.sleep(1)
            world.create_service(name)
        for _look in range(100):
            await anyio.sleep(0.1)
            assert not any("n1" in on for on in holders(world).values())
        before = holders(world)
        assert all(len(on) == 1 for on in before.values())
        fault.heal(world)
        await anyio.sleep(10)
        assert holders(world) == before

    in_fleet(fast(4, plans(20)), story)
