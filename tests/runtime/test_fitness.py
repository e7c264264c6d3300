"""Fitness on whole machines: an unfit holder hands over, the last one stays, requests are heeded, preference counts."""

import contextlib
import logging
from typing import Any

import anyio
import attrs
import pytest

from kubevip.eligibility import Ground
from kubevip.succession import Request, Word
from kubevip.testing import MemoryLeases, Segment, virtual
from tests.runtime.machine import Machine
from tests.runtime.sites import HANDOVER, LEASE, TIMING, VIP, Site, now, running
from tests.waiting import until


def site(*names: str, **preferences: Any) -> contextlib.AbstractAsyncContextManager[Site]:
    return running(names or "abc", preferences=preferences)


def fail(machine: Machine, ground: Ground = Ground.CHECK, text: str | None = "it fails") -> None:
    machine.fitness[LEASE].report(ground, text)


def recover(machine: Machine, ground: Ground = Ground.CHECK) -> None:
    fail(machine, ground, None)


def stat(machine: Machine) -> Any:
    return machine.fitness[LEASE].statistics()


async def ask(here: Site, to: str = "", **changes: Any) -> Request:
    """Write a request to the holder into the Lease, as the command does."""
    record = here.leases.record(LEASE)
    assert record is not None
    request = attrs.evolve(Request(record.holder, record.transitions, to, "id", "a test"), **changes)
    await here.leases.ask(LEASE, str(request), record)
    return request


@virtual
async def test_a_failing_check_moves_the_address_and_no_packet_is_lost() -> None:
    async with site() as here:
        old = here.holder
        fail(old)
        assert await here.outage(10) == 0
        assert here.holder is not old
        assert here.longest_overlap() < HANDOVER


@virtual
async def test_the_address_moves_within_milliseconds() -> None:
    async with site() as here:
        old = here.holder
        fail(old)
        await anyio.sleep(0.1)
        assert here.holder is not old


@virtual
async def test_one_that_is_fit_again_does_not_take_the_address_back() -> None:
    async with site() as here:
        old = here.holder
        fail(old)
        await anyio.sleep(5)
        recover(old)
        await anyio.sleep(60)
        assert here.holder is not old


@virtual
async def test_one_that_is_fit_again_is_a_candidate_again() -> None:
    async with site("a", "b") as here:
        old = here.holder
        fail(old)
        await anyio.sleep(5)
        recover(old)
        fail(here.holder)
        await anyio.sleep(1)
        assert here.holder is old


@virtual
async def test_when_all_are_unfit_the_holder_stays_and_no_packet_is_lost() -> None:
    async with site() as here:
        old = here.holder
        for machine in here.machines.values():
            fail(machine)
        assert await here.outage(60) == 0
        assert here.holder is old
        assert stat(old).last_resort
        assert sum(stat(old).given_up.values()) == 1


@virtual
async def test_the_last_resort_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site("a") as here:
        fail(here.holder)
        for second in range(10):
            fail(here.holder, text=f"it failed {second} times")
            await anyio.sleep(1)
    said = [record.getMessage() for record in caplog.records if record.name.endswith("fitness")]
    assert said[0] == "giving up the Lease"
    assert [line.partition(":")[0] for line in said[1:]] == ["not campaigning", "holding as the last resort"]


@virtual
async def test_the_first_one_that_is_fit_takes_over_from_the_last_resort() -> None:
    async with site() as here:
        old = here.holder
        for machine in here.machines.values():
            fail(machine)
        await anyio.sleep(10)
        fit = here.other
        recover(fit)
        assert await here.outage(5) == 0
        assert here.holder is fit
        assert not stat(old).last_resort


@virtual
async def test_without_a_last_resort_nobody_holds_while_all_are_unfit() -> None:
    async with site(last_resort=False) as here:
        for machine in here.machines.values():
            fail(machine)
        await anyio.sleep(60)
        assert here.holders() == []
        recover(here.machines["b"])
        await anyio.sleep(1)
        assert here.holder.node == "b"


@virtual
async def test_a_cordoned_node_keeps_the_address_if_nobody_else_takes_it_whatever_is_said_of_checks() -> None:
    async with site("a", last_resort=False) as here:
        fail(here.holder, Ground.CORDONED, "")
        assert await here.outage(20) == 0
        assert stat(here.holder).last_resort


@virtual
async def test_a_cordoned_node_is_better_than_one_with_a_failing_check() -> None:
    async with site() as here:
        old, cordoned, failing = here.holder, *[each for each in here.machines.values() if each is not here.holder]
        fail(failing)
        fail(cordoned, Ground.CORDONED, "")
        fail(old)
        assert await here.outage(20) == 0
        assert here.holder is cordoned


@virtual
async def test_a_cordoned_last_resort_whose_check_fails_offers_the_address_again() -> None:
    async with site("a", "b") as here:
        old, other = here.holder, here.other
        for machine in here.machines.values():
            fail(machine, Ground.CORDONED, "")
        await anyio.sleep(10)
        assert here.holder is old
        fail(old)
        assert await here.outage(10) == 0
        assert here.holder is other


@virtual
async def test_an_unfit_node_takes_the_lease_of_a_dead_one_when_nobody_fit_does() -> None:
    async with site("a", "b") as here:
        other = here.other
        fail(other)
        here.holder.process.kill()
        await anyio.sleep(TIMING.duration + 5)
        assert other.holds(VIP)
        assert stat(other).last_resort


@virtual
async def test_a_fit_node_takes_the_lease_of_a_dead_one_before_an_unfit_one() -> None:
    async with site() as here:
        unfit, fit = (each for each in here.machines.values() if each is not here.holder)
        fail(unfit)
        here.holder.process.kill()
        await anyio.sleep(TIMING.duration + 5)
        assert fit.holds(VIP)


@virtual
async def test_a_link_that_goes_down_moves_the_address_without_waiting_for_the_lease_to_expire() -> None:
    async with site() as here:
        old = here.holder
        old.host.links.set_up("eth0", False)
        assert await here.outage(1) < 0.1
        assert not old.holds(VIP)
        assert here.holder is not old


@virtual
async def test_a_link_that_comes_back_at_once_finds_no_second_holder() -> None:
    async with site() as here:
        old = here.holder
        old.host.links.set_up("eth0", False)
        await anyio.sleep(0.02)
        old.host.links.set_up("eth0", True)
        assert await here.outage(5) < 0.1
        assert here.holder is not old
        assert here.longest_overlap() == 0


@virtual
async def test_a_link_that_comes_back_while_the_release_is_on_its_way_finds_no_second_holder() -> None:
    async with site() as here:
        old = here.holder
        line = here.lines[old.node]
        line.latency, line.lag, line.chance = 0.3, 0.5, lambda: 1.0
        old.host.links.set_up("eth0", False)
        await anyio.sleep(0.95)
        # The API server was asked first. It has the release now, and the answer is still to come.
        assert here.leases.holder(LEASE) != old.node
        old.host.links.set_up("eth0", True)
        await anyio.sleep(2)
        assert here.holder is not old
        assert here.longest_overlap() == 0


@virtual
async def test_a_single_node_has_the_address_again_soon_after_its_link_is_back() -> None:
    async with site("a") as here:
        here.machines["a"].host.links.set_up("eth0", False)
        await anyio.sleep(5)
        assert here.leases.holder(LEASE) == ""
        here.machines["a"].host.links.set_up("eth0", True)
        await anyio.sleep(0.2)
        assert here.holder.node == "a"


@virtual
async def test_an_interface_that_may_be_down_costs_nobody_the_lease() -> None:
    async with site("a", "b") as here:
        old = here.holder
        old.fitness[LEASE].needs_link = False
        old.host.links.set_up("eth0", False)
        await anyio.sleep(2)
        assert here.leases.holder(LEASE) == old.node


@virtual
async def test_addresses_that_can_not_be_held_move_after_a_while() -> None:
    async with site("a", "b") as here:
        old = here.holder

        async def refuse(_vip: object) -> None:
            raise OSError("refused")

        for announcer in old.announcers.values():
            announcer.backend.announce = refuse  # type: ignore[method-assign]
        old.host.links.set_up("eth0", False)
        old.fitness[LEASE].needs_link = False
        recover(old, Ground.LINK)
        old.host.links.set_up("eth0", True)
        await anyio.sleep(15)
        assert here.leases.holder(LEASE) != old.node
        await anyio.sleep(30)
        assert here.leases.holder(LEASE) != old.node


@virtual
async def test_a_request_moves_the_address_to_the_named_node_and_no_packet_is_lost() -> None:
    for to in ("a", "b", "c"):
        async with site() as here:
            if here.holder.node == to:
                continue
            await ask(here, to)
            assert await here.outage(5) == 0
            assert here.holder.node == to
            assert here.leases.record(LEASE).transitions == 1


@virtual
async def test_a_request_without_a_name_moves_it_to_any_other_node() -> None:
    async with site() as here:
        old = here.holder
        await ask(here)
        assert await here.outage(5) == 0
        assert here.holder is not old


@virtual
async def test_a_named_node_that_is_not_there_leaves_it_to_the_others() -> None:
    async with site() as here:
        old = here.holder
        await ask(here, "nobody")
        assert await here.outage(5) == 0
        assert here.holder is not old


@virtual
async def test_when_nobody_takes_what_was_asked_for_the_holder_has_it_again() -> None:
    async with site("a") as here:
        await ask(here, "b")
        assert await here.outage(10) == 0
        assert here.leases.record(LEASE).transitions == 1


@virtual
async def test_a_request_is_heeded_once() -> None:
    async with site("a", "b") as here:
        await ask(here)
        await anyio.sleep(60)
        assert here.leases.record(LEASE).transitions == 1


@virtual
async def test_a_request_to_the_holder_to_hand_over_to_itself_is_refused_with_its_id() -> None:
    async with site() as here:
        request = await ask(here, here.holder.node)
        await anyio.sleep(0.5)
        word = Word.of(here.leases.record(LEASE))
        assert (word.refused, word.why) == (request.id, f"{request.holder} is the holder")


@virtual
async def test_a_node_that_is_not_heard_is_refused_where_nodes_are_heard() -> None:
    async with site() as here:
        old = here.holder
        old.fitness[LEASE].hears = lambda: ["b", "a"]
        await ask(here, "d")
        await anyio.sleep(1)
        assert here.holder is old
        assert Word.of(here.leases.record(LEASE)).why == "d isn't heard; those that are: a, b"


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "null", '{"from":"a"}', '{"from":1,"term":0}', '{"from":"a","term":"0"}', "[" * 4000]
)
@virtual
async def test_a_request_that_is_none_is_passed_over(text: str) -> None:
    async with site("a", "b") as here:
        old = here.holder
        await here.leases.ask(LEASE, text, here.leases.record(LEASE))
        assert await here.outage(5) == 0
        assert here.holder is old


@pytest.mark.parametrize("changes", [{"term": 7}, {"holder": "somebody"}])
@virtual
async def test_a_request_of_another_term_or_to_another_holder_is_passed_over(changes: dict[str, Any]) -> None:
    async with site("a", "b") as here:
        old = here.holder
        await ask(here, **changes)
        await anyio.sleep(5)
        assert here.holder is old


@virtual
async def test_a_request_does_not_lengthen_the_life_of_a_dead_holders_lease() -> None:
    async with site("a", "b") as here:
        other = here.other
        here.holder.process.kill()
        for _ in range(4):
            await anyio.sleep(1)
            await ask(here, other.node)
        await anyio.sleep(TIMING.duration - 4 + 1)
        assert here.leases.holder(LEASE) == other.node


@virtual
async def test_of_preferred_nodes_the_first_one_takes_a_free_lease() -> None:
    for victim in ("b", "c"):
        async with site(preferred=("c", "b")) as here:
            assert here.holder.node == "c"
            here.machines["c"].process.kill()
            if victim == "b":
                here.machines["b"].process.kill()
            await anyio.sleep(TIMING.duration + 3)
            assert here.leases.holder(LEASE) == ("a" if victim == "b" else "b")


@virtual
async def test_a_preferred_node_that_comes_back_takes_nothing_back() -> None:
    async with site(preferred=("c",)) as here:
        fail(here.holder)
        await anyio.sleep(2)
        recover(here.machines["c"])
        await anyio.sleep(300)
        assert here.holder.node != "c"


@virtual
async def test_with_failback_it_does_after_the_delay_and_no_packet_is_lost() -> None:
    async with site(preferred=("c",), failback=60.0) as here:
        fail(here.holder)
        await anyio.sleep(2)
        recover(here.machines["c"])
        assert await here.outage(59) == 0
        assert here.holder.node != "c"
        assert await here.outage(3) == 0
        assert here.holder.node == "c"


@virtual
async def test_a_preferred_node_asks_in_each_term_however_lately_it_asked_in_another_one() -> None:
    async with site(preferred=("c",), failback=0.0) as here:
        await anyio.sleep(1)
        preferred = here.machines["c"]
        for _time in range(3):
            assert here.holder is preferred
            fail(preferred)
            await anyio.sleep(5)
            assert here.holder is not preferred
            recover(preferred)
            await anyio.sleep(1)
        assert here.holder is preferred


@virtual
async def test_a_preferred_node_that_was_refused_asks_again_soon_and_then_later_and_later() -> None:
    async with site(preferred=("c",), failback=3.0) as here:
        fail(here.holder)
        await anyio.sleep(2)
        heard = ["a", "b"]
        here.holder.fitness[LEASE].hears = lambda: heard
        recover(here.machines["c"])
        await anyio.sleep(60)
        assert here.holder.node != "c"
        assert stat(here.machines["c"]).asked == 5  # after 3, 5, 9, 17, and 33 s
        heard.append("c")
        await anyio.sleep(30)
        assert here.holder.node == "c"


@virtual
async def test_a_preferred_node_that_leaves_a_free_lease_to_others_does_not_ask_for_it() -> None:
    async with site(preferred=("c",), failback=0.0) as here:
        await anyio.sleep(1)
        here.machines["c"].electors[LEASE].offer(2.0)
        await anyio.sleep(30)
        assert here.holder.node != "c"
        here.machines["c"].electors[LEASE].hold_back(0.0)
        await anyio.sleep(2)
        assert here.holder.node == "c"


@virtual
async def test_a_planned_handover_waits_for_no_absent_preferred_node_long_enough_to_lose_a_packet() -> None:
    async with site("a", "b", preferred=("x", "y", "z")) as here:
        fail(here.holder)
        assert await here.outage(5) == 0
        assert len(here.holders()) == 1


@virtual
async def test_nobody_campaigns_before_the_first_result_of_a_check_while_others_do() -> None:
    segment, leases = Segment(), MemoryLeases()
    unchecked = Machine("a", segment, leases, {VIP: LEASE}, timing=TIMING)
    unchecked.fitness[LEASE].eligibility.report(Ground.UNCHECKED, "no result yet", 0.0)
    checked = Machine("b", segment, leases, {VIP: LEASE}, timing=TIMING)
    async with unchecked:
        await anyio.sleep(1)
        assert leases.holder(LEASE) == ""
        async with checked:
            await anyio.sleep(0.5)
            assert leases.holder(LEASE) == "b"


@virtual
async def test_a_restarted_holder_goes_on_before_its_check_has_a_result() -> None:
    async with site("a", "b") as here:
        old = here.holder
        old.process.kill()
        await anyio.sleep(0.2)
        await old.restart()
        fail(old, Ground.UNCHECKED, "no result yet")
        await anyio.sleep(5)
        assert here.holder is old


@virtual
async def test_health_that_comes_and_goes_never_loses_a_packet() -> None:
    async with site() as here:

        async def flap() -> None:
            for turn in range(60):
                machine = here.machines["abc"[turn % 3]]
                fail(machine)
                await anyio.sleep(0.37)
                recover(machine)
                await anyio.sleep(0.11 * (turn % 5))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flap)
            assert await here.outage(60) == 0
        assert len(here.holders()) == 1
        assert here.longest_overlap() < HANDOVER
        assert now() < 100


@virtual
async def test_the_word_of_a_last_resort_is_taken_back_when_it_is_fit() -> None:
    async with site("a") as here:
        fail(here.holder)
        await anyio.sleep(5)
        assert Word.of(here.leases.record(LEASE)).unfit == "it fails"
        recover(here.holder)
        await anyio.sleep(1.5)
        assert Word.of(here.leases.record(LEASE)).unfit == ""


def beating(*names: str) -> contextlib.AbstractAsyncContextManager[Site]:
    """Run machines that send heartbeats."""
    return running(names, wants={VIP: LEASE}, heartbeat=0.05)


async def taken(here: Site, bound: float) -> float:
    """Kill the holder with its machine; return after how many seconds another one has the Lease."""
    old = here.holder
    here.segment.cut_off(old.node)
    here.lines[old.node].cut()
    began = now()
    await until(lambda: here.leases.holder(LEASE) != old.node, bound)
    return now() - began


@virtual
async def test_with_heartbeats_a_fit_node_takes_over_fast_though_an_unfit_one_is_first() -> None:
    async with beating("a", "b", "c", "d") as here:
        others = [machine for machine in here.machines.values() if machine is not here.holder]
        for machine in others[:-1]:
            fail(machine)
        assert await taken(here, 3) < 0.6
        assert here.leases.holder(LEASE) == others[-1].node


@virtual
async def test_with_heartbeats_unfit_nodes_take_over_when_no_fit_one_has() -> None:
    async with beating("a", "b", "c") as here:
        for machine in here.machines.values():
            if machine is not here.holder:
                fail(machine)
        assert 2 < await taken(here, 5) < 3.5


@virtual
async def test_a_short_loss_of_the_link_that_the_api_is_reached_by_moves_nothing() -> None:
    async with site() as here:
        old = here.holder
        old.host.links.set_up("eth0", False)
        here.lines[old.node].cut()
        await anyio.sleep(1)
        here.lines[old.node].mend()
        old.host.links.set_up("eth0", True)
        assert await here.outage(10) < 0.1
        assert here.holder is old
        assert here.leases.record(LEASE).transitions == 0


@virtual
async def test_a_flapping_link_that_the_api_is_reached_by_moves_nothing() -> None:
    async with site() as here:
        old = here.holder
        for _ in range(3):
            old.host.links.set_up("eth0", False)
            here.lines[old.node].cut()
            await anyio.sleep(0.05)
            here.lines[old.node].mend()
            old.host.links.set_up("eth0", True)
            # Too short for an answer to the first question, long enough for the second.
            here.lines[old.node].latency = 0.3 - here.lines[old.node].latency
            await anyio.sleep(0.15)
        here.lines[old.node].latency = 0.005
        assert await here.outage(10) < 0.2
        assert here.holder is old


@virtual
async def test_a_check_that_fails_during_a_short_loss_of_the_link_moves_the_address_afterwards() -> None:
    async with site() as here:
        old = here.holder
        old.host.links.set_up("eth0", False)
        here.lines[old.node].cut()
        await anyio.sleep(0.5)
        fail(old)
        await anyio.sleep(0.5)
        here.lines[old.node].mend()
        old.host.links.set_up("eth0", True)
        await anyio.sleep(5)
        assert here.holder is not old
        assert here.longest_overlap() < HANDOVER


@virtual
async def test_a_handover_that_has_begun_is_not_called_off_when_a_link_comes_back() -> None:
    async with site() as here:
        old = here.holder
        here.lines[old.node].cut()
        fail(old)
        await anyio.sleep(0.3)
        old.host.links.set_up("eth0", False)
        await anyio.sleep(0.1)
        old.host.links.set_up("eth0", True)
        recover(old)
        here.lines[old.node].mend()
        await anyio.sleep(10)
        holder = here.holder
        assert holder.keeper.term_of(VIP) is not None
        assert here.client.reach(VIP.address) == holder.node
        assert here.longest_overlap() < HANDOVER


@virtual
async def test_one_that_is_about_to_hand_over_claims_nothing_any_more() -> None:
    async with site() as here:
        old = here.holder
        here.lines[old.node].latency = 0.3
        here.lines[old.node].chance = lambda: 1.0
        assert old.keeper.may_announce(VIP)
        fail(old)
        await anyio.sleep(0.001)
        # The release has been sent: a successor may be there before the answer is.
        assert old.leads(LEASE)
        assert not old.keeper.may_announce(VIP)
        assert await here.outage(5) == 0
        assert here.holder is not old
