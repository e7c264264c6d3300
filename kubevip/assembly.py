"""Puts together what holds addresses on a real machine: kernel, backends, keeper. For the agent and for ``hold()``."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio
import attrs

from kubevip.backend import Backend, Cadence, Peering, silence
from kubevip.errors import BrokenBackend
from kubevip.lease import Timing
from kubevip.model import Family, Vip
from kubevip.net.addresses import KernelAddresses
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.net.neighbourhood import KernelNeighbourhood
from kubevip.net.tables import KernelRoutes
from kubevip.ports import Addresses, Links, Neighbourhood, Routes
from kubevip.registry import Registry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.detached import Detached
from kubevip.runtime.host import Frames, LocalHost
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import shielded

log = logging.getLogger(__name__)

# One Ethernet segment: ARP for IPv4, neighbour discovery for IPv6.
LAYER_2: Mapping[Family, str] = {Family.IPV4: "arp", Family.IPV6: "ndp"}
# What is left when all else has ended has this many seconds to go.
LAST_SECONDS = 2.0


@attrs.frozen(kw_only=True)
class Kernel:
    """What the kernel of a machine does for us. *prepare* opens what sending on an interface needs."""

    links: Links
    addresses: Addresses
    frames: Frames
    neighbourhood: Neighbourhood | None = None
    routes: Routes | None = None
    prepare: Callable[[str], None] = lambda _interface: None


@attrs.frozen(kw_only=True)
class Parts:
    """What holds addresses, running."""

    keeper: Keeper
    kernel: Kernel
    links: Links
    host: LocalHost
    announcers: Mapping[Family, Announcer]

    @property
    def has_peers(self) -> bool:
        """Whether a backend tells of machines that it speaks with."""
        return any(type(each.backend).peerings is not Backend.peerings for each in self.announcers.values())

    def unheard(self) -> str:
        """Say why no machine that backends speak with hears this node; empty where one does, or there are none."""
        return "; ".join(silence(self.peerings()))

    def peerings(self) -> tuple[Peering, ...]:
        """Return what the backends know of the machines that they speak with."""
        return tuple(peering for backend in self._backends for peering in backend.peerings())

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Have the backends go by *settings* from now on; see ``kubevip.backend.Backend``."""
        for backend in self._backends:
            await backend.reconfigure(settings)

    @property
    def _backends(self) -> Collection[Backend]:
        return {each.name: each.backend for each in self.announcers.values()}.values()


@asynccontextmanager
async def local_kernel(*, host_scope_on_loopback: bool = True) -> AsyncIterator[Kernel]:
    """Open what this machine's own kernel offers."""
    async with AsyncExitStack() as stack:
        links = await stack.enter_async_context(Monitor())
        addresses = KernelAddresses(links, host_scope_on_loopback=host_scope_on_loopback)
        await stack.enter_async_context(addresses)
        routes = await stack.enter_async_context(KernelRoutes(links))
        wire = Wire(links)
        stack.callback(wire.close)
        yield Kernel(
            links=links,
            addresses=addresses,
            frames=wire,
            neighbourhood=KernelNeighbourhood(links),
            routes=routes,
            prepare=wire.prepare,
        )


@asynccontextmanager
async def holding(
    node: str,
    *,
    timing: Timing,
    linger: float,
    backends: Mapping[Family, str] = LAYER_2,
    registry: Registry | None = None,
    period: float | None = None,
    settings: Mapping[str, str] | None = None,
    kernel: AbstractAsyncContextManager[Kernel] | None = None,
    attached: Callable[[Vip], bool] | None = None,
) -> AsyncIterator[Parts]:
    """Open and run what holds addresses. At the end no address is left, and whoever still wanted one waits for it.

    *backends* are names by family; *period* takes the place of their cadence's own. *kernel* is this machine's,
    unless given. Addresses that are not *attached* are announced without being put on a link.

    :raises UnknownBackend: if a backend isn't installed.
    :raises BrokenBackend: if a backend can't be used.
    """
    registry = registry if registry is not None else Registry()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(kernel or local_kernel())
        host = LocalHost(node, settings or {}, opened.links, opened.frames, routes=opened.routes)
        by_name = {}
        for name in sorted(set(backends.values())):
            backend = registry[name](host)
            await stack.enter_async_context(backend)
            by_name[name] = Announcer(name, backend, _cadence(backend.cadence, period))
        announcers = {family: _fitting(by_name[name], family) for family, name in backends.items()}
        addresses = opened.addresses if attached is None else Detached(opened.addresses, attached)
        keeper = Keeper(addresses, opened.links, announcers, timing, linger)
        host.on_recovery, host.on_failure = keeper.hurry, keeper.reannounce
        keeping = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shielded, keeping, keeper.run)
            try:
                yield Parts(keeper=keeper, kernel=opened, links=opened.links, host=host, announcers=announcers)
            finally:
                keeping.cancel()
                with anyio.move_on_after(LAST_SECONDS, shield=True):
                    await keeper.drop_all()
                    await opened.addresses.stop_pacing()


def _fitting(announcer: Announcer, family: Family) -> Announcer:
    if family not in announcer.backend.families:
        raise BrokenBackend(f"backend {announcer.name!r} doesn't announce IPv{family.value} addresses")
    return announcer


def _cadence(own: Cadence, period: float | None) -> Cadence:
    return own if period is None or own.period is None else attrs.evolve(own, period=period)
