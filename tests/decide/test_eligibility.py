"""Fitness and what follows from it: when a holder leaves, and in which order others take a free Lease."""

import itertools
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.eligibility import Eligibility, Ground, Pauses, Streak
from kubevip.lease import Timing
from kubevip.succession import Request, Word
from tests.decide.records import record

PAUSES = Pauses(turn=0.5, patience=2.3)
OURS, FREE, THEIRS = record("a", 7, transitions=4), record("", 8, transitions=4), record("b", 9, transitions=5)
GRAVE = [ground for ground in Ground if ground is not Ground.UNCHECKED]


def eligibility(*grounds: Ground, node: str = "a", **options: object) -> Eligibility:
    made = Eligibility(node, PAUSES, **options)
    for ground in grounds:
        made.report(ground, "", 0)
    return made


def leaves(made: Eligibility, seen: object = OURS, now: float = 0.0) -> bool:
    return made.should_leave(seen, now)


@pytest.mark.parametrize("ground", GRAVE)
def test_a_holder_leaves_on_every_ground(ground: Ground) -> None:
    assert leaves(eligibility(ground))


def test_a_fit_holder_stays_and_one_that_was_not_checked_yet() -> None:
    assert not leaves(eligibility())
    assert not leaves(eligibility(Ground.UNCHECKED))


def test_who_holds_nothing_leaves_nothing() -> None:
    for seen in (None, FREE, THEIRS):
        assert not leaves(eligibility(Ground.CHECK), seen)


def test_a_holder_leaves_once() -> None:
    a = eligibility(Ground.CHECK)
    assert leaves(a)
    a.left(OURS)
    assert not leaves(a)
    assert not leaves(a, FREE)
    assert not leaves(a, record("a", 9, transitions=5))


def test_one_that_took_it_as_the_last_resort_stays_though_another_check_fails() -> None:
    a = eligibility(Ground.CHECK)
    leaves(a, FREE)
    a.report(Ground.BACKEND, "", 1)
    assert not leaves(a)


def test_but_leaves_on_a_graver_ground() -> None:
    a = eligibility(Ground.CORDONED)
    leaves(a, FREE)
    assert not leaves(a)
    a.report(Ground.CHECK, "", 1)
    assert leaves(a)


def test_one_that_was_fit_meanwhile_leaves_again() -> None:
    a = eligibility(Ground.CHECK)
    a.left(OURS)
    a.report(Ground.CHECK, None, 1)
    assert not leaves(a)
    a.report(Ground.CHECK, "", 2)
    assert leaves(a)


def test_a_ground_counts_until_its_end() -> None:
    a = eligibility()
    a.report(Ground.BACKEND, "ill", 0, until=60)
    assert a.why(59.9) == "ill"
    assert a.fit(60)
    a.expire(60)
    assert a.deference(FREE) == 0


def test_the_reasons_are_told_the_worst_first() -> None:
    a = eligibility(Ground.CORDONED, Ground.LINK)
    a.report(Ground.CHECK, "check http failed 3 times: HTTP 500", 0)
    assert a.why(0) == "the link is down; check http failed 3 times: HTTP 500; the node is cordoned"


# Who goes first


def test_the_order_in_which_a_free_lease_is_taken() -> None:
    fit = eligibility(node="b").deference(FREE)
    cordoned, failing, down = (
        eligibility(ground, node="b").deference(FREE) for ground in (Ground.CORDONED, Ground.CHECK, Ground.LINK)
    )
    assert 0 == fit < cordoned < failing < down == math.inf


def test_of_equals_the_one_that_had_it_goes_first() -> None:
    for ground in (Ground.CORDONED, Ground.CHECK):
        before, other = eligibility(ground), eligibility(ground, node="b")
        before.left(OURS)
        assert before.deference(FREE) < other.deference(FREE)


def test_a_failing_former_holder_goes_after_cordoned_others() -> None:
    before, other = eligibility(Ground.CHECK), eligibility(Ground.CORDONED, node="b")
    before.left(OURS)
    assert other.deference(FREE) < before.deference(FREE)


def test_without_a_last_resort_a_failing_node_takes_nothing_and_a_cordoned_one_does() -> None:
    assert eligibility(Ground.CHECK, last_resort=False).deference(FREE) == math.inf
    assert eligibility(Ground.CORDONED, last_resort=False).deference(FREE) < math.inf


def test_preferred_nodes_go_first_in_their_order() -> None:
    waits = [eligibility(node=node, preferred=("c", "b")).deference(FREE) for node in "cba"]
    assert waits == [0.0, 0.5, 1.0]


@given(st.integers(0, 30), st.sampled_from([Timing(), Timing(duration=5, renew_deadline=3, retry_period=1)]))
def test_however_many_are_preferred_all_fit_nodes_go_before_the_unfit(count: int, timing: Timing) -> None:
    pauses = Pauses.of(timing, 3.0)
    preferred = [f"n{number}" for number in range(count)]
    last = Eligibility("other", pauses, preferred)
    unfit = Eligibility("n0", pauses, preferred)
    unfit.report(Ground.CORDONED, "", 0)
    unfit.left(OURS)
    named = attrs.evolve(FREE, request=str(Request("a", 4, "gone")))
    assert last.deference(named) < unfit.deference(FREE)


@given(st.floats(0.1, 5), st.floats(0.5, 60))
def test_the_last_resort_takes_the_lease_back_before_its_address_goes(retry: float, linger: float) -> None:
    pauses = Pauses.of(Timing(duration=30, renew_deadline=20, retry_period=retry), linger)
    assert pauses.patience <= max(linger - 0.5, 4 * pauses.turn)
    assert pauses.turn <= 0.5


def asked(to: str = "", holder: str = "a") -> object:
    return attrs.evolve(FREE, request=str(Request(holder, 4, to)))


def test_a_named_successor_goes_first_then_others_then_the_one_that_was_asked() -> None:
    waits = [eligibility(node=node, preferred=("c",)).deference(asked("b")) for node in "bca"]
    assert waits[0] == 0 < waits[1] == PAUSES.turn < waits[2] == PAUSES.patience


def test_without_a_name_only_the_one_that_was_asked_waits() -> None:
    assert [eligibility(node=node).deference(asked()) for node in "ba"] == [0, PAUSES.patience]


def test_an_unfit_named_successor_waits_like_others_of_his_kind() -> None:
    b = eligibility(Ground.CHECK, node="b")
    assert b.deference(asked("b")) == b.deference(FREE)


def test_a_request_of_another_term_changes_nothing() -> None:
    stale = attrs.evolve(FREE, request=str(Request("a", 3, "b")))
    assert [eligibility(node=node).deference(stale) for node in "abc"] == [0, 0, 0]


def test_a_request_is_for_the_holder_alone() -> None:
    request = Request("a", 4, "b")
    seen = attrs.evolve(OURS, request=str(request))
    assert eligibility().wish(seen) == request
    assert eligibility(node="b").wish(seen) is None
    assert eligibility().wish(attrs.evolve(FREE, request=str(request))) is None


# Asking for the Lease


def unfit_holder() -> object:
    return attrs.evolve(THEIRS, word=str(Word("b", 5, unfit="ill")))


def test_a_fit_node_asks_an_unfit_holder() -> None:
    assert eligibility().asks(unfit_holder(), 10) == (10, "its holder isn't fit: ill")


def test_an_unfit_node_asks_nobody() -> None:
    for ground in Ground:
        assert eligibility(ground).asks(unfit_holder(), 10) is None


def test_nobody_asks_a_fit_holder_or_itself_or_for_a_free_lease() -> None:
    for seen in (None, FREE, OURS, THEIRS, attrs.evolve(THEIRS, word=str(Word("b", 5)))):
        assert eligibility(preferred=("a",)).asks(seen, 10) is None


def test_preferred_nodes_ask_first() -> None:
    (first, _), (second, _) = (
        eligibility(node=node, preferred=("c", "a")).asks(unfit_holder(), 10) for node in ("c", "a")
    )
    assert (first, second) == (10, 10.5)


def test_a_preferred_node_asks_when_it_has_been_fit_for_long_enough() -> None:
    a = eligibility(Ground.CHECK, preferred=("a",), failback=60)
    assert a.asks(THEIRS, 10) is None
    a.report(Ground.CHECK, None, 20)
    assert a.asks(THEIRS, 30) == (90, "this node is preferred")
    a.report(Ground.CHECK, "", 40)
    a.report(Ground.CHECK, None, 50)
    assert a.asks(THEIRS, 60) == (110, "this node is preferred")


def test_each_change_of_holder_starts_the_delay_again() -> None:
    a = eligibility(preferred=("a",), failback=60)
    assert a.asks(THEIRS, 100) == (160, "this node is preferred")
    assert a.asks(record("c", 10, transitions=6), 130) == (190, "this node is preferred")


def test_of_those_that_fail_back_the_most_preferred_asks_first() -> None:
    asked = [eligibility(node=node, preferred=("c", "a", "b"), failback=60).asks(THEIRS, 100) for node in ("c", "a")]
    assert asked[0] == (160, "this node is preferred")
    assert asked[1] is not None
    assert asked[1][0] > 160


@pytest.mark.parametrize(("preferred", "asks"), [(("b", "a"), False), (("a", "b"), True), (("c",), False)])
def test_only_a_node_that_is_preferred_to_the_holder_asks(preferred: tuple[str, ...], asks: bool) -> None:
    assert (eligibility(preferred=preferred, failback=0).asks(THEIRS, 10) is not None) is asks


def asked_for(to: str, *, refused: str = "") -> object:
    request = Request("b", 5, to=to, id="1", by="somebody")
    return attrs.evolve(THEIRS, request=str(request), word=str(Word("b", 5, refused=refused)) if refused else "")


@pytest.mark.parametrize(("to", "asks"), [("c", False), ("d", True), ("a", True), ("", True)])
def test_nobody_asks_on_top_of_a_request_for_a_node_that_is_preferred_to_it(to: str, asks: bool) -> None:
    a = eligibility(preferred=("c", "a", "d"), failback=0)
    assert (a.asks(asked_for(to), 10) is not None) is asks


def test_of_equals_one_asks_an_unfit_holder() -> None:
    asked = attrs.evolve(asked_for("c"), word=str(Word("b", 5, unfit="ill")))
    assert eligibility().asks(asked, 10) is None


def test_a_request_that_was_refused_keeps_nobody_from_asking() -> None:
    assert eligibility(preferred=("c", "a"), failback=0).asks(asked_for("c", refused="1"), 10) is not None


# Rise and fall


def test_the_first_result_counts_by_itself() -> None:
    for well in (True, False):
        streak = Streak(rise=3, fall=3)
        assert streak.healthy is None
        assert streak.add(well)
        assert streak.healthy is well


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_health_changes_with_the_last_of_so_many_results_in_a_row(rise: int, fall: int, results: list[bool]) -> None:
    streak, health = Streak(rise, fall), None
    for number, well in enumerate(results):
        turned = streak.add(well)
        row = list(itertools.takewhile(lambda each, well=well: each is well, reversed(results[: number + 1])))
        expected = well if health is None or len(row) >= (rise if well else fall) else health
        assert (streak.healthy, turned, streak.length) == (expected, expected is not health, len(row))
        health = expected
