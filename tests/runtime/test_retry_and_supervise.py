"""What failed is tried again, later and later."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio
import pytest

from kubevip.runtime.retry import FIRST, LONGEST, Retry
from kubevip.runtime.supervise import supervised
from kubevip.testing import virtual


def now() -> float:
    return asyncio.get_running_loop().time()


class Keys:
    """Notes which keys are to be tried again, and when; each of them fails *failures* times more."""

    def __init__(self, failures: int = 0) -> None:
        self.seen: list[tuple[float, str]] = []
        self.failures = failures
        self.retry: Retry[str] = Retry(self.again)

    def again(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.seen.append((now(), key))
            if self.failures:
                self.failures -= 1
                self.retry.after(key, RuntimeError("again"))


@asynccontextmanager
async def running(failures: int = 0) -> AsyncIterator[Keys]:
    keys = Keys(failures)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keys.retry.run)
        yield keys
        tasks.cancel_scope.cancel()


@virtual
async def test_what_failed_is_tried_again_after_a_moment() -> None:
    async with running() as keys:
        keys.retry.after("a", RuntimeError("oh"))
        await anyio.sleep(60)
        assert keys.seen == [(FIRST, "a")]


@virtual
async def test_the_pause_doubles_up_to_a_bound() -> None:
    async with running(failures=10) as keys:
        keys.retry.after("a", RuntimeError("oh"))
        await anyio.sleep(200)
        times = [0.0, *(time for time, _key in keys.seen)]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30])
        assert max(pauses) == LONGEST


@virtual
async def test_each_key_has_its_own_pause() -> None:
    async with running() as keys:
        keys.retry.after("a", RuntimeError("oh"))
        await anyio.sleep(0.2)
        keys.retry.after("b", RuntimeError("oh"))
        await anyio.sleep(2)
        assert keys.seen == [(0.5, "a"), (pytest.approx(0.7), "b")]


@virtual
async def test_what_is_forgotten_is_not_tried_again_and_starts_anew() -> None:
    async with running() as keys:
        for _time in range(4):
            keys.retry.after("a", RuntimeError("oh"))
        keys.retry.forget("a")
        await anyio.sleep(20)
        assert keys.seen == []
        keys.retry.after("a", RuntimeError("oh"))
        await anyio.sleep(FIRST + 0.1)
        assert len(keys.seen) == 1


@virtual
async def test_news_are_told_from_what_is_known() -> None:
    retry: Retry[str] = Retry(lambda _keys: None)
    errors = ["oh", "oh", "no", "oh"]
    assert [retry.after("a", RuntimeError(error)) for error in errors] == [True, False, True, True]
    assert retry.failing() == {"a": "oh"}


# Supervision


@virtual
async def test_a_task_that_fails_is_started_again_later_and_later() -> None:
    starts: list[float] = []

    async def fail() -> None:
        starts.append(now())
        raise RuntimeError("oh")

    with anyio.move_on_after(200):
        await supervised("a task", fail)
    assert starts == [0, 1, 3, 7, 15, 31, 63, 123, 183]


@virtual
async def test_a_task_that_ends_is_not_started_again() -> None:
    starts: list[float] = []

    async def end() -> None:
        starts.append(now())

    await supervised("a task", end)
    assert starts == [0]


@virtual
async def test_a_task_that_fails_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("oh")

    with anyio.move_on_after(0.5):
        await supervised("a task", fail)
    assert "a task has failed; starting it again in 1 s" in caplog.text
    assert caplog.records[0].reason == "oh"


@virtual
async def test_a_task_that_ran_for_long_is_started_again_soon() -> None:
    starts: list[float] = []

    async def run_for_an_hour() -> None:
        starts.append(now())
        await anyio.sleep(3600)
        raise RuntimeError("oh")

    with anyio.move_on_after(5 * 3600 + 100):
        await supervised("a task", run_for_an_hour)
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [3601] * 5


@virtual
async def test_hurry_ends_every_pause_at_once() -> None:
    tried: list[tuple[float, list[str]]] = []
    retry: Retry[str] = Retry(lambda keys: tried.append((asyncio.get_running_loop().time(), sorted(keys))))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retry.run)
        for key in ("a", "b"):
            retry.after(key, OSError("no"))
        await anyio.sleep(0.1)
        retry.hurry()
        await anyio.sleep(2)
        tasks.cancel_scope.cancel()
    assert tried == [(0.1, ["a", "b"])]
