"""The frames by which simulated kernels ask and answer for addresses: ARP, and neighbour discovery for IPv6.

Written from the RFCs (826, 5227, 4861), apart from any backend, so that neither proves itself right.
"""

import functools
import struct
from ipaddress import IPv4Address, IPv6Address

import attrs

from kubevip.model import IPAddress

ARP, IPV6 = 0x0806, 0x86DD
BROADCAST = b"\xff" * 6
ALL_NODES = IPv6Address("ff02::1")
_NOBODY = (IPv4Address(0), IPv6Address(0))
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOLICITED, _OVERRIDE = 0x40, 0x20


@attrs.frozen
class Word:
    """What one frame says of who has which address.

    *claimed* is at *mac*, says the sender; *asked* is what he wants to know the place of. *answer*: it was sent
    to one who asked. *overrides*: it is to be believed though one knew otherwise.
    """

    mac: bytes
    claimed: IPAddress | None = None
    asked: IPAddress | None = None
    answer: bool = False
    overrides: bool = True


def ethertype(frame: bytes) -> int:
    """Return the EtherType of a frame; 0 where it is too short to have one."""
    return int.from_bytes(frame[12:14], "big") if len(frame) >= 14 else 0


def destination(frame: bytes) -> bytes:
    """Return the link-layer address that a frame is for."""
    return frame[:6]


def is_for(frame: bytes, mac: bytes) -> bool:
    """Tell whether a network card with *mac* takes a frame: it is its own, or a group's."""
    return bool(frame) and (destination(frame) == mac or bool(frame[0] & 1))


@functools.lru_cache(maxsize=64)
def read(frame: bytes) -> Word | None:
    """Read a frame; ``None`` where it says nothing about addresses. All who hear a broadcast read the same one."""
    kind, body = ethertype(frame), frame[14:]
    if kind == ARP:
        return _read_arp(frame, body)
    return _read_neighbour(frame, body) if kind == IPV6 else None


def _read_arp(frame: bytes, body: bytes) -> Word | None:
    if len(body) < 28 or body[:6] != bytes.fromhex("000108000604"):
        return None
    request = body[6:8] == b"\0\1"
    sender, target = IPv4Address(body[14:18]), IPv4Address(body[24:28])
    claimed = None if sender in _NOBODY else sender
    asked = target if request and target != sender else None
    answer = not request and destination(frame) != BROADCAST
    return Word(body[8:14], claimed, asked, answer=answer)


def _read_neighbour(frame: bytes, body: bytes) -> Word | None:
    # RFC 4861, sections 7.1.1 and 7.1.2: hop limit 255, code 0, 24 octets at least.
    if len(body) < 64 or body[6] != 58 or body[7] != 255 or body[41] != 0:
        return None
    source, target = IPv6Address(body[8:24]), IPv6Address(body[48:64])
    known = _options(body[64:])
    if body[40] == _SOLICITATION:
        return Word(known.get(1, frame[6:12]), None if source in _NOBODY else source, target)
    if body[40] != _ADVERTISEMENT:
        return None
    flags = body[44]
    return Word(known.get(2, frame[6:12]), target, answer=bool(flags & _SOLICITED), overrides=bool(flags & _OVERRIDE))


def _options(octets: bytes) -> dict[int, bytes]:
    found = {}
    while len(octets) >= 8 and octets[1] > 0:
        found[octets[0]] = octets[2:8]
        octets = octets[8 * octets[1] :]
    return found


def question(address: IPAddress, mac: bytes, asker: IPAddress, to: bytes = b"") -> bytes:
    """Build what the kernel of a machine with *mac*, whose address is *asker*, asks to learn the place of *address*.

    It asks everybody, or only the machine at *to*.
    """
    if isinstance(address, IPv4Address):
        body = bytes.fromhex("0001080006040001") + mac + asker.packed + bytes(6) + address.packed
        return (to or BROADCAST) + mac + ARP.to_bytes(2, "big") + body
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(address) & 0xFFFFFF)
    target, target_mac = (address, to) if to else (group, b"\x33\x33" + group.packed[-4:])
    message = struct.pack("!BBHB3x16sBB6s", _SOLICITATION, 0, 0, 0, address.packed, 1, 1, mac)
    return _neighbour_discovery(target_mac, mac, asker, target, message)


def answer(question: Word, address: IPAddress, mac: bytes) -> bytes:
    """Build what the kernel of a machine with *mac* answers to one who asked for *address*, which is its own."""
    if isinstance(address, IPv4Address):
        asker = question.claimed if question.claimed is not None else IPv4Address(0)
        body = bytes.fromhex("0001080006040002") + mac + address.packed + question.mac + asker.packed
        return question.mac + mac + ARP.to_bytes(2, "big") + body
    asker = question.claimed if isinstance(question.claimed, IPv6Address) else ALL_NODES
    flags = _OVERRIDE if asker == ALL_NODES else _OVERRIDE | _SOLICITED
    to = b"\x33\x33" + asker.packed[-4:] if asker == ALL_NODES else question.mac
    message = struct.pack("!BBHB3x16sBB6s", _ADVERTISEMENT, 0, 0, flags, address.packed, 2, 1, mac)
    return _neighbour_discovery(to, mac, address, asker, message)


def _neighbour_discovery(to: bytes, mac: bytes, source: IPAddress, target: IPAddress, message: bytes) -> bytes:
    checksum = checksum_of(source, target, message)
    header = struct.pack("!IHBB16s16s", 6 << 28, len(message), 58, 255, source.packed, target.packed)
    return to + mac + IPV6.to_bytes(2, "big") + header + message[:2] + checksum.to_bytes(2, "big") + message[4:]


def checksum_of(source: IPAddress, target: IPAddress, message: bytes) -> int:
    """Return the checksum of an ICMPv6 *message* with its checksum field at zero (RFC 4443, section 2.3)."""
    data = source.packed + target.packed + len(message).to_bytes(4, "big") + (58).to_bytes(4, "big") + message
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    # The sum of 16-bit words in ones' complement is the remainder by 65535, where 0 stands for 65535 too.
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)
