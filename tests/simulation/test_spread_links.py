"""Whole agents that spread Services and whose links go down and come back: what moves, and how many have what then."""

from collections.abc import Iterable
from ipaddress import ip_address

import anyio
import attrs
import pytest

from kubevip.model import IPAddress
from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.evidence import tenures
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut
from kubevip.testing.simulation.faults_node import LinkDown, OnlyLinkDown
from kubevip.testing.simulation.faults_segment import BadSegment
from kubevip.testing.simulation.segments import LINKS, segment_of
from kubevip.testing.simulation.world import ServicePlan, World
from tests.simulation.spread import holders, in_fleet, plans, settled
from tests.simulation.test_spread_beats import fast, ready
from tests.simulation.test_widening import ON_EITHER, wide
from tests.waiting import until

MANY = tuple(
    attrs.evolve(plan, name=f"{plan.name}-{number}", addresses=tuple(each + number for each in plan.addresses))
    for plan in ON_EITHER
    for number in range(0, 24, 4)
)

FIRST_OF_SECOND = ip_address("10.0.1.120")
# So there are heartbeats on both links.
_ANY = ServicePlan(name="any", addresses=(ip_address("10.0.0.120"),))


def strike(world: World, *faults: Fault) -> None:
    for fault in faults:
        fault.strike(world)


def heal(world: World, *faults: Fault) -> None:
    for fault in faults:
        fault.heal(world)


def both_reached(world: World, since: float) -> float:
    """Return for how long two had one address after *since*, at most."""
    held = tenures(list(world.chronicle.all(Moved)), universal_time())
    pairs = [(one, two) for one in held for two in held if one.node < two.node and one.address == two.address]
    return max((min(one.end, two.end) - max(one.start, two.start, since) for one, two in pairs), default=0.0)


def flap(length: float, seed: int) -> tuple[bool, float]:
    """Let the only link of a node go down; return whether it lost an address by that, and for how long two had one."""
    found: list[tuple[bool, float]] = []

    async def story(world: World) -> None:
        await ready(world)
        await anyio.sleep(0.037 * seed)
        before, fault = holders(world), OnlyLinkDown(start=0, duration=length, nodes=("n1",))
        strike(world, fault)
        await anyio.sleep(length)
        heal(world, fault)
        back = universal_time()
        await anyio.sleep(5)
        assert all(len(on) == 1 for on in holders(world).values())
        found.append((holders(world) != before, both_reached(world, back)))

    in_fleet(fast(4, plans(12), seed=seed), story)
    return found[0]


@pytest.mark.parametrize("length", [0.02, 0.1, 0.2])
def test_a_link_that_is_back_before_others_miss_the_node_moves_nothing(length: float) -> None:
    assert [flap(length, seed) for seed in range(1, 4)] == 3 * [(False, pytest.approx(0.0, abs=1e-9))]


@pytest.mark.parametrize("length", [0.3, 0.35, 0.4, 0.5, 1.0])
def test_when_a_link_is_back_no_two_have_an_address(length: float) -> None:
    assert max(both for _moved, both in (flap(length, seed) for seed in range(3, 7))) <= 0


def test_a_node_with_a_dead_link_leaves_to_others_what_belongs_there_and_keeps_the_rest() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = holders(world)
        assert {segment_of(each) for each in at("n1", before)} == set(LINKS)
        fault = LinkDown(start=0, duration=1, nodes=("n1",), links=("eth1",))
        strike(world, fault)
        await anyio.sleep(2)
        after = holders(world)
        assert {segment_of(each) for each in at("n1", after)} == {"eth0"}
        assert all(len(on) == 1 for on in after.values())
        alone = [address for plan in MANY if not _needs(plan.addresses, "eth1") for address in plan.addresses]
        assert all(after[each] == before[each] for each in alone)
        heal(world, fault)
        await anyio.sleep(10)
        assert holders(world) == after

    for failover in ("fast", "off"):
        in_fleet(wide(4, MANY, failover=failover), story)


def test_a_node_with_a_dead_link_takes_nothing_that_belongs_there() -> None:
    async def story(world: World) -> None:
        await ready(world)
        strike(world, LinkDown(start=0, duration=1, nodes=("n1",), links=("eth1",)))
        await anyio.sleep(2)
        for plan in MANY:
            world.delete_service(plan.name)
        await anyio.sleep(2)
        for plan in MANY:
            world.create_service(plan.name)
        await settled(world, 8)
        assert {segment_of(each) for each in at("n1", holders(world))} <= {"eth0"}

    in_fleet(wide(4, MANY), story)


def test_nothing_moves_when_a_link_is_down_for_a_moment_by_which_the_api_server_is_reached() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = holders(world)
        fault = OnlyLinkDown(start=0, duration=1, nodes=("n1",), links=("eth0",))
        strike(world, fault)
        await anyio.sleep(1)
        heal(world, fault)
        await anyio.sleep(5)
        assert holders(world) == before

    in_fleet(wide(4, MANY), story)


def test_a_node_whose_links_are_all_down_is_heard_again_by_the_first_that_is_back() -> None:
    async def story(world: World) -> None:
        await ready(world)
        await anyio.sleep(0.0371)
        before = holders(world)
        both = [LinkDown(start=0, duration=1, nodes=("n1",), links=(link,)) for link in LINKS]
        away = ApiCut(start=0, duration=1, nodes=("n1",))
        strike(world, away, *both)
        await anyio.sleep(0.15)
        heal(world, both[0])
        await anyio.sleep(0.5)
        assert holders(world) == before
        heal(world, away, both[1])
        await anyio.sleep(5)
        assert holders(world) == before

    in_fleet(wide(4, MANY), story)


def test_a_node_that_hears_nobody_any_more_lets_go_though_one_of_its_links_is_up() -> None:
    async def story(world: World) -> None:
        await ready(world)
        await anyio.sleep(0.0371)
        strike(world, BadSegment(start=0, duration=9, loss=1.0, links=("eth1",)))
        await anyio.sleep(1)
        strike(world, OnlyLinkDown(start=0, duration=9, nodes=("n1",), links=("eth0",)))
        await until(lambda: not at("n1", holders(world)), 0.8)

    in_fleet(wide(4, MANY), story)


def test_who_is_not_on_all_links_of_a_silent_node_does_not_judge_it() -> None:
    async def story(world: World) -> None:
        await ready(world)
        await anyio.sleep(0.0371)
        before = holders(world)
        assert {segment_of(each) for each in at("n2", before)} == {"eth1"}
        fault = OnlyLinkDown(start=0, duration=1, nodes=("n2",), links=("eth0",))
        strike(world, fault)
        await anyio.sleep(0.9)
        heal(world, fault)
        await anyio.sleep(3)
        assert holders(world) == before

    found = wide(3)
    in_fleet(attrs.evolve(found, manners=attrs.evolve(found.manners, wide=("n2", "n3"))), story)


def test_who_has_no_company_on_the_link_of_a_silent_node_does_not_judge_it() -> None:
    async def story(world: World) -> None:
        await ready(world)
        before = holders(world)
        # All that there is belongs on the link on which nobody hears anybody.
        strike(world, BadSegment(start=0, duration=9, loss=1.0, links=("eth1",)))
        await anyio.sleep(1)
        world.nodes[next(node for node in world.nodes if [node] != before[FIRST_OF_SECOND - 256])].stall()
        await anyio.sleep(1.5)
        assert holders(world) == before

    both = (
        ServicePlan(name=f"s{number}", addresses=(FIRST_OF_SECOND + number,)) if number else _ANY for number in range(9)
    )
    in_fleet(wide(4, tuple(both)), story)


def at(node: str, held: dict[IPAddress, list[str]]) -> list[IPAddress]:
    return [address for address, on in held.items() if on == [node]]


def _needs(addresses: Iterable[IPAddress], link: str) -> bool:
    return any(segment_of(address) == link for address in addresses)
