"""A neighbour cache believes, doubts and asks as Linux does."""

from ipaddress import ip_address

import pytest

from kubevip.testing.frames import Word
from kubevip.testing.simulation.neighbours import LOCKTIME, NeighbourCache, Question, State

ONE, OTHER = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
V4, V6 = ip_address("10.0.0.99"), ip_address("fd00::99")
both = pytest.mark.parametrize("address", [V4, V6], ids=["arp", "ndp"])


def told(address: object, mac: bytes = ONE, **how: bool) -> Word:
    return Word(mac, claimed=address, **how)


def cache(address: object = None, mac: bytes = ONE) -> NeighbourCache:
    """A cache that has learnt at time 0 where *address* is."""
    made = NeighbourCache(lambda: 0.5)
    if address is not None:
        made.use(address, 0.0)
        made.hear(told(address, mac, answer=True), 0.0)
    return made


def state(of: NeighbourCache, address: object) -> State:
    entry = of.entry(address)
    assert entry is not None
    return entry.state


@both
def test_the_first_packet_asks_everybody_and_goes_nowhere(address: object) -> None:
    assert cache().use(address, 0.0) == (b"", Question(address, b""))


@both
def test_an_answer_is_believed(address: object) -> None:
    made = cache(address)
    assert state(made, address) is State.REACHABLE
    assert made.use(address, 1.0) == (ONE, None)


@both
def test_what_nobody_asked_for_makes_no_entry(address: object) -> None:
    made = cache()
    made.hear(told(address), 0.0)
    assert made.entry(address) is None


@both
def test_who_does_not_answer_three_times_has_failed_and_is_asked_anew(address: object) -> None:
    made = cache()
    made.use(address, 0.0)
    asked = [made.elapse(made.due()) for _time in range(3)]
    assert asked == [[Question(address, b"")], [Question(address, b"")], []]
    assert state(made, address) is State.FAILED
    assert made.use(address, 10.0) == (b"", Question(address, b""))


@both
def test_an_announcement_moves_an_entry_at_once(address: object) -> None:
    made = cache(address)
    made.hear(told(address, OTHER), 0.1)
    assert made.use(address, 0.2) == (OTHER, None)


def test_within_the_locktime_the_first_arp_answer_counts() -> None:
    made = cache(V4)
    made.hear(told(V4, OTHER, answer=True), LOCKTIME / 2)
    assert made.use(V4, LOCKTIME)[0] == ONE
    made.hear(told(V4, OTHER, answer=True), LOCKTIME + 0.1)
    assert made.use(V4, LOCKTIME + 0.2)[0] == OTHER


def test_ndp_knows_no_locktime_but_the_override_flag() -> None:
    made = cache(V6)
    made.hear(told(V6, OTHER, overrides=False), 0.1)
    assert made.use(V6, 0.2)[0] == ONE
    made.hear(told(V6, OTHER), 0.3)
    assert made.use(V6, 0.4)[0] == OTHER


@both
def test_what_is_not_used_grows_stale(address: object) -> None:
    made = cache(address)
    assert made.due() == 30.0
    made.elapse(30.1)
    assert state(made, address) is State.STALE


@both
def test_what_is_wrong_is_believed_until_three_questions_are_not_answered(address: object) -> None:
    made = cache(address)
    made.elapse(30.1)
    assert made.use(address, 40.0) == (ONE, None)
    assert state(made, address) is State.DELAY
    asked = []
    while state(made, address) is not State.FAILED:
        now = made.due()
        asked += made.elapse(now)
        if state(made, address) is not State.FAILED:
            assert made.use(address, now)[0] == ONE
    assert asked == [Question(address, ONE)] * 3
    assert now == 48.0


@both
def test_what_answers_a_question_is_reachable_again(address: object) -> None:
    made = cache(address)
    made.elapse(30.1)
    made.use(address, 40.0)
    made.elapse(45.0)
    made.hear(told(address, answer=True), 45.1)
    assert state(made, address) is State.REACHABLE


@both
def test_what_is_confirmed_is_not_asked_for(address: object) -> None:
    made = cache(address)
    made.elapse(30.1)
    made.use(address, 40.0)
    made.confirm(address, 41.0)
    assert made.elapse(45.0) == []
    assert state(made, address) is State.REACHABLE


@both
def test_what_was_confirmed_lately_stays_reachable(address: object) -> None:
    made = cache(address)
    made.confirm(address, 20.0)
    made.elapse(30.1)
    assert state(made, address) is State.REACHABLE
    assert made.due() == 50.0


@both
def test_an_announcement_of_what_is_known_changes_nothing(address: object) -> None:
    made = cache(address)
    made.hear(told(address), 5.0)
    assert state(made, address) is State.REACHABLE
