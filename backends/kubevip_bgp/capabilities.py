"""What a speaker can do, told in its OPEN message (RFC 5492)."""

import struct
from collections.abc import Callable, Iterable, Iterator

import attrs

from kubevip_bgp.notification import Code, ProtocolError
from kubevip_bgp.prefixes import FAMILIES, UNICAST, Afi

MULTIPROTOCOL, ROUTE_REFRESH, EXTENDED_NEXT_HOP, EXTENDED_MESSAGE, GRACEFUL_RESTART, FOUR_OCTET_AS = 1, 2, 5, 6, 64, 65
# IPv4 routes by way of an IPv6 address, the only pair that is of use here.
_IPV4_BY_IPV6 = struct.pack("!HHH", Afi.IPV4, UNICAST, Afi.IPV6)
_RESTARTED, _NOTIFICATION = 0x8000, 0x4000
_FORWARDING = 0x80
_RESTART_LIMIT = 0x0FFF


@attrs.frozen
class GracefulRestart:
    """How long, in seconds, to keep the routes of a speaker that restarts (RFC 4724).

    *restarted*: it comes back now. *forwarding*: the families for which it goes on forwarding meanwhile.
    *notification*: that holds after a NOTIFICATION too (RFC 8538).
    """

    time: int
    restarted: bool = False
    forwarding: frozenset[Afi] = frozenset()
    families: frozenset[Afi] = frozenset()
    notification: bool = False


@attrs.frozen(kw_only=True)
class Capabilities:
    """What one side can do. *families* are those that it names, as far as they are known here.

    *extended_next_hop*: IPv4 routes may go by an IPv6 next hop (RFC 8950).
    """

    families: frozenset[Afi] = frozenset()
    four_octet_as: int | None = None
    route_refresh: bool = False
    extended_message: bool = False
    extended_next_hop: bool = False
    graceful_restart: GracefulRestart | None = None
    others: tuple[tuple[int, bytes], ...] = ()

    @property
    def spoken(self) -> frozenset[Afi]:
        """The families that it speaks of, of those that are known here: IPv4, unless it names some (RFC 4760)."""
        names_some = self.families or any(code == MULTIPROTOCOL for code, _value in self.others)
        return self.families if names_some else frozenset({Afi.IPV4})


def encode_capabilities(capabilities: Capabilities) -> bytes:
    """Return all capabilities, one after the other."""
    return b"".join(bytes((code, len(value))) + value for code, value in _values(capabilities))


def _values(told: Capabilities) -> Iterator[tuple[int, bytes]]:
    for family in sorted(told.families):
        yield MULTIPROTOCOL, struct.pack("!HBB", family, 0, UNICAST)
    if told.route_refresh:
        yield ROUTE_REFRESH, b""
    if told.extended_next_hop:
        yield EXTENDED_NEXT_HOP, _IPV4_BY_IPV6
    if told.extended_message:
        yield EXTENDED_MESSAGE, b""
    if told.graceful_restart is not None:
        yield GRACEFUL_RESTART, _encode_restart(told.graceful_restart)
    if told.four_octet_as is not None:
        yield FOUR_OCTET_AS, struct.pack("!I", told.four_octet_as)
    yield from told.others


def _encode_restart(restart: GracefulRestart) -> bytes:
    flags = _RESTARTED * restart.restarted | _NOTIFICATION * restart.notification
    head = struct.pack("!H", flags | min(restart.time, _RESTART_LIMIT))
    return head + b"".join(
        struct.pack("!HBB", family, UNICAST, _FORWARDING * (family in restart.forwarding))
        for family in sorted(restart.families)
    )


def decode_capabilities(data: bytes) -> Capabilities:
    """Read the value of one optional parameter of capabilities.

    :raises ProtocolError: if *data* ends within a capability, or one that is known has a wrong length.
    """
    return _gather(_split(data))


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        value = data[at + 2 : at + 2 + data[at + 1]] if at + 1 < len(data) else b""
        if at + 1 >= len(data) or len(value) < data[at + 1]:
            raise ProtocolError("an OPEN ends within a capability", Code.OPEN)
        yield data[at], value
        at += 2 + len(value)


def _gather(values: Iterable[tuple[int, bytes]]) -> Capabilities:
    families: set[Afi] = set()
    four_octet_as: int | None = None
    restart: GracefulRestart | None = None
    flags = set()
    others: list[tuple[int, bytes]] = []
    for code, value in values:
        if code == MULTIPROTOCOL and len(value) == 4:
            afi, _reserved, safi = struct.unpack("!HBB", value)
            if safi == UNICAST and afi in FAMILIES:
                families.add(FAMILIES[afi])
            else:
                others.append((code, value))
        elif code == FOUR_OCTET_AS and len(value) == 4:
            four_octet_as = int.from_bytes(value)
        elif code == GRACEFUL_RESTART and len(value) % 4 == 2:
            restart = _decode_restart(value)
        elif code in _FLAGS and _FLAGS[code](value):
            flags.add(code)
        elif code in (MULTIPROTOCOL, FOUR_OCTET_AS, GRACEFUL_RESTART):
            raise ProtocolError(f"capability {code} with {len(value)} bytes", Code.OPEN)
        else:
            others.append((code, value))
    return Capabilities(
        families=frozenset(families),
        four_octet_as=four_octet_as,
        route_refresh=ROUTE_REFRESH in flags,
        extended_message=EXTENDED_MESSAGE in flags,
        extended_next_hop=EXTENDED_NEXT_HOP in flags,
        graceful_restart=restart,
        others=tuple(others),
    )


def _names_ipv4_by_ipv6(value: bytes) -> bool:
    return _IPV4_BY_IPV6 in [value[at : at + 6] for at in range(0, len(value), 6)]


# What a side can do or can't, and whether the value of the capability says so.
_FLAGS: dict[int, Callable[[bytes], bool]] = {
    ROUTE_REFRESH: lambda value: not value,
    EXTENDED_MESSAGE: lambda value: not value,
    EXTENDED_NEXT_HOP: _names_ipv4_by_ipv6,
}


def _decode_restart(value: bytes) -> GracefulRestart:
    (head,) = struct.unpack_from("!H", value)
    entries = [struct.unpack_from("!HBB", value, at) for at in range(2, len(value), 4)]
    known = [(FAMILIES[afi], flags) for afi, safi, flags in entries if safi == UNICAST and afi in FAMILIES]
    return GracefulRestart(
        time=head & _RESTART_LIMIT,
        restarted=bool(head & _RESTARTED),
        forwarding=frozenset(afi for afi, flags in known if flags & _FORWARDING),
        families=frozenset(afi for afi, _flags in known),
        notification=bool(head & _NOTIFICATION),
    )
