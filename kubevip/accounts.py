"""The provider's account: what is known of all Services, and what is to be done about each. Pure.

It is told of Services, nodes and the ConfigMap as they are seen, and asked what to do about a Service; each
assignment is reserved in the account before it is written, so writes may go on side by side.

With an *identity*, other providers may be at work on the same Services. Then addresses are claimed first, by an
annotation that nobody serves: all providers see all claims in the same order, that of the API server, and whoever
sees that another one was first chooses anew. What is confirmed that way is written.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from kubevip.edits import Edits, claiming, clearing, settling, unclaiming, withdrawing
from kubevip.errors import ExternalPool, IpamError, KubeVipError, NoFamily, NoPool, PoolExhausted
from kubevip.ipam import DHCP_MARKER, Allocator, Assignment, Pool, Pools, PoolStatistics
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision import (
    LONGEST_MESSAGE,
    Classes,
    Condition,
    Facts,
    Foreign,
    Has,
    Lacks,
    Leaving,
    Origin,
    Record,
    Verdict,
    Wrong,
    check_static,
    claim_of,
    examine,
    join,
    record_of,
    unwanted,
    written,
)

# A claim of another provider that comes to nothing is taken over after this many seconds.
CLAIM_PATIENCE = 5.0
NODE = "node "
_NO_EDITS = Edits()


@attrs.frozen
class Note:
    """An Event about a Service."""

    warning: bool
    reason: str
    message: str


@attrs.frozen(kw_only=True)
class Decision:
    """What to do about a Service, as of *facts*.

    *addresses* are those that it has when *edits* are written. *waiting* says why it has none; empty where it has.
    *source* is another IPAM's pool that has to be asked; tell ``granted()``. *condition* has to be written, where it
    isn't ``None``.
    """

    facts: Facts
    edits: Edits = _NO_EDITS
    addresses: tuple[IPAddress, ...] = ()
    notes: tuple[Note, ...] = ()
    waiting: str = ""
    source: Pool | None = None
    condition: Condition | None = None


@attrs.frozen
class _Reserved:
    """Addresses that are being written."""

    addresses: tuple[IPAddress, ...]
    origin: str
    confirmed: bool


@attrs.frozen(kw_only=True)
class AccountsStatistics:
    """A snapshot. *waiting* is since when, on the caller's clock, each Service that wants an address has none."""

    pools: Sequence[PoolStatistics]
    services: int
    waiting: Mapping[ServiceKey, float]
    failures: Mapping[str, int]


@attrs.define(eq=False)
class Accounts:
    """Knows who has which address, and decides who gets one. *where* names the ConfigMap, for messages."""

    classes: Classes
    where: str = "the ConfigMap"
    identity: str = ""
    _pools: Pools | None = attrs.field(default=None, init=False)
    _allocator: Allocator = attrs.field(factory=lambda: Allocator(Pools()), init=False)
    _facts: dict[ServiceKey, Facts] = attrs.field(factory=dict, init=False)
    _verdicts: dict[ServiceKey, Verdict] = attrs.field(factory=dict, init=False)
    _nodes: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict, init=False)
    _reserved: dict[ServiceKey, _Reserved] = attrs.field(factory=dict, init=False)
    _waiting: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    # Claims of others, and until when we leave it to them.
    _claims_seen: dict[ServiceKey, tuple[str, float]] = attrs.field(factory=dict, init=False)
    # What writes of which nobody knows the end may have put there.
    _unsure: dict[ServiceKey, tuple[IPAddress, ...]] = attrs.field(factory=dict, init=False)
    # Of which all is known that had happened when they became what they are.
    _in_order: set[ServiceKey] = attrs.field(factory=set, init=False)
    # Which would take an address of the other family, too.
    _halves: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    # Which pools of other IPAMs have none for it, and why: they are passed over once.
    _passed: dict[ServiceKey, dict[str, str]] = attrs.field(factory=dict, init=False)
    _due: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _failures: dict[str, int] = attrs.field(factory=dict, init=False)

    # What is seen

    def configure(self, pools: Pools | None) -> None:
        """Go by *pools* from now on; ``None`` where there is no ConfigMap. Nobody loses an address by that.

        Who waits is looked at by name, so that what comes of an edit can be told before it is made.
        """
        before, self._pools = self._allocator, pools
        self._allocator = Allocator(pools or Pools())
        self._allocator.go_on_cooling(before.cooling())
        for name, addresses in self._nodes.items():
            self._allocator.reserve(NODE + name, addresses)
        for key in self._facts:
            self._adopt(key)
        self.look_at(sorted({*self._waiting, *self._halves}))

    def applied(self, facts: Facts, now: float = 0.0, *, in_order: bool = True) -> bool:
        """A Service is there, and is like that; return ``False`` where something newer is known of it.

        A watch tells *in order*, which says who was first to claim an address. A list doesn't, until ``listed()``,
        nor does what was read ahead of the watch.
        """
        key = facts.key
        known = self._facts.get(key)
        if known is not None and facts.precedes(known):
            return False
        self._facts[key] = facts
        verdict, self._verdicts[key] = self._verdicts.get(key, Lacks()), examine(facts, self.classes)
        (self._in_order.add if in_order else self._in_order.discard)(key)
        if known is None or known.version != facts.version:
            # A write that was decided on an older version can't succeed any more.
            self._unsure.pop(key, None)
        if key in self._reserved and not self._is_due_still(facts, known):
            del self._reserved[key]
        if self.identity:
            self._see_claim(facts, now)
        before = self._allocator.addresses(str(key))
        self._adopt(key, now)
        stands_back = verdict != Lacks() and verdict != self._verdicts[key]
        if stands_back or set(before) - set(self._allocator.addresses(str(key))):
            self._look_at_waiting()
        self._due[key] = None
        return True

    def listed(self) -> None:
        """All that there is has been told, and nobody can have been earlier with a claim without being seen."""
        for key, facts in self._facts.items():
            if key not in self._in_order:
                self._in_order.add(key)
                self._check_claim(facts)
                self._adopt(key)
                self._due[key] = None

    def deleted(self, key: ServiceKey, now: float = 0.0) -> None:
        """A Service is gone, and its addresses are free."""
        if self._facts.pop(key, None) is None:
            return
        known = (self._verdicts, self._reserved, self._waiting, self._claims_seen, self._due, self._unsure)
        for each in (*known, self._halves, self._passed):
            each.pop(key, None)
        self._in_order.discard(key)
        self._allocator.release(str(key), now=now)
        self._look_at_waiting()

    def node_has(self, name: str, addresses: Collection[IPAddress]) -> None:
        """A node has these addresses, and no others: none of them is given out."""
        if self._nodes.get(name, ()) == tuple(addresses):
            return
        if addresses:
            self._nodes[name] = tuple(addresses)
        else:
            self._nodes.pop(name, None)
        self._allocator.reserve(NODE + name, addresses)
        self._look_at_waiting()

    @property
    def keys(self) -> Collection[ServiceKey]:
        """All Services that are known."""
        return self._facts.keys()

    @property
    def node_names(self) -> Collection[str]:
        """All nodes that are known to have addresses."""
        return self._nodes.keys()

    def look_at(self, keys: Iterable[ServiceKey]) -> None:
        """Decide anew on *keys*."""
        self._due.update(dict.fromkeys(key for key in keys if key in self._facts))

    def next_due(self) -> ServiceKey | None:
        """Return a Service to decide on, each once until something changes; ``None`` if there is none."""
        key = next(iter(self._due), None)
        if key is not None:
            del self._due[key]
        return key

    def look_again(self, now: float) -> float | None:
        """Look again at what only time changes; return when to call again, ``None`` if there is nothing."""
        for key, (claim, until) in self._claims_seen.items():
            if -math.inf < until <= now:
                self._claims_seen[key] = (claim, -math.inf)
                self.look_at([key])
        thaw = self._allocator.next_thaw()
        if thaw is not None and thaw <= now:
            self._allocator.thaw(now)
            self._look_at_waiting()
        moments = [until for _, until in self._claims_seen.values()] + [self._allocator.next_thaw() or -math.inf]
        return min((moment for moment in moments if moment > now), default=None)

    # What to do

    def decide(self, key: ServiceKey, now: float = 0.0) -> Decision | None:
        """Say what to do about a Service; ``None`` if there is nothing. What it is to get is reserved from then on."""
        facts = self._facts.get(key)
        if facts is None:
            return None
        match self._verdicts[key]:
            case Foreign():
                decision = None
            case Leaving():
                decision = Decision(facts=facts, edits=clearing(facts))
            case Wrong(problems):
                decision = self._refuse(facts, problems)
            case Lacks():
                decision = self._give(facts, (), now)
            case Has() as has:
                decision = self._keep(facts, has, now)
        if decision is None or not decision.waiting:
            self._waiting.pop(key, None)
        else:
            self._waiting.setdefault(key, now)
        if decision is not None and facts.policy.is_dual and len(decision.addresses) == 1:
            self._halves[key] = None
        else:
            self._halves.pop(key, None)
        return decision

    def wrote(self, facts: Facts, now: float = 0.0) -> None:
        """What was decided has been written, and made *facts* of it."""
        known = self._facts.get(facts.key)
        if known is None or facts.precedes(known):
            # What has become of it since was seen already.
            return
        if self.identity and claim_of(facts) is not None:
            # It counts when it is seen, in its place among the claims of others.
            return
        self._reserved.pop(facts.key, None)
        if facts.deleting and not facts.finalizers:
            self.deleted(facts.key, now)
        else:
            self.applied(facts, now, in_order=False)

    def failed(self, key: ServiceKey, *, certainly: bool) -> None:
        """The write has failed. Unless that is certain, its addresses stay in use until the Service is seen to change.

        It is decided on anew when it is seen, or looked at.
        """
        if certainly:
            self._reserved.pop(key, None)
        elif key in self._reserved:
            self._unsure[key] = tuple({*self._unsure.get(key, ()), *self._reserved[key].addresses})
        if key in self._facts:
            self._adopt(key)

    def granted(self, key: ServiceKey, pool: Pool, addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
        """Another IPAM has given *addresses*; return those that somebody has already, in which case none is used."""
        facts = self._facts.get(key)
        if facts is None:
            return ()
        taken = tuple(address for address in addresses if self._allocator.others(facts.request, address))
        if not taken:
            self._reserve(facts, tuple(addresses), pool.key)
            self._due[key] = None
        return taken

    def refused(self, key: ServiceKey, pool: Pool, error: KubeVipError) -> Decision | None:
        """Another IPAM gives none; return what is to be told of it, ``None`` where the next pool may serve instead."""
        facts = self._facts.get(key)
        if facts is None:
            return None
        if isinstance(error, PoolExhausted | NoFamily) and self._pools and self._pools.falls_back(key.namespace):
            self._passed.setdefault(key, {})[pool.key] = str(error)
            self._due[key] = None
            return None
        return self._fail(facts, error, f"{pool.key}: {error}")

    def pool_named(self, facts: Facts) -> Pool | None:
        """Return the pool of another IPAM that the record of a Service names."""
        record = record_of(facts)
        pool = self._pools.pools.get(record.origin) if record and self._pools else None
        return pool if pool is not None and pool.source else None

    def present(self, pool: Pool) -> Iterable[tuple[str, tuple[IPAddress, ...]]]:
        """Return each key that has addresses of *pool*, with them."""
        for key, facts in self._facts.items():
            record = record_of(facts)
            if record is not None and record.origin == pool.key:
                yield str(key), record.addresses

    def statistics(self) -> AccountsStatistics:
        """Return a snapshot."""
        return AccountsStatistics(
            pools=self._allocator.statistics(),
            services=len(self._facts),
            waiting=dict(self._waiting),
            failures=dict(self._failures),
        )

    def holders(self, address: IPAddress) -> tuple[str, ...]:
        """Return who has *address*."""
        return self._allocator.holders(address)

    # Keeping accounts

    def _adopt(self, key: ServiceKey, now: float = 0.0) -> None:
        facts, verdict, reserved = self._facts[key], self._verdicts[key], self._reserved.get(key)
        addresses = () if isinstance(verdict, Lacks) else verdict.addresses
        if isinstance(verdict, Lacks | Has):
            addresses += written(facts)
        claim = claim_of(facts) if self.identity else None
        more = (reserved.addresses if reserved else ()) + (claim.addresses if claim else ())
        self._allocator.adopt(facts.request, (*addresses, *more, *self._unsure.get(key, ())), now=now)

    def _reserve(self, facts: Facts, addresses: tuple[IPAddress, ...], origin: str) -> None:
        self._reserved[facts.key] = reserved = _Reserved(addresses, origin, confirmed=not self.identity)
        self._adopt(facts.key)
        if self._is_claimed(facts, reserved):
            # It stands there already, and nobody else has it.
            self._reserved[facts.key] = attrs.evolve(reserved, confirmed=True)

    def _is_due_still(self, facts: Facts, known: Facts | None) -> bool:
        """Tell whether what is reserved for a Service is still what it is to get.

        A write that was decided on an older version can't succeed any more, so only a claim outlives that version.
        """
        if facts == known:
            return True
        verdict, reserved = self._verdicts[facts.key], self._reserved[facts.key]
        if known is None or not self.identity or claim_of(facts) != Record(self.identity, reserved.addresses):
            return False
        if (known.request, known.families) != (facts.request, facts.families):
            return False
        return isinstance(verdict, Lacks) or (
            isinstance(verdict, Has) and set(verdict.addresses) < set(reserved.addresses)
        )

    def _look_at_waiting(self) -> None:
        self.look_at(self._waiting)
        self.look_at(self._halves)

    def _see_claim(self, facts: Facts, now: float) -> None:
        """Confirm our claim if nobody else was there before, or else give it up; note others' claims."""
        claim = claim_of(facts)
        if claim is None or claim.origin == self.identity:
            self._claims_seen.pop(facts.key, None)
        elif self._claims_seen.get(facts.key, ("",))[0] != str(claim):
            self._claims_seen[facts.key] = (str(claim), now + CLAIM_PATIENCE)
        self._check_claim(facts)

    def _check_claim(self, facts: Facts) -> None:
        reserved = self._reserved.get(facts.key)
        if reserved is not None and self._is_claimed(facts, reserved):
            if self._is_lost(facts, reserved):
                del self._reserved[facts.key]
            else:
                self._reserved[facts.key] = attrs.evolve(reserved, confirmed=True)

    def _is_lost(self, facts: Facts, reserved: _Reserved) -> bool:
        """Tell whether somebody has what is reserved for a Service beside what that has already."""
        verdict = self._verdicts[facts.key]
        has = verdict.addresses if isinstance(verdict, Has) else ()
        return any(self._blockers(facts, address) for address in reserved.addresses if address not in has)

    def _is_claimed(self, facts: Facts, reserved: _Reserved) -> bool:
        """Tell whether others can see that we claim it, and we whether they were first."""
        claim = claim_of(facts) if self.identity and facts.key in self._in_order else None
        return claim == Record(self.identity, reserved.addresses)

    def _awaits_another(self, key: ServiceKey, now: float) -> bool:
        return key in self._claims_seen and now < self._claims_seen[key][1]

    # Deciding

    def _give(self, facts: Facts, keep: tuple[IPAddress, ...], now: float, origin: str = "") -> Decision:
        """Give *facts* an address, or those that it lacks beside *keep*, which are from *origin*."""
        notes: tuple[Note, ...] = ()
        if facts.key in self._reserved and not self._offers(facts, keep):
            del self._reserved[facts.key]
        if facts.key not in self._reserved:
            if self._awaits_another(facts.key, now):
                waiting = "another provider is about to give it an address"
                return Decision(facts=facts, addresses=keep, waiting=waiting)
            try:
                made = self._assign(facts, keep, now)
            except ExternalPool as error:
                return Decision(facts=facts, source=error.pool, waiting=f"asking {error.pool.source}")
            except IpamError as error:
                failed = self._fail(facts, error)
                return failed if keep else attrs.evolve(failed, edits=withdrawing(facts))
            if made.addresses == keep:
                return self._settle(facts, keep, origin, self._without(made))
            self._reserve(facts, made.addresses, made.pool)
            notes = self._without(made)
        reserved = self._reserved[facts.key]
        if not reserved.confirmed:
            edits = claiming(facts, reserved.addresses, self.identity)
            return Decision(facts=facts, edits=edits, addresses=keep, waiting="claiming an address")
        listed = join(reserved.addresses)
        given = Note(False, "EnsuredLoadBalancer", f"Ensured load balancer: {listed} from {reserved.origin}")
        return self._settle(facts, reserved.addresses, reserved.origin, (*notes, given))

    def _keep(self, facts: Facts, has: Has, now: float) -> Decision:
        namespace = facts.key.namespace
        origin = has.origin or self._allocator.pool_of(namespace, has.addresses) or Origin.ANNOTATION
        static = origin in (Origin.ANNOTATION, Origin.SPEC)
        if not static and not has.settled and not self._can_keep_copy(facts, has):
            return self._give(facts, (), now)
        # Beside what a user wrote into the spec may stand what a pool gave.
        dropped = unwanted(facts, has.addresses) if origin != Origin.ANNOTATION else ()
        keep = tuple(address for address in has.addresses if address not in dropped)
        if not static or (has.settled and dropped):
            if facts.policy.is_dual and len(keep) == 1 and not static:
                return self._extend(facts, keep, origin, now)
            gone = (Note(False, "AddressReleased", f"released {join(dropped)}: one family is wanted"),)
            return self._settle(facts, keep, origin, gone if dropped else self._contested(facts, keep))
        if has.settled:
            return self._settle(facts, keep, origin, self._contested(facts, keep))
        problems = check_static(facts, keep) + self._taken(facts, keep)
        if problems:
            return self._refuse(facts, problems)
        self._reserved[facts.key] = _Reserved(keep, origin, confirmed=True)
        notes = [Note(False, "EnsuredLoadBalancer", f"Ensured load balancer: {join(keep)}, as its {origin} asks")]
        if keep != (DHCP_MARKER,) and not self._allocator.pool_of(namespace, keep):
            text = f"{join(keep)} is outside of every pool of namespace {namespace}; it is used nevertheless"
            notes.append(Note(True, "AddressOutsidePools", text))
        return self._settle(facts, keep, origin, tuple(notes))

    def _can_keep_copy(self, facts: Facts, has: Has) -> bool:
        """Tell whether a Service that was made from the manifest of another one can have what stands there."""
        in_pool = self._allocator.pool_of(facts.key.namespace, has.addresses) == has.origin
        return in_pool and not check_static(facts, has.addresses) and not self._taken(facts, has.addresses)

    def _extend(self, facts: Facts, keep: tuple[IPAddress, ...], origin: str, now: float) -> Decision:
        decision = self._give(facts, keep, now, origin)
        if decision.edits or decision.source or decision.addresses:
            return decision
        # It lacks a family, and keeps the address that it has.
        settled = self._settle(facts, keep, origin, decision.notes)
        return attrs.evolve(settled, waiting=decision.waiting, condition=None)

    def _settle(
        self, facts: Facts, addresses: tuple[IPAddress, ...], origin: str, notes: tuple[Note, ...] = ()
    ) -> Decision:
        reserved = self._reserved.get(facts.key)
        if reserved is not None and reserved.addresses != addresses:
            del self._reserved[facts.key]
            self._adopt(facts.key)
        interface = self._pools.interface_of(facts.key.namespace) if self._pools else ""
        edits = settling(facts, addresses, origin, interface)
        quiet = tuple(note for note in notes if note.warning)
        over = facts.condition is not None and not facts.condition.status
        condition = _news(facts, True, "AddressAssigned", join(addresses)) if over else None
        told = notes if edits else quiet
        return Decision(facts=facts, edits=edits, addresses=addresses, notes=told, condition=condition)

    def _contested(self, facts: Facts, addresses: tuple[IPAddress, ...]) -> tuple[Note, ...]:
        problems = self._taken(facts, addresses)
        return (Note(True, "AddressInUse", f"{'; '.join(problems)}; nothing is changed"),) if problems else ()

    def _taken(self, facts: Facts, addresses: tuple[IPAddress, ...]) -> tuple[str, ...]:
        found = {
            address: [other for other in self._blockers(facts, address) if not self._yields(other, facts, address)]
            for address in addresses
        }
        return tuple(f"{address} is in use by {', '.join(others)}" for address, others in found.items() if others)

    def _blockers(self, facts: Facts, address: IPAddress) -> list[str]:
        """Return who keeps *facts* from having *address*.

        A node that has it doesn't: many tell the control plane's VIP among theirs.
        """
        others = self._allocator.others(facts.request, address)
        return [other for other in others if not other.startswith(NODE)]

    def _yields(self, other: str, facts: Facts, address: IPAddress) -> bool:
        """Tell whether *other*, who says to have *address*, stands back for *facts*, for which its user has written it.

        Of two Services that both ask for it and have it not yet, the first by name goes before. Nobody waits for one
        that can't be served as it is written. And two may exchange what they have.
        """
        key = ServiceKey.parse(other)
        its, verdict, mine = self._facts[key], self._verdicts[key], self._verdicts[facts.key]
        if key in self._reserved or key in self._unsure:
            return False
        if isinstance(verdict, Wrong):
            record = record_of(its)
            return record is None or address not in record.addresses
        if not isinstance(verdict, Has) or verdict.settled:
            return False
        if address not in verdict.addresses:
            return {other for wish in verdict.addresses for other in self._blockers(its, wish)} == {str(facts.key)}
        is_settled = isinstance(mine, Has) and mine.settled
        return is_settled or key > facts.key or bool(check_static(its, verdict.addresses))

    def _offers(self, facts: Facts, keep: tuple[IPAddress, ...]) -> bool:
        """Tell whether what is reserved for a Service, beside what it is to *keep*, is still to be had."""
        reserved = self._reserved[facts.key]
        if not reserved.confirmed and self._is_lost(facts, reserved):
            return False
        new = [address for address in reserved.addresses if address not in keep and address != DHCP_MARKER]
        pools = self._pools.chain(facts.key.namespace) if self._pools else ()
        return any(pool.key == reserved.origin and all(pool.source or each in pool for each in new) for pool in pools)

    def _assign(self, facts: Facts, keep: tuple[IPAddress, ...], now: float) -> Assignment:
        # What it says to have, or to claim, and isn't to keep doesn't stand in its own way.
        if set(self._allocator.addresses(str(facts.key))) != set(keep):
            self._allocator.adopt(facts.request, keep, now=now)
        try:
            return self._allocator.assign(facts.request, keep=keep, skip=self._passed.pop(facts.key, None), now=now)
        except IpamError:
            self._adopt(facts.key)
            raise

    def _fail(self, facts: Facts, error: KubeVipError, text: str = "") -> Decision:
        reason = _REASONS.get(type(error), "SyncLoadBalancerFailed")
        text = text or str(error)
        if isinstance(error, NoPool) and self._pools is None:
            keys = Pools().wanted_keys(facts.key.namespace)
            text = f"no address pools could be found: create {self.where} with one of {keys}"
        self._failures[reason] = self._failures.get(reason, 0) + 1
        note = Note(True, reason, f"Error syncing load balancer: {text}")
        return Decision(facts=facts, notes=(note,), waiting=text, condition=_news(facts, False, reason, text))

    def _refuse(self, facts: Facts, problems: Sequence[str]) -> Decision:
        text = "; ".join(problems)
        self._failures["AddressRefused"] = self._failures.get("AddressRefused", 0) + 1
        condition = _news(facts, False, "AddressRefused", text)
        notes = (Note(True, "AddressRefused", text),)
        return Decision(facts=facts, edits=unclaiming(facts), notes=notes, waiting=text, condition=condition)

    @staticmethod
    def _without(made: Assignment) -> tuple[Note, ...]:
        return (Note(True, "OneFamilyOnly", made.without),) if made.without else ()


def _news(facts: Facts, status: bool, reason: str, message: str) -> Condition | None:
    """Return the condition, unless it is there already."""
    wanted = Condition(status, reason, message[:LONGEST_MESSAGE])
    return None if facts.condition == wanted else wanted


_REASONS: Mapping[type[KubeVipError], str] = {
    NoFamily: "NoAddressFamily",
    NoPool: "NoAddressPool",
    PoolExhausted: "AddressPoolExhausted",
}
