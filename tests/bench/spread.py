"""What spread mode writes, how even it is, and what it moves: whole agents in virtual time, all requests counted.

``python tests/bench/spread.py [--services N ...] [--nodes N]``: how many Services, each in a run of its own.
"""

import argparse
import logging
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import anyio
from figures import Figure, hand_over

# The fleet is that of the tests.
sys.path.insert(0, str(Path(__file__).parents[2]))

from kubevip.lease import Timing
from kubevip.placement import Item, Node, Placement, place, settled
from kubevip.testing.simulation.server import Answer, ApiServer, Request
from kubevip.testing.simulation.world import World
from tests.simulation import spread as fleet

NODES, SERVICES, WATCHED = 50, (1, 100, 500), 60.0
USUAL = Timing(duration=15, renew_deadline=10, retry_period=2)


def progress(text: str) -> None:
    """Tell people what goes on."""
    print(text, file=sys.stderr, flush=True)


def steady(nodes: int, services: int) -> tuple[float, float, Counter[str]]:
    """Return the writes a second of the busiest and of all nodes, once all is held, and all requests by kind."""
    counted: Counter[str] = Counter()
    by_node: Counter[str] = Counter()
    count = fleet.counting(counted)

    def note(server: ApiServer, request: Request) -> Answer:
        by_node[request.node] += request.method != "GET"
        return count(server, request)

    async def story(world: World) -> None:
        await fleet.settled(world, 120)
        await anyio.sleep(30)
        counted.clear()
        by_node.clear()
        await anyio.sleep(WATCHED)

    with mock.patch.object(ApiServer, "answer", note):
        fleet.in_fleet(fleet.scenario(nodes, fleet.plans(services), timing=USUAL), story)
    return max(by_node.values()) / WATCHED, by_node.total() / WATCHED, counted


def lost(nodes: int, services: int) -> tuple[Counter[str], int, int, Counter[str]]:
    """Return how many addresses each node has, how many a lost node had, how many moved, and the loads then."""
    found: list[tuple[Counter[str], int, int, Counter[str]]] = []

    async def story(world: World) -> None:
        await fleet.settled(world, 120)
        await anyio.sleep(10)
        before, had = fleet.holders(world), fleet.loads(world)
        world.nodes["n1"].kill()
        await anyio.sleep(1)
        await fleet.settled(world, 60, without="n1")
        after = fleet.holders(world)
        moved = sum(on != before[address] for address, on in after.items())
        found.append((had, had["n1"], moved, fleet.loads(world)))

    fleet.in_fleet(fleet.scenario(nodes, fleet.plans(services), timing=USUAL), story)
    return found[0]


def _deciding(nodes: int, services: int) -> tuple[float, float]:
    """Return the processor time of a whole placement, and of one new Service beside it, in milliseconds."""
    known = {f"n{number}": Node(name=f"n{number}") for number in range(nodes)}
    items = [Item(key=f"default/s{number}") for number in range(services)]
    whole, one = [], []
    placed: dict[str, str] = {}
    for number in range(7):
        began = time.process_time()
        placed = place(items, known, {})
        whole.append(1000 * (time.process_time() - began))
        placement: Placement = settled(items, known, placed)
        began = time.process_time()
        placement.choose(Item(key=f"default/new{number}"))
        one.append(1000 * (time.process_time() - began))
    return statistics.median(whole), statistics.median(one)


def main() -> None:
    """Measure, and hand the figures over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=SERVICES)
    parser.add_argument("--nodes", type=int, default=NODES)
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures = []
    for services in told.services:
        began = time.monotonic()
        busiest, total, kinds = steady(told.nodes, services)
        progress(f"{services} Services: {busiest:.2f} a second, {dict(kinds)}, after {time.monotonic() - began:.0f} s")
        what = f"writes a second, {services:,} Services on {told.nodes} nodes in spread: the busiest node, all"
        figures.append(Figure(what, "<= 1 a node", f"{busiest:.2f}, {total:.1f}"))
    loads, had, moved, after = lost(10, 1000)
    progress(f"1,000 on ten nodes: {sorted(loads.values())}, then {sorted(after.values())}")
    figures += [
        Figure("1,000 VIPs on 10 nodes: most, least", "<= 125", f"{max(loads.values())}, {min(loads.values())}"),
        Figure("a node is lost: it had, moved, most afterwards", "no others", f"{had}, {moved}, {max(after.values())}"),
    ]
    whole, one = _deciding(50, 5000)
    figures.append(Figure("placing 5,000 on 50 nodes: all, one more", "50 ms", f"{whole:.0f} ms, {one:.2f} ms"))
    hand_over(figures)


if __name__ == "__main__":
    main()
