"""A world for candidates: one store that compares and swaps, and everything between it and them that can fail.

Time is discrete: an event at a time, from a heap. Nothing but the seed decides what happens.
"""

import heapq
import itertools
import random
from collections.abc import Callable

import attrs

from kubevip.election import Candidate, Read, Wait, Write
from kubevip.lease import Claim, Record, Timing
from tests.decide.records import LEASE


class Violation(AssertionError):
    """Something that must never happen has happened."""


@attrs.define(eq=False)
class Node:
    """One candidate and its driver. Its clock is *offset* ahead of the world's."""

    name: str
    candidate: Candidate
    offset: float
    request: int = 0
    busy: bool = False
    paused: bool = False
    backlog: list[Callable[[], None]] = attrs.field(factory=list)
    shown_until: float = 0.0
    newest: int = 0
    newest_holder: str = ""


@attrs.define(eq=False)
class World:
    seed: int
    timing: Timing
    kind: type[Candidate] = Candidate
    swaps_blindly: bool = False
    faults: bool = True

    now: float = 0.0
    nodes: list[Node] = attrs.field(factory=list)
    record: Record | None = None
    version: int = 1_000_000
    written_at: float = 0.0
    exempt_until: float = float("-inf")
    restored: bool = False
    _heap: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)
    chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for name in "abc":
            self.nodes.append(Node(name, self._candidate(name), self.chance.uniform(0, 1000)))
        for node in self.nodes:
            self.show(node)
            self.soon(0, lambda node=node: self.drive(node))

    def _candidate(self, name: str) -> Candidate:
        return self.kind(LEASE, name, self.timing, self.chance.random)

    def soon(self, after: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + after, next(self._numbers), do))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _number, do = heapq.heappop(self._heap)
            do()
            self.check()
        self.now = until
        self.check()

    def check(self) -> None:
        leaders = [node.name for node in self.nodes if node.candidate.leading(self.now + node.offset)]
        if len(leaders) > 1 and self.now > self.exempt_until:
            raise Violation(f"seed {self.seed}: at {self.now:.3f} s {' and '.join(leaders)} lead")
        for node in self.nodes:
            knows_better = node.newest_holder != node.name and not self.restored
            if knows_better and node.candidate.leading(self.now + node.offset):
                raise Violation(f"seed {self.seed}: at {self.now:.3f} s {node.name} leads though it knows better")

    @property
    def leader(self) -> str:
        return next((node.name for node in self.nodes if node.candidate.leading(self.now + node.offset)), "")

    # A node and its requests

    def drive(self, node: Node) -> None:
        if node.busy or node.paused:
            return
        now = self.now + node.offset
        match node.candidate.next(now):
            case Wait(until) if until < float("inf"):
                self.soon(max(until - now, 0.0), lambda: self.drive(node))
            case Read():
                self.ask(node, self.serve_read, None)
            case Write() as write:
                self.ask(node, self.serve_write, write)

    def ask(self, node: Node, serve: Callable[[Write | None], Callable[[float, float], None]], write: object) -> None:
        node.busy, node.request = True, node.request + 1
        number, candidate, asked = node.request, node.candidate, self.now + node.offset

        def answered(report: Callable[[float, float], None] | None) -> None:
            if node.candidate is candidate and node.busy and node.request == number:
                node.busy = False
                now = self.now + node.offset
                report(asked, now) if report else candidate.no_answer(asked, now)
                self.drive(node)

        def arrived() -> None:
            report = serve(node, write)
            if self.faults and write is not None and self.chance.random() < 0.03:
                report = serve(node, write)
            if not self.lost():
                self.soon(self.way(), lambda: self.when_awake(node, lambda: answered(report)))

        if not self.lost():
            self.soon(self.way(), arrived)
        self.soon(self.timing.attempt_timeout, lambda: self.when_awake(node, lambda: answered(None)))

    def serve_read(self, node: Node, _write: object) -> Callable[[float, float], None]:
        found, candidate = self.record, node.candidate

        def report(_asked: float, now: float) -> None:
            self.note(node, found, int(found.version) if found else 0)
            candidate.read(found, now)

        return report

    def serve_write(self, node: Node, write: Write) -> Callable[[float, float], None]:
        candidate = node.candidate
        base = write.base.version if write.base else None
        if base != (self.record.version if self.record else None) and not self.swaps_blindly:
            return lambda _asked, now: candidate.lost_race(now)
        made = self.write(write.claim)

        def report(asked: float, now: float) -> None:
            self.note(node, made, int(made.version))
            candidate.wrote(made, asked, now)

        return report

    def write(self, claim: Claim) -> Record:
        before, self.version = self.record, self.version + 1
        if before is not None and claim.holder not in ("", before.holder) and claim.transitions <= before.transitions:
            raise Violation(f"seed {self.seed}: {claim.holder} took the Lease without counting a transition")
        text = str(self.version)
        self.put(Record(claim.holder, claim.duration, claim.transitions, text if claim.fresh else "", text, text))
        assert self.record is not None
        return self.record

    def put(self, record: Record | None) -> None:
        self.record, self.written_at = record, self.now
        for node in self.nodes:
            self.show(node)

    def when_awake(self, node: Node, do: Callable[[], None]) -> None:
        if node.paused:
            node.backlog.append(do)
        else:
            do()

    # The watch

    def show(self, node: Node, *, stale: tuple[Record | None, int] | None = None) -> None:
        record, version = stale or (self.record, self.version)
        late = self.chance.uniform(0, 10) if self.faults and self.chance.random() < 0.1 else 0.001
        node.shown_until = max(node.shown_until + 1e-6, self.now + late)
        candidate = node.candidate

        def see() -> None:
            if node.candidate is candidate:
                now = self.now + node.offset
                self.note(node, record, version)
                candidate.saw(record, str(version), now)
                self.drive(node)

        self.soon(node.shown_until - self.now, lambda: self.when_awake(node, see))
        if self.faults and self.chance.random() < 0.05:
            # The watch begins again from an older list.
            self.soon(self.chance.uniform(0, 20), lambda: self.when_awake(node, see))

    def note(self, node: Node, record: Record | None, version: int) -> None:
        """Remember the newest that *node* was told."""
        if version > node.newest:
            node.newest, node.newest_holder = version, record.holder if record else ""

    # What goes wrong

    def way(self) -> float:
        if not self.faults:
            return 0.01
        return self.chance.uniform(0.001, 12) if self.chance.random() < 0.08 else self.chance.uniform(0.001, 0.05)

    def lost(self) -> bool:
        return self.faults and self.chance.random() < 0.06

    def pause(self, node: Node) -> None:
        node.paused = True
        self.soon(self.chance.uniform(0.5, 3 * self.timing.duration), lambda: self.resume(node))

    def resume(self, node: Node) -> None:
        node.paused = False
        backlog, node.backlog = node.backlog, []
        # Whether a process looks first at its clock or at what has arrived is chance.
        if self.chance.random() < 0.5:
            self.drive(node)
        for do in backlog:
            do()
            self.check()
        self.drive(node)

    def restart(self, node: Node) -> None:
        """A new process of the same name; requests of the old one may still arrive."""
        node.candidate, node.busy, node.paused, node.newest = self._candidate(node.name), False, False, 0
        node.newest_holder, node.backlog = "", []
        self.show(node)
        self.drive(node)

    def edit(self) -> None:
        """Somebody edits the Lease by hand. Where that frees it, a leader may not know at once: client-go's neither."""
        kind = self.chance.choice(("label", "delete", "blank", "restore"))
        if self.record is None:
            return
        if kind != "label":
            self.exempt_until = self.now + self.timing.renew_deadline
        if kind == "restore":
            self.restored, self.version = True, self.version - 100_000
        else:
            self.version += 1
        text = str(self.version)
        if kind == "delete":
            self.put(None)
        elif kind == "blank":
            self.put(attrs.evolve(self.record, holder="", version=text, renewed=text))
        else:
            self.put(attrs.evolve(self.record, version=text))

    def trouble(self, until: float, *, edits: bool) -> None:
        """Spread pauses, restarts and edits over the time until *until*."""
        at = 0.0
        while (at := at + self.chance.expovariate(1 / 15)) < until:
            node = self.chance.choice(self.nodes)
            kinds = [lambda node=node: self.pause(node), lambda node=node: self.restart(node)]
            self.soon(at, self.chance.choice([*kinds, self.edit] if edits else kinds))
