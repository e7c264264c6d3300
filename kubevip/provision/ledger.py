"""What a provider knows: Services, nodes and pools as they were seen, and who has, or is about to get, which address.

It decides nothing. With an *identity*, other providers may be at work on the same Services. Then addresses are claimed
first, by an annotation that nobody serves: all providers see all claims in the same order, that of the API server, and
whoever sees that another one was first gives up. What is confirmed that way is written.
"""

import math
from collections.abc import Collection, Iterable

import attrs

from kubevip.ipam import DHCP_MARKER, Allocator, Pool, Pools
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision.verdict import (
    Classes,
    Facts,
    Has,
    Lacks,
    Record,
    Verdict,
    Wrong,
    check_static,
    claim_of,
    examine,
    record_of,
    written,
)

# A claim of another provider that comes to nothing is taken over after this many seconds.
CLAIM_PATIENCE = 5.0
NODE = "node "


@attrs.frozen
class Reserved:
    """Addresses that are being written."""

    addresses: tuple[IPAddress, ...]
    origin: str
    confirmed: bool


@attrs.define(eq=False)
class Ledger:
    """The books. *pools* is ``None`` where there is no ConfigMap."""

    classes: Classes
    identity: str = ""
    pools: Pools | None = attrs.field(default=None, init=False)
    allocator: Allocator = attrs.field(factory=lambda: Allocator(Pools()), init=False)
    facts: dict[ServiceKey, Facts] = attrs.field(factory=dict, init=False)
    verdicts: dict[ServiceKey, Verdict] = attrs.field(factory=dict, init=False)
    nodes: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict, init=False)
    reserved: dict[ServiceKey, Reserved] = attrs.field(factory=dict, init=False)
    # Claims of others, and until when we leave it to them.
    _claims_seen: dict[ServiceKey, tuple[str, float]] = attrs.field(factory=dict, init=False)
    # What writes of which nobody knows the end may have put there.
    _unsure: dict[ServiceKey, tuple[IPAddress, ...]] = attrs.field(factory=dict, init=False)
    # Of which all is known that had happened when they became what they are.
    _in_order: set[ServiceKey] = attrs.field(factory=set, init=False)

    # What is seen

    def configure(self, pools: Pools | None) -> None:
        """Go by *pools* from now on. Nobody loses an address by that."""
        before, self.pools = self.allocator, pools
        self.allocator = Allocator(pools or Pools())
        self.allocator.go_on_cooling(before.cooling())
        for name, addresses in self.nodes.items():
            self.allocator.reserve(NODE + name, addresses)
        for key in self.facts:
            self.adopt(key)

    def is_old(self, facts: Facts) -> bool:
        """Tell whether something newer is known of a Service than *facts*."""
        known = self.facts.get(facts.key)
        return known is not None and facts.precedes(known)

    def applied(self, facts: Facts, now: float, *, in_order: bool) -> bool:
        """A Service is like that; return whether others may get what it has no longer.

        See ``Accounts.applied()``; *facts* aren't old.
        """
        key = facts.key
        known = self.facts.get(key)
        self.facts[key] = facts
        verdict, self.verdicts[key] = self.verdicts.get(key, Lacks()), examine(facts, self.classes)
        (self._in_order.add if in_order else self._in_order.discard)(key)
        if known is None or known.version != facts.version:
            # A write that was decided on an older version can't succeed any more.
            self._unsure.pop(key, None)
        if key in self.reserved and not self._is_due_still(facts, known):
            del self.reserved[key]
        if self.identity:
            self._see_claim(facts, now)
        before = self.allocator.addresses(str(key))
        self.adopt(key, now)
        stands_back = verdict != Lacks() and verdict != self.verdicts[key]
        return stands_back or bool(set(before) - set(self.allocator.addresses(str(key))))

    def listed(self) -> list[ServiceKey]:
        """All that there is has been told; return those of which that wasn't known to be so."""
        new = [key for key in self.facts if key not in self._in_order]
        for key in new:
            self._in_order.add(key)
            self._check_claim(self.facts[key])
            self.adopt(key)
        return new

    def deleted(self, key: ServiceKey, now: float) -> bool:
        """A Service is gone, and its addresses are free; return whether it was known."""
        if self.facts.pop(key, None) is None:
            return False
        for each in (self.verdicts, self.reserved, self._claims_seen, self._unsure):
            each.pop(key, None)
        self._in_order.discard(key)
        self.allocator.release(str(key), now=now)
        return True

    def node_has(self, name: str, addresses: Collection[IPAddress]) -> bool:
        """A node has these addresses, and no others; return whether that is news."""
        if self.nodes.get(name, ()) == tuple(addresses):
            return False
        if addresses:
            self.nodes[name] = tuple(addresses)
        else:
            self.nodes.pop(name, None)
        self.allocator.reserve(NODE + name, addresses)
        return True

    def failed(self, key: ServiceKey, *, certainly: bool) -> None:
        """A write has failed. Unless that is certain, what it was to write stays in use until the Service changes."""
        if certainly:
            self.reserved.pop(key, None)
        elif key in self.reserved:
            self._unsure[key] = tuple({*self._unsure.get(key, ()), *self.reserved[key].addresses})
        if key in self.facts:
            self.adopt(key)

    # Keeping the books

    def adopt(self, key: ServiceKey, now: float = 0.0) -> None:
        """Note in the books of all addresses what a Service has, says to have, or may get."""
        facts, verdict, reserved = self.facts[key], self.verdicts[key], self.reserved.get(key)
        addresses = () if isinstance(verdict, Lacks) else verdict.addresses
        if isinstance(verdict, Lacks | Has):
            addresses += written(facts)
        claim = claim_of(facts) if self.identity else None
        more = (reserved.addresses if reserved else ()) + (claim.addresses if claim else ())
        self.allocator.adopt(facts.request, (*addresses, *more, *self._unsure.get(key, ())), now=now)

    def reserve(self, facts: Facts, addresses: tuple[IPAddress, ...], origin: str) -> None:
        """Keep *addresses* for a Service until they are written, or that has failed."""
        self.reserved[facts.key] = reserved = Reserved(addresses, origin, confirmed=not self.identity)
        self.adopt(facts.key)
        if self._is_claimed(facts, reserved):
            # It stands there already, and nobody else has it.
            self.reserved[facts.key] = attrs.evolve(reserved, confirmed=True)

    def _is_due_still(self, facts: Facts, known: Facts | None) -> bool:
        """Tell whether what is reserved for a Service is still what it is to get.

        A write that was decided on an older version can't succeed any more, so only a claim outlives that version.
        """
        if facts == known:
            return True
        verdict, reserved = self.verdicts[facts.key], self.reserved[facts.key]
        if known is None or not self.identity or claim_of(facts) != Record(self.identity, reserved.addresses):
            return False
        if (known.request, known.families) != (facts.request, facts.families):
            return False
        return isinstance(verdict, Lacks) or (
            isinstance(verdict, Has) and set(verdict.addresses) < set(reserved.addresses)
        )

    # Claims

    def _see_claim(self, facts: Facts, now: float) -> None:
        """Confirm our claim if nobody else was there before, or else give it up; note others' claims."""
        claim = claim_of(facts)
        if claim is None or claim.origin == self.identity:
            self._claims_seen.pop(facts.key, None)
        elif self._claims_seen.get(facts.key, ("",))[0] != str(claim):
            self._claims_seen[facts.key] = (str(claim), now + CLAIM_PATIENCE)
        self._check_claim(facts)

    def _check_claim(self, facts: Facts) -> None:
        reserved = self.reserved.get(facts.key)
        if reserved is not None and self._is_claimed(facts, reserved):
            if self.is_lost(facts, reserved):
                del self.reserved[facts.key]
            else:
                self.reserved[facts.key] = attrs.evolve(reserved, confirmed=True)

    def is_lost(self, facts: Facts, reserved: Reserved) -> bool:
        """Tell whether somebody has what is reserved for a Service beside what that has already."""
        verdict = self.verdicts[facts.key]
        has = verdict.addresses if isinstance(verdict, Has) else ()
        return any(self.blockers(facts, address) for address in reserved.addresses if address not in has)

    def _is_claimed(self, facts: Facts, reserved: Reserved) -> bool:
        """Tell whether others can see that we claim it, and we whether they were first."""
        claim = claim_of(facts) if self.identity and facts.key in self._in_order else None
        return claim == Record(self.identity, reserved.addresses)

    def awaits_another(self, key: ServiceKey, now: float) -> bool:
        """Tell whether another provider has claimed an address for it, and has time yet to write that."""
        return key in self._claims_seen and now < self._claims_seen[key][1]

    def overdue(self, now: float) -> list[ServiceKey]:
        """Return, once each, those whose claims others have had long enough."""
        found = [key for key, (_, until) in self._claims_seen.items() if -math.inf < until <= now]
        for key in found:
            self._claims_seen[key] = (self._claims_seen[key][0], -math.inf)
        return found

    def next_moment(self, now: float) -> float | None:
        """Return when something changes by time alone; ``None`` if nothing does."""
        moments = [until for _, until in self._claims_seen.values()] + [self.allocator.next_thaw() or -math.inf]
        return min((moment for moment in moments if moment > now), default=None)

    # Who has what

    def taken(self, facts: Facts, addresses: tuple[IPAddress, ...]) -> tuple[str, ...]:
        """Say of each of *addresses* that others have, and don't stand back from, who that is."""
        found = {
            address: [other for other in self.blockers(facts, address) if not self._yields(other, facts, address)]
            for address in addresses
        }
        return tuple(f"{address} is in use by {', '.join(others)}" for address, others in found.items() if others)

    def blockers(self, facts: Facts, address: IPAddress) -> list[str]:
        """Return who keeps *facts* from having *address*.

        A node that has it doesn't: many tell the control plane's VIP among theirs.
        """
        others = self.allocator.others(facts.request, address)
        return [other for other in others if not other.startswith(NODE)]

    def _yields(self, other: str, facts: Facts, address: IPAddress) -> bool:
        """Tell whether *other*, who says to have *address*, stands back for *facts*, for which its user has written it.

        Of two Services that both ask for it and have it not yet, the first by name goes before. Nobody waits for one
        that can't be served as it is written. And two may exchange what they have.
        """
        key = ServiceKey.parse(other)
        its, verdict, mine = self.facts[key], self.verdicts[key], self.verdicts[facts.key]
        if key in self.reserved or key in self._unsure:
            return False
        if isinstance(verdict, Wrong):
            record = record_of(its)
            return record is None or address not in record.addresses
        if not isinstance(verdict, Has) or verdict.settled:
            return False
        if address not in verdict.addresses:
            return {other for wish in verdict.addresses for other in self.blockers(its, wish)} == {str(facts.key)}
        is_settled = isinstance(mine, Has) and mine.settled
        return is_settled or key > facts.key or bool(check_static(its, verdict.addresses))

    def offers(self, facts: Facts, keep: tuple[IPAddress, ...]) -> bool:
        """Tell whether what is reserved for a Service, beside what it is to *keep*, is still to be had."""
        reserved = self.reserved[facts.key]
        if not reserved.confirmed and self.is_lost(facts, reserved):
            return False
        new = [address for address in reserved.addresses if address not in keep and address != DHCP_MARKER]
        pools = self.pools.chain(facts.key.namespace) if self.pools else ()
        return any(pool.key == reserved.origin and all(pool.source or each in pool for each in new) for pool in pools)

    def pool_named(self, facts: Facts) -> Pool | None:
        """Return the pool of another IPAM that the record of a Service names."""
        record = record_of(facts)
        pool = self.pools.pools.get(record.origin) if record and self.pools else None
        return pool if pool is not None and pool.source else None

    def present(self, pool: Pool) -> Iterable[tuple[str, tuple[IPAddress, ...]]]:
        """Return each key that has addresses of *pool*, with them."""
        for key, facts in self.facts.items():
            record = record_of(facts)
            if record is not None and record.origin == pool.key:
                yield str(key), record.addresses
