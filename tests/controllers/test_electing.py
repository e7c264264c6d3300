"""Campaigns come and go with what is wanted, and addresses move between Leases without a break and without a double."""

import anyio
import pytest

from kubevip.runtime.clearance import Manner
from kubevip.testing import gaps, overlaps, virtual
from tests.controllers.electorate import (
    COMMON,
    LINGER,
    SOON,
    TIMING,
    Electorate,
    Service,
    X,
    Y,
    electorate,
    lease,
    now,
    vip,
)

WEB = Service("web", (X,))
DNS = Service("dns", (X, Y), age=1)


def doubles(all_of_them: Electorate) -> list[object]:
    return overlaps(all_of_them.tenures())


# Coming and going


@virtual
async def test_a_service_has_one_holder_by_its_own_lease() -> None:
    async with electorate() as nodes:
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        assert nodes.leases.holder(lease("web")) == nodes.holder(X).name


@virtual
async def test_nobody_campaigns_before_a_service_is_there() -> None:
    async with electorate() as nodes:
        await anyio.sleep(SOON)
        assert nodes.leases.written == []


@virtual
async def test_a_service_that_goes_is_let_go_of_and_its_lease_released() -> None:
    async with electorate() as nodes:
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        nodes.forget(WEB)
        await anyio.sleep(SOON)
        assert (nodes.holders(X), nodes.leases.holder(lease("web"))) == ([], "")
        assert not any(node.electors for node in nodes.nodes.values())


@virtual
async def test_a_service_that_comes_again_is_held_again() -> None:
    async with electorate() as nodes:
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        nodes.forget(WEB)
        nodes.learn(WEB)
        await anyio.sleep(1)
        assert nodes.leases.holder(lease("web")) == nodes.holder(X).name


@virtual
async def test_services_of_one_lease_have_one_holder() -> None:
    async with electorate() as nodes:
        nodes.learn(Service("web", (X,), shared="ours"))
        nodes.learn(Service("dns", (Y,), shared="ours"))
        await anyio.sleep(SOON)
        assert nodes.holder(X) is nodes.holder(Y)
        assert len({written.lease for written in nodes.leases.written}) == 1


@virtual
async def test_a_shared_lease_stays_while_one_of_its_services_does() -> None:
    async with electorate() as nodes:
        one, other = Service("web", (X,), shared="ours"), Service("dns", (Y,), shared="ours")
        nodes.learn(one)
        nodes.learn(other)
        await anyio.sleep(SOON)
        before = nodes.holder(Y)
        nodes.forget(one)
        await anyio.sleep(2 * TIMING.duration)
        assert (nodes.holders(X), nodes.holders(Y)) == ([], [before.name])


@virtual
async def test_after_stop_no_campaign_begins() -> None:
    async with electorate("a") as nodes:
        nodes["a"].electing.stop()
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        assert nodes["a"].begun == []


@virtual
async def test_another_ones_campaign_is_neither_begun_nor_resigned() -> None:
    async with electorate("a") as nodes:
        nodes["a"].electing.want(vip(X), COMMON)
        await anyio.sleep(SOON)
        nodes["a"].electing.unwant(vip(X))
        await anyio.sleep(SOON)
        assert nodes["a"].begun == []


# Endpoints


@virtual
async def test_a_node_without_an_endpoint_does_not_campaign() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB, here=False)
        nodes["b"].learn(WEB)
        await anyio.sleep(SOON)
        assert (nodes["a"].begun, nodes.holders(X)) == ([], ["b"])


@virtual
async def test_a_holder_that_loses_its_last_endpoint_answers_until_another_node_does() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["b"].learn(WEB)
        await anyio.sleep(SOON)
        assert nodes.holders(X) == ["a"]
        began = now()
        nodes["a"].learn(WEB, here=False)
        await anyio.sleep(SOON)
        assert nodes.holders(X) == ["b"]
        assert gaps(nodes.tenures(), X, start=began, end=now()) == []


@virtual
async def test_without_anybody_else_the_address_goes_after_a_while() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["a"].learn(WEB, here=False)
        await anyio.sleep(LINGER - SOON)
        assert nodes.holders(X) == ["a"]
        await anyio.sleep(2 * SOON)
        assert nodes.holders(X) == []


@virtual
async def test_an_endpoint_that_comes_back_during_the_handover_brings_the_address_back() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["a"].learn(WEB, here=False)
        nodes["a"].learn(WEB)
        await anyio.sleep(2 * LINGER)
        assert nodes.holders(X) == ["a"]
        assert nodes.leases.holder(lease("web")) == "a"


@virtual
async def test_who_leads_nothing_lets_go_of_nothing() -> None:
    async with electorate("ab") as nodes:
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        holder = nodes.holder(X)
        (other,) = nodes.others(holder)
        other.learn(WEB, here=False)
        await anyio.sleep(SOON)
        assert nodes.holders(X) == [holder.name]
        assert other.electors == {}


# From one Lease to another


@virtual
async def test_when_the_primary_goes_its_holder_goes_on_without_a_break() -> None:
    async with electorate() as nodes:
        nodes.learn(WEB)
        nodes.learn(DNS)
        await anyio.sleep(SOON)
        holder, began = nodes.holder(X), now()
        nodes.forget(WEB)
        await anyio.sleep(SOON)
        assert nodes.holders(X) == [holder.name] or holder.leads(lease("web"))
        await anyio.sleep(3)
        assert nodes.leases.holder(lease("dns")) == nodes.holder(X).name
        if nodes.holder(X) is holder:
            assert gaps(nodes.tenures(), X, start=began, end=now()) == []
        assert doubles(nodes) == []


@virtual
async def test_a_new_lease_is_left_to_who_holds_the_address_by_the_old_one() -> None:
    alone = Service("dns", (X,), age=1)
    async with electorate() as nodes:
        nodes.learn(WEB)
        nodes.learn(alone)
        await anyio.sleep(SOON)
        holder, began = nodes.holder(X), now()
        for node in nodes.others(holder):
            node.forget(WEB)
        await anyio.sleep(SOON)
        holder.forget(WEB)
        await anyio.sleep(SOON)
        assert nodes.leases.holder(lease("dns")) == holder.name
        assert gaps(nodes.tenures(), X, start=began, end=now()) == []


@virtual
async def test_an_older_service_brings_its_lease_along_without_a_break() -> None:
    async with electorate() as nodes:
        nodes.learn(Service("dns", (X,), age=1))
        await anyio.sleep(SOON)
        holder, began = nodes.holder(X), now()
        nodes.learn(WEB)
        await anyio.sleep(SOON)
        assert nodes.leases.holder(lease("web")) == holder.name
        assert gaps(nodes.tenures(), X, start=began, end=now()) == []


@virtual
async def test_the_old_lease_is_kept_for_who_has_not_heard_of_it_and_released_then() -> None:
    async with electorate() as nodes:
        nodes.learn(WEB)
        nodes.learn(Service("dns", (X,), age=1))
        await anyio.sleep(SOON)
        holder = nodes.holder(X)
        nodes.forget(WEB)
        await anyio.sleep(TIMING.duration - SOON)
        assert nodes.leases.holder(lease("web")) == holder.name
        await anyio.sleep(2 * SOON)
        assert nodes.leases.holder(lease("web")) == ""
        assert nodes.holders(X) == [holder.name]


@virtual
async def test_who_sees_the_new_lease_with_another_node_lets_go_of_the_address_to_it() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["b"].learn(Service("dns", (Y,), age=1))
        await anyio.sleep(SOON)
        both = Service("dns", (X, Y), age=1)
        nodes.learn(both)
        nodes["b"].learn(WEB)
        await anyio.sleep(SOON)
        assert (nodes.holders(X), nodes.holders(Y)) == (["a"], ["b"])
        nodes.forget(WEB)
        await anyio.sleep(2)
        assert (nodes.holders(X), nodes.holders(Y)) == (["b"], ["b"])
        assert doubles(nodes) == []


@virtual
async def test_who_knows_of_the_change_first_waits_for_who_has_the_address() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["b"].learn(WEB)
        nodes.learn(Service("dns", (X,), age=1))
        await anyio.sleep(SOON)
        nodes["b"].forget(WEB)
        await anyio.sleep(3)
        assert nodes.holders(X) == ["a"]
        assert {each.manner for each in nodes["b"].conflicts} <= {Manner.YIELD}
        nodes["a"].forget(WEB)
        await anyio.sleep(3)
        assert nodes.holders(X) == [nodes.leases.holder(lease("dns"))]
        assert doubles(nodes) == []


@virtual
async def test_an_address_whose_old_lease_is_lost_goes_over_to_the_new_one() -> None:
    async with electorate("ab") as nodes:
        nodes["a"].learn(WEB)
        await anyio.sleep(SOON)
        nodes["a"].store.cut()
        nodes["a"].learn(Service("dns", (X,), age=1))
        nodes["a"].forget(WEB)
        await anyio.sleep(TIMING.duration)
        assert nodes.holders(X) == []
        nodes["a"].store.mend()
        await anyio.sleep(5)
        assert nodes.holders(X) == ["a"]
        assert nodes.leases.holder(lease("dns")) == "a"


@virtual
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_back_and_forth_moves_nothing_on_the_wire(times: int) -> None:
    async with electorate() as nodes:
        nodes.learn(Service("dns", (X,), age=1))
        await anyio.sleep(SOON)
        holder, began = nodes.holder(X), now()
        for _time in range(times):
            nodes.learn(WEB)
            await anyio.sleep(SOON)
            nodes.forget(WEB)
            await anyio.sleep(SOON)
        assert nodes.holders(X) == [holder.name]
        assert gaps(nodes.tenures(), X, start=began, end=now()) == []
