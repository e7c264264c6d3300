"""Whole machines on one segment: election, keeper and backends together, and what happens to them."""

import anyio
import attrs
import pytest

from kubevip import fence
from kubevip.model import Vip
from kubevip.testing import FakeHost, MemoryLeases, Segment, virtual
from tests.runtime.machine import Machine
from tests.runtime.sites import HANDOVER, LEASE, OTHER_LEASE, SERVICE, TIMING, VIP, VIP6, now, running


@virtual
async def test_one_holds_all_and_goes_on_for_an_hour() -> None:
    async with running("abc") as here:
        first = here.holder
        await anyio.sleep(3600)
        assert here.holder is first
        assert first.host.addresses.present() == {VIP, VIP6}
        assert here.longest_overlap() == 0
        assert len(first.tenures()) == 2


@pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])
@virtual
async def test_a_planned_stop_loses_no_packet(vip: Vip) -> None:
    async with running("ab") as here:
        old, new = here.holder, here.other
        assert here.client.reach(vip.address) == old.node
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old.stop)
            assert await here.outage(5, vip, step=0.001) == 0
        assert here.client.reach(vip.address) == new.node
        assert here.holders(vip) == [new.node]
        assert here.longest_overlap() < HANDOVER


@virtual
async def test_a_planned_stop_of_the_only_machine_removes_the_address_at_the_bound() -> None:
    async with running("a") as here:
        before = now()
        await here.machines["a"].stop()
        assert here.machines["a"].linger <= now() - before < here.machines["a"].linger + 0.1
        assert here.holders() == []
        assert here.leases.holder(LEASE) == ""


@virtual
async def test_a_crash_is_taken_over_when_the_lease_has_ended_and_never_shared() -> None:
    async with running("ab") as here:
        old, new = here.holder, here.other
        here.client.reach(VIP.address)
        old.process.kill()
        await anyio.sleep(TIMING.duration + 0.5)
        assert here.holders() == [new.node]
        assert here.client.reach(VIP.address) == new.node
        assert here.longest_overlap() == 0


@virtual
async def test_the_kernel_ends_the_address_of_a_crashed_process_in_time() -> None:
    async with running("ab") as here:
        old = here.holder
        written = here.leases.written[-1].time
        old.process.kill()
        await anyio.sleep(20)
        # The simulated kernel is always as late as a real one is at its worst.
        assert max(tenure.end for tenure in old.tenures()) <= written + TIMING.duration + fence.OVERDUE


@virtual
async def test_a_crashed_process_that_comes_back_at_once_keeps_its_address() -> None:
    async with running("ab") as here:
        old = here.holder
        old.process.kill()
        await anyio.sleep(0.5)
        await old.restart()
        await anyio.sleep(5)
        assert here.holder is old
        assert here.gaps(VIP.address, start=4) == []
        assert here.leases.record(LEASE).transitions == 0


@virtual
async def test_a_crashed_process_that_comes_back_later_follows() -> None:
    async with running("ab") as here:
        old, new = here.holder, here.other
        old.process.kill()
        await anyio.sleep(10)
        await old.restart()
        await anyio.sleep(10)
        assert here.holders() == [new.node]
        assert here.longest_overlap() == 0


@pytest.mark.parametrize("stopped_for", [0.5, 2, 2.9, 3.1, 4, 4.9, 5.1, 6, 20])
@virtual
async def test_a_process_that_is_stopped_for_a_while_never_shares_the_address(stopped_for: float) -> None:
    async with running("ab") as here:
        old = here.holder
        old.process.stop()
        await anyio.sleep(stopped_for)
        old.process.resume()
        await anyio.sleep(15)
        assert len(here.holders()) == 1
        assert here.longest_overlap() == 0


@virtual
async def test_a_machine_that_loses_the_api_gives_up_before_another_takes_over() -> None:
    async with running("ab") as here:
        old, new = here.holder, here.other
        here.lines[old.node].cut()
        await anyio.sleep(15)
        assert here.holders() == [new.node]
        assert here.longest_overlap() == 0


@virtual
async def test_while_nobody_reaches_the_api_nobody_holds_and_afterwards_one_does() -> None:
    async with running("ab") as here:
        for line in here.lines.values():
            line.cut()
        await anyio.sleep(10)
        assert here.holders() == []
        for line in here.lines.values():
            line.mend()
        await anyio.sleep(10)
        assert len(here.holders()) == 1
        assert here.longest_overlap() == 0


@virtual
async def test_a_short_silence_of_the_api_is_not_noticed() -> None:
    async with running("ab") as here:
        first = here.holder
        for line in here.lines.values():
            line.cut()
        await anyio.sleep(1)
        for line in here.lines.values():
            line.mend()
        assert await here.outage(10) == 0
        assert here.holder is first


@virtual
async def test_a_machine_that_is_cut_off_the_segment_does_not_answer_when_it_is_back() -> None:
    async with running("ab") as here:
        old, new = here.holder, here.other
        here.client.reach(VIP.address)
        here.segment.cut_off(old.node)
        here.lines[old.node].cut()
        await anyio.sleep(15)
        here.segment.cut_off()
        here.lines[old.node].mend()
        assert await here.outage(15) < 0.01
        assert here.client.reach(VIP.address) == new.node
        assert here.longest_overlap() == 0


@virtual
async def test_control_plane_and_services_move_one_by_one() -> None:
    async with running("ab", wants={VIP: LEASE, SERVICE: OTHER_LEASE}) as here:
        services = next(machine for machine in here.machines.values() if machine.holds(SERVICE))
        control_plane = here.holder
        here.leases.put(OTHER_LEASE, attrs.evolve(here.leases.record(OTHER_LEASE), holder="somebody", duration=1000))
        await anyio.sleep(10)
        assert not services.holds(SERVICE)
        assert here.holder is control_plane
        assert here.gaps(VIP.address, start=4) == []


@virtual
async def test_a_lease_that_is_deleted_by_hand_is_taken_again_and_no_packet_is_lost() -> None:
    async with running("ab") as here:
        assert here.client.reach(VIP.address)
        here.leases.delete(LEASE)
        assert await here.outage(10) == 0
        assert len(here.holders()) == 1


@virtual
async def test_a_lease_that_is_blanked_by_hand_is_taken_again_and_no_packet_is_lost() -> None:
    async with running("ab") as here:
        assert here.client.reach(VIP.address)
        here.leases.put(LEASE, attrs.evolve(here.leases.record(LEASE), holder=""))
        assert await here.outage(10) == 0
        assert len(here.holders()) == 1


@virtual
async def test_of_three_that_lose_their_leader_one_takes_over_and_nobody_reports_a_conflict() -> None:
    async with running("abcd") as here:
        here.holder.process.kill()
        await anyio.sleep(TIMING.duration + 5)
        assert len(here.holders()) == 1
        assert [machine.keeper.statistics().conflicts for machine in here.machines.values()] == [0, 0, 0, 0]
        assert here.longest_overlap() == 0


@virtual
async def test_a_rolling_update_of_all_machines_loses_no_packet() -> None:
    async with running("abc") as here:
        here.client.reach(VIP.address)

        async def update() -> None:
            for machine in here.machines.values():
                await machine.stop()
                await anyio.sleep(1)
                await machine.restart()
                await anyio.sleep(4)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(update)
            assert await here.outage(30) == 0
        assert here.longest_overlap() < HANDOVER


@virtual
async def test_two_of_one_name_do_not_both_go_on() -> None:
    async with running("a") as here:
        twin = Machine("a", here.segment, here.leases, {VIP: LEASE}, timing=TIMING)
        twin.host.links.address("eth0", "10.0.0.200/24")
        async with twin:
            await anyio.sleep(60)
            held = [here.machines["a"].holds(VIP), twin.holds(VIP)]
            assert held.count(True) <= 1


@virtual
async def test_an_address_that_a_stranger_uses_is_left_to_him_and_taken_when_he_goes() -> None:
    segment = Segment()
    stranger = FakeHost("stranger", segment)
    stranger.links.address("eth0", "10.0.0.99/24")
    machine = Machine("a", segment, MemoryLeases(), {VIP: LEASE}, timing=TIMING)
    async with machine:
        await anyio.sleep(10)
        assert not machine.holds(VIP)
        assert machine.keeper.statistics().conflicts == 1
        stranger.links.address("eth0")
        await anyio.sleep(2)
        assert machine.holds(VIP)
