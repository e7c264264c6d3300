"""Ethernet frames: per link one socket to send, and one for each kind of frame that is listened to.

They stay open, and serve the next who listens with another filter, because closing a packet socket waits for the
kernel's readers: 10 to 30 ms in which the event loop would stand still. While nobody listens, a filter keeps every
frame back.
"""

import asyncio
import contextlib
import errno
import itertools
import socket
from collections.abc import Callable, Iterator, Sequence

import attrs

from kubevip.backend import BpfInstruction
from kubevip.net import bpf
from kubevip.net.letterbox import Letterbox
from kubevip.net.monitor import Monitor
from kubevip.net.netlink import network_error
from kubevip.net.netns import Enter
from kubevip.net.packets import STALE, drain, join, packet_socket

# A burst is taken in turns with everything else that the loop has to do.
_AT_ONCE = 64

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
            drain(self.sock)

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
            if error.errno not in (errno.ENETDOWN, *STALE):
                raise


@attrs.define(eq=False)
class Wire:
    """Sends and receives whole Ethernet frames on the links of a network namespace."""

    _monitor: Monitor
    _enter: Enter = contextlib.nullcontext
    _senders: dict[str, tuple[int, socket.socket]] = attrs.field(factory=dict, init=False)
    _ears: dict[tuple[str, int, tuple[BpfInstruction, ...]], _Ear] = attrs.field(factory=dict, init=False)
    _boxes: dict[tuple[str, int], list[Letterbox]] = attrs.field(factory=dict, init=False)

    def prepare(self, interface: str) -> None:
        """Open the socket for sending on *interface* before it's needed in a hurry."""
        self._sender(interface)

    def send(self, interface: str, frame: bytes) -> None:
        """Send one frame at once; see ``kubevip.backend.Host``."""
        try:
            self._sender(interface).send(frame)
        except OSError as error:
            if error.errno in STALE:
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
            join(ear.sock, ear.index, group)
        ear.add(received)
        try:
            yield
        finally:
            ear.remove(received)

    @contextlib.contextmanager
    def gather(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes, float], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> Iterator[Callable[[], None]]:
        """Keep each arriving frame of *ethertype* until it is asked for; see ``kubevip.backend.Host``."""
        box = self._box(interface, ethertype)
        if group:
            join(box.sock, box.index, group)
        box.open(received, bpf)
        try:
            yield box.look
        finally:
            box.close()

    def _box(self, interface: str, ethertype: int) -> Letterbox:
        index = self._monitor.get(interface).index
        known = self._boxes.setdefault((interface, ethertype), [])
        for box in tuple(known):
            if box.index == index and not box.is_open:
                return box
            if box.index != index and not box.is_open:
                known.remove(box)
                box.sock.close()
        with self._enter():
            box = Letterbox.on(interface, ethertype, index)
        known.append(box)
        return box

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
            return packet_socket(interface, ethertype)

    def close(self) -> None:
        """Close every socket."""
        for interface in tuple(self._senders):
            self._forget(interface)
        for ear in self._ears.values():
            ear.sock.close()
        for box in itertools.chain.from_iterable(self._boxes.values()):
            box.sock.close()
