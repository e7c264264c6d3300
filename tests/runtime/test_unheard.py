"""A node that no peer hears: its election, as routers come and go."""

import anyio

from kubevip.eligibility import Ground
from kubevip.testing import virtual
from tests.runtime.sites import LEASE
from tests.runtime.test_fitness import fail, site, stat


@virtual
async def test_a_holder_that_no_peer_hears_hands_over_after_a_moment() -> None:
    async with site() as here:
        old = here.holder
        old.fitness[LEASE].unheard = lambda: "10.0.0.9:179: nothing was heard for the hold time"
        await anyio.sleep(2)
        assert here.holder is old
        await anyio.sleep(3)
        assert here.holder is not old
        assert stat(old).unfit[Ground.UNHEARD].startswith("no peer hears this node: 10.0.0.9:179: nothing was heard")


@virtual
async def test_a_holder_that_is_heard_again_in_time_stays() -> None:
    async with site() as here:
        old = here.holder
        old.fitness[LEASE].unheard = lambda: "10.0.0.9:179: Idle"
        await anyio.sleep(2)
        old.fitness[LEASE].unheard = lambda: ""
        await anyio.sleep(10)
        assert here.holder is old
        assert stat(old).given_up == {}


@virtual
async def test_one_that_no_peer_hears_leaves_a_free_lease_to_others_and_is_a_candidate_again_when_it_is_heard() -> None:
    async with site("a", "b", "c") as here:
        old, deaf, third = here.holder, *[each for each in here.machines.values() if each is not here.holder]
        deaf.fitness[LEASE].unheard = lambda: "10.0.0.9:179: Idle"
        await anyio.sleep(2)
        fail(old)
        await anyio.sleep(5)
        assert here.holder is third
        deaf.fitness[LEASE].unheard = lambda: ""
        await anyio.sleep(2)
        fail(third)
        await anyio.sleep(1)
        assert here.holder is deaf


@virtual
async def test_when_nobody_is_heard_the_holder_stays() -> None:
    async with site() as here:
        old = here.holder
        for machine in here.machines.values():
            machine.fitness[LEASE].unheard = lambda: "10.0.0.9:179: Idle"
        await anyio.sleep(60)
        assert here.holder is old
        assert stat(old).last_resort
