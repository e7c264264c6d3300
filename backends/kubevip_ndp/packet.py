"""Neighbour discovery frames over Ethernet (RFC 4861, RFC 2464)."""

import struct
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

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

__all__ = ["ADVERTISEMENTS_ONLY", "ETHERTYPE", "Advertisement", "advertisement", "probe"]


@frozen
class Advertisement:
    """What a neighbour advertisement says: *target* is at *mac*."""

    target: IPv6Address
    mac: bytes

    @classmethod
    def parse(cls, frame: bytes) -> "Advertisement | None":
        """Read a frame; ``None`` where it is no valid neighbour advertisement (RFC 4861, section 7.1.2)."""
        if len(frame) < _ETHERNET.size + _IPV6.size + _ICMPV6.size:
            return None
        _destination, source_mac, ethertype = _ETHERNET.unpack_from(frame)
        _first, _length, next_header, hop_limit, _source, _target = _IPV6.unpack_from(frame, _ETHERNET.size)
        offset = _ETHERNET.size + _IPV6.size
        kind, code, _checksum, _flags, target = _ICMPV6.unpack_from(frame, offset)
        if (ethertype, next_header, hop_limit, kind, code) != (
            ETHERTYPE,
            ICMPV6,
            HOP_LIMIT,
            ADVERTISEMENT,
            0,
        ):
            return None
        options = _options(frame[offset + _ICMPV6.size :])
        return None if options is None else cls(IPv6Address(target), options.get(TARGET_LINK_LAYER_ADDRESS, source_mac))


def advertisement(target: IPv4Address | IPv6Address, mac: bytes, source: IPv4Address | IPv6Address) -> bytes:
    """Build the unsolicited advertisement that *target* is at *mac*, from *source* to all nodes."""
    body = _ICMPV6.pack(ADVERTISEMENT, 0, 0, OVERRIDE, target.packed) + _option(TARGET_LINK_LAYER_ADDRESS, mac)
    return _frame(mac, source, ALL_NODES, body)


def probe(target: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Build the solicitation of *target* from a sender without an address (RFC 4862, section 5.4.2)."""
    solicited_node = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF)
    return _frame(mac, _UNSPECIFIED, solicited_node, _ICMPV6.pack(SOLICITATION, 0, 0, 0, target.packed))


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
