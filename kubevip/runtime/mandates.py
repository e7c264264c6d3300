"""Which VIPs this node is to hold: those that are wanted, by the terms of the Leases that govern them."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import attrs

from kubevip.model import LeaseKey, Term, Vip


@attrs.define(eq=False)
class Mandates:
    """Wanted VIPs with their Leases, and the terms of those that this node leads. One that is over counts no more.

    A Lease that is about to be released protects what is held, and nothing new: a successor may have it already.
    """

    _leases: dict[Vip, LeaseKey] = attrs.field(factory=dict, init=False)
    _vips: dict[LeaseKey, set[Vip]] = attrs.field(factory=dict, init=False)
    _governed: dict[LeaseKey, tuple[Vip, ...]] = attrs.field(factory=dict, init=False)
    _terms: dict[LeaseKey, Term] = attrs.field(factory=dict, init=False)
    _leaving: set[LeaseKey] = attrs.field(factory=set, init=False)
    _last: dict[LeaseKey, Term] = attrs.field(factory=dict, init=False)
    _assigned: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _led: dict[LeaseKey, float] = attrs.field(factory=dict, init=False)

    def assign(self, vip: Vip, lease: LeaseKey) -> None:
        """Let *lease* govern *vip*."""
        self.unassign(vip)
        self._leases[vip] = lease
        self._assigned[vip] = asyncio.get_running_loop().time()
        self._vips.setdefault(lease, set()).add(vip)
        self._governed.pop(lease, None)

    def reassign(self, vip: Vip, lease: LeaseKey) -> None:
        """Let *lease* govern *vip*, which this node has held by another Lease, and goes on to hold."""
        since = self._assigned[vip]
        self.assign(vip, lease)
        self._assigned[vip] = since

    def unassign(self, vip: Vip) -> bool:
        """Let no Lease govern *vip*; tell whether one did."""
        lease = self._leases.pop(vip, None)
        self._assigned.pop(vip, None)
        if lease is not None:
            self._vips[lease].discard(vip)
            self._governed.pop(lease, None)
        return lease is not None

    def lead(self, lease: LeaseKey, term: Term) -> None:
        """This node leads *lease*, as long as *term* says."""
        if lease not in self._terms:
            self._led[lease] = asyncio.get_running_loop().time()
        self._terms[lease] = term
        if lease in self._leaving:
            self._last[lease] = term
        else:
            self._last.pop(lease, None)

    def leave(self, lease: LeaseKey) -> None:
        """This node is about to release *lease*."""
        self._leaving.add(lease)
        if lease in self._terms:
            self._last[lease] = self._terms[lease]

    def remain(self, lease: LeaseKey) -> None:
        """This node does not release *lease* after all."""
        self._leaving.discard(lease)
        self._last.pop(lease, None)

    def leaves(self, lease: LeaseKey) -> bool:
        """Tell whether this node is about to release *lease*."""
        return lease in self._leaving

    def cease(self, lease: LeaseKey) -> bool:
        """This node leads *lease* no more; tell whether it did."""
        self._leaving.discard(lease)
        return self._terms.pop(lease, None) is not None

    def cease_all(self) -> None:
        """This node leads nothing any more."""
        self._terms.clear()

    def forget(self, lease: LeaseKey) -> None:
        """Drop what is known of *lease*, which this node neither leads nor is about to release."""
        self._terms.pop(lease, None)
        self._last.pop(lease, None)
        self._led.pop(lease, None)
        self._leaving.discard(lease)
        if not self._vips.get(lease):
            self._vips.pop(lease, None)

    def leads(self, lease: LeaseKey) -> bool:
        """Tell whether this node was last told to lead *lease*."""
        return lease in self._terms

    def term(self, vip: Vip) -> Term | None:
        """Return the term by which *vip* is to be held here now; ``None`` where it isn't."""
        lease = self._leases.get(vip)
        term = self._terms.get(lease) if lease is not None else None
        return term if term is not None and asyncio.get_running_loop().time() < term.until else None

    def terms(self, vips: AbstractSet[Vip]) -> dict[Vip, Term]:
        """Return those of *vips* that are to be held here now, each with its term.

        A renewal asks for thousands: no hash of them is computed anew for that.
        """
        if len(vips) <= len(self._terms):
            return {vip: term for vip in vips if (term := self.term(vip)) is not None}
        now = asyncio.get_running_loop().time()
        found: dict[Vip, Term] = {}
        for lease, term in self._terms.items():
            if now < term.until and lease in self._vips:
                found.update(dict.fromkeys(self._vips[lease] & vips, term))
        return found

    @property
    def last(self) -> Mapping[LeaseKey, Term]:
        """The last terms of Leases that this node is about to release, or has released since."""
        return self._last

    def forget_last(self, now: float) -> None:
        """Drop the last terms of Leases that have expired."""
        self._last = {lease: term for lease, term in self._last.items() if now < term.expires}

    def last_terms(self, vips: Iterable[Vip]) -> dict[Vip, Term]:
        """Return those of *vips* whose Lease this node is about to release, or has released, with its last term."""
        if not self._last:
            return {}
        return {vip: self._last[lease] for vip in vips if (lease := self._leases.get(vip)) in self._last}

    @property
    def leaving(self) -> AbstractSet[LeaseKey]:
        """The Leases that this node is about to release."""
        return self._leaving

    def since(self, vip: Vip) -> float:
        """Return since when *vip* has been to be held here; now, where it isn't."""
        lease, now = self._leases.get(vip), asyncio.get_running_loop().time()
        return max(self._assigned[vip], self._led[lease]) if lease is not None and lease in self._terms else now

    def may_claim(self, vip: Vip) -> bool:
        """Tell whether *vip* may be announced from here now, or put on a link where it isn't yet."""
        return self.term(vip) is not None and self._leases[vip] not in self._leaving

    def lease(self, vip: Vip) -> LeaseKey | None:
        """Return the Lease that governs *vip*."""
        return self._leases.get(vip)

    def governed_by(self, lease: LeaseKey) -> tuple[Vip, ...]:
        """Return the VIPs that *lease* governs: the same tuple, as long as they are the same."""
        found = self._governed.get(lease)
        if found is None:
            found = self._governed[lease] = tuple(self._vips.get(lease, ()))
        return found

    def all(self) -> Iterable[Vip]:
        """Return every VIP that is wanted."""
        return self._leases.keys()

    def first_end(self) -> float:
        """Return when the first term ends, on the loop's clock."""
        return min((term.until for term in self._terms.values()), default=math.inf)

    def ended(self) -> list[LeaseKey]:
        """Return the Leases whose terms are over though nobody has said so."""
        now = asyncio.get_running_loop().time()
        return [lease for lease, term in self._terms.items() if term.until <= now]
