"""The attributes of a path (RFC 4271 section 5, 4760, 1997, 8092, 6793), and how they are written."""

import enum
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

import attrs

from kubevip.plugin import IPAddress
from kubevip_bgp.prefixes import UNICAST, Afi, Prefix, encode_prefixes

AS_TRANS = 23456
_SHORT_AS = 0xFFFF
_OPTIONAL, _TRANSITIVE, _PARTIAL, _EXTENDED = 0x80, 0x40, 0x20, 0x10
_SEGMENT_LIMIT = 255

WELL_KNOWN, NON_TRANSITIVE, TRANSITIVE = _TRANSITIVE, _OPTIONAL, _OPTIONAL | _TRANSITIVE
# What counts of an attribute's flags: the lower ones say how it is written, or where it has been.
KIND = _OPTIONAL | _TRANSITIVE
EXTENDED = _EXTENDED


class Type(enum.IntEnum):
    """The attributes that are known here."""

    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MED = 4
    LOCAL_PREF = 5
    ATOMIC_AGGREGATE = 6
    AGGREGATOR = 7
    COMMUNITIES = 8
    MP_REACH = 14
    MP_UNREACH = 15
    AS4_PATH = 17
    AS4_AGGREGATOR = 18
    LARGE_COMMUNITIES = 32


class Origin(enum.IntEnum):
    """Where a route comes from."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


class SegmentKind(enum.IntEnum):
    """How the numbers of a segment of an AS path are meant."""

    SET = 1
    SEQUENCE = 2
    CONFED_SEQUENCE = 3
    CONFED_SET = 4


@attrs.frozen
class AsSegment:
    """A part of an AS path: one to 255 numbers."""

    kind: SegmentKind
    numbers: tuple[int, ...]


@attrs.frozen
class Unknown:
    """An attribute that isn't known here, as it came."""

    flags: int
    type: int
    value: bytes


@attrs.frozen
class Reach:
    """What can be reached in a family, by *next_hops*: one address, and in IPv6 a link-local one behind it."""

    family: Afi
    next_hops: tuple[IPAddress, ...]
    prefixes: tuple[Prefix, ...] = ()


@attrs.frozen
class Unreach:
    """What can't be reached any more in a family."""

    family: Afi
    prefixes: tuple[Prefix, ...] = ()


@attrs.frozen(kw_only=True)
class PathAttributes:
    """What is said of all prefixes of one UPDATE. *communities* are numbers of 32 bits, large ones triples."""

    origin: Origin | None = None
    as_path: tuple[AsSegment, ...] | None = None
    next_hop: IPv4Address | None = None
    med: int | None = None
    local_pref: int | None = None
    atomic_aggregate: bool = False
    aggregator: tuple[int, IPv4Address] | None = None
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    reach: Reach | None = None
    unreach: Unreach | None = None
    unknown: tuple[Unknown, ...] = ()


def encode_attributes(attributes: PathAttributes, *, four_octet: bool) -> bytes:
    """Return all attributes in the order of their types; *four_octet*: both sides know AS numbers of 32 bits."""
    written = sorted(_written(attributes, four_octet), key=lambda each: each[1])
    return b"".join(_with_head(flags, kind, value) for flags, kind, value in written)


def _with_head(flags: int, kind: int, value: bytes) -> bytes:
    if len(value) > _SHORT_LENGTH:
        return struct.pack("!BBH", flags | _EXTENDED, kind, len(value)) + value
    return bytes((flags & ~_EXTENDED, kind, len(value))) + value


_SHORT_LENGTH = 255


def _written(told: PathAttributes, four_octet: bool) -> Iterator[tuple[int, int, bytes]]:
    if told.origin is not None:
        yield WELL_KNOWN, Type.ORIGIN, bytes((told.origin,))
    if told.as_path is not None:
        yield from _as_path(told.as_path, four_octet)
    if told.next_hop is not None:
        yield WELL_KNOWN, Type.NEXT_HOP, told.next_hop.packed
    if told.med is not None:
        yield NON_TRANSITIVE, Type.MED, struct.pack("!I", told.med)
    if told.local_pref is not None:
        yield WELL_KNOWN, Type.LOCAL_PREF, struct.pack("!I", told.local_pref)
    if told.atomic_aggregate:
        yield WELL_KNOWN, Type.ATOMIC_AGGREGATE, b""
    if told.aggregator is not None:
        yield from _aggregator(*told.aggregator, four_octet)
    if told.communities:
        yield TRANSITIVE, Type.COMMUNITIES, struct.pack(f"!{len(told.communities)}I", *told.communities)
    if told.large_communities:
        yield (
            TRANSITIVE,
            Type.LARGE_COMMUNITIES,
            b"".join(struct.pack("!III", *each) for each in told.large_communities),
        )
    if told.reach is not None:
        yield NON_TRANSITIVE, Type.MP_REACH, _reach(told.reach)
    if told.unreach is not None:
        head = struct.pack("!HB", told.unreach.family, UNICAST)
        yield NON_TRANSITIVE, Type.MP_UNREACH, head + encode_prefixes(told.unreach.prefixes)
    for unknown in told.unknown:
        yield unknown.flags, unknown.type, unknown.value


def _as_path(segments: Iterable[AsSegment], four_octet: bool) -> Iterator[tuple[int, int, bytes]]:
    """Write the path; who knows short numbers only gets AS_TRANS for long ones, and the truth beside it."""
    path = tuple(segments)
    if four_octet:
        yield WELL_KNOWN, Type.AS_PATH, _segments(path, "I")
        return
    short = tuple(AsSegment(each.kind, tuple(map(_short, each.numbers))) for each in path)
    yield WELL_KNOWN, Type.AS_PATH, _segments(short, "H")
    if short != path:
        yield TRANSITIVE, Type.AS4_PATH, _segments(path, "I")


def _segments(segments: Iterable[AsSegment], width: str) -> bytes:
    parts = []
    for segment in segments:
        for at in range(0, len(segment.numbers), _SEGMENT_LIMIT):
            numbers = segment.numbers[at : at + _SEGMENT_LIMIT]
            parts.append(struct.pack(f"!BB{len(numbers)}{width}", segment.kind, len(numbers), *numbers))
    return b"".join(parts)


def _aggregator(number: int, address: IPv4Address, four_octet: bool) -> Iterator[tuple[int, int, bytes]]:
    if four_octet:
        yield TRANSITIVE, Type.AGGREGATOR, struct.pack("!I", number) + address.packed
        return
    yield TRANSITIVE, Type.AGGREGATOR, struct.pack("!H", _short(number)) + address.packed
    if number > _SHORT_AS:
        yield TRANSITIVE, Type.AS4_AGGREGATOR, struct.pack("!I", number) + address.packed


def _short(number: int) -> int:
    return number if number <= _SHORT_AS else AS_TRANS


def _reach(reach: Reach) -> bytes:
    hops = b"".join(hop.packed for hop in reach.next_hops)
    return struct.pack("!HBB", reach.family, UNICAST, len(hops)) + hops + b"\0" + encode_prefixes(reach.prefixes)


def next_hops(data: bytes) -> tuple[IPAddress, ...] | None:
    """Read the next hops of MP_REACH by their length alone (RFC 2545, RFC 8950); ``None`` if it is none of theirs."""
    if len(data) == 4:
        return (IPv4Address(data),)
    if len(data) in (16, 32):
        return tuple(IPv6Address(data[at : at + 16]) for at in range(0, len(data), 16))
    return None
