"""Scenarios of spread mode whose machines have two interfaces: what is drawn, and what strikes one link alone."""

from ipaddress import ip_address

import anyio
import attrs
import pytest

from kubevip.testing import virtual
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_node import LinkDown, OnlyLinkDown, PowerOff
from kubevip.testing.simulation.faults_segment import BadSegment, Cut
from kubevip.testing.simulation.scenario import Choice, Scenario, draw, names
from kubevip.testing.simulation.segments import LINKS, on_second, segment_of
from kubevip.testing.simulation.simulation import Simulation
from kubevip.testing.simulation.world import ServicePlan, World
from tests.simulation.spread import in_fleet, scenario, settled

CHOICE = Choice(kind="spread")
DRAWN = [draw(seed, CHOICE) for seed in range(200)]
WIDE = [found for found in DRAWN if found.manners.wide]
WHEN = {"start": 0.0, "duration": 1.0}
ON_EITHER = (
    ServicePlan(name="s0", addresses=(ip_address("10.0.0.120"),)),
    ServicePlan(name="s1", addresses=(ip_address("10.0.1.121"),)),
    ServicePlan(name="s2", addresses=(ip_address("10.0.0.122"), ip_address("fd01::122"))),
    ServicePlan(name="s3", addresses=(ip_address("10.0.1.123"),), interface="eth1"),
)


def wide(nodes: int, services: tuple[ServicePlan, ...] = ON_EITHER, *, failover: str = "fast") -> Scenario:
    found = scenario(nodes, services)
    return attrs.evolve(found, failover=failover, manners=attrs.evolve(found.manners, wide=names(nodes)))


def test_about_a_third_has_two_interfaces() -> None:
    assert 50 < len(WIDE) < 85


def test_where_there_is_one_interface_all_addresses_are_of_it_and_nothing_strikes_another_one() -> None:
    narrow = [found for found in DRAWN if not found.manners.wide]
    assert {segment_of(address) for found in narrow for address in found.shared} == {"eth0"}
    assert not any(fault.links for found in narrow for fault in found.faults)


def test_services_have_addresses_on_either_and_on_both() -> None:
    places = [frozenset(map(segment_of, plan.addresses)) for found in WIDE for plan in found.services]
    assert set(places) == {frozenset({"eth0"}), frozenset({"eth1"}), frozenset(LINKS)}


def test_each_link_is_struck_in_all_ways() -> None:
    struck = {(type(fault).__name__, fault.links) for found in WIDE for fault in found.faults}
    kinds = ("LinkDown", "OnlyLinkDown", "Cut", "BadSegment")
    assert {(kind, (link,)) for kind in kinds for link in LINKS} <= struck


def test_some_links_are_down_for_moments_and_some_for_long() -> None:
    lengths = [fault.duration for found in WIDE for fault in found.faults if fault.links]
    assert min(lengths) < 0.05
    assert max(lengths) > 8


def test_the_number_of_an_address_stays_on_the_other_segment() -> None:
    moved = [str(on_second(ip_address(text))) for text in ("10.0.0.120", "fd00::120")]
    assert moved == ["10.0.1.120", "fd01::120"]
    assert [segment_of(ip_address(text)) for text in moved] == ["eth1", "eth1"]


def condition(of: World) -> list[object]:
    found: list[object] = []
    for switch in of.segments.switches.values():
        found += [switch.loss, switch.doubling, switch.delay, +switch._blocked]
    for node in of.nodes.values():
        links = node.machine.links
        found += [{name: links.get(name).up for name in node.machine.interfaces_on_segments}]
        found += [node.machine.links.networks(), attrs.asdict(node.line.conditions)]
    return found


@pytest.mark.parametrize(
    "fault",
    [
        BadSegment(**WHEN, loss=1.0, links=("eth1",)),
        Cut(**WHEN, nodes=("n1",), links=("eth1",)),
        LinkDown(**WHEN, nodes=("n1",), links=("eth1",)),
        OnlyLinkDown(**WHEN, nodes=("n1",), links=("eth0",)),
        LinkDown(**WHEN, nodes=("n1",)),
    ],
    ids=str,
)
def test_a_fault_of_one_link_leaves_nothing(fault: Fault) -> None:
    @virtual
    async def strike() -> None:
        struck = Simulation(wide(3), 0.0).build(None)
        before = condition(struck)
        fault.strike(struck)
        assert condition(struck) != before
        fault.heal(struck)
        assert list(map(str, condition(struck))) == list(map(str, before))

    strike()


def test_power_is_lost_and_back_on_both_links() -> None:
    @virtual
    async def strike() -> None:
        struck = Simulation(wide(3), 0.0).build(None)
        machine = struck.nodes["n1"].machine
        networks = machine.links.networks()
        machine.lose_power()
        assert machine.interfaces_on_segments == []
        machine.get_power()
        assert machine.links.networks() == networks

    strike()


def test_faults_of_different_links_may_meet_and_those_of_all_links_may_not() -> None:
    one, other = (LinkDown(**WHEN, nodes=("n1",), links=(link,)) for link in LINKS)
    both, power = LinkDown(**WHEN, nodes=("n1",)), PowerOff(**WHEN, nodes=("n1",))
    assert not one.slots & other.slots
    assert all(each.slots & one.slots and each.slots & other.slots for each in (both, power))


def test_only_frames_on_its_own_link_are_lost_by_a_fault_of_that() -> None:
    fault = Cut(**WHEN, nodes=("n1",), links=("eth1",))
    assert [fault.loses_on(link) for link in LINKS] == [False, True]
    assert [attrs.evolve(fault, links=()).loses_on(link) for link in LINKS] == [True, True]


def test_addresses_are_on_the_links_whose_networks_they_are_of() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        held = [vip for node in world.nodes.values() for vip in node.machine.addresses.present()]
        assert len(held) == 5
        assert all(vip.interface == segment_of(vip.address) for vip in held)

    in_fleet(wide(3), story)


def test_heartbeats_are_sent_on_both_links() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(2)
        before = sent(world)
        await anyio.sleep(10)
        assert 199 <= sent(world) - before <= 201

    in_fleet(wide(3), story)


def sent(world: World) -> int:
    known = world.nodes["n1"].statistics()
    assert known is not None
    return sum(pulse.sent for pulse in known.pulses.values())
