"""One router: connects to it, again and again, and decides which of two connections is kept."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address

import attrs

from kubevip.plugin import IPAddress
from kubevip_bgp.agreement import Agreed, Ended, Established, Happening, Heard, Local, Opened, keeps_own
from kubevip_bgp.connection import Connection, call
from kubevip_bgp.discovery import Routers
from kubevip_bgp.fsm import State
from kubevip_bgp.history import History, PeerStatistics
from kubevip_bgp.hops import Interfaces, own_next_hops
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi, Prefix
from kubevip_bgp.routes import Export, Route, Told
from kubevip_bgp.session import Session
from kubevip_bgp.sockets import Source, limit

log = logging.getLogger(__name__)

# Seconds between two attempts, growing.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# RFC 4271 section 10: so much of each pause, at least, so that many nodes don't come at once.
JITTER = 0.75


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
    _history: History = attrs.field(init=False)
    _routers: Routers = attrs.field(factory=Routers, init=False)
    _free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._free.set()
        self._history = History(self.neighbor.name)

    # Routes

    @property
    def established(self) -> bool:
        """Tell whether routes reach it."""
        return self._established is not None

    def takes(self, family: Afi) -> bool:
        """Tell whether routes of *family* reach it."""
        told = self._established.session.told if self._established is not None else None
        return told is not None and family in told.export.next_hops

    def agrees(self, family: Afi) -> bool:
        """Tell whether it has agreed to hear of *family*."""
        agreed = self._established.session.agreed if self._established is not None else None
        return agreed is not None and family in agreed.families

    def look_again(self) -> None:
        """Tell, with the next ``flush()``, what had no next hop when the session began and has one by now."""
        told = self._established.session.told if self._established is not None else None
        if told is None or self._established is None or self._established.session.agreed is None:
            return
        found = self._export(self._established, self._established.session.agreed)
        if found.next_hops.keys() <= told.export.next_hops.keys():
            return
        told.export = attrs.evolve(found, next_hops={**found.next_hops, **told.export.next_hops})
        for prefix, route in self.routes.items():
            told.announce(prefix, route)
        self.changed()

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
            self._wake.clear()
            if self.active:
                await self._connect()
            await self._free.wait()
            pause = FIRST_PAUSE if self._lasted(pause) else min(2 * pause, LONGEST_PAUSE)
            await self._rest(pause * (JITTER + (1 - JITTER) * self._random()))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def hurry(self) -> None:
        """Connect now, if nothing is connected: the peer is there."""
        if not self._connections:
            self._wake.set()

    def _lasted(self, pause: float) -> bool:
        """Tell whether the last session was worth its wait; those that end at once are tried later and later."""
        return self._since > 0 and asyncio.get_running_loop().time() - self._since > pause

    def meet(self, router: IPv6Address) -> None:
        """There is a router on the interface of this peer, which has no address of its own.

        Where there are more than one they are tried in turn: the right one agrees to a session.
        """
        self._routers.add(router)
        if not self.neighbor.found:
            self._turn_to(router)
            self.hurry()

    def _turn(self) -> None:
        """Try the next router, where the last one was not to be had."""
        other = self._routers.after(self.neighbor.address) if self._since == 0 else None
        if other is not None:
            self._turn_to(other)

    def _turn_to(self, router: IPv6Address) -> None:
        self.neighbor = attrs.evolve(self.neighbor, address=router)
        log.info("found a router", extra={"peer": self.neighbor.name, "address": str(router)})
        self.located(self)

    async def _connect(self) -> None:
        if not self.neighbor.found:
            self._history.miss(f"no router advertises itself on {self.neighbor.interface}")
            return
        if self._history.attempts:
            self._turn()
        self._history.attempts += 1
        self._since = 0.0
        await call(self._new(ours=True), self.neighbor, self.source, external=not self.local.internal)

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
        self._history.closing = True
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
                self._history.complain(happening.update.findings)
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
        self._history.begin()
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

    def _end(self, connection: Connection, ended: Ended) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._connections:
            self._free.set()
        if connection is self._established:
            self._established = None
            self._history.flaps += 1
            self._history.end(ended)
            self.changed()
        elif self._established is None and not self._connections:
            self._history.end(ended)

    # Telling

    def statistics(self) -> PeerStatistics:
        """Return a snapshot."""
        told = self._established.session.told if self._established is not None else None
        states = [connection.session.state for connection in self._connections]
        order = list(State)
        return self._history.statistics(
            state=max(states, key=order.index, default=State.IDLE),
            told=len(told) if told is not None else 0,
            families=tuple(sorted(told.export.next_hops)) if told is not None else (),
        )
