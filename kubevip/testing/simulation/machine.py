"""A simulated machine: its kernel lives on whatever its processes do, until its power goes."""

import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import attrs

from kubevip.assembly import Kernel
from kubevip.backend import Link
from kubevip.errors import NetworkError
from kubevip.model import IPAddress, Vip
from kubevip.testing import frames
from kubevip.testing.addresses import LATEST, Change
from kubevip.testing.host import FakeHost
from kubevip.testing.links import LOOPBACK
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from kubevip.testing.process import effectless, universal_time
from kubevip.testing.simulation.chronicle import Announced, Chronicle, Moved, Routed
from kubevip.testing.simulation.segments import FIRST, SECOND, Segments, own_networks

# What a kernel says that has no memory left.
_NO_BUFFERS = 105


@attrs.define(eq=False)
class Machine(FakeHost):
    """A machine on a switch, which writes down what happens to its addresses, and what is announced from it.

    A *wide* one has a second interface, on a second switch.
    Its kernel removes an address up to ``LATEST`` seconds after the end of its lifetime. While it is *refusing* it puts
    none on a link, and while it is *mute* its processes can't send.
    """

    chronicle: Chronicle = attrs.field(kw_only=True)
    chance: random.Random = attrs.field(kw_only=True)
    wide: bool = attrs.field(default=False, kw_only=True)
    refusing: bool = attrs.field(default=False, init=False)
    mute: bool = attrs.field(default=False, init=False)
    neighbourhood: MemoryNeighbourhood | None = attrs.field(default=None, init=False)
    _cards: dict[str, tuple[Link, tuple[str, ...]]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.wide:
            number = self.links.get(FIRST).mac[-1]
            self.links.add(SECOND, mac=bytes([2, 0, 0, 2, 0, number]), networks=own_networks(SECOND, number))
            self.segment.plug(self, SECOND)
        self.addresses.late = lambda: LATEST * self.chance.random()
        self.addresses.changed = self._moved
        self.addresses.failure = self._refusal
        self.tables.changed = self._routed

    @property
    def interfaces_on_segments(self) -> list[str]:
        """Its interfaces that are there now, but for the loopback."""
        return [name for name in self.links.names() if name != LOOPBACK]

    @asynccontextmanager
    async def kernel(self, *, host_scope_on_loopback: bool) -> AsyncIterator[Kernel]:
        """Be what ``kubevip.assembly.local_kernel`` opens on a real machine."""
        yield Kernel(
            links=self.links,
            addresses=self.addresses,
            frames=self,
            neighbourhood=self.neighbourhood,
            routes=self.tables,
        )

    def send(self, interface: str, frame: bytes) -> None:
        """Send one whole Ethernet frame at once; what it claims is written down."""
        if self.mute:
            raise NetworkError(f"sending on {interface}: no buffer space available", _NO_BUFFERS)
        super().send(interface, frame)
        if effectless():
            return
        word = frames.read(frame)
        if word is not None and word.claimed is not None and self.links.own(word.claimed) is None:
            self.chronicle.add(Announced(universal_time(), self.node, word.claimed))

    def _moved(self, change: Change) -> None:
        self.chronicle.add(Moved(change.time, self.node, change.vip.address, change.present, change.why))

    def _routed(self, address: IPAddress, present: bool) -> None:
        self.chronicle.add(Routed(universal_time(), self.node, address, present))

    def _refusal(self, verb: str, vip: Vip) -> NetworkError | None:
        if not self.refusing or verb != "put":
            return None
        return NetworkError(f"putting {vip} on {vip.interface}: no buffer space available", _NO_BUFFERS)

    # What happens to it

    @property
    def has_power(self) -> bool:
        """Whether it is on."""
        return FIRST in self.links.names()

    def lose_power(self) -> None:
        """Forget everything, and say no more."""
        for name in self.interfaces_on_segments:
            self._cards[name] = self.links.get(name), tuple(map(str, self.links.networks()[name]))
            self.links.remove(name)
            self._forget(name)

    def get_power(self) -> None:
        """Be there again."""
        for name, (card, networks) in self._cards.items():
            self.links.add(name, mac=card.mac, networks=networks)

    def be_narrow(self) -> None:
        """Be in no IPv6 network but that of the link."""
        for name in self.interfaces_on_segments:
            narrow = (text for text in map(str, self.links.networks()[name]) if not text.startswith("fd"))
            self.links.address(name, *narrow)

    def set_link(self, up: bool, links: Collection[str] = ()) -> None:
        """Take those of *links* that it has down, or up again; all where none is named."""
        for name in self.interfaces_on_segments:
            if not links or name in links:
                self.links.set_up(name, up)
                if not up:
                    self._forget(name)

    def _forget(self, interface: str) -> None:
        assert isinstance(self.segment, Segments)
        self.segment.forget(self.node, interface)
