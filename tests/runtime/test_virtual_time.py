"""Virtual time, and processes that stop and die in it."""

import asyncio
import random
import time

import anyio
import anyio.lowlevel
import pytest

from kubevip.testing import Deadlock, Livelock, Process, VirtualTimeLoop, run_virtual, virtual


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_real_time_is_not_touched() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


def test_a_day_takes_less_than_a_second() -> None:
    async def sleep() -> float:
        await asyncio.sleep(86400)
        return now()

    began = time.monotonic()
    assert run_virtual(sleep) == 86400
    assert time.monotonic() - began < 1


@virtual
async def test_time_stands_still_while_something_is_ready() -> None:
    for _turn in range(100):
        await asyncio.sleep(0)
    assert now() == 0


@virtual
async def test_a_timer_is_never_early_and_exactly_on_time() -> None:
    for delay in (0.1, 0.7, 1e-9, 3.3333333333):
        due = now() + delay
        await anyio.sleep_until(due)
        assert now() == due


@virtual
async def test_timers_run_in_their_order() -> None:
    seen = []
    for delay in (3, 1, 2):
        asyncio.get_running_loop().call_later(delay, seen.append, delay)
    await asyncio.sleep(5)
    assert seen == [1, 2, 3]


@virtual
async def test_a_cancelled_timer_does_not_run() -> None:
    seen: list[int] = []
    asyncio.get_running_loop().call_later(1, seen.append, 1).cancel()
    await asyncio.sleep(2)
    assert seen == []


def test_what_can_never_go_on_is_told_with_its_names() -> None:
    async def wait() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.Event().wait(), name="waits for ever")

    with pytest.raises(Deadlock, match="waits for ever"):
        run_virtual(wait)


def test_that_time_stands_still_is_told_with_the_time() -> None:
    async def go_on() -> None:
        await anyio.sleep(5)
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(Livelock, match=r"at 5 s time stands still: after \d+ turns something is still ready"):
        run_virtual(go_on)


def test_what_goes_on_for_ever_is_ended_at_the_limit() -> None:
    with pytest.raises(TimeoutError, match="after 100 s of virtual time"):
        run_virtual(Ticker().run, limit=100)


def test_the_same_seed_gives_the_same_run_and_leaves_the_callers_numbers_alone() -> None:
    async def draw() -> list[float]:
        return [random.random() for _ in range(3)]

    random.seed(99)
    expected = random.random()
    random.seed(99)
    assert run_virtual(draw, seed=1) == run_virtual(draw, seed=1) != run_virtual(draw, seed=2)
    assert random.random() == expected


def test_the_arguments_and_the_result_pass_through() -> None:
    async def add(one: int, other: int) -> int:
        return one + other

    assert run_virtual(add, 1, 2) == 3


def test_a_test_that_leaves_a_task_behind_fails() -> None:
    left = []

    @virtual
    async def leave() -> None:
        left.append(asyncio.create_task(asyncio.Event().wait()))

    with pytest.raises((AssertionError, Deadlock)):
        leave()


@virtual
async def test_anyio_deadlines_work() -> None:
    with anyio.move_on_after(5) as scope:
        await anyio.sleep(100)
    assert scope.cancelled_caught
    assert now() == 5


# Processes


class Ticker:
    """Notes the time each second."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    async def run(self) -> None:
        while True:
            self.ticks.append(now())
            await asyncio.sleep(1)


async def ended(process: Process, task: "asyncio.Task[None]") -> None:
    process.bury()
    task.cancel()
    await asyncio.wait([task])


@virtual
async def test_a_stopped_process_does_nothing_while_others_go_on() -> None:
    one, other = Ticker(), Ticker()
    process = Process("one")
    async with asyncio.TaskGroup() as tasks:
        stopped = process.start(tasks, one.run)
        running = tasks.create_task(other.run())
        await asyncio.sleep(1.5)
        process.stop()
        await asyncio.sleep(3)
        assert one.ticks == [0, 1]
        assert other.ticks == [0, 1, 2, 3, 4]
        process.resume()
        await asyncio.sleep(0.5)
        assert one.ticks == [0, 1, 4.5]
        running.cancel()
        await ended(process, stopped)


@virtual
async def test_what_a_process_starts_stops_with_it() -> None:
    ticker, process = Ticker(), Process("p")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ticker.run)

    async with asyncio.TaskGroup() as tasks:
        task = process.start(tasks, main)
        await asyncio.sleep(0.5)
        process.stop()
        await asyncio.sleep(10)
        assert ticker.ticks == [0]
        await ended(process, task)


@virtual
async def test_a_timer_that_was_cancelled_after_the_stop_does_not_run() -> None:
    seen: list[str] = []
    process = Process("p")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(2, seen.append, "timer")
        loop.call_later(1, timer.cancel)
        await asyncio.sleep(5)

    async with asyncio.TaskGroup() as tasks:
        process.start(tasks, main)
        await asyncio.sleep(0.5)
        process.stop()
        await asyncio.sleep(10)
        process.resume()
    assert seen == []


@virtual
async def test_a_killed_process_never_goes_on() -> None:
    ticker, process = Ticker(), Process("p")
    async with asyncio.TaskGroup() as tasks:
        task = process.start(tasks, ticker.run)
        await asyncio.sleep(2.5)
        process.kill()
        await asyncio.sleep(100)
        assert ticker.ticks == [0, 1, 2]
        await ended(process, task)


@virtual
async def test_a_killed_process_cleans_up_nothing_before_it_is_buried() -> None:
    seen: list[str] = []
    process = Process("p")

    async def main() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("cleaned up")

    async with asyncio.TaskGroup() as tasks:
        task = process.start(tasks, main)
        await asyncio.sleep(1)
        process.kill()
        task.cancel()
        await asyncio.sleep(10)
        assert seen == []
        await ended(process, task)
    assert seen == ["cleaned up"]
