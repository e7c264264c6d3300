"""A whole holder on a real kernel: keeper and elector over a node's parts, with Leases in memory."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import attrs

from kubevip.lease import Timing
from kubevip.model import Family, LeaseKey, Vip
from kubevip.registry import Registry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.elector import Elector
from kubevip.runtime.host import LocalHost
from kubevip.runtime.keeper import Keeper
from kubevip.testing.leases import MemoryLeases
from tests.net.conftest import Node

LEASE = LeaseKey("kube-system", "lock")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)


@attrs.define(eq=False)
class Holder:
    """One node's holder."""

    keeper: Keeper
    elector: Elector
    announcers: dict[Family, Announcer]
    _tasks: anyio.abc.TaskGroup
    killed: bool = False

    def kill(self) -> None:
        """End as by kill -9: nothing is released, nothing is removed."""
        self.killed = True
        self._tasks.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def holding(node: Node, leases: MemoryLeases, *vips: Vip, name: str = "n1") -> AsyncIterator[Holder]:
    """Run a holder that wants *vips*. At the end nothing is left on its links, unless it was killed."""
    host = LocalHost(name, {}, node.monitor, node.wire)
    announcers = {}
    for family, backend in ((Family.IPV4, "arp"), (Family.IPV6, "ndp")):
        made = Registry()[backend](host)
        announcers[family] = Announcer(backend, made, made.cadence)
    keeper = Keeper(node.addresses, node.monitor, announcers, TIMING, 2.0)
    for each in vips:
        keeper.want(each, LEASE)
    elector = Elector(LEASE, name, TIMING, leases, keeper)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        tasks.start_soon(elector.run)
        holder = Holder(keeper, elector, announcers, tasks)
        yield holder
        tasks.cancel_scope.cancel()
        if not holder.killed:
            with anyio.CancelScope(shield=True):
                await keeper.drop_all()
                await node.addresses.stop_pacing()
