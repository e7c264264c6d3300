"""Conflicts on a real kernel: arping and a kernel that answers, seen through the kernel's own filter."""

import contextlib

import anyio
import pytest

from kubevip.rivalry import Policy, Rivalry
from kubevip.runtime.clearance import Manner
from kubevip.runtime.guarding import Guard
from kubevip.testing.leases import MemoryLeases
from tests.kernel import addresses_on, run_on
from tests.net.conftest import vip
from tests.net.holding import TIMING, holding
from tests.net.test_keeper import conflicts_of, held, mac_of
from tests.waiting import until

pytestmark = pytest.mark.kernel

VIP4, VIP6 = vip("10.9.0.99"), vip("fd09::99")
BOTH = [VIP4, VIP6]


@contextlib.asynccontextmanager
async def guarding(node, policy=Policy.ALARM):
    """Hold addresses as if nobody had held them lately, so that one frame is enough."""
    async with holding(node, MemoryLeases(), *BOTH) as holder:
        guard = Guard(holder.keeper, holder.announcers, node.monitor, Rivalry(policy, 0.0, -1.0), TIMING.duration)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guard.run)
            await held(holder, *BOTH)
            await until(lambda: len(guard._ears) == 2)
            await anyio.sleep(1.1)
            yield holder, guard
            tasks.cancel_scope.cancel()


async def have(machine, each):
    where = f"{each}/{each.prefix_length}"
    await run_on(machine, "ip", "addr", "add", where, "dev", "eth0", *(["nodad"] if ":" in where else []))


async def test_arping_is_a_conflict_with_the_mac_of_its_machine(node, peer):
    mac = await mac_of(peer)
    async with guarding(node) as (holder, guard):
        conflicts = conflicts_of(holder)
        await have(peer, VIP4)
        await run_on(peer, "arping", "-U", "-c", "1", "-I", "eth0", str(VIP4), check=False)
        await until(lambda: conflicts, bound=5)
        assert conflicts == {VIP4: [(mac, Manner.KEEP)]}
        assert guard.statistics().rivals == {VIP4: [mac]}


async def test_address_that_another_kernel_uses_as_a_source_is_a_conflict(node, peer):
    mac = await mac_of(peer)
    async with guarding(node) as (holder, _guard):
        conflicts = conflicts_of(holder)
        for each in BOTH:
            await have(peer, each)
        await run_on(peer, "ping", "-c", "1", "-W", "1", "-I", str(VIP4), "10.9.0.77", check=False)
        # The kernel asks for its neighbour from the address that the packet is from.
        await run_on(peer, "ping", "-c", "1", "-W", "1", "-I", str(VIP6), "fd09::1", check=False)
        await until(lambda: len(conflicts) == 2, bound=5)
        assert conflicts == {each: [(mac, Manner.KEEP)] for each in BOTH}


async def test_duplicate_address_detection_of_another_machine_is_no_conflict(node, peer):
    """The kernel answers, and the other machine has to give up."""
    async with guarding(node) as (holder, _guard):
        conflicts = conflicts_of(holder)
        await run_on(peer, "ip", "addr", "add", f"{VIP6}/128", "dev", "eth0")
        await run_on(peer, "arping", "-D", "-c", "2", "-I", "eth0", str(VIP4), check=False)
        await anyio.sleep(2)
        assert conflicts == {}
        shown = await run_on(peer, "ip", "addr", "show", "dev", "eth0")
        assert "dadfailed" in shown


async def test_yielded_address_goes_from_the_link_and_comes_back(node, peer):
    async with guarding(node, Policy.YIELD) as (holder, _guard):
        await have(peer, VIP4)
        await run_on(peer, "arping", "-A", "-c", "1", "-I", "eth0", str(VIP4), check=False)

        async def gone():
            return str(VIP4) not in await addresses_on(node.machine)

        await until(gone, bound=5)
        assert holder.keeper.statistics().contested == {VIP4: await mac_of(peer)}
        await run_on(peer, "ip", "addr", "del", f"{VIP4}/32", "dev", "eth0")
        await held(holder, *BOTH)
