"""Each fault in each mode, one by one: what ``promises.TABLE`` says for the mode is kept.

A new mode is a line of ``MODES``, a new fault a line of ``ONE`` or ``ALL``.
"""

import functools
import ipaddress
from collections.abc import Mapping

import attrs
import pytest

from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut, ApiErring, ApiForgets, ApiRefusing, ApiSlow
from kubevip.testing.simulation.faults_fitness import CardRefuses, CheckFails, Cordoned, HandoverAsked
from kubevip.testing.simulation.faults_node import (
    Crash,
    DateStep,
    Deletion,
    LinkDown,
    OnlyLinkDown,
    PowerOff,
    RefusingKernel,
    Restart,
    SlowKernel,
    Stall,
)
from kubevip.testing.simulation.faults_segment import BadSegment, Cut
from kubevip.testing.simulation.faults_stored import EndpointsGone, LeaseTouched, ServiceGone
from kubevip.testing.simulation.faults_strangers import Claimed, WitnessesCut, WitnessesOff
from kubevip.testing.simulation.manners import Manners
from kubevip.testing.simulation.promises import TABLE
from kubevip.testing.simulation.scenario import CONTROL_PLANE, TIMINGS, Choice, Scenario, draw
from kubevip.testing.simulation.verdict import judge

NODES = ("n1", "n2", "n3")
PLAIN = Choice(failover="off", on_api_loss="fence", kind="plain")
MODES: Mapping[str, Mapping[str, object]] = {
    "off": {"failover": "off"},
    "fast": {"failover": "fast", "heartbeat": 0.1},
    "off, hold": {"on_api_loss": "hold"},
    "fast, hold": {"failover": "fast", "heartbeat": 0.1, "on_api_loss": "hold"},
    "fast, quorum": {"failover": "fast", "heartbeat": 0.1, "on_api_loss": "quorum"},
    "routed": {"manners": Manners(kind="routed"), "callers": ()},
    "spread": {"manners": Manners(kind="spread", spread=True, simple=True)},
    "spread, fast": {
        "manners": Manners(kind="spread", spread=True, simple=True),
        "failover": "fast",
        "heartbeat": 0.1,
    },
}
WHEN = {"start": 7.0, "duration": 9.0}
# What agents are told where it is about something: each fault of it in each mode that elects.
ABOUT = {
    "fitness": Manners(kind="fitness", checks=True),
    "no last resort": Manners(kind="fitness", checks=True, last_resort=False),
    "fail-back": Manners(kind="fitness", checks=True, preferred=NODES, failback=1.0),
    "resign": Manners(kind="witnesses", witnesses=2, verify="resign", verify_timeout=1.0),
    "resign, by routes": Manners(kind="witnesses", witnesses=1, named=False, verify="resign", verify_timeout=1.0),
    "alarm": Manners(kind="conflicts", conflict="alarm"),
    "defend": Manners(kind="conflicts", conflict="defend"),
    "yield": Manners(kind="conflicts", conflict="yield"),
}
# Strikes the node that holds the address of the control plane; in spread mode, that of the Service.
ONE = (
    ApiCut(**WHEN),
    ApiCut(**WHEN, requests=False),
    ApiCut(**WHEN, replies=False),
    ApiRefusing(**WHEN),
    Crash(**WHEN),
    Cut(**WHEN),
    Cut(**WHEN, hear=True),
    Cut(**WHEN, heard=True),
    LinkDown(**WHEN),
    OnlyLinkDown(**WHEN),
    PowerOff(**WHEN),
    RefusingKernel(**WHEN),
    Restart(**WHEN),
    Stall(**WHEN),
)
ALL = (
    ApiCut(**WHEN, nodes=NODES),
    ApiErring(**WHEN, nodes=NODES, erring=0.5, status=429, losing=0.3, doubling=0.3),
    ApiErring(**WHEN, nodes=NODES, erring=1.0, status=500),
    ApiForgets(start=7.0, duration=0.0),
    ApiRefusing(**WHEN, nodes=NODES),
    ApiSlow(**WHEN, nodes=NODES, latency=1.0, lag=3.0),
    BadSegment(**WHEN, loss=0.5, doubling=0.3, delay=0.01),
    Cut(**WHEN, nodes=("n1", "n2"), hear=True),
    Cut(**WHEN, nodes=("n1", "n2"), heard=True),
    DateStep(start=7.0, duration=0.0, nodes=("n1",), seconds=7200),
    Deletion(start=7.0, duration=0.0, nodes=NODES),
    EndpointsGone(**WHEN, nodes=NODES, service="web"),
    LeaseTouched(start=7.0, duration=0.0),
    ServiceGone(**WHEN, service="web"),
    SlowKernel(**WHEN, nodes=NODES, delay=0.5, locked=0.1),
    Stall(**WHEN, nodes=NODES),
)


@functools.cache
def plain() -> Scenario:
    """Three nodes with a control plane and a Service."""
    return next(
        attrs.evolve(scenario, latency=0.005)
        for seed in range(1000)
        if len((scenario := draw(seed, PLAIN)).clocks) == 3
        and [service.name for service in scenario.services] == ["web"]
        and scenario.control_plane
    )


@functools.cache
def holder(mode: str) -> str:
    """Return who holds the address that is to be struck when faults begin."""
    run, _violations = judge(attrs.evolve(plain(), faults=(), **MODES[mode]))
    (address, *_more) = plain().services[0].addresses if mode == "spread" else plain().control_plane
    return [move.node for move in run.chronicle.all(Moved) if move.address == address and move.time < WHEN["start"]][-1]


VIP = ipaddress.ip_address("10.0.0.100")
LONG = {"start": 16.0, "duration": 12.0}
ONE_UNFIT: tuple[Fault, ...] = (
    Cordoned(**LONG, nodes=("n2",)),
    CheckFails(**LONG, nodes=("n2",)),
    CheckFails(**LONG, nodes=("n2",), hangs=True),
    CardRefuses(**LONG, nodes=("n2",)),
)
ALL_UNFIT = tuple(attrs.evolve(fault, nodes=NODES) for fault in ONE_UNFIT)
UNANSWERED: tuple[Fault, ...] = (WitnessesOff(**LONG), WitnessesCut(**LONG, nodes=("n2",)))
CLAIMS: tuple[Fault, ...] = (Claimed(**LONG, address=VIP), Claimed(**LONG, address=VIP, answers=True))
OF = {
    "fitness": ONE_UNFIT + ALL_UNFIT,
    "no last resort": ONE_UNFIT,
    "fail-back": ONE_UNFIT,
    "resign": UNANSWERED,
    "resign, by routes": UNANSWERED,
    **dict.fromkeys(("alarm", "defend", "yield"), CLAIMS),
}
CELLS = [(about, fault) for about in ABOUT for fault in OF[about]]


def name(fault: Fault) -> str:
    return str(fault).split(", at ")[0].replace(" ", "-")


def assert_kept(mode: str, *faults: Fault, **how: object) -> None:
    _run, violations = judge(attrs.evolve(plain(), faults=faults, **{**MODES[mode], **how}))
    assert violations == [], "\n".join(map(str, violations))


def test_each_row_of_the_table_is_tried() -> None:
    assert {row for mode in MODES for row in attrs.evolve(plain(), **MODES[mode]).modes} == set(TABLE)


@pytest.mark.parametrize(("about", "fault"), CELLS, ids=lambda each: each if isinstance(each, str) else name(each))
def test_what_a_scenario_is_about_breaks_no_promise(about: str, fault: Fault) -> None:
    asked = HandoverAsked(start=17.0, duration=0.0, lease=CONTROL_PLANE, to="n2")
    assert_kept("off", fault, asked, manners=ABOUT[about], timing=TIMINGS[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ONE, ids=name)
def test_what_strikes_one_node_breaks_no_promise(fault: Fault, mode: str) -> None:
    assert_kept(mode, attrs.evolve(fault, nodes=(holder(mode),)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ALL, ids=name)
def test_what_strikes_all_breaks_no_promise(fault: Fault, mode: str) -> None:
    assert_kept(mode, fault)
