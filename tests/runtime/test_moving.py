"""An address that goes from one Lease to another: without a break where this node leads both."""

import anyio

from kubevip.election import Cause, Standing
from kubevip.testing import FakeHost, Segment, virtual
from tests.runtime.keeping import ASKED, LEASE, OTHER_LEASE, TIMING, VIP, VIP2, keeping


@virtual
async def test_who_leads_both_goes_on_holding_it_by_the_new_one(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        a.lead(lease=OTHER_LEASE)
        await anyio.sleep(ASKED)
        a.keeper.want(VIP, OTHER_LEASE)
        a.follow(lease=LEASE)
        await anyio.sleep(ASKED)
        assert a.present == {VIP}
        assert a.verbs(VIP).count("withdraw") == 0
        a.follow(lease=OTHER_LEASE)
        await anyio.sleep(ASKED)
        assert a.present == frozenset()


@virtual
async def test_the_kernel_gets_the_lifetime_of_the_new_lease(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(5)
        a.lead(lease=OTHER_LEASE)
        before = a.host.addresses.ends(VIP)
        a.keeper.want(VIP, OTHER_LEASE)
        await anyio.sleep(ASKED)
        assert a.host.addresses.ends(VIP) > before


@virtual
async def test_who_leads_only_the_old_one_lets_go(segment: Segment) -> None:
    async with keeping(segment, VIP) as a:
        a.lead()
        await anyio.sleep(ASKED)
        a.keeper.want(VIP, OTHER_LEASE)
        await anyio.sleep(ASKED)
        assert a.present == frozenset()


@virtual
async def test_a_lease_that_is_forgotten_may_be_led_anew(segment: Segment) -> None:
    async with keeping(segment) as a:
        a.keeper.expect_successor(LEASE)
        a.keeper.forget(LEASE)
        a.keeper.want(VIP, LEASE)
        a.lead()
        await anyio.sleep(ASKED)
        assert a.present == {VIP}


@virtual
async def test_a_strange_address_is_asked_for_though_nobody_holds_its_lease(segment: Segment) -> None:
    other = FakeHost("b", segment)
    async with keeping(segment, VIP, VIP2) as a:
        await other.addresses.put([(VIP, 60)], not_after=anyio.current_time() + 1)
        a.keeper.campaigning(LEASE, Cause.VACANT, strange=(VIP,))
        a.lead(cause=None)
        await anyio.sleep(TIMING.retry_period)
        assert a.present == {VIP2}
        assert [conflict.vip for _time, conflict in a.conflicts] == [VIP]


@virtual
async def test_without_being_strange_it_is_taken_from_its_departing_holder(segment: Segment) -> None:
    other = FakeHost("b", segment)
    async with keeping(segment, VIP) as a:
        await other.addresses.put([(VIP, 60)], not_after=anyio.current_time() + 1)
        a.lead()
        await anyio.sleep(ASKED)
        assert a.present == {VIP}
        assert a.keeper.leads(LEASE)
        a.follow(Standing.VACANT)
        assert not a.keeper.leads(LEASE)
