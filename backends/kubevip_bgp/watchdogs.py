"""BFD over UDP (RFC 5881, RFC 5883): a watchdog for each peer that has one."""

import asyncio
import errno
import logging
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Protocol

import attrs

from kubevip.plugin import IPAddress, NetworkError
from kubevip_bgp.bfd import Detector, Malformed, State
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.sockets import Source, scope_of

log = logging.getLogger(__name__)

NEAR_PORT, FAR_PORT = 3784, 4784
# RFC 5881 section 5: nobody further away than one hop can have sent a packet with it.
_HOPS = 255
_SOURCE_PORTS = (49152, 65535)
_TRIES = 16
_PRECEDENCE = 0xC0
_PACKET = 512
# linux/in.h, linux/in6.h
_IP_RECVTTL, _IPV6_RECVHOPLIMIT, _IP_TTL, _IPV6_HOPLIMIT = 12, 51, 2, 52


class Watched(Protocol):
    """A peer that is watched."""

    neighbor: Neighbor

    def lose(self) -> None:
        """It was there, and is not any more."""

    def hurry(self) -> None:
        """It is there now."""


@attrs.define(eq=False)
class Watchdog:
    """Watches one peer."""

    peer: Watched
    detector: Detector
    drain: Callable[[], None]
    _socket: socket.socket
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Begin to ask."""
        self.detector.start(_now())
        self._advance()

    def stop(self) -> None:
        """Tell the peer that we ask no more."""
        self.detector.stop()
        self._send()
        if self._timer is not None:
            self._timer.cancel()
        self._socket.close()

    def receive(self, data: bytes) -> None:
        """Take a packet of the peer."""
        before = self.detector.state
        try:
            self.detector.receive(data, _now())
        except Malformed as error:
            log.debug("threw away a BFD packet", extra={"peer": self.peer.neighbor.name, "reason": str(error)})
            return
        self._follow(before)

    def _advance(self) -> None:
        self._timer = None
        # What has arrived while the loop was busy counts: only then is the peer silent.
        self.drain()
        before = self.detector.state
        self.detector.advance(_now())
        self._follow(before)

    def _follow(self, before: State) -> None:
        after = self.detector.state
        self._send()
        self._set_timer()
        if after is not before and State.UP in (before, after):
            log.log(
                logging.INFO if after is State.UP else logging.WARNING,
                "BFD with the peer",
                extra={
                    "peer": self.peer.neighbor.name,
                    "state": after.name,
                    "reason": self.detector.diagnostic.name.lower(),
                },
            )
        if before is State.UP and after is State.DOWN:
            self.peer.lose()
        elif after is State.UP and before is not State.UP:
            self.peer.hurry()

    def _send(self) -> None:
        for packet in self.detector.data_to_send():
            # A peer that isn't there, or a link that is down, is what this is about.
            with suppress(OSError):
                self._socket.send(packet)

    def _set_timer(self) -> None:
        due = self.detector.deadline()
        if self._timer is not None and self._timer.when() == due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._advance) if due is not None else None


@attrs.define(eq=False)
class Watchdogs:
    """The watchdogs of all peers, and the sockets that they hear by."""

    source: Source
    _by_address: dict[IPAddress, Watchdog] = attrs.field(factory=dict, init=False)
    _ears: dict[tuple[int, int], socket.socket] = attrs.field(factory=dict, init=False)
    _reasons: dict[Neighbor, str] = attrs.field(factory=dict, init=False)

    def watch(self, peer: Watched, number: int) -> None:
        """Begin to watch *peer*, if it is to be watched; *number* tells it from the others.

        Where that can't be, the hold time has to do; the same reason again is no news.
        """
        try:
            self._watch(peer, number)
        except NetworkError as error:
            level = logging.DEBUG if self._reasons.get(peer.neighbor) == str(error) else logging.WARNING
            self._reasons[peer.neighbor] = str(error)
            log.log(level, "no BFD with the peer", extra={"peer": peer.neighbor.name, "reason": str(error)})
        else:
            self._reasons.pop(peer.neighbor, None)

    def _watch(self, peer: Watched, number: int) -> None:
        neighbor = peer.neighbor
        if neighbor.detection is None:
            return
        self.leave(peer)
        self._listen(neighbor.address.version, _port(neighbor))
        discriminator = random.SystemRandom().randrange(1, 2**24) << 8 | number
        detector = Detector(neighbor.detection, discriminator, random.random)
        dog = Watchdog(peer, detector, self.drain, _mouth(neighbor, self.source))
        self._by_address[_plain(neighbor.address)] = dog
        dog.start()

    def watches(self, peer: Watched) -> bool:
        """Tell whether *peer* is watched."""
        return any(dog.peer is peer for dog in self._by_address.values())

    def leave(self, peer: Watched) -> None:
        """Watch *peer* no more."""
        for address in [each for each, dog in self._by_address.items() if dog.peer is peer]:
            self._by_address.pop(address).stop()

    def _listen(self, version: int, port: int) -> None:
        if (version, port) not in self._ears:
            self._ears[version, port] = ear = _ear(version, port, self.source)
            asyncio.get_running_loop().add_reader(ear, self._hear, ear)

    def close(self) -> None:
        """Watch nobody any more."""
        for dog in self._by_address.values():
            dog.stop()
        self._by_address.clear()
        for ear in self._ears.values():
            asyncio.get_running_loop().remove_reader(ear)
            ear.close()
        self._ears.clear()

    def drain(self) -> None:
        """Take all that has arrived."""
        for ear in self._ears.values():
            self._hear(ear)

    def _hear(self, ear: socket.socket) -> None:
        for data, host, hops in _packets(ear):
            dog = self._by_address.get(_plain(ip_address(host)))
            if dog is None or (hops != _HOPS and not dog.peer.neighbor.multihop):
                log.debug("threw away a BFD packet of a stranger", extra={"from": host, "hops": hops})
                continue
            dog.receive(data)


def _packets(ear: socket.socket) -> Iterator[tuple[bytes, str, int]]:
    """Give each packet that has arrived, with its sender and its remaining hops."""
    with suppress(BlockingIOError):
        while True:
            data, ancillary, _flags, sender = ear.recvmsg(_PACKET, 64)
            hops = [
                struct.unpack("=i", value)[0] for _level, kind, value in ancillary if kind in (_IP_TTL, _IPV6_HOPLIMIT)
            ]
            yield data, str(sender[0]), hops[0] if hops else 0


def _ear(version: int, port: int, source: Source) -> socket.socket:
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if version == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
        if source.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.interface.encode())
        sock.bind(("" if version == 4 else "::", port))
    except OSError as error:
        sock.close()
        raise NetworkError(f"BFD at UDP port {port}: {error.strerror}", error.errno) from error
    return sock


def _mouth(neighbor: Neighbor, source: Source) -> socket.socket:
    """Return a socket that sends to *neighbor*, from a port of the range that is meant for it."""
    version = neighbor.address.version
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if source.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.interface.encode())
        if version == 4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _HOPS)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _PRECEDENCE)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _HOPS)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _PRECEDENCE)
        _bind(sock, str(source.address) if source.address and source.address.version == version else "")
        host = str(_plain(neighbor.address))
        sock.connect((host, _port(neighbor), *((0, scope_of(neighbor.address)) if version == 6 else ())))
    except OSError as error:
        sock.close()
        raise NetworkError(f"BFD with {neighbor.name}: {error.strerror}", error.errno) from error
    except NetworkError:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, host: str) -> None:
    for left in reversed(range(_TRIES)):
        try:
            sock.bind((host, random.SystemRandom().randint(*_SOURCE_PORTS)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not left:
                raise
        else:
            return


def _port(neighbor: Neighbor) -> int:
    return FAR_PORT if neighbor.multihop else NEAR_PORT


def _plain(address: IPAddress) -> IPAddress:
    """Return an address without its interface."""
    return type(address)(int(address))


def _now() -> float:
    return asyncio.get_running_loop().time()
