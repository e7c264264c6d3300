"""All peers of this node, the routes that they are told, and the door by which they may come to us."""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

import attrs

from kubevip.plugin import IPAddress, NetworkError
from kubevip_bgp.agreement import Local
from kubevip_bgp.capabilities import GracefulRestart
from kubevip_bgp.history import PeerStatistics
from kubevip_bgp.hops import Interfaces
from kubevip_bgp.messages import encode
from kubevip_bgp.neighbors import PORT, Neighbor
from kubevip_bgp.notification import Code, Notification
from kubevip_bgp.peer import Peer
from kubevip_bgp.prefixes import Afi, Prefix
from kubevip_bgp.routes import Route
from kubevip_bgp.sockets import Source, listen, sign
from kubevip_bgp.watchdogs import Watchdogs

log = logging.getLogger(__name__)

# How long, in seconds, after its start a node may still find out what it had announced before it was restarted.
RESTART_DEFERRAL = 10.0
# How long the last words to all peers may take.
LAST_WORDS = 1.0


@attrs.frozen(kw_only=True)
class Identity:
    """Who this node is to its peers. Times in seconds.

    *graceful_restart* is for how long peers keep our routes when the agent is gone without a word (RFC 4724); 0:
    not at all. *connect* and *accept* say who may begin a connection; *port* is where we are found.
    """

    number: int
    identifier: IPv4Address
    hold_time: int = 30
    keepalive: float = 10.0
    graceful_restart: int = 0
    connect: bool = True
    accept: bool = False
    port: int = PORT


@attrs.define(eq=False)
class Speaker:
    """Speaks with all *neighbors* from ``open()`` to ``close()``; routes may be set before, and are told anew.

    *changed* is called whenever a peer comes to be established, or ceases to be.
    """

    identity: Identity
    neighbors: Sequence[Neighbor]
    source: Source
    interfaces: Callable[[], Interfaces]
    changed: Callable[[], None] = lambda: None

    _routes: dict[Prefix, Route] = attrs.field(factory=dict, init=False)
    _peers: tuple[Peer, ...] = attrs.field(default=(), init=False)
    _tasks: dict[Peer, "asyncio.Task[None]"] = attrs.field(factory=dict, init=False)
    _servers: list[asyncio.Server] = attrs.field(factory=list, init=False)
    _flushing: bool = attrs.field(default=False, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _watchdogs: Watchdogs = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._watchdogs = Watchdogs(self.source)

    async def __aenter__(self) -> Self:
        """Begin to speak.

        :raises NetworkError: if we are to be found at a port that can't be had.
        """
        self._began = asyncio.get_running_loop().time()
        self._peers = tuple(self._peer(neighbor) for neighbor in self.neighbors)
        if self.identity.accept:
            try:
                await self._open_door()
            except NetworkError:
                self._close_door()
                raise
        self._begin(self._peers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Tell all peers that we go; what they know of us is withdrawn with the session."""
        self._close_door()
        await self._end(self._peers, Notification.shutdown("kubevip stops"))
        self._watchdogs.close()

    def _begin(self, peers: Collection[Peer]) -> None:
        for number, peer in enumerate(self._peers, start=1):
            if peer in peers:
                if peer.neighbor.found:
                    self._watchdogs.watch(peer, number)
                name = f"BGP with {peer.neighbor.name}"
                self._tasks[peer] = asyncio.get_running_loop().create_task(peer.run(), name=name)

    async def _end(self, peers: Collection[Peer], goodbye: Notification) -> None:
        tasks = [self._tasks.pop(peer) for peer in peers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in peers:
            self._watchdogs.leave(peer)
        try:
            async with asyncio.timeout(LAST_WORDS):
                await asyncio.gather(*(peer.close(goodbye) for peer in peers))
        except TimeoutError:
            log.warning("not all BGP peers could be told that their sessions end")

    async def turn_to(self, neighbors: Sequence[Neighbor]) -> None:
        """Speak with *neighbors* from now on; those that are among them already keep their sessions.

        :raises NetworkError: if the port where we are to be found can't be had any more.
        """
        known = dict(zip(self.neighbors, self._peers, strict=True))
        self.neighbors = tuple(neighbors)
        self._peers = tuple(known.get(neighbor) or self._peer(neighbor) for neighbor in neighbors)
        await self._end([peer for peer in known.values() if peer not in self._peers], Notification(Code.CEASE, 3))
        self._begin([peer for peer in self._peers if peer not in known.values()])
        if self.identity.accept:
            self._close_door()
            await self._open_door()

    # Routes

    def announce(self, prefix: Prefix, route: Route) -> None:
        """Tell all peers of a route; all that is announced in one turn of the loop goes together."""
        self._routes[prefix] = route
        for peer in self._peers:
            peer.announce(prefix, route)
        self._flush_soon()

    def withdraw(self, prefix: Prefix) -> None:
        """Take a route back from all peers."""
        if self._routes.pop(prefix, None) is None:
            return
        for peer in self._peers:
            peer.withdraw(prefix)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        for peer in self._peers:
            peer.flush()

    # Peers

    @property
    def established(self) -> bool:
        """Tell whether any peer knows our routes."""
        return any(peer.established for peer in self._peers)

    def takes(self, family: Afi) -> bool:
        """Tell whether any peer knows our routes of *family*."""
        return any(peer.takes(family) for peer in self._peers)

    def agreed(self, family: Afi) -> bool:
        """Tell whether any peer would hear of *family*, if we had a next hop for it."""
        return any(peer.agrees(family) for peer in self._peers)

    def look_again(self, family: Afi) -> None:
        """Look for a next hop of *family* where a peer would take it: addresses may come later than sessions."""
        for peer in self._peers:
            if peer.agrees(family) and not peer.takes(family):
                peer.look_again()
        self._flush_soon()

    def _peer(self, neighbor: Neighbor) -> Peer:
        identity = self.identity
        return Peer(
            neighbor=neighbor,
            local=Local(
                number=identity.number,
                identifier=identity.identifier,
                peer_number=neighbor.number,
                hold_time=identity.hold_time,
                keepalive=identity.keepalive,
                graceful_restart=self._restart(),
                extended_next_hop=neighbor.address.version == 6,
            ),
            source=self.source,
            routes=self._routes,
            interfaces=self.interfaces,
            changed=self._changed,
            active=identity.connect,
            restarting=self._still_restarting,
            located=self._locate,
        )

    def _restart(self) -> GracefulRestart | None:
        """Return what is told of restarts: addresses stay on their links meanwhile, so forwarding goes on."""
        time = self.identity.graceful_restart
        if not time:
            return None
        both = frozenset(Afi)
        return GracefulRestart(time, forwarding=both, families=both)

    def _still_restarting(self) -> float:
        if not self.identity.graceful_restart:
            return 0.0
        bound = min(RESTART_DEFERRAL, self.identity.graceful_restart / 2)
        return self._began + bound - asyncio.get_running_loop().time()

    def _changed(self) -> None:
        """A session has come about, or has ended. What kept BFD from its work before may be over with a new one."""
        for number, peer in enumerate(self._peers, start=1):
            if peer.established and not self._watchdogs.watches(peer):
                self._watchdogs.watch(peer, number)
        self.changed()

    # The door

    async def _open_door(self) -> None:
        loop = asyncio.get_running_loop()
        for address in self._doors():
            sock = listen(address, self.identity.port, self.neighbors, self.source)
            self._servers.append(await loop.create_server(lambda: _Visitor(self), sock=sock))

    def _close_door(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _doors(self) -> list[IPAddress]:
        if self.source.address is not None:
            return [self.source.address]
        versions = sorted({neighbor.address.version for neighbor in self.neighbors})
        return [IPv4Address(0) if version == 4 else IPv6Address(0) for version in versions]

    def peer_at(self, address: str) -> Peer | None:
        """Return the peer of *address*; a link-local one may come without its interface."""
        seen = ip_address(address)
        for peer in self._peers:
            known = peer.neighbor.address
            if known == seen or (known.is_link_local and int(known) == int(seen)):
                return peer
        if not isinstance(seen, IPv6Address) or not seen.is_link_local:
            return None
        self.meet(seen)
        return next((peer for peer in self._peers if peer.neighbor.interface == seen.scope_id), None)

    def meet(self, router: IPv6Address) -> None:
        """Tell the unnumbered peer on the interface of *router*, where there is one, that this may be it."""
        for peer in self._peers:
            if peer.neighbor.interface and peer.neighbor.interface == router.scope_id:
                peer.meet(router)

    def _locate(self, peer: Peer) -> None:
        """Prepare what needs the address of an unnumbered *peer*."""
        for server in self._servers:
            for sock in server.sockets:
                if sock.family == socket.AF_INET6 and peer.neighbor.password:
                    sign(sock, peer.neighbor)
        self._watchdogs.watch(peer, self._peers.index(peer) + 1)

    def statistics(self) -> tuple[PeerStatistics, ...]:
        """Return a snapshot of each peer."""
        return tuple(peer.statistics() for peer in self._peers)


class _Visitor(asyncio.Protocol):
    """Who has connected to us: a peer is handed on, anybody else is shown out."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is."""
        assert isinstance(transport, asyncio.Transport)
        address = str(transport.get_extra_info("peername")[0])
        peer = self._speaker.peer_at(address)
        if peer is None:
            log.warning("refused a BGP connection of a stranger", extra={"from": address})
            transport.write(encode(Notification(Code.CEASE, 5)))
            transport.close()
            return
        peer.prepare(transport)
        connection = peer.accept(address)
        transport.set_protocol(connection)
        connection.connection_made(transport)
