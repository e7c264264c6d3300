"""Router advertisements and solicitations over Ethernet (RFC 4861): by them neighbours without addresses meet.

Ours say that we are no default router (a lifetime of 0) and announce no prefix: no host changes anything because of
them, and a router that looks for its BGP neighbour learns where it is.
"""

import struct
from ipaddress import IPv6Address

from kubevip.plugin import ACCEPT, REJECT, BpfInstruction

ETHERTYPE = 0x86DD
ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
SOLICITATION, ADVERTISEMENT = 133, 134
_ICMPV6 = 58
# A router never forwards it, so a receiver knows that the sender is on its link.
_HOP_LIMIT = 255
_SOURCE_LINK_LAYER_ADDRESS = 1
_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_SHORTEST = {SOLICITATION: 8, ADVERTISEMENT: 16}

# Classic BPF: ICMPv6 of one of the two types, all else is kept back.
PROGRAM: tuple[BpfInstruction, ...] = (
    (0x30, 0, 0, 20),
    (0x15, 0, 4, _ICMPV6),
    (0x30, 0, 0, 54),
    (0x15, 1, 0, SOLICITATION),
    (0x15, 0, 1, ADVERTISEMENT),
    ACCEPT,
    REJECT,
)


def group_of(address: IPv6Address) -> bytes:
    """Return the Ethernet address that frames to a multicast *address* have (RFC 2464 section 7)."""
    return b"\x33\x33" + address.packed[-4:]


def advertisement(source: IPv6Address, mac: bytes) -> bytes:
    """Build the frame that says: here is a router, but not for your default route."""
    return _frame(source, mac, ALL_NODES, struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0))


def solicitation(source: IPv6Address, mac: bytes) -> bytes:
    """Build the frame that asks routers to say where they are."""
    return _frame(source, mac, ALL_ROUTERS, struct.pack("!BBHI", SOLICITATION, 0, 0, 0))


def sender_of(frame: bytes, kind: int) -> IPv6Address | None:
    """Return who sent a frame; ``None`` where it is no valid message of *kind* (RFC 4861 section 6.1)."""
    body = frame[_ETHERNET.size + _IPV6.size :]
    if len(body) < _SHORTEST[kind] or body[:2] != bytes((kind, 0)):
        return None
    _to, _mac, ethertype = _ETHERNET.unpack_from(frame)
    _first, length, header, hop_limit, source, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
    sender, body = IPv6Address(source), body[:length]
    if (ethertype, header, hop_limit) != (ETHERTYPE, _ICMPV6, _HOP_LIMIT) or not sender.is_link_local:
        return None
    whole = len(body) == length >= _SHORTEST[kind]
    return sender if whole and _checksum(source, destination, body) == 0 else None


def _frame(source: IPv6Address, mac: bytes, destination: IPv6Address, body: bytes) -> bytes:
    body += struct.pack("!BB6s", _SOURCE_LINK_LAYER_ADDRESS, 1, mac)
    checksum = _checksum(source.packed, destination.packed, body)
    body = body[:2] + struct.pack("!H", checksum) + body[4:]
    return (
        _ETHERNET.pack(group_of(destination), mac, ETHERTYPE)
        + _IPV6.pack(6 << 28, len(body), _ICMPV6, _HOP_LIMIT, source.packed, destination.packed)
        + body
    )


def _checksum(source: bytes, destination: bytes, body: bytes) -> int:
    """Return the internet checksum with the pseudo-header (RFC 8200 section 8.1); 0 where it is in *body* and right."""
    data = source + destination + struct.pack("!II", len(body), _ICMPV6) + body
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
