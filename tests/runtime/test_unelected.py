"""Addresses without an election, and addresses that are on no link."""

import asyncio
from collections.abc import Callable

import anyio
import attrs

from kubevip.election import Cause, Standing
from kubevip.errors import TooLate
from kubevip.lease import Timing
from kubevip.model import LeaseKey, Term, Vip
from kubevip.runtime.detached import Detached
from kubevip.runtime.unelected import Unelected
from kubevip.testing import FakeHost, virtual

LEASE = LeaseKey("kube-system", "lock")
TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
Plug = Callable[[str], FakeHost]
FOREVER = float("inf")
ON, OFF = Vip.parse("10.0.0.98", interface="eth0"), Vip.parse("10.0.0.99", interface="eth0")


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.define
class Told:
    standings: list[tuple[float, Standing, Term | None]] = attrs.field(factory=list)
    causes: list[Cause] = attrs.field(factory=list)

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        self.causes.append(cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        self.standings.append((now(), standing, term))


@virtual
async def test_term_is_renewed_every_retry_period_and_as_long_as_that_of_a_lease() -> None:
    told = Told()
    unelected = Unelected(LEASE, "here", TIMING, told)
    with anyio.move_on_after(2.5):
        await unelected.run()
    assert told.causes == [Cause.VACANT]
    assert [(at, standing) for at, standing, _term in told.standings] == [
        (0, Standing.LEADING),
        (1, Standing.LEADING),
        (2, Standing.LEADING),
    ]
    assert told.standings[-1][2] == unelected.term == Term(LEASE, "here", 0, 5, 7)


@virtual
async def test_resigning_ends_it_at_once_and_hands_nothing_over() -> None:
    told = Told()
    unelected = Unelected(LEASE, "here", TIMING, told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(unelected.run)
        await anyio.sleep(0.5)
        unelected.resign()
        await unelected.wait_ended()
    assert told.standings[-1] == (0.5, Standing.EXPIRED, None)
    assert unelected.term is None
    assert now() == 0.5


@virtual
async def test_one_that_is_suspended_lets_go_at_once_and_leads_again_when_resumed() -> None:
    told = Told()
    unelected = Unelected(LEASE, "here", TIMING, told)
    with anyio.move_on_after(9.5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(unelected.run)
            await anyio.sleep(0.5)
            unelected.suspend()
            assert unelected.term is None
            await anyio.sleep(7)
            unelected.resume()
    assert [(at, standing) for at, standing, _term in told.standings] == [
        (0, Standing.LEADING),
        (0.5, Standing.EXPIRED),
        (7.5, Standing.LEADING),
        (8.5, Standing.LEADING),
    ]
    assert told.causes == [Cause.VACANT, Cause.VACANT]


@virtual
async def test_one_that_is_suspended_before_it_runs_says_nothing_until_it_is_resumed() -> None:
    told = Told()
    unelected = Unelected(LEASE, "here", TIMING, told)
    unelected.suspend()
    with anyio.move_on_after(3.5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(unelected.run)
            await anyio.sleep(3)
            assert told.standings == []
            unelected.resume()
    assert [(at, standing) for at, standing, _term in told.standings] == [(3, Standing.LEADING)]


@virtual
async def test_one_that_resigns_while_it_is_suspended_ends() -> None:
    unelected = Unelected(LEASE, "here", TIMING, Told())
    unelected.suspend()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(unelected.run)
        await anyio.sleep(0.5)
        unelected.resign()
    assert now() == 0.5


@virtual
async def test_one_that_has_resigned_before_it_ran_never_leads() -> None:
    told = Told()
    unelected = Unelected(LEASE, "here", TIMING, told)
    unelected.resign()
    await unelected.run()
    assert Standing.LEADING not in [standing for _at, standing, _term in told.standings]


@virtual
async def test_only_attached_addresses_are_on_links(plug: Plug) -> None:
    host = plug("a")
    detached = Detached(host.addresses, lambda vip: vip == ON)
    assert await detached.put([(ON, 5), (OFF, 5)], not_after=FOREVER) == {}
    assert host.addresses.present() == {ON}
    assert await detached.remove([ON, OFF]) == {}
    assert host.addresses.present() == frozenset()


@virtual
async def test_time_that_has_passed_counts_for_detached_addresses_too(plug: Plug) -> None:
    detached = Detached(plug("a").addresses, lambda _vip: False)
    await anyio.sleep(2)
    failed = await detached.put([(OFF, 5)], not_after=1)
    assert isinstance(failed[OFF], TooLate)
