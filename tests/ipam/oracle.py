"""What the allocator has to do, said in the plainest way: sets of addresses, and a search from one end to the other.

It knows its configuration by itself, so that reading is checked too.
"""

import ipaddress
from collections.abc import Iterable, Sequence

import attrs

from kubevip.ipam import FamilyPolicy, Request
from kubevip.model import Family, IPAddress
from tests.ipam.asking import ip

MARKER = ip("0.0.0.0")
KINDS = ("cidr", "range")


class Fails(Exception):
    """No address; *final* is without a look at the next pool."""

    def __init__(self, *, final: bool = False) -> None:
        self.final = final


@attrs.frozen
class Elements:
    """What is written for a pool: CIDRs, or pairs of first and last."""

    texts: tuple[str, ...]

    @property
    def text(self) -> str:
        return ", ".join(self.texts)

    @property
    def is_dhcp(self) -> bool:
        ipv4 = {text for text in self.texts if ":" not in text}
        return ipv4 == {"0.0.0.0/32"}

    def written(self, skip_ends: bool) -> set[IPAddress]:
        found: set[IPAddress] = set()
        for text in self.texts:
            if "/" in text:
                every = list(ipaddress.ip_network(text, strict=False))
                found |= set(every[1:-1] if skip_ends and every[0].version == 4 and len(every) > 2 else every)
            else:
                first, last = map(ip, text.split("-"))
                found |= {type(first)(number) for number in range(int(first), int(last) + 1)}
        return {address for address in found if not address.is_unspecified}


@attrs.frozen(kw_only=True)
class Config:
    """All that a ConfigMap may say."""

    pools: dict[str, Elements | None]  # None is malformed
    share: dict[str, bool] = attrs.field(factory=dict)
    fallback: dict[str, bool] = attrs.field(factory=dict)
    descending: bool = False
    skip_ends: bool = False
    use_all: bool = False
    cool_down: int = 0
    reserved: frozenset[IPAddress] = frozenset()

    def data(self) -> dict[str, str]:
        pools = {key: "nonsense" if each is None else each.text for key, each in self.pools.items()}
        truths = {f"allow-share-{scope}": each for scope, each in self.share.items()}
        truths |= {f"fallback-{scope}": each for scope, each in self.fallback.items()}
        truths |= {"skip-end-ips-in-cidr": self.skip_ends, "use-0-and-255": self.use_all}
        return {
            **pools,
            **{key: str(each).lower() for key, each in truths.items()},
            "search-order": "desc" if self.descending else "asc",
            "cool-down": str(self.cool_down),
            "reserved": ",".join(map(str, self.reserved)),
        }

    def shares(self, namespace: str) -> bool:
        return self.share.get(namespace, self.share.get("global", False))

    def chain(self, namespace: str) -> list[str]:
        keys = [f"{kind}-{scope}" for scope in (namespace, "global") for kind in KINDS]
        found = [key for key in dict.fromkeys(keys) if key in self.pools]
        return found if self.fallback.get(namespace, self.fallback.get("global", False)) else found[:1]

    def part(self, key: str, family: Family) -> set[IPAddress]:
        """Return the addresses of one family, before those that end in 0 or 255 are left out."""
        elements = self.pools[key]
        if elements is None or (elements.is_dhcp and family is Family.IPV4):
            return set()
        written = elements.written(self.skip_ends) - self.reserved
        return {address for address in written if Family.of(address) is family}

    def usable(self, key: str, family: Family) -> list[IPAddress]:
        """Return the addresses of one family, in the order in which they are given out."""
        part = self.part(key, family)
        if family is Family.IPV4 and not self.use_all:
            part = {address for address in part if int(address) % 256 not in (0, 255)}
        return sorted(part, key=int, reverse=self.descending)


def get_along(one: Request, other: Request) -> bool:
    """Tell whether two may have one address."""
    apart = bool(one.ports) and bool(other.ports) and not one.ports & other.ports
    same_pods = bool(one.selector) and (one.namespace, one.selector) == (other.namespace, other.selector)
    return apart and (same_pods or not (one.local or other.local))


@attrs.define
class Oracle:
    """The account."""

    config: Config
    has: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict)
    requests: dict[str, Request] = attrs.field(factory=dict)
    cooling: dict[IPAddress, float] = attrs.field(factory=dict)

    def holders(self, address: IPAddress) -> set[str]:
        return {key for key, addresses in self.has.items() if address in addresses}

    def may_share(self, address: IPAddress, requests: Iterable[Request]) -> bool:
        """Tell whether all of *requests* may have *address* together."""
        all_of_them = list(requests)
        if len(all_of_them) < 2:
            return True
        return (
            address.version == 4
            and all(self.config.shares(request.namespace) for request in all_of_them)
            and all(get_along(one, other) for one in all_of_them for other in all_of_them if one is not other)
        )

    def blockers(self, address: IPAddress, request: Request) -> set[str]:
        """Return who keeps *request* from having *address*: everybody there, unless it may join all of them."""
        others = self.holders(address) - {request.key}
        willing = [self.requests[key] for key in others]
        if address.version == 4 and all(self.config.shares(each.namespace) for each in (request, *willing)):
            return set() if all(get_along(each, request) for each in willing) else others
        return others

    def adopt(self, request: Request, addresses: Iterable[IPAddress], now: float) -> dict[IPAddress, set[str]]:
        wanted = tuple(address for address in dict.fromkeys(addresses) if not address.is_unspecified)
        contested = {address: self.blockers(address, request) for address in wanted}
        self.replace(request, wanted, now)
        return {address: others for address, others in contested.items() if others}

    def release(self, key: str, now: float) -> None:
        self.thaw(now)
        before = self.has.pop(key, ())
        self.cool(before, now)

    def replace(self, request: Request, addresses: tuple[IPAddress, ...], now: float) -> None:
        before = self.has.pop(request.key, ())
        self.requests[request.key] = request
        if addresses:
            self.has[request.key] = addresses
        for address in addresses:
            self.cooling.pop(address, None)
        self.cool(before, now)

    def cool(self, addresses: Iterable[IPAddress], now: float) -> None:
        if self.config.cool_down:
            for address in addresses:
                if not self.holders(address):
                    self.cooling[address] = now + self.config.cool_down

    def thaw(self, now: float) -> None:
        self.cooling = {address: until for address, until in self.cooling.items() if until > now}

    def assign(
        self, request: Request, keep: Sequence[IPAddress], now: float
    ) -> tuple[str, tuple[IPAddress, ...], set[IPAddress]]:
        """Return the pool, the addresses and those of them that are shared."""
        self.thaw(now)
        chain = self.config.chain(request.namespace)
        for number, key in enumerate(chain):
            try:
                chosen, shared = self.choose(key, request, keep)
            except Fails as failure:
                if failure.final and number == 0:
                    raise
                continue
            self.replace(request, tuple(address for address in chosen if not address.is_unspecified), now)
            return key, chosen, shared
        raise Fails

    def choose(
        self, key: str, request: Request, keep: Sequence[IPAddress]
    ) -> tuple[tuple[IPAddress, ...], set[IPAddress]]:
        elements = self.config.pools[key]
        if elements is None:
            raise Fails(final=True)
        has = [family for family in Family if self.config.part(key, family)]
        if elements.is_dhcp:
            if not has and not set(keep) - {MARKER}:
                return (MARKER,), set()
            has.insert(0, Family.IPV4)
        kept = {Family.of(address): address for address in reversed(keep)}
        chosen: list[IPAddress] = []
        shared: set[IPAddress] = set()
        families = self.families(request, has, keep)
        for family in families:
            found = kept.get(family) or self.pick(key, family, request, elements.is_dhcp)
            if found is None:
                if request.policy is not FamilyPolicy.PREFER_DUAL:
                    raise Fails
                continue
            chosen.append(found)
            if family not in kept and self.holders(found):
                shared.add(found)
        if not chosen:
            raise Fails
        return tuple(chosen), shared

    @staticmethod
    def families(request: Request, has: Sequence[Family], keep: Sequence[IPAddress]) -> list[Family]:
        kept = [Family.of(address) for address in keep]
        if request.policy is FamilyPolicy.SINGLE:
            return [request.family] if request.family else [*kept, *has, Family.IPV4][:1]
        found = [family for family in Family if family in has or family in kept]
        if request.policy is FamilyPolicy.REQUIRE_DUAL and len(found) < 2:
            raise Fails
        return found[::-1] if request.family is Family.IPV6 else found

    def pick(self, key: str, family: Family, request: Request, dhcp: bool) -> IPAddress | None:
        if dhcp and family is Family.IPV4:
            return MARKER
        usable = self.config.usable(key, family)
        for address in usable:
            holders = self.holders(address)
            if holders and request.key not in holders and self.joinable(address, holders, request):
                return address
        return next((each for each in usable if not self.holders(each) and each not in self.cooling), None)

    def joinable(self, address: IPAddress, holders: set[str], request: Request) -> bool:
        users = [request, *(self.requests[key] for key in holders)]
        return (
            address.version == 4
            and all(self.config.shares(user.namespace) for user in users)
            and all(get_along(user, request) for user in users[1:])
        )
