"""When a Lease may be taken: the facts of client-go's election, one by one."""

import pytest

from kubevip.election import Cause, Read, Standing, Wait, Write
from kubevip.lease import Claim, Timing
from tests.decide.records import TIMING, candidate, record, saw, written


def test_at_first_it_asks_for_the_lease() -> None:
    assert candidate().next(0) == Read()


def test_an_absent_lease_is_created_with_no_transitions() -> None:
    a = candidate()
    a.read(None, 0)
    assert a.next(0) == Write(Claim("a", 15, 0, fresh=True), None, Cause.ABSENT)


def test_a_lease_that_names_nobody_is_taken_at_once_and_counts_a_transition() -> None:
    a, free = candidate(), record("", 7, duration=1, transitions=4)
    a.read(free, 0)
    assert a.next(0) == Write(Claim("a", 15, 5, fresh=True), free, Cause.VACANT)


def test_a_lease_that_names_us_is_taken_at_once_without_a_transition() -> None:
    a, ours = candidate(), record("a", 7, transitions=4)
    a.read(ours, 0)
    assert a.next(0) == Write(Claim("a", 15, 4, fresh=False), ours, Cause.OURS)


def test_a_lease_of_another_is_left_for_the_duration_that_it_states() -> None:
    a = candidate()
    a.read(record("b", 7, duration=40), 100)
    assert a.next(100) == Wait(140)
    assert a.next(139.9) == Wait(140)


def test_a_lease_that_has_not_changed_for_its_duration_is_taken_with_a_transition() -> None:
    a, theirs = candidate(), record("b", 7, transitions=4)
    a.read(theirs, 100)
    assert a.next(115) == Write(Claim("a", 15, 5, fresh=True), theirs, Cause.EXPIRED)


def test_each_change_of_the_record_starts_the_wait_again() -> None:
    a = candidate()
    a.read(record("b", 7), 100)
    saw(a, record("b", 8), 110)
    assert a.next(115) == Wait(125)


def test_a_new_version_of_the_same_record_does_not_start_the_wait_again() -> None:
    a = candidate()
    a.read(record("b", 7, renewed="r"), 100)
    saw(a, record("b", 8, renewed="r"), 110)
    assert a.next(114) == Wait(115)


def test_the_times_in_the_record_are_never_compared() -> None:
    a = candidate()
    a.read(record("b", 7, renewed="1970-01-01T00:00:00.000000Z"), 100)
    assert a.next(100) == Wait(115)


def test_a_record_without_a_duration_is_given_ours() -> None:
    a = candidate()
    a.read(record("b", 7, duration=0), 100)
    assert a.next(100) == Wait(115)


def test_reading_the_same_record_again_does_not_start_the_wait_again() -> None:
    a, theirs = candidate(), record("b", 7)
    a.read(theirs, 100)
    a.read(theirs, 110)
    assert a.next(110) == Wait(115)


def test_a_released_lease_is_taken_with_the_event_that_shows_it() -> None:
    a = candidate()
    a.read(record("b", 7), 100)
    saw(a, record("", 8, duration=1), 101)
    assert isinstance(a.next(101), Write)


def test_a_deleted_lease_is_created_anew_at_once() -> None:
    a = candidate()
    a.read(record("b", 7, transitions=9), 100)
    a.saw(None, "8", 101)
    assert a.next(101) == Write(Claim("a", 15, 0, fresh=True), None, Cause.ABSENT)


def test_what_the_watch_shows_makes_a_read_unnecessary() -> None:
    a = candidate()
    saw(a, record("b", 7), 100)
    assert a.next(100) == Wait(115)


def test_a_write_is_an_update_of_what_it_was_decided_on() -> None:
    a = candidate()
    a.read(record("b", 7), 100)
    newest = record("b", 8)
    saw(a, newest, 101)
    step = a.next(200)
    assert isinstance(step, Write)
    assert step.base == newest


@pytest.mark.parametrize(
    ("seen", "standing"),
    [(record("b", 1), Standing.FOLLOWING), (record("", 1), Standing.VACANT), (record("a", 1), Standing.UNKNOWN)],
)
def test_standing_of_one_who_does_not_lead(seen: object, standing: Standing) -> None:
    a = candidate()
    assert a.standing(0) is Standing.UNKNOWN
    a.read(seen, 0)
    assert a.standing(0) is standing


def test_absent_and_deleted_leases_are_vacant() -> None:
    a = candidate()
    a.read(None, 0)
    assert a.standing(0) is Standing.VACANT
    saw(a, record("b", 5), 1)
    a.saw(None, "6", 2)
    assert a.standing(2) is Standing.VACANT


def test_the_term_carries_the_transitions_and_both_ends() -> None:
    a, free = candidate(), record("", 7, transitions=4)
    a.read(free, 0)
    step = a.next(10)
    assert isinstance(step, Write)
    a.wrote(written(step.claim, 8, free), asked=10, now=11)
    term = a.term(11)
    assert term is not None
    assert (term.holder, term.token, term.until, term.expires) == ("a", 5, 20, 25)


def test_a_term_ends_before_others_may_take_the_lease_whatever_the_times() -> None:
    for timing in (TIMING, Timing(duration=5, renew_deadline=3, retry_period=1)):
        a, b = candidate("a", timing), candidate("b", timing)
        a.read(None, 0)
        step = a.next(0)
        assert isinstance(step, Write)
        a.wrote(written(step.claim, 1), asked=0, now=0.5)
        # Nobody sees a write before it was asked for.
        b.read(a.record, 0)
        wait = b.next(0)
        assert isinstance(wait, Wait)
        assert not a.leading(wait.until)


def test_whoever_holds_back_leaves_a_free_lease_to_others_for_so_long() -> None:
    a = candidate()
    a.hold_back(2)
    saw(a, record("", 7, duration=1), 100)
    assert a.next(100) == Wait(102)
    assert isinstance(a.next(102), Write)


def test_whoever_holds_back_leaves_an_expired_lease_to_others_for_so_long() -> None:
    a = candidate()
    a.hold_back(2)
    a.read(record("b", 7), 100)
    assert a.next(115) == Wait(117)
    assert isinstance(a.next(117), Write)


def test_holding_back_ends() -> None:
    a = candidate()
    a.hold_back(2)
    saw(a, record("", 7, duration=1), 100)
    a.hold_back(0)
    assert isinstance(a.next(100), Write)


def test_a_lease_that_is_offered_is_released_and_campaigned_for_again() -> None:
    a = candidate()
    a.read(record("", 7, duration=1, transitions=4), 100)
    a.next(100)
    a.wrote(record("a", 8, transitions=5), 100, 100)
    a.step_down()
    a.hold_back(2)
    step = a.next(101)
    assert isinstance(step, Write)
    assert (step.claim.holder, step.cause) == ("", Cause.RELEASE)
    free = record("", 9, duration=1, transitions=5)
    a.wrote(free, 101, 101)
    assert not a.resigned
    assert a.standing(101) is Standing.VACANT
    assert a.next(101) == Wait(103)
    assert a.next(103) == Write(Claim("a", 15, 6, fresh=True), free, Cause.VACANT)


def test_an_offer_of_what_somebody_else_has_is_nothing() -> None:
    a = candidate()
    a.read(record("b", 7), 100)
    a.step_down()
    assert a.next(100) == Wait(115)
    a.read(record("a", 8), 101)
    step = a.next(101)
    assert isinstance(step, Write)
    assert step.cause is Cause.OURS


def test_an_offer_that_was_not_answered_is_made_again() -> None:
    a = candidate()
    a.read(record("", 7, duration=1), 100)
    a.next(100)
    a.wrote(record("a", 8), 100, 100)
    a.step_down()
    a.next(101)
    a.no_answer(101, 102)
    assert a.next(103) == Read()
    a.read(record("a", 8), 103)
    step = a.next(103)
    assert isinstance(step, Write)
    assert step.cause is Cause.RELEASE
