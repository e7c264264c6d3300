"""Machines that share a segment, and what is asked of them together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import anyio
import attrs

from kubevip.lease import Timing
from kubevip.model import IPAddress, LeaseKey, Vip
from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, Segment, gaps, overlaps
from tests.runtime.machine import Machine

LEASE, OTHER_LEASE = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
VIP, VIP6, SERVICE = (Vip.parse(text, interface="eth0") for text in ("10.0.0.99", "fd00::99", "10.0.0.77"))
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
# How long two may hold an address in a planned handover: until the old one has seen the new one, and some more.
HANDOVER = 0.05


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.define(eq=False)
class Site:
    """Machines that share a segment and a store, and a client that talks to their VIPs."""

    segment: Segment
    leases: MemoryLeases
    client: FakeHost
    machines: dict[str, Machine] = attrs.field(factory=dict)
    lines: dict[str, FaultyLeases] = attrs.field(factory=dict)

    def holders(self, vip: Vip = VIP) -> list[str]:
        return [machine.node for machine in self.machines.values() if machine.holds(vip)]

    @property
    def holder(self) -> Machine:
        (name,) = self.holders()
        return self.machines[name]

    @property
    def other(self) -> Machine:
        return next(machine for machine in self.machines.values() if machine is not self.holder)

    def longest_overlap(self) -> float:
        found = [tenure for machine in self.machines.values() for tenure in machine.tenures()]
        return max((earlier.overlap(later) for earlier, later in overlaps(found)), default=0.0)

    def gaps(self, address: IPAddress, *, start: float) -> list[tuple[float, float]]:
        found = [tenure for machine in self.machines.values() for tenure in machine.tenures()]
        return gaps(found, address, start=start, end=now())

    async def outage(self, seconds: float, vip: Vip = VIP, *, step: float = 0.005) -> float:
        """Talk to *vip* for *seconds*; return how long it could not be reached."""
        lost = 0.0
        for _step in range(round(seconds / step)):
            lost += 0.0 if self.client.reach(vip.address) else step
            await anyio.sleep(step)
        return lost


@contextlib.asynccontextmanager
async def running(
    names: Iterable[str],
    *,
    segment: Segment | None = None,
    wants: Mapping[Vip, LeaseKey] | None = None,
    timing: Timing = TIMING,
    differently: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    """Run machines until one of them holds the VIP and its announcements have settled; the client knows where it is.

    *options* are those of a ``Machine``, and *differently* are what single ones have instead.
    """
    segment, leases = segment or Segment(), MemoryLeases()
    made = Site(segment, leases, FakeHost("client", segment))
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            made.lines[name] = line = FaultyLeases(leases, latency=0.005)
            given = {**options, **(differently or {}).get(name, {})}
            machine = Machine(name, segment, line, wants or {VIP: LEASE, VIP6: LEASE}, timing=timing, **given)
            made.machines[name] = await stack.enter_async_context(machine)
        await anyio.sleep(4.3)
        made.client.reach(VIP.address)
        yield made
