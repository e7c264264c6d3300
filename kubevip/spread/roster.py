"""The nodes as their Leases show them: who is there, and whether a term that a record names is over. Pure.

A term is over for certain where the node's Lease says so: it names no holder and the term, or, read anew after the
record was seen, another term. That can't become untrue. A Lease that hasn't changed for its duration says nothing for
certain, since its node may renew it in the next moment: such a Lease has to be taken away first (*buried*), by a
compare-and-swap, of which the node learns at the latest when it renews.

Times are counted from when *this* node saw a Lease change, as client-go does, and from when this node itself was last
without the API server: whoever wasn't there can't tell who else wasn't.
"""

import enum
import math
from collections.abc import Iterable, Iterator

import attrs

from kubevip.custody import Facts, Holder
from kubevip.lease import Record, older
from kubevip.placement import Node


class Fate(enum.Enum):
    """What has become of a term that a record names."""

    LIVE = "its node renews its Lease"
    WAITING = "its node has no Lease, since too short a time"
    SILENT = "its node has not renewed its Lease: that has to be taken away"
    UNSURE = "its node's Lease has to be read"
    LEFT = "its node has let go of its Lease"
    BURIED = "its node's Lease was taken away, or is of another term"
    GONE = "its node has no Lease"

    @property
    def over(self) -> bool:
        """Whether the term is over, for certain and for ever."""
        return self in (Fate.LEFT, Fate.BURIED, Fate.GONE)


@attrs.define
class _Known:
    record: Record | None
    facts: Facts | None
    version: str
    changed: float
    read: float = -math.inf
    lapsed: bool = False
    missed: bool = False
    ended: float = 0.0


@attrs.define(eq=False)
class Roster:
    """What is known of all nodes. *duration* is how many seconds an absent Lease may still count at its node."""

    duration: float

    arrived: float = attrs.field(default=-math.inf, init=False)
    """When a node was last seen to come."""
    _known: dict[str, _Known] = attrs.field(factory=dict, init=False)
    _due: float = attrs.field(default=-math.inf, init=False)
    _listed: float = attrs.field(default=math.inf, init=False)
    _since: float = attrs.field(default=-math.inf, init=False)

    # What it is told

    def saw(self, node: str, record: Record | None, version: str, now: float) -> bool:
        """The watch shows the Lease of *node*; tell whether anything but its renewal is news."""
        known = self._known.get(node)
        if known is not None and older(version, known.version):
            return False
        return self._learn(node, record, version, now)

    def read(self, node: str, record: Record | None, asked: float, now: float) -> None:
        """A consistent read that was sent at *asked* shows the Lease of *node*."""
        self._learn(node, record, record.version if record is not None else "", now)
        self._known[node].read = asked

    def listed(self, nodes: Iterable[str], version: str, now: float) -> list[str]:
        """These nodes have Leases, and no others; return those of which that is news."""
        self._listed = min(self._listed, now)
        there = set(nodes)
        gone = [node for node, known in self._known.items() if known.record is not None and node not in there]
        return [node for node in gone if self.saw(node, None, version, now)]

    def wake(self, now: float) -> list[str]:
        """This node has been without the API server until *now*: whoever seems silent may just not have been heard.

        Return the nodes that don't count as silent any more.
        """
        self._since, self._due = now, now
        awake = [node for node, known in self._known.items() if known.lapsed]
        for node in awake:
            self._known[node].lapsed = False
        return awake

    def miss(self, node: str) -> None:
        """*node* is gone, by its heartbeats and by its links: its Lease counts as silent until it changes."""
        known = self._known.get(node)
        if known is not None:
            known.missed, self._due = True, -math.inf

    def hear(self, node: str) -> bool:
        """*node* is heard again; tell whether it was missed."""
        known = self._known.get(node)
        if known is None or not known.missed:
            return False
        known.missed = known.lapsed = False
        self._due = -math.inf
        return True

    def misses(self, node: str) -> bool:
        """Tell whether *node* is missed by its heartbeats."""
        known = self._known.get(node)
        return known is not None and known.missed

    def lapsed(self, now: float) -> list[str]:
        """Return the nodes that count as silent from now on, each once."""
        if now < self._due:
            # It is asked with each event, and ends only move away.
            return []
        found = [
            node
            for node, known in self._known.items()
            if not known.lapsed and _holder(known.record) and self._ends(known) <= now
        ]
        self._due = self.next_end(now)
        for node in found:
            self._known[node].lapsed = True
        return found

    def _learn(self, node: str, record: Record | None, version: str, now: float) -> bool:
        before = self._known.get(node)
        facts = _facts(record, before)
        if _holder(record) and (before is None or not _holder(before.record)):
            self.arrived = now
        self._due = min(self._due, now)
        if before is None:
            # A Lease that no list has had has been absent since the first one.
            changed = now if record is not None else min(now, self._listed)
            self._known[node] = _Known(record, facts, version, changed)
            return True
        renewed = not (record is before.record or _same(record, before.record))
        awake = renewed and (before.lapsed or before.missed)
        news = facts != before.facts or _holder(record) != _holder(before.record) or awake
        if _holder(before.record) and (not _holder(record) or _term(facts) != _term(before.facts)):
            before.ended = before.changed + self._duration(before)
        if renewed or record is None:
            before.missed = False
        if renewed:
            before.changed, before.lapsed = now, False
        before.record, before.facts, before.version = record, facts, version or before.version
        return news

    # What follows

    def known(self) -> int:
        """Return how many nodes have Leases, held or not."""
        return sum(1 for known in self._known.values() if known.facts is not None)

    def _ends(self, known: _Known) -> float:
        """Return until when what *known* says counts."""
        return -math.inf if known.missed else max(known.changed, self._since) + self._duration(known)

    def _duration(self, known: _Known) -> float:
        return (known.record.duration if known.record is not None else 0.0) or self.duration

    def present(self, now: float) -> dict[str, Node]:
        """Return the nodes that renew their Leases."""
        return {name: facts.node(name) for name, facts in self._present(now)}

    def _present(self, now: float) -> Iterator[tuple[str, Facts]]:
        for name, known in self._known.items():
            if known.facts is not None and _holder(known.record) == name and now < self._ends(known):
                yield name, known.facts

    def term(self, node: str) -> str:
        """Return the term that the Lease of *node* says; empty where there is none."""
        known = self._known.get(node)
        return known.facts.term if known is not None and known.facts is not None and _holder(known.record) else ""

    def ended(self, node: str) -> float:
        """Return by when the Lease of *node* would have ended that is held no more: so long its kernel may answer."""
        known = self._known.get(node)
        return known.ended if known is not None else 0.0

    def held(self) -> dict[str, Record]:
        """Return the Leases that nodes hold, by their nodes."""
        return {
            node: known.record
            for node, known in self._known.items()
            if known.record is not None and known.record.holder == node
        }

    def record(self, node: str) -> Record | None:
        """Return the Lease of *node* as last seen."""
        known = self._known.get(node)
        return known.record if known is not None else None

    def ends(self, node: str) -> float:
        """Return when the Lease of *node* counts as silent unless it changes; ``inf`` where that can't be."""
        known = self._known.get(node)
        return self._ends(known) if known is not None and _holder(known.record) else math.inf

    def next_end(self, now: float) -> float:
        """Return when the next Lease will count as silent."""
        ends = (self._ends(known) for known in self._known.values() if _holder(known.record))
        return min((end for end in ends if end > now), default=math.inf)

    def fate(self, holder: Holder, seen: float, now: float) -> tuple[Fate, float]:
        """Tell what has become of the term of *holder*, in a record seen at *seen*.

        And when that is to be asked again though nobody is told to have ``lapsed`` or changed.
        """
        known = self._known.get(holder.node)
        if known is None or known.record is None:
            return self._fate_of_absent(known, seen, now)
        term = _term(known.facts)
        if known.record.vacant and term == holder.term:
            return (Fate.LEFT if known.facts is not None and known.facts.left else Fate.BURIED), math.inf
        if not known.record.vacant and term in ("", holder.term):
            # A Lease that has lost its annotation is still a Lease.
            end = self._ends(known)
            return (Fate.LIVE if now < end else Fate.SILENT), math.inf
        # The record may be newer than what the watch of Leases has shown so far.
        return (Fate.BURIED if known.read > seen else Fate.UNSURE), math.inf

    def _fate_of_absent(self, known: _Known | None, seen: float, now: float) -> tuple[Fate, float]:
        end = self._ends(known) if known is not None else max(self._listed, self._since) + self.duration
        if now < end:
            return Fate.WAITING, end
        return (Fate.GONE if known is not None and known.read > max(seen, end) else Fate.UNSURE), math.inf


def _facts(record: Record | None, before: _Known | None) -> Facts | None:
    """Return what *record* says of its node: mostly what it said before."""
    if record is None:
        return None
    if before is not None and before.record is not None and before.record.word == record.word:
        return before.facts
    return Facts.parse(record.word)


def _holder(record: Record | None) -> str:
    return record.holder if record is not None else ""


def _term(facts: Facts | None) -> str:
    return facts.term if facts is not None else ""


def _same(one: Record | None, other: Record | None) -> bool:
    return one is not None and other is not None and one.says_the_same(other)
