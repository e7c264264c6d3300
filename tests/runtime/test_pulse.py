"""Heartbeats and whole machines: who is gone is known soon, and whoever is there is left alone."""

import contextlib

import anyio
import attrs
import pytest

from kubevip import fence
from kubevip.heartbeat import ETHERTYPE, Badge, Beat, Role, seal
from kubevip.model import LeaseKey, Vip
from kubevip.testing import FaultyLeases, Segment, virtual
from kubevip.testing.segment import Station
from tests.runtime.machine import Machine
from tests.runtime.sites import LEASE, TIMING, VIP, VIP6, Site, now, running

INTERVALS = [0.01, 0.1]


def site(
    interval: float,
    names: str = "abc",
    vips: tuple[Vip, ...] = (VIP, VIP6),
    silent: str = "",
    company: tuple[Vip, ...] = (),
    segment: Segment | None = None,
) -> contextlib.AbstractAsyncContextManager[Site]:
    """Run machines with heartbeats, but for the *silent* ones."""
    differently = {name: {"heartbeat": None} for name in silent}
    wants = dict.fromkeys(vips, LEASE)
    return running(names, segment=segment, wants=wants, differently=differently, heartbeat=interval, company=company)


def power_off(here: Site) -> Machine:
    old = here.holder
    old.process.kill()
    here.segment.unplug(old.host)
    return old


@pytest.mark.parametrize("interval", INTERVALS)
@virtual
async def test_a_holder_without_power_is_succeeded_after_three_heartbeats(interval: float) -> None:
    async with site(interval) as here:
        old = power_off(here)
        start = now()
        new: list[str] = []
        for _step in range(1000):
            if new := [name for name in here.holders() if name != old.node]:
                break
            await anyio.sleep(0.001)
        # Three intervals, the way of the Lease's write, and a little for what was sent last.
        assert 2 * interval < now() - start < 3 * interval + max(0.04, interval / 2)
        assert here.leases.holder(LEASE) == new[0]


@pytest.mark.parametrize("interval", INTERVALS)
@virtual
async def test_an_agent_that_died_on_a_living_node_is_succeeded_when_its_kernel_lets_go(interval: float) -> None:
    async with site(interval) as here:
        old = here.holder
        old.process.kill()
        assert await here.outage(7, step=0.002) < 0.1
        assert here.holder is not old
        assert here.longest_overlap() == 0


@virtual
async def test_a_stopped_process_is_succeeded_and_lets_go_when_it_wakes() -> None:
    async with site(0.1) as here:
        old = here.holder
        old.process.stop()
        assert await here.outage(7, step=0.002) < 0.1
        old.process.resume()
        await anyio.sleep(1)
        assert here.holder is not old
        assert here.longest_overlap() == 0


@virtual
async def test_a_holder_whose_network_is_cut_lets_go_when_its_lease_is_taken() -> None:
    async with site(0.1) as here:
        old = here.holder
        here.segment.cut_off(old.node)
        await anyio.sleep(0.5)
        assert here.leases.holder(LEASE) not in ("", old.node)
        assert not old.holds(VIP)
        here.segment.cut_off()
        await anyio.sleep(0.1)
        assert here.holders() == [here.leases.holder(LEASE)]


@pytest.mark.parametrize("healed_after", [0.2, 0.32, 0.36, 0.4, 0.45, 0.5, 0.55, 0.7, 1.5, 4])
@virtual
async def test_after_a_partition_there_is_one_holder(healed_after: float) -> None:
    async with site(0.1) as here:
        old = here.holder
        here.segment.cut_off(old.node)
        here.lines[old.node].cut()
        await anyio.sleep(healed_after)
        healed = now()
        here.segment.cut_off()
        # Its connections to the API server recover later than its segment.
        together = 0.0
        for _step in range(300):
            together += 0.001 if len(here.holders()) > 1 else 0
            await anyio.sleep(0.001)
        here.lines[old.node].mend()
        await anyio.sleep(1)
        assert len(here.holders()) == 1
        # Until the next heartbeat of the new holder it can't know.
        assert together <= 0.105, f"{together:.3f} s with two holders after {healed:.3f}"
        if healed_after >= 0.55:
            assert together == 0


@virtual
async def test_the_api_server_alone_being_away_hurries_nobody() -> None:
    async with site(0.1) as here:
        old = here.holder
        for line in here.lines.values():
            line.cut()
        await anyio.sleep(2)
        assert here.holder is old
        for line in here.lines.values():
            line.mend()
        await anyio.sleep(5)
        assert here.holder is old
        assert here.longest_overlap() == 0


@pytest.mark.parametrize("after_beat", [None, 0.005, 0.02, 0.04])
@virtual
async def test_who_takes_its_own_lease_again_over_a_slow_line_is_not_missed_before_it_knows(
    after_beat: float | None,
) -> None:
    async with site(0.1) as here:
        old = here.holder
        for line in here.lines.values():
            line.cut()
        await anyio.sleep(4)
        assert here.holders() == []
        before, slow = here.leases.record(LEASE), here.lines[old.node]
        slow.latency, slow.lag, slow.chance = 0.7, 2.0, lambda: 1.0
        slow.mend()
        for _step in range(8000):
            if here.leases.record(LEASE) != before:
                break
            await anyio.sleep(0.001)
        if after_beat is not None:
            # The others learn of it while they ask for its addresses.
            await anyio.sleep(0.1 - now() % 0.1 + after_beat)
        for name in here.lines.keys() - {old.node}:
            here.lines[name].mend()
        await anyio.sleep(3)
        assert here.longest_overlap() == 0
        assert here.holders() == [old.node]


@virtual
async def test_a_candidate_that_is_cut_off_takes_nothing() -> None:
    async with site(0.1) as here:
        old, cut = here.holder, here.other
        here.segment.cut_off(cut.node)
        await anyio.sleep(20)
        assert here.holders() == [old.node]
        assert here.leases.holder(LEASE) == old.node
        assert here.longest_overlap() == 0


@virtual
async def test_without_other_candidates_nobody_is_hurried() -> None:
    """Of two, neither can tell which of them is cut off."""
    async with site(0.1, "ab") as here:
        old = power_off(here)
        await anyio.sleep(3)
        assert here.leases.holder(LEASE) == old.node
        await anyio.sleep(3)
        assert here.leases.holder(LEASE) not in ("", old.node)


@virtual
async def test_a_holder_without_heartbeats_is_not_hurried() -> None:
    """Such as kube-vip's, or one of ours where they are off."""
    async with site(0.1, silent="abc") as here:
        here.holder.process.stop()
        old = here.holder
        async with contextlib.AsyncExitStack() as stack:
            for name in "de":
                line = FaultyLeases(here.leases, latency=0.005)
                machine = Machine(name, here.segment, line, {VIP: LEASE}, timing=TIMING, heartbeat=0.1)
                await stack.enter_async_context(machine)
            here.segment.unplug(old.host)
            await anyio.sleep(3)
            assert here.leases.holder(LEASE) == old.node


@virtual
async def test_a_badge_that_an_earlier_holder_left_is_nobodys() -> None:
    """kube-vip takes a Lease and leaves its annotations as they are."""
    async with site(0.1) as here:
        record = here.leases.record(LEASE)
        assert record is not None
        await anyio.sleep(1)
        for _renewal in range(4):
            here.leases.put(LEASE, attrs.evolve(record, holder="kube-vip", transitions=record.transitions + 1))
            await anyio.sleep(1)
        assert here.leases.holder(LEASE) == "kube-vip"
        assert here.holders() == []


@virtual
async def test_a_lossy_segment_hurries_nobody() -> None:
    async with site(0.1) as here:
        here.segment.loss = 0.1
        old = here.holder
        await anyio.sleep(300)
        assert here.holder is old
        assert here.longest_overlap() == 0


@virtual
async def test_planned_stops_lose_nothing() -> None:
    async with site(0.1) as here:
        old = here.holder
        here.client.reach(VIP.address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old.stop)
            assert await here.outage(5, step=0.001) == 0
        assert here.holder is not old


@virtual
async def test_each_term_has_a_key_of_its_own() -> None:
    async with site(0.1) as here:
        keys = set()
        for _term in range(3):
            record = here.leases.record(LEASE)
            assert record is not None
            badge = Badge.parse(record.badge)
            assert badge is not None
            assert (badge.holder, badge.term) == (record.holder, record.transitions)
            keys.add(badge.key)
            old = here.holder
            await old.stop()
            await anyio.sleep(1)
            await old.restart()
            await anyio.sleep(1)
        assert len(keys) == 3


@virtual
async def test_a_restarted_holder_is_heard_by_its_new_key() -> None:
    async with site(0.1) as here:
        old = here.holder
        old.process.kill()
        await old.restart()
        await anyio.sleep(2)
        assert here.holder is old
        power_off(here)
        await anyio.sleep(0.5)
        assert here.leases.holder(LEASE) != old.node


@virtual
async def test_heartbeats_for_another_lease_are_passed_over_and_noise_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(0.1) as here:
        record = here.leases.record(LEASE)
        assert record is not None
        badge = Badge.parse(record.badge)
        assert badge is not None
        other = LeaseKey("kube-system", "plndr-svcs-lock")
        frame = seal(Beat(other, badge.holder, Role.HOLDER, badge.term, 1, 0.1), badge, bytes(6))
        here.segment.carry(here.client, "eth0", frame)
        await anyio.sleep(0.1)
        assert "refused a heartbeat" not in caplog.text
        here.segment.carry(here.client, "eth0", frame[:14] + bytes(100))
        await anyio.sleep(0.1)
        assert "refused a heartbeat" in caplog.text


@virtual
async def test_forged_and_replayed_heartbeats_change_nothing() -> None:
    async with site(0.1) as here:
        record = here.leases.record(LEASE)
        assert record is not None
        badge = Badge.parse(record.badge)
        assert badge is not None
        captured = [sent.frame for sent in here.segment.sent if sent.frame[12:14] == b"\x88\xb5"]
        old = power_off(here)
        forged = Badge(badge.holder, badge.term, badge.interval, bytes(32))
        for number in range(40):
            frames = captured[-20:]
            frames.append(
                seal(Beat(LEASE, badge.holder, Role.HOLDER, badge.term, 2**63 + number, 0.1), forged, bytes(6))
            )
            frames.append(seal(Beat(LEASE, "evil", Role.HOLDER, badge.term + 1, 2**63 + number, 0.1), forged, bytes(6)))
            for frame in frames:
                here.segment.carry(here.client, "eth0", frame)
            await anyio.sleep(0.01)
        assert here.leases.holder(LEASE) not in ("", old.node)
        assert len([name for name in here.holders() if name != old.node]) == 1


@virtual
async def test_random_deaths_never_make_two_holders() -> None:
    for seed in range(12):
        async with site(0.1) as here:
            await anyio.sleep(0.37 * seed)
            for _event in range(3):
                old = here.holder
                old.process.kill()
                await anyio.sleep(6 + 0.13 * seed)
                assert here.holder is not old
                await old.restart()
                await anyio.sleep(2)
            assert here.longest_overlap() == 0


# Two nodes and a witness

# The client is plugged in first.
WITNESS = (Vip.parse("10.0.0.11", interface="eth0"), Vip.parse("fd00::11", interface="eth0"))


@pytest.mark.parametrize("interval", INTERVALS)
@virtual
async def test_with_a_witness_one_candidate_is_enough_to_succeed_a_holder_without_power(interval: float) -> None:
    async with site(interval, "ab", company=WITNESS) as here:
        old = power_off(here)
        start = now()
        while here.leases.holder(LEASE) == old.node:
            assert now() - start < 3 * interval + max(0.06, interval / 2)
            await anyio.sleep(0.001)
        await anyio.sleep(0.1)
        assert here.holders() == [old.node, here.leases.holder(LEASE)] or len(here.holders()) == 1


@virtual
async def test_a_single_candidate_that_is_cut_off_from_the_witness_too_takes_nothing() -> None:
    async with site(0.1, "ab", company=WITNESS) as here:
        old, cut = here.holder, here.other
        here.segment.cut_off(cut.node)
        sent = len(here.segment.sent)
        await anyio.sleep(20)
        assert here.leases.holder(LEASE) == old.node
        assert here.longest_overlap() == 0
        # It asks in the rhythm of its heartbeats.
        asked = [each for each in here.segment.sent[sent:] if each.node == cut.node]
        assert len(asked) < 20 * 10 * 8


@virtual
async def test_a_witness_does_not_hurry_anybody_while_the_holders_kernel_answers() -> None:
    async with site(0.1, "ab", company=WITNESS) as here:
        old = here.holder
        old.process.kill()
        assert await here.outage(7, step=0.002) < 0.1
        assert here.holder is not old
        assert here.longest_overlap() == 0


@pytest.mark.parametrize("healed_after", [0.2, 0.35, 0.45, 0.55, 0.7, 1.5, 4])
@virtual
async def test_with_a_witness_there_is_one_holder_after_a_partition(healed_after: float) -> None:
    async with site(0.1, "ab", company=WITNESS) as here:
        old = here.holder
        here.segment.cut_off(old.node)
        here.lines[old.node].cut()
        await anyio.sleep(healed_after)
        here.segment.cut_off()
        together = 0.0
        for _step in range(300):
            together += 0.001 if len(here.holders()) > 1 else 0
            await anyio.sleep(0.001)
        here.lines[old.node].mend()
        await anyio.sleep(1)
        assert len(here.holders()) == 1
        assert together <= 0.105


@virtual
async def test_a_fleet_of_two_with_a_lossy_segment_hurries_nobody() -> None:
    async with site(0.1, "ab", company=WITNESS) as here:
        here.segment.loss = 0.1
        old = here.holder
        await anyio.sleep(300)
        assert here.holder is old
        assert here.longest_overlap() == 0


class NoHeartbeats(Segment):
    """A segment whose switch lets none of these multicasts through."""

    def carry(self, sender: Station, interface: str, frame: bytes) -> None:
        if frame[12:14] != ETHERTYPE.to_bytes(2):
            super().carry(sender, interface, frame)


@virtual
async def test_heartbeats_that_do_not_arrive_are_told_and_the_times_of_the_lease_apply(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(0.1, segment=NoHeartbeats()) as here:
        old = here.holder
        deaf = {name: machine.pulses[0].statistics().deaf for name, machine in here.machines.items()}
        assert deaf == {name: name != old.node for name in "abc"}
        assert sum("don't arrive here" in record.message for record in caplog.records) == 2
        power_off(here)
        # Three heartbeats are over, and nobody hurries.
        await anyio.sleep(TIMING.renew_deadline)
        assert here.leases.holder(LEASE) == old.node
        await anyio.sleep(TIMING.duration)
        assert here.leases.holder(LEASE) != old.node
        assert here.longest_overlap() <= fence.OVERDUE
