"""One TCP connection: carries the bytes of a session, and its timers."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from typing import cast

import attrs

from kubevip.plugin import NetworkError
from kubevip_bgp.agreement import Happening
from kubevip_bgp.fsm import State
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.notification import Notification
from kubevip_bgp.session import Session
from kubevip_bgp.sockets import Source, dial, target

log = logging.getLogger(__name__)

# How long, in seconds, a connection may take to come about, and the last words to leave.
CONNECT_TIMEOUT = 5.0
LAST_WORDS = 1.0


@attrs.define(eq=False)
class Connection(asyncio.Protocol):
    """Drives a session over a transport of asyncio. *tell* is called with all that happens, in order.

    *ours*: we began it.
    """

    session: Session
    ours: bool
    _tell: "Callable[[Connection, Happening], None]"
    closed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _transport: asyncio.Transport | None = attrs.field(default=None, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._follow(self.session.connected(_now()))

    def data_received(self, data: bytes) -> None:
        """Something has arrived."""
        self._follow(self.session.receive(data, _now()))

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is over."""
        self._follow(self.session.disconnected(_now(), _why(exc)))
        self.closed.set()

    # What the peer of this connection calls

    @property
    def opened(self) -> bool:
        """Tell whether TCP has ever been connected."""
        return self._transport is not None

    @property
    def local_address(self) -> tuple[str, int]:
        """Our address, and the number of its interface where it is a link-local one."""
        assert self._transport is not None
        name = self._transport.get_extra_info("sockname")
        return str(name[0]).partition("%")[0], name[3] if len(name) > 3 else 0

    def stop(self, notification: Notification | None = None) -> None:
        """End the session, telling why."""
        self._follow(self.session.stop(_now(), notification))

    def collide(self) -> None:
        """End the session, for another one."""
        self._follow(self.session.collide(_now()))

    def lose_peer(self) -> None:
        """End the session, for BFD says that there is no peer."""
        self._follow(self.session.lose_peer(_now()))

    def cut(self, reason: str) -> None:
        """End the session without a word."""
        self._follow(self.session.disconnected(_now(), reason))
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Send all that is to be sent, and come back when something is due."""
        data = self.session.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)
        self._set_timer()
        if self.session.state is State.IDLE and self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            # A peer that takes nothing must not keep us.
            asyncio.get_running_loop().call_later(LAST_WORDS, self._transport.abort)

    def _follow(self, happened: Iterable[Happening]) -> None:
        for each in happened:
            self._tell(self, each)
        self.flush()

    def _set_timer(self) -> None:
        due = self.session.deadline()
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._advance) if due is not None else None

    def _advance(self) -> None:
        self._timer = None
        self._follow(self.session.advance(_now()))


async def call(connection: Connection, neighbor: Neighbor, source: Source, *, external: bool) -> None:
    """Connect *connection* to *neighbor*; where that fails it is cut, with the reason."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await _connect(connection, neighbor, source, external=external)
    except TimeoutError:
        hint = "; has the peer the same password?" if neighbor.password else ""
        connection.cut(f"no connection within {CONNECT_TIMEOUT:g} s{hint}")
    except NetworkError as error:
        connection.cut(str(error))
    except OSError as error:
        connection.cut(f"no connection: {os.strerror(error.errno) if error.errno else error}")
    except Exception as error:
        # Whatever it is, it is tried again, and the other peers go on.
        log.exception("connecting to the peer failed", extra={"peer": neighbor.name})
        connection.cut(f"no connection: {error!r}")
    except BaseException:
        connection.cut("stopped")
        raise


async def _connect(connection: Connection, neighbor: Neighbor, source: Source, *, external: bool) -> None:
    loop = asyncio.get_running_loop()
    sock = dial(neighbor, source, external=external)
    try:
        await loop.sock_connect(sock, target(neighbor))
        await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise


def _now() -> float:
    return asyncio.get_running_loop().time()


def _why(error: Exception | None) -> str:
    if error is None:
        return "the peer has closed the connection"
    number = error.errno if isinstance(error, OSError) else None
    return f"the connection is lost: {os.strerror(number) if number else error}"
