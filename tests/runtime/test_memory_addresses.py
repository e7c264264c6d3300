"""The fake kernel's addresses: lifetimes, removals, refusals."""

import asyncio
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from kubevip.errors import LinkNotFound, NetworkError
from kubevip.model import IPAddress, Vip
from kubevip.testing import FakeHost, MemoryAddresses, Process, virtual
from kubevip.testing.addresses import LATEST

VIP = Vip.parse("10.0.0.99", interface="eth0")
VIP6 = Vip.parse("fd00::99", interface="eth0")
Plug = Callable[[str], FakeHost]
FOREVER = float("inf")


@pytest.fixture
def addresses(plug: Plug) -> MemoryAddresses:
    return plug("a").addresses


@virtual
async def test_an_address_is_removed_late_and_never_early(addresses: MemoryAddresses) -> None:
    await addresses.put([(VIP, 5)], not_after=FOREVER)
    await anyio.sleep(5 + LATEST - 0.01)
    assert addresses.present() == {VIP}
    await anyio.sleep(0.02)
    assert addresses.present() == frozenset()


@virtual
async def test_its_lateness_is_asked_for_each_time(addresses: MemoryAddresses) -> None:
    late = iter([0.0, 0.5])
    addresses.late = lambda: next(late)
    await addresses.put([(VIP, 1), (VIP6, 1)], not_after=FOREVER)
    await anyio.sleep(1.01)
    assert addresses.present() == {VIP6}


@virtual
async def test_putting_it_again_extends_it(addresses: MemoryAddresses) -> None:
    await addresses.put([(VIP, 5)], not_after=FOREVER)
    await anyio.sleep(4)
    await addresses.put([(VIP, 5)], not_after=FOREVER)
    await anyio.sleep(4)
    assert addresses.present() == {VIP}
    assert addresses.ends(VIP) == 9


@virtual
async def test_putting_it_again_may_shorten_it(addresses: MemoryAddresses) -> None:
    await addresses.put([(VIP, 50)], not_after=FOREVER)
    await addresses.put([(VIP, 1)], not_after=FOREVER)
    await anyio.sleep(3)
    assert addresses.present() == frozenset()


@virtual
async def test_every_removal_is_told(addresses: MemoryAddresses) -> None:
    told: list[tuple[IPAddress, str]] = []
    end = addresses.subscribe(lambda address, interface: told.append((address, interface)))
    await addresses.put([(VIP, 1)], not_after=FOREVER)
    await anyio.sleep(5)
    await addresses.put([(VIP, 9)], not_after=FOREVER)
    addresses.delete(VIP)
    await addresses.put([(VIP, 9)], not_after=FOREVER)
    await addresses.remove([VIP])
    await anyio.lowlevel.checkpoint()
    end()
    assert told == [(VIP.address, "eth0")] * 3
    assert [change.why for change in addresses.changes if not change.present] == ["expired", "deleted", "removed"]


@virtual
async def test_it_is_removed_in_time_while_its_process_is_stopped(addresses: MemoryAddresses) -> None:
    process = Process("p")

    async def main() -> None:
        await addresses.put([(VIP, 5)], not_after=FOREVER)
        await anyio.sleep(1000)

    async with asyncio.TaskGroup() as tasks:
        task = process.start(tasks, main)
        await anyio.sleep(1)
        process.stop()
        await anyio.sleep(10)
        assert addresses.changes[-1].time == 5 + LATEST
        process.bury()
        task.cancel()


@virtual
async def test_a_missing_link_fails_its_own_address_alone(addresses: MemoryAddresses) -> None:
    elsewhere = Vip.parse("10.0.0.98", interface="eth9")
    failed = await addresses.put([(elsewhere, 5), (VIP, 5)], not_after=FOREVER)
    assert isinstance(failed[elsewhere], LinkNotFound)
    assert addresses.present() == {VIP}


@virtual
async def test_what_comes_too_late_is_not_put(addresses: MemoryAddresses) -> None:
    addresses.delay = 2
    failed = await addresses.put([(VIP, 5)], not_after=1)
    assert "too late" in str(failed[VIP])
    assert addresses.present() == frozenset()


@virtual
async def test_it_fails_as_it_is_told(addresses: MemoryAddresses) -> None:
    addresses.failure = lambda verb, vip: NetworkError(f"no {verb}") if vip == VIP else None
    assert str((await addresses.put([(VIP, 5), (VIP6, 5)], not_after=FOREVER))[VIP]) == "no put"
    assert str((await addresses.remove([VIP, VIP6]))[VIP]) == "no remove"
    assert addresses.present() == frozenset()


@virtual
async def test_removing_what_is_not_there_is_no_error(addresses: MemoryAddresses) -> None:
    assert await addresses.remove([VIP, Vip.parse("10.0.0.98", interface="eth9")]) == {}


@virtual
async def test_a_request_comes_to_its_end_though_the_caller_is_cancelled(addresses: MemoryAddresses) -> None:
    addresses.delay = 1
    with anyio.move_on_after(0.5):
        await addresses.put([(VIP, 5)], not_after=FOREVER)
    assert addresses.present() == {VIP}


@virtual
async def test_a_link_that_goes_down_loses_its_ipv6_addresses(plug: Plug) -> None:
    host = plug("a")
    await host.addresses.put([(VIP, 50), (VIP6, 50)], not_after=FOREVER)
    host.links.set_up("eth0", False)
    assert host.addresses.present() == {VIP}


@virtual
async def test_a_link_that_goes_away_loses_all(plug: Plug) -> None:
    host = plug("a")
    await host.addresses.put([(VIP, 50), (VIP6, 50)], not_after=FOREVER)
    host.links.remove("eth0")
    assert host.addresses.present() == frozenset()


@virtual
async def test_a_renamed_link_keeps_them(plug: Plug) -> None:
    host = plug("a")
    await host.addresses.put([(VIP, 50)], not_after=FOREVER)
    host.links.rename("eth0", "lan0")
    assert host.answers_for(VIP.address)


@virtual
async def test_ours_and_the_nodes_own_are_found_and_told_apart(plug: Plug) -> None:
    host = plug("a")
    await host.addresses.put([(VIP, 50)], not_after=FOREVER)
    own = host.links.networks()["eth0"][0].ip
    found = {presence.vip.address: presence for presence in await host.addresses.find([VIP.address, own])}
    assert (found[VIP.address].ours, found[VIP.address].permanent) == (True, False)
    assert (found[own].ours, found[own].permanent, found[own].preferred) == (False, True, True)
