"""The checker finds each broken promise, tells it with seed, time and surroundings, and excuses what may be excused."""

from ipaddress import ip_address

import attrs
import pytest

from kubevip.lease import Timing
from kubevip.testing.process import Clock
from kubevip.testing.simulation.checker import check
from kubevip.testing.simulation.chronicle import Announced, Chronicle, Event, Lived, Moved, Reached, Told, Wrote
from kubevip.testing.simulation.evidence import Violation
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut
from kubevip.testing.simulation.faults_node import Crash, OnlyLinkDown, PowerOff, Restart
from kubevip.testing.simulation.faults_segment import Cut
from kubevip.testing.simulation.scenario import CONTROL_PLANE, Scenario
from kubevip.testing.simulation.simulation import Run

VIP = ip_address("10.0.0.100")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
PERFECT = Clock()


def scenario(**how: object) -> Scenario:
    """Two nodes that want one address."""
    plain = Scenario(
        seed=7,
        timing=TIMING,
        linger=3.0,
        clocks=(PERFECT, PERFECT),
        control_plane=(VIP,),
        services=(),
        callers=(True,),
        faults=(),
    )
    return attrs.evolve(plain, **how)


def chronicle(*events: Event) -> Chronicle:
    made = Chronicle()
    for event in sorted(events, key=lambda event: event.time):
        made.add(event)
    return made


def verdict(*events: Event, **how: object) -> list[Violation]:
    """What the checker says of 20 s; but for times without a holder, of which there are many here."""
    found = check(Run(scenario=scenario(**how), chronicle=chronicle(*events), end=20.0, errors=()))
    return [violation for violation in found if violation.kind != "without a holder"]


def kinds(*events: Event, **how: object) -> list[str]:
    return [violation.kind for violation in verdict(*events, **how)]


def granted(node: str, asked: float, version: int, before: str = "", *, told: float | None = None) -> tuple[Event, ...]:
    """*node* asks for the Lease, and gets it."""
    wrote = Wrote(asked + 0.01, node, CONTROL_PLANE, node, before, 5.0, 0, version, asked, 1)
    return wrote, Told(asked + 0.02 if told is None else told, node, 1, CONTROL_PLANE, node, version)


def released(node: str, asked: float, version: int) -> tuple[Event, ...]:
    wrote = Wrote(asked + 0.01, node, CONTROL_PLANE, "", node, 1.0, 0, version, asked, 1)
    return wrote, Told(asked + 0.02, node, 1, CONTROL_PLANE, "", version)


def held(node: str, start: float, end: float) -> tuple[Event, ...]:
    return Moved(start, node, VIP, True, "put"), Moved(end, node, VIP, False, "removed")


def test_one_holder_within_its_lease_is_as_promised() -> None:
    assert kinds(*granted("n1", 1.0, 5), *held("n1", 1.03, 5.9), Announced(1.03, "n1", VIP)) == []


def test_two_terms_at_once_are_found() -> None:
    events = (*granted("n1", 1.0, 5), *granted("n2", 3.0, 6, "n1"))
    (violation,) = verdict(*events)
    assert violation.kind == "two leaders"
    assert "n1 and n2 both lead plndr-cp-lock for 980.000 ms" in violation.text
    assert str(violation).startswith("seed 7: at 3.020000 s: two leaders")
    assert any("n2 takes plndr-cp-lock" in line for line in violation.around)


def test_a_term_ends_with_the_news_of_another_holder() -> None:
    told = Told(3.015, "n1", 1, CONTROL_PLANE, "n2", 6)
    assert kinds(*granted("n1", 1.0, 5), *granted("n2", 3.0, 6, "n1"), told) == []


def test_old_news_does_not_end_a_term() -> None:
    told = Told(3.015, "n1", 1, CONTROL_PLANE, "n2", 4)
    assert kinds(*granted("n1", 1.0, 5), *granted("n2", 3.0, 6, "n1"), told) == ["two leaders"]


def test_a_term_ends_with_its_process() -> None:
    died = Lived(2.0, "n1", 1, Lived.KILLED)
    assert kinds(*granted("n1", 1.0, 5), *granted("n2", 3.0, 6, "n1"), died) == []


def test_with_heartbeats_a_term_may_be_cut_short() -> None:
    assert kinds(*granted("n1", 1.0, 5), *granted("n2", 3.0, 6, "n1"), failover="fast") == []


UNPLANNED = (*granted("n1", 1.0, 5), *granted("n2", 6.2, 6, "n1"))


def test_two_holders_are_found() -> None:
    (violation,) = verdict(*UNPLANNED, *held("n1", 1.03, 6.24), *held("n2", 6.23, 11.0))
    assert violation.kind == "two holders"
    assert "for 10.000 ms; unplanned, so 0 ms are allowed" in violation.text


def test_two_that_can_not_hear_each_other_are_excused_for_the_time_of_a_late_kernel() -> None:
    cut = Cut(start=5.0, duration=1.1, nodes=("n1",))
    assert kinds(*UNPLANNED, *held("n1", 1.03, 6.3), *held("n2", 6.23, 11.0), faults=(cut,)) == []
    assert "two holders" in kinds(*UNPLANNED, *held("n1", 1.03, 6.7), *held("n2", 6.23, 11.0), faults=(cut,))


def test_a_cut_that_was_over_long_before_excuses_nothing() -> None:
    cut = Cut(start=2.0, duration=1.1, nodes=("n1",))
    assert kinds(*UNPLANNED, *held("n1", 1.03, 6.3), *held("n2", 6.23, 11.0), faults=(cut,)) == ["two holders"]


@pytest.mark.parametrize(("back", "found"), [(6.2, ["two holders"]), (6.4, [])])
def test_a_link_that_was_down_excuses_nothing_after_it_is_back(back: float, found: list[str]) -> None:
    down = OnlyLinkDown(start=5.0, duration=back - 5.0, nodes=("n1",))
    assert kinds(*UNPLANNED, *held("n1", 1.03, 6.3), *held("n2", 6.23, 11.0), faults=(down,)) == found


def test_a_link_that_is_back_while_frames_get_lost_is_excused() -> None:
    down = OnlyLinkDown(start=5.0, duration=1.2, nodes=("n1",))
    cut = Cut(start=6.0, duration=0.1, nodes=("n1",))
    assert kinds(*UNPLANNED, *held("n1", 1.03, 6.3), *held("n2", 6.23, 11.0), faults=(down, cut)) == []


PLANNED = (*granted("n1", 2.6, 5), *released("n1", 4.0, 6), *granted("n2", 4.02, 7))


@pytest.mark.parametrize(("overlap", "found"), [(0.03, []), (0.06, ["two holders"])])
def test_a_handover_may_overlap_for_a_moment(overlap: float, found: list[str]) -> None:
    assert kinds(*PLANNED, *held("n1", 2.63, 4.05 + overlap), *held("n2", 4.05, 8.9)) == found


def test_a_handover_in_which_the_agent_is_killed_may_last_as_long_as_the_lease() -> None:
    crash = Crash(start=4.03, duration=3.0, nodes=("n1",))
    assert kinds(*PLANNED, *held("n1", 2.63, 7.8), *held("n2", 4.05, 8.9), faults=(crash,)) == []


def test_an_address_beyond_its_lease_is_found() -> None:
    (violation,) = verdict(*granted("n1", 1.0, 5), *held("n1", 1.03, 6.4))
    assert violation.kind == "without a Lease"
    assert "from 1.030000 to 6.400000 s, and its Lease ends at 6.325000 s" in violation.text


def test_an_address_before_its_lease_is_found() -> None:
    assert kinds(*granted("n1", 1.0, 5), *held("n1", 0.9, 5.0)) == ["without a Lease"]


def test_an_address_that_is_still_there_in_the_end_is_judged_too() -> None:
    assert kinds(*granted("n1", 1.0, 5), Moved(1.03, "n1", VIP, True, "put")) == ["without a Lease"]


def test_a_renewal_counts_from_its_request_and_only_when_it_was_answered() -> None:
    late = granted("n1", 4.0, 6, "n1", told=8.0)
    assert kinds(*granted("n1", 1.0, 5), *late, *held("n1", 1.03, 7.0)) == ["without a Lease"]


def test_a_slow_clock_makes_a_lease_longer() -> None:
    events = (*granted("n1", 1.0, 5), *held("n1", 1.03, 6.33))
    assert kinds(*events) == ["without a Lease"]
    slow = scenario(clocks=(Clock(rate=0.998), PERFECT))
    assert check(Run(scenario=slow, chronicle=chronicle(*events), end=7.0, errors=())) == []


def test_an_announcement_without_a_term_is_found() -> None:
    events = (*granted("n1", 1.0, 5), *held("n1", 1.03, 6.1))
    assert kinds(*events, Announced(4.5, "n1", VIP)) == ["without a term"]
    assert kinds(*events, Announced(3.9, "n1", VIP)) == []


def test_an_announcement_after_the_own_release_is_found() -> None:
    announced = Announced(4.015, "n1", VIP)
    assert kinds(*PLANNED, *held("n1", 2.63, 4.08), *held("n2", 4.05, 8.9), announced) == ["without a term"]


def test_an_announcement_of_an_address_that_is_not_there_is_found() -> None:
    assert kinds(*granted("n1", 1.0, 5), *held("n1", 1.03, 1.5), Announced(1.6, "n1", VIP)) == ["without an address"]


def unheld(*events: Event, faults: tuple[Fault, ...] = ()) -> list[str]:
    """The gaps that are found in a life of 40 s in which n1 holds the address for the first 10 s."""
    renewals = [event for number in range(7) for event in granted("n1", 1.0 + number, 5 + number, "n1")]
    life = chronicle(*renewals, *held("n1", 1.03, 10.0), *events)
    run = Run(scenario=scenario(faults=faults), chronicle=life, end=40.0, errors=())
    return [violation.text for violation in check(run) if violation.kind == "without a holder"]


def test_an_address_that_nobody_takes_is_found() -> None:
    assert "nobody has 10.0.0.100 for 30.000 s" in unheld()[0]


def test_who_can_not_take_an_address_is_excused() -> None:
    assert unheld(faults=(ApiCut(start=9.0, duration=20.0, nodes=("n1", "n2")),)) == []


def test_that_another_one_can_not_excuses_nobody() -> None:
    assert len(unheld(faults=(Crash(start=9.0, duration=30.0, nodes=("n1",)),))) == 1


def test_a_caller_who_loses_an_address_in_a_handover_is_told() -> None:
    restart = Restart(start=3.99, duration=5.0, nodes=("n1",))
    events = (*PLANNED, *held("n1", 2.63, 4.07), *held("n2", 4.05, 8.9))
    lost, again = Reached(4.1, "caller", VIP, ""), Reached(4.3, "caller", VIP, "n2")
    assert kinds(*events, lost, again, faults=(restart,)) == ["lost in a handover"]
    assert kinds(*events, again, faults=(restart,)) == []
    assert kinds(*events, lost, again, faults=(restart, Cut(start=4.0, duration=0.1, nodes=("n2",)))) == []


@pytest.mark.parametrize(("lost", "found"), [(6.0, ["lost in a handover"]), (6.15, [])])
def test_a_successor_who_comes_when_the_lease_is_over_is_not_waited_for(lost: float, found: list[str]) -> None:
    restart = Restart(start=5.6, duration=9.0, nodes=("n1",))
    short = attrs.evolve(TIMING, duration=4)
    events = (*granted("n1", 3.0, 5), *held("n1", 3.03, lost), *released("n1", 5.7, 6))
    assert kinds(*events, Reached(lost, "caller", VIP, ""), faults=(restart,), timing=short) == found


def test_a_caller_who_is_left_behind_is_told() -> None:
    renewals = [event for number in range(15) for event in granted("n1", 1.0 + number, 5 + number, "n1")]
    events = (*renewals, *held("n1", 1.03, 15.0))
    assert kinds(*events, Reached(5.0, "caller", VIP, "")) == ["not reached"]
    assert kinds(*events, Reached(5.0, "caller", VIP, ""), Reached(8.0, "caller", VIP, "n1")) == []
    deaf = Cut(start=5.0, duration=8.0, nodes=("n2",))
    assert kinds(*events, Reached(5.0, "caller", VIP, ""), faults=(deaf,)) == []


def silenced(*events: Event, fault: Fault, nodes: int = 3, **how: object) -> list[str]:
    """What is found about a holder whose machine falls silent at 10 s; heartbeats come every 100 ms."""
    renewals = [event for number in range(12) for event in granted("n1", 1.0 + number, 5 + number, "n1")]
    life = chronicle(*renewals, Moved(1.03, "n1", VIP, True, "put"), *events)
    made = scenario(failover="fast", faults=(fault,), clocks=(PERFECT,) * nodes, **how)
    found = check(Run(scenario=made, chronicle=life, end=20.0, errors=()))
    return [violation.text for violation in found if violation.kind == "missed late"]


GONE = PowerOff(start=10.0, duration=30.0, nodes=("n1",))
TAKEN = (*granted("n2", 10.4, 30, "n1"), Moved(10.5, "n2", VIP, True, "put"))


def test_who_is_missed_late_is_found() -> None:
    lost = Moved(10.0, "n1", VIP, False, "down")
    assert silenced(lost, fault=GONE) == [
        "n1 falls silent, and nobody else has 10.0.0.100 for 10.000 s, 0.770 s are allowed"
    ]
    assert silenced(lost, *TAKEN, fault=GONE) == []


def test_who_is_cut_off_is_missed_too_though_he_has_the_address() -> None:
    assert len(silenced(fault=Cut(start=10.0, duration=30.0, nodes=("n1",)))) == 1
    assert silenced(*TAKEN, fault=Cut(start=10.0, duration=30.0, nodes=("n1",))) == []
    deaf = Cut(start=10.0, duration=30.0, nodes=("n1",), heard=True)
    assert silenced(fault=deaf) == []


def test_one_other_alone_can_not_miss_anybody() -> None:
    assert silenced(fault=GONE, nodes=2) == []


def test_without_heartbeats_nobody_is_missed_before_the_lease_expires() -> None:
    run = Run(scenario=scenario(faults=(GONE,), clocks=(PERFECT,) * 3), chronicle=chronicle(), end=20.0, errors=())
    assert [violation for violation in check(run) if violation.kind == "missed late"] == []
