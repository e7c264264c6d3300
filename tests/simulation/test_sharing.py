"""Scenarios in spread mode: what seeds draw, what the judges see, and that no seed of a shard breaks a promise."""

import functools
import ipaddress
import subprocess
import sys

import attrs
import pytest

from kubevip.custody import Holder
from kubevip.model import IPAddress
from kubevip.testing.simulation.chronicle import Chronicle
from kubevip.testing.simulation.custodies import Custodies
from kubevip.testing.simulation.faults_node import Crash
from kubevip.testing.simulation.faults_spread import Errand, PassOn, Rebalance, RecordGone, ServiceChanged
from kubevip.testing.simulation.recording import Evened, Recorded, Termed
from kubevip.testing.simulation.scenario import Choice, Scenario, draw
from kubevip.testing.simulation.verdict import judge

SPREAD = Choice(kind="spread")
ADDRESS, OTHER = ipaddress.ip_address("10.0.0.120"), ipaddress.ip_address("10.0.0.121")


@functools.cache
def drawn() -> list[Scenario]:
    return [draw(seed, SPREAD) for seed in range(60)]


@functools.cache
def simple() -> Scenario:
    """Three nodes that are alike, Services that may be anywhere, and no control plane."""
    found = next(
        scenario
        for scenario in (draw(seed, attrs.evolve(SPREAD, nodes=3)) for seed in range(200))
        if scenario.manners.simple and not scenario.manners.weights and len(scenario.services) == 4
    )
    return attrs.evolve(found, control_plane=(), latency=0.005, failover="off", on_api_loss="fence")


# What is drawn


def test_seeds_draw_nodes_and_services_of_all_sorts() -> None:
    manners = [scenario.manners for scenario in drawn()]
    services = [service for scenario in drawn() for service in scenario.services]
    assert {len(scenario.clocks) for scenario in drawn()} == {3, 4, 5, 6}
    assert {len(service.addresses) for service in services} == {1, 2}
    assert {service.local for service in services} == {True, False}
    assert {service.group for service in services} == {"", "db"}
    assert {service.zone for service in services} == {"", "a", "b"}
    assert any(each.weights for each in manners)
    assert any(each.zones for each in manners)
    assert any(each.narrow for each in manners)
    assert any(len(scenario.shared) < sum(len(each.addresses) for each in scenario.services) for scenario in drawn())
    assert any(isinstance(fault, Errand) for scenario in drawn() for fault in scenario.faults)


def test_some_seeds_of_any_kind_spread_services() -> None:
    kinds = [draw(seed).manners for seed in range(100)]
    assert 5 <= len([each for each in kinds if each.kind == "spread"]) <= 20
    mixed = [draw(seed, Choice(kind="mixed")) for seed in range(40)]
    spread = [scenario for scenario in mixed if scenario.manners.spread]
    assert spread
    assert all(scenario.control_plane and scenario.shared for scenario in spread)


def test_agents_are_told_what_was_drawn() -> None:
    scenario = next(scenario for scenario in drawn() if scenario.manners.weights and scenario.manners.zones)
    for number, node in enumerate(scenario.nodes):
        told = scenario.settings(node).services
        assert (told.placement, told.weight, told.zone) == (
            "spread",
            scenario.manners.weights[number],
            scenario.manners.zones[number],
        )


# What follows from records


def recorded(time: float, writer: str, addresses: tuple[IPAddress, ...], *held: Holder, of: str = "s0") -> Recorded:
    return Recorded(time, writer, time, of, addresses, tuple((ADDRESS, each) for each in held))


def custodies(*events: Recorded | Termed) -> Custodies:
    chronicle = Chronicle()
    for event in events:
        chronicle.add(event)
    return Custodies.of(chronicle)


def test_an_address_is_whose_the_record_says_until_another_one_is_written() -> None:
    found = custodies(
        recorded(1.0, "n1", (ADDRESS,), Holder("n1", "t1")),
        recorded(2.0, "n1", (ADDRESS,), Holder("n1", "t1")),
        recorded(3.0, "n1", (ADDRESS,), Holder("n2", "t2", "n1", 1)),
    ).of_address(ADDRESS)
    assert [(each.node, each.start, each.end, each.given) for each in found] == [
        ("n1", 1.0, 3.0, True),
        ("n2", 3.0, float("inf"), False),
    ]


def test_of_several_records_the_one_with_the_highest_turn_counts() -> None:
    found = custodies(
        recorded(1.0, "n1", (ADDRESS,), Holder("n1", "t1", turn=1)),
        recorded(2.0, "n2", (ADDRESS,), Holder("n2", "t2", turn=0), of="another"),
    ).of_address(ADDRESS)
    assert [each.node for each in found] == ["n1"]


def test_an_address_that_no_service_uses_any_more_has_not_moved_when_it_is_elsewhere_later() -> None:
    found = custodies(
        recorded(1.0, "n1", (ADDRESS,), Holder("n1", "t1")),
        recorded(2.0, "", (OTHER,)),
        recorded(3.0, "n2", (ADDRESS,), Holder("n2", "t2")),
    )
    assert list(found.moves()) == []


def test_a_term_is_over_when_its_lease_says_another_one_or_names_nobody() -> None:
    found = custodies(
        Termed(1.0, "n1", 1.0, "n1", "n1", "t1", False),
        Termed(2.0, "n2", 2.0, "n1", "", "t1", False),
        Termed(3.0, "n1", 3.0, "n1", "n1", "t2", False),
    )
    assert [found.is_over("n1", "t1", time) for time in (1.5, 2.5, 3.5)] == [False, True, True]
    assert found.release("n1", "t1", 9.0) is None


# What is seen in a run


def test_a_rebalance_brings_a_node_that_is_back_its_share_by_the_fewest_moves() -> None:
    faults = (Crash(start=10.0, duration=30.0, nodes=("n1",)), Rebalance(start=150.0, duration=16.0))
    run, violations = judge(attrs.evolve(simple(), faults=faults))
    assert violations == [], "\n".join(map(str, violations))
    (evened,) = run.chronicle.all(Evened)
    assert (evened.stuck, evened.left) == (0, 0)


def test_who_asks_for_an_address_to_go_to_a_node_gets_it() -> None:
    address = simple().services[0].addresses[0]
    faults = tuple(
        PassOn(start=60.0 + 30 * number, duration=16.0, address=address, to=node)
        for number, node in enumerate(simple().nodes)
    )
    run, violations = judge(attrs.evolve(simple(), faults=faults))
    assert violations == [], "\n".join(map(str, violations))
    last = Custodies.of(run.chronicle).of_address(address)[-1]
    assert last.node == simple().nodes[-1]


def test_what_people_do_to_services_and_records_is_survived() -> None:
    plan = simple().services[0]
    changed = attrs.evolve(plan, addresses=(ipaddress.ip_address("10.0.0.200"),))
    faults = (
        RecordGone(start=10.0, duration=0.0, services=tuple(each.name for each in simple().services)),
        ServiceChanged(start=30.0, duration=9.0, services=(plan.name,), plan=changed),
        RecordGone(start=60.0, duration=0.0, services=tuple(each.name for each in simple().services), old=True),
    )
    _run, violations = judge(attrs.evolve(simple(), faults=faults))
    assert violations == [], "\n".join(map(str, violations))


# A shard of the seeds


@pytest.mark.timeout(300)
def test_no_seed_of_the_shard_breaks_a_promise() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kubevip.testing.simulation", "--kind", "spread", "--count", "8"],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "8 seeds from 0 on, 0 broke a promise" in done.stdout
