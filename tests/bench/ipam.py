"""The IPAM: assignments a second and what one costs in memory, adoption, statistics."""

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address

from figures import Figure, hand_over, spread

from kubevip.ipam import Allocator, Request, read

LIVE, MORE, RUNS = 100_000, 20_000, 5
POOLS = {"a /8": "10.0.0.0/8", "a /64": "fd00::/64"}


def allocator(text: str, order: str = "asc", **data: str) -> Allocator:
    """Make an allocator of one pool."""
    return Allocator(read({"cidr-global": text, "search-order": order, **data}))


def requests(names: range) -> list[Request]:
    """Make requests, which exist before anything is measured."""
    return [Request(key=f"default/service-{name}", namespace="default") for name in names]


def assign_all(known: Allocator, asking: Sequence[Request]) -> None:
    for request in asking:
        known.assign(request)


def seconds(work: Callable[[], object]) -> float:
    """Measure *work*; the rubbish of what was before it is collected first."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rates(text: str, order: str) -> tuple[list[float], list[float]]:
    """Measure how many are assigned a second beside 100,000 that are live: never used ones, and released ones."""
    fresh, again = [], []
    for _ in range(RUNS):
        known, asking, late = allocator(text, order), requests(range(LIVE)), requests(range(LIVE, LIVE + MORE))
        assign_all(known, asking)
        fresh.append(MORE / seconds(partial(assign_all, known, late)))
        for request in asking[:: LIVE // MORE]:
            known.release(request.key)
        late = requests(range(2 * LIVE, 2 * LIVE + MORE))
        again.append(MORE / seconds(partial(assign_all, known, late)))
    return fresh, again


def bytes_each(text: str) -> float:
    """Measure what the account keeps of each assignment; the requests are the caller's."""
    asking = requests(range(LIVE))
    known = allocator(text)
    gc.collect()
    tracemalloc.start()
    assign_all(known, asking)
    gc.collect()
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / LIVE


def assigning() -> list[Figure]:
    """Measure assign(), ascending and descending."""
    figures = []
    for name, text in POOLS.items():
        for order in ("asc", "desc"):
            fresh, again = rates(text, order)
            what = f"assign() of {name}, {order}, 100,000 live"
            figures.append(Figure(what, ">= 500,000 /s", spread(fresh, "/s")))
            figures.append(Figure(f"{what}: released addresses", ">= 500,000 /s", spread(again, "/s")))
        figures.append(Figure(f"an assignment of {name}", "<= 200 bytes", f"{bytes_each(text):.0f} bytes"))
    return figures


def sharing() -> Figure:
    """Measure assign() where addresses may be shared and all have the same port, so that none is."""
    took = []
    for _ in range(RUNS):
        known = allocator("10.0.0.0/8", **{"allow-share-global": "true"})
        asking = [
            Request(
                key=f"default/{name}",
                namespace="default",
                ports=frozenset({(443, "TCP")}),
                local=True,
                selector=(("app", f"{name}"),),
            )
            for name in range(10_000)
        ]
        took.append(1e6 * seconds(partial(assign_all, known, asking)) / len(asking))
    return Figure("assign() where 10,000 could share but for their port", "-", spread(took, "us each", 1))


def adopting() -> list[Figure]:
    """Measure a restart with 10,000 Services, and a snapshot beside 100,000."""
    had = [(request, [IPv4Address(0x0A000001 + 2 * at)]) for at, request in enumerate(requests(range(10_000)))]

    def adopt_all(known: Allocator) -> None:
        for request, addresses in had:
            known.adopt(request, addresses)

    took = [1000 * seconds(lambda: adopt_all(allocator("10.0.0.0/8"))) for _ in range(RUNS)]
    known = allocator("10.0.0.0/8,fd00::/64")
    assign_all(known, requests(range(LIVE)))
    snapshots = [1000 * seconds(known.statistics) for _ in range(RUNS)]
    return [
        Figure("adoption of 10,000 Services", "-", spread(took, "ms", 1)),
        Figure("statistics() with 100,000 live", "-", spread(snapshots, "ms", 1)),
    ]


if __name__ == "__main__":
    hand_over([*assigning(), sharing(), *adopting()])
