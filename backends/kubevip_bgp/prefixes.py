"""Address families and network layer reachability information (RFC 4271 section 4.3, RFC 4760 section 5)."""

import enum
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kubevip_bgp.notification import Code, ProtocolError

Prefix = IPv4Network | IPv6Network


class Afi(enum.IntEnum):
    """The address families that are spoken here, all of them for unicast."""

    IPV4 = 1
    IPV6 = 2

    @classmethod
    def of(cls, prefix: Prefix) -> "Afi":
        """Return the family of *prefix*."""
        return cls.IPV4 if prefix.version == 4 else cls.IPV6

    @property
    def bits(self) -> int:
        """The length of an address."""
        return 32 if self is Afi.IPV4 else 128


UNICAST = 1
FAMILIES: dict[int, Afi] = {family.value: family for family in Afi}


def encode_prefix(prefix: Prefix) -> bytes:
    """Return the length in bits, and as many bytes as that takes."""
    length = prefix.prefixlen
    return bytes((length,)) + prefix.network_address.packed[: (length + 7) // 8]


def encode_prefixes(prefixes: Iterable[Prefix]) -> bytes:
    """Return one prefix after the other."""
    return b"".join(map(encode_prefix, prefixes))


def decode_prefixes(data: bytes, family: Afi) -> tuple[Prefix, ...]:
    """Read prefixes up to the end of *data*; bits behind a prefix's length don't count.

    :raises ProtocolError: if a length is above the family's, or the data ends within a prefix: where the next
        one begins can't be told then (RFC 7606 section 3 j).
    """
    found: list[Prefix] = []
    at = 0
    while at < len(data):
        length = data[at]
        octets = (length + 7) // 8
        packed = data[at + 1 : at + 1 + octets]
        if length > family.bits or len(packed) < octets:
            raise ProtocolError(f"a prefix of /{length} in {len(packed)} bytes", Code.UPDATE, 10)
        found.append(_prefix(packed, length, family))
        at += 1 + octets
    return tuple(found)


def _prefix(packed: bytes, length: int, family: Afi) -> Prefix:
    octets = family.bits // 8
    number = int.from_bytes(packed.ljust(octets, b"\0"))
    host = family.bits - length
    number = number >> host << host
    if family is Afi.IPV4:
        return IPv4Network((IPv4Address(number), length))
    return IPv6Network((IPv6Address(number), length))
