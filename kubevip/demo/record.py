"""What was seen, by the client and on the nodes' links, and what follows from it. Pure: times are given."""

import bisect
import itertools
from collections.abc import Iterable, Mapping

import attrs

# An answer that comes later than this many seconds after its probe is none.
PATIENCE = 1.0


@attrs.define(eq=False)
class ProbeRecord:
    """The probes of a client: when each was sent, and when and by which node it was answered."""

    _sent: list[float] = attrs.field(factory=list)
    _answered: dict[int, float] = attrs.field(factory=dict)
    _answers: list[tuple[float, int]] = attrs.field(factory=list)

    def sent(self, sequence: int, at: float) -> None:
        """Probe number *sequence*, of those counted from 0, was sent."""
        assert sequence == len(self._sent)
        self._sent.append(at)

    def answered(self, sequence: int, at: float, node: int) -> None:
        """It was answered by *node*."""
        self._answered.setdefault(sequence, at)
        self._answers.append((at, node))

    def last_answer(self) -> tuple[float, int] | None:
        """Return when the last answer came, and from which node."""
        return self._answers[-1] if self._answers else None

    def first_answer_after(self, at: float) -> float | None:
        """Return when the first answer after *at* came."""
        index = bisect.bisect_right(self._answers, at, key=lambda answer: answer[0])
        return self._answers[index][0] if index < len(self._answers) else None

    def count(self, start: float, end: float) -> tuple[int, int]:
        """Return how many probes were sent from *start* to *end*, and how many of them were not answered."""
        first, last = bisect.bisect_left(self._sent, start), bisect.bisect_right(self._sent, end)
        lost = sum(1 for sequence in range(first, last) if not self._in_time(sequence))
        return last - first, lost

    def longest_silence(self, start: float, end: float) -> float:
        """Return the longest time without an answer from *start* to *end*, in seconds."""
        inside = [at for at, _node in self._answers if start <= at <= end]
        moments = [start, *inside, end]
        return max(after - before for before, after in itertools.pairwise(moments))

    def _in_time(self, sequence: int) -> bool:
        at = self._answered.get(sequence)
        return at is not None and at - self._sent[sequence] <= PATIENCE


@attrs.define(eq=False)
class HolderRecord:
    """Which nodes have the address on a link that works, and since when."""

    _changes: list[tuple[float, str, bool]] = attrs.field(factory=list)
    _now: set[str] = attrs.field(factory=set)

    def holds(self, node: str, at: float, held: bool) -> None:
        """From *at* on *node* has the address, or has it no more."""
        if held == (node in self._now):
            return
        (self._now.add if held else self._now.discard)(node)
        self._changes.append((at, node, held))

    @property
    def holders(self) -> frozenset[str]:
        """The nodes that have the address now."""
        return frozenset(self._now)

    def with_several(self, start: float, end: float) -> float:
        """Return for how many seconds from *start* to *end* more than one node had the address."""
        total = 0.0
        held: set[str] = set()
        since = start
        for at, node, has in [*self._changes, (end, "", False)]:
            moment = min(max(at, start), end)
            if len(held) > 1:
                total += moment - since
            since = moment
            if node:
                (held.add if has else held.discard)(node)
        return total


@attrs.frozen(kw_only=True)
class Outcome:
    """What an event cost: milliseconds without an answer and with two holders, probes lost of those sent."""

    event: str
    gap_ms: float
    lost: int
    sent: int
    two_holders_ms: float
    source: str
    target: str

    def to_json(self) -> Mapping[str, object]:
        """Return the object that ``demo --json`` prints for an event."""
        return {
            "event": self.event,
            "gap_ms": self.gap_ms,
            "lost": self.lost,
            "sent": self.sent,
            "two_holders_ms": self.two_holders_ms,
            "from": self.source,
            "to": self.target,
        }


def outcome(
    event: str, probes: ProbeRecord, holders: HolderRecord, *, start: float, end: float, source: str
) -> Outcome:
    """Sum up an event that began at *start*, when *source* held the address, and was over at *end*."""
    sent, lost = probes.count(start, end - PATIENCE)
    target = only(holders.holders)
    return Outcome(
        event=event,
        gap_ms=round(1000 * probes.longest_silence(start, end - PATIENCE), 1),
        lost=lost,
        sent=sent,
        two_holders_ms=round(1000 * holders.with_several(start, end), 1),
        source=source,
        target=target,
    )


def only(nodes: Iterable[str]) -> str:
    """Return the one node of *nodes*; empty where there is none or more than one."""
    found = list(nodes)
    return found[0] if len(found) == 1 else ""
