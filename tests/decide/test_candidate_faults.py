"""What a candidate makes of conflicts, silence, old news, backups and its own double."""

import attrs
import pytest

from kubevip.election import Cause, Read, Standing, Wait, Write
from kubevip.lease import Claim, older
from tests.decide.records import candidate, lead, record, renew, saw, written


def test_after_a_conflict_it_reads_at_once_and_decides_anew() -> None:
    a = candidate()
    a.read(record("", 1), 100)
    a.next(100)
    a.lost_race(100.1)
    assert a.next(100.1) == Read()
    a.read(record("b", 2), 100.2)
    assert a.next(100.2) == Wait(115.2)


def test_a_leader_goes_on_leading_through_a_conflict_until_it_reads_otherwise() -> None:
    a = candidate()
    lead(a, 100)
    a.next(102)
    a.lost_race(102.1)
    assert a.leading(102.1)
    a.read(record("a", 2, renewed="1"), 102.2)
    assert a.leading(102.2)
    assert isinstance(a.next(102.2), Write)


def test_conflicts_that_go_on_are_answered_in_the_usual_rhythm() -> None:
    a = candidate(jitter=0.5)
    for version in (1, 2):
        a.read(record("", version), 100)
        a.next(100)
        a.lost_race(100)
    assert a.next(100) == Wait(100 + 2 * 1.6)


def test_what_the_watch_shows_after_a_conflict_is_enough() -> None:
    a = candidate()
    a.read(record("", 1), 100)
    a.next(100)
    a.lost_race(100.1)
    saw(a, record("b", 2), 100.2)
    assert a.next(100.2) == Wait(115.2)


def test_what_the_watch_has_shown_since_a_write_was_asked_for_is_enough_when_it_meets_a_conflict() -> None:
    a = candidate()
    a.read(record("", 1), 100)
    a.next(100)
    saw(a, record("b", 2), 100.1)
    a.lost_race(100.2)
    assert a.next(100.2) == Wait(115.1)


def test_a_release_that_a_request_has_overtaken_is_asked_for_anew_without_reading() -> None:
    a = candidate()
    held = lead(a, 100)
    a.step_down()
    assert a.next(101).cause is Cause.RELEASE
    asked = attrs.evolve(held, version="2", request="to b")
    saw(a, asked, 101.1)
    a.lost_race(101.2)
    assert a.next(101.2) == Write(Claim("", 1, 0, fresh=True), asked, Cause.RELEASE)


def test_a_release_that_arrived_twice_and_was_seen_is_not_asked_for_again() -> None:
    a = candidate()
    held = lead(a, 100)
    a.resign()
    released = written(a.next(101).claim, 2, held)
    saw(a, released, 101.1)
    a.lost_race(101.2)
    assert a.resigned


def test_what_was_known_before_a_conflict_is_not_enough() -> None:
    a, free = candidate(), record("", 1)
    a.read(free, 100)
    a.next(100)
    a.lost_race(100.1)
    saw(a, free, 100.2)
    assert a.next(100.2) == Read()


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 2.0), (0.5, 3.2), (1.0, 4.4)])
def test_silence_is_answered_within_one_and_two_point_two_periods(jitter: float, pause: float) -> None:
    a = candidate(jitter=jitter)
    a.next(100)
    a.no_answer(100, 105)
    assert a.next(105) == Wait(105 + pause)


def test_a_leader_asks_again_in_its_rhythm_counted_from_the_request() -> None:
    a = candidate()
    lead(a, 100)
    a.next(102)
    a.no_answer(102, 103)
    assert a.next(103) == Wait(104)
    assert isinstance(a.next(104), Write)


def test_a_leader_that_waited_long_for_nothing_asks_again_at_once() -> None:
    a = candidate()
    lead(a, 100)
    a.next(102)
    a.no_answer(102, 107)
    assert isinstance(a.next(107), Write)


def test_an_event_ends_the_pause_after_silence() -> None:
    a = candidate()
    a.read(record("b", 1), 100)
    a.next(115)
    a.no_answer(115, 120)
    saw(a, record("", 2), 120.5)
    assert isinstance(a.next(120.5), Write)


def test_a_write_whose_answer_was_lost_is_known_by_its_event_and_made_again() -> None:
    a = candidate()
    a.read(None, 100)
    step = a.next(100)
    assert isinstance(step, Write)
    a.no_answer(100, 105)
    saw(a, written(step.claim, 1), 105.1)
    assert a.standing(105.1) is Standing.UNKNOWN
    again = a.next(110)
    assert isinstance(again, Write)
    assert again.cause is Cause.OURS
    assert not a.twin


def test_a_renewal_whose_answer_was_lost_does_not_end_a_term() -> None:
    a = candidate()
    lead(a, 100)
    step = a.next(102)
    assert isinstance(step, Write)
    a.no_answer(102, 107)
    saw(a, written(step.claim, 2, step.base), 107.1)
    assert a.leading(107.1)
    assert not a.twin


def test_a_renewal_that_arrived_twice_does_not_end_a_term() -> None:
    # An HTTP client sends a PUT again when its connection breaks: the second one finds what the first one wrote.
    a = candidate()
    lead(a, 100)
    step = a.next(102)
    assert isinstance(step, Write)
    a.lost_race(102.1)
    a.read(written(step.claim, 2, step.base), 102.2)
    assert a.leading(102.2)
    assert not a.twin


def test_old_events_are_passed_over() -> None:
    a = candidate()
    saw(a, record("b", 10), 100)
    saw(a, record("", 9), 101)
    assert a.next(101) == Wait(115)


def test_the_deletion_of_an_earlier_lease_is_passed_over() -> None:
    a = candidate()
    saw(a, record("b", 10), 100)
    a.saw(None, "9", 101)
    assert a.standing(101) is Standing.FOLLOWING


def test_versions_are_compared_as_numbers() -> None:
    assert older("9", "10")
    assert not older("10", "9")
    assert not older("7", "7")


def test_a_version_that_is_no_number_counts_as_new() -> None:
    assert not older("abc", "10")
    assert not older("", "10")


def test_a_follower_survives_a_backup_whose_versions_go_back() -> None:
    a = candidate()
    saw(a, record("b", 1000), 100)
    # The restored server shows older versions only; the write against 1000 fails, and the read tells what is.
    saw(a, record("c", 400), 110)
    step = a.next(115)
    assert isinstance(step, Write)
    a.lost_race(115.1)
    assert a.next(115.1) == Read()
    a.read(record("c", 401), 115.2)
    assert a.next(115.2) == Wait(130.2)
    saw(a, record("", 402), 116)
    assert isinstance(a.next(116), Write)


def test_a_leader_survives_a_backup_whose_versions_go_back() -> None:
    a = candidate()
    lead(a, 100, version=1000)
    a.next(102)
    a.lost_race(102.1)
    a.read(record("b", 400), 102.2)
    assert not a.leading(102.2)
    saw(a, record("", 401), 103)
    assert isinstance(a.next(103), Write)


def test_a_lease_that_a_backup_did_not_have_is_created_and_led() -> None:
    a = candidate()
    lead(a, 100, version=1000)
    a.next(102)
    a.lost_race(102.1)
    a.read(None, 102.2)
    for _attempt in range(3):
        step = a.next(103)
        if isinstance(step, Write) and step.base is None:
            made = written(step.claim, 401)
            a.wrote(made, 103, 103.1)
        elif isinstance(step, Read):
            a.read(made, 103.1)
        elif isinstance(step, Write):
            made = written(step.claim, 402, step.base)
            a.wrote(made, 103, 103.2)
    assert a.leading(103.2)


def test_another_process_that_writes_under_our_name_is_a_twin_and_we_step_back() -> None:
    a = candidate()
    lead(a, 100)
    saw(a, record("a", 2), 101)
    assert a.twin
    assert not a.leading(101)
    assert a.standing(101) is Standing.FOLLOWING


def test_the_lease_of_a_twin_is_left_until_it_expires() -> None:
    a = candidate()
    lead(a, 100)
    saw(a, record("a", 2), 101)
    assert a.next(101) == Wait(116)
    saw(a, record("a", 3), 103)
    step = a.next(118)
    assert isinstance(step, Write)
    assert (step.cause, step.claim.transitions) == (Cause.EXPIRED, 1)


def test_the_lease_of_a_twin_is_not_released() -> None:
    a = candidate()
    lead(a, 100)
    saw(a, record("a", 2), 101)
    a.resign()
    assert a.resigned


def test_a_twin_that_is_gone_is_forgotten_with_our_next_term() -> None:
    a = candidate()
    lead(a, 100)
    saw(a, record("a", 2), 101)
    renew(a, 116, 116.1, version=3)
    assert not a.twin
    assert a.leading(116.1)


def test_the_first_sight_of_our_own_name_is_an_earlier_process() -> None:
    a = candidate()
    saw(a, record("a", 5), 100)
    assert not a.twin
    saw(a, record("a", 6), 101)
    assert not a.twin
