"""Heartbeats on the wire: what is sent is read, and nothing else is believed."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.heartbeat import Badge, Beat, Opinion, Reach, Role, Unreadable, Vigil, lease_id, lease_of, seal, unseal
from kubevip.model import LeaseKey

LEASE, OTHER = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
MAC = bytes.fromhex("020000000001")
KEY, LAST = bytes(range(32)), bytes(range(32, 64))
BADGE = Badge("node1", 7, 0.1, KEY, LAST)
BEAT = Beat(LEASE, "node1", Role.HOLDER, 7, 12345, 0.1)

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=253)


@given(
    names,
    st.sampled_from(Role),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(1, 65535).map(lambda interval: interval / 1000),
    st.sampled_from(Reach),
)
def test_what_is_sent_is_read(name: str, role: Role, term: int, sequence: int, interval: float, reach: Reach) -> None:
    badge = Badge(name, term, interval, KEY)
    beat = Beat(LEASE, name, role, term, sequence, interval, reach)
    assert unseal(seal(beat, badge, MAC), LEASE, badge) == beat


def test_golden_bytes() -> None:
    body = bytes.fromhex("6b76686201010064000000070000000000003039") + lease_id(LEASE) + b"\x05node1"
    macs = b"".join(hmac.new(key, body, hashlib.sha256).digest()[:16] for key in (KEY, LAST))
    assert seal(BEAT, BADGE, MAC) == bytes.fromhex("036b7669706802000000000188b5") + body + macs
    assert lease_id(LEASE) == hashlib.sha256(b"kube-system/plndr-cp-lock").digest()[:8]


@given(st.integers(14, len(seal(BEAT, BADGE, MAC)) - 17), st.integers(1, 255))
def test_a_frame_that_was_changed_anywhere_is_refused(at: int, by: int) -> None:
    frame = bytearray(seal(BEAT, BADGE, MAC))
    frame[at] ^= by
    with pytest.raises(Unreadable):
        unseal(bytes(frame), LEASE, BADGE)


@given(st.integers(0, len(seal(BEAT, BADGE, MAC)) - 1))
def test_a_frame_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(Unreadable):
        unseal(seal(BEAT, BADGE, MAC)[:length], LEASE, BADGE)


@given(st.binary(max_size=2000))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Unreadable):
        unseal(noise, LEASE, BADGE)


@pytest.mark.parametrize("more", [1, 45, 400, 8000])
def test_what_follows_a_frame_is_nothing_or_refused(more: int) -> None:
    frame = seal(BEAT, BADGE, MAC) + bytes(more)
    if len(frame) < 380:
        # Ethernet pads short frames.
        assert unseal(frame, LEASE, BADGE) == BEAT
    else:
        with pytest.raises(Unreadable, match="octets"):
            unseal(frame, LEASE, BADGE)


def test_a_frame_for_another_lease_is_refused() -> None:
    with pytest.raises(Unreadable, match="another Lease"):
        unseal(seal(BEAT, BADGE, MAC), OTHER, BADGE)
    assert lease_of(seal(BEAT, BADGE, MAC)) == lease_id(LEASE)


def test_without_the_key_nobody_is_believed() -> None:
    forged = seal(BEAT, Badge("node1", 7, 0.1, bytes(32)), MAC)
    with pytest.raises(Unreadable, match="key"):
        unseal(forged, LEASE, BADGE)


def test_a_heartbeat_of_an_earlier_term_is_nothing_any_more() -> None:
    old = Badge("node1", 6, 0.1, LAST)
    with pytest.raises(Unreadable, match="key"):
        unseal(seal(Beat(LEASE, "node1", Role.HOLDER, 6, 1, 0.1), old, MAC), LEASE, BADGE)


def test_the_last_holder_believes_its_successor_by_its_own_key() -> None:
    before = Badge("node0", 6, 0.1, LAST)
    assert unseal(seal(BEAT, BADGE, MAC), LEASE, before) == BEAT


def test_a_successor_is_not_believed_without_that_key() -> None:
    before = Badge("node0", 6, 0.1, bytes(32))
    with pytest.raises(Unreadable, match="key"):
        unseal(seal(BEAT, BADGE, MAC), LEASE, before)
    keyless = seal(BEAT, Badge("node1", 7, 0.1, KEY), MAC)
    with pytest.raises(Unreadable, match="key"):
        unseal(keyless, LEASE, Badge("node0", 6, 0.1, LAST))


def test_another_version_is_refused_by_its_number() -> None:
    frame = bytearray(seal(BEAT, BADGE, MAC))
    frame[18] = 2
    with pytest.raises(Unreadable, match="version is 2"):
        unseal(bytes(frame), LEASE, BADGE)


@given(names, st.integers(0, 2**31), st.integers(1, 65535), st.binary(min_size=32, max_size=32), st.booleans())
def test_a_badge_is_read_as_it_was_written(name: str, term: int, interval: int, key: bytes, again: bool) -> None:
    badge = Badge(name, term, interval / 1000, key, LAST if again else b"")
    assert Badge.parse(str(badge)) == badge


@pytest.mark.parametrize(
    "text",
    ["", "v1", "v2 7 100 " + KEY.hex() + " n", "v1 x 100 " + KEY.hex() + " n", "v1 7 0 " + KEY.hex() + " n",
     "v1 7 99999 " + KEY.hex() + " n", "v1 7 100 abc n", "v1 7 100 zz n", "v1 7 100 " + KEY.hex()],
)  # fmt: skip
def test_what_is_no_badge_is_none(text: str) -> None:
    assert Badge.parse(text) is None


def test_a_key_is_not_shown() -> None:
    assert KEY.hex() not in repr(BADGE)
    assert str(KEY) not in repr(BADGE)


# Missing


def beat(sender: str, sequence: int, role: Role = Role.CANDIDATE) -> Beat:
    return Beat(LEASE, sender, role, 7, sequence, 0.1)


def test_a_holder_that_was_never_heard_is_not_missed() -> None:
    vigil = Vigil(BADGE, "node2")
    vigil.heard(beat("node3", 1), 0)
    assert not vigil.misses_holder(1000)


def test_a_holder_is_missed_after_three() -> None:
    vigil = Vigil(BADGE, "node2")
    vigil.heard(beat("node1", 1, Role.HOLDER), 10)
    assert not vigil.misses_holder(10.299)
    assert vigil.misses_holder(10.301)
    assert vigil.suspects_holder(10.201)
    vigil.heard(beat("node1", 2, Role.HOLDER), 10.31)
    assert not vigil.suspects_holder(10.4)


def test_candidates_have_turns() -> None:
    vigils = {name: Vigil(BADGE, name) for name in ("node2", "node3", "node4")}
    for name, vigil in vigils.items():
        vigil.heard(beat("node1", 1, Role.HOLDER), 0)
        for other in vigils:
            vigil.heard(beat(other, 1), 0.25)
        assert vigil.misses_holder(0.31) is (name == "node2")
    assert [vigil.rank(0.4) for vigil in vigils.values()] == [0, 1, 2]


def test_what_was_heard_before_does_not_count() -> None:
    vigil = Vigil(BADGE, "node2")
    assert vigil.heard(beat("node1", 5, Role.HOLDER), 0)
    assert not vigil.heard(beat("node1", 5, Role.HOLDER), 1)
    assert not vigil.heard(beat("node1", 4, Role.HOLDER), 1)
    assert vigil.misses_holder(1)
    assert vigil.heard(beat("node1", 6, Role.HOLDER), 1)


def test_ones_own_are_not_heard() -> None:
    vigil = Vigil(BADGE, "node2")
    assert not vigil.heard(beat("node2", 1), 0)
    assert vigil.company(0) == []


def test_a_process_that_stood_still_misses_nobody_for_that() -> None:
    vigil = Vigil(BADGE, "node2")
    vigil.heard(beat("node1", 1, Role.HOLDER), 0)
    vigil.excuse(60)
    assert not vigil.misses_holder(60.2)
    assert vigil.misses_holder(60.31)


@pytest.mark.parametrize(("interval", "patience"), [(0.01, 3), (0.1, 3), (1.0, 10)])
def test_who_never_hears_the_holder_knows_after_a_while(interval: float, patience: float) -> None:
    vigil = Vigil(Badge("holder", 7, interval, KEY), "own", 100.0)
    vigil.heard(Beat(LEASE, "other", Role.CANDIDATE, 7, 1, interval), 101.0)
    assert not vigil.is_deaf(100 + patience)
    assert vigil.is_deaf(100.01 + patience)
    vigil.heard(Beat(LEASE, "holder", Role.HOLDER, 7, 1, interval), 200.0)
    assert not vigil.is_deaf(300)


def test_the_holder_itself_is_not_deaf() -> None:
    assert not Vigil(Badge("own", 7, 0.1, KEY), "own", 100.0).is_deaf(200)


def test_company_is_who_was_heard_lately_but_the_holder() -> None:
    vigil = Vigil(BADGE, "node2")
    vigil.heard(beat("node1", 1, Role.HOLDER), 0)
    vigil.heard(beat("node3", 1), 0)
    assert vigil.company(0.29) == ["node3"]
    assert vigil.company(0.31) == []


NO_MAJORITY = Opinion.UNKNOWN


@pytest.mark.parametrize(
    ("told", "opinion"),
    [
        ({}, NO_MAJORITY),
        ({"b": Reach.AWAY}, Opinion.AWAY),
        ({"b": Reach.UNKNOWN}, NO_MAJORITY),
        ({"b": Reach.AWAY, "c": Reach.UNKNOWN}, Opinion.AWAY),
        ({"b": Reach.UNKNOWN, "c": Reach.UNKNOWN}, NO_MAJORITY),
        ({"b": Reach.AWAY, "c": Reach.AWAY, "d": Reach.UNKNOWN, "e": Reach.UNKNOWN}, Opinion.AWAY),
        ({"b": Reach.AWAY, "c": Reach.UNKNOWN, "d": Reach.UNKNOWN, "e": Reach.UNKNOWN}, NO_MAJORITY),
        ({"b": Reach.AWAY, "c": Reach.ANSWERS}, Opinion.ANSWERS),
        ({"b": Reach.AWAY, "c": Reach.AWAY, "d": Reach.AWAY, "e": Reach.ANSWERS}, Opinion.ANSWERS),
    ],
)
def test_a_majority_has_to_say_that_the_api_server_is_away(told: dict[str, Reach], opinion: Opinion) -> None:
    vigil = Vigil(Badge("a", 7, 0.1, KEY), "a")
    for name, reach in told.items():
        vigil.heard(Beat(LEASE, name, Role.CANDIDATE, 7, 1, 0.1, reach), 100.0)
    assert vigil.opinion(100.2) is opinion


def test_who_is_not_heard_any_more_counts_as_one_who_might_reach_it() -> None:
    vigil = Vigil(Badge("a", 7, 0.1, KEY), "a")
    for name in "bc":
        vigil.heard(Beat(LEASE, name, Role.CANDIDATE, 7, 1, 0.1, Reach.AWAY), 100.0)
    assert vigil.opinion(100.29) is Opinion.AWAY
    assert vigil.opinion(100.31) is NO_MAJORITY


def test_alone_is_who_misses_all_that_were_there() -> None:
    vigil = Vigil(Badge("node2", 7, 0.1, KEY), "node2")
    assert not vigil.is_alone(1000)
    vigil.heard(beat("node1", 1), 0)
    vigil.heard(beat("node3", 1), 0.2)
    assert not vigil.is_alone(0.4)
    assert vigil.is_alone(0.51)
