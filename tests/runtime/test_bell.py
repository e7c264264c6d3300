"""What wakes a task at a time or before."""

import asyncio

import pytest

from kubevip.runtime.bell import Bell
from kubevip.testing import virtual


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_it_waits_until_the_time() -> None:
    start = now()
    assert not await Bell().wait(start + 5)
    assert now() == start + 5


@virtual
async def test_a_ring_ends_the_wait() -> None:
    bell, start = Bell(), now()
    asyncio.get_running_loop().call_later(2, bell.ring)
    assert await bell.wait(start + 5)
    assert now() == start + 2


@virtual
async def test_a_ring_before_the_wait_is_not_lost_and_counts_once() -> None:
    bell, start = Bell(), now()
    bell.ring()
    bell.ring()
    assert await bell.wait()
    assert not await bell.wait(start + 5)
    assert now() == start + 5


@virtual
async def test_a_ring_after_a_wait_that_timed_out_is_kept_for_the_next_one() -> None:
    bell, start = Bell(), now()
    assert not await bell.wait(start + 1)
    bell.ring()
    assert await bell.wait(start + 9)
    assert now() == start + 1


@virtual
async def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    bell = Bell()
    task = asyncio.create_task(bell.wait(now() + 5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bell.ring()
    assert await bell.wait(now() + 5)
