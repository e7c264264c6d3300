"""Make before break: who is released stays until his successor is there, and not for ever."""

import anyio
import pytest
from kubevip_arp import ArpBackend
from kubevip_arp.packet import question
from kubevip_ndp import NdpBackend

from kubevip import fence
from kubevip.election import Standing
from kubevip.model import Vip
from kubevip.runtime.handover import SETTLE
from kubevip.testing import FakeHost, Segment, virtual
from tests.runtime.keeping import ASKED, LEASE, OTHER_LEASE, VIP, VIP2, VIP6, Keeping, keeping, now

both = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])
LINGER = 3.0


async def announce_elsewhere(segment: Segment, vip: Vip, node: str = "successor") -> FakeHost:
    """Let another machine take *vip* and announce it."""
    other = FakeHost(node, segment)
    await other.addresses.put([(vip, 60)], not_after=float("inf"))
    await (ArpBackend if vip.family == 4 else NdpBackend)(other).announce(vip)
    return other


def removed_at(a: Keeping, vip: Vip) -> float:
    return next(change.time for change in a.host.addresses.changes if change.vip == vip and not change.present)


@both
@virtual
async def test_it_stays_until_a_successor_announces_and_a_moment_longer(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip, linger=LINGER) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await anyio.sleep(1)
        assert a.present == {vip}
        await announce_elsewhere(segment, vip)
        await anyio.sleep(1)
        assert removed_at(a, vip) == pytest.approx(6 + SETTLE, abs=0.001)


@both
@virtual
async def test_without_a_successor_it_goes_at_the_bound(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip, linger=LINGER) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await anyio.sleep(10)
        assert removed_at(a, vip) == pytest.approx(5 + LINGER)


@both
@virtual
async def test_clients_never_lose_the_address(segment: Segment, vip: Vip) -> None:
    client = FakeHost("client", segment)
    async with keeping(segment, vip) as a:
        a.lead()
        await anyio.sleep(5)
        assert client.reach(vip.address) == "a"
        a.release()
        other: FakeHost | None = None
        for millisecond in range(1000):
            if millisecond == 200:
                other = await announce_elsewhere(segment, vip)
            assert client.reach(vip.address), f"lost after {millisecond} ms"
            await anyio.sleep(0.001)
        assert other is not None
        assert client.reach(vip.address) == "successor"


@virtual
async def test_it_is_not_announced_any_more_meanwhile(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(1.5)
        calls = list(a.calls)
        a.release()
        await anyio.sleep(2.9)
        assert a.calls == calls
        assert a.keeper.statistics().lingering == 1
        assert not a.announced(VIP)


@virtual
async def test_what_is_ours_again_is_announced_again_and_not_released(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await anyio.sleep(1)
        calls = len(a.calls)
        a.lead()
        await anyio.sleep(8)
        assert a.present == {VIP}
        assert a.calls[calls] == ("announce", VIP, True)
        assert [change.present for change in a.host.addresses.changes] == [True]


@virtual
async def test_a_successor_that_was_seen_before_the_answer_to_the_release_counts(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.keeper.expect_successor(LEASE)
        await announce_elsewhere(segment, VIP)
        await anyio.sleep(0.5)
        assert a.present == {VIP}
        a.follow(Standing.VACANT)
        await anyio.sleep(1)
        assert removed_at(a, VIP) == pytest.approx(5.5 + SETTLE, abs=0.001)


@virtual
async def test_a_successor_that_was_seen_counts_though_an_older_renewal_is_answered_after_it(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.keeper.expect_successor(LEASE)
        a.renew()
        await announce_elsewhere(segment, VIP)
        await anyio.sleep(0.5)
        a.renew()
        a.follow(Standing.VACANT)
        await anyio.sleep(1)
        assert removed_at(a, VIP) == pytest.approx(5.5 + SETTLE, abs=0.001)


@virtual
async def test_a_successor_that_is_known_before_the_answer_to_the_release_breaks_nothing(segment: Segment) -> None:
    # The watch may show the successor as the holder before our own release is answered.
    client = FakeHost("client", segment)
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        assert client.reach(VIP.address) == "a"
        a.keeper.expect_successor(LEASE)
        a.follow(Standing.FOLLOWING)
        await anyio.sleep(0.2)
        assert client.reach(VIP.address) == "a"
        await announce_elsewhere(segment, VIP)
        await anyio.sleep(0.5)
        assert client.reach(VIP.address) == "successor"
        assert a.present == frozenset()


@virtual
async def test_a_successor_that_campaigns_later_is_still_waited_for(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await anyio.sleep(0.5)
        a.follow(Standing.FOLLOWING)
        await anyio.sleep(0.5)
        assert a.present == {VIP}


@virtual
async def test_one_who_lost_his_lease_to_another_does_not_linger(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.follow(Standing.FOLLOWING)
        await anyio.sleep(0.001)
        assert a.present == frozenset()


@virtual
async def test_one_whose_deadline_passed_does_not_linger_though_he_expected_to_release(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.keeper.expect_successor(LEASE)
        a.follow(Standing.EXPIRED)
        await anyio.sleep(0.001)
        assert a.present == frozenset()
        assert a.keeper.statistics().lingering == 0


@virtual
async def test_each_address_goes_with_its_own_successor(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP2) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await announce_elsewhere(segment, VIP)
        await anyio.sleep(0.5)
        assert a.present == {VIP2}


@virtual
async def test_our_own_frames_are_no_successor(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await ArpBackend(a.host).announce(VIP)
        await anyio.sleep(1)
        assert a.present == {VIP}


@virtual
async def test_a_mere_question_is_no_successor(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        await ArpBackend(FakeHost("b", segment)).probe(VIP)
        await anyio.sleep(1)
        assert a.present == {VIP}


@virtual
async def test_an_answer_is_no_announcement_of_a_successor(segment: Segment) -> None:
    other = FakeHost("b", segment)
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        # Somebody who has the address already talks from it: that tells nobody else where it is.
        frame = bytearray(question(VIP.address, other.link("eth0").mac))
        frame[38:42] = b"\x0a\0\0\x01"
        other.send("eth0", bytes(frame))
        await anyio.sleep(1)
        assert a.present == {VIP}


@virtual
async def test_what_is_not_wanted_any_more_goes_at_once(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        a.keeper.unwant(VIP)
        await anyio.sleep(0.001)
        assert a.present == frozenset()


@virtual
async def test_another_lease_goes_on_meanwhile(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.keeper.want(VIP2, OTHER_LEASE)
        a.lead()
        a.lead(lease=OTHER_LEASE)
        await anyio.sleep(5)
        a.release()
        a.renew(OTHER_LEASE)
        await anyio.sleep(5)
        assert a.present == {VIP2}
        assert a.announced(VIP2)


@virtual
async def test_whoever_waits_for_the_release_goes_on_when_all_are_gone(segment: Segment) -> None:
    async with keeping(segment, VIP, VIP6) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        with anyio.fail_after(LINGER + ASKED):
            await a.keeper.wait_released()
        assert a.present == frozenset()


@virtual
async def test_the_kernel_ends_it_though_the_process_dies_while_it_lingers(segment: Segment) -> None:
    async with keeping(segment, VIP, linger=1000, running=False) as a:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.keeper.run)
            term = a.lead()
            await anyio.sleep(5)
            a.release()
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        await anyio.sleep(20)
        assert removed_at(a, VIP) <= term.expires


@both
@virtual
async def test_it_is_there_for_a_successor_nearly_until_its_lease_ends(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip, linger=1000) as a:
        asked = now()
        await anyio.sleep(0.9)
        term = a.lead(asked=asked)
        await anyio.sleep(1)
        a.release()
        await anyio.sleep(0.1)
        assert a.host.addresses.ends(vip) == pytest.approx(asked + 0.9 + 12)
        await anyio.sleep(9)
        assert a.host.addresses.ends(vip) == pytest.approx(term.expires - fence.LATEST_CHECK - fence.SLACK)


@virtual
async def test_a_release_that_takes_long_does_not_shorten_the_time_for_a_successor(segment: Segment) -> None:
    async with keeping(segment, VIP, linger=1000) as a:
        asked = now()
        await anyio.sleep(0.9)
        a.lead(asked=asked)
        await anyio.sleep(1)
        a.keeper.expect_successor(LEASE)
        await anyio.sleep(8)
        assert a.host.addresses.ends(VIP) > asked + 0.9 + 12


@virtual
async def test_what_was_deleted_while_it_waited_for_a_successor_is_not_put_back(segment: Segment) -> None:
    async with keeping(segment, VIP, linger=1000) as a:
        a.lead()
        await anyio.sleep(5)
        a.release()
        a.host.addresses.delete(VIP)
        await anyio.sleep(20)
        assert a.present == frozenset()
        assert len(a.host.addresses.changes) == 2


@both
@virtual
async def test_behind_a_link_that_is_down_it_goes_before_the_lease_does(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip, linger=LINGER) as a:
        a.lead()
        await anyio.sleep(5)
        a.host.links.set_up("eth0", False)
        await anyio.sleep(0.1)
        assert a.present == {vip}
        a.keeper.expect_successor(LEASE)
        await anyio.sleep(0.1)
        assert not a.present


@both
@virtual
async def test_what_a_killed_agent_held_goes_with_a_lease_that_is_given_up_at_once(segment: Segment, vip: Vip) -> None:
    async with keeping(segment, vip, linger=LINGER) as a:
        await a.host.addresses.put([(vip, 60)], not_after=float("inf"))
        a.keeper.expect_successor(LEASE)
        a.lead()
        a.follow(Standing.VACANT)
        # The Lease of a single Service is forgotten as soon as it has been released.
        a.keeper.forget(LEASE)
        await anyio.sleep(0.01)
        assert not a.present
