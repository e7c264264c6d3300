"""``kubevip.hold()`` on fakes: everything but the kernel is real."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace

import anyio
import pytest

from kubevip.errors import ConfigError, LeadershipLost, LinkNotFound
from kubevip.holder import hold
from kubevip.lease import Record, Timing
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.registry import Registry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import shielded
from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, Segment, virtual

LEASE = LeaseKey("default", "mine")
VIP = Vip.parse("10.0.0.99", interface="eth0")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
Hold = Callable[..., AbstractAsyncContextManager[Term]]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, segment: Segment) -> dict[str, FakeHost]:
    """Let ``hold()`` work on simulated machines, by the identity that it campaigns with."""
    made: dict[str, FakeHost] = {}

    @asynccontextmanager
    async def holding(
        node: str, *, timing: Timing, linger: float, backends: Mapping[Family, str], settings: Mapping[str, str]
    ) -> AsyncIterator[SimpleNamespace]:
        host = made.setdefault(node, FakeHost(node, segment, settings))
        announcers = {}
        for family, name in backends.items():
            backend = Registry()[name](host)
            announcers[family] = Announcer(name, backend, backend.cadence)
        keeper = Keeper(host.addresses, host.links, announcers, timing, linger)
        keeping = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shielded, keeping, keeper.run)
            try:
                yield SimpleNamespace(keeper=keeper, links=host.links)
            finally:
                keeping.cancel()
                with anyio.CancelScope(shield=True):
                    await keeper.drop_all()

    monkeypatch.setattr("kubevip.holder.holding", holding)
    return made


@pytest.fixture
def hold_as(hosts: dict[str, FakeHost], leases: MemoryLeases) -> Hold:
    def hold_on(identity: str, address: str = "10.0.0.99", **how: object) -> AbstractAsyncContextManager[Term]:
        how = {"interface": "eth0", "lease": "default/mine", "timing": TIMING, "store": leases} | how
        return hold(address, identity=identity, **how)

    return hold_on


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("address", ["10.0.0.99", "10.0.0.99/32", "fd00::99"])
@virtual
async def test_in_the_block_the_address_is_ours_and_afterwards_not(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases, address: str
) -> None:
    vip = Vip.parse(address, interface="eth0")
    async with hold_as("a", address) as term:
        assert leases.holder(LEASE) == "a"
        assert hosts["a"].addresses.present() == {vip}
        assert hosts["a"].segment.sent[-1].interface == "eth0"
        assert (term.holder, term.lease) == ("a", LEASE)
    assert leases.holder(LEASE) == ""
    assert hosts["a"].addresses.present() == frozenset()


@virtual
async def test_it_is_held_for_as_long_as_the_block_takes(hold_as: Hold, hosts: dict[str, FakeHost]) -> None:
    async with hold_as("a"):
        await anyio.sleep(3600)
        assert hosts["a"].addresses.present() == {VIP}


@virtual
async def test_the_next_one_enters_when_the_first_one_leaves_and_its_token_is_higher(
    hold_as: Hold, hosts: dict[str, FakeHost]
) -> None:
    tokens: list[tuple[str, int, float]] = []

    async def take(name: str) -> None:
        async with hold_as(name) as term:
            tokens.append((name, term.token, now()))
            await anyio.sleep(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, "a")
        await anyio.sleep(1)
        tasks.start_soon(take, "b")
    (_a, first, _entered), (_b, second, entered) = tokens
    assert first < second
    assert entered == pytest.approx(10, abs=0.1)


@virtual
async def test_the_block_is_cancelled_when_another_one_leads_and_the_loss_is_told(
    hold_as: Hold, leases: MemoryLeases
) -> None:
    cancelled_at = []

    async def work() -> None:
        async with hold_as("a"):
            try:
                await anyio.sleep_forever()
            finally:
                cancelled_at.append(now())

    async with anyio.create_task_group() as tasks:

        async def expect_loss() -> None:
            with pytest.raises(LeadershipLost, match=r"10\.0\.0\.99 is not ours any more: another node leads"):
                await work()

        tasks.start_soon(expect_loss)
        await anyio.sleep(7.5)
        leases.put(LEASE, Record("b", 5, 9))
    assert cancelled_at == [pytest.approx(7.5, abs=0.001)]


@virtual
async def test_the_block_is_cancelled_at_the_deadline_when_the_store_is_silent(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases
) -> None:
    line = FaultyLeases(leases)

    async def work() -> None:
        async with hold_as("a", store=line):
            await anyio.sleep(7.5)
            line.cut()
            await anyio.sleep_forever()

    with pytest.raises(LeadershipLost):
        await work()
    assert now() <= 7.5 + TIMING.renew_deadline + 4.1
    assert hosts["a"].addresses.changes[-1].time <= 7.5 + TIMING.renew_deadline


@virtual
async def test_what_the_block_does_with_the_address_ends_before_the_address_goes(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases
) -> None:
    present_at_the_end = []

    async def work() -> None:
        async with hold_as("a"):
            try:
                await anyio.sleep(1)
                leases.put(LEASE, Record("b", 5, 9))
                await anyio.sleep_forever()
            finally:
                present_at_the_end.append(hosts["a"].addresses.present())

    with pytest.raises(LeadershipLost):
        await work()
    assert present_at_the_end == [{VIP}]


@virtual
async def test_an_error_of_the_block_comes_through_as_it_is_and_the_lease_is_released(
    hold_as: Hold, leases: MemoryLeases
) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with hold_as("a"):
            raise ValueError("mine")
    assert leases.holder(LEASE) == ""


@virtual
async def test_a_caller_who_gives_up_waiting_leaves_no_trace(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases
) -> None:
    leases.put(LEASE, Record("b", 1000, 0))
    with anyio.move_on_after(20) as scope:
        async with hold_as("a"):
            pytest.fail("somebody else leads")
    assert scope.cancelled_caught
    assert now() == pytest.approx(20, abs=0.1)
    assert leases.holder(LEASE) == "b"
    assert hosts["a"].addresses.changes == []


@virtual
async def test_a_caller_who_gives_up_in_the_block_releases_the_lease(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases
) -> None:
    with anyio.move_on_after(20):
        async with hold_as("a"):
            await anyio.sleep_forever()
    assert leases.holder(LEASE) == ""
    assert hosts["a"].addresses.present() == frozenset()


@virtual
async def test_leaving_is_bounded_though_the_store_is_silent(
    hold_as: Hold, hosts: dict[str, FakeHost], leases: MemoryLeases
) -> None:
    line = FaultyLeases(leases)
    async with hold_as("a", store=line, linger=2.0):
        line.cut()
        left = now()
    assert now() - left <= 3.1
    assert hosts["a"].addresses.present() == frozenset()


@virtual
async def test_after_a_loss_one_may_campaign_again(hold_as: Hold, leases: MemoryLeases) -> None:
    tokens = []

    async def work() -> None:
        async with hold_as("a") as term:
            tokens.append(term.token)
            if len(tokens) == 1:
                leases.put(LEASE, Record("b", 5, 9))
                await anyio.sleep_forever()

    with pytest.raises(LeadershipLost):
        await work()
    await work()
    assert tokens == [0, 10]


@virtual
async def test_a_missing_interface_is_told_before_anything_is_campaigned_for(
    hold_as: Hold, leases: MemoryLeases
) -> None:
    with pytest.raises(LinkNotFound, match="there is no interface 'eth9'"):
        async with hold_as("a", interface="eth9"):
            pytest.fail("there is no such interface")
    assert leases.written == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"address": "somewhere"}, "'somewhere' isn't an IP address"),
        ({"lease": "mine"}, "write namespace/name"),
        ({"address": "fd00::1", "backends": {Family.IPV4: "arp"}}, "no backend is given for fd00::1"),
    ],
)
@virtual
async def test_arguments_that_cannot_be_used_are_told(hold_as: Hold, how: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        async with hold_as("a", **how):
            pytest.fail("it can't be held")


@virtual
async def test_a_backend_reads_its_settings_from_the_environment(
    hold_as: Hold, hosts: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIP_COMMAND", "move-address")
    async with hold_as("a"):
        assert hosts["a"].settings["VIP_COMMAND"] == "move-address"
