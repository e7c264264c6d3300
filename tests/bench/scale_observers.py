"""What is seen of the addresses: frames at the client, addresses on the nodes' links, renewals of the Leases."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address

import attrs
from scale_api import LEASES, Api
from wire import ARP, listening

from kubevip.net import netlink
from kubevip.net.segment import Segment

_MESSAGE = 16
# Agents have addresses on their loopback interfaces, too (kubevip.runtime.pacing).
_SEGMENT = bytes((172, 31))
# Message header, interface address header, attribute header: then comes the address (IFA_ADDRESS is the first).
_ADDRESS = slice(_MESSAGE + 8 + 4, _MESSAGE + 8 + 4 + 4)


def packed(address: str) -> bytes:
    """Return an address as it is in frames."""
    return IPv4Address(address).packed


@attrs.define(eq=False)
class Sightings:
    """When each address was announced, and on which links it is. Times are monotonic."""

    announced: dict[bytes, float] = attrs.field(factory=dict)
    """The first announcement of each address since it was forgotten."""
    holders: dict[bytes, set[str]] = attrs.field(factory=dict)
    added: dict[bytes, float] = attrs.field(factory=dict)
    """When an address last came onto a link where it wasn't."""
    removed: dict[bytes, float] = attrs.field(factory=dict)
    """When an address last went from the last link that had it."""
    shared: dict[bytes, float] = attrs.field(factory=dict)
    """For how long each address was on the links of two nodes, in seconds in all."""
    overruns: int = 0
    _since: dict[bytes, float] = attrs.field(factory=dict)

    def forget(self) -> None:
        """Begin anew, with what is on the links now."""
        self.announced.clear()
        self.shared.clear()

    def was_announced(self, address: bytes) -> bool:
        """Tell whether an address was announced since it was forgotten."""
        return address in self.announced

    @property
    def held(self) -> int:
        """How many addresses are on a link."""
        return sum(1 for nodes in self.holders.values() if nodes)

    def frame(self, data: bytes) -> None:
        """Take a frame: an announcement names its sender as its target."""
        if data[28:32] == data[38:42] and data[28:32] not in self.announced:
            self.announced[data[28:32]] = time.monotonic()

    def event(self, node: str, data: bytes) -> None:
        """Take what the kernel of *node* tells."""
        now = time.monotonic()
        at = 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            kind = int.from_bytes(data[at + 4 : at + 6], "little")
            address = data[at : at + length][_ADDRESS]
            if address.startswith(_SEGMENT):
                self._take(kind, address, node, now)
            at += (length + 3) & ~3

    def _take(self, kind: int, address: bytes, node: str, now: float) -> None:
        nodes = self.holders.setdefault(address, set())
        if kind == netlink.RTM_NEWADDR and node not in nodes:
            self._add(address, node, nodes, now)
        elif kind == netlink.RTM_DELADDR and node in nodes:
            self._remove(address, node, nodes, now)

    def _add(self, address: bytes, node: str, nodes: set[str], now: float) -> None:
        nodes.add(node)
        self.added[address] = now
        if len(nodes) == 2:
            self._since[address] = now

    def _remove(self, address: bytes, node: str, nodes: set[str], now: float) -> None:
        nodes.remove(node)
        if len(nodes) == 1:
            self.shared[address] = self.shared.get(address, 0.0) + now - self._since.pop(address, now)
        if not nodes:
            self.removed[address] = now


@contextlib.contextmanager
def sighting(segment: Segment, nodes: Sequence[str]) -> Iterator[Sightings]:
    """Watch the wire at the client, and the links of *nodes*."""
    sightings = Sightings()
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening(segment, ARP, sightings.frame))
        for node in nodes:
            with segment.machines[node].entered():
                sock = netlink.event_socket()
            sock.bind((0, netlink.RTMGRP_IPV4_IFADDR))
            stack.enter_context(_reading(sock, partial(sightings.event, node), sightings))
        yield sightings


@contextlib.contextmanager
def _reading(sock: socket.socket, take: Callable[[bytes], None], sightings: Sightings) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    take(sock.recv(1 << 16))
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    sightings.overruns += 1

    loop.add_reader(sock, readable)
    try:
        yield
    finally:
        loop.remove_reader(sock)
        sock.close()


@attrs.define(eq=False)
class Renewals:
    """The renewals of all Leases: how long the longest pause between two was, and how often a holder changed."""

    last: dict[str, tuple[str, float]] = attrs.field(factory=dict)
    pauses: dict[str, float] = attrs.field(factory=dict)
    changes: int = 0
    seen: int = 0

    def forget(self) -> None:
        """Begin anew."""
        self.pauses.clear()
        self.changes = self.seen = 0

    def take(self, name: str, holder: str, now: float) -> None:
        """A Lease was written."""
        self.seen += 1
        before, at = self.last.get(name, ("", now))
        if before == holder:
            self.pauses[name] = max(self.pauses.get(name, 0.0), now - at)
        elif before:
            self.changes += 1
        self.last[name] = (holder, now)

    def late(self, bound: float) -> list[str]:
        """Return the Leases that were once not renewed for *bound* seconds, and are not now."""
        now = time.monotonic()
        pauses = {name: max(self.pauses.get(name, 0.0), now - at) for name, (holder, at) in self.last.items() if holder}
        return [name for name, pause in pauses.items() if pause > bound]


@contextlib.asynccontextmanager
async def renewals(api: Api) -> AsyncIterator[Renewals]:
    """Watch the Leases."""
    found = Renewals()

    async def follow() -> None:
        async for event in api.watch(LEASES):
            lease = event["object"]
            if event["type"] in ("ADDED", "MODIFIED"):
                holder = lease["spec"].get("holderIdentity") or ""
                found.take(lease["metadata"]["name"], holder, time.monotonic())
            elif event["type"] == "DELETED":
                found.last.pop(lease["metadata"]["name"], None)

    task = asyncio.create_task(follow())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
