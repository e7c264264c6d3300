"""A simulated machine on a segment: its kernel, and what the core lends backends on it."""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import attrs

from kubevip.backend import BpfInstruction, Link, Route
from kubevip.errors import NetworkError
from kubevip.model import IPAddress, Vip
from kubevip.testing import frames
from kubevip.testing.addresses import MemoryAddresses
from kubevip.testing.bpf import accepts
from kubevip.testing.links import LOOPBACK, MemoryLinks
from kubevip.testing.process import Listener, clock_here, universal_time
from kubevip.testing.routes import MemoryRoutes
from kubevip.testing.segment import Medium

# So many frames are kept for one who doesn't look.
MOST_KEPT = 1000


@attrs.frozen(eq=False)
class _Ear:
    interface: str
    ethertype: int
    program: tuple[BpfInstruction, ...]
    tell: Callable[[bytes], object]


@attrs.define(eq=False)
class FakeHost:
    """A machine, which is ``kubevip.backend.Host`` to backends.

    Its kernel answers for the addresses that are on its links, whatever its processes do, and remembers who
    has which address, as the kernel of a client does: what it has asked for once, it believes until somebody
    tells otherwise. It never asks again by itself, so a takeover that isn't announced is seen as the outage
    that it is.

    Unless told otherwise it has one interface, ``eth0``, up and plugged to the segment, with addresses of its
    own in 10.0.0.0/24, fd00::/64 and fe80::/64 that end in its number on the segment, from 11 on. An interface
    that is added later has to be plugged in (``segment.plug``).
    """

    node: str
    segment: Medium
    settings: Mapping[str, str] = attrs.field(factory=dict)
    links: MemoryLinks = attrs.field(factory=MemoryLinks)
    addresses: MemoryAddresses = attrs.field(init=False)
    tables: MemoryRoutes = attrs.field(init=False)
    neighbours: dict[IPAddress, bytes] = attrs.field(factory=dict, init=False)
    recoveries: int = attrs.field(default=0, init=False)
    failures: list[Vip] = attrs.field(factory=list, init=False)
    _ears: list[_Ear] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.addresses = MemoryAddresses(self.links)
        self.tables = MemoryRoutes(self.links)
        if set(self.links.networks()) == {LOOPBACK}:
            number = self.segment.number()
            own = (f"10.0.0.{number}/24", f"fd00::{number}/64", f"fe80::{number}/64")
            self.links.add("eth0", mac=bytes([2, 0, 0, 0, 0, number]), networks=own)
        for name in self.links.networks():
            if name != LOOPBACK:
                self.segment.plug(self, name)

    # What the core lends a backend

    def now(self) -> float:
        """Return the time in seconds on the clock of the event loop."""
        return asyncio.get_running_loop().time()

    def link(self, interface: str) -> Link:
        """Describe *interface* as it is now."""
        return self.links.get(interface)

    def interfaces(self) -> Sequence[str]:
        """Return the names of all interfaces that there are now."""
        return self.links.names()

    def failed(self, vips: Collection[Vip]) -> None:
        """Note what a backend says to be announced no more."""
        self.failures += vips

    def recovered(self) -> None:
        """Count how often a backend says that what has failed may succeed now."""
        self.recoveries += 1

    def send(self, interface: str, frame: bytes) -> None:
        """Send one whole Ethernet frame at once."""
        link = self.links.get(interface)
        if not link.up:
            raise NetworkError(f"sending on {interface}: network is down", errno.ENETDOWN)
        if not link.loopback:
            self.segment.carry(self, interface, frame)

    @contextlib.contextmanager
    def listen(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> Iterator[None]:
        """Hand each frame of *ethertype* that arrives on *interface* to *received*."""
        self.links.get(interface)

        def still_open(frame: bytes) -> None:
            if ear in self._ears:
                received(frame)

        ear = _Ear(interface, ethertype, tuple(bpf), Listener(still_open).tell)
        self._ears.append(ear)
        try:
            yield
        finally:
            self._ears.remove(ear)

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
        """Keep each frame of *ethertype* that arrives on *interface* until it is asked for."""
        self.links.get(interface)
        kept: list[tuple[float, bytes]] = []

        def keep(frame: bytes) -> None:
            # A stopped process looks at nothing, and the memory of a kernel has an end.
            if len(kept) < MOST_KEPT:
                kept.append((universal_time(), frame))

        def look() -> None:
            clock, found = clock_here(), kept.copy()
            kept.clear()
            for at, frame in found:
                received(frame, clock.local(at) if clock is not None else at)

        ear = _Ear(interface, ethertype, tuple(bpf), keep)
        self._ears.append(ear)
        try:
            yield look
        finally:
            self._ears.remove(ear)

    async def routes(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes to single addresses that *protocol* has in *table* now."""
        return await self.tables.of(table, protocol)

    async def put_route(self, route: Route) -> None:
        """Put *route* into its table, in the place of the one that its own protocol has there."""
        await self.tables.put(route)

    async def remove_route(self, route: Route) -> None:
        """Remove the route to its address that its protocol has in its table."""
        await self.tables.remove(route)

    # The kernel

    def hear(self, interface: str, frame: bytes) -> None:
        """Take a frame from the segment."""
        if interface not in self.links.networks():
            return
        link = self.links.get(interface)
        if not link.up or not frames.is_for(frame, link.mac):
            return
        word = frames.read(frame)
        if word is not None:
            self._learn(word)
            self._answer(link, word)
        kind = frames.ethertype(frame)
        for ear in tuple(self._ears):
            if (ear.interface, ear.ethertype) == (interface, kind) and accepts(ear.program, frame):
                ear.tell(frame)

    def takes(self, mac: bytes) -> bool:
        """Tell whether one of its interfaces takes frames for *mac* now."""
        return any(link.up and link.mac == mac for link in map(self.links.get, self.links.names()) if not link.loopback)

    def _learn(self, word: frames.Word) -> None:
        if word.claimed is not None and (word.answer or word.claimed in self.neighbours) and word.overrides:
            self.neighbours[word.claimed] = word.mac

    def _answer(self, link: Link, word: frames.Word) -> None:
        if word.asked is not None and self.answers_for(word.asked):
            self.segment.carry(self, link.name, frames.answer(word, word.asked, link.mac))

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether its kernel has *address*, as a VIP or as its own."""
        return self.addresses.has(address) or self.links.own(address) is not None

    # The client

    def reach(self, address: IPAddress) -> str:
        """Send a packet to *address*; return the node that takes it, and nothing where it is lost.

        The place of an address that isn't known yet is asked for first; the first one plugged answers.
        """
        if address not in self.neighbours:
            found = next((mac for mac, host in self._others() if host.answers_for(address)), None)
            if found is None:
                return ""
            self.neighbours[address] = found
        at_mac = [host for mac, host in self._others() if mac == self.neighbours[address]]
        return next((host.node for host in at_mac if host.answers_for(address)), "")

    def _others(self) -> Iterator[tuple[bytes, "FakeHost"]]:
        for host, interface in self.segment.others(self):
            if isinstance(host, FakeHost) and interface in host.links.networks() and host.links.get(interface).up:
                yield host.links.get(interface).mac, host
