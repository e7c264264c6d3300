"""Ethernet frames: one socket a link that stays open for sending, and others that are opened to listen."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator, Sequence

import attrs

from kubevip.backend import BpfInstruction
from kubevip.errors import NetworkError
from kubevip.net import bpf
from kubevip.net.monitor import Monitor
from kubevip.net.netlink import network_error
from kubevip.net.netns import Enter

# The link was taken away, or replaced by another one of its name: a new socket may do.
_STALE = (errno.ENXIO, errno.ENODEV, errno.EBADF)


@attrs.define(eq=False)
class Wire:
    """Sends and receives whole Ethernet frames on the links of a network namespace."""

    _monitor: Monitor
    _enter: Enter = contextlib.nullcontext
    _senders: dict[str, tuple[int, socket.socket]] = attrs.field(factory=dict, init=False)

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
        received: Callable[[bytes], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
    ) -> Iterator[None]:
        """Hand each arriving frame of *ethertype* to *received*; see ``kubevip.backend.Host``."""
        loop = asyncio.get_running_loop()
        sock = self._open(interface, ethertype, bpf)

        def readable() -> None:
            try:
                # A burst is taken in turns with everything else that the loop has to do.
                for _ in range(64):
                    received(sock.recv(1 << 16))
            except BlockingIOError:
                return
            except OSError as error:
                # The link went down: nothing arrives, until it comes up again.
                if error.errno not in (errno.ENETDOWN, *_STALE):
                    raise

        loop.add_reader(sock, readable)
        try:
            yield
        finally:
            loop.remove_reader(sock)
            sock.close()

    def _open(self, interface: str, ethertype: int, bpf: Sequence[BpfInstruction] = ()) -> socket.socket:
        with self._enter():
            return _packet_socket(interface, ethertype, bpf)

    def close(self) -> None:
        """Close every socket."""
        for interface in tuple(self._senders):
            self._forget(interface)


def _packet_socket(interface: str, ethertype: int, program: Sequence[BpfInstruction] = ()) -> socket.socket:
    try:
        # Without a protocol it receives nothing until it's bound, so the filter is in place before the first frame.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        message = "opening a packet socket: operation not permitted; it needs the capability NET_RAW"
        raise NetworkError(message, errno.EPERM) from error
    try:
        if program:
            bpf.attach(sock, program)
        sock.bind((interface, ethertype))
    except OSError as error:
        sock.close()
        raise network_error(error.errno or 0, "", f"opening a packet socket on {interface}") from error
    return sock
