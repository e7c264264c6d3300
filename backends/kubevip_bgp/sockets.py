"""TCP sockets as BGP wants them: signed, limited in hops, of one source, and given up when nothing is answered."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from typing import Any, Protocol

import attrs

from kubevip.plugin import IPAddress, NetworkError
from kubevip_bgp.neighbors import MULTIHOP, Neighbor

# linux/tcp.h, linux/in.h, linux/in6.h
_TCP_MD5SIG, _TCP_USER_TIMEOUT = 14, 18
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
_NEAR = 255
# Network control (RFC 4594): routers queue it before what it tells of.
_PRECEDENCE = 0xC0
_BACKLOG = 16
# What the kernel's numbers mean for what is asked of it here.
_WORDS = {
    errno.EADDRNOTAVAIL: "no interface of this node has that address",
    errno.ENODEV: "there is no such interface",
    errno.ENOPROTOOPT: "this kernel can't do that",
}


@attrs.frozen(kw_only=True)
class Source:
    """Where sessions start from, and how packets may travel.

    *ttl_security*: packets of a peer that isn't next to us are dropped by the kernel (RFC 5082); the peer has to
    do the same. *patience* is for how many seconds what was sent may stay unanswered.
    """

    address: IPAddress | None = None
    interface: str = ""
    ttl_security: bool = False
    patience: float = 30.0


class Signable(Protocol):
    """A socket, of asyncio or not."""

    def setsockopt(self, level: int, name: int, value: bytes, /) -> None:
        """Set an option."""


def dial(neighbor: Neighbor, source: Source, *, external: bool) -> socket.socket:
    """Return a socket that is ready to be connected to *neighbor*.

    :raises NetworkError: if the kernel doesn't want it so.
    """
    sock = socket.socket(_family(neighbor.address), socket.SOCK_STREAM)
    try:
        with _told(f"a socket to {neighbor.name}"):
            sock.setblocking(False)
            limit(sock, neighbor, source, external=external)
        if neighbor.password:
            with _told(f"TCP's MD5 signatures for {neighbor.name}"):
                sign(sock, neighbor)
        if source.interface:
            with _told(f"sessions can't start from {source.interface!r} (bgp_sourceif)"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.interface.encode())
        if source.address is not None and source.address.version == neighbor.address.version:
            with _told(f"sessions can't start from {source.address} (bgp_sourceip)"):
                sock.bind((str(source.address), 0))
    except BaseException:
        sock.close()
        raise
    return sock


def limit(sock: socket.socket, neighbor: Neighbor, source: Source, *, external: bool) -> None:
    """Set how far packets go, from how far they may come, and for how long the peer may keep silent."""
    near = source.ttl_security and not neighbor.multihop
    hops = _NEAR if near else MULTIHOP if neighbor.multihop else 1 if external else None
    if neighbor.address.version == 4:
        level, ttl, least, tos = socket.IPPROTO_IP, socket.IP_TTL, _IP_MINTTL, socket.IP_TOS
    else:
        level, ttl, least = socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _IPV6_MINHOPCOUNT
        tos = socket.IPV6_TCLASS
    if hops is not None:
        sock.setsockopt(level, ttl, hops)
    if near:
        sock.setsockopt(level, least, _NEAR)
    sock.setsockopt(level, tos, _PRECEDENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(source.patience * 1000))


def listen(address: IPAddress, port: int, neighbors: Iterable[Neighbor], source: Source) -> socket.socket:
    """Return a socket that listens for *neighbors*; who has a password has to sign from the first packet on.

    :raises NetworkError: if the address or the port can't be had.
    """
    sock = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        with _told(f"listening on {address} port {port}"):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if source.interface:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.interface.encode())
            sock.bind((str(address), port))
            for neighbor in neighbors:
                if neighbor.password and neighbor.found and neighbor.address.version == address.version:
                    sign(sock, neighbor)
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def target(neighbor: Neighbor) -> tuple[Any, ...]:
    """Return the address of *neighbor* as the kernel takes it."""
    address = neighbor.address
    if isinstance(address, IPv6Address):
        return str(address).partition("%")[0], neighbor.port, 0, scope_of(address)
    return str(address), neighbor.port


def scope_of(address: IPAddress) -> int:
    """Return the number of the interface that *address* is on; 0 where it doesn't say.

    :raises NetworkError: if there is no such interface.
    """
    if not isinstance(address, IPv6Address) or not address.scope_id:
        return 0
    try:
        return socket.if_nametoindex(address.scope_id)
    except OSError as error:
        raise NetworkError(f"there is no interface {address.scope_id!r} to reach {address} by", errno.ENODEV) from error


def sign(sock: Signable, neighbor: Neighbor) -> None:
    """Let the kernel sign and check each segment to and from *neighbor* (struct tcp_md5sig)."""
    address = neighbor.address
    if isinstance(address, IPv6Address):
        place = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, address.packed, scope_of(address))
    else:
        place = struct.pack("=HH4s", socket.AF_INET, 0, address.packed)
    key = neighbor.password.encode()
    sock.setsockopt(
        socket.IPPROTO_TCP, _TCP_MD5SIG, place.ljust(128, b"\0") + struct.pack("=BBHi80s", 0, 0, len(key), 0, key)
    )


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = _WORDS.get(error.errno or 0) or os.strerror(error.errno or 0)
        raise NetworkError(f"{what}: {why}", error.errno) from error
