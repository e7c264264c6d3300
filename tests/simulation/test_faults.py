"""Faults: each leaves things as they were, tells what it is, and is drawn where it may strike."""

import functools
import random
from collections import Counter
from ipaddress import ip_address

import attrs
import pytest

from kubevip.testing import virtual
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut, ApiErring, ApiRefusing, ApiSlow
from kubevip.testing.simulation.faults_fitness import CardRefuses, CheckFails, Cordoned
from kubevip.testing.simulation.faults_node import LinkDown, OnlyLinkDown, PowerOff, RefusingKernel, SlowKernel, Stall
from kubevip.testing.simulation.faults_segment import BadSegment, Cut
from kubevip.testing.simulation.faults_strangers import Claimed, WitnessesCut, WitnessesOff
from kubevip.testing.simulation.manners import KINDS, SPREAD
from kubevip.testing.simulation.scenario import Choice, draw
from kubevip.testing.simulation.server import NODES as NODES_STORED
from kubevip.testing.simulation.simulation import Simulation
from kubevip.testing.simulation.troubles import draw_faults
from kubevip.testing.simulation.world import World

NODES = ("n1", "n2", "n3")
WHEN = {"start": 1.0, "duration": 2.0}
PASSING = [
    ApiCut(**WHEN, nodes=NODES[:2]),
    ApiCut(**WHEN, nodes=NODES[:2], replies=False),
    ApiErring(**WHEN, nodes=NODES, erring=0.3, status=429, losing=0.2, doubling=0.1),
    ApiRefusing(**WHEN, nodes=NODES),
    ApiSlow(**WHEN, nodes=NODES, latency=2.0, lag=4.0),
    BadSegment(**WHEN, loss=0.5, doubling=0.2, delay=0.02),
    Cut(**WHEN, nodes=("n1",)),
    Cut(**WHEN, nodes=("n1", "n2"), heard=True),
    LinkDown(**WHEN, nodes=("n1",)),
    OnlyLinkDown(**WHEN, nodes=("n1",)),
    RefusingKernel(**WHEN, nodes=("n1",)),
    SlowKernel(**WHEN, nodes=("n1",), delay=0.2, locked=0.1),
    CardRefuses(**WHEN, nodes=("n1",)),
    CheckFails(**WHEN, nodes=("n1",)),
    Claimed(**WHEN, address=ip_address("10.0.0.100"), answers=True),
    Cordoned(**WHEN, nodes=("n1",)),
    WitnessesCut(**WHEN, nodes=("n1",)),
    WitnessesOff(**WHEN),
]


def world() -> World:
    """The world of a scenario with three nodes, in which no agent runs."""
    choice = Choice(failover="off", kind="mixed")
    scenario = next(found for seed in range(100) if len((found := draw(seed, choice)).clocks) == 3)
    built = Simulation(scenario, 0.0).build(None)
    built.create_nodes()
    return built


def condition(of: World) -> list[object]:
    """All that a fault can change, but for processes."""
    switch = of.switch
    found: list[object] = [switch.loss, switch.doubling, switch.delay, +switch._blocked]
    for node in of.nodes.values():
        machine = node.machine
        found += [attrs.asdict(node.line.conditions), machine.refusing, machine.has_power]
        found += [machine.addresses.delay, machine.addresses.locked]
        found += [machine.links.get("eth0").up if machine.has_power else None]
        found += [machine.mute, node.check]
    found += [witness.links.get("eth0").up for witness in of.witnesses]
    found += [of.intruder.links.networks()["eth0"], set(of.intruder._timers)]
    found += [stored.value.get("spec", {}) for stored in of.server.store.shelf(NODES_STORED).objects.values()]
    return found


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: type(fault).__name__)
def test_a_fault_that_is_over_has_left_nothing(fault: Fault) -> None:
    @virtual
    async def strike() -> None:
        struck = world()
        before = condition(struck)
        fault.strike(struck)
        assert condition(struck) != before
        fault.heal(struck)
        # How many faults refuse, or cut, is counted; parts that went back to nothing keep their status.
        assert [str(each).replace("429", "500") for each in condition(struck)] == list(map(str, before))

    strike()


@pytest.mark.parametrize(
    ("fault", "silent"),
    [
        (PowerOff(**WHEN, nodes=("n1",)), True),
        (LinkDown(**WHEN, nodes=("n1",)), True),
        (Cut(**WHEN, nodes=("n1",)), True),
        (Cut(**WHEN, nodes=("n1",), hear=True), True),
        (Cut(**WHEN, nodes=("n1",), heard=True), False),
        (Stall(**WHEN, nodes=("n1",)), False),
        (BadSegment(**WHEN, loss=0.5), False),
    ],
    ids=str,
)
def test_only_who_is_not_heard_by_anybody_is_silent(fault: Fault, silent: bool) -> None:
    assert fault.silences is silent


def test_a_fault_says_what_it_is_where_and_when() -> None:
    assert str(Cut(**WHEN, nodes=("n1", "n2"), heard=True)) == "deaf on n1, n2, at 1.000 s for 2.000 s"
    assert str(BadSegment(**WHEN, loss=0.5)) == (
        "the switch loses 50%, doubles 0%, takes 0.1 ms, at 1.000 s for 2.000 s"
    )


@functools.cache
def all_drawn() -> list[tuple[Fault, ...]]:
    plain = [draw_faults(random.Random(seed), NODES, ["web"], 5.0) for seed in range(600)]
    return plain + [draw(seed, Choice(kind=kind, nodes=3)).faults for kind in (*KINDS, SPREAD) for seed in range(60)]


def test_all_kinds_are_drawn() -> None:
    kinds = Counter(type(fault) for faults in all_drawn() for fault in faults)
    # By name: attrs makes a second class of each, and the first one stays until it is collected.
    assert {kind.__qualname__ for kind in kinds} == {kind.__qualname__ for kind in _all_kinds(Fault)}
    assert min(kinds.values()) >= 5


def _all_kinds(kind: type) -> list[type]:
    below = [leaf for each in kind.__subclasses__() for leaf in _all_kinds(each)]
    return below or [kind]


def test_of_two_that_need_the_same_only_one_strikes_at_a_time() -> None:
    for faults in all_drawn():
        for number, one in enumerate(faults):
            for other in faults[number + 1 :]:
                together = one.start <= other.end and other.start <= one.end
                assert not (together and one.slots & other.slots), f"{one}; {other}"


def test_a_cut_leaves_somebody_on_the_other_side() -> None:
    cuts = [fault for faults in all_drawn() for fault in faults if isinstance(fault, Cut)]
    assert max(len(cut.nodes) for cut in cuts) < len(NODES)


def test_without_services_none_is_struck() -> None:
    kinds = {type(fault).__name__ for seed in range(300) for fault in draw_faults(random.Random(seed), NODES, [], 5.0)}
    assert kinds.isdisjoint({"ServiceGone", "EndpointsGone"})
