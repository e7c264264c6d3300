"""The keeper: what is held when, and in which order."""

import anyio
import attrs
import pytest

from kubevip import fence
from kubevip.election import Cause, Standing
from kubevip.errors import NetworkError
from kubevip.model import Vip
from kubevip.testing import Segment, virtual
from tests.runtime.keeping import ASKED, LEASE, OTHER_LEASE, TIMING, VIP, VIP2, VIP6, keeping, now


@virtual
async def test_what_is_wanted_is_held_while_its_lease_is_ours(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP6) as a:
        await anyio.sleep(1)
        assert a.present == frozenset()
        a.lead()
        await anyio.sleep(ASKED)
        assert a.present == {VIP, VIP6}
        a.follow()
        await anyio.sleep(ASKED)
        assert a.present == frozenset()


@virtual
async def test_the_address_is_on_the_link_before_it_is_announced(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        assert a.calls[0] == ("announce", VIP, True)


@virtual
async def test_it_is_withdrawn_before_it_is_removed(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        a.follow()
        await anyio.sleep(ASKED)
        assert a.calls[-1] == ("withdraw", VIP, True)
        assert a.present == frozenset()


@virtual
async def test_its_lifetime_is_the_longest_that_the_fence_allows(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        assert a.host.addresses.ends(VIP) == fence.lifetime(TIMING.duration)


@virtual
async def test_each_renewal_extends_the_lifetime_without_a_new_announcement(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(9)
        before = a.host.addresses.ends(VIP)
        announcements = len(a.calls)
        a.renew()
        await anyio.sleep(0.001)
        assert a.host.addresses.ends(VIP) == before + 9
        assert len(a.calls) == announcements
        await anyio.sleep(9)
        assert a.present == {VIP}


@virtual
async def test_it_is_removed_at_the_deadline_though_nobody_tells(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(TIMING.renew_deadline - 0.01)
        assert a.present == {VIP}
        await anyio.sleep(0.02)
        assert a.present == frozenset()


@virtual
async def test_nothing_is_put_by_a_term_that_has_ended(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await anyio.sleep(20)
        a.lead(asked=0)
        await anyio.sleep(1)
        assert a.host.addresses.changes == []


@virtual
async def test_an_address_that_somebody_deletes_is_put_back_and_announced(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        announcements = len(a.calls)
        a.host.addresses.delete(VIP)
        await anyio.sleep(0.001)
        assert a.present == {VIP}
        assert a.calls[announcements:] == [("announce", VIP, True)]
        assert a.keeper.statistics().healed == 1


@virtual
async def test_an_address_that_goes_when_it_is_not_ours_any_more_is_not_put_back(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(1)
        a.release()
        a.host.addresses.delete(VIP)
        await anyio.sleep(1)
        assert a.present == frozenset()
        assert a.keeper.statistics().healed == 0


@virtual
async def test_a_link_that_comes_up_again_is_announced_on_at_once(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP6) as a:
        a.lead()
        await anyio.sleep(5)
        a.host.links.set_up("eth0", False)
        await anyio.sleep(1)
        assert a.keeper.statistics().announced == 0
        a.renew()
        calls = len(a.calls)
        a.host.links.set_up("eth0", True)
        await anyio.sleep(0.001)
        assert a.present == {VIP, VIP6}
        assert {vip for verb, vip, _present in a.calls[calls:] if verb == "announce"} == {VIP, VIP6}
        assert a.keeper.statistics().announced == 2


@virtual
async def test_a_link_that_appears_later_is_used_when_it_does(segment: Segment) -> None:
    vip = Vip.parse("10.0.0.99", interface="eth1")
    async with keeping(segment, vip) as a:
        a.lead()
        await anyio.sleep(5)
        assert "there is no interface 'eth1'" in a.keeper.statistics().failing[vip]
        a.host.links.add("eth1")
        await anyio.sleep(0.001)
        assert a.present == {vip}
        assert a.keeper.statistics().failing == {}


@virtual
async def test_an_error_of_one_vip_does_not_stop_another(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        a.host.addresses.failure = lambda _verb, vip: NetworkError("no room") if vip == VIP else None
        a.lead()
        await anyio.sleep(ASKED)
        assert a.present == {VIP2}
        assert a.keeper.statistics().failing == {VIP: "no room"}
        assert a.failing == [(pytest.approx(0, abs=ASKED), VIP, "no room")]


@virtual
async def test_what_failed_is_tried_again_later_and_later_and_told_once(segment: Segment) -> None:
    asked: list[float] = []

    def failure(_verb: str, _vip: Vip) -> NetworkError:
        asked.append(now())
        return NetworkError("no room")

    async with keeping(segment, VIP) as a:
        a.host.addresses.failure = failure
        a.lead()
        for _renewal in range(9):
            await anyio.sleep(1)
        assert asked == pytest.approx([0, 0.5, 1.5, 3.5, 7.5], abs=ASKED)
        assert len(a.failing) == 1
        a.host.addresses.failure = lambda _verb, _vip: None
        a.renew()
        await anyio.sleep(ASKED)
        assert a.present == {VIP}
        assert a.keeper.statistics().failing == {}


@virtual
async def test_a_backend_that_fails_is_called_again_and_the_address_stays(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        a.backends[VIP.family].errors[VIP] = RuntimeError("the plugin is ill")
        a.lead()
        await anyio.sleep(2)
        assert a.present == {VIP, VIP2}
        assert (a.announced(VIP), a.announced(VIP2)) == (False, True)
        assert a.keeper.statistics().failing == {VIP: "the plugin is ill"}
        a.backends[VIP.family].errors.clear()
        await anyio.sleep(2)
        assert a.announced(VIP)
        assert a.keeper.statistics().failing == {}


@virtual
async def test_an_address_that_cannot_be_removed_is_tried_again(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(1)
        a.host.addresses.failure = lambda verb, _vip: NetworkError("busy") if verb == "remove" else None
        a.follow()
        await anyio.sleep(0.1)
        assert a.keeper.statistics().failing == {VIP: "busy"}
        a.host.addresses.failure = lambda _verb, _vip: None
        await anyio.sleep(1)
        assert a.present == frozenset()
        assert a.keeper.statistics().failing == {}


@virtual
async def test_what_failed_is_forgotten_when_it_is_not_wanted_any_more(segment: Segment) -> None:
    missing = Vip.parse("10.0.0.99", interface="eth9")
    async with keeping(segment, missing) as a:
        a.lead()
        await anyio.sleep(1)
        assert missing in a.keeper.statistics().failing
        a.keeper.unwant(missing)
        await anyio.sleep(0.001)
        assert a.keeper.statistics().failing == {}


@virtual
async def test_what_failed_is_forgotten_when_the_lease_is_lost(segment: Segment) -> None:
    missing = Vip.parse("10.0.0.99", interface="eth9")
    async with keeping(segment, missing) as a:
        a.lead()
        await anyio.sleep(1)
        a.follow()
        await anyio.sleep(60)
        assert a.keeper.statistics().failing == {}


@virtual
async def test_the_nodes_own_address_is_refused_and_left_alone(segment: Segment) -> None:
    own = Vip.parse("10.0.0.11", interface="eth0")
    async with keeping(segment, own, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        assert a.present == {VIP}
        assert "10.0.0.11 is this node's own address on eth0" in a.keeper.statistics().failing[own]
        a.follow()
        await anyio.sleep(1)
        assert a.host.links.own(own.address) == "eth0"


@virtual
async def test_what_is_not_wanted_any_more_is_removed_at_once(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        a.lead()
        await anyio.sleep(1)
        a.keeper.unwant(VIP)
        await anyio.sleep(0.001)
        assert a.present == {VIP2}
        assert a.verbs(VIP)[-1] == "withdraw"


@virtual
async def test_what_is_wanted_while_we_lead_is_held_soon(segment: Segment) -> None:
    async with keeping(segment) as a:
        a.lead()
        await anyio.sleep(1)
        a.keeper.want(VIP, LEASE)
        await anyio.sleep(ASKED)
        assert a.announced(VIP)
        assert "probe" in a.verbs(VIP)


@virtual
async def test_wanting_and_unwanting_what_is_so_already_does_nothing(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        calls = list(a.calls)
        a.keeper.want(VIP, LEASE)
        a.keeper.unwant(VIP2)
        await anyio.sleep(0.01)
        assert a.calls == calls


@virtual
async def test_two_leases_are_independent(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.keeper.want(VIP2, OTHER_LEASE)
        a.lead()
        a.lead(lease=OTHER_LEASE)
        await anyio.sleep(ASKED)
        assert a.present == {VIP, VIP2}
        a.follow()
        await anyio.sleep(ASKED)
        assert a.present == {VIP2}
        a.renew(OTHER_LEASE)
        await anyio.sleep(9)
        assert a.present == {VIP2}


@virtual
async def test_a_deadline_of_one_lease_leaves_the_other(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.keeper.want(VIP2, OTHER_LEASE)
        a.lead()
        a.lead(lease=OTHER_LEASE)
        await anyio.sleep(5)
        a.renew(OTHER_LEASE)
        await anyio.sleep(5.1)
        assert a.present == {VIP2}


@virtual
async def test_each_change_is_told_and_true(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        a.follow()
        await anyio.sleep(ASKED)
        assert [(vip, announced) for _time, vip, announced in a.changed] == [(VIP, True), (VIP, False)]


@virtual
async def test_statistics_count(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        assert a.keeper.statistics().wanted == 0
        a.lead()
        await anyio.sleep(ASKED)
        known = a.keeper.statistics()
        assert (known.wanted, known.held, known.announced, known.lingering) == (2, 2, 2, 0)
        a.host.addresses.delay = 5
        a.follow()
        await anyio.sleep(2)
        assert a.keeper.statistics().busy == pytest.approx(2, abs=0.1)


@virtual
async def test_the_pacing_addresses_are_set_before_each_beat_while_something_is_held(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await anyio.sleep(5)
        assert a.host.addresses.pacings == []
        a.lead()
        await anyio.sleep(6)
        pacings = a.host.addresses.pacings
        assert [pacing.time for pacing in pacings] == pytest.approx([6 - fence.PACE_LEAD, 8 - fence.PACE_LEAD, 9.46])
        assert {pacing.families for pacing in pacings} == {frozenset({VIP.family})}
        assert [pacing.turn for pacing in pacings] in ([0, 1, 0], [1, 0, 1])


@virtual
async def test_dropping_all_removes_at_once_and_whoever_waits_for_it_goes_on(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP6, running=False) as a:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            a.lead()
            await anyio.sleep(ASKED)
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.wait_released)
            await a.keeper.drop_all()
        assert a.present == frozenset()


@virtual
async def test_a_kernel_that_stood_still_for_longer_than_a_lease_is_used_again(segment: Segment) -> None:
    # A virtual machine that was suspended while it waited for its kernel has seen the same.
    async with keeping(segment, VIP) as a:
        a.host.addresses.delay = 20
        a.lead()
        await anyio.sleep(1)
        a.host.addresses.delay = 0
        await anyio.sleep(20)
        assert a.present == frozenset()
        a.lead()
        await anyio.sleep(1)
        assert a.announced(VIP)


@virtual
async def test_an_unknown_standing_changes_nothing(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(1)
        a.follow(Standing.UNKNOWN)
        await anyio.sleep(1)
        assert a.announced(VIP)


@virtual
async def test_a_restarted_process_keeps_an_address_that_is_still_there(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await a.host.addresses.put([(VIP, 10)], not_after=60)
        a.lead(cause=Cause.OURS)
        await anyio.sleep(ASKED)
        assert "probe" not in a.verbs(VIP)
        assert a.announced(VIP)
        assert [change.present for change in a.host.addresses.changes] == [True]


@virtual
async def test_a_restarted_process_that_gives_up_at_once_leaves_nothing_behind(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        await a.host.addresses.put([(VIP, 10)], not_after=60)
        a.lead(cause=Cause.OURS)
        a.keeper.expect_successor(LEASE)
        await anyio.sleep(1)
        a.follow(Standing.VACANT)
        await anyio.sleep(ASKED)
        assert a.present == frozenset()


@virtual
async def test_a_vip_that_moves_to_another_interface_moves(segment: Segment) -> None:
    elsewhere = attrs.evolve(VIP, interface="eth1")
    async with keeping(segment, VIP) as a:
        a.host.links.add("eth1")
        a.lead()
        await anyio.sleep(1)
        a.keeper.unwant(VIP)
        a.keeper.want(elsewhere, LEASE)
        await anyio.sleep(ASKED)
        assert a.present == {elsewhere}
