"""Ethernet frames: per link one socket to send, and one for each kind of frame that is listened to.

They stay open, and serve the next who listens with another filter, because closing a packet socket waits for the
kernel's readers: 10 to 30 ms in which the event loop would stand still. While nobody listens, a filter keeps every
frame back.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

import attrs

from kubevip.backend import BpfInstruction
from kubevip.errors import NetworkError
from kubevip.net import bpf
from kubevip.net.monitor import Monitor
from kubevip.net.netlink import force_buffer, network_error
from kubevip.net.netns import Enter

# The link was taken away, or replaced by another one of its name: a new socket may do.
_STALE = (errno.ENXIO, errno.ENODEV, errno.EBADF)
# linux/if_packet.h
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_MULTICAST = 263, 1, 0
# A burst is taken in turns with everything else that the loop has to do.
_AT_ONCE = 64

# Takes the announcements of a thousand addresses: those that get lost are taken for a successor that isn't there.
_BUFFER = 4 << 20

Received = Callable[[bytes], None]


@attrs.define(eq=False)
class _Ear:
    """A socket that receives one kind of frame on one link, for as many as listen."""

    sock: socket.socket
    index: int
    program: Sequence[BpfInstruction]
    listeners: list[Received] = attrs.field(factory=list)

    def add(self, received: Received) -> None:
        self.listeners.append(received)
        if len(self.listeners) == 1:
            bpf.attach(self.sock, self.program or (bpf.ACCEPT,))
            asyncio.get_running_loop().add_reader(self.sock, self._readable)

    def remove(self, received: Received) -> None:
        self.listeners.remove(received)
        if not self.listeners:
            asyncio.get_running_loop().remove_reader(self.sock)
            bpf.attach(self.sock, (bpf.REJECT,))
            self._drain()

    def _drain(self) -> None:
        """Throw away what has arrived already: whoever listens next wants to hear what comes then."""
        with contextlib.suppress(OSError):
            while True:
                self.sock.recv(1)

    def _readable(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                frame = self.sock.recv(1 << 16)
                for received in tuple(self.listeners):
                    received(frame)
        except BlockingIOError:
            return
        except OSError as error:
            # The link went down: nothing arrives, until it comes up again.
            if error.errno not in (errno.ENETDOWN, *_STALE):
                raise


@attrs.define(eq=False)
class Wire:
    """Sends and receives whole Ethernet frames on the links of a network namespace."""

    _monitor: Monitor
    _enter: Enter = contextlib.nullcontext
    _senders: dict[str, tuple[int, socket.socket]] = attrs.field(factory=dict, init=False)
    _ears: dict[tuple[str, int, tuple[BpfInstruction, ...]], _Ear] = attrs.field(factory=dict, init=False)

    def prepare(self, interface: str) -> None:
        """Open the socket for sending on *interface* before it's needed in a hurry."""
        self._sender(interface)

    def send(self, interface: str, frame: bytes) -> None:
        """Send one frame at once; see ``kubevip.backend.Host``."""
        try:
            self._sender(interface).send(frame)
        except OSError as error:
            if error.errno in _STALE:
                self._forget(interface)
            raise network_error(error.errno or 0, "", f"sending on {interface}") from error

    def _sender(self, interface: str) -> socket.socket:
        index = self._monitor.get(interface).index
        known = self._senders.get(interface)
        if known is not None and known[0] == index:
            return known[1]
        self._forget(interface)
        sock = self._open(interface, 0)
        self._senders[interface] = (index, sock)
        return sock

    def _forget(self, interface: str) -> None:
        known = self._senders.pop(interface, None)
        if known is not None:
            known[1].close()

    @contextlib.contextmanager
    def listen(
        self,
        interface: str,
        ethertype: int,
        received: Received,
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> Iterator[None]:
        """Hand each arriving frame of *ethertype* to *received*; see ``kubevip.backend.Host``."""
        ear = self._ear(interface, ethertype, tuple(bpf))
        if group:
            _join(ear.sock, ear.index, group)
        ear.add(received)
        try:
            yield
        finally:
            ear.remove(received)

    def _ear(self, interface: str, ethertype: int, program: tuple[BpfInstruction, ...]) -> _Ear:
        index = self._monitor.get(interface).index
        key = (interface, ethertype, program)
        known = self._ears.get(key)
        if known is not None and known.index == index:
            return known
        if known is not None and not known.listeners:
            known.sock.close()
        idle = self._idle(interface, ethertype, index)
        if idle is not None:
            ear = self._ears.pop(idle)
            ear.program = program
            self._ears[key] = ear
            return ear
        self._ears[key] = ear = _Ear(self._open(interface, ethertype), index, program)
        return ear

    def _idle(self, interface: str, ethertype: int, index: int) -> tuple[str, int, tuple[BpfInstruction, ...]] | None:
        """Return a socket that nobody uses: filters for held addresses change, and each socket stays open."""
        for key, ear in self._ears.items():
            if key[:2] == (interface, ethertype) and ear.index == index and not ear.listeners:
                return key
        return None

    def _open(self, interface: str, ethertype: int) -> socket.socket:
        with self._enter():
            return _packet_socket(interface, ethertype)

    def close(self) -> None:
        """Close every socket."""
        for interface in tuple(self._senders):
            self._forget(interface)
        for ear in self._ears.values():
            ear.sock.close()


def _join(sock: socket.socket, index: int, group: bytes) -> None:
    """Have the link let *group* through, while *sock* is open (packet(7), PACKET_ADD_MEMBERSHIP)."""
    request = struct.pack("iHH8s", index, _PACKET_MR_MULTICAST, len(group), group)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def _packet_socket(interface: str, ethertype: int) -> socket.socket:
    try:
        # Without a protocol it receives nothing until it's bound, so the filter is in place before the first frame.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        message = "opening a packet socket: operation not permitted; it needs the capability NET_RAW"
        raise NetworkError(message, errno.EPERM) from error
    try:
        bpf.attach(sock, (bpf.REJECT,))
        force_buffer(sock, _BUFFER)
        sock.bind((interface, ethertype))
    except OSError as error:
        sock.close()
        raise network_error(error.errno or 0, "", f"opening a packet socket on {interface}") from error
    return sock
