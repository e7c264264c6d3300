"""Asking a holder to hand over: each outcome, and that nothing is left of a request that nobody heeds."""

import anyio
import anyio.lowlevel
import attrs
import pytest

from kubevip.eligibility import Ground
from kubevip.errors import ApiUnavailable, LeaseConflict, NotFound
from kubevip.lease import Record
from kubevip.runtime.asking import Outcome, Result, hand_over
from kubevip.testing import MemoryLeases, virtual
from tests.runtime.test_fitness import LEASE, VIP, fail, site


async def ask(leases: MemoryLeases, to: str = "", within: float = 15.0) -> Outcome:
    return await hand_over(leases, LEASE, to=to, by="a test", within=within)


@virtual
async def test_it_moves_to_the_named_node_and_says_how_long_that_took() -> None:
    async with site() as here:
        old, target = here.holder.node, here.other.node
        outcome = await ask(here.leases, target)
        assert (outcome.result, outcome.before, outcome.holder, outcome.is_well) == (Result.MOVED, old, target, True)
        assert 0 < outcome.seconds < 0.2


@virtual
async def test_without_a_name_it_moves_anywhere_else() -> None:
    async with site() as here:
        outcome = await ask(here.leases)
        assert outcome.result is Result.MOVED
        assert outcome.holder != outcome.before


@virtual
async def test_a_node_that_has_it_already_is_asked_nothing() -> None:
    async with site() as here:
        holder = here.holder.node
        assert (await ask(here.leases, holder)).result is Result.ALREADY
        assert here.leases.record(LEASE).request == ""


@virtual
async def test_a_node_that_does_not_take_it_is_told_as_such() -> None:
    async with site() as here:
        outcome = await ask(here.leases, "nobody")
        assert (outcome.result, outcome.is_well) == (Result.ELSEWHERE, False)
        assert "nobody did not take it" in outcome.why


@virtual
async def test_an_unfit_named_node_does_not_get_it() -> None:
    async with site() as here:
        target = here.other
        fail(target, Ground.CORDONED, "")
        outcome = await ask(here.leases, target.node)
        assert outcome.result is Result.ELSEWHERE
        assert not target.holds(VIP)


@virtual
async def test_the_only_node_keeps_it() -> None:
    async with site("a") as here:
        assert (await ask(here.leases)).result is Result.KEPT


@virtual
async def test_a_refusal_is_told_with_its_reason() -> None:
    async with site() as here:
        here.holder.fitness[LEASE].hears = lambda: ["b"]
        outcome = await ask(here.leases, "z")
        assert (outcome.result, outcome.why) == (Result.REFUSED, "z isn't heard; those that are: b")
        assert outcome.seconds < 1


@virtual
async def test_a_holder_that_does_not_answer_is_asked_no_more(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("kube-vip", 5, 3))
    outcome = await ask(leases, within=5)
    assert (outcome.result, outcome.holder, outcome.seconds) == (Result.UNANSWERED, "kube-vip", 5)
    assert leases.record(LEASE).request == ""


@virtual
async def test_a_request_of_another_one_is_not_withdrawn(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("kube-vip", 5, 3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, leases, "", 2.0)
        await anyio.sleep(1)
        await leases.ask(LEASE, "another", leases.record(LEASE))
    assert leases.record(LEASE).request == "another"


@virtual
async def test_a_lease_that_is_released_and_not_taken_is_told_as_free(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("a", 5, 3))
    async with anyio.create_task_group() as tasks:
        found: list[Outcome] = []

        async def run() -> None:
            found.append(await ask(leases, within=3))

        tasks.start_soon(run)
        await anyio.sleep(1)
        leases.put(LEASE, attrs.evolve(leases.record(LEASE), holder=""))
    assert (found[0].result, found[0].before, found[0].holder) == (Result.FREE, "a", "")


@virtual
async def test_a_free_lease_is_told(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("", 1, 3))
    assert (await ask(leases)).result is Result.FREE


@virtual
async def test_a_lease_that_is_not_there_is_an_error(leases: MemoryLeases) -> None:
    with pytest.raises(NotFound, match="there is no Lease kube-system/"):
        await ask(leases)


@virtual
async def test_a_renewal_in_between_only_means_asking_again() -> None:
    async with site() as here:
        times = 0

        async def renewed(call: str, lease: object) -> None:
            nonlocal times
            await anyio.lowlevel.checkpoint()
            if call == "ask" and times < 3:
                times += 1
                here.leases.put(LEASE, here.leases.record(LEASE))

        here.leases.before = renewed
        assert (await ask(here.leases)).result is Result.MOVED
        assert times == 3


@virtual
async def test_a_lease_that_never_stands_still_is_an_error(leases: MemoryLeases) -> None:
    leases.put(LEASE, Record("a", 5, 3))

    async def renewed(call: str, lease: object) -> None:
        await anyio.lowlevel.checkpoint()
        if call == "ask":
            leases.put(LEASE, leases.record(LEASE))

    leases.before = renewed
    with pytest.raises(LeaseConflict, match="changes too often"):
        await ask(leases)


@virtual
async def test_an_api_server_that_does_not_answer_is_an_error(leases: MemoryLeases) -> None:
    async def away(_call: str, _lease: object) -> None:
        raise ApiUnavailable("away")

    leases.before = away
    with pytest.raises(ApiUnavailable):
        await ask(leases)
