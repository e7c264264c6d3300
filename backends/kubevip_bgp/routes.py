"""What one peer is told of our routes: the difference to what it knows, in as few UPDATEs as that takes."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

import attrs

from kubevip.plugin import IPAddress
from kubevip_bgp.attributes import AsSegment, Origin, PathAttributes, Reach, SegmentKind, Unreach
from kubevip_bgp.messages import HEADER, Terms, Update, encode
from kubevip_bgp.prefixes import Afi, Prefix

DEFAULT_PREFERENCE = 100
# The lengths of withdrawn routes and of attributes; and what MP_REACH and MP_UNREACH take beside the prefixes.
_LENGTHS, _MULTIPROTOCOL_HEAD = 4, 9


@attrs.frozen(kw_only=True, cache_hash=True)
class Route:
    """What is wished for a prefix, whoever it is told.

    *prepend* is how often the own AS number is put before the path once more. *local_pref* goes to peers of the
    own AS alone.
    """

    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_pref: int = DEFAULT_PREFERENCE
    med: int | None = None
    prepend: int = 0


@attrs.frozen(kw_only=True)
class Export:
    """How routes are told to one peer: by whose number, and with which next hops for each family that it takes."""

    number: int
    internal: bool
    next_hops: Mapping[Afi, tuple[IPAddress, ...]]

    def attributes(self, family: Afi, route: Route) -> PathAttributes:
        """Return the attributes of *route*; those of IPv6 have no prefixes yet."""
        hops = self.next_hops[family]
        plain = family is Afi.IPV4 and isinstance(hops[0], IPv4Address)
        return PathAttributes(
            origin=Origin.IGP,
            as_path=self._path(route),
            next_hop=hops[0] if plain and isinstance(hops[0], IPv4Address) else None,
            med=route.med,
            local_pref=route.local_pref if self.internal else None,
            communities=route.communities,
            large_communities=route.large_communities,
            reach=None if plain else Reach(family, hops),
        )

    def _path(self, route: Route) -> tuple[AsSegment, ...]:
        length = route.prepend + (not self.internal)
        return (AsSegment(SegmentKind.SEQUENCE, (self.number,) * length),) if length else ()


@attrs.define(eq=False)
class Told:
    """What one peer knows of our routes, and what it is still to be told (RFC 4271: Adj-RIB-Out)."""

    export: Export
    terms: Terms
    _known: dict[Prefix, Route] = attrs.field(factory=dict, init=False)
    _due: dict[Prefix, Route | None] = attrs.field(factory=dict, init=False)

    def announce(self, prefix: Prefix, route: Route) -> None:
        """Tell of *prefix*; nothing is due where the peer knows it so already, or doesn't take its family."""
        if Afi.of(prefix) not in self.export.next_hops:
            return
        if self._known.get(prefix) == route:
            self._due.pop(prefix, None)
        else:
            self._due[prefix] = route

    def withdraw(self, prefix: Prefix) -> None:
        """Take *prefix* back; nothing is due where the peer has never heard of it."""
        if prefix in self._known:
            self._due[prefix] = None
        else:
            self._due.pop(prefix, None)

    def repeat(self, family: Afi) -> None:
        """Tell all of *family* anew (RFC 2918)."""
        for prefix, route in self._known.items():
            if Afi.of(prefix) is family:
                self._due.setdefault(prefix, route)

    def __len__(self) -> int:
        return len(self._known)

    def updates(self) -> Iterator[bytes]:
        """Give the messages that tell all that is due; from then on the peer knows it."""
        due, self._due = self._due, {}
        withdrawn: dict[Afi, list[Prefix]] = {}
        announced: dict[tuple[Afi, Route], list[Prefix]] = {}
        for prefix, route in due.items():
            if route is None:
                withdrawn.setdefault(Afi.of(prefix), []).append(prefix)
                del self._known[prefix]
            else:
                announced.setdefault((Afi.of(prefix), route), []).append(prefix)
                self._known[prefix] = route
        for family, prefixes in withdrawn.items():
            yield from self._withdrawals(family, prefixes)
        for (family, route), prefixes in announced.items():
            yield from self._announcements(self.export.attributes(family, route), prefixes)

    def end_of_rib(self) -> Iterator[bytes]:
        """Give the messages that say of each family: this was all (RFC 4724)."""
        for family in sorted(self.export.next_hops):
            unreach = None if family is Afi.IPV4 else Unreach(family)
            yield encode(Update(attributes=PathAttributes(unreach=unreach)), self.terms)

    def _withdrawals(self, family: Afi, prefixes: Iterable[Prefix]) -> Iterator[bytes]:
        room = self.terms.limit - HEADER - _LENGTHS - _MULTIPROTOCOL_HEAD
        for part in _parts(prefixes, room):
            if family is Afi.IPV4:
                update = Update(withdrawn=part)
            else:
                update = Update(attributes=PathAttributes(unreach=Unreach(family, part)))
            yield encode(update, self.terms)

    def _announcements(self, attributes: PathAttributes, prefixes: Iterable[Prefix]) -> Iterator[bytes]:
        # A longer attribute has a longer head.
        room = self.terms.limit - len(encode(Update(attributes=attributes), self.terms)) - 1
        for part in _parts(prefixes, room):
            if attributes.reach is None:
                update = Update(attributes=attributes, announced=part)
            else:
                reach = attrs.evolve(attributes.reach, prefixes=part)
                update = Update(attributes=attrs.evolve(attributes, reach=reach))
            yield encode(update, self.terms)


def _parts(prefixes: Iterable[Prefix], room: int) -> Iterator[tuple[Prefix, ...]]:
    """Cut *prefixes* into parts that take *room* bytes at most."""
    part: list[Prefix] = []
    taken = 0
    for prefix in prefixes:
        size = 1 + (prefix.prefixlen + 7) // 8
        if taken + size > room:
            yield tuple(part)
            part, taken = [], 0
        part.append(prefix)
        taken += size
    if part:
        yield tuple(part)
