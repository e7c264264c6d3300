"""``--leader-elect=false``: several providers at work on the same Services, and still no address twice."""

import asyncio
import contextlib
import signal

import anyio
import pytest

from kubevip.emulator import Fault
from kubevip.provision.accounts import Accounts
from kubevip.provision.verdict import CLAIM
from kubevip.service import ADDRESSES
from tests.provider_system.objects import ACCOUNT, SECOND
from tests.waiting import until

ALL_WORK = "--leader-elect=false"
POOL = {"cidr_global": "10.0.0.0/16"}
WATCHES = {"verbs": ("watch",), "resources": ("services",)}
UPDATES = {"verbs": ("update",), "resources": ("services",)}


def names(count, what="web"):
    return [f"{what}{number}" for number in range(count)]


async def until_all_served(site, wanted, bound=20.0):
    await until(lambda: set(wanted) <= set(site.ledger.served), bound, f"all of {len(wanted)} served")


@contextlib.asynccontextmanager
async def providers(site, count=2):
    """Run providers that all work, the second one as another account."""
    await site.grant(SECOND)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(count):
            user = {"user": SECOND} if number else {}
            await stack.enter_async_context(site.provider(ALL_WORK, **user))
        yield


async def settled(site, name):
    return CLAIM not in (await site.service(name))["metadata"].get("annotations", {})


async def test_two_providers_serve_what_is_created_at_once(site):
    await site.configure(**POOL)
    count = 40 if site.is_real else 100
    async with providers(site):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.add_services, names(count)[::2])
            tasks.start_soon(site.add_services, names(count)[1::2])
        await until_all_served(site, names(count))
    site.ledger.check()


async def test_three_providers_with_one_address_give_it_once(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with providers(emulator, 3):
        await emulator.add_services(names(10))
        await until(lambda: emulator.ledger.served, 10)
        await anyio.sleep(0.4)
        assert len(emulator.ledger.served) == 1
        (first,) = emulator.ledger.served
        await emulator.delete(first)
        await until(lambda: emulator.ledger.served and first not in emulator.ledger.served, 10)
    emulator.ledger.check()


async def test_claims_go_when_their_services_are_served(emulator):
    await emulator.configure(**POOL)
    async with providers(emulator):
        await emulator.add_services(names(20))
        await until_all_served(emulator, names(20))
        for name in names(20):
            await until(lambda name=name: settled(emulator, name))


@pytest.mark.parametrize(
    "faults",
    [
        [{"action": "stale", "seconds": 0.3, **WATCHES}],
        [{"action": "stale", "seconds": 0.4, "users": (SECOND,), **WATCHES}],
        [{"action": "status", "status": 409, "probability": 0.5, **UPDATES}],
        [{"action": "lose-reply", "probability": 0.5, **UPDATES}, {"action": "stale", "seconds": 0.2, **WATCHES}],
        [{"action": "delay", "seconds": 0.2, "probability": 0.5, **UPDATES}],
        [{"action": "status", "status": 503, "probability": 0.3}],
    ],
    ids=["lag", "lag-of-one", "409", "lost-replies-and-lag", "delay", "503"],
)
async def test_two_providers_that_know_different_things_give_no_address_twice(emulator, faults, monkeypatch):
    monkeypatch.setattr("kubevip.runtime.retry.LONGEST", 1.0)
    # Small enough that both always want the same.
    await emulator.configure(range_global="10.0.0.1-10.0.0.30")
    async with providers(emulator):
        for fault in faults:
            emulator.fault(**fault)
        await emulator.add_services(names(24))
        await emulator.delete("web3")
        await anyio.sleep(0.6)
        emulator.clear_faults()
        await until_all_served(emulator, set(names(24)) - {"web3"})
    emulator.ledger.check()


async def test_history_that_is_forgotten_meanwhile_costs_nothing(emulator):
    """Who has to list doesn't learn who was first."""
    await emulator.configure(range_global="10.0.0.1-10.0.0.60")
    async with providers(emulator):
        emulator.fault("delay", seconds=0.05, **UPDATES)
        creating = asyncio.create_task(emulator.add_services(names(50)))
        for _ in range(8):
            await anyio.sleep(0.06)
            emulator.server.faults.add(Fault(action="expire"))
            emulator.fault("cut-streams", resources=("services",))
        await creating
        emulator.clear_faults()
        await until_all_served(emulator, names(50))
    emulator.ledger.check()


@contextlib.asynccontextmanager
async def both_claiming(site):
    """Let two claim the same address: the one for classless Services for ``b``, and then the other one for ``a``.

    That one doesn't see by its watch what the first one does.
    """
    await site.configure(**POOL)
    await site.grant(SECOND)
    theirs = (ALL_WORK, "--classless=false", "--load-balancer-classes=example.com/one")
    async with site.provider(*theirs), site.provider(ALL_WORK, user=SECOND):
        site.fault("delay", seconds=0.3, count=1, users=(ACCOUNT,), names=("a",), **UPDATES)
        await site.add_service("a", loadBalancerClass="example.com/one")
        await anyio.sleep(0.1)
        site.fault("stale", seconds=1.2, users=(ACCOUNT,), **WATCHES)
        await site.add_service("b")
        await site.wait_served("b", "10.0.0.1")
        yield


async def test_claim_that_is_read_ahead_of_the_watch_is_not_the_first_for_that(emulator):
    # So that the Service has to be read to learn that the claim was written.
    emulator.fault("lose-reply", count=1, users=(ACCOUNT,), names=("a",), **UPDATES)
    async with both_claiming(emulator):
        await emulator.wait_served("a", "10.0.0.2")
    emulator.ledger.check()


async def test_claim_that_a_list_shows_before_another_is_not_the_first_for_that(emulator):
    async with both_claiming(emulator):
        await until(lambda: emulator.ledger.versions("a") == 2)
        emulator.server.faults.add(Fault(action="expire"))
        emulator.fault("cut-streams", users=(ACCOUNT,), resources=("services",))
        await emulator.wait_served("a", "10.0.0.2")
    emulator.ledger.check()


async def test_users_take_addresses_while_providers_give_them(emulator):
    await emulator.configure(range_global="10.0.0.1-10.0.0.40")
    async with providers(emulator):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(emulator.add_services, names(20))
            for number in range(10):
                address = f"10.0.0.{25 + number}"
                await emulator.add_service(f"a{number}", annotations={ADDRESSES: address})
        await until_all_served(emulator, names(20) + names(10, "a"))
    assert {name: has for name, has in emulator.ledger.served.items() if name[0] == "a"} == {
        f"a{number}": f"10.0.0.{25 + number}" for number in range(10)
    }
    emulator.ledger.check()


async def test_user_who_takes_what_is_claimed_meanwhile_is_refused_or_has_it_alone(emulator):
    """The Service that is created says 10.0.0.1, and so did the claim of a provider that had not seen it."""
    await emulator.configure(range_global="10.0.0.1-10.0.0.9")
    async with providers(emulator):
        emulator.fault("stale", seconds=0.3, **WATCHES)
        await emulator.add_service("pooled")
        await anyio.sleep(0.25)
        await emulator.add_service("zz-static", annotations={ADDRESSES: "10.0.0.1"})
        await until_all_served(emulator, ["pooled"])
        await anyio.sleep(0.6)
        emulator.clear_faults()
        await emulator.add_service("last")
        await until_all_served(emulator, ["last"])
        found = await emulator.service("zz-static")
        has_it = "kubevip.io/assigned" in found["metadata"]["annotations"]
        assert has_it != (emulator.ledger.served["pooled"] == "10.0.0.1")


async def test_conflict_with_the_last_write_strands_no_service_in_a_pool_of_one(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider(ALL_WORK):
        emulator.fault("status", status=409, count=3, **UPDATES)
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")


async def test_claim_that_its_author_does_not_see_yet_costs_nothing_meanwhile(emulator, requests, monkeypatch):
    """Whatever else happens: an address that is freed, for which all that wait are looked at again."""
    decided = []
    decide = Accounts.decide

    def noting(accounts, key, now=0.0):
        decided.append(key.name)
        return decide(accounts, key, now)

    monkeypatch.setattr(Accounts, "decide", noting)
    await emulator.configure(**POOL)
    async with emulator.provider(ALL_WORK):
        for name in ("first", "last"):
            await emulator.add_service(name)
            await emulator.wait_served(name)
        emulator.fault("stale", seconds=0.6, **WATCHES)
        await emulator.add_service("web")
        await anyio.sleep(0.2)
        # It is seen between the claim and what is seen of the claim.
        await emulator.delete("first")
        await emulator.wait_served("web")
    assert decided.count("web") < 10
    assert len([each for each in requests if (each.verb, each.name) == ("update", "web")]) == 2


async def test_claims_of_a_provider_that_was_killed_are_taken_over(emulator):
    await emulator.configure(**POOL)
    await emulator.grant(SECOND)
    first, second = emulator.start(ALL_WORK), emulator.start(ALL_WORK, user=SECOND)
    for each in (first, second):
        await each.wait_logged("providing")
    creating = asyncio.create_task(emulator.add_services(names(60)))
    await until(lambda: len(emulator.ledger.served) > 10)
    first.tell(signal.SIGKILL)
    await creating
    await until_all_served(emulator, names(60))
    emulator.ledger.check()


async def test_provider_that_was_suspended_gives_nothing_twice_when_it_wakes(emulator):
    await emulator.configure(range_global="10.0.0.1-10.0.0.60")
    await emulator.grant(SECOND)
    first, second = emulator.start(ALL_WORK), emulator.start(ALL_WORK, user=SECOND)
    for each in (first, second):
        await each.wait_logged("providing")
    creating = asyncio.create_task(emulator.add_services(names(50)))
    await until(lambda: len(emulator.ledger.served) > 5)
    first.tell(signal.SIGSTOP)
    await creating
    await until_all_served(emulator, names(50))
    first.tell(signal.SIGCONT)
    await emulator.add_services(names(10, "more"))
    await until_all_served(emulator, names(10, "more"))
    emulator.ledger.check()
