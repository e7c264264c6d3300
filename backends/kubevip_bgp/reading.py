"""Reads the attributes of a path that a peer sent, and weighs what is wrong with them (RFC 7606).

One wrong attribute no longer ends a session, as RFC 4271 had it: its routes are taken for withdrawn, or the
attribute is left out. Only where the prefixes themselves can't be told does the session end.
"""

import enum
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any, NoReturn

import attrs

from kubevip_bgp.attributes import (
    AS_TRANS,
    EXTENDED,
    KIND,
    NON_TRANSITIVE,
    TRANSITIVE,
    WELL_KNOWN,
    AsSegment,
    Origin,
    PathAttributes,
    Reach,
    Type,
    Unknown,
    Unreach,
    next_hops,
)
from kubevip_bgp.notification import Code, ProtocolError
from kubevip_bgp.paths import lengthened, read_path
from kubevip_bgp.prefixes import FAMILIES, UNICAST, decode_prefixes


class Verdict(enum.IntEnum):
    """What becomes of an UPDATE, the mildest first."""

    ACCEPT = 0
    DISCARD_ATTRIBUTE = 1
    TREAT_AS_WITHDRAW = 2


@attrs.frozen
class Finding:
    """What is wrong with an attribute, in a sentence."""

    verdict: Verdict
    reason: str


class _Wrong(Exception):
    def __init__(self, verdict: Verdict, reason: str) -> None:
        self.finding = Finding(verdict, reason)
        super().__init__(reason)


@attrs.frozen
class Read:
    """The attributes that could be read, and what was wrong with the others."""

    attributes: PathAttributes
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings' verdicts."""
        return max((finding.verdict for finding in self.findings), default=Verdict.ACCEPT)


_KINDS = {
    Type.ORIGIN: WELL_KNOWN,
    Type.AS_PATH: WELL_KNOWN,
    Type.NEXT_HOP: WELL_KNOWN,
    Type.MED: NON_TRANSITIVE,
    Type.LOCAL_PREF: WELL_KNOWN,
    Type.ATOMIC_AGGREGATE: WELL_KNOWN,
    Type.AGGREGATOR: TRANSITIVE,
    Type.COMMUNITIES: TRANSITIVE,
    Type.MP_REACH: NON_TRANSITIVE,
    Type.MP_UNREACH: NON_TRANSITIVE,
    Type.AS4_PATH: TRANSITIVE,
    Type.AS4_AGGREGATOR: TRANSITIVE,
    Type.LARGE_COMMUNITIES: TRANSITIVE,
}
_MULTIPROTOCOL = (Type.MP_REACH, Type.MP_UNREACH)


def read_attributes(data: bytes, *, four_octet: bool, internal: bool) -> Read:
    """Read all attributes of an UPDATE. *internal*: from a peer of the own AS.

    :raises ProtocolError: where the prefixes can't be told, or a well-known attribute isn't known here.
    """
    return _Reading(four_octet, internal).read(data)


@attrs.define(eq=False)
class _Reading:
    four_octet: bool
    internal: bool
    fields: dict[str, Any] = attrs.field(factory=dict)
    findings: list[Finding] = attrs.field(factory=list)
    unknown: list[Unknown] = attrs.field(factory=list)
    seen: set[int] = attrs.field(factory=set)
    as4_path: tuple[AsSegment, ...] | None = None
    as4_aggregator: tuple[int, IPv4Address] | None = None

    def read(self, data: bytes) -> Read:
        try:
            for flags, kind, value in _split(data):
                self._take(flags, kind, value)
        except _Wrong as wrong:
            self.findings.append(wrong.finding)
        self._lengthen()
        return Read(PathAttributes(unknown=tuple(self.unknown), **self.fields), tuple(self.findings))

    def _take(self, flags: int, kind: int, value: bytes) -> None:
        if kind in self.seen:
            self._repeated(kind)
            return
        self.seen.add(kind)
        if kind not in _KINDS:
            self._take_unknown(flags, kind, value)
            return
        try:
            if flags & KIND != _KINDS[Type(kind)]:
                _withdraw(f"{Type(kind).name} with the flags {flags:#04x}")
            _READERS[Type(kind)](self, value)
        except _Wrong as wrong:
            self.findings.append(wrong.finding)

    def _repeated(self, kind: int) -> None:
        if kind in _MULTIPROTOCOL:
            raise ProtocolError(f"{Type(kind).name} comes twice", Code.UPDATE, 1)
        self.findings.append(Finding(Verdict.DISCARD_ATTRIBUTE, f"attribute {kind} comes twice"))

    def _take_unknown(self, flags: int, kind: int, value: bytes) -> None:
        if flags & KIND == WELL_KNOWN:
            raise ProtocolError(f"attribute {kind} is said to be well-known", Code.UPDATE, 2, bytes((flags, kind)))
        self.unknown.append(Unknown(flags & ~EXTENDED, kind, value))

    def read_origin(self, value: bytes) -> None:
        if len(value) != 1 or value[0] > max(Origin):
            _withdraw(f"ORIGIN {value.hex()}")
        self.fields["origin"] = Origin(value[0])

    def read_as_path(self, value: bytes) -> None:
        try:
            self.fields["as_path"] = read_path(value, 4 if self.four_octet else 2)
        except ValueError as error:
            _withdraw(str(error))

    def read_as4_path(self, value: bytes) -> None:
        if not self.four_octet:
            try:
                self.as4_path = read_path(value, 4)
            except ValueError as error:
                raise _Wrong(Verdict.DISCARD_ATTRIBUTE, f"AS4_PATH: {error}") from error

    def read_next_hop(self, value: bytes) -> None:
        _expect(value, 4, Type.NEXT_HOP)
        self.fields["next_hop"] = IPv4Address(value)

    def read_med(self, value: bytes) -> None:
        _expect(value, 4, Type.MED)
        self.fields["med"] = int.from_bytes(value)

    def read_local_pref(self, value: bytes) -> None:
        if not self.internal:
            raise _Wrong(Verdict.DISCARD_ATTRIBUTE, "LOCAL_PREF from another AS")
        _expect(value, 4, Type.LOCAL_PREF)
        self.fields["local_pref"] = int.from_bytes(value)

    def read_atomic_aggregate(self, value: bytes) -> None:
        _expect(value, 0, Type.ATOMIC_AGGREGATE, Verdict.DISCARD_ATTRIBUTE)
        self.fields["atomic_aggregate"] = True

    def read_aggregator(self, value: bytes) -> None:
        _expect(value, 8 if self.four_octet else 6, Type.AGGREGATOR, Verdict.DISCARD_ATTRIBUTE)
        self.fields["aggregator"] = (int.from_bytes(value[:-4]), IPv4Address(value[-4:]))

    def read_as4_aggregator(self, value: bytes) -> None:
        _expect(value, 8, Type.AS4_AGGREGATOR, Verdict.DISCARD_ATTRIBUTE)
        if not self.four_octet:
            self.as4_aggregator = (int.from_bytes(value[:4]), IPv4Address(value[4:]))

    def read_communities(self, value: bytes) -> None:
        _expect_multiple(value, 4, Type.COMMUNITIES)
        self.fields["communities"] = struct.unpack(f"!{len(value) // 4}I", value)

    def read_large_communities(self, value: bytes) -> None:
        _expect_multiple(value, 12, Type.LARGE_COMMUNITIES)
        self.fields["large_communities"] = tuple(struct.iter_unpack("!III", value))

    def read_reach(self, value: bytes) -> None:
        afi, safi, hops_length = _multiprotocol_head(value, Type.MP_REACH)
        hops = next_hops(value[4 : 4 + hops_length])
        if afi not in FAMILIES or safi != UNICAST:
            self.findings.append(Finding(Verdict.DISCARD_ATTRIBUTE, f"MP_REACH of family {afi}/{safi}"))
            return
        if len(value) < 5 + hops_length or hops is None:
            raise ProtocolError(f"MP_REACH with a next hop of {hops_length} bytes", Code.UPDATE, 9)
        family = FAMILIES[afi]
        self.fields["reach"] = Reach(family, hops, decode_prefixes(value[5 + hops_length :], family))

    def read_unreach(self, value: bytes) -> None:
        if len(value) < 3:
            raise ProtocolError(f"MP_UNREACH of {len(value)} bytes", Code.UPDATE, 9)
        afi, safi = struct.unpack_from("!HB", value)
        if afi not in FAMILIES or safi != UNICAST:
            self.findings.append(Finding(Verdict.DISCARD_ATTRIBUTE, f"MP_UNREACH of family {afi}/{safi}"))
            return
        self.fields["unreach"] = Unreach(FAMILIES[afi], decode_prefixes(value[3:], FAMILIES[afi]))

    def _lengthen(self) -> None:
        """Put the long numbers in the place of AS_TRANS (RFC 6793 section 4.2.3)."""
        path = self.fields.get("as_path")
        if self.as4_path is not None and path is not None:
            self.fields["as_path"] = lengthened(path, self.as4_path)
        aggregator = self.fields.get("aggregator")
        if self.as4_aggregator is not None and aggregator is not None and aggregator[0] == AS_TRANS:
            self.fields["aggregator"] = self.as4_aggregator


_READERS: dict[Type, Callable[[_Reading, bytes], None]] = {
    Type.ORIGIN: _Reading.read_origin,
    Type.AS_PATH: _Reading.read_as_path,
    Type.NEXT_HOP: _Reading.read_next_hop,
    Type.MED: _Reading.read_med,
    Type.LOCAL_PREF: _Reading.read_local_pref,
    Type.ATOMIC_AGGREGATE: _Reading.read_atomic_aggregate,
    Type.AGGREGATOR: _Reading.read_aggregator,
    Type.COMMUNITIES: _Reading.read_communities,
    Type.MP_REACH: _Reading.read_reach,
    Type.MP_UNREACH: _Reading.read_unreach,
    Type.AS4_PATH: _Reading.read_as4_path,
    Type.AS4_AGGREGATOR: _Reading.read_as4_aggregator,
    Type.LARGE_COMMUNITIES: _Reading.read_large_communities,
}


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        head = 4 if data[at] & EXTENDED else 3
        if at + head > len(data):
            _withdraw("the attributes end within the head of one")
        length = int.from_bytes(data[at + 2 : at + head])
        value = data[at + head : at + head + length]
        if len(value) < length:
            _withdraw(f"attribute {data[at + 1]} of {length} bytes goes beyond the attributes' end")
        yield data[at], data[at + 1], value
        at += head + length


def _multiprotocol_head(value: bytes, kind: Type) -> tuple[int, int, int]:
    if len(value) < 5:
        raise ProtocolError(f"{kind.name} of {len(value)} bytes", Code.UPDATE, 9)
    afi, safi, length = struct.unpack_from("!HBB", value)
    return afi, safi, length


def _expect(value: bytes, length: int, kind: Type, verdict: Verdict = Verdict.TREAT_AS_WITHDRAW) -> None:
    if len(value) != length:
        raise _Wrong(verdict, f"{kind.name} of {len(value)} bytes, not {length}")


def _expect_multiple(value: bytes, length: int, kind: Type) -> None:
    if not value or len(value) % length:
        _withdraw(f"{kind.name} of {len(value)} bytes, not a multiple of {length}")


def _withdraw(reason: str) -> NoReturn:
    raise _Wrong(Verdict.TREAT_AS_WITHDRAW, reason)
