"""The few rtnetlink messages of the hot path, packed and unpacked by hand.

pyroute2 spends about 100 µs on each message, the kernel 20: a takeover of a thousand addresses has 50 ms for
all of it. What isn't hot (routes, namespaces) goes through pyroute2.

Layouts: ``linux/netlink.h``, ``linux/rtnetlink.h``, ``linux/if_addr.h``, ``linux/if_link.h``.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Self

import attrs

from kubevip.errors import NetworkError
from kubevip.model import Family, IPAddress

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
NLM_F_ACK_TLVS = 0x200
NLM_F_DUMP_INTR = 0x10
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
SO_RCVBUFFORCE = 33

IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO = 1, 2, 6, 8, 11
IFA_F_NODAD, IFA_F_DEPRECATED, IFA_F_NOPREFIXROUTE = 0x02, 0x20, 0x200
IFLA_ADDRESS, IFLA_IFNAME, IFLA_OPERSTATE = 1, 3, 16
IFF_UP, IFF_LOOPBACK, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x8, 0x40, 0x10000
IF_OPER_UNKNOWN, IF_OPER_UP = 0, 6
RTA_DST, RTN_LOCAL = 1, 2
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
FOREVER = 0xFFFFFFFF

# The protocol that marks an address as kubevip's (IFA_PROTO, Linux 5.18 and newer; older kernels ignore it).
OUR_PROTO = 75

_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_IFINFOMSG = struct.Struct("=BxHiII")
_RTMSG = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_CACHEINFO = struct.Struct("=IIII")
_PUT = {
    family: struct.Struct(f"=IHHII BBBBI HH{size}s HH{size}s HHIIII HHI HHB3x")
    for family, size in ((Family.IPV4, 4), (Family.IPV6, 16))
}
FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
# Messages in one datagram: their acknowledgements have to fit into the socket's buffer.
BATCH = 64
_EVENT_BUFFER = 32 << 20


@attrs.frozen
class AddressMessage:
    """An RTM_NEWADDR or RTM_DELADDR as the kernel sends it; lifetimes in seconds, ``FOREVER`` for no end."""

    removed: bool
    index: int
    address: IPAddress
    prefix_length: int
    scope: int
    flags: int
    proto: int
    valid: int
    preferred: int


@attrs.frozen
class LinkMessage:
    """An RTM_NEWLINK or RTM_DELLINK as the kernel sends it."""

    removed: bool
    index: int
    name: str
    mac: bytes
    flags: int
    operstate: int


def attribute(kind: int, value: bytes) -> bytes:
    """Pack an attribute."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Pack a message."""
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body


def put_address(
    index: int, address: IPAddress, prefix_length: int, *, lifetime: int, scope: int, sequence: int
) -> bytes:
    """Create or replace an address that lives *lifetime* seconds and that nothing uses as its source.

    No duplicate address detection: the Lease decides who has it, and a VIP has to answer at once.
    """
    family = Family.of(address)
    layout = _PUT[family]
    packed = address.packed
    # One pack for all of it: a takeover writes thousands of these.
    return layout.pack(
        *(layout.size, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE, sequence, 0),
        *(FAMILIES[family], prefix_length, 0, scope, index),
        *(4 + len(packed), IFA_LOCAL, packed),
        *(4 + len(packed), IFA_ADDRESS, packed),
        *(4 + _CACHEINFO.size, IFA_CACHEINFO, 0, lifetime, 0, 0),
        *(8, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE),
        *(5, IFA_PROTO, OUR_PROTO),
    )


def remove_address(index: int, address: IPAddress, prefix_length: int, *, sequence: int) -> bytes:
    """Remove an address from a link."""
    body = _IFADDRMSG.pack(FAMILIES[Family.of(address)], prefix_length, 0, 0, index) + attribute(
        IFA_LOCAL, address.packed
    )
    return message(RTM_DELADDR, NLM_F_REQUEST, sequence, body)


def find_route(address: IPAddress, *, sequence: int = 1) -> bytes:
    """Ask by which route packets to *address* go."""
    family = Family.of(address)
    body = _RTMSG.pack(FAMILIES[family], family.bits, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, address.packed)
    return message(RTM_GETROUTE, NLM_F_REQUEST, sequence, body)


def dump(kind: int, *, sequence: int = 1) -> bytes:
    """Ask for all links (RTM_GETLINK) or all addresses (RTM_GETADDR)."""
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) if kind == RTM_GETLINK else _IFADDRMSG.pack(0, 0, 0, 0, 0)
    return message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, body)


def messages(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Split a datagram into its messages: kind, flags, sequence number, body."""
    offset = 0
    while offset + 16 <= len(datagram):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(datagram, offset)
        if length < 16:
            return
        yield kind, flags, sequence, datagram[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """Unpack the attributes from *offset* on, by their kind."""
    found = {}
    while offset + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def parse_address(kind: int, body: bytes) -> AddressMessage | None:
    """Unpack an address message; ``None`` for a family that isn't IP."""
    family, prefix_length, flags, scope, index = _IFADDRMSG.unpack_from(body)
    if family not in FAMILIES.values():
        return None
    found = attributes(body, _IFADDRMSG.size)
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    preferred, valid = FOREVER, FOREVER
    if IFA_CACHEINFO in found:
        preferred, valid = _CACHEINFO.unpack_from(found[IFA_CACHEINFO])[:2]
    if IFA_FLAGS in found:
        (flags,) = struct.unpack("=I", found[IFA_FLAGS])
    proto = found.get(IFA_PROTO, b"\0")[0]
    removed = kind == RTM_DELADDR
    return AddressMessage(removed, index, ip_address(packed), prefix_length, scope, flags, proto, valid, preferred)


def parse_link(kind: int, body: bytes) -> LinkMessage:
    """Unpack a link message."""
    _family, _type, index, flags, _change = _IFINFOMSG.unpack_from(body)
    found = attributes(body, _IFINFOMSG.size)
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode()
    operstate = found.get(IFLA_OPERSTATE, b"\0")[0]
    return LinkMessage(kind == RTM_DELLINK, index, name, found.get(IFLA_ADDRESS, b""), flags, operstate)


def network_error(code: int, text: str, doing: str) -> NetworkError:
    """Put an errno, and the kernel's own words where it has any, into one sentence about *doing*."""
    why = text or os.strerror(code).lower()
    hint = "; it needs the capability NET_ADMIN" if code == errno.EPERM else ""
    return NetworkError(f"{doing}: {why}{hint}", code)


def event_socket() -> socket.socket:
    """Open a socket for events, with a buffer that takes 40,000 of them; bind it to the groups that matter."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    force_buffer(sock, _EVENT_BUFFER)
    return sock


def force_buffer(sock: socket.socket, size: int) -> None:
    """Let *sock* keep *size* bytes of what it receives; in an unprivileged user namespace up to net.core.rmem_max."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class Requests:
    """A netlink socket for requests that are answered one by one. It blocks: use it in a thread of its own.

    The kernel carries a request out inside ``send()``, and waits there for whoever holds its lock.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, 0))

    def filter_dumps(self) -> None:
        """Let a dump hold only what its request describes; a kernel before 4.20 can't, and lists all."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def carry_out(self, batch: Sequence[bytes]) -> dict[int, tuple[int, str]]:
        """Send messages; return errno and text of those refused, by sequence number.

        Only the last one is acknowledged: what is refused is told anyhow, and in order.
        """
        *others, last = batch
        kind, flags, sequence = struct.unpack_from("=HHI", last, 4)
        acknowledged = last[:4] + struct.pack("=HH", kind, flags | NLM_F_ACK) + last[8:]
        self._socket.send(b"".join([*others, acknowledged]))
        refused: dict[int, tuple[int, str]] = {}
        while True:
            for answer, answer_flags, about, body in messages(self._socket.recv(1 << 20)):
                if answer != NLMSG_ERROR:
                    continue
                (code,) = struct.unpack_from("=i", body)
                if code:
                    refused[about] = (-code, _extended_text(body) if answer_flags & NLM_F_ACK_TLVS else "")
                if about == sequence:
                    return refused

    def is_local(self, address: IPAddress) -> bool:
        """Tell whether this node takes packets to *address* for its own."""
        self._socket.send(find_route(address))
        ((kind, _flags, _sequence, body),) = messages(self._socket.recv(1 << 16))
        return kind == RTM_NEWROUTE and body[7] == RTN_LOCAL

    def all(self, kind: int) -> list[tuple[int, bytes]]:
        """Return kind and body of every message of a dump, asked for again when a change interrupted it."""
        return self.listed(dump(kind))

    def listed(self, request: bytes) -> list[tuple[int, bytes]]:
        """Return kind and body of every message of the dump that *request* asks for, as ``all`` does."""
        while True:
            found, consistent = self._dump(request)
            if consistent:
                return found

    def _dump(self, request: bytes) -> tuple[list[tuple[int, bytes]], bool]:
        self._socket.send(request)
        found: list[tuple[int, bytes]] = []
        consistent = True
        while True:
            for answer, flags, _sequence, body in messages(self._socket.recv(1 << 20)):
                consistent = consistent and not flags & NLM_F_DUMP_INTR
                if answer == NLMSG_DONE:
                    return found, consistent
                if answer == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", body)
                    raise network_error(-code, "", "listing what is on the links")
                found.append((answer, body))


def _extended_text(body: bytes) -> str:
    # With NETLINK_CAP_ACK the error is followed by the header of the request alone, then by the attributes.
    return attributes(body, 4 + 16).get(1, b"").rstrip(b"\0").decode(errors="replace")
