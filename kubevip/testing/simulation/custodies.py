"""Who was to have which address when, in spread mode: what follows from the records and terms that were written."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

import attrs

from kubevip.custody import Holder
from kubevip.model import IPAddress
from kubevip.testing.simulation.chronicle import Chronicle
from kubevip.testing.simulation.recording import Recorded, Termed


@attrs.frozen(kw_only=True)
class Custody:
    """From *start* to *end* the record of *address* named *node* in *term*.

    *by* has written that; *ended_by* has ended it, asked at *asked*, and *services* use the address then. An empty
    *ended_by* is somebody who knows nothing of records.
    """

    start: float
    end: float = math.inf
    address: IPAddress
    node: str
    term: str
    by: str
    ended_by: str = ""
    asked: float = math.inf
    services: frozenset[str] = frozenset()

    @property
    def given(self) -> bool:
        """Whether its node has handed the address over; what no Service uses any more is only forgotten."""
        return self.ended_by == self.node and bool(self.services)


@attrs.define(eq=False)
class Custodies:
    """All of a run, by address, in the order of their beginnings."""

    found: Mapping[IPAddress, list[Custody]]
    terms: Mapping[str, list[Termed]]

    @classmethod
    def of(cls, chronicle: Chronicle) -> "Custodies":
        """Gather them."""
        reading = _Reading()
        for event in chronicle.all(Recorded):
            reading.read(event)
        terms: dict[str, list[Termed]] = defaultdict(list)
        for termed in chronicle.all(Termed):
            terms[termed.node].append(termed)
        return cls(dict(reading.found), dict(terms))

    def of_address(self, address: IPAddress) -> list[Custody]:
        """Return those of *address*."""
        return self.found.get(address, [])

    def last_of(self, node: str, address: IPAddress, time: float) -> Custody | None:
        """Return the last one in which *address* was *node*'s that had begun at *time*."""
        before = (each for each in reversed(self.of_address(address)) if each.node == node and each.start <= time)
        return next(before, None)

    def moves(self) -> Iterator[tuple[Custody, Custody]]:
        """Yield each custody with the one before it, if that was another node's, and the address was still wanted."""
        for found in self.found.values():
            for before, after in itertools.pairwise(found):
                if before.node != after.node and before.services:
                    yield before, after

    def is_over(self, node: str, term: str, time: float) -> bool:
        """Tell whether the Lease of *node* had ended *term* at *time*, or said nothing of it."""
        last = next((each for each in reversed(self.terms.get(node, [])) if each.time <= time), None)
        return last is None or not last.holder or last.term != term

    def release(self, node: str, term: str, time: float) -> Termed | None:
        """Return how *node* ended *term* by letting go of its Lease before *time*; ``None`` where it didn't."""
        ends = (each for each in self.terms.get(node, []) if each.term == term and not each.holder)
        return next((each for each in ends if each.left and each.writer == node and each.time <= time), None)


@attrs.define(eq=False)
class _Reading:
    """Reads records as agents do: of several for an address the one with the highest turn counts."""

    found: dict[IPAddress, list[Custody]] = attrs.field(factory=lambda: defaultdict(list))
    _asked: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict)
    _held: dict[str, Mapping[IPAddress, Holder]] = attrs.field(factory=dict)

    def read(self, event: Recorded) -> None:
        before = (*self._asked.get(event.service, ()), *self._held.get(event.service, ()))
        self._asked[event.service], self._held[event.service] = event.addresses, dict(event.held)
        for address in dict.fromkeys((*before, *event.addresses, *self._held[event.service])):
            self._look_at(address, event)

    def _look_at(self, address: IPAddress, event: Recorded) -> None:
        users = sorted(name for name, asked in self._asked.items() if address in asked)
        # Who hasn't heard yet that a Service uses an address no more goes by its record, where no other one does.
        speaking = users or sorted(name for name, held in self._held.items() if address in held)
        turns = {name: held.turn if (held := self._held[name].get(address)) else -1 for name in speaking}
        authority = min(speaking, key=lambda name: (-turns[name], name), default="")
        holder = self._held[authority].get(address) if authority else None
        known = self.found[address]
        last = known[-1] if known and known[-1].end == math.inf else None
        if last is not None and holder is not None and (last.node, last.term) == (holder.node, holder.term):
            return
        if last is not None:
            known[-1] = attrs.evolve(
                last, end=event.time, ended_by=event.writer, asked=event.asked, services=frozenset(users)
            )
        if holder is not None:
            known.append(
                Custody(start=event.time, address=address, node=holder.node, term=holder.term, by=event.writer)
            )
