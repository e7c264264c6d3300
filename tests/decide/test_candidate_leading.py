"""What a leader does: renew in rhythm, stop at its deadline, and stop at once when it is told."""

from kubevip.election import Cause, Read, Standing, Wait, Write
from kubevip.lease import RELEASED_DURATION, Claim
from tests.decide.records import TIMING, candidate, lead, record, renew, saw, written


def test_a_leader_renews_on_the_next_beat() -> None:
    a = candidate()
    lead(a, 100.5)
    assert a.next(100.5) == Wait(102)
    assert isinstance(a.next(102), Write)


def test_a_renewal_keeps_holder_transitions_and_acquire_time() -> None:
    a = candidate()
    made = lead(a, 100)
    assert a.next(102) == Write(Claim("a", 15, made.transitions, fresh=False), made, Cause.RENEWAL)


def test_each_renewal_moves_the_deadline() -> None:
    a = candidate()
    lead(a, 100)
    renew(a, 102, 102.1, version=2)
    assert a.leading(111.9)
    assert not a.leading(112)


def test_the_deadline_counts_from_the_request_not_from_the_answer() -> None:
    a = candidate()
    lead(a, 100)
    renew(a, 102, 106, version=2)
    term = a.term(106)
    assert term is not None
    assert term.until == 112


def test_a_first_write_that_is_answered_too_late_gives_no_term() -> None:
    a = candidate()
    a.read(None, 100)
    step = a.next(100)
    assert isinstance(step, Write)
    a.wrote(written(step.claim, 1), asked=100, now=110)
    assert a.term(110) is None


def test_leadership_ends_exactly_at_the_deadline() -> None:
    a = candidate()
    lead(a, 100)
    assert a.leading(110 - 1e-9)
    assert not a.leading(110)
    assert a.standing(110) is Standing.EXPIRED


def test_after_its_deadline_it_takes_its_own_lease_again_at_once() -> None:
    a = candidate()
    made = lead(a, 100)
    assert a.next(111) == Write(Claim("a", 15, 0, fresh=False), made, Cause.OURS)


def test_a_renewal_asked_for_before_a_doubt_brings_no_term_back_and_one_asked_for_after_it_does() -> None:
    a = candidate()
    lead(a, 100)
    step = a.next(102)
    assert isinstance(step, Write)
    a.doubt(102.5)
    made = written(step.claim, 2, step.base)
    a.wrote(made, asked=102, now=103)
    assert a.term(103) is None
    assert a.next(103) == Write(Claim("a", 15, 0, fresh=False), made, Cause.OURS)
    a.wrote(written(step.claim, 3, made), asked=103, now=103.1)
    assert a.leading(103.1)


def test_a_doubted_term_is_over_though_the_lease_has_to_be_read_again() -> None:
    a = candidate()
    lead(a, 100)
    assert isinstance(a.next(102), Write)
    a.lost_race(102.1)
    a.doubt(102.2)
    assert a.standing(102.2) is Standing.EXPIRED


def test_leadership_ends_with_the_event_that_shows_another_holder() -> None:
    a = candidate()
    lead(a, 100)
    saw(a, record("b", 2, transitions=1), 101)
    assert not a.leading(101)
    assert a.standing(101) is Standing.FOLLOWING
    assert a.next(101) == Wait(116)


def test_a_leader_whose_lease_is_deleted_stops_and_creates_it_anew() -> None:
    a = candidate()
    lead(a, 100)
    a.saw(None, "2", 101)
    assert not a.leading(101)
    assert a.next(101) == Write(Claim("a", 15, 0, fresh=True), None, Cause.ABSENT)


def test_a_leader_whose_lease_is_blanked_stops_and_takes_it_again() -> None:
    a, blank = candidate(), record("", 2, transitions=3)
    lead(a, 100)
    saw(a, blank, 101)
    assert not a.leading(101)
    assert a.next(101) == Write(Claim("a", 15, 4, fresh=True), blank, Cause.VACANT)


def test_the_echo_of_its_own_renewal_changes_nothing() -> None:
    a = candidate()
    lead(a, 100)
    made = renew(a, 102, 102.1, version=2)
    before = a.term(103)
    saw(a, made, 103)
    assert a.term(103) == before


def test_an_event_from_before_its_renewal_is_passed_over() -> None:
    a = candidate()
    lead(a, 100, version=5)
    saw(a, record("b", 4), 101)
    assert a.leading(101)


def test_the_event_of_its_own_write_may_come_before_the_answer() -> None:
    a = candidate()
    a.read(None, 100)
    step = a.next(100)
    assert isinstance(step, Write)
    made = written(step.claim, 1)
    saw(a, made, 100.1)
    assert not a.leading(100.1)
    a.wrote(made, asked=100, now=100.2)
    assert a.leading(100.2)
    assert not a.twin


def test_an_answer_that_comes_after_a_newer_event_grants_nothing() -> None:
    a = candidate()
    lead(a, 100)
    step = a.next(102)
    assert isinstance(step, Write)
    # The server has renewed (2), somebody deleted the Lease (3), another one took it (4); then comes our answer.
    saw(a, record("b", 4), 103)
    a.wrote(written(step.claim, 2, step.base), asked=102, now=104)
    assert not a.leading(104)
    assert a.standing(104) is Standing.FOLLOWING
    assert a.next(104) == Wait(118)


def test_an_edit_by_hand_that_keeps_the_holder_does_not_end_a_term() -> None:
    a = candidate()
    made = lead(a, 100)
    saw(a, record("a", 2, renewed=made.renewed), 101)
    assert a.leading(101)
    step = a.next(102)
    assert isinstance(step, Write)
    assert step.base is not None
    assert step.base.version == "2"


def test_release_blanks_the_holder_and_states_one_second() -> None:
    a = candidate()
    made = lead(a, 100)
    a.resign()
    assert a.next(101) == Write(Claim("", RELEASED_DURATION, made.transitions, fresh=True), made, Cause.RELEASE)
    assert RELEASED_DURATION == 1


def test_leadership_ends_with_the_release_and_nothing_is_left_to_do() -> None:
    a = candidate()
    lead(a, 100)
    a.resign()
    renew(a, 101, 101.1, version=2)
    assert a.resigned
    assert a.standing(101.1) is Standing.VACANT
    assert a.next(200) == Wait(float("inf"))


def test_one_who_never_led_has_nothing_to_release() -> None:
    a = candidate()
    a.read(record("b", 1), 100)
    a.resign()
    assert a.resigned


def test_a_release_that_is_not_answered_is_read_back_and_tried_again() -> None:
    a = candidate()
    made = lead(a, 100)
    a.resign()
    a.next(101)
    a.no_answer(101, 106)
    assert not a.resigned
    assert a.next(106) == Read()
    a.read(made, 106.1)
    step = a.next(106.1)
    assert isinstance(step, Write)
    assert step.cause is Cause.RELEASE


def test_a_release_whose_answer_was_lost_is_known_by_the_read() -> None:
    a = candidate()
    lead(a, 100)
    a.resign()
    a.next(101)
    a.no_answer(101, 106)
    a.read(record("", 2, duration=1), 106.1)
    assert a.resigned


def test_a_write_on_its_way_at_the_resignation_is_waited_for() -> None:
    a = candidate()
    a.read(None, 100)
    step = a.next(100)
    assert isinstance(step, Write)
    a.resign()
    assert not a.resigned
    a.wrote(written(step.claim, 1), asked=100, now=100.1)
    release = a.next(100.1)
    assert isinstance(release, Write)
    assert release.cause is Cause.RELEASE


def test_a_lease_of_an_earlier_process_of_ours_is_released_too() -> None:
    a = candidate()
    a.read(record("a", 1), 100)
    a.resign()
    assert not a.resigned
    assert isinstance(a.next(100), Write)


def test_the_expiry_is_a_lease_duration_after_the_request() -> None:
    a = candidate()
    lead(a, 100)
    term = a.term(100)
    assert term is not None
    assert term.expires - term.until == TIMING.duration - TIMING.renew_deadline


# Going on without renewals


def test_a_leader_is_overdue_after_one_and_a_half_periods_without_a_renewal() -> None:
    a = candidate()
    lead(a, 100)
    assert not a.overdue(102.9)
    assert a.overdue(103)
    renew(a, 103, 103.1, version=2)
    assert not a.overdue(103.1)


def test_nobody_else_is_overdue() -> None:
    a = candidate()
    assert not a.overdue(100)
    lead(a, 100)
    assert not a.overdue(110)


def test_who_reaffirms_leads_on_as_after_a_renewal() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(109)
    term = a.term(118)
    assert term is not None
    assert (term.until, term.expires) == (119, 124)
    assert a.reaffirmed(118)
    assert not a.leading(119)


def test_before_its_deadline_a_leader_has_not_reaffirmed() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(109)
    assert not a.reaffirmed(109.9)
    assert a.reaffirmed(110)


def test_a_term_that_is_over_is_not_reaffirmed() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(110)
    assert not a.leading(110)


def test_who_has_reaffirmed_tries_to_renew_all_the_time() -> None:
    a = candidate()
    made = lead(a, 100)
    a.reaffirm(109)
    assert a.next(112) == Write(Claim("a", 15, 0, fresh=False), made, Cause.RENEWAL)
    a.no_answer(112, 114)
    a.reaffirm(114)
    assert a.next(114) == Write(Claim("a", 15, 0, fresh=False), made, Cause.RENEWAL)


def test_a_renewal_ends_the_reprieve() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(109)
    renew(a, 112, 112.1, version=2)
    assert not a.reaffirmed(112.1)
    assert not a.leading(122)


def test_another_holder_ends_the_reprieve_at_once() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(109)
    saw(a, record("b", 2, transitions=1), 112)
    assert not a.leading(112)


def test_doubt_ends_the_reprieve_at_once() -> None:
    a = candidate()
    lead(a, 100)
    a.reaffirm(109)
    a.doubt(112)
    assert not a.leading(112)
    assert a.standing(112) is Standing.EXPIRED
