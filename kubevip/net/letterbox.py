"""Frames that wait in the kernel until somebody looks, each with the time of its arrival.

Whoever acts on the clock anyway, ten times a second, need not be woken by each frame in between.
"""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable, Sequence

import attrs

from kubevip.backend import BpfInstruction
from kubevip.net import bpf
from kubevip.net.packets import STALE, drain, packet_socket

# asm-generic/socket.h
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_TIME.size)
# A burst is taken in turns with everything else that the loop has to do.
_AT_ONCE = 64
# What is longer is cut off.
_LONGEST = 1 << 11


@attrs.define(eq=False)
class Letterbox:
    """Receives frames on one link, for one who looks: between ``open()`` and ``close()`` by *received*."""

    sock: socket.socket
    index: int
    _received: Callable[[bytes, float], None] | None = attrs.field(default=None, init=False)
    _looked: float = attrs.field(default=0.0, init=False)

    @classmethod
    def on(cls, interface: str, ethertype: int, index: int) -> "Letterbox":
        """Make one on *interface*.

        :raises NetworkError: if it is gone.
        """
        sock = packet_socket(interface, ethertype)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return cls(sock, index)

    @property
    def is_open(self) -> bool:
        """Whether somebody looks."""
        return self._received is not None

    def open(self, received: Callable[[bytes, float], None], program: Sequence[BpfInstruction]) -> None:
        """Keep what *program* accepts from now on."""
        self._looked = asyncio.get_running_loop().time()
        self._received = received
        bpf.attach(self.sock, program or (bpf.ACCEPT,))

    def close(self) -> None:
        """Keep nothing any more."""
        self._received = None
        bpf.attach(self.sock, (bpf.REJECT,))
        drain(self.sock)

    def look(self) -> None:
        """Hand over what has arrived, each frame with the time on the loop's clock."""
        now, wall = asyncio.get_running_loop().time(), time.time()
        try:
            for _ in range(_AT_ONCE):
                frame, ancillary, _flags, _sender = self.sock.recvmsg(_LONGEST, _ANCILLARY)
                if self._received is None:
                    return
                # The kernel tells the time of the wall, which may have been set meanwhile.
                age = wall - _stamp(ancillary, wall)
                self._received(frame, min(max(now - age, self._looked), now))
        except BlockingIOError:
            self._looked = now
        except OSError as error:
            # The link went down: nothing arrives, until it comes up again.
            if error.errno not in (errno.ENETDOWN, *STALE):
                raise
        else:
            asyncio.get_running_loop().call_soon(self._look_again)

    def _look_again(self) -> None:
        if self._received is not None:
            self.look()


def _stamp(ancillary: Sequence[tuple[int, int, bytes]], otherwise: float) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIME.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return otherwise
