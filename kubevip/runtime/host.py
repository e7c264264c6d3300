"""What the core lends backends on a real machine: ``kubevip.backend.Host``."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import attrs

from kubevip.backend import BpfInstruction, Link, Route
from kubevip.errors import NetworkError
from kubevip.model import Vip
from kubevip.ports import Links, Routes


class Frames(Protocol):
    """Sends and receives Ethernet frames; ``kubevip.net.frames.Wire`` is one."""

    def send(self, interface: str, frame: bytes) -> None:
        """Send one whole frame."""

    def listen(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[None]:
        """Hand arriving frames to *received* while the context is open."""

    def gather(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes, float], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[Callable[[], None]]:
        """Keep arriving frames while the context is open, and hand them to *received* when asked for."""


@attrs.define(eq=False)
class LocalHost:
    """This node, as backends see it.

    *on_failure* is called with VIPs that one says to be announced no more, *on_recovery* when what has failed may
    succeed now.
    """

    node: str
    settings: Mapping[str, str]
    _links: Links
    _frames: Frames
    on_recovery: Callable[[], None] = lambda: None
    on_failure: Callable[[Collection[Vip]], None] = lambda _vips: None
    _routes: Routes | None = attrs.field(default=None, kw_only=True)

    def now(self) -> float:
        """Return the time in seconds on the monotonic clock of the event loop."""
        return asyncio.get_running_loop().time()

    def link(self, interface: str) -> Link:
        """Describe *interface* as it is now."""
        return self._links.get(interface)

    def interfaces(self) -> Sequence[str]:
        """Return the names of all interfaces that there are now."""
        return self._links.names()

    def failed(self, vips: Collection[Vip]) -> None:
        """Say that *vips* are announced no more."""
        self.on_failure(vips)

    def recovered(self) -> None:
        """Say that what has failed may succeed now."""
        self.on_recovery()

    def send(self, interface: str, frame: bytes) -> None:
        """Send one whole Ethernet frame at once."""
        self._frames.send(interface, frame)

    def listen(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[None]:
        """Hand each frame of *ethertype* that arrives on *interface* to *received*."""
        return self._frames.listen(interface, ethertype, received, bpf=bpf, group=group)

    def gather(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes, float], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[Callable[[], None]]:
        """Keep each frame of *ethertype* that arrives on *interface* until it is asked for."""
        return self._frames.gather(interface, ethertype, received, bpf=bpf, group=group)

    async def routes(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes to single addresses that *protocol* has in *table* now."""
        return await self._tables().of(table, protocol)

    async def put_route(self, route: Route) -> None:
        """Put *route* into its table, in the place of the one that its own protocol has there."""
        await self._tables().put(route)

    async def remove_route(self, route: Route) -> None:
        """Remove the route to its address that its protocol has in its table."""
        await self._tables().remove(route)

    def _tables(self) -> Routes:
        if self._routes is None:
            raise NetworkError("this host lends no routing tables")
        return self._routes
