"""Puts together what holds addresses on a real machine: kernel, backends, keeper. For the agent and for ``hold()``."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import attrs

from kubevip.backend import Cadence
from kubevip.election import Timing
from kubevip.errors import BrokenBackend
from kubevip.model import Family
from kubevip.net.addresses import KernelAddresses
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.registry import Registry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.host import LocalHost
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import shielded

log = logging.getLogger(__name__)

# One Ethernet segment: ARP for IPv4, neighbour discovery for IPv6.
LAYER_2: Mapping[Family, str] = {Family.IPV4: "arp", Family.IPV6: "ndp"}
# What is left when all else has ended has this many seconds to go.
LAST_SECONDS = 2.0


@attrs.frozen(kw_only=True)
class Parts:
    """What holds addresses, running."""

    keeper: Keeper
    links: Monitor
    addresses: KernelAddresses
    wire: Wire
    host: LocalHost
    announcers: Mapping[Family, Announcer]


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
    host_scope_on_loopback: bool = True,
) -> AsyncIterator[Parts]:
    """Open and run what holds addresses. At the end no address is left, and whoever still wanted one waits for it.

    *backends* are names by family; *period* takes the place of their cadence's own.

    :raises UnknownBackend: if a backend isn't installed.
    :raises BrokenBackend: if a backend can't be used.
    """
    registry = registry if registry is not None else Registry()
    async with AsyncExitStack() as stack:
        links = await stack.enter_async_context(Monitor())
        addresses = await stack.enter_async_context(
            KernelAddresses(links, host_scope_on_loopback=host_scope_on_loopback)
        )
        wire = Wire(links)
        stack.callback(wire.close)
        host = LocalHost(node, settings or {}, links, wire)
        by_name = {}
        for name in sorted(set(backends.values())):
            backend = registry[name](host)
            await stack.enter_async_context(backend)
            by_name[name] = Announcer(name, backend, _cadence(backend.cadence, period))
        announcers = {family: _fitting(by_name[name], family) for family, name in backends.items()}
        keeper = Keeper(addresses, links, announcers, timing, linger)
        keeping = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shielded, keeping, keeper.run)
            try:
                yield Parts(
                    keeper=keeper, links=links, addresses=addresses, wire=wire, host=host, announcers=announcers
                )
            finally:
                keeping.cancel()
                with anyio.move_on_after(LAST_SECONDS, shield=True):
                    await keeper.drop_all()
                    await addresses.stop_pacing()


def _fitting(announcer: Announcer, family: Family) -> Announcer:
    if family not in announcer.backend.families:
        raise BrokenBackend(f"backend {announcer.name!r} doesn't announce IPv{family.value} addresses")
    return announcer


def _cadence(own: Cadence, period: float | None) -> Cadence:
    return own if period is None or own.period is None else attrs.evolve(own, period=period)
