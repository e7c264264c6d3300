"""A holder that can't renew: what each manner promises, fault by fault. docs/failover.md has it as a table."""

import anyio
import pytest

from kubevip.model import Vip
from kubevip.runtime.reprieve import OnApiLoss
from kubevip.testing import virtual
from tests.runtime.sites import LEASE, TIMING, VIP, VIP6, Site, now, running

FENCE, HOLD, QUORUM = OnApiLoss
HEARTBEAT = 0.1
# A machine that hears a successor lets go within a few frames.
AT_ONCE = 0.05
each_vip = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])
who_goes_on = pytest.mark.parametrize(("manner", "heartbeat"), [(HOLD, None), (HOLD, HEARTBEAT), (QUORUM, HEARTBEAT)])


def api_away(here: Site, *names: str) -> None:
    for name in names or here.lines:
        here.lines[name].cut()


def api_back(here: Site) -> None:
    for line in here.lines.values():
        line.mend()


async def together(here: Site, seconds: float, vip: Vip = VIP) -> float:
    """Return for how long two of the holders could be heard by each other and had *vip*."""
    found = 0.0
    for _step in range(round(seconds / 0.002)):
        found += 0.002 if len(here.holders(vip)) > 1 else 0.0
        await anyio.sleep(0.002)
    return found


# The API server is away for all


@pytest.mark.parametrize("heartbeat", [None, HEARTBEAT])
@virtual
async def test_fence_lets_go_at_the_deadline(heartbeat: float | None) -> None:
    async with running("abc", on_api_loss=FENCE, heartbeat=heartbeat) as here:
        api_away(here)
        await anyio.sleep(TIMING.renew_deadline + 0.1)
        assert here.holders() == []


@each_vip
@who_goes_on
def test_the_address_stays_while_the_api_server_is_away(manner: OnApiLoss, heartbeat: float | None, vip: Vip) -> None:
    @virtual
    async def check() -> None:
        async with running("abc", on_api_loss=manner, heartbeat=heartbeat) as here:
            old = here.holder
            api_away(here)
            assert await here.outage(120, vip) == 0
            assert here.holder is old

    check()


@who_goes_on
def test_when_it_is_back_there_is_one_holder_and_hardly_an_outage(manner: OnApiLoss, heartbeat: float | None) -> None:
    @virtual
    async def check() -> None:
        async with running("abc", on_api_loss=manner, heartbeat=heartbeat) as here:
            api_away(here)
            await anyio.sleep(60)
            api_back(here)
            assert await here.outage(10) < 0.1
            assert here.holders() == [here.leases.holder(LEASE)]
            assert here.longest_overlap() < AT_ONCE

    check()


@who_goes_on
def test_the_kernel_removes_the_address_when_the_agent_dies_meanwhile(
    manner: OnApiLoss, heartbeat: float | None
) -> None:
    @virtual
    async def check() -> None:
        async with running("abc", on_api_loss=manner, heartbeat=heartbeat) as here:
            old = here.holder
            api_away(here)
            await anyio.sleep(60)
            old.process.kill()
            await anyio.sleep(TIMING.duration + 0.4)
            assert here.holders() == []

    check()


# It is away for the holder alone


@pytest.mark.parametrize("heartbeat", [None, HEARTBEAT])
@virtual
async def test_hold_lets_go_when_the_successor_is_seen(heartbeat: float | None) -> None:
    async with running("abc", on_api_loss=HOLD, heartbeat=heartbeat) as here:
        old = here.holder
        api_away(here, old.node)
        assert await here.outage(15) < 0.1
        assert here.holders() == [here.leases.holder(LEASE)]
        assert here.holder is not old
        assert here.longest_overlap() < AT_ONCE


@virtual
async def test_quorum_lets_go_at_the_deadline_when_another_one_could_renew() -> None:
    async with running("abc", on_api_loss=QUORUM, heartbeat=HEARTBEAT) as here:
        old = here.holder
        api_away(here, old.node)
        await anyio.sleep(TIMING.renew_deadline + 0.1)
        assert not old.holds(VIP)
        await anyio.sleep(TIMING.duration)
        assert here.holders() == [here.leases.holder(LEASE)]
        assert here.longest_overlap() == 0


@virtual
async def test_quorum_lets_go_at_once_when_one_comes_to_reach_it_first() -> None:
    async with running("abc", on_api_loss=QUORUM, heartbeat=HEARTBEAT) as here:
        old = here.holder
        api_away(here)
        await anyio.sleep(30)
        other = here.other
        here.lines[other.node].mend()
        await anyio.sleep(2 * TIMING.retry_period)
        assert not old.holds(VIP)
        await anyio.sleep(TIMING.duration)
        assert here.holders() == [other.node]
        assert here.longest_overlap() == 0


# The segment is cut, too


@virtual
async def test_quorum_lets_go_at_once_when_it_hears_no_majority() -> None:
    async with running("abcde", on_api_loss=QUORUM, heartbeat=HEARTBEAT) as here:
        old = here.holder
        api_away(here)
        await anyio.sleep(30)
        here.segment.cut_off(*[name for name in "abcde" if name != old.node][:2])
        await anyio.sleep(1)
        assert here.holder is old
        here.segment.cut_off(*[name for name in "abcde" if name != old.node][:3])
        await anyio.sleep(0.3 + 2 * TIMING.retry_period / 4)
        assert not old.holds(VIP)


@virtual
async def test_hold_has_two_holders_while_the_segment_is_cut_and_one_when_it_heals() -> None:
    async with running("abc", on_api_loss=HOLD, heartbeat=None) as here:
        old = here.holder
        here.segment.cut_off(old.node)
        api_away(here, old.node)
        await anyio.sleep(15)
        assert sorted(here.holders()) == sorted([old.node, here.leases.holder(LEASE)])
        here.segment.cut_off()
        assert await together(here, 5) < TIMING.retry_period / 4 + AT_ONCE
        assert here.holders() == [here.leases.holder(LEASE)]
        assert not old.holds(VIP)


@virtual
async def test_quorum_has_one_holder_while_the_segment_is_cut() -> None:
    async with running("abc", on_api_loss=QUORUM, heartbeat=HEARTBEAT) as here:
        old = here.holder
        here.segment.cut_off(old.node)
        api_away(here, old.node)
        await anyio.sleep(2)
        assert here.holders() == [here.leases.holder(LEASE)]
        here.segment.cut_off()
        assert await together(here, 5) == 0


# What is only short


@who_goes_on
def test_a_short_absence_changes_nothing(manner: OnApiLoss, heartbeat: float | None) -> None:
    @virtual
    async def check() -> None:
        async with running("abc", on_api_loss=manner, heartbeat=heartbeat) as here:
            old = here.holder
            for _ in range(5):
                api_away(here)
                await anyio.sleep(2.5)
                api_back(here)
                await anyio.sleep(5)
            assert here.holder is old
            assert here.longest_overlap() == 0

    check()


@virtual
async def test_a_planned_stop_without_the_api_server_ends_at_its_bound() -> None:
    async with running("abc", on_api_loss=HOLD, heartbeat=None) as here:
        old = here.holder
        api_away(here)
        await anyio.sleep(30)
        began = now()
        await old.stop()
        assert now() - began <= old.linger + TIMING.attempt_timeout + 0.1
        assert not old.holds(VIP)
