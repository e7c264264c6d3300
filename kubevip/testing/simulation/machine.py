"""A simulated machine: its kernel lives on whatever its processes do, until its power goes."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from kubevip.assembly import Kernel
from kubevip.backend import Link
from kubevip.errors import NetworkError
from kubevip.model import IPAddress, Vip
from kubevip.testing import frames
from kubevip.testing.addresses import LATEST, Change
from kubevip.testing.host import FakeHost
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from kubevip.testing.process import effectless, universal_time
from kubevip.testing.simulation.chronicle import Announced, Chronicle, Moved, Routed
from kubevip.testing.simulation.switch import Switch

INTERFACE = "eth0"
# What a kernel says that has no memory left.
_NO_BUFFERS = 105


@attrs.define(eq=False)
class Machine(FakeHost):
    """A machine on a switch, which writes down what happens to its addresses, and what is announced from it.

    Its kernel removes an address up to ``LATEST`` seconds after the end of its lifetime. While it is *refusing* it puts
    none on a link, and while it is *mute* its processes can't send.
    """

    chronicle: Chronicle = attrs.field(kw_only=True)
    chance: random.Random = attrs.field(kw_only=True)
    refusing: bool = attrs.field(default=False, init=False)
    mute: bool = attrs.field(default=False, init=False)
    neighbourhood: MemoryNeighbourhood | None = attrs.field(default=None, init=False)
    _card: Link | None = attrs.field(default=None, init=False)
    _networks: tuple[str, ...] = attrs.field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.addresses.late = lambda: LATEST * self.chance.random()
        self.addresses.changed = self._moved
        self.addresses.failure = self._refusal
        self.tables.changed = self._routed

    @property
    def switch(self) -> Switch:
        """What it is plugged to."""
        assert isinstance(self.segment, Switch)
        return self.segment

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
        return INTERFACE in self.links.names()

    def lose_power(self) -> None:
        """Forget everything, and say no more."""
        self._card = self.links.get(INTERFACE)
        self._networks = tuple(map(str, self.links.networks()[INTERFACE]))
        self.links.remove(INTERFACE)
        self.switch.forget(self.node)

    def get_power(self) -> None:
        """Be there again."""
        assert self._card is not None
        self.links.add(INTERFACE, mac=self._card.mac, networks=self._networks)

    def be_narrow(self) -> None:
        """Be in no IPv6 network but that of the link."""
        narrow = (text for text in map(str, self.links.networks()[INTERFACE]) if not text.startswith("fd"))
        self.links.address(INTERFACE, *narrow)

    def set_link(self, up: bool) -> None:
        """Take its link down, or up again."""
        self.links.set_up(INTERFACE, up)
        if not up:
            self.switch.forget(self.node)
