"""Whole agents that spread Services: who still answers for an address that it has handed over is no other machine."""

import anyio

from kubevip.lease import Timing
from kubevip.testing.simulation.faults_fitness import Cordoned
from kubevip.testing.simulation.faults_segment import Cut
from kubevip.testing.simulation.world import World
from tests.simulation.spread import FIRST, holders, in_fleet, plans, scenario, settled
from tests.waiting import until

# With these an address stays for longer than the shortest time after which another machine could be told from it.
SLOW = Timing(duration=8, renew_deadline=5, retry_period=2)
AGENTS = scenario(3, plans(1), timing=SLOW)


def told(world: World) -> dict[str, tuple[int, int]]:
    """Return how many conflicts each agent has told of: of addresses that it held, and of such that it was to take."""
    found = {}
    for name, node in world.nodes.items():
        statistics = node.statistics()
        assert statistics is not None
        assert statistics.conflicts is not None
        assert statistics.keeper is not None
        found[name] = (statistics.conflicts.conflicts, statistics.keeper.conflicts)
    return found


NOTHING = {"n1": (0, 0), "n2": (0, 0), "n3": (0, 0)}


def test_a_node_that_does_not_see_its_successor_is_no_other_machine() -> None:
    async def story(world: World) -> None:
        await settled(world, 5)
        await anyio.sleep(2)
        (before,) = holders(world)[FIRST]
        deaf = Cut(start=0, duration=10, nodes=(before,), heard=True)
        deaf.strike(world)
        Cordoned(start=0, duration=10, nodes=(before,)).strike(world)
        await anyio.sleep(3)
        # It hears questions from now on, and its successor announces itself again in some seconds.
        deaf.heal(world)
        await anyio.sleep(2.1)
        assert len(holders(world)[FIRST]) == 2
        await settled(world, 1, without=before)
        await anyio.sleep(5)
        assert told(world) == NOTHING

    in_fleet(AGENTS, story)


def test_one_that_waits_for_a_successor_that_is_lost_is_no_other_machine() -> None:
    async def story(world: World) -> None:
        await settled(world, 5)
        await anyio.sleep(2)
        (before,) = holders(world)[FIRST]
        heir, third = (name for name in world.nodes if name != before)
        unfit = Cordoned(start=0, duration=10, nodes=(third,))
        unfit.strike(world)
        await anyio.sleep(2.5)
        world.nodes[heir].stall()
        # Its Lease has nearly ended when the address is handed over to it.
        await anyio.sleep(5)
        Cordoned(start=0, duration=60, nodes=(before,)).strike(world)
        await anyio.sleep(0.1)
        unfit.heal(world)
        await until(lambda: third in holders(world)[FIRST], 5)
        # Who waited was asked, and answered.
        assert holders(world)[FIRST] == sorted((before, third))
        await settled(world, 1, without=before)
        await anyio.sleep(8)
        assert told(world) == NOTHING

    in_fleet(AGENTS, story)


def test_one_that_waits_for_a_successor_that_is_restarted_is_no_other_machine() -> None:
    async def story(world: World) -> None:
        await settled(world, 5)
        await anyio.sleep(2)
        (before,) = holders(world)[FIRST]
        heir, third = (name for name in world.nodes if name != before)
        Cordoned(start=0, duration=60, nodes=(third,)).strike(world)
        await anyio.sleep(2.5)
        world.nodes[heir].stall()
        Cordoned(start=0, duration=60, nodes=(before,)).strike(world)
        await anyio.sleep(0.1)
        world.nodes[heir].kill()
        world.nodes[heir].start()
        await anyio.sleep(4)
        assert holders(world)[FIRST] == [before]
        await settled(world, 3, without=before)
        assert told(world) == NOTHING

    in_fleet(AGENTS, story)
