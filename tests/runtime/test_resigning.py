"""Whole machines that verify their takeovers: a dead uplink loses the Lease, a dead gateway upsets nobody."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator

import anyio
import pytest

from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, Segment, virtual
from tests.runtime.machine import Machine
from tests.runtime.sites import HANDOVER, LEASE, TIMING, VIP, VIP6, Site, now

GATEWAYS = (ipaddress.ip_address("10.0.0.250"), ipaddress.ip_address("fd00::250"))


@contextlib.asynccontextmanager
async def site(names: str, *, dead: str = "", gateway: bool = True) -> AsyncIterator[Site]:
    """Run machines of which the first one begins a second earlier; the uplinks of *dead* ones carry nothing."""
    segment, leases = Segment(), MemoryLeases()
    made = Site(segment, leases, FakeHost("client", segment))
    machine = FakeHost("gateway", segment)
    if gateway:
        machine.links.address("eth0", "10.0.0.250/24", "fd00::250/64")
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            made.lines[name] = line = FaultyLeases(leases, latency=0.005)
            made.machines[name] = each = Machine(
                name, segment, line, dict.fromkeys((VIP, VIP6), LEASE), timing=TIMING, gateways=GATEWAYS
            )
            if name in dead:
                segment.unplug(each.host)
            await stack.enter_async_context(each)
            await anyio.sleep(1)
        yield made


def verified(machine: Machine) -> list[bool | None]:
    assert machine.verifier is not None
    return [each.verified for each in machine.verifier.statistics().trials]


@pytest.mark.parametrize("seconds", [3600])
@virtual
async def test_whoever_is_answered_keeps_the_lease(seconds: float) -> None:
    async with site("abc") as here:
        await anyio.sleep(seconds)
        assert here.holders() == ["a"]
        assert verified(here.machines["a"]) == [True, True]
        assert here.leases.holder(LEASE) == "a"


@virtual
async def test_a_node_with_a_dead_uplink_does_not_keep_the_address() -> None:
    async with site("ab", dead="a") as here:
        assert here.holders() == ["a"]
        await anyio.sleep(20)
        assert here.leases.holder(LEASE) == "b"
        assert here.holders() == ["b"]
        assert verified(here.machines["b"]) == [True, True]
        assert here.client.reach(VIP.address) == "b"


@virtual
async def test_after_a_dead_uplink_the_lease_stays_where_it_works() -> None:
    async with site("ab", dead="a") as here:
        await anyio.sleep(20)
        for _minute in range(60):
            await anyio.sleep(60)
            assert here.leases.holder(LEASE) == "b"


@virtual
async def test_the_only_node_takes_its_lease_back_before_the_address_is_gone() -> None:
    async with site("a", gateway=False) as here:
        assert await here.outage(60) == 0
        assert here.leases.holder(LEASE) == "a"
        assert here.machines["a"].verifier.statistics().resignations == {LEASE: 1}
        assert len(here.machines["a"].tenures()) == 2


@virtual
async def test_where_nobody_can_verify_there_is_one_holder_that_is_reached_and_seldom_another() -> None:
    async with site("abc", gateway=False) as here:
        lost, changes, holder = 0.0, 0, here.leases.holder(LEASE)
        for _step in range(20 * 3600):
            lost += 0.0 if here.client.reach(VIP.address) else 0.05
            assert len(here.holders()) <= 2
            if here.leases.holder(LEASE) not in ("", holder):
                changes, holder = changes + 1, here.leases.holder(LEASE)
            await anyio.sleep(0.05)
        assert here.longest_overlap() < HANDOVER
        assert lost == 0
        assert changes <= 20
        # Of the next hour hardly anything is left.
        start = changes
        for _minute in range(360):
            if here.leases.holder(LEASE) not in ("", holder):
                changes, holder = changes + 1, here.leases.holder(LEASE)
            await anyio.sleep(10)
        assert changes - start <= 6


@virtual
async def test_a_gateway_that_comes_back_ends_the_doubts() -> None:
    async with site("ab", gateway=False) as here:
        await anyio.sleep(100)
        gateway = next(station for station, _ in here.segment._ports if station.node == "gateway")
        gateway.links.address("eth0", "10.0.0.250/24", "fd00::250/64")
        await anyio.sleep(40)
        holder = here.leases.holder(LEASE)
        assert verified(here.machines[holder]) == [True, True]
        await anyio.sleep(3600)
        assert here.leases.holder(LEASE) == holder


@virtual
async def test_an_api_server_that_is_silent_while_the_lease_is_given_up_makes_no_second_holder() -> None:
    async with site("ab", dead="a") as here:
        await anyio.sleep(7)
        here.lines["a"].cut()
        start = now()
        while now() < start + 30:
            assert len(here.holders()) <= 1
            await anyio.sleep(0.01)
        assert here.leases.holder(LEASE) == "b"
        here.lines["a"].mend()
        await anyio.sleep(30)
        assert here.leases.holder(LEASE) == "b"
        assert here.longest_overlap() < HANDOVER
