"""Bidirectional forwarding detection, sans I/O (RFC 5880, asynchronous mode): is the other side still there?

Both sides send small packets at an agreed pace; who misses several in a row says so, and goes down.
"""

import enum
import struct
from collections.abc import Callable, Mapping
from itertools import product

import attrs

from kubevip_bgp.neighbors import Detection

_VERSION = 1
_FORMAT = "!BBBBIIIII"
LENGTH = struct.calcsize(_FORMAT)
_POLL, _FINAL, _AUTHENTICATION, _MULTIPOINT = 0x20, 0x10, 0x04, 0x01
_MICRO = 1_000_000
# RFC 5880 section 6.8.3: nobody sends faster than this, in seconds, before it is up.
SLOW = 1.0
# RFC 5880 section 6.8.7: each pause is shorter by up to a quarter; with a multiplier of 1 by a tenth at least.
_LONGEST, _LONGEST_OF_ONE, _SHORTEST = 1.0, 0.9, 0.75


class State(enum.IntEnum):
    """How one side sees the session."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(enum.IntEnum):
    """Why it was left last."""

    NONE = 0
    EXPIRED = 1
    NEIGHBOR_DOWN = 3
    ADMIN_DOWN = 7


def _table() -> dict[tuple[State, State], State]:
    """RFC 5880 section 6.8.6: our state and the other side's to our next one."""
    table = {(ours, theirs): ours for ours, theirs in product(State, State)}
    for ours in (State.INIT, State.UP):
        table[ours, State.ADMIN_DOWN] = State.DOWN
    table[State.DOWN, State.DOWN] = State.INIT
    table[State.DOWN, State.INIT] = State.UP
    table[State.INIT, State.INIT] = table[State.INIT, State.UP] = State.UP
    table[State.UP, State.DOWN] = State.DOWN
    return table


TABLE: Mapping[tuple[State, State], State] = _table()


class Malformed(ValueError):
    """A packet that has to be thrown away (RFC 5880 section 6.8.6)."""


@attrs.frozen(kw_only=True)
class Packet:
    """A control packet. Intervals are in seconds; *receive* 0: send me none."""

    state: State
    diagnostic: int = 0
    poll: bool = False
    final: bool = False
    multiplier: int = 3
    mine: int
    yours: int = 0
    transmit: float = SLOW
    receive: float = SLOW


def encode(packet: Packet) -> bytes:
    """Return a packet as it is sent."""
    return struct.pack(
        _FORMAT,
        _VERSION << 5 | packet.diagnostic,
        packet.state << 6 | _POLL * packet.poll | _FINAL * packet.final,
        packet.multiplier,
        LENGTH,
        packet.mine,
        packet.yours,
        round(packet.transmit * _MICRO),
        round(packet.receive * _MICRO),
        0,
    )


def decode(data: bytes) -> Packet:
    """Read a packet.

    :raises Malformed: if it has to be thrown away, with the reason.
    """
    if len(data) < LENGTH:
        raise Malformed(f"{len(data)} bytes")
    head, flags, multiplier, length, mine, yours, transmit, receive, _echo = struct.unpack_from(_FORMAT, data)
    state = State(flags >> 6)
    wrong = {
        f"version {head >> 5}": head >> 5 != _VERSION,
        f"a length of {length} in {len(data)} bytes": not LENGTH <= length <= len(data),
        "a multiplier of 0": not multiplier,
        "authentication, which nobody asked for": bool(flags & _AUTHENTICATION),
        "the multipoint bit": bool(flags & _MULTIPOINT),
        "no discriminator": not mine,
        f"none of our discriminator in state {state.name}": not yours and state in (State.INIT, State.UP),
    }
    for reason, is_so in wrong.items():
        if is_so:
            raise Malformed(reason)
    return Packet(
        state=state,
        diagnostic=head & 0x1F,
        poll=bool(flags & _POLL),
        final=bool(flags & _FINAL),
        multiplier=multiplier,
        mine=mine,
        yours=yours,
        transmit=transmit / _MICRO,
        receive=receive / _MICRO,
    )


@attrs.define(eq=False)
class Detector:
    """Our side of one session. *discriminator* tells it apart from our others; *now* is in seconds, monotonic.

    *random* returns numbers from 0 to 1, for the jitter of the pace.
    """

    wanted: Detection
    discriminator: int
    random: Callable[[], float]
    state: State = attrs.field(default=State.DOWN, init=False)
    diagnostic: Diagnostic = attrs.field(default=Diagnostic.NONE, init=False)
    _theirs: Packet | None = attrs.field(default=None, init=False)
    _polling: bool = attrs.field(default=False, init=False)
    _outbox: list[bytes] = attrs.field(factory=list, init=False)
    _send_at: float | None = attrs.field(default=None, init=False)
    _expires: float | None = attrs.field(default=None, init=False)

    def start(self, now: float) -> None:
        """Begin to send."""
        self._send_at = now

    def stop(self) -> None:
        """Say that it is we who don't want it any more, so nobody takes us for dead."""
        self.state, self.diagnostic = State.ADMIN_DOWN, Diagnostic.ADMIN_DOWN
        self._send_at = self._expires = None
        self._outbox.append(encode(self._packet()))

    def receive(self, data: bytes, now: float) -> None:
        """Take a packet of the other side.

        :raises Malformed: if it has to be thrown away.
        """
        packet = decode(data)
        if packet.yours and packet.yours != self.discriminator:
            raise Malformed(f"the discriminator {packet.yours} is not ours")
        if self.state is State.ADMIN_DOWN:
            return
        before = self._pace()
        self._theirs = packet
        if packet.final:
            self._polling = False
        self._become(TABLE[self.state, packet.state], Diagnostic.NEIGHBOR_DOWN)
        self._expires = now + self.detection_time()
        if packet.poll:
            self._outbox.append(encode(attrs.evolve(self._packet(), poll=False, final=True)))
        if self._pace() < before:
            self._send_at = now

    def advance(self, now: float) -> None:
        """Do what is due at *now*."""
        if self._expires is not None and now >= self._expires:
            self._expires = None
            self._theirs = None
            self._become(State.DOWN, Diagnostic.EXPIRED)
        if self._send_at is not None and now >= self._send_at:
            self._outbox.append(encode(self._packet()))
            self._send_at = now + self._pace() * self._jitter()

    def deadline(self) -> float | None:
        """Return when ``advance()`` has to be called."""
        return min((at for at in (self._send_at, self._expires) if at is not None), default=None)

    def data_to_send(self) -> list[bytes]:
        """Return the packets that are to be sent, once."""
        packets, self._outbox = self._outbox, []
        return packets

    def detection_time(self) -> float:
        """Return after how many seconds without a packet the other side is taken for dead."""
        if self._theirs is None:
            return 0.0
        return self._theirs.multiplier * max(self.wanted.receive, self._theirs.transmit)

    def _become(self, state: State, diagnostic: Diagnostic) -> None:
        if state is self.state:
            return
        self.state = state
        if state is State.UP:
            # Our pace changes, and that has to be agreed on.
            self._polling, self.diagnostic = True, Diagnostic.NONE
        elif state is State.DOWN:
            self._polling, self.diagnostic = False, diagnostic

    def _transmit(self) -> float:
        return self.wanted.transmit if self.state is State.UP else max(SLOW, self.wanted.transmit)

    def _pace(self) -> float:
        """Return the interval of our packets: no faster than the other side wants them."""
        return max(self._transmit(), self._theirs.receive if self._theirs is not None else 0.0)

    def _jitter(self) -> float:
        longest = _LONGEST_OF_ONE if self.wanted.multiplier == 1 else _LONGEST
        return _SHORTEST + (longest - _SHORTEST) * self.random()

    def _packet(self) -> Packet:
        return Packet(
            state=self.state,
            diagnostic=self.diagnostic,
            poll=self._polling,
            multiplier=self.wanted.multiplier,
            mine=self.discriminator,
            yours=self._theirs.mine if self._theirs is not None else 0,
            transmit=self._transmit(),
            receive=self.wanted.receive,
        )
