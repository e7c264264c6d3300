"""Heartbeats and a release that isn't answered yet: others fall silent because of it, and that is no sign of a cut."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import pytest

from kubevip.testing import virtual
from tests.runtime.sites import LEASE, VIP, VIP6, Site, now, running
from tests.waiting import until

INTERVAL = 0.1
# The way to the API server, in seconds: from the holder, and from all others. What they watch they see at once.
SLOW, OTHERS = 0.7, 0.5


@contextlib.asynccontextmanager
async def slow_site(names: str) -> AsyncIterator[Site]:
    """Run machines with heartbeats; once they have settled, the API server answers late."""
    async with running(names, wants=dict.fromkeys((VIP, VIP6), LEASE), heartbeat=INTERVAL) as here:
        for line in here.lines.values():
            line.latency, line.chance = OTHERS, lambda: 1.0
        own = here.lines[here.holder.node]
        own.latency = own.lag = SLOW
        yield here


@pytest.mark.parametrize("names", ["ab", "abc"])
@virtual
async def test_a_holder_that_learns_of_its_release_late_waits_for_its_successor(names: str) -> None:
    async with slow_site(names) as here:
        old = here.holder
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old.stop)
            assert await here.outage(3, step=0.001) == 0
        assert here.holder is not old
        assert here.longest_overlap() < 0.05


@virtual
async def test_a_holder_that_was_missed_by_all_before_it_released_lets_go_all_the_same() -> None:
    async with slow_site("ab") as here:
        old = here.holder
        here.segment.cut_off(old.node)
        here.lines[old.node].cut()
        await anyio.sleep(3.5 * INTERVAL)
        start = now()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old.stop)
            await until(lambda: not old.holds(VIP))
            assert now() - start < 3 * INTERVAL


@virtual
async def test_a_holder_whose_release_is_unanswered_and_whose_link_goes_down_lets_go() -> None:
    async with slow_site("ab") as here:
        old = here.holder
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old.stop)
            await until(lambda: not here.leases.holder(LEASE))
            old.host.links.set_up("eth0", up=False)
            await anyio.sleep(INTERVAL)
            assert not old.holds(VIP)
