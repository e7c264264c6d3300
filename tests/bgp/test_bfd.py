"""BFD: golden bytes, every pair of states, two detectors that watch each other, and packets that are thrown away."""

from itertools import product

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.bfd import TABLE, Detector, Diagnostic, Malformed, Packet, State, decode, encode
from kubevip_bgp.neighbors import Detection

FAST = Detection(receive=0.05, transmit=0.05, multiplier=3)
# RFC 5880 section 6.8.6, our state in rows, the other side's in columns.
EXPECTED = """
            ADMIN_DOWN  DOWN        INIT        UP
ADMIN_DOWN  ADMIN_DOWN  ADMIN_DOWN  ADMIN_DOWN  ADMIN_DOWN
DOWN        DOWN        INIT        UP          DOWN
INIT        DOWN        INIT        UP          UP
UP          DOWN        DOWN        UP          UP
"""
HEAD, *ROWS = [line.split() for line in EXPECTED.strip().splitlines()]


def detector(number=1, wanted=FAST):
    found = Detector(wanted, number, lambda: 1.0)
    found.start(0)
    return found


class Wire:
    """Two detectors, and the packets between them; *cut* names those whose packets get lost."""

    def __init__(self, one=FAST, other=FAST):
        self.sides = (detector(1, one), detector(2, other))
        self.now = 0.0
        self.cut = set()
        self.sent = [[], []]

    def run(self, until):
        while True:
            for index, side in enumerate(self.sides):
                for data in side.data_to_send():
                    self.sent[index].append((self.now, decode(data)))
                    if index not in self.cut:
                        self.sides[1 - index].receive(data, self.now)
            due = min(side.deadline() for side in self.sides)
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for side in self.sides:
                side.advance(self.now)

    @property
    def states(self):
        return tuple(side.state for side in self.sides)


def test_packet_is_written_as_in_the_rfc():
    packet = Packet(
        state=State.UP,
        diagnostic=1,
        poll=True,
        multiplier=3,
        mine=0x01020304,
        yours=0x0A0B0C0D,
        transmit=0.05,
        receive=0.3,
    )
    assert encode(packet).hex() == "21e00318" + "01020304" + "0a0b0c0d" + "0000c350" + "000493e0" + "00000000"


# From BIRD 2.0.12, on a session of 50 ms.
CAPTURED = "20c00318" + "223e3b11" + "87239601" + "0000c350" + "0000c350" + "00000000"


def test_packet_of_bird_reads_as_what_it_was_told_to_send():
    found = decode(bytes.fromhex(CAPTURED))
    assert (found.state, found.multiplier, found.transmit, found.receive) == (State.UP, 3, 0.05, 0.05)
    assert (found.mine, found.yours, found.poll, found.final) == (0x223E3B11, 0x87239601, False, False)


@given(
    st.builds(
        Packet,
        state=st.sampled_from(State),
        diagnostic=st.integers(0, 31),
        poll=st.booleans(),
        final=st.booleans(),
        multiplier=st.integers(1, 255),
        mine=st.integers(1, 2**32 - 1),
        yours=st.integers(1, 2**32 - 1),
        transmit=st.integers(0, 2**32 - 1).map(lambda micro: micro / 1_000_000),
        receive=st.integers(0, 2**32 - 1).map(lambda micro: micro / 1_000_000),
    )
)
def test_every_packet_reads_as_it_was_written(packet):
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=60))
def test_anything_is_read_or_thrown_away(data):
    try:
        decode(data)
    except Malformed:
        return


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0x40, "version 2"),
        (2, 0, "a multiplier of 0"),
        (3, 23, "a length of 23"),
        (3, 25, "a length of 25"),
        (1, 0xC4, "authentication"),
        (1, 0xC1, "the multipoint bit"),
    ],
)
def test_packet_that_can_not_be_is_thrown_away(at, value, reason):
    data = bytearray.fromhex(CAPTURED)
    data[at] = value
    with pytest.raises(Malformed, match=reason):
        decode(bytes(data))


def test_packet_without_discriminators_is_thrown_away():
    with pytest.raises(Malformed, match="no discriminator"):
        decode(encode(Packet(state=State.DOWN, mine=0)))
    with pytest.raises(Malformed, match="none of our discriminator in state UP"):
        decode(encode(Packet(state=State.UP, mine=1)))


def test_packet_for_another_session_is_thrown_away():
    with pytest.raises(Malformed, match="is not ours"):
        detector(1).receive(encode(Packet(state=State.DOWN, mine=2, yours=9)), 0)


def test_table_is_that_of_the_rfc_for_every_pair_of_states():
    expected = {
        (State[row[0]], State[column]): State[cell] for row in ROWS for column, cell in zip(HEAD, row[1:], strict=True)
    }
    assert set(expected) == set(product(State, State))
    assert expected == TABLE


@pytest.mark.parametrize(("ours", "theirs"), TABLE, ids=lambda each: each.name)
def test_detector_does_what_the_table_says(ours, theirs):
    found = detector(1)
    found.state = ours
    found.receive(encode(Packet(state=theirs, mine=2, yours=1)), 0)
    assert found.state is TABLE[ours, theirs]


def test_two_sides_come_up():
    wire = Wire()
    wire.run(3)
    assert wire.states == (State.UP, State.UP)


def test_nobody_is_fast_before_both_are_up():
    wire = Wire()
    wire.cut = {0, 1}
    wire.run(10)
    assert len(wire.sent[0]) == 11
    assert {packet.transmit for _at, packet in wire.sent[0]} == {1.0}


def test_pace_is_agreed_on_by_a_poll_and_kept():
    wire = Wire()
    wire.run(3)
    assert any(packet.final for _at, packet in wire.sent[1])
    before = len(wire.sent[0])
    wire.run(4)
    assert 18 <= len(wire.sent[0]) - before <= 22
    assert not wire.sent[0][-1][1].poll


def test_slower_side_sets_the_pace():
    wire = Wire(other=attrs.evolve(FAST, receive=0.5))
    wire.run(5)
    before = len(wire.sent[0])
    wire.run(10)
    assert 9 <= len(wire.sent[0]) - before <= 11


def test_dead_side_is_known_after_three_intervals():
    wire = Wire()
    wire.run(3)
    wire.cut = {1}
    wire.run(3.1)
    assert wire.sides[0].state is State.UP
    wire.run(3.2)
    assert wire.sides[0].state is State.DOWN
    assert wire.sides[0].diagnostic is Diagnostic.EXPIRED


def test_other_side_is_told_that_it_is_not_heard():
    wire = Wire()
    wire.run(3)
    wire.cut = {1}
    wire.run(3.3)
    assert wire.states == (State.DOWN, State.DOWN)
    assert wire.sides[1].diagnostic is Diagnostic.NEIGHBOR_DOWN


def test_both_come_up_again_when_the_wire_is_whole():
    wire = Wire()
    wire.run(3)
    wire.cut = {0, 1}
    wire.run(6)
    assert wire.states == (State.DOWN, State.DOWN)
    wire.cut = set()
    wire.run(9)
    assert wire.states == (State.UP, State.UP)


def test_side_that_is_stopped_says_so_and_is_heard():
    wire = Wire()
    wire.run(3)
    wire.sides[1].stop()
    (last,) = wire.sides[1].data_to_send()
    wire.sides[0].receive(last, 3)
    assert wire.sides[0].state is State.DOWN
    assert wire.sides[0].diagnostic is Diagnostic.NEIGHBOR_DOWN
    assert wire.sides[1].deadline() is None
