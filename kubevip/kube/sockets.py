"""The sockets of a pool of connections: none is left open behind the pool, and a peer that is gone is noticed."""

import asyncio
import contextlib
import socket
import weakref
from typing import Any

import attrs

# A peer that is gone without a word is noticed after 5 + 3 x 3 s of silence, or 10 s after it stopped to acknowledge.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)
# The loop sees that the socket has ended, TLS does, the transport does, and closes it.
_TURNS = 10


@attrs.define(eq=False)
class Sockets:
    """Makes sockets, until ``shut()``."""

    _made: "weakref.WeakSet[socket.socket]" = attrs.field(factory=weakref.WeakSet, init=False)

    def make(self, info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for one answer of ``getaddrinfo()``."""
        family, kind, protocol = info[:3]
        made = socket.socket(family, kind, protocol)
        for level, option, value in _KEEPALIVE:
            made.setsockopt(level, option, value)
        self._made.add(made)
        return made

    async def shut(self) -> None:
        """Close what is still open: connections whose peer has not answered TLS's goodbye, which nobody waits for."""
        for made in self._open():
            # Its transport still has it: that closes it when it finds the connection at its end.
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):
            if not self._open():
                return
            await asyncio.sleep(0)

    def _open(self) -> list[socket.socket]:
        return [made for made in self._made if made.fileno() >= 0]
