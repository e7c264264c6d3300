"""``kubevip rebalance`` on whole agents: a node that is back gets its share, and nobody is without an address."""

import anyio
import pytest

from kubevip.cli.passing import pass_on
from kubevip.cli.rebalance import carry_out, planned
from kubevip.errors import ConfigError
from kubevip.kube.spreadview import survey
from kubevip.runtime.asking import Result
from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.client import SimulatedClient
from kubevip.testing.simulation.world import World
from tests.simulation.spread import holders, in_fleet, loads, plans, scenario, settled

NAMESPACE = "kube-system"


async def returned(world: World) -> None:
    """Let n1 go and come back: it has nothing then."""
    await settled(world, 3)
    await anyio.sleep(1)
    world.nodes["n1"].ask_to_stop()
    await anyio.sleep(5)
    world.nodes["n1"].start()
    await anyio.sleep(5)
    assert loads(world)["n1"] == 0


def operator(world: World) -> SimulatedClient:
    return SimulatedClient("n2", 99, world.nodes["n2"].line, world.chronicle)


def test_a_node_that_is_back_gets_its_share_and_each_address_has_a_holder_all_the_time() -> None:
    async def story(world: World) -> None:
        await returned(world)
        before, events = holders(world), len(list(world.chronicle.all(Moved)))
        async with operator(world) as client:
            moves = planned(await survey(client, NAMESPACE), None)
            assert await carry_out(client, NAMESPACE, moves, 15) == []
            assert planned(await survey(client, NAMESPACE), None) == []
        await anyio.sleep(1)
        assert 8 <= loads(world)["n1"] == len(moves) == sum(on != before[each] for each, on in holders(world).items())
        held = {address: len(on) for address, on in before.items()}
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1

    in_fleet(scenario(4, plans(40)), story)


def test_no_more_is_moved_than_was_asked_for() -> None:
    async def story(world: World) -> None:
        await returned(world)
        async with operator(world) as client:
            moves = planned(await survey(client, NAMESPACE), 3)
            assert await carry_out(client, NAMESPACE, moves, 15) == []
        await anyio.sleep(1)
        assert loads(world)["n1"] == 3

    in_fleet(scenario(4, plans(40)), story)


def test_orders_mean_nothing_once_they_are_carried_out() -> None:
    async def story(world: World) -> None:
        await returned(world)
        async with operator(world) as client:
            await carry_out(client, NAMESPACE, planned(await survey(client, NAMESPACE), 2), 15)
        await anyio.sleep(3)
        before = holders(world)
        await anyio.sleep(30)
        assert holders(world) == before

    in_fleet(scenario(3, plans(12)), story)


def test_the_survey_says_why_something_is_where_it_is() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(2)
        async with operator(world) as client:
            found = await survey(client, NAMESPACE)
        assert set(found.nodes) == {"n1", "n2", "n3"}
        assert all(found.holders[key] in found.why(key) for key in found.items)

    in_fleet(scenario(3, plans(6)), story)


def test_a_single_address_is_handed_over_and_has_a_holder_all_the_time() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(1)
        address, (source,) = next(iter(holders(world).items()))
        target = next(node for node in ("n1", "n2", "n3") if node != source)
        others = {each: on for each, on in holders(world).items() if each != address}
        events = len(list(world.chronicle.all(Moved)))
        async with operator(world) as client:
            passed = await pass_on(client, NAMESPACE, address, target, 15)
            again = await pass_on(client, NAMESPACE, address, target, 15)
        assert passed is not None
        assert (passed[1].result, passed[1].before, passed[1].holder) == (Result.MOVED, source, target)
        assert again is not None
        assert again[1].result is Result.ALREADY
        await anyio.sleep(1)
        assert holders(world) == {**others, address: [target]}
        held = 1
        for moved in list(world.chronicle.all(Moved))[events:]:
            assert moved.address == address
            held += 1 if moved.present else -1
            assert held >= 1

    in_fleet(scenario(3, plans(12)), story)


def test_it_goes_where_it_should_be_next_unless_a_node_is_named() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(1)
        address, (source,) = next(iter(holders(world).items()))
        async with operator(world) as client:
            passed = await pass_on(client, NAMESPACE, address, "", 15)
        assert passed is not None
        assert passed[1].result is Result.MOVED
        assert passed[1].holder != source

    in_fleet(scenario(3, plans(12)), story)


def test_a_node_that_can_not_have_it_is_refused_by_name() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(1)
        async with operator(world) as client:
            with pytest.raises(ConfigError, match="no agent spreads Services on 'elsewhere'; there are: n1, n2, n3"):
                await pass_on(client, NAMESPACE, next(iter(holders(world))), "elsewhere", 15)

    in_fleet(scenario(3, plans(12)), story)
