"""Processes whose clocks differ live in one loop, each by its own."""

import asyncio
import contextvars

import anyio
import anyio.lowlevel
import pytest

from kubevip.testing import Process, run_virtual, virtual
from kubevip.testing.process import Clock, universal_time

CLOCKS = [Clock(), Clock(1000.0, 1.001), Clock(3.7, 0.999), Clock(123456.789, 1.0005)]


async def in_process(clock: Clock, work: object) -> None:
    async with asyncio.TaskGroup() as tasks:
        Process("p", clock).start(tasks, work)


@virtual
async def test_a_process_goes_by_its_own_clock_and_the_world_by_another() -> None:
    seen = []

    async def work() -> None:
        await anyio.sleep(10)
        seen.append((asyncio.get_running_loop().time(), universal_time()))

    await in_process(Clock(1000.0, 2.0), work)
    assert seen == [(1010.0, 5.0)]
    assert asyncio.get_running_loop().time() == 5.0


@pytest.mark.parametrize("clock", CLOCKS)
@virtual
async def test_no_timer_is_early_by_the_clock_that_it_was_set_by(clock: Clock) -> None:
    late = []

    async def work() -> None:
        for number in range(200):
            due = asyncio.get_running_loop().time() + 0.1 + number / 7
            await anyio.sleep_until(due)
            late.append(asyncio.get_running_loop().time() - due)

    await in_process(clock, work)
    assert min(late) >= 0
    assert max(late) < 1e-9


def test_a_deadline_ends_by_the_clock_of_its_process() -> None:
    async def main() -> float:
        ended = []

        async def work() -> None:
            with anyio.move_on_after(10):
                await anyio.sleep(100)
            ended.append(universal_time())

        await in_process(Clock(5.0, 0.5), work)
        return ended[0]

    assert run_virtual(main) == 20.0


@virtual
async def test_what_a_process_asks_others_to_do_later_happens_when_its_clock_says() -> None:
    seen: list[float] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + 10, lambda: seen.append(loop.time()), context=contextvars.Context())
        await anyio.lowlevel.checkpoint()

    await in_process(Clock(7.0, 2.0), work)
    await anyio.sleep(20)
    assert seen == [5.0]


@virtual
async def test_code_can_be_run_as_if_it_were_a_process() -> None:
    process = Process("p", Clock(100.0))
    assert process.within(asyncio.get_running_loop().time) == 100.0
    assert asyncio.get_running_loop().time() == 0.0
