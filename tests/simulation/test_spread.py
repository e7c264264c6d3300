"""Whole agents that spread Services: who has what, what a lost node moves, and that never two have it."""

from collections import Counter

import anyio
import attrs
import pytest

from kubevip.custody import HOLDER, Custody
from kubevip.testing.simulation.chronicle import Moved
from kubevip.testing.simulation.faults_api import ApiCut, ApiSlow
from kubevip.testing.simulation.faults_fitness import Cordoned
from kubevip.testing.simulation.faults_node import LinkDown
from kubevip.testing.simulation.faults_spread import RecordGone
from kubevip.testing.simulation.faults_stored import EndpointsGone
from kubevip.testing.simulation.recording import Recorded
from kubevip.testing.simulation.server import SERVICES, Answer, ApiServer, Request
from kubevip.testing.simulation.world import ServicePlan, World
from tests.simulation.spread import (
    FIRST,
    QUICK,
    counting,
    holders,
    in_fleet,
    loads,
    plans,
    scenario,
    settled,
)
from tests.waiting import until


def test_all_nodes_share_the_addresses_and_write_nothing_but_their_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(ApiServer, "answer", counting(counted))

    async def story(world: World) -> None:
        await settled(world, 3)
        assert max(loads(world).values()) <= 1.25 * 60 / 5
        await anyio.sleep(3)
        counted.clear()
        await anyio.sleep(60)
        assert set(counted) == {"PUT leases"}
        assert counted["PUT leases"] <= 61 * 5

    in_fleet(scenario(5, plans(60)), story)


def test_a_stopping_node_hands_over_and_nothing_else_moves() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        before = holders(world)
        world.nodes["n1"].ask_to_stop()
        assert await settled(world, 1, without="n1") < 0.3
        assert all(on == before[address] for address, on in holders(world).items() if before[address] != ["n1"])

    in_fleet(scenario(4, plans(40)), story)


def test_a_killed_nodes_addresses_are_taken_within_a_lease_and_none_comes_back() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        before = holders(world)
        world.nodes["n1"].kill()
        await anyio.sleep(0.1)
        await settled(world, QUICK.duration + 1, without="n1")
        after = holders(world)
        assert all(on == before[address] for address, on in after.items() if before[address] != ["n1"])
        world.nodes["n1"].start()
        await anyio.sleep(20)
        assert holders(world) == after

    in_fleet(scenario(4, plans(40)), story)


def test_a_node_that_has_lost_its_endpoint_hands_over_to_one_that_has_one() -> None:
    local = ServicePlan(name="local", addresses=(FIRST,), local=True)

    async def story(world: World) -> None:
        await settled(world, 3)
        (before,) = holders(world)[FIRST]
        fault = EndpointsGone(start=0, duration=1, nodes=(before,), service="local")
        fault.strike(world)
        assert await settled(world, 2, without=before) < 0.3

    in_fleet(scenario(3, (local,)), story)


def test_the_record_names_the_holder_and_its_service() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(1)
        found = world.server.store.get(SERVICES, ("default", "s0"))
        assert found is not None
        text = found.value["metadata"]["annotations"]["kubevip.io/holder"]
        assert found.value["metadata"]["uid"] in text
        assert holders(world)[FIRST][0] in text
        assert found.value["metadata"]["annotations"]["kube-vip.io/vipHost"] == holders(world)[FIRST][0]

    in_fleet(scenario(2, plans(1)), story)


def test_after_an_outage_of_the_api_server_everybody_has_what_it_had() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        before = holders(world)
        fault = ApiCut(start=0, duration=20, nodes=tuple(world.nodes), requests=True, replies=True)
        fault.strike(world)
        await anyio.sleep(20)
        assert not loads(world)
        fault.heal(world)
        await settled(world, 40)
        assert holders(world) == before

    in_fleet(scenario(4, plans(20)), story)


def test_each_address_has_a_holder_all_the_time_while_a_node_stops() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        held = {address: len(on) for address, on in holders(world).items()}
        events = len(list(world.chronicle.all(Moved)))
        world.nodes["n2"].ask_to_stop()
        await anyio.sleep(5)
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1
        assert set(held.values()) == {1}

    in_fleet(scenario(4, plans(40)), story)


def test_a_node_whose_link_is_down_hands_over_all_that_it_has() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        before = holders(world)
        fault = LinkDown(start=0, duration=60, nodes=("n1",))
        fault.strike(world)
        await until(lambda: not loads(world)["n1"] and loads(world).total() == 40, 3)
        assert all(on == before[address] for address, on in holders(world).items() if before[address] != ["n1"])
        fault.heal(world)
        after = holders(world)
        await anyio.sleep(20)
        assert holders(world) == after

    in_fleet(scenario(4, plans(40)), story)


def test_a_cordoned_node_hands_over_all_that_it_has_and_each_address_has_a_holder_all_the_time() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        held = {address: len(on) for address, on in holders(world).items()}
        events = len(list(world.chronicle.all(Moved)))
        Cordoned(start=0, duration=60, nodes=("n1",)).strike(world)
        await until(lambda: not loads(world)["n1"] and loads(world).total() == 40, 8)
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1

    in_fleet(scenario(4, plans(40)), story)


def test_a_successor_has_its_time_from_when_it_can_know_however_slow_the_api_server_is() -> None:
    async def story(world: World) -> None:
        await settled(world, 8)
        await anyio.sleep(6)
        held = {address: len(on) for address, on in holders(world).items()}
        events = len(list(world.chronicle.all(Moved)))
        ((busy, _count),) = loads(world).most_common(1)
        Cordoned(start=0, duration=60, nodes=(busy,)).strike(world)
        await until(lambda: not loads(world)[busy] and loads(world).total() == 8, 20)
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1

    # A successor shows up long after the record was sent, as the way to the API server is.
    in_fleet(scenario(3, plans(8), linger=0.1, latency=0.7), story)


def test_each_address_has_a_holder_all_the_time_though_the_api_server_takes_longer_than_addresses_may_linger() -> None:
    async def story(world: World) -> None:
        await settled(world, 10)
        await anyio.sleep(3)
        held = {address: len(on) for address, on in holders(world).items()}
        events = len(list(world.chronicle.all(Moved)))
        ApiSlow(start=0, duration=60, nodes=tuple(world.nodes), latency=0.25).strike(world)
        world.nodes["n2"].ask_to_stop()
        await settled(world, 30, without="n2")
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1

    in_fleet(attrs.evolve(scenario(3, plans(200)), linger=1.0), story)


def test_two_nodes_that_stop_together_hand_all_to_those_that_stay() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(3)
        held = {address: len(on) for address, on in holders(world).items()}
        events = len(list(world.chronicle.all(Moved)))
        for name in ("n1", "n2"):
            world.nodes[name].ask_to_stop()
        await until(lambda: loads(world)["n3"] + loads(world)["n4"] == loads(world).total() == 40, 3)
        for moved in list(world.chronicle.all(Moved))[events:]:
            held[moved.address] += 1 if moved.present else -1
            assert held[moved.address] >= 1

    in_fleet(scenario(4, plans(40)), story)


def test_the_last_node_stops_without_waiting_for_anybody() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        world.nodes["n1"].ask_to_stop()
        await until(lambda: not loads(world), QUICK.retry_period + 3.5)

    in_fleet(scenario(1, plans(5)), story)


def test_nodes_that_start_one_after_the_other_get_their_part() -> None:
    async def story(world: World) -> None:
        for node in list(world.nodes.values())[1:]:
            node.kill()
        # Nobody has taken anything yet: the first node waits whether others come.
        for node in list(world.nodes.values())[1:]:
            await anyio.sleep(0.6)
            assert not loads(world)
            node.start()
        await settled(world, 4)
        assert max(loads(world).values()) <= 1.25 * 60 / 4

    in_fleet(scenario(4, plans(60)), story)


def test_a_write_that_was_meant_for_other_addresses_drops_none_that_has_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (plan,) = plans(1)
    back: list[World] = []
    answer = ApiServer.answer

    def change_back_first(server: ApiServer, request: Request) -> Answer:
        if request.method == "PATCH" and "/services/" in request.path and back:
            back.pop().change_service(plan)
        return answer(server, request)

    monkeypatch.setattr(ApiServer, "answer", change_back_first)

    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(1)
        before = holders(world)
        back.append(world)
        world.change_service(attrs.evolve(plan, addresses=(FIRST + 100,)))
        await anyio.sleep(2)
        assert not back
        assert holders(world) == before
        for written in world.chronicle.all(Recorded):
            assert not written.writer or FIRST in dict(written.held)

    in_fleet(scenario(3, (plan,)), story)


def test_what_a_node_has_taken_and_not_found_to_be_free_is_not_handed_over_as_if_it_were() -> None:
    async def story(world: World) -> None:
        await settled(world, 3)
        await anyio.sleep(2.0371)
        (first,) = holders(world)[FIRST]
        last = [node for node in world.nodes if node != first][1]
        world.errands.hand_over(FIRST, last)
        await until(lambda: holders(world)[FIRST] == [last], 5)
        world.nodes[last].stall()
        RecordGone(start=0, duration=0, services=("s0",)).strike(world)
        await until(lambda: _named(world) not in ("", last), 3)
        taker = _named(world)
        world.cordon(taker, True)
        await until(lambda: _named(world) not in ("", taker, last), 3)
        while world.nodes[last].machine.addresses.has(FIRST):
            assert holders(world)[FIRST] == [last]
            await anyio.sleep(0.01)
        await settled(world, 3)

    in_fleet(scenario(4, plans(3)), story)


def _named(world: World) -> str:
    stored = world.server.store.get(SERVICES, ("default", "s0"))
    assert stored is not None
    metadata = stored.value["metadata"]
    record = Custody.parse(metadata["annotations"].get(HOLDER, ""), metadata["uid"])
    held = record.holder(FIRST) if record is not None else None
    return held.node if held is not None else ""
