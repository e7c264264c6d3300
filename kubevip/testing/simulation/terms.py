"""Who had which Lease when, as it follows from what the API server took and what each node was told."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs

from kubevip.model import LeaseKey
from kubevip.testing.simulation.chronicle import Chronicle, Lived, Told, Wrote
from kubevip.testing.simulation.scenario import Scenario


@attrs.frozen
class Grant:
    """A write that gave *node* the Lease, known to it from *told* on.

    It may act up to *until*, and nobody else may take the Lease before *expires*: both count from its request, by its
    own clock.
    """

    node: str
    life: int
    lease: LeaseKey
    told: float
    version: int
    until: float
    expires: float


@attrs.frozen(order=True)
class Tenancy:
    """From *start* to *end* a node had something."""

    start: float
    end: float

    def covers(self, time: float, slack: float) -> bool:
        """Tell whether *time* is within it, or within *slack* of it."""
        return self.start - slack <= time <= self.end + slack


Place = tuple[str, LeaseKey]


@attrs.frozen
class Terms:
    """All grants by node and Lease, and the terms that come of them."""

    grants: Mapping[Place, list[Grant]]
    terms: Mapping[Place, list[Tenancy]]

    def term_at(self, node: str, lease: LeaseKey, time: float, slack: float) -> bool:
        """Tell whether *node* had a term of *lease* at *time*."""
        return any(term.covers(time, slack) for term in self.terms.get((node, lease), ()))


def terms_of(scenario: Scenario, chronicle: Chronicle) -> Terms:
    """Return the terms in *chronicle*."""
    grants = _grants(scenario, chronicle)
    ends = _ends(chronicle)
    terms = {place: _union(_terms(place, found, ends)) for place, found in grants.items()}
    return Terms(grants, terms)


def _grants(scenario: Scenario, chronicle: Chronicle) -> dict[Place, list[Grant]]:
    rates = {name: clock.rate for name, clock in zip(scenario.nodes, scenario.clocks, strict=True)}
    timing = scenario.timing
    written = {(event.lease, event.version): event for event in chronicle.all(Wrote) if event.holder == event.node}
    grants: dict[Place, list[Grant]] = defaultdict(list)
    known: set[tuple[str, int, LeaseKey, int]] = set()
    for told in chronicle.all(Told):
        write = written.get((told.lease, told.version))
        if write is None or (write.node, write.life) != (told.node, told.life):
            continue
        if (told.node, told.life, told.lease, told.version) in known:
            continue
        known.add((told.node, told.life, told.lease, told.version))
        until = write.asked + timing.renew_deadline / rates[told.node]
        expires = write.asked + timing.duration / rates[told.node]
        grants[told.node, told.lease].append(
            Grant(told.node, told.life, told.lease, told.time, told.version, until, expires)
        )
    return dict(grants)


@attrs.frozen
class _Ends:
    """What ends terms: news of another holder, own releases, and the ends of processes."""

    told: Mapping[tuple[str, int, LeaseKey], list[Told]]
    released: Mapping[Place, list[Wrote]]
    died: Mapping[tuple[str, int], float]


def _ends(chronicle: Chronicle) -> _Ends:
    told: dict[tuple[str, int, LeaseKey], list[Told]] = defaultdict(list)
    for event in chronicle.all(Told):
        if event.holder != event.node:
            told[event.node, event.life, event.lease].append(event)
    released: dict[Place, list[Wrote]] = defaultdict(list)
    for write in chronicle.all(Wrote):
        if not write.holder:
            released[write.node, write.lease].append(write)
    died = {
        (event.node, event.life): event.time
        for event in chronicle.all(Lived)
        if event.what in (Lived.KILLED, Lived.ENDED)
    }
    return _Ends(told, released, died)


def _terms(place: Place, grants: Iterable[Grant], ends: _Ends) -> list[Tenancy]:
    found = []
    for grant in grants:
        other = [
            told.time
            for told in ends.told.get((grant.node, grant.life, grant.lease), ())
            if told.version > grant.version
        ]
        released = [write.time for write in ends.released.get(place, ()) if write.version > grant.version]
        died = ends.died.get((grant.node, grant.life), math.inf)
        end = min([grant.until, died, *other, *released])
        if end > grant.told:
            found.append(Tenancy(grant.told, end))
    return found


def _union(tenancies: Iterable[Tenancy]) -> list[Tenancy]:
    """Join what overlaps or touches."""
    joined: list[Tenancy] = []
    for tenancy in sorted(tenancies):
        if joined and tenancy.start <= joined[-1].end:
            joined[-1] = Tenancy(joined[-1].start, max(joined[-1].end, tenancy.end))
        else:
            joined.append(tenancy)
    return joined


def coverage(grants: Iterable[Grant], longer: float) -> list[Tenancy]:
    """Return when a node had Leases that had not expired *longer* seconds before."""
    return _union(Tenancy(grant.told, grant.expires + longer) for grant in grants)
