"""The kernel is the fence: whatever the process does, no address outlives the Lease that it was held by."""

import asyncio
import random

import anyio
import anyio.lowlevel
import pytest

from kubevip import fence
from kubevip.election import Standing
from kubevip.model import Term, Vip
from kubevip.testing import Process, Segment, virtual
from tests.runtime.keeping import ASKED, LEASE, TIMING, VIP, Keeping, keeping, now


def gone_at(a: Keeping, vip: Vip = VIP) -> float:
    changes = [change for change in a.host.addresses.changes if change.vip == vip]
    assert not changes[-1].present, f"{vip} is still there at {now():g} s"
    return changes[-1].time


@virtual
async def test_a_process_that_dies_leaves_no_address_beyond_its_lease(segment: Segment) -> None:
    async with keeping(segment, VIP, running=False) as a:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            term = a.lead()
            await anyio.sleep(ASKED)
            tasks.cancel_scope.cancel()
        await anyio.sleep(30)
        assert gone_at(a) <= term.expires


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3, 1, 3, 6, 9.5])
@virtual
async def test_a_kernel_that_answers_late_is_given_no_more_than_the_rest(segment: Segment, delay: float) -> None:
    # Another process holds the kernel's lock: what was asked for before comes when the Lease is older.
    async with keeping(segment, VIP, running=False) as a:
        a.host.addresses.delay = delay
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            term = a.lead()
            await anyio.sleep(delay * 1.9)
            tasks.cancel_scope.cancel()
        await anyio.sleep(30)
        if a.host.addresses.changes:
            assert gone_at(a) <= term.expires


@pytest.mark.parametrize("locked", [0.1, 0.5, 1.5, 3])
@virtual
async def test_what_the_kernel_did_too_late_is_shortened_at_once(segment: Segment, locked: float) -> None:
    async with keeping(segment, VIP, running=False) as a:
        a.host.addresses.locked = locked
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            term = a.lead()
            await anyio.sleep(2.5 * locked)
            tasks.cancel_scope.cancel()
        await anyio.sleep(30)
        assert gone_at(a) <= term.expires


@pytest.mark.parametrize("stopped_for", [0.05, 0.5, 2, 5, 9, 9.9, 11, 14, 20])
@virtual
async def test_a_process_that_was_stopped_while_it_took_an_address_and_dies_then(
    segment: Segment, stopped_for: float
) -> None:
    process = Process("p")
    terms: list[Term] = []
    async with keeping(segment, VIP, running=False) as a:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(a.keeper.run)
                await anyio.lowlevel.checkpoint()
                terms.append(a.lead())
                await anyio.sleep_forever()

        a.host.addresses.delay = 0.001
        async with asyncio.TaskGroup() as tasks:
            task = process.start(tasks, main)
            await asyncio.sleep(0.0005)
            process.stop()
            await asyncio.sleep(stopped_for)
            process.resume()
            await asyncio.sleep(0.01)
            process.kill()
            await asyncio.sleep(30)
            if a.host.addresses.changes:
                assert gone_at(a) <= terms[0].expires
            process.bury()
            task.cancel()


@virtual
async def test_many_addresses_take_their_time_and_none_outlives_the_lease(segment: Segment) -> None:
    vips = [Vip.parse(f"10.0.{number // 250}.{number % 250 + 1}", interface="eth0") for number in range(300, 1200)]
    async with keeping(segment, *vips, running=False) as a:
        a.host.addresses.delay = 0.4
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            term = a.lead()
            await anyio.sleep(6)
            tasks.cancel_scope.cancel()
        assert len(a.present) == len(vips)
        await anyio.sleep(30)
        assert max(gone_at(a, vip) for vip in vips) <= term.expires


@virtual
async def test_a_slow_kernel_does_not_keep_an_address_from_being_held(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.host.addresses.delay = 0.7
        a.lead()
        for _beat in range(20):
            await anyio.sleep(2)
            a.renew()
        assert a.announced(VIP)
        assert a.failing == []


@virtual
async def test_what_comes_a_little_late_is_no_failure(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        # One millisecond after the last moment at which the longest lifetime would still fit.
        a.host.addresses.delay = 0.001
        chance = random.Random(1)
        for _beat in range(400):
            asked = now()
            await anyio.sleep(chance.uniform(0.001, 1.9))
            a.lead(asked=asked)
            await anyio.sleep(0.05)
            assert a.announced(VIP)
        assert a.failing == []
        assert a.keeper.statistics().failing == {}


@virtual
async def test_random_stops_and_deaths_never_leave_an_address_beyond_its_lease() -> None:
    for seed in range(150):
        await _one_life(random.Random(seed), seed)


async def _one_life(chance: random.Random, seed: int) -> None:
    process = Process(f"seed {seed}")
    terms: list[Term] = []
    async with keeping(Segment(), VIP, running=False) as a:
        a.host.addresses.late = lambda: chance.uniform(0, fence.LATEST_CHECK)

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(a.keeper.run)
                while True:
                    terms.append(a.lead(asked=now() - chance.uniform(0, 2)))
                    await anyio.sleep(chance.uniform(0.5, 4))

        async with asyncio.TaskGroup() as tasks:
            task = process.start(tasks, main)
            for _stop in range(chance.randrange(4)):
                a.host.addresses.delay = chance.choice((0, 0.001, 0.2, 1.5))
                await asyncio.sleep(chance.uniform(0, 5))
                process.stop()
                await asyncio.sleep(chance.choice((0.01, 1, 6, 12)))
                process.resume()
            await asyncio.sleep(chance.uniform(0, 3))
            process.kill()
            await asyncio.sleep(60)
            if a.host.addresses.changes:
                assert gone_at(a) <= max(term.expires for term in terms), f"seed {seed}"
            process.bury()
            task.cancel()


@virtual
async def test_after_a_long_stop_nothing_is_announced_that_is_not_ours_any_more(segment: Segment) -> None:
    process = Process("p")
    async with keeping(segment, VIP, running=False) as a:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(a.keeper.run)
                a.lead()
                await anyio.sleep_forever()

        async with asyncio.TaskGroup() as tasks:
            task = process.start(tasks, main)
            await asyncio.sleep(1)
            process.stop()
            await asyncio.sleep(TIMING.duration)
            calls = len(a.calls)
            process.resume()
            await asyncio.sleep(5)
            assert [verb for verb, _vip, _present in a.calls[calls:] if verb == "announce"] == []
            assert a.present == frozenset()
            process.bury()
            task.cancel()


@virtual
async def test_a_standing_that_is_told_late_does_not_hold_an_address_longer(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(TIMING.renew_deadline + 0.1)
        assert a.present == frozenset()
        a.keeper.standing(LEASE, Standing.EXPIRED, None)
        await anyio.sleep(1)
        assert a.present == frozenset()
