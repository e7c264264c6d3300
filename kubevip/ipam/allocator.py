"""Who has which address, and who gets one: pure, without a clock and without I/O.

What exists is adopted before anything new is assigned. There is one account for all pools, so an address is never
given out twice, whatever overlaps: pools, namespaces, or what users wrote themselves.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from kubevip.errors import ExternalPool, IpamError, NoFamily, NoPool, PoolExhausted
from kubevip.ipam.blocks import IPV6_BASE, address_at, family_at, position
from kubevip.ipam.dialect import WHOLE_MAP, Pool, Pools
from kubevip.ipam.notation import shown
from kubevip.ipam.pool import FreeList
from kubevip.ipam.request import Assignment, FamilyPolicy, Request
from kubevip.ipam.sharing import Sharing
from kubevip.model import Family, IPAddress

DHCP_MARKER = address_at(0)
# Who has an address that was released a moment ago.
COOLING = "(cooling down)"
# By the family that is asked for: whom to ask for a free address, and the key of its pool.
_Plain = Mapping[Family | None, tuple[FreeList, str]]
_NOTHING: _Plain = {}


@attrs.frozen
class PoolStatistics:
    """A snapshot of one family of a pool: how many addresses it has, and how many are in use."""

    pool: str
    family: Family
    size: int
    used: int

    @property
    def free(self) -> int:
        """How many can be given out."""
        return self.size - self.used


@attrs.define(eq=False)
class Allocator:
    """The account of all addresses, under one configuration. An edited one takes a new allocator, which adopts all.

    Keys are texts: of requests, and of whatever else has addresses (``node a``).
    """

    pools: Pools
    # Who has a place: a key or, where it is shared or contested, all of them.
    _taken: dict[int, str | dict[str, Request | None]] = attrs.field(factory=dict, init=False)
    _places: dict[str, int | tuple[int, ...]] = attrs.field(factory=dict, init=False)
    _chains: dict[str, tuple["_Parts", ...]] = attrs.field(factory=dict, init=False)
    _plain: dict[str, "_Plain"] = attrs.field(factory=dict, init=False)
    _parts: dict[str, "_Parts"] = attrs.field(factory=dict, init=False)
    _sharing: Sharing = attrs.field(init=False)
    # Until when places cool down; the first ends first.
    _cooling: OrderedDict[int, float] = attrs.field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        self._sharing = Sharing(self._taken, descending=self.pools.descending)
        for pool in self.pools.pools.values():
            self._parts[pool.key] = _Parts(pool, self._taken, self.pools.descending)

    # What is there already

    def adopt(
        self, request: Request, addresses: Iterable[IPAddress], *, now: float = 0.0
    ) -> Mapping[IPAddress, tuple[str, ...]]:
        """Note that *request* has *addresses*, and no others; return those that it may not have, with who has them.

        They count as in use nevertheless, until all of them have let go. *now*, in seconds, is when those that it
        has no longer begin to cool down.
        """
        places = tuple(dict.fromkeys(position(address) for address in addresses if not address.is_unspecified))
        contested = {place: others for place in places if (others := self._others(place, request))}
        self._replace(request, places, now)
        return {address_at(place): others for place, others in contested.items()}

    def cooling(self) -> Mapping[IPAddress, float]:
        """Return the addresses that cool down, and until when; the first one to have cooled down comes first."""
        return {address_at(place): until for place, until in self._cooling.items()}

    def go_on_cooling(self, cooling: Mapping[IPAddress, float]) -> None:
        """Go on with what cooled down in the allocator that this one takes the place of; call it before all else."""
        if self.pools.cool_down:
            for address, until in cooling.items():
                self._taken[position(address)], self._cooling[position(address)] = COOLING, until

    def reserve(self, owner: str, addresses: Iterable[IPAddress], *, now: float = 0.0) -> None:
        """Keep *addresses*, and no others, from being given out on behalf of *owner*."""
        self.adopt(Request(key=owner, namespace=""), addresses, now=now)

    def holders(self, address: IPAddress) -> tuple[str, ...]:
        """Return who has *address*."""
        found = self._taken.get(position(address), {})
        return (found,) if isinstance(found, str) else tuple(found)

    def addresses(self, key: str) -> tuple[IPAddress, ...]:
        """Return what *key* has."""
        places = self._places.get(key, ())
        return (address_at(places),) if isinstance(places, int) else tuple(map(address_at, places))

    def pool_of(self, namespace: str, addresses: Sequence[IPAddress]) -> str:
        """Return the key of the pool of *namespace* that has all of *addresses*; empty if none has."""
        pools = (pool for pool in self.pools.chain(namespace) if all(address in pool for address in addresses))
        return next((pool.key for pool in pools), "")

    # What is new

    def assign(
        self,
        request: Request,
        *,
        keep: Sequence[IPAddress] = (),
        skip: Mapping[str, str] | None = None,
        now: float = 0.0,
    ) -> Assignment:
        """Give *request* what it lacks beside *keep*, which it has already, and take back what it has beyond that.

        The pools whose keys are in *skip* are passed over, for the reasons that it says. *now*, in seconds, matters for
        addresses that cool down; it never goes back.

        :raises ExternalPool: if the pool is another IPAM's, which has to be asked.
        :raises NoPool: if no pool is for its namespace, or that can't be used.
        :raises NoFamily: if the pool has no addresses of a family that it requires.
        :raises PoolExhausted: if all are in use.
        """
        # One address from a pool that nobody shares is what most ask for, and has a short way.
        if request.policy is FamilyPolicy.SINGLE and not keep and not skip and not self._cooling:
            found = self._plain.get(request.namespace, _NOTHING).get(request.family)
            if found is not None and request.key not in self._places:
                place = found[0].take()
                if place is not None:
                    self._taken[place] = request.key
                    self._places[request.key] = place
                    return Assignment(request.key, (address_at(place),), found[1])
        return self._assign(request, keep, skip or {}, now)

    def _assign(self, request: Request, keep: Sequence[IPAddress], skip: Mapping[str, str], now: float) -> Assignment:
        if self._cooling:
            self.thaw(now)
        chain = self._chains.get(request.namespace) or self._chain(request.namespace)
        failures: list[IpamError] = []
        for parts in chain:
            if parts.pool.key in skip:
                failures.append(PoolExhausted(f"{parts.pool.key}: {skip[parts.pool.key]}"))
                continue
            try:
                return self._assign_from(parts, request, keep, now)
            except (NoFamily, PoolExhausted) as error:
                failures.append(error)
            except NoPool as error:
                # A fallback that is broken doesn't keep the next one from being asked.
                if not failures:
                    raise
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        raise type(failures[0])("; ".join(map(str, failures)))

    def release(self, key: str, *, now: float = 0.0) -> None:
        """Free what *key* has, at once or, where that is configured, after a while."""
        self.thaw(now)
        self._forget(key, now)

    # What it tells

    def others(self, request: Request, address: IPAddress) -> tuple[str, ...]:
        """Return who has *address* and keeps *request* from having it too."""
        return () if address.is_unspecified else self._others(position(address), request)

    def next_thaw(self) -> float | None:
        """Return when the next address has cooled down."""
        return next(iter(self._cooling.values()), None)

    def thaw(self, now: float) -> None:
        """Let those be free that have cooled down."""
        while self._cooling and next(iter(self._cooling.values())) <= now:
            place, _ = self._cooling.popitem(last=False)
            self._free(place)

    def statistics(self) -> list[PoolStatistics]:
        """Return a snapshot of each family of each pool; it takes as long as there are addresses in use."""
        taken = sorted(self._taken)
        return [
            PoolStatistics(parts.pool.key, family, parts.pool.of(family).size, parts.pool.of(family).count(taken))
            for parts in self._parts.values()
            for family in Family
            if parts.pool.of(family)
        ]

    def __len__(self) -> int:
        """How many have addresses."""
        return len(self._places)

    # Choosing

    def _chain(self, namespace: str) -> tuple["_Parts", ...]:
        found = tuple(self._parts[pool.key] for pool in self.pools.chain(namespace))
        if not found:
            useless = next((problem for problem in self.pools.problems if problem.key == WHOLE_MAP), None)
            if useless is not None:
                raise NoPool(f"no address pools could be found: the ConfigMap can't be used: {useless.text}")
            keys = self.pools.wanted_keys(namespace)
            raise NoPool(f"no address pools could be found: the ConfigMap has none of {keys}")
        self._chains[namespace] = found
        if not self.pools.shares(namespace):
            self._plain[namespace] = _plain(found[0])
        return found

    def _assign_from(self, parts: "_Parts", request: Request, keep: Sequence[IPAddress], now: float) -> Assignment:
        pool = parts.pool
        if pool.source:
            raise ExternalPool(pool)
        if pool.broken:
            raise NoPool(f"{pool.key} can't be used: {pool.broken}")
        if pool.dhcp and not pool.ipv6 and all(address.is_unspecified for address in keep):
            self._replace(request, (), now)
            return Assignment(request.key, (DHCP_MARKER,), pool.key)
        kept: dict[Family, IPAddress] = {}
        for address in keep:
            kept.setdefault(Family.of(address), address)
        families, failures = _families(pool, request, kept), []
        chosen: list[int] = []
        shared: list[int] = []
        for family in families:
            if family in kept:
                chosen.append(position(kept[family]))
                continue
            try:
                place, is_shared = self._pick(parts, family, request)
            except (NoFamily, PoolExhausted) as error:
                failures.append(error)
                continue
            chosen.append(place)
            if is_shared:
                shared.append(place)
        if failures:
            _check(request, failures, bool(chosen))
        self._replace(request, tuple(filter(None, chosen)), now)
        return Assignment(
            request.key,
            tuple(map(address_at, chosen)),
            pool.key,
            tuple(map(address_at, shared)),
            "; ".join(map(str, failures)),
        )

    def _pick(self, parts: "_Parts", family: Family, request: Request) -> tuple[int, bool]:
        if family is Family.IPV4:
            if parts.pool.dhcp:
                return 0, False
            if self.pools.shares(request.namespace):
                place = self._sharing.find(parts.pool.ipv4, request)
                if place is not None:
                    return place, True
        free = parts.free[family]
        if not parts.pool.of(family):
            raise NoFamily(
                f"could not find suitable pool for the IP family of the service: {parts.pool.key} has no "
                f"IPv{family.value} addresses"
            )
        place = free.first()
        if place is None:
            raise PoolExhausted(f"no addresses available in {parts.pool.key} [{parts.pool.of(family).excerpt}]")
        return place, False

    # Keeping accounts

    def _replace(self, request: Request, places: tuple[int, ...], now: float) -> None:
        self._forget(request.key, now, but=places)
        for place in places:
            self._take(place, request)
        if places:
            self._places[request.key] = places[0] if len(places) == 1 else places

    def _take(self, place: int, request: Request) -> None:
        present = self._taken.get(place)
        if self._cooling.pop(place, None) is not None:
            present = None
        willing = place < IPV6_BASE and self.pools.shares(request.namespace)
        if not willing and (not present or present == request.key):
            self._taken[place] = request.key
            return
        if isinstance(present, str):
            present = {present: None}
        self._taken[place] = users = present or {}
        users[request.key] = request if willing else None
        self._sharing.joined(place)

    def _others(self, place: int, request: Request) -> tuple[str, ...]:
        present = self._taken.get(place)
        if present is None or present in (request.key, COOLING):
            return ()
        if isinstance(present, str):
            return (present,)
        if self._sharing.may_join(present, self._as_sharer(request), request.key):
            return ()
        return tuple(key for key in present if key != request.key)

    def _as_sharer(self, request: Request) -> Request | None:
        return request if self.pools.shares(request.namespace) else None

    def _forget(self, key: str, now: float, but: Collection[int] = ()) -> None:
        """Take *key* out of the account; those places *but* which it takes again at once stay as they are."""
        places = self._places.pop(key, ())
        for place in (places,) if isinstance(places, int) else places:
            present = self._taken[place]
            if not isinstance(present, str):
                del present[key]
                self._sharing.left(place)
                if present:
                    continue
            if place in but:
                continue
            if self.pools.cool_down:
                self._taken[place] = COOLING
                self._cooling[place] = now + self.pools.cool_down
            else:
                self._free(place)

    def _free(self, place: int) -> None:
        del self._taken[place]
        family = family_at(place)
        for parts in self._parts.values():
            parts.free[family].give_back(place)


class _Parts:
    """A pool and the free addresses of its families."""

    __slots__ = ("free", "pool")

    def __init__(self, pool: Pool, taken: Collection[int], descending: bool) -> None:
        self.pool = pool
        self.free = {family: FreeList(pool.of(family), taken, descending=descending) for family in Family}


def _plain(parts: _Parts) -> _Plain:
    """Return where single addresses come from without further questions."""
    if parts.pool.broken or parts.pool.dhcp:
        return _NOTHING
    families = [family for family in Family if parts.pool.of(family)]
    found: dict[Family | None, tuple[FreeList, str]] = {
        family: (parts.free[family], parts.pool.key) for family in families
    }
    return found | {None: found[families[0]]} if families else _NOTHING


def _families(pool: Pool, request: Request, kept: Iterable[Family]) -> tuple[Family, ...]:
    """Return the families that *request* gets addresses of, in its order."""
    kept = list(kept)
    has = [family for family in Family if pool.of(family) or (pool.dhcp and family is Family.IPV4)]
    if not request.policy.is_dual:
        return (request.family or next(iter((*kept, *has)), Family.IPV4),)
    order = (Family.IPV6, Family.IPV4) if request.family is Family.IPV6 else (Family.IPV4, Family.IPV6)
    families = tuple(family for family in order if family in has or family in kept)
    if request.policy is FamilyPolicy.REQUIRE_DUAL and len(families) < 2:
        raise NoFamily(
            "service requires dual-stack, but the configuration does not have both IPv4 and IPv6 pools listed "
            f"for the namespace: {pool.key} is {shown(pool.text)}"
        )
    return families or order[:1]


def _check(request: Request, failures: Sequence[IpamError], some: bool) -> None:
    """Raise unless a request for two families can live with one."""
    if request.policy is FamilyPolicy.SINGLE:
        raise failures[0]
    if request.policy is FamilyPolicy.REQUIRE_DUAL or not some:
        what = "required IP addresses" if request.policy is FamilyPolicy.REQUIRE_DUAL else "any IP address"
        reasons = "".join(f"\n\t- {failure}" for failure in failures)
        kind = NoFamily if all(isinstance(failure, NoFamily) for failure in failures) else PoolExhausted
        raise kind(f"could not allocate {what} for {request.policy.value} service: {reasons}")
