"""Neighbour discovery frames over Ethernet (RFC 4861, RFC 2464)."""

import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from kubevip.plugin import REJECT, BpfInstruction, accept_any

ETHERTYPE = 0x86DD
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
OVERRIDE = 0x2000_0000
SOURCE_LINK_LAYER_ADDRESS, TARGET_LINK_LAYER_ADDRESS = 1, 2
# A router never forwards it, so a receiver knows that the sender is on its link.
HOP_LIMIT = 255

ALL_NODES = IPv6Address("ff02::1")
_UNSPECIFIED = IPv6Address(0)
_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_ICMPV6 = struct.Struct("!BBHI16s")

# Classic BPF: next header ICMPv6 and type neighbour advertisement, all else is kept back.
ADVERTISEMENTS_ONLY = (
    (0x30, 0, 0, 20),
    (0x15, 0, 3, ICMPV6),
    (0x30, 0, 0, 54),
    (0x15, 0, 1, ADVERTISEMENT),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)

__all__ = [
    "ADVERTISEMENTS_ONLY",
    "ETHERTYPE",
    "Advertisement",
    "Solicitation",
    "advertisement",
    "claims_to",
    "inquiry",
    "probe",
]


def claims_to(addresses: Collection[IPv4Address | IPv6Address]) -> tuple[BpfInstruction, ...]:
    """Return the BPF program that lets through advertisements of *addresses*, and solicitations from them.

    It looks at the last 32 bits of an address.
    """
    return (
        (0x30, 0, 0, 20),
        (0x15, 1, 0, ICMPV6),
        REJECT,
        (0x30, 0, 0, 54),
        (0x15, 0, 2, ADVERTISEMENT),
        (0x20, 0, 0, 74),
        (0x05, 0, 0, 3),
        (0x15, 1, 0, SOLICITATION),
        REJECT,
        (0x20, 0, 0, 34),
        *accept_any(int(address) & 0xFFFFFFFF for address in addresses),
    )


@frozen
class Advertisement:
    """What a neighbour advertisement says: *target* is at *mac*. It was sent *to* all nodes, or to one that asked."""

    target: IPv6Address
    mac: bytes
    to: IPv6Address = ALL_NODES

    @classmethod
    def parse(cls, frame: bytes) -> "Advertisement | None":
        """Read a frame; ``None`` where it is no valid neighbour advertisement (RFC 4861, section 7.1.2)."""
        read = _read(frame, ADVERTISEMENT)
        if read is None:
            return None
        mac, _source, to, target, options = read
        return cls(target, options.get(TARGET_LINK_LAYER_ADDRESS, mac), to)


@frozen
class Solicitation:
    """What a neighbour solicitation says: *source* is at *mac*, and asks for *target*."""

    source: IPv6Address
    mac: bytes
    target: IPv6Address

    @classmethod
    def parse(cls, frame: bytes) -> "Solicitation | None":
        """Read a frame; ``None`` where it is no valid neighbour solicitation (RFC 4861, section 7.1.1)."""
        read = _read(frame, SOLICITATION)
        if read is None:
            return None
        mac, source, _to, target, options = read
        return cls(source, options.get(SOURCE_LINK_LAYER_ADDRESS, mac), target)


def _read(frame: bytes, wanted: int) -> tuple[bytes, IPv6Address, IPv6Address, IPv6Address, dict[int, bytes]] | None:
    """Read a neighbour discovery message of one kind: sender's MAC, source, destination, target, options."""
    if len(frame) < _ETHERNET.size + _IPV6.size + _ICMPV6.size:
        return None
    _destination, mac, ethertype = _ETHERNET.unpack_from(frame)
    _first, _length, next_header, hop_limit, source, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
    offset = _ETHERNET.size + _IPV6.size
    kind, code, _checksum, _flags, target = _ICMPV6.unpack_from(frame, offset)
    if (ethertype, next_header, hop_limit, kind, code) != (ETHERTYPE, ICMPV6, HOP_LIMIT, wanted, 0):
        return None
    options = _options(frame[offset + _ICMPV6.size :])
    if options is None:
        return None
    return mac, IPv6Address(source), IPv6Address(destination), IPv6Address(target), options


def advertisement(target: IPv4Address | IPv6Address, mac: bytes, source: IPv4Address | IPv6Address) -> bytes:
    """Build the unsolicited advertisement that *target* is at *mac*, from *source* to all nodes."""
    body = _ICMPV6.pack(ADVERTISEMENT, 0, 0, OVERRIDE, target.packed) + _option(TARGET_LINK_LAYER_ADDRESS, mac)
    return _frame(mac, source, ALL_NODES, body)


def probe(target: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Build the solicitation of *target* from a sender without an address (RFC 4862, section 5.4.2)."""
    return _frame(mac, _UNSPECIFIED, _solicited(target), _ICMPV6.pack(SOLICITATION, 0, 0, 0, target.packed))


def inquiry(source: IPv4Address | IPv6Address, mac: bytes, target: IPv4Address | IPv6Address) -> bytes:
    """Build the ordinary solicitation of *target* from *source*, whose place the target learns."""
    body = _ICMPV6.pack(SOLICITATION, 0, 0, 0, target.packed) + _option(SOURCE_LINK_LAYER_ADDRESS, mac)
    return _frame(mac, source, _solicited(target), body)


def _solicited(target: IPv4Address | IPv6Address) -> IPv6Address:
    """Return the group that whoever has *target* listens to (RFC 4291, section 2.7.1)."""
    return IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF)


def _frame(mac: bytes, source: IPv4Address | IPv6Address, destination: IPv6Address, body: bytes) -> bytes:
    pseudo_header = source.packed + destination.packed + struct.pack("!II", len(body), ICMPV6)
    checksum = _checksum(pseudo_header + body)
    body = body[:2] + struct.pack("!H", checksum) + body[4:]
    multicast_mac = b"\x33\x33" + destination.packed[-4:]
    return (
        _ETHERNET.pack(multicast_mac, mac, ETHERTYPE)
        + _IPV6.pack(6 << 28, len(body), ICMPV6, HOP_LIMIT, source.packed, destination.packed)
        + body
    )


def _option(kind: int, mac: bytes) -> bytes:
    return struct.pack("!BB6s", kind, 1, mac)


def _options(octets: bytes) -> dict[int, bytes] | None:
    """Return six octets of each option by its kind; ``None`` where one has no length, which makes all invalid."""
    found: dict[int, bytes] = {}
    while len(octets) >= 8:
        kind, eights = octets[0], octets[1]
        if eights == 0:
            return None
        found.setdefault(kind, octets[2:8])
        octets = octets[8 * eights :]
    return found


def _checksum(data: bytes) -> int:
    """Return the internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
