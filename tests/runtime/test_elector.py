"""The elector against a store: what it tells its follower, and when."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import attrs
import pytest

from kubevip.election import Cause, Standing
from kubevip.errors import ApiUnavailable, Forbidden
from kubevip.lease import Claim, Record, Timing
from kubevip.model import LeaseKey, Term
from kubevip.runtime.elector import Elector
from kubevip.testing import FaultyLeases, MemoryLeases, virtual

LEASE = LeaseKey("kube-system", "lock")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.define
class Told:
    """A follower that notes all that it is told, and when."""

    standings: list[tuple[float, Standing, Term | None]] = attrs.field(factory=list)
    causes: list[Cause] = attrs.field(factory=list)

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        self.causes.append(cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        self.standings.append((now(), standing, term))

    @property
    def last(self) -> tuple[float, Standing]:
        return self.standings[-1][:2]

    def when(self, standing: Standing) -> float:
        return next(time for time, what, _term in self.standings if what is standing)


@attrs.define(eq=False)
class Campaign:
    elector: Elector
    told: Told
    line: FaultyLeases


@asynccontextmanager
async def campaigning(leases: MemoryLeases, name: str = "a", timing: Timing = TIMING) -> AsyncIterator[Campaign]:
    told, line = Told(), FaultyLeases(leases)
    elector = Elector(LEASE, name, timing, line, told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elector.run)
        yield Campaign(elector, told, line)
        tasks.cancel_scope.cancel()


@virtual
async def test_it_takes_an_absent_lease_and_tells_its_term(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(0.1)
        assert a.told.causes == [Cause.ABSENT]
        assert a.told.last[1] is Standing.LEADING
        assert a.elector.term == a.told.standings[-1][2]
        assert leases.holder(LEASE) == "a"


@virtual
async def test_it_tells_a_new_term_with_each_renewal(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(3.5)
        terms = [term.until for _time, _standing, term in a.told.standings if term]
        assert terms == [3, 4, 5, 6]
        assert a.elector.statistics().renewals == 3


@virtual
async def test_a_term_counts_from_the_request_however_long_the_answer_takes(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        a.line.latency, a.line.chance = 0.5, lambda: 1.0
        await anyio.sleep(2.1)
        # Read at 0, written at 1, answered at 2.
        assert a.elector.term.until == 1 + TIMING.renew_deadline


@virtual
async def test_it_leads_for_hours_without_a_gap(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(7200)
        assert {standing for _time, standing, _term in a.told.standings} <= {Standing.LEADING, Standing.VACANT}
        assert leases.record(LEASE).transitions == 0


@virtual
async def test_the_deadline_is_told_while_a_request_hangs(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        a.line.cut()
        until = a.elector.term.until
        await anyio.sleep(10)
        assert a.told.when(Standing.EXPIRED) == until


@virtual
async def test_it_comes_back_to_its_own_lease_when_the_server_answers_again(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        a.line.cut()
        await anyio.sleep(3.8)
        a.line.mend()
        await anyio.sleep(5)
        assert a.told.last[1] is Standing.LEADING
        assert Cause.OURS in a.told.causes


@virtual
async def test_another_holder_is_told_with_the_event_that_shows_it(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        leases.put(LEASE, Record("b", 5, 1))
        await anyio.sleep(0.001)
        assert a.told.last == (2.5, Standing.FOLLOWING)
        assert a.elector.term is None


@virtual
async def test_another_holder_is_told_while_a_request_hangs(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        a.line.latency, a.line.chance = 20, lambda: 1.0
        await anyio.sleep(1)
        leases.put(LEASE, Record("b", 5, 1))
        await anyio.sleep(0.001)
        assert a.told.last == (3.5, Standing.FOLLOWING)


@virtual
async def test_a_follower_takes_a_released_lease_with_the_event(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a, campaigning(leases, "b") as b:
        await anyio.sleep(2.5)
        a.elector.resign()
        await a.elector.wait_ended()
        await anyio.sleep(0.001)
        assert leases.holder(LEASE) == "b"
        assert b.told.when(Standing.LEADING) == 2.5
        assert b.told.causes[-1] is Cause.VACANT


@virtual
async def test_a_follower_takes_an_expired_lease_when_its_duration_is_over(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("gone", 5, 7))
    async with campaigning(leases) as a:
        await anyio.sleep(4.99)
        assert leases.holder(LEASE) == "gone"
        await anyio.sleep(0.02)
        assert a.told.when(Standing.LEADING) == 5
        assert a.elector.term.token == 8


@virtual
async def test_one_who_lost_the_race_is_told_where_he_stands_then(leases: MemoryLeases) -> None:
    # Both have prepared to take over; the loser has to hear that it was in vain, though he follows as before.
    leases.put(LEASE, Record("gone", 5, 0))
    async with campaigning(leases) as a, campaigning(leases, "b") as b:
        await anyio.sleep(5.5)
        loser = next(each for each in (a, b) if each.elector.term is None)
        assert loser.told.causes == [Cause.EXPIRED]
        assert loser.told.last == (5, Standing.FOLLOWING)


@virtual
@pytest.mark.parametrize("lost", [False, True])
async def test_one_who_campaigned_in_vain_is_told_though_another_one_led_before(
    leases: MemoryLeases, lost: bool
) -> None:
    held = await leases.write(LEASE, Claim("b", 5, 0, fresh=True), None)
    async with campaigning(leases) as a:
        await anyio.sleep(4.9)
        a.line.latency, a.line.chance = 2.0, lambda: 1.0
        await anyio.sleep(0.2)
        assert a.told.causes == [Cause.EXPIRED]
        a.line.loss = 1.0 if lost else 0.0
        told = len(a.told.standings)
        await leases.write(LEASE, Claim("c", 5, 1, fresh=True), held)
        await anyio.sleep(1)
        assert [standing for _time, standing, _term in a.told.standings[told:]] == [Standing.FOLLOWING]


@virtual
async def test_it_campaigns_again_after_a_loss(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        leases.put(LEASE, Record("b", 5, 1))
        await anyio.sleep(6)
        assert a.told.last[1] is Standing.LEADING
        assert a.elector.term.token == 2


@virtual
async def test_resigning_releases_the_lease_and_ends_the_run(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        a.elector.resign()
        await a.elector.wait_ended()
        record = leases.record(LEASE)
        assert (record.holder, record.duration) == ("", 1)
        assert a.told.last[1] is Standing.VACANT


@virtual
async def test_resigning_before_it_has_begun_ends_at_once(leases: MemoryLeases) -> None:
    elector = Elector(LEASE, "a", TIMING, leases, Told())
    elector.resign()
    await elector.wait_ended()
    await elector.run()
    assert leases.record(LEASE) is None


@virtual
async def test_a_resignation_is_kept_until_the_server_answers(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        a.line.cut()
        a.elector.resign()
        await anyio.sleep(20)
        a.line.mend()
        await a.elector.wait_ended()
        assert leases.holder(LEASE) == ""


@virtual
async def test_cancelling_leaves_the_lease_to_expire(leases: MemoryLeases) -> None:
    async with campaigning(leases):
        await anyio.sleep(2.5)
    await anyio.sleep(100)
    assert leases.holder(LEASE) == "a"


@virtual
async def test_it_goes_on_asking_a_server_that_refuses_it(leases: MemoryLeases) -> None:
    async def refuse(_call: str, _lease: LeaseKey) -> None:
        await anyio.lowlevel.checkpoint()
        raise Forbidden("leases.coordination.k8s.io is forbidden", status=403)

    begun, leases.before = leases.before, refuse
    async with campaigning(leases) as a:
        await anyio.sleep(60)
        assert 60 / 2.2 - 1 <= a.elector.statistics().failures <= 60
        leases.before = begun
        await anyio.sleep(3)
        assert a.told.last[1] is Standing.LEADING


@pytest.mark.parametrize("error", [ValueError("no JSON"), OSError(), KeyError("spec")], ids=repr)
@virtual
async def test_whatever_a_store_raises_the_campaign_goes_on(leases: MemoryLeases, error: Exception) -> None:
    errors = [error] * 5

    async def fail(_call: str, _lease: LeaseKey) -> None:
        await anyio.lowlevel.checkpoint()
        if errors:
            raise errors.pop()

    leases.before = fail
    async with campaigning(leases) as a:
        await anyio.sleep(1)
        assert a.elector.statistics().last_error in (str(error), repr(error))
        await anyio.sleep(30)
        assert a.told.last[1] is Standing.LEADING


@virtual
async def test_an_error_is_logged_once_while_it_lasts(leases: MemoryLeases, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kubevip")
    texts = ["down", "down", "down", "odd", "down"]

    async def fail(_call: str, _lease: LeaseKey) -> None:
        await anyio.lowlevel.checkpoint()
        if texts:
            raise ApiUnavailable(texts.pop(0))

    leases.before = fail
    async with campaigning(leases):
        await anyio.sleep(60)
    failed = [record.reason for record in caplog.records if "failed" in record.message]
    assert failed == ["down", "odd", "down"]
    assert [record.message for record in caplog.records].count("the API server answers again") == 1


@virtual
async def test_an_error_is_forgotten_when_a_follower_is_answered_again(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("b", 1000, 0))
    errors = [ApiUnavailable("down")]

    async def fail_once(_call: str, _lease: LeaseKey) -> None:
        await anyio.lowlevel.checkpoint()
        if errors:
            raise errors.pop()

    leases.before = fail_once
    told = Told()
    silent = _WithoutWatch(leases)
    elector = Elector(LEASE, "a", TIMING, silent, told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elector.run)
        await anyio.sleep(0.5)
        assert elector.statistics().last_error == "down"
        await anyio.sleep(5)
        assert elector.statistics().standing is Standing.FOLLOWING
        assert elector.statistics().last_error == ""
        tasks.cancel_scope.cancel()


@attrs.define(eq=False)
class _WithoutWatch:
    """A store whose watch shows nothing."""

    _leases: MemoryLeases

    def __getattr__(self, name: str) -> object:
        return getattr(self._leases, name)

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: object) -> AsyncIterator[None]:
        yield


@virtual
async def test_a_request_that_hangs_is_given_up_after_the_attempt_timeout(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a:
        await anyio.lowlevel.checkpoint()
        a.line.cut()
        await anyio.sleep(TIMING.attempt_timeout + 0.01)
        assert a.elector.statistics().failures == 1
        assert "no answer within 1.5 s" in a.elector.statistics().last_error


@virtual
async def test_a_twin_is_told_in_the_log(leases: MemoryLeases, caplog: pytest.LogCaptureFixture) -> None:
    async with campaigning(leases) as a:
        await anyio.sleep(2.5)
        leases.put(LEASE, attrs.evolve(leases.record(LEASE), holder="a"))
        await anyio.sleep(0.01)
        assert a.elector.term is None
    assert any("another process campaigns under our name" in record.message for record in caplog.records)


@virtual
async def test_statistics_name_the_holder_and_what_was_done(leases: MemoryLeases) -> None:
    async with campaigning(leases) as a, campaigning(leases, "b") as b:
        await anyio.sleep(3.5)
        leader, follower = (a, b) if a.elector.term else (b, a)
        assert leader.elector.statistics().transitions == 1
        assert follower.elector.statistics().holder == leader.elector.identity
        assert follower.elector.statistics().term is None
