"""A neighbour cache as Linux keeps it, as far as it decides where packets go. Pure: times are passed in.

Written after ``net/core/neighbour.c`` (``neigh_update``, ``neigh_timer_handler``, ``__neigh_event_send``) and
``net/ipv4/arp.c`` (``arp_process``), with the kernel's defaults. What matters for a takeover: an entry is believed
while it is stale, delayed and probed, for eleven seconds or so after it went wrong; an ARP answer is not believed
within a second after another one, a gratuitous one is; what is claimed without being asked makes no new entry.
"""

import enum
import math
from collections.abc import Callable

import attrs

from kubevip.model import IPAddress
from kubevip.testing.frames import Word

# net.ipv4.neigh.default: locktime, delay_first_probe_time, retrans_time_ms, ucast_solicit, mcast_solicit,
# base_reachable_time_ms.
LOCKTIME, DELAY_FIRST_PROBE, RETRANSMIT = 1.0, 5.0, 1.0
UNICAST_PROBES, BROADCAST_PROBES = 3, 3
BASE_REACHABLE = 30.0


class State(enum.Enum):
    """What is known of a neighbour (``include/uapi/linux/neighbour.h``)."""

    INCOMPLETE = "asked for"
    REACHABLE = "known to be there"
    STALE = "was there"
    DELAY = "waits for a confirmation"
    PROBE = "is asked whether it is still there"
    FAILED = "does not answer"


_INVALID = (State.INCOMPLETE, State.FAILED)


@attrs.define
class Neighbour:
    """One entry: *mac* is believed unless the state is INCOMPLETE or FAILED. *due* is when time changes it."""

    state: State
    mac: bytes = b""
    updated: float = -math.inf
    confirmed: float = -math.inf
    used: float = -math.inf
    probes: int = 0
    due: float = math.inf


@attrs.frozen
class Question:
    """Ask for *address*: everybody, or where it was last (*mac*)."""

    address: IPAddress
    mac: bytes


@attrs.define(eq=False)
class NeighbourCache:
    """The entries of one machine. *spread* returns a number from 0 to 1, for how long an entry stays reachable."""

    _spread: Callable[[], float]
    _entries: dict[IPAddress, Neighbour] = attrs.field(factory=dict, init=False)

    def entry(self, address: IPAddress) -> Neighbour | None:
        """Return what is known of *address*."""
        return self._entries.get(address)

    def place(self, address: IPAddress) -> bytes:
        """Return where packets to *address* go; empty where that isn't known."""
        entry = self._entries.get(address)
        return b"" if entry is None or entry.state in _INVALID else entry.mac

    def use(self, address: IPAddress, now: float) -> tuple[bytes, Question | None]:
        """Send a packet to *address*: return where it goes, empty where that isn't known, and what to ask for."""
        entry = self._entries.get(address)
        if entry is None or entry.state is State.FAILED:
            due = now + RETRANSMIT
            self._entries[address] = Neighbour(State.INCOMPLETE, updated=now, used=now, probes=1, due=due)
            return b"", Question(address, b"")
        entry.used = now
        if entry.state is State.STALE:
            entry.state, entry.due = State.DELAY, now + DELAY_FIRST_PROBE
        return (b"" if entry.state in _INVALID else entry.mac), None

    def confirm(self, address: IPAddress, now: float) -> None:
        """Note that something came back from *address*, as TCP does."""
        entry = self._entries.get(address)
        if entry is not None and entry.state not in _INVALID:
            entry.confirmed = now

    def hear(self, word: Word, now: float) -> None:
        """Learn from a frame who has which address."""
        if word.claimed is None:
            return
        entry = self._entries.get(word.claimed)
        if entry is None:
            return
        state = State.REACHABLE if word.answer else State.STALE
        self._update(entry, word.mac, state, self._overrides(entry, word, now), now)

    @staticmethod
    def _overrides(entry: Neighbour, word: Word, now: float) -> bool:
        assert word.claimed is not None
        if word.claimed.version == 6:
            return word.overrides
        gratuitous = word.asked is None and not word.answer
        return gratuitous or now > entry.updated + LOCKTIME

    def _update(self, entry: Neighbour, mac: bytes, state: State, override: bool, now: float) -> None:
        valid = entry.state not in _INVALID
        moves = mac != entry.mac
        if valid and moves and not override:
            return
        if valid and not moves and state is State.STALE:
            return
        if state is State.REACHABLE:
            entry.confirmed = now
        elif moves:
            entry.confirmed = now - 2 * BASE_REACHABLE
        if state is not entry.state or moves:
            entry.updated = now
        entry.state, entry.mac = state, mac
        entry.due = now + self._reachable() if state is State.REACHABLE else math.inf

    def _reachable(self) -> float:
        return BASE_REACHABLE * (0.5 + self._spread())

    def due(self) -> float:
        """Return when ``elapse()`` is to be called next."""
        return min((entry.due for entry in self._entries.values()), default=math.inf)

    def elapse(self, now: float) -> list[Question]:
        """Let time pass; return what to ask for."""
        due = [(address, entry) for address, entry in self._entries.items() if entry.due <= now]
        return [question for address, entry in due if (question := self._elapse(address, entry, now)) is not None]

    def _elapse(self, address: IPAddress, entry: Neighbour, now: float) -> Question | None:
        if entry.state is State.REACHABLE:
            self._suspect(entry, now)
        elif entry.state is State.DELAY and now <= entry.confirmed + DELAY_FIRST_PROBE:
            entry.state, entry.updated, entry.due = State.REACHABLE, now, entry.confirmed + self._reachable()
        elif entry.state is State.DELAY:
            entry.state, entry.updated, entry.probes = State.PROBE, now, 0
            return self._ask(address, entry, now)
        elif entry.probes < (UNICAST_PROBES if entry.state is State.PROBE else BROADCAST_PROBES):
            return self._ask(address, entry, now)
        else:
            entry.state, entry.updated, entry.due = State.FAILED, now, math.inf
        return None

    def _suspect(self, entry: Neighbour, now: float) -> None:
        until = entry.confirmed + self._reachable()
        if now < until:
            entry.due = until
        elif now <= entry.used + DELAY_FIRST_PROBE:
            entry.state, entry.updated, entry.due = State.DELAY, now, now + DELAY_FIRST_PROBE
        else:
            entry.state, entry.updated, entry.due = State.STALE, now, math.inf

    @staticmethod
    def _ask(address: IPAddress, entry: Neighbour, now: float) -> Question:
        entry.probes += 1
        entry.due = now + RETRANSMIT
        return Question(address, entry.mac if entry.state is State.PROBE else b"")
