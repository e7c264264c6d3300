"""ARP frames for IPv4 over Ethernet (RFC 826)."""

import struct
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

ETHERTYPE = 0x0806
BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2
_UNSPECIFIED = IPv4Address(0)
_FORMAT = struct.Struct("!6s6sH HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800

__all__ = ["ETHERTYPE", "Arp", "announcement", "probe", "question"]


@frozen
class Arp:
    """What an ARP frame says: *sender* is at *mac*, and it is about *target*."""

    operation: int
    sender: IPv4Address
    mac: bytes
    target: IPv4Address

    @classmethod
    def parse(cls, frame: bytes) -> "Arp | None":
        """Read a frame; ``None`` where it is too short or isn't ARP for IPv4 over Ethernet."""
        if len(frame) < _FORMAT.size:
            return None
        fields = _FORMAT.unpack_from(frame)
        if fields[2:7] != (ETHERTYPE, _ETHERNET, _IPV4, 6, 4):
            return None
        return cls(fields[7], IPv4Address(fields[9]), fields[8], IPv4Address(fields[11]))


def announcement(address: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Build the gratuitous reply: *address* is at *mac*."""
    return _frame(REPLY, mac, address, mac, address)


def question(address: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Build the gratuitous request, whose sender every machine learns."""
    return _frame(REQUEST, mac, address, BROADCAST, address)


def probe(address: IPv4Address | IPv6Address, mac: bytes) -> bytes:
    """Build the question who has *address*, from a sender without an address (RFC 5227, section 1.1)."""
    return _frame(REQUEST, mac, _UNSPECIFIED, bytes(6), address)


def _frame(
    operation: int,
    mac: bytes,
    sender: IPv4Address | IPv6Address,
    target_mac: bytes,
    target: IPv4Address | IPv6Address,
) -> bytes:
    return _FORMAT.pack(
        BROADCAST,
        mac,
        ETHERTYPE,
        _ETHERNET,
        _IPV4,
        6,
        4,
        operation,
        mac,
        sender.packed,
        target_mac,
        target.packed,
    )
