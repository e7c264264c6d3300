"""Replicas of which one works: how another one goes on when that ends, and that nothing stale is written then."""

import asyncio
import contextlib
import signal

import anyio

from kubevip.election import Standing
from kubevip.model import LeaseKey, Term
from kubevip.provider import Provider
from kubevip.runtime.elector import Elector
from tests.provider_system.objects import ACCOUNT, SECOND
from tests.waiting import until

POOL = {"cidr_global": "10.0.0.0/16"}
MANY = [f"web{number}" for number in range(120)]


async def until_all_served(site, names, bound=15.0):
    await until(lambda: set(names) <= set(site.ledger.served), bound, f"all of {len(names)} served")


@contextlib.asynccontextmanager
async def creating(site, names, pause=0.01):
    """Create Services meanwhile, one after the other; all of them are there at the end."""

    async def create():
        for name in names:
            await site.add_service(name)
            await anyio.sleep(pause)

    task = asyncio.create_task(create())
    yield
    await task


async def pair_of_replicas(site):
    """Start two; return the one that leads, and the other."""
    await site.configure(**POOL)
    replicas = [site.start() for _ in range(2)]
    leading = [asyncio.create_task(each.wait_logged("leading")) for each in replicas]
    done, pending = await asyncio.wait(leading, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(leading)
    first = leading.index(done.pop())
    await replicas[1 - first].wait_logged("using the API server")
    return replicas[first], replicas[1 - first]


async def end_the_leader_meanwhile(site, number, names):
    leader, other = await pair_of_replicas(site)
    async with creating(site, names):
        await until(lambda: len(site.ledger.served) > 20)
        leader.tell(number)
        code = await leader.wait()
        await other.wait_logged("leading", 12)
    await until_all_served(site, names)
    site.ledger.check()
    return code


async def test_other_replica_goes_on_when_the_leader_is_stopped_while_services_are_created(site):
    assert await end_the_leader_meanwhile(site, signal.SIGTERM, MANY[:80]) == 0


async def test_other_replica_goes_on_when_the_leader_is_killed_while_services_are_created(emulator):
    assert await end_the_leader_meanwhile(emulator, signal.SIGKILL, MANY) == -signal.SIGKILL


async def test_released_lease_is_taken_soon_by_who_may_not_watch_it(emulator):
    """The operator's role doesn't allow that; his Lease would be free for others only after 15 seconds."""
    await emulator.configure(**POOL)
    usual = "--leader-elect-lease-duration=15s", "--leader-elect-renew-deadline=10s"
    async with contextlib.AsyncExitStack() as stack:
        leader = await stack.enter_async_context(emulator.provider(*usual))
        await until(lambda: leader.statistics().accounts)
        other = await stack.enter_async_context(emulator.provider(*usual))
        await until(lambda: any(each.holder for each in other.statistics().electors))
        leader.stop()
        await until(lambda: other.statistics().accounts, 3, "the other one leading")


async def test_replica_that_was_suspended_takes_nothing_away_when_it_wakes_and_leads_again_later(emulator):
    """The pool is too small, so that there are Services that nobody has served since: an update would succeed."""
    names = [f"web{number:02}" for number in range(60)]
    leader, other = await pair_of_replicas_with(emulator, range_global="10.0.0.1-10.0.0.40")
    # Sixteen updates are on their way at any time.
    slow = emulator.fault("delay", seconds=0.25, verbs=("update",), resources=("services",), users=(ACCOUNT,))
    await emulator.add_services(names)
    await until(lambda: len(emulator.ledger.served) >= 16)
    leader.tell(signal.SIGSTOP)
    await other.wait_logged("providing", 12)
    await until(lambda: len(emulator.ledger.served) == 40)
    emulator.server.faults.remove(slow)
    leader.tell(signal.SIGCONT)
    await leader.wait_logged("not leading any more")
    await anyio.sleep(0.3)
    assert len(emulator.ledger.served) == 40
    await other.stop()
    await emulator.configure(range_global="10.0.0.1-10.0.0.60")
    await until_all_served(emulator, names)
    emulator.ledger.check()


async def test_replica_whose_term_has_passed_writes_nothing_before_it_is_told(emulator, requests, monkeypatch):
    """Whoever was suspended is told by a timer, and that may come after what else there is to do."""
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("first")
        await emulator.wait_served("first")
        monkeypatch.setattr(Elector, "term", None)
        await emulator.add_service("web")
        await anyio.sleep(0.3)
        assert not [each for each in requests if each.name == "web"]


async def pair_of_replicas_with(site, **pools):
    """Start a replica, which leads, and another one as another account, so that faults can tell them apart."""
    await site.grant(SECOND)
    await site.configure(**pools)
    leader = site.start()
    await leader.wait_logged("providing")
    other = site.start(user=SECOND)
    await other.wait_logged("using the API server")
    return leader, other


async def test_update_that_is_on_its_way_ends_before_the_lease_is_released(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.wait_leader()
        emulator.fault("delay", seconds=0.4, verbs=("update",), resources=("services",))
        await emulator.add_service("web")
        await anyio.sleep(0.2)
    assert await emulator.address("web") == "10.0.0.1"
    assert await emulator.holder() == ""


async def test_renewal_that_is_on_its_way_at_the_end_begins_no_work(emulator, requests):
    def asked(verb, resource):
        return len([each for each in requests if (each.verb, each.resource) == (verb, resource)])

    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web")
        emulator.fault("delay", seconds=0.4, count=1, verbs=("update",), resources=("leases",))
        before, lists = asked("update", "leases"), asked("list", "services")
        await until(lambda: asked("update", "leases") > before)
    assert asked("list", "services") == lists


async def test_update_that_hangs_does_not_keep_the_provider_from_ending(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.wait_leader()
        emulator.fault("cut-off", verbs=("update",), resources=("services",), duration=8)
        await emulator.add_service("web")
        await anyio.sleep(0.1)
        began = anyio.current_time()
    assert anyio.current_time() - began < 3
    assert await emulator.holder() == ""


async def test_leader_that_cannot_renew_stops_before_another_may_begin(emulator):
    """Its Lease can't be written, all else can: it has to be idle by the time that the Lease may be taken."""
    await emulator.grant(SECOND)
    await emulator.configure(**POOL)
    async with emulator.provider() as leader:
        await emulator.add_service("web")
        await emulator.wait_served("web")
        async with emulator.provider(user=SECOND):
            emulator.fault("status", status=500, verbs=("update", "get"), resources=("leases",), users=(ACCOUNT,))
            async with creating(emulator, MANY[:60], 0.05):
                await until(lambda: leader.statistics().accounts is None, 6)
            await until_all_served(emulator, MANY[:60])
    emulator.ledger.check()


async def test_restart_of_the_only_replica_renumbers_nothing(emulator):
    await emulator.configure(**POOL)
    await emulator.add_services(MANY[:20])
    async with emulator.provider():
        await until_all_served(emulator, MANY[:20])
    before = dict(emulator.ledger.served)
    await emulator.configure(cidr_global="10.7.0.0/16")
    async with emulator.provider():
        await emulator.add_service("new")
        await emulator.wait_served("new", "10.7.0.1")
    assert emulator.ledger.served == {**before, "new": "10.7.0.1"}
    emulator.ledger.check()


async def test_leadership_that_is_lost_in_the_turn_in_which_it_was_won_begins_no_work(emulator, monkeypatch):
    begun = []

    async def work(self, client, name, *, alone):
        begun.append(name)

    monkeypatch.setattr(Provider, "_work", work)
    lease = LeaseKey("kube-system", "lock")
    provider = emulator.make_provider()
    task = asyncio.create_task(provider._work_while_leading(None, "replica"))
    await asyncio.sleep(0)
    provider._leading.standing(lease, Standing.LEADING, Term(lease, "replica", 0, until=1.0, expires=2.0))
    provider._leading.standing(lease, Standing.FOLLOWING, None)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert not begun
