"""One router: connects to it, again and again, and decides which of two connections is kept."""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address

import attrs

from kubevip.plugin import IPAddress, NetworkError
from kubevip_bgp.connection import Connection
from kubevip_bgp.fsm import State
from kubevip_bgp.hops import Interfaces, own_next_hops
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi, Prefix
from kubevip_bgp.reading import Finding
from kubevip_bgp.routes import Export, Route, Told
from kubevip_bgp.session import Agreed, Ended, Established, Happening, Heard, Local, Opened, Session, keeps_own
from kubevip_bgp.sockets import Source, dial, limit, target

log = logging.getLogger(__name__)

# Seconds: for a connection to come about, and between two attempts, growing.
CONNECT_TIMEOUT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# RFC 4271 section 10: so much of each pause, at least, so that many nodes don't come at once.
JITTER = 0.75
# On an interface; more are not remembered.
MOST_ROUTERS = 16


@attrs.frozen(kw_only=True)
class PeerStatistics:
    """A snapshot of one peer: its state, why the last session or attempt ended, and counts from the start.

    *flaps* are sessions that were established and ended; *malformed* counts routes with wrong attributes, of which
    *complaint* tells the last one.
    """

    name: str
    state: State
    reason: str
    told: int
    flaps: int
    attempts: int
    malformed: int
    complaint: str = ""


@attrs.define(eq=False)
class Peer:
    """A router that is told all of *routes*. *changed* is called when it comes to be established, or ceases to be.

    *restarting* says for how many seconds more routes of before are to be kept: until then nobody is told that
    this was all. *located* is called when the address of an unnumbered one is known, or is another one.
    """

    neighbor: Neighbor
    local: Local
    source: Source
    routes: Mapping[Prefix, Route]
    interfaces: Callable[[], Interfaces]
    changed: Callable[[], None]
    active: bool = True
    restarting: Callable[[], float] = lambda: 0.0
    located: "Callable[[Peer], None]" = lambda _peer: None

    _random: Callable[[], float] = random.random
    _connections: list[Connection] = attrs.field(factory=list, init=False)
    _established: Connection | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)
    _reason: str = attrs.field(default="", init=False)
    _last_words: str = attrs.field(default="", init=False)
    _flaps: int = attrs.field(default=0, init=False)
    _attempts: int = attrs.field(default=0, init=False)
    _malformed: int = attrs.field(default=0, init=False)
    _complaint: str = attrs.field(default="", init=False)
    _known: list[IPv6Address] = attrs.field(factory=list, init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._free.set()

    # Routes

    @property
    def established(self) -> bool:
        """Tell whether routes reach it."""
        return self._established is not None

    def takes(self, family: Afi) -> bool:
        """Tell whether routes of *family* reach it."""
        told = self._established.session.told if self._established is not None else None
        return told is not None and family in told.export.next_hops

    def announce(self, prefix: Prefix, route: Route) -> None:
        """Tell of a route, with the next ``flush()``."""
        if self._established is not None and self._established.session.told is not None:
            self._established.session.told.announce(prefix, route)

    def withdraw(self, prefix: Prefix) -> None:
        """Take a route back, with the next ``flush()``."""
        if self._established is not None and self._established.session.told is not None:
            self._established.session.told.withdraw(prefix)

    def flush(self) -> None:
        """Send what is due."""
        if self._established is not None:
            self._established.flush()

    # Connections

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._free.wait()
            if self.active:
                await self._connect()
            await self._free.wait()
            pause = FIRST_PAUSE if self._lasted(pause) else min(2 * pause, LONGEST_PAUSE)
            await self._rest(pause * (JITTER + (1 - JITTER) * self._random()))

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def hurry(self) -> None:
        """Connect now, if nothing is connected: BFD says that the peer is there."""
        self._wake.set()

    def _lasted(self, pause: float) -> bool:
        """Tell whether the last session was worth its wait; those that end at once are tried later and later."""
        return self._since > 0 and asyncio.get_running_loop().time() - self._since > pause

    def meet(self, router: IPv6Address) -> None:
        """There is a router on the interface of this peer, which has no address of its own.

        Where there are more than one they are tried in turn: the right one agrees to a session.
        """
        if router not in self._known:
            self._known = [*self._known[-MOST_ROUTERS + 1 :], router]
        if not self.neighbor.found:
            self._turn_to(router)
            self.hurry()

    def _turn(self) -> None:
        """Try the next router, where the last one was not to be had."""
        if self._since == 0 and len(self._known) > 1:
            places: dict[IPAddress, int] = {router: place for place, router in enumerate(self._known, start=1)}
            self._turn_to(self._known[places.get(self.neighbor.address, 0) % len(self._known)])

    def _turn_to(self, router: IPv6Address) -> None:
        self.neighbor = attrs.evolve(self.neighbor, address=router)
        log.info("found a router", extra={"peer": self.neighbor.name, "address": str(router)})
        self.located(self)

    async def _connect(self) -> None:
        if not self.neighbor.found:
            self._tell(f"no router advertises itself on {self.neighbor.interface}")
            return
        if self._attempts:
            self._turn()
        self._attempts += 1
        self._since = 0.0
        connection = self._new(ours=True)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                sock = dial(self.neighbor, self.source, external=not self.local.internal)
                try:
                    await loop.sock_connect(sock, target(self.neighbor))
                    await loop.create_connection(lambda: connection, sock=sock)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            connection.cut(f"no connection within {CONNECT_TIMEOUT:g} s")
        except NetworkError as error:
            connection.cut(str(error))
        except OSError as error:
            connection.cut(f"no connection: {os.strerror(error.errno) if error.errno else error}")
        except Exception as error:
            # Whatever it is, it is tried again, and the other peers go on.
            log.exception("connecting to the peer failed", extra={"peer": self.neighbor.name})
            connection.cut(f"no connection: {error!r}")
        except BaseException:
            connection.cut("stopped")
            raise

    def accept(self, address: str) -> Connection:
        """Return what is to speak on a connection that the peer began from *address*."""
        log.debug("the peer connects", extra={"peer": self.neighbor.name, "from": address})
        return self._new(ours=False)

    def prepare(self, transport: asyncio.BaseTransport) -> None:
        """Set the limits of a connection that the peer began."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            limit(sock, self.neighbor, self.source, external=not self.local.internal)

    def _new(self, *, ours: bool) -> Connection:
        connection = Connection(Session(self._local()), ours, self._happened)
        connection.session.start(0.0, passive=not ours)
        self._connections.append(connection)
        self._free.clear()
        return connection

    def _local(self) -> Local:
        """Say that we have restarted for as long as our routes of before are waited for."""
        restart = self.local.graceful_restart
        if restart is None or self.restarting() <= 0:
            return self.local
        return attrs.evolve(self.local, graceful_restart=attrs.evolve(restart, restarted=True))

    async def close(self, notification: Notification) -> None:
        """End all sessions, telling the peer why, and wait until that is said."""
        self._closing = True
        connections = tuple(self._connections)
        for connection in connections:
            connection.stop(notification)
        for connection in connections:
            if connection.opened:
                await connection.closed.wait()

    def lose(self) -> None:
        """End all sessions: BFD says that the peer is gone."""
        for connection in tuple(self._connections):
            connection.lose_peer()

    # What happens on them

    def _happened(self, connection: Connection, happening: Happening) -> None:
        match happening:
            case Opened():
                self._decide_collision(connection, happening)
            case Established():
                self._begin(connection, happening.agreed)
            case Heard():
                self._note(happening.update.findings)
            case Ended():
                self._end(connection, happening)

    def _decide_collision(self, connection: Connection, opened: Opened) -> None:
        """Keep one of two connections (RFC 4271 section 6.8)."""
        for other in tuple(self._connections):
            if other is connection or other.session.state not in (State.OPEN_CONFIRM, State.ESTABLISHED):
                continue
            if other.session.state is State.ESTABLISHED:
                self._replace(other, connection, opened)
                continue
            kept_ours = keeps_own(self.local, opened.peer)
            loser = connection if connection.ours is not kept_ours else other
            loser.collide()

    def _replace(self, old: Connection, new: Connection, opened: Opened) -> None:
        """A peer that restarts comes again before its old connection is known to be gone (RFC 4724 section 5)."""
        if opened.peer.capabilities.graceful_restart is not None and not new.ours:
            old.cut("the peer has restarted")
        else:
            new.collide()

    def _begin(self, connection: Connection, agreed: Agreed) -> None:
        self._established = connection
        self._since = asyncio.get_running_loop().time()
        self._reason = self._last_words = ""
        export = self._export(connection, agreed)
        connection.session.told = told = Told(export, agreed.terms)
        for prefix, route in self.routes.items():
            told.announce(prefix, route)
        families = ", ".join(f"IPv{4 if each is Afi.IPV4 else 6}" for each in sorted(export.next_hops))
        log.info(
            "the BGP session is established",
            extra={"peer": self.neighbor.name, "families": families, "hold_time": agreed.hold_time},
        )
        rest = self.restarting()
        if rest > 0:
            asyncio.get_running_loop().call_later(rest, self._finish, connection)
        else:
            connection.session.end_of_rib()
        self.changed()

    def _finish(self, connection: Connection) -> None:
        if connection is self._established:
            connection.session.end_of_rib()
            connection.flush()

    def _export(self, connection: Connection, agreed: Agreed) -> Export:
        host, index = connection.local_address
        interfaces = self.interfaces()
        local: IPAddress = ip_address(f"{host}%{self._scope(index)}" if index else host)
        hops = own_next_hops(
            local,
            self.neighbor.next_hops,
            interfaces,
            self.source.interface,
            extended=agreed.extended_next_hop,
        )
        spoken = {family: addresses for family, addresses in hops.items() if family in agreed.families}
        return Export(number=self.local.number, internal=self.local.internal, next_hops=spoken)

    def _scope(self, index: int) -> str:
        address = self.neighbor.address
        return getattr(address, "scope_id", None) or str(index)

    def _note(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            self._malformed += 1
            # The same again is no news: a router may have many such routes.
            level = logging.DEBUG if finding.reason == self._complaint else logging.WARNING
            self._complaint = finding.reason
            log.log(
                level, "a route of the peer is malformed", extra={"peer": self.neighbor.name, "reason": finding.reason}
            )

    def _end(self, connection: Connection, ended: Ended) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._connections:
            self._free.set()
        if connection is self._established:
            self._established = None
            self._flaps += 1
            self._tell(self._with_last_words(ended))
            self.changed()
        elif self._established is None and not self._connections:
            self._tell(self._with_last_words(ended))

    def _with_last_words(self, ended: Ended) -> str:
        """Say why it ended; a peer that only shuts the door now has said before why it does."""
        if ended.by_peer:
            self._last_words = ended.reason
        elif ended.notification is not None:
            self._last_words = ""
        elif self._last_words:
            return f"{ended.reason}; before that {self._last_words}"
        return ended.reason

    def _tell(self, reason: str) -> None:
        """Log why there is no session; the same reason again is no news."""
        level = logging.DEBUG if reason == self._reason or self._closing else logging.WARNING
        self._reason = reason
        log.log(level, "no BGP session", extra={"peer": self.neighbor.name, "reason": reason})

    # Telling

    def statistics(self) -> PeerStatistics:
        """Return a snapshot."""
        told = self._established.session.told if self._established is not None else None
        states = [connection.session.state for connection in self._connections]
        order = list(State)
        return PeerStatistics(
            name=self.neighbor.name,
            state=max(states, key=order.index, default=State.IDLE),
            reason=self._reason,
            told=len(told) if told is not None else 0,
            flaps=self._flaps,
            attempts=self._attempts,
            malformed=self._malformed,
            complaint=self._complaint,
        )
