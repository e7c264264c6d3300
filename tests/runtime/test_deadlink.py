"""Links that go down and come back where the API server is reached by the same link: nothing moves without a need."""

import anyio
import pytest

from kubevip.runtime.reprieve import OnApiLoss
from kubevip.testing import virtual
from tests.runtime.machine import Machine
from tests.runtime.sites import LEASE, TIMING, VIP, Site, running
from tests.waiting import until

HEARTBEAT = 0.1
each_manner = pytest.mark.parametrize("heartbeat", [None, HEARTBEAT], ids=["off", "fast"])


def unplug(here: Site, machine: Machine) -> None:
    here.lines[machine.node].cut()
    machine.host.links.set_up("eth0", False)


def plug(here: Site, machine: Machine) -> None:
    here.lines[machine.node].mend()
    machine.host.links.set_up("eth0", True)


def transitions(here: Site) -> int:
    record = here.leases.record(LEASE)
    assert record is not None
    return record.transitions


@each_manner
@virtual
async def test_after_a_short_loss_of_the_link_the_address_answers_before_the_api_server_does(
    heartbeat: float | None,
) -> None:
    async with running("abc", heartbeat=heartbeat) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(0.1)
        old.host.links.set_up("eth0", True)
        assert await here.outage(0.5) == 0
        assert here.holder is old
        here.lines[old.node].mend()
        await anyio.sleep(10)
        assert here.holder is old
        assert transitions(here) == 0


@each_manner
@virtual
async def test_nothing_is_released_that_might_arrive_late(heartbeat: float | None) -> None:
    async with running("abc", heartbeat=heartbeat) as here:
        for line in here.lines.values():
            line.latency, line.chance = 5.0, lambda: 1.0
        here.holder.host.links.set_up("eth0", False)
        await anyio.sleep(8)
        assert not any(written.record is not None and written.record.vacant for written in here.leases.written)


@virtual
async def test_the_announcement_comes_with_the_link() -> None:
    async with running("abc", heartbeat=None) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(0.1)
        heard = len(here.segment.sent)
        plug(here, old)
        await anyio.sleep(0.01)
        assert len(here.segment.sent) > heard


@each_manner
@virtual
async def test_when_the_api_server_is_reached_another_way_after_all_the_lease_is_released(
    heartbeat: float | None,
) -> None:
    async with running("a", heartbeat=heartbeat) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(2)
        here.lines["a"].mend()
        await until(lambda: here.leases.holder(LEASE) == "")
        assert not old.holds(VIP)


@each_manner
@virtual
async def test_a_link_that_stays_down_ends_with_one_holder_that_is_another_one(heartbeat: float | None) -> None:
    async with running("abc", heartbeat=heartbeat) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(TIMING.duration + 3)
        assert here.holder is not old
        plug(here, old)
        await anyio.sleep(5)
        assert here.holder is not old
        assert here.longest_overlap() == 0


@virtual
async def test_others_take_the_lease_of_whom_they_miss_and_find_no_second_holder_whenever_the_link_comes_back() -> None:
    for length in (0.15, 0.2, 0.25, 0.27, 0.28, 0.29, 0.3, 0.31, 0.33, 0.35, 0.4, 0.5, 1.0):
        async with running("abc", heartbeat=HEARTBEAT) as here:
            old = here.holder
            unplug(here, old)
            await anyio.sleep(length)
            old.host.links.set_up("eth0", True)
            await anyio.sleep(0.3)
            here.lines[old.node].mend()
            await anyio.sleep(3)
            assert len(here.holders()) == 1
            assert here.longest_overlap() == 0


@virtual
async def test_who_may_have_been_missed_does_not_answer_until_the_lease_is_known_to_be_its() -> None:
    async with running("a", heartbeat=HEARTBEAT) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(0.35)
        old.host.links.set_up("eth0", True)
        await anyio.sleep(1)
        assert not old.holds(VIP)
        here.lines[old.node].mend()
        await anyio.sleep(5)
        assert old.holds(VIP)


@virtual
async def test_without_heartbeats_the_address_stays_until_its_term_is_over_and_no_longer() -> None:
    async with running("abc", heartbeat=None) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(TIMING.renew_deadline - TIMING.retry_period - 0.1)
        assert old.holds(VIP)
        await anyio.sleep(TIMING.retry_period + 0.2)
        assert not old.holds(VIP)


@virtual
async def test_a_candidate_whose_link_flaps_takes_nothing_from_a_holder_that_lives() -> None:
    for length in (0.25, 0.35, 0.6, 1.5):
        async with running("abc", heartbeat=HEARTBEAT) as here:
            old, candidate = here.holder, here.other
            for _flap in range(3):
                unplug(here, candidate)
                await anyio.sleep(length)
                plug(here, candidate)
                await anyio.sleep(0.05)
            await anyio.sleep(3)
            assert here.holder is old
            assert transitions(here) == 0


@virtual
async def test_a_candidate_whose_link_flaps_misses_a_dead_holder_all_the_same() -> None:
    async with running("abc", heartbeat=HEARTBEAT) as here:
        old, candidate = here.holder, here.other
        unplug(here, candidate)
        await anyio.sleep(0.5)
        plug(here, candidate)
        unplug(here, old)
        await anyio.sleep(1)
        assert here.holder is not old


@each_manner
@virtual
async def test_who_holds_on_without_a_lease_lets_go_when_the_link_goes(heartbeat: float | None) -> None:
    async with running("abc", heartbeat=heartbeat, on_api_loss=OnApiLoss.HOLD) as here:
        old = here.holder
        for line in here.lines.values():
            line.cut()
        await anyio.sleep(TIMING.duration + 5)
        assert here.holder is old
        old.host.links.set_up("eth0", False)
        await anyio.sleep(0.01)
        assert not old.holds(VIP)


@virtual
async def test_nobody_holds_on_because_nobody_answers_on_a_link_that_is_down() -> None:
    async with running("abc", heartbeat=None, on_api_loss=OnApiLoss.HOLD) as here:
        old = here.holder
        unplug(here, old)
        await anyio.sleep(TIMING.renew_deadline + 0.1)
        assert not old.holds(VIP)


@virtual
async def test_addresses_that_fail_on_a_link_that_is_down_are_no_reason_to_hand_over_when_it_is_back() -> None:
    async with running("abc", heartbeat=None) as here:
        old = here.holder
        for _flap in range(3):
            unplug(here, old)
            await anyio.sleep(1.5)
            plug(here, old)
            await anyio.sleep(1.0)
        await anyio.sleep(10)
        assert here.holder is old
        assert transitions(here) == 0
