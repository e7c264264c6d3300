"""Who else claims an address: when that is certain, and what follows by each policy."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.model import Vip
from kubevip.rivalry import (
    ANSWER,
    ASK_EVERY,
    DEFEND_INTERVAL,
    LATE,
    MOST,
    OVER_AFTER,
    QUESTIONS,
    Act,
    Policy,
    Rivalry,
    Step,
)

VIP = Vip.parse("10.0.0.99", interface="eth0")
MAC, OTHER = "02:00:00:00:00:99", "02:00:00:00:00:98"
LINGER, LEASE = 3.0, 15.0
# Long after any holder before us.
LATER = 1000.0


def rivalry(policy: Policy = Policy.ALARM) -> Rivalry:
    made = Rivalry(policy, LINGER, LEASE)
    made.held(VIP, 0)
    return made


def always(_vip: Vip) -> float:
    return math.inf


def acts(made: Rivalry, now: float, confirmed: float = math.inf) -> list[Act]:
    return [step.act for step in made.steps(now, lambda _vip: confirmed)]


def settled(policy: Policy = Policy.ALARM) -> Rivalry:
    made = rivalry(policy)
    made.steps(LATER - 1, always)
    return made


def test_a_claim_to_an_address_that_is_held_for_long_is_told_at_once() -> None:
    made = settled()
    assert made.seen(VIP, MAC, LATER)
    assert made.steps(LATER, always) == [Step(Act.TELL, VIP, MAC)]
    assert made.rivals() == {VIP: [MAC]}


def test_it_is_told_only_when_the_lease_was_confirmed_after_it() -> None:
    made = settled()
    made.seen(VIP, MAC, LATER)
    assert acts(made, LATER, confirmed=LATER) == []
    assert acts(made, LATER + 1, confirmed=LATER - 1) == []
    assert made.due() <= LATER + 1 + ANSWER
    assert acts(made, LATER + 2, confirmed=LATER + 1.5) == [Act.TELL]


def test_it_is_told_once() -> None:
    made = settled()
    made.seen(VIP, MAC, LATER)
    made.steps(LATER, always)
    made.seen(VIP, MAC, LATER + 1)
    assert acts(made, LATER + 1) == []


def test_a_claim_to_what_is_not_held_is_nothing() -> None:
    made = settled()
    made.ceased(VIP)
    assert not made.seen(VIP, MAC, LATER)
    assert acts(made, LATER) == []


def test_a_last_holder_that_lingers_is_no_conflict() -> None:
    made = rivalry()
    for moment in (0.1, 0.5, 1.0, 2.0, 2.9):
        made.seen(VIP, MAC, moment)
        assert Act.TELL not in acts(made, moment)
    told = [act for tenth in range(30, 80) for act in acts(made, tenth / 10)]
    assert Act.TELL not in told
    assert told.count(Act.ASK) == 1 + QUESTIONS
    assert made.rivals() == {}


def test_one_that_claims_it_still_when_no_last_holder_does_is_told() -> None:
    made = rivalry()
    made.seen(VIP, MAC, 1)
    assert acts(made, LINGER + LATE) == [Act.ASK, Act.ASK]
    made.seen(VIP, MAC, LINGER + LATE + 0.01)
    assert acts(made, LINGER + LATE + 0.01) == [Act.TELL]


def test_within_a_lease_one_frame_is_not_enough() -> None:
    made = rivalry()
    made.steps(9, always)
    made.seen(VIP, MAC, 10)
    assert acts(made, 10) == []
    assert [acts(made, 10 + LATE + (ANSWER + 0.01) * turn) for turn in range(QUESTIONS + 1)] == [
        [Act.ASK]
    ] * QUESTIONS + [[]]
    assert made.due() == math.inf


def test_within_a_lease_an_answer_to_the_question_makes_it_certain() -> None:
    made = rivalry()
    made.steps(9, always)
    made.seen(VIP, MAC, 10)
    made.steps(11, always)
    assert made.seen(VIP, MAC, 11.01)
    assert acts(made, 11.01) == [Act.TELL]


def test_each_address_is_asked_for_once_after_it_was_taken() -> None:
    made = rivalry()
    assert made.due() == LINGER + LATE
    assert acts(made, LINGER + LATE) == [Act.ASK]
    assert acts(made, LATER) == []
    assert made.due() == math.inf


def test_an_alarm_announces_nothing() -> None:
    made = settled(Policy.ALARM)
    seen = []
    for second in range(60):
        made.seen(VIP, MAC, LATER + second)
        seen += acts(made, LATER + second)
    assert set(seen) == {Act.TELL, Act.ASK}


def test_a_defence_is_repeated_at_its_interval_while_the_claim_is() -> None:
    made = settled(Policy.DEFEND)
    times = []
    for tenth in range(600):
        now = LATER + tenth / 10
        made.seen(VIP, MAC, now)
        times += [now for act in acts(made, now) if act is Act.DEFEND]
    assert times[0] == LATER
    assert len(times) == 6
    assert all(after - before >= DEFEND_INTERVAL for before, after in itertools.pairwise(times))


def test_a_claim_that_is_not_repeated_is_not_defended_against_again() -> None:
    made = settled(Policy.DEFEND)
    made.seen(VIP, MAC, LATER)
    seen = [act for second in range(60) for act in acts(made, LATER + second)]
    assert seen.count(Act.DEFEND) == 1


def test_yielding_is_said_once() -> None:
    made = settled(Policy.YIELD)
    made.seen(VIP, MAC, LATER)
    assert made.steps(LATER, always) == [Step(Act.YIELD, VIP, MAC)]


@pytest.mark.parametrize("policy", [Policy.ALARM, Policy.DEFEND])
def test_it_is_over_when_the_machine_was_silent_though_it_was_asked(policy: Policy) -> None:
    made = settled(policy)
    made.seen(VIP, MAC, LATER)
    made.steps(LATER, always)
    over = LATER + OVER_AFTER
    seen = {second: acts(made, LATER + second) for second in range(1, 40)}
    assert seen[round(ASK_EVERY)] == [Act.ASK]
    assert seen[round(OVER_AFTER)] == [Act.OVER]
    assert made.rivals() == {}
    assert acts(made, over + 60) == []


def test_losing_the_address_ends_what_was_told_and_nothing_else() -> None:
    made = settled()
    made.seen(VIP, MAC, LATER)
    made.steps(LATER, always)
    made.seen(VIP, OTHER, LATER + 1)
    assert made.ceased(VIP) == [Step(Act.OVER, VIP, MAC)]
    assert made.ceased(VIP) == []


def test_of_a_thousand_forged_senders_few_are_kept() -> None:
    made = settled()
    news = [made.seen(VIP, f"02:00:00:00:{high:02x}:{low:02x}", LATER) for high in range(4) for low in range(250)]
    assert news.count(True) == MOST
    assert len(made.steps(LATER, always)) == MOST


@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from([MAC, OTHER])), max_size=40), st.floats(0, 60))
def test_without_a_confirmed_lease_nothing_is_ever_told(sightings: list[tuple[float, str]], confirmed: float) -> None:
    made = rivalry()
    now = 0.0
    for moment, mac in sorted(sightings):
        now = confirmed + 0.001 + moment
        made.seen(VIP, mac, now)
        assert not {Act.TELL, Act.YIELD, Act.DEFEND} & set(acts(made, now, confirmed))
