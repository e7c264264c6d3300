"""The announcer: cadence, pauses, and plugins that raise anything."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from kubevip.backend import Backend, Cadence
from kubevip.errors import NetworkError
from kubevip.model import Vip
from kubevip.runtime.announcer import CHUNK, Announcer
from kubevip.testing import FakeHost, Segment, virtual

VIP, OTHER = (Vip.parse(text, interface="eth0") for text in ("10.0.0.99", "10.0.0.98"))
CADENCE = Cadence(burst=(0.1, 0.5), period=3.0)


class Recorder(Backend):
    """Notes when it is called with what, and raises what it is told to."""

    def __init__(self) -> None:
        super().__init__(FakeHost("a", Segment()))
        self.calls: list[tuple[str, float, Vip]] = []
        self.errors: dict[Vip, BaseException] = {}

    async def announce(self, vip: Vip) -> None:
        self.calls.append(("announce", asyncio.get_running_loop().time(), vip))
        if vip in self.errors:
            raise self.errors[vip]

    async def withdraw(self, vip: Vip) -> None:
        self.calls.append(("withdraw", asyncio.get_running_loop().time(), vip))
        if vip in self.errors:
            raise self.errors[vip]

    def times(self, vip: Vip = VIP) -> list[float]:
        return [time for verb, time, called in self.calls if (verb, called) == ("announce", vip)]


@asynccontextmanager
async def running(cadence: Cadence = CADENCE) -> AsyncIterator[tuple[Announcer, Recorder]]:
    backend = Recorder()
    announcer = Announcer("recorder", backend, cadence)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(announcer.run)
        yield announcer, backend
        tasks.cancel_scope.cancel()


@virtual
async def test_it_announces_at_once_in_a_burst_and_then_periodically() -> None:
    async with running() as (announcer, backend):
        assert await announcer.announce([VIP]) == {}
        await anyio.sleep(10)
        assert backend.times() == pytest.approx([0, 0.1, 0.5, 3.5, 6.5, 9.5])


@virtual
async def test_without_a_cadence_it_announces_once() -> None:
    async with running(Cadence()) as (announcer, backend):
        await announcer.announce([VIP])
        await anyio.sleep(100)
        assert backend.times() == [0]


@virtual
async def test_with_a_period_alone_it_repeats_after_the_period() -> None:
    async with running(Cadence(period=2)) as (announcer, backend):
        await announcer.announce([VIP])
        await anyio.sleep(5)
        assert backend.times() == [0, 2, 4]


@virtual
async def test_announcing_again_begins_the_cadence_again() -> None:
    async with running() as (announcer, backend):
        await announcer.announce([VIP])
        await anyio.sleep(0.3)
        await announcer.announce([VIP])
        await anyio.sleep(4)
        assert backend.times() == pytest.approx([0, 0.1, 0.3, 0.4, 0.8, 3.8])


@virtual
async def test_what_is_withdrawn_is_not_repeated() -> None:
    async with running() as (announcer, backend):
        await announcer.announce([VIP, OTHER])
        await announcer.withdraw([VIP])
        await anyio.sleep(4)
        assert backend.times(VIP) == [0]
        assert len(backend.times(OTHER)) == 4
        assert [vip for verb, _time, vip in backend.calls if verb == "withdraw"] == [VIP]


@virtual
async def test_a_pause_repeats_nothing_and_withdraws_nothing() -> None:
    async with running() as (announcer, backend):
        await announcer.announce([VIP])
        announcer.pause([VIP])
        await anyio.sleep(10)
        assert backend.calls == [("announce", 0, VIP)]


@virtual
async def test_what_may_not_be_announced_is_not_repeated_until_it_may_again() -> None:
    allowed = True
    async with running(Cadence(period=1)) as (announcer, backend):
        announcer.may_announce = lambda _vip: allowed
        await announcer.announce([VIP])
        await anyio.sleep(1.5)
        allowed = False
        await anyio.sleep(2)
        allowed = True
        await anyio.sleep(1)
        assert backend.times() == [0, 1, 4]


@pytest.mark.parametrize("error", [NetworkError("down"), ValueError("oh"), KeyError("x"), TimeoutError(), Exception()])
@virtual
async def test_whatever_a_plugin_raises_the_others_are_announced(error: Exception) -> None:
    async with running() as (announcer, backend):
        backend.errors[VIP] = error
        assert await announcer.announce([VIP, OTHER]) == {VIP: error}
        await anyio.sleep(4)
        assert len(backend.times(OTHER)) == 4
        assert announcer.statistics().failures == 1


@virtual
async def test_a_plugin_whose_own_task_was_cancelled_does_not_end_the_announcer() -> None:
    async with running() as (announcer, backend):
        backend.errors[VIP] = asyncio.CancelledError()
        failed = await announcer.announce([VIP, OTHER])
        assert set(failed) == {VIP}
        assert len(backend.times(OTHER)) == 1


@virtual
async def test_a_plugin_that_fails_later_goes_on_being_called_at_its_cadence() -> None:
    async with running(Cadence(period=1)) as (announcer, backend):
        await announcer.announce([VIP])
        backend.errors[VIP] = RuntimeError("oh")
        await anyio.sleep(3.5)
        assert backend.times() == [0, 1, 2, 3]


@virtual
async def test_an_error_in_withdrawing_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as (announcer, backend):
        backend.errors[VIP] = RuntimeError("oh")
        await announcer.withdraw([VIP, OTHER])
        assert [vip for _verb, _time, vip in backend.calls] == [VIP, OTHER]
    assert caplog.records[0].message == "withdrawing failed"


@virtual
async def test_cancelling_ends_a_call_of_a_plugin() -> None:
    class Slow(Recorder):
        async def announce(self, vip: Vip) -> None:
            await anyio.sleep_forever()

    announcer = Announcer("slow", Slow(), CADENCE)
    with anyio.move_on_after(1) as scope:
        await announcer.announce([VIP])
    assert scope.cancelled_caught


@virtual
async def test_others_get_their_turn_while_many_are_announced() -> None:
    vips = [Vip.parse(f"10.0.1.{number}", interface="eth0") for number in range(200)]
    turns: list[int] = []

    async def take_turns(backend: Recorder) -> None:
        while True:
            turns.append(len(backend.calls))
            await anyio.lowlevel.checkpoint()

    async with running() as (announcer, backend), anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns, backend)
        await announcer.announce(vips)
        tasks.cancel_scope.cancel()
    assert CHUNK in turns


@virtual
async def test_statistics_count() -> None:
    async with running() as (announcer, _backend):
        await announcer.announce([VIP, OTHER])
        await announcer.withdraw([OTHER])
        await anyio.sleep(0.2)
        assert (announcer.statistics().announced, announcer.statistics().announcements) == (1, 3)


@virtual
async def test_those_that_are_due_at_about_the_same_time_are_repeated_together() -> None:
    vips = [Vip.parse(f"10.0.1.{number}", interface="eth0") for number in range(100)]
    async with running(Cadence(period=3)) as (announcer, backend):
        for vip in vips:
            await announcer.announce([vip])
            await anyio.sleep(0.01)
        await anyio.sleep(30)
        start = asyncio.get_running_loop().time() - 15
        assert len({time for vip in vips for time in backend.times(vip) if time > start}) <= 10 * 15 / 3
        pauses = [after - before for vip in vips for before, after in itertools.pairwise(backend.times(vip))]
        assert 2.7 - 1e-6 <= min(pauses) <= max(pauses) <= 3 + 1e-6
