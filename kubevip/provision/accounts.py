"""The provider's account: what is known of all Services, and what is to be done about each. Pure.

It is told of Services, nodes and the ConfigMap as they are seen, and asked what to do about a Service; each
assignment is reserved before it is written, so writes may go on side by side.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from kubevip.errors import ExternalPool, IpamError, KubeVipError, NoFamily, NoPool, PoolExhausted
from kubevip.ipam import DHCP_MARKER, Assignment, Pool, Pools, PoolStatistics
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision.decision import REFUSED, Decision, Note, failing, news, reason_of, refusing
from kubevip.provision.edits import claiming, clearing, settling, unclaiming, withdrawing
from kubevip.provision.ledger import Ledger, Reserved
from kubevip.provision.verdict import (
    Classes,
    Facts,
    Foreign,
    Has,
    Lacks,
    Leaving,
    Origin,
    Wrong,
    check_static,
    claim_of,
    join,
    unwanted,
)


@attrs.frozen(kw_only=True)
class AccountsStatistics:
    """A snapshot. *waiting* is since when, on the caller's clock, each Service that wants an address has none."""

    pools: Sequence[PoolStatistics]
    services: int
    waiting: Mapping[ServiceKey, float]
    failures: Mapping[str, int]


@attrs.define(eq=False)
class Accounts:
    """Knows who has which address, and decides who gets one. *where* names the ConfigMap, for messages.

    *identity* is needed where other providers may be at work on the same Services: see ``kubevip.provision.ledger``.
    """

    classes: Classes
    where: str = "the ConfigMap"
    identity: str = ""
    _ledger: Ledger = attrs.field(init=False)
    _waiting: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    # Which would take an address of the other family, too.
    _halves: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    # Which pools of other IPAMs have none for it, and why: they are passed over once.
    _passed: dict[ServiceKey, dict[str, str]] = attrs.field(factory=dict, init=False)
    _due: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _failures: dict[str, int] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._ledger = Ledger(self.classes, self.identity)

    # What is seen

    def configure(self, pools: Pools | None) -> None:
        """Go by *pools* from now on; ``None`` where there is no ConfigMap. Nobody loses an address by that.

        Who waits is looked at by name, so that what comes of an edit can be told before it is made.
        """
        self._ledger.configure(pools)
        self.look_at(sorted({*self._waiting, *self._halves}))

    def applied(self, facts: Facts, now: float = 0.0, *, in_order: bool = True) -> bool:
        """A Service is there, and is like that; return ``False`` where something newer is known of it.

        A watch tells *in order*, which says who was first to claim an address. A list doesn't, until ``listed()``,
        nor does what was read ahead of the watch.
        """
        if self._ledger.is_old(facts):
            return False
        if self._ledger.applied(facts, now, in_order=in_order):
            self._look_at_waiting()
        self._due[facts.key] = None
        return True

    def listed(self) -> None:
        """All that there is has been told, and nobody can have been earlier with a claim without being seen."""
        self.look_at(self._ledger.listed())

    def deleted(self, key: ServiceKey, now: float = 0.0) -> None:
        """A Service is gone, and its addresses are free."""
        if self._ledger.deleted(key, now):
            for each in (self._waiting, self._halves, self._passed, self._due):
                each.pop(key, None)
            self._look_at_waiting()

    def node_has(self, name: str, addresses: Collection[IPAddress]) -> None:
        """A node has these addresses, and no others: none of them is given out."""
        if self._ledger.node_has(name, addresses):
            self._look_at_waiting()

    @property
    def keys(self) -> Collection[ServiceKey]:
        """All Services that are known."""
        return self._ledger.facts.keys()

    @property
    def node_names(self) -> Collection[str]:
        """All nodes that are known to have addresses."""
        return self._ledger.nodes.keys()

    def look_at(self, keys: Iterable[ServiceKey]) -> None:
        """Decide anew on *keys*."""
        self._due.update(dict.fromkeys(key for key in keys if key in self._ledger.facts))

    def next_due(self) -> ServiceKey | None:
        """Return a Service to decide on, each once until something changes; ``None`` if there is none."""
        key = next(iter(self._due), None)
        if key is not None:
            del self._due[key]
        return key

    def look_again(self, now: float) -> float | None:
        """Look again at what only time changes; return when to call again, ``None`` if there is nothing."""
        self.look_at(self._ledger.overdue(now))
        thaw = self._ledger.allocator.next_thaw()
        if thaw is not None and thaw <= now:
            self._ledger.allocator.thaw(now)
            self._look_at_waiting()
        return self._ledger.next_moment(now)

    # What to do

    def decide(self, key: ServiceKey, now: float = 0.0) -> Decision | None:
        """Say what to do about a Service; ``None`` if there is nothing. What it is to get is reserved from then on."""
        facts = self._ledger.facts.get(key)
        if facts is None:
            return None
        match self._ledger.verdicts[key]:
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
        known = self._ledger.facts.get(facts.key)
        if known is None or facts.precedes(known):
            # What has become of it since was seen already.
            return
        if self.identity and claim_of(facts) is not None:
            # It counts when it is seen, in its place among the claims of others.
            return
        self._ledger.reserved.pop(facts.key, None)
        if facts.deleting and not facts.finalizers:
            self.deleted(facts.key, now)
        else:
            self.applied(facts, now, in_order=False)

    def failed(self, key: ServiceKey, *, certainly: bool) -> None:
        """The write has failed. Unless that is certain, its addresses stay in use until the Service is seen to change.

        It is decided on anew when it is seen, or looked at.
        """
        self._ledger.failed(key, certainly=certainly)

    def granted(self, key: ServiceKey, pool: Pool, addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
        """Another IPAM has given *addresses*; return those that somebody has already, in which case none is used."""
        facts = self._ledger.facts.get(key)
        if facts is None:
            return ()
        taken = tuple(address for address in addresses if self._ledger.allocator.others(facts.request, address))
        if not taken:
            self._ledger.reserve(facts, tuple(addresses), pool.key)
            self._due[key] = None
        return taken

    def refused(self, key: ServiceKey, pool: Pool, error: KubeVipError) -> Decision | None:
        """Another IPAM gives none; return what is to be told of it, ``None`` where the next pool may serve instead."""
        facts = self._ledger.facts.get(key)
        if facts is None:
            return None
        if (
            isinstance(error, PoolExhausted | NoFamily)
            and self._ledger.pools
            and self._ledger.pools.falls_back(key.namespace)
        ):
            self._passed.setdefault(key, {})[pool.key] = str(error)
            self._due[key] = None
            return None
        return self._fail(facts, error, f"{pool.key}: {error}")

    def pool_named(self, facts: Facts) -> Pool | None:
        """Return the pool of another IPAM that the record of a Service names."""
        return self._ledger.pool_named(facts)

    def present(self, pool: Pool) -> Iterable[tuple[str, tuple[IPAddress, ...]]]:
        """Return each key that has addresses of *pool*, with them."""
        return self._ledger.present(pool)

    def statistics(self) -> AccountsStatistics:
        """Return a snapshot."""
        return AccountsStatistics(
            pools=self._ledger.allocator.statistics(),
            services=len(self._ledger.facts),
            waiting=dict(self._waiting),
            failures=dict(self._failures),
        )

    def holders(self, address: IPAddress) -> tuple[str, ...]:
        """Return who has *address*."""
        return self._ledger.allocator.holders(address)

    # Deciding

    def _look_at_waiting(self) -> None:
        self.look_at(self._waiting)
        self.look_at(self._halves)

    def _give(self, facts: Facts, keep: tuple[IPAddress, ...], now: float, origin: str = "") -> Decision:
        """Give *facts* an address, or those that it lacks beside *keep*, which are from *origin*."""
        notes: tuple[Note, ...] = ()
        if facts.key in self._ledger.reserved and not self._ledger.offers(facts, keep):
            del self._ledger.reserved[facts.key]
        if facts.key not in self._ledger.reserved:
            if self._ledger.awaits_another(facts.key, now):
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
                return self._settle(facts, keep, origin, _without(made))
            self._ledger.reserve(facts, made.addresses, made.pool)
            notes = _without(made)
        reserved = self._ledger.reserved[facts.key]
        if not reserved.confirmed:
            edits = claiming(facts, reserved.addresses, self.identity)
            return Decision(facts=facts, edits=edits, addresses=keep, waiting="claiming an address")
        listed = join(reserved.addresses)
        given = Note(False, "EnsuredLoadBalancer", f"Ensured load balancer: {listed} from {reserved.origin}")
        return self._settle(facts, reserved.addresses, reserved.origin, (*notes, given))

    def _keep(self, facts: Facts, has: Has, now: float) -> Decision:
        namespace = facts.key.namespace
        origin = has.origin or self._ledger.allocator.pool_of(namespace, has.addresses) or Origin.ANNOTATION
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
        problems = check_static(facts, keep) + self._ledger.taken(facts, keep)
        if problems:
            return self._refuse(facts, problems)
        self._ledger.reserved[facts.key] = Reserved(keep, origin, confirmed=True)
        notes = [Note(False, "EnsuredLoadBalancer", f"Ensured load balancer: {join(keep)}, as its {origin} asks")]
        if keep != (DHCP_MARKER,) and not self._ledger.allocator.pool_of(namespace, keep):
            text = f"{join(keep)} is outside of every pool of namespace {namespace}; it is used nevertheless"
            notes.append(Note(True, "AddressOutsidePools", text))
        return self._settle(facts, keep, origin, tuple(notes))

    def _can_keep_copy(self, facts: Facts, has: Has) -> bool:
        """Tell whether a Service that was made from the manifest of another one can have what stands there."""
        in_pool = self._ledger.allocator.pool_of(facts.key.namespace, has.addresses) == has.origin
        return in_pool and not check_static(facts, has.addresses) and not self._ledger.taken(facts, has.addresses)

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
        reserved = self._ledger.reserved.get(facts.key)
        if reserved is not None and reserved.addresses != addresses:
            del self._ledger.reserved[facts.key]
            self._ledger.adopt(facts.key)
        interface = self._ledger.pools.interface_of(facts.key.namespace) if self._ledger.pools else ""
        edits = settling(facts, addresses, origin, interface)
        quiet = tuple(note for note in notes if note.warning)
        over = facts.condition is not None and not facts.condition.status
        condition = news(facts, True, "AddressAssigned", join(addresses)) if over else None
        told = notes if edits else quiet
        return Decision(facts=facts, edits=edits, addresses=addresses, notes=told, condition=condition)

    def _contested(self, facts: Facts, addresses: tuple[IPAddress, ...]) -> tuple[Note, ...]:
        problems = self._ledger.taken(facts, addresses)
        return (Note(True, "AddressInUse", f"{'; '.join(problems)}; nothing is changed"),) if problems else ()

    def _assign(self, facts: Facts, keep: tuple[IPAddress, ...], now: float) -> Assignment:
        # What it says to have, or to claim, and isn't to keep doesn't stand in its own way.
        if set(self._ledger.allocator.addresses(str(facts.key))) != set(keep):
            self._ledger.allocator.adopt(facts.request, keep, now=now)
        try:
            return self._ledger.allocator.assign(
                facts.request, keep=keep, skip=self._passed.pop(facts.key, None), now=now
            )
        except IpamError:
            self._ledger.adopt(facts.key)
            raise

    def _fail(self, facts: Facts, error: KubeVipError, text: str = "") -> Decision:
        text = text or str(error)
        if isinstance(error, NoPool) and self._ledger.pools is None:
            keys = Pools().wanted_keys(facts.key.namespace)
            text = f"no address pools could be found: create {self.where} with one of {keys}"
        self._count(reason_of(error))
        return failing(facts, reason_of(error), text)

    def _refuse(self, facts: Facts, problems: Sequence[str]) -> Decision:
        self._count(REFUSED)
        return refusing(facts, "; ".join(problems), unclaiming(facts))

    def _count(self, reason: str) -> None:
        self._failures[reason] = self._failures.get(reason, 0) + 1


def _without(made: Assignment) -> tuple[Note, ...]:
    return (Note(True, "OneFamilyOnly", made.without),) if made.without else ()
