"""Heartbeats between the candidates for a Lease: how they are written, whom to believe, and whom to miss. Pure.

The Lease stays the only authority. Heartbeats make a holder that is gone known sooner: who misses it, and finds
nobody to answer for its addresses, takes the Lease by an ordinary compare-and-swap before it expires.

A holder that sends heartbeats says so in an annotation of the Lease, its *badge*, with a key that is new with each
term. So only who may read the Lease can forge a heartbeat, one of an earlier term is nothing any more, and a holder
without a badge of its own, such as kube-vip, is never hurried.

A frame is an Ethernet multicast of a local EtherType (IEEE 802, clause 9.2.4), for addresses of both families alike:

    magic 4 | version 1 | state 1 | interval 2, ms | term 4 | sequence 8 | Lease 8 | name 1 + n | MAC 16 | MAC 16

The state is the sender's role and, times 16, what it knows of the API server. The Lease is the start of the SHA-256 of
its name. The MACs are the start of HMAC-SHA-256 of what is before them, by this term's key, and by the last term's: its
holder, who may not have heard yet, can tell that he has a successor.
"""

import enum
import functools
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import Self

import attrs

from kubevip.model import LeaseKey

ANNOTATION = "kubevip.io/heartbeat"
ETHERTYPE = 0x88B5
DESTINATION = bytes.fromhex("036b76697068")
# So many are missed before anybody is missed.
MISSED = 3
# After so many intervals, and so many seconds, who has never heard the holder of a badge knows that it won't.
DEAF_INTERVALS, DEAF_SECONDS = 10, 3.0
MAGIC, VERSION = b"kvhb", 1
_HEAD = struct.Struct("!4sBBHIQ8sB")
_MAC = 16
# Where things are in a frame, and how short it can be.
AT_MAGIC, AT_VERSION, AT_TERM, AT_LEASE = 14, 18, 22, 34
SHORTEST = 14 + _HEAD.size + 2 * _MAC
_LONGEST_NAME = 253
_KEY = 32


class Role(enum.IntEnum):
    """What the sender of a heartbeat is."""

    HOLDER = 1
    CANDIDATE = 2


class Opinion(enum.Enum):
    """What those who send heartbeats for a Lease say of the API server."""

    AWAY = "most can't reach the API server, and nobody who is heard can"
    ANSWERS = "another node reaches the API server"
    UNKNOWN = "there is no majority that says that the API server is away"


class Reach(enum.IntEnum):
    """What the sender of a heartbeat knows of the API server; a candidate asks when its holder can't renew."""

    UNKNOWN = 0
    ANSWERS = 1
    AWAY = 2


_ROLES, _REACHES = frozenset(Role), frozenset(Reach)


@attrs.frozen
class Badge:
    """What a holder says in the Lease of its heartbeats. It counts while the Lease names *holder* in *term*.

    *interval* is in seconds. *previous* is the key of the term before, which its holder still goes by.
    """

    holder: str
    term: int
    interval: float
    key: bytes = attrs.field(repr=False)
    previous: bytes = attrs.field(default=b"", repr=False)

    @classmethod
    @functools.lru_cache(maxsize=64)  # it is looked at with each heartbeat
    def parse(cls, text: str) -> Self | None:
        """Read it; what is none is nothing."""
        parts = text.split()
        if len(parts) not in (5, 6) or parts[0] != f"v{VERSION}" or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        try:
            keys = [bytes.fromhex(part) for part in parts[3:-1]]
        except ValueError:
            return None
        milliseconds = int(parts[2])
        if not 1 <= milliseconds <= 0xFFFF or any(len(key) != _KEY for key in keys):
            return None
        return cls(parts[-1], int(parts[1]), milliseconds / 1000, keys[0], keys[1] if len(keys) > 1 else b"")

    def __str__(self) -> str:
        keys = " ".join(key.hex() for key in (self.key, self.previous) if key)
        return f"v{VERSION} {self.term} {round(1000 * self.interval)} {keys} {self.holder}"


@attrs.frozen
class Beat:
    """One heartbeat for a Lease. *sequence* grows with each that *sender* sends in a *term*; *interval* is seconds."""

    lease: LeaseKey
    sender: str
    role: Role
    term: int
    sequence: int
    interval: float
    reach: Reach = Reach.UNKNOWN


class Unreadable(ValueError):
    """A frame is no heartbeat of ours, or not to be believed; the message says why."""


def seal(beat: Beat, badge: Badge, mac: bytes) -> bytes:
    """Return *beat* as a frame from the link-layer address *mac*."""
    name = beat.sender.encode()[:_LONGEST_NAME]
    head = _HEAD.pack(
        MAGIC,
        VERSION,
        beat.reach << 4 | beat.role,
        round(1000 * beat.interval),
        beat.term,
        beat.sequence,
        lease_id(beat.lease),
        len(name),
    )
    body = head + name
    return DESTINATION + mac + ETHERTYPE.to_bytes(2) + body + _sign(body, badge.key) + _sign(body, badge.previous)


def lease_of(frame: bytes) -> bytes:
    """Return the id of the Lease that a frame is for, whoever sent it.

    :raises Unreadable: if it is no heartbeat.
    """
    return _unpack(frame)[6]


def unseal(frame: bytes, lease: LeaseKey, badge: Badge) -> Beat:
    """Read a frame for *lease* by the key of *badge*.

    A holder of a later term than the badge's is believed by the badge's key, too: it is the last one to it.

    :raises Unreadable: if it is no heartbeat, or not to be believed.
    """
    _magic, _version, state, milliseconds, term, sequence, wanted, length = _unpack(frame)
    reach, role = divmod(state, 16)
    if wanted != lease_id(lease):
        raise Unreadable("it is for another Lease")
    start = 14
    end = start + _HEAD.size + length
    body, macs = frame[start:end], frame[end : end + 2 * _MAC]
    if len(macs) != 2 * _MAC:
        raise Unreadable("it is cut short")
    # By the key of a term that is over only its successor may speak.
    by = macs[:_MAC] if term == badge.term else macs[_MAC:]
    if term < badge.term or not hmac.compare_digest(by, _sign(body, badge.key)):
        raise Unreadable("its key is another one")
    if role not in _ROLES or reach not in _REACHES:
        raise Unreadable(f"its role is {role}, and what it knows of the API server {reach}")
    try:
        name = body[_HEAD.size :].decode()
    except UnicodeDecodeError as error:
        raise Unreadable("its sender has no name") from error
    return Beat(lease, name, Role(role), term, sequence, milliseconds / 1000, Reach(reach))


def _unpack(frame: bytes) -> tuple[bytes, int, int, int, int, int, bytes, int]:
    if len(frame) < SHORTEST or len(frame) > 14 + _HEAD.size + 255 + 2 * _MAC + 64:
        raise Unreadable(f"it has {len(frame)} octets")
    fields: tuple[bytes, int, int, int, int, int, bytes, int] = _HEAD.unpack_from(frame, 14)
    if fields[0] != MAGIC:
        raise Unreadable("it is something else")
    if fields[1] != VERSION:
        raise Unreadable(f"its version is {fields[1]}, and ours {VERSION}")
    return fields


@functools.cache
def lease_id(lease: LeaseKey) -> bytes:
    """Return what stands for *lease* in frames."""
    return hashlib.sha256(str(lease).encode()).digest()[:8]


def _sign(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_MAC] if key else bytes(_MAC)


@attrs.define(eq=False)
class Vigil:
    """Who was heard when, in one term of a Lease; from it follows who is missed. Times are on the caller's clock.

    It begins at *since*.
    """

    badge: Badge
    own: str
    since: float = 0.0
    _last: dict[str, tuple[float, int]] = attrs.field(factory=dict, init=False)
    _reach: dict[str, Reach] = attrs.field(factory=dict, init=False)

    def heard(self, beat: Beat, now: float) -> bool:
        """Note a heartbeat of this term; tell whether it counts: one that was heard before doesn't."""
        known = self._last.get(beat.sender)
        if beat.sender == self.own or (known is not None and beat.sequence <= known[1]):
            return False
        self._last[beat.sender] = (now, beat.sequence)
        self._reach[beat.sender] = beat.reach
        return True

    def is_last(self, beat: Beat) -> bool:
        """Tell whether *beat* is the last one that was heard of its sender, come by another way."""
        known = self._last.get(beat.sender)
        return known is not None and beat.sequence == known[1]

    def excuse(self, now: float) -> None:
        """Whoever was not heard meanwhile could not be: this process itself has stood still."""
        self._last = {sender: (now, sequence) for sender, (_, sequence) in self._last.items()}

    @property
    def knows_holder(self) -> bool:
        """Whether the holder was heard in this term: who never was can't be missed."""
        return self.badge.holder in self._last

    def is_deaf(self, now: float) -> bool:
        """Tell whether the holder's heartbeats don't get through: its badge says that it sends some."""
        patience = max(DEAF_SECONDS, DEAF_INTERVALS * self.badge.interval)
        return self.badge.holder != self.own and not self.knows_holder and now - self.since > patience

    def misses_holder(self, now: float) -> bool:
        """Tell whether the holder is missed, and it is our turn: candidates take theirs in the order of names."""
        return self.silent_for(now, MISSED + self.rank(now))

    def suspects_holder(self, now: float) -> bool:
        """Tell whether the holder is about to be missed: time to ask for its addresses."""
        return self.silent_for(now, MISSED - 1 + self.rank(now))

    def silent_for(self, now: float, intervals: int) -> bool:
        """Tell whether the holder was heard in this term, and then for so many intervals no more."""
        return self.knows_holder and now - self._last[self.badge.holder][0] > intervals * self.badge.interval

    def rank(self, now: float) -> int:
        """Return how many of the candidates that are heard go before us."""
        return sorted({*self.company(now), self.own}).index(self.own)

    def company(self, now: float) -> list[str]:
        """Return the other candidates that were heard lately: proof that it isn't we who are cut off."""
        since = now - MISSED * self.badge.interval
        return [
            name for name, (at, _) in self._last.items() if name not in (self.badge.holder, self.own) and at > since
        ]

    def opinion(self, now: float) -> Opinion:
        """Tell what we, who can't reach the API server, and all others of this term say of it."""
        since = now - MISSED * self.badge.interval
        told = [self._reach[name] for name, (at, _) in self._last.items() if at > since]
        if Reach.ANSWERS in told:
            return Opinion.ANSWERS
        # Who has never heard anybody knows nothing: the others may send no heartbeats.
        agree = 1 + told.count(Reach.AWAY)
        return Opinion.AWAY if self._last and 2 * agree > 1 + len(self._last) else Opinion.UNKNOWN

    def is_alone(self, now: float) -> bool:
        """Tell whether all of those that were heard in this term are missed."""
        since = now - MISSED * self.badge.interval
        return bool(self._last) and all(at <= since for at, _ in self._last.values())

    def statistics(self) -> Mapping[str, float]:
        """Return when each was last heard."""
        return {name: at for name, (at, _) in self._last.items()}
