"""Asking before taking: who is waited for, who is overruled, who is yielded to."""

import anyio
import pytest

from kubevip.election import Cause
from kubevip.model import Vip
from kubevip.runtime.clearance import LATER, PATIENCE, SOON, Manner
from kubevip.runtime.wire import ANSWER_WITHIN
from kubevip.testing import FakeHost, Segment, virtual
from tests.runtime.keeping import LEASE, TIMING, VIP, VIP2, VIP6, Keeping, keeping, now

both = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])


def put_at(a: Keeping) -> float:
    return a.host.addresses.changes[0].time


async def hold_elsewhere(segment: Segment, vip: Vip, *, until: float) -> FakeHost:
    """Put *vip* on another machine whose kernel removes it at *until*."""
    other = FakeHost("other", segment)
    other.addresses.late = lambda: until - now() - 1
    await other.addresses.put([(vip, 1)], not_after=float("inf"))
    return other


@both
@virtual
async def test_a_silent_segment_clears_after_the_time_for_an_answer(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert put_at(a) == pytest.approx(ANSWER_WITHIN, abs=0.001)


@both
@virtual
async def test_a_released_lease_is_taken_without_asking(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        await hold_elsewhere(segment, vip, until=1000)
        a.lead(cause=Cause.VACANT)
        await anyio.sleep(0.001)
        assert a.present == {vip}
        assert "probe" not in a.verbs(vip)


@both
@virtual
async def test_a_late_kernel_is_waited_for(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        await hold_elsewhere(segment, vip, until=0.6)
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(2)
        assert 0.6 < put_at(a) < 0.6 + SOON + 2 * ANSWER_WITHIN
        assert a.conflicts == []


@both
@virtual
async def test_after_an_expired_lease_a_leftover_is_overruled_and_reported(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        other = await hold_elsewhere(segment, vip, until=1000)
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(3)
        assert PATIENCE <= put_at(a) < PATIENCE + 2 * SOON
        ((_time, conflict),) = a.conflicts
        assert (conflict.vip, conflict.manner) == (vip, Manner.INSIST)
        assert conflict.mac == other.link("eth0").mac.hex(":")
        assert a.keeper.statistics().conflicts == 1


@both
@virtual
async def test_after_a_lease_that_was_taken_away_early_a_kernel_is_waited_for_until_that_would_have_ended(
    segment: Segment, vip: Vip
) -> None:
    async with keeping(segment) as a:
        await hold_elsewhere(segment, vip, until=3.5)
        a.lead(cause=Cause.VACANT)
        a.keeper.entrust(vip, LEASE, Cause.EXPIRED, 4.0)
        for _beat in range(5):
            await anyio.sleep(1)
            a.renew()
        assert 3.5 < put_at(a) < 3.5 + SOON + 2 * ANSWER_WITHIN
        assert a.conflicts == []


@both
@virtual
async def test_where_no_holder_was_known_whoever_answers_is_yielded_to(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        other = await hold_elsewhere(segment, vip, until=1000)
        a.lead(cause=Cause.ABSENT)
        for _second in range(20):
            await anyio.sleep(1)
            a.renew()
        assert a.present == frozenset()
        ((_time, conflict),) = a.conflicts
        assert (conflict.mac, conflict.manner) == (other.link("eth0").mac.hex(":"), Manner.YIELD)


@both
@virtual
async def test_an_address_that_was_yielded_is_taken_when_it_falls_silent(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip) as a:
        await hold_elsewhere(segment, vip, until=7.3)
        a.lead(cause=Cause.ABSENT)
        for _second in range(10):
            await anyio.sleep(1)
            a.renew()
        assert 7.3 < put_at(a) < 7.3 + LATER + 0.1


@virtual
async def test_one_that_is_contested_does_not_hold_up_another(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        await hold_elsewhere(segment, VIP, until=1000)
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.present == {VIP2}


@virtual
async def test_a_new_address_is_asked_for_while_another_one_is_contested(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await hold_elsewhere(segment, VIP, until=1000)
        a.lead(cause=Cause.ABSENT)
        await anyio.sleep(5)
        a.keeper.want(VIP2, LEASE)
        await anyio.sleep(0.1)
        assert a.present == {VIP2}


@virtual
async def test_an_answering_machine_is_not_flooded(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await hold_elsewhere(segment, VIP, until=1000)
        a.lead(cause=Cause.ABSENT)
        a.keeper.want(VIP2, LEASE)
        await anyio.sleep(9.9)
        probes = a.verbs(VIP).count("probe")
        assert probes <= PATIENCE / SOON + 10 / LATER + 2


@virtual
async def test_our_own_answer_is_no_conflict(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await a.host.addresses.put([(VIP, 10)], not_after=100)
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.announced(VIP)
        assert a.conflicts == []


@virtual
async def test_it_is_asked_while_the_lease_is_still_being_written(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.keeper.campaigning(LEASE, Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.verbs(VIP) == ["probe"]
        before = now()
        a.renew()
        await anyio.sleep(0.01)
        assert put_at(a) == before


@virtual
async def test_after_the_lease_was_lost_it_is_asked_again(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(1)
        a.follow()
        await anyio.sleep(1)
        other = await hold_elsewhere(segment, VIP, until=2.7)
        assert other.answers_for(VIP.address)
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.present == frozenset()
        await anyio.sleep(1)
        assert a.present == {VIP}


@virtual
async def test_a_link_that_is_gone_does_not_keep_others_from_being_asked(segment: Segment) -> None:
    missing = Vip(VIP2.address, "eth9")
    async with keeping(segment, VIP, missing) as a:
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.present == {VIP}


@virtual
async def test_a_plugin_that_fails_to_ask_does_not_end_the_keeper(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP6) as a:
        a.backends[VIP.family].probe = _ill
        a.backends[VIP.family].sightings = _ill
        a.lead(cause=Cause.EXPIRED)
        await anyio.sleep(0.1)
        assert a.present == {VIP, VIP6}


def _ill(*_args: object) -> object:
    raise RuntimeError("the plugin is ill")


@virtual
async def test_a_segment_that_loses_everything_is_silent(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await hold_elsewhere(segment, VIP, until=1000)
        segment.loss, segment.chance = 1.0, lambda: 0.0
        a.lead(cause=Cause.ABSENT)
        await anyio.sleep(0.1)
        assert a.present == {VIP}


@virtual
async def test_a_term_that_ended_while_it_was_asked_takes_nothing(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await hold_elsewhere(segment, VIP, until=TIMING.renew_deadline + 0.5)
        a.lead(cause=Cause.ABSENT)
        await anyio.sleep(30)
        assert a.host.addresses.changes == []


@virtual
async def test_where_others_may_announce_it_as_well_nobody_is_asked(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(segment, VIP) as a:
        monkeypatch.setattr(type(a.backends[VIP.family]), "exclusive", False)
        await hold_elsewhere(segment, VIP, until=1000)
        a.lead(cause=Cause.EXPIRED)
        a.keeper.want(VIP2, LEASE)
        await anyio.sleep(0.001)
        assert a.present == {VIP, VIP2}
        assert "probe" not in a.verbs(VIP) + a.verbs(VIP2)


@virtual
async def test_who_does_not_lead_yet_tells_of_no_conflict(segment: Segment) -> None:
    """Whoever answers may be the holder, of whose renewal this node has not heard."""
    async with keeping(segment, VIP) as a:
        await hold_elsewhere(segment, VIP, until=1000)
        a.keeper.campaigning(LEASE, Cause.EXPIRED)
        await anyio.sleep(PATIENCE + 3 * LATER)
        assert not a.conflicts
        assert a.keeper.statistics().conflicts == 0
        a.lead(cause=None)
        await anyio.sleep(LATER + 2 * ANSWER_WITHIN)
        ((_time, conflict),) = a.conflicts
        assert conflict.manner is Manner.INSIST
        assert a.present == {VIP}


@pytest.mark.parametrize("leave", ["pass_on", "unwant"])
@virtual
async def test_what_the_agent_before_left_goes_though_this_one_has_not_come_to_hold_it(
    segment: Segment, leave: str
) -> None:
    async with keeping(segment) as a:
        await a.host.addresses.put([(VIP, 15)], not_after=float("inf"))
        a.lead()
        a.keeper.entrust(VIP, LEASE, Cause.OURS, 0.0)
        getattr(a.keeper, leave)(VIP)
        await anyio.sleep(0.01)
        assert not a.present


@both
@virtual
async def test_who_waits_for_a_successor_that_was_lost_is_overruled_and_is_no_conflict(
    segment: Segment, vip: Vip
) -> None:
    async with keeping(segment) as a:
        await hold_elsewhere(segment, vip, until=1000)
        a.lead(cause=Cause.VACANT)
        a.keeper.entrust(vip, LEASE, Cause.EXPIRED, 0.0, 4.0)
        await anyio.sleep(3)
        assert PATIENCE <= put_at(a) < PATIENCE + 2 * SOON
        assert a.conflicts == []


@both
@virtual
async def test_who_waits_for_a_process_before_this_one_is_no_conflict_and_is_followed_soon(
    segment: Segment, vip: Vip
) -> None:
    async with keeping(segment) as a:
        await hold_elsewhere(segment, vip, until=4.5)
        a.lead(cause=Cause.VACANT)
        a.keeper.entrust(vip, LEASE, Cause.OURS, 0.0, 4.0)
        for _beat in range(6):
            await anyio.sleep(1)
            a.renew()
        assert 4.5 < put_at(a) < 4.5 + SOON + 2 * ANSWER_WITHIN
        assert a.conflicts == []


@both
@virtual
async def test_who_answers_for_longer_than_for_a_successor_is_told_of(segment: Segment, vip: Vip) -> None:
    async with keeping(segment) as a:
        await hold_elsewhere(segment, vip, until=1000)
        a.lead(cause=Cause.VACANT)
        a.keeper.entrust(vip, LEASE, Cause.OURS, 0.0, 4.0)
        for _beat in range(7):
            await anyio.sleep(1)
            a.renew()
        assert a.present == frozenset()
        ((time, conflict),) = a.conflicts
        assert 4.0 + PATIENCE <= time < 4.0 + PATIENCE + 2 * SOON
        assert conflict.manner is Manner.YIELD
