"""ARP frames for IPv4 over Ethernet (RFC 826)."""

import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from kubevip.plugin import REJECT, BpfInstruction, accept_any

ETHERTYPE = 0x0806
BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2
_UNSPECIFIED = IPv4Address(0)
_FORMAT = struct.Struct("!6s6sH HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800

# Classic BPF: replies to one machine, which is us; all else is kept back.
REPLIES_TO_US = (
    (0x28, 0, 0, 20),
    (0x15, 1, 0, REPLY),
    REJECT,
    (0x30, 0, 0, 0),
    (0x45, 0, 1, 1),
    REJECT,
    (0x06, 0, 0, 0xFFFFFFFF),
)

__all__ = [
    "ETHERTYPE",
    "REPLIES_TO_US",
    "REPLY",
    "Arp",
    "announcement",
    "claims_to",
    "inquiry",
    "probe",
    "question",
]


def claims_to(addresses: Collection[IPv4Address | IPv6Address]) -> tuple[BpfInstruction, ...]:
    """Return the BPF program that lets through frames whose sender is one of *addresses*."""
    return ((0x20, 0, 0, 28), *accept_any(int(address) for address in addresses))


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


def inquiry(address: IPv4Address | IPv6Address, mac: bytes, witness: IPv4Address | IPv6Address) -> bytes:
    """Build the ordinary question who has *witness*, from *address*, whose place the witness learns."""
    return _frame(REQUEST, mac, address, bytes(6), witness)


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
