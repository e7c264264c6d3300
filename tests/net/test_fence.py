"""The fence on a real kernel: addresses that nobody renews any more are gone before their Lease ends."""

import asyncio
import os
import threading
import time
from ipaddress import ip_interface

import anyio
import pytest

from kubevip import fence
from kubevip.net.segment import Segment
from kubevip.testing.leases import MemoryLeases
from tests.kernel import require_namespaces
from tests.net.conftest import opened, vip
from tests.net.holding import TIMING, holding
from tests.waiting import until

pytestmark = pytest.mark.kernel

VIPS = {"v4": vip("10.9.0.99"), "v6": vip("fd09::99")}
OTHERS = {"v4": vip("10.9.0.98"), "v6": vip("fd09::98")}
# When after its last renewal a process is killed, in parts of a retry period.
PHASES = (0.05, 0.3, 0.55, 0.8)
# How long before the VIP something else ends on the same node, in seconds: its check may be the last for a second.
OFFSETS = (0.03, 0.1, 0.2, 0.5)
# The kernel doesn't remove an address before its lifetime has ended, and counts in whole seconds.
SOONEST = TIMING.duration - fence.lifetime(TIMING.duration) + 0.1


@pytest.fixture(autouse=True)
def awake():
    """Keep each processor awake for a tick of its timer now and then.

    The kernel looks at lifetimes by timers that it puts off while a processor has nothing else to do
    (``INIT_DEFERRABLE_WORK``): on an idle machine it was seen to be a second later than on a busy one.
    """
    asleep = threading.Event()

    def wake(processor):
        os.sched_setaffinity(0, {processor})
        while not asleep.wait(0.04):
            busy = time.monotonic() + 0.006
            while time.monotonic() < busy:
                pass

    threads = [threading.Thread(target=wake, args=(processor,)) for processor in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    yield
    asleep.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def machines():
    """A machine for each sample, so that they do not hold up each other's checks."""
    require_namespaces()
    names = [f"{family}-{number}" for family in VIPS for number in range(len(PHASES))]
    addresses = {
        name: (ip_interface(f"10.9.0.{number}/16"), ip_interface(f"fd09::{number}/64"))
        for number, name in enumerate(names, start=1)
    }
    with Segment.of(addresses) as segment:
        yield segment.machines


async def sleep_until(moment):
    await anyio.sleep(moment - asyncio.get_running_loop().time())


async def time_left(machine, address, phase, other=None, offset=0.0):
    """Hold *address*, be killed *phase* after a renewal; return how long before its Lease's end it was gone.

    *other* is an address that ends *offset* seconds before it.
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    async with opened(machine) as node:
        async with holding(node, MemoryLeases(), address) as holder:
            await until(lambda: holder.keeper.term_of(address))
            node.addresses.subscribe(lambda removed, _interface: removed == address.address and gone.set())
            # Long enough for pacing to be under way.
            renewal = TIMING.beat_after(loop.time() + 2 * TIMING.retry_period)
            if other is not None:
                await sleep_until(renewal - offset)
                lifetime = fence.lifetime(TIMING.duration)
                assert not await node.addresses.put([(other, lifetime)], not_after=time.monotonic() + 1)
            await sleep_until(renewal + phase * TIMING.retry_period)
            expires = holder.keeper.term_of(address).expires
            holder.kill()
        with anyio.fail_after(TIMING.duration + 5):
            await gone.wait()
        return expires - loop.time()


async def samples(machines, disturbed):
    left = {}

    async def sample(family, number):
        name = f"{family}-{number}"
        disturbance = (OTHERS[family], OFFSETS[number]) if disturbed else ()
        phase = PHASES[1] if disturbed else PHASES[number]
        left[name] = round(await time_left(machines[name], VIPS[family], phase, *disturbance), 3)

    async with anyio.create_task_group() as tasks:
        for family in VIPS:
            for number in range(len(PHASES)):
                tasks.start_soon(sample, family, number)
    # Shown where the test fails.
    print(dict(sorted(left.items())))
    return left.values()


async def test_address_that_nobody_renews_is_gone_before_its_lease_ends(machines):
    left = await samples(machines, disturbed=False)
    assert min(left) > 0
    assert max(left) < SOONEST


async def test_what_else_ends_on_the_node_delays_the_end_by_no_more_than_is_said(machines):
    left = await samples(machines, disturbed=True)
    assert min(left) > -fence.OVERDUE
    assert max(left) < SOONEST
