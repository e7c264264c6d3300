"""What heartbeats cost, how soon a thousand VIPs are back after a power-off, and whether load makes anybody hurry.

``python tests/bench/heartbeats.py [--minutes M] [--load-only] [--busy N]``: for how long N processes (one a core, if
not told) load the machine, beside whatever else does; 2 minutes if not told.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread
from thousand import FIRST, Published
from wire import ARP, listening, mac_of

from kubevip.demo.cluster import OPERATOR, Cluster
from kubevip.demo.scenario import CONTROL_PLANE_LEASE, SERVICES_LEASE, Story

FEW, MANY, RUNS, WATCHED = 100, 1000, 3, 20.0
HEARTBEATS = {**OPERATOR, "vip_failover": "fast"}
LEASES = (CONTROL_PLANE_LEASE, SERVICES_LEASE)


async def serve(cluster: Cluster, count: int) -> Story:
    """Start the agents, and have them hold *count* addresses of Services."""
    story = Story(cluster, "172.31.0.99", progress)
    for node in cluster.nodes:
        cluster.start_agent(node)
    await story.wait(lambda: all(cluster.holder(lease) for lease in LEASES))
    for number in range(count):
        await cluster.create_service(f"service-{number}", str(FIRST + number))
    await story.wait(Published(cluster, count), bound=60)
    await anyio.sleep(3)
    return story


async def cost(cluster: Cluster) -> list[float]:
    """Measure the processor time of three agents that hold, or stand by for, a hundred addresses."""
    await serve(cluster, FEW)
    before = {node: _processor_seconds(agent.process.pid) for node, agent in cluster.agents.items()}
    began = time.monotonic()
    await anyio.sleep(WATCHED)
    watched = time.monotonic() - began
    return [
        100 * (_processor_seconds(agent.process.pid) - before[node]) / watched for node, agent in cluster.agents.items()
    ]


async def power_off(cluster: Cluster) -> tuple[list[float], list[float], list[float]]:
    """Cut the power of the holder of a thousand addresses, several times."""
    story = await serve(cluster, MANY)
    took, memory, load = [], [], []
    wanted = {(FIRST + number).packed for number in range(MANY)}
    for _ in range(RUNS):
        holder = cluster.holder(SERVICES_LEASE)
        own = mac_of(cluster.segment, holder)
        announced: dict[bytes, float] = {}

        def received(frame: bytes, own: bytes = own, announced: dict[bytes, float] = announced) -> None:
            if frame[6:12] != own and frame[28:32] == frame[38:42]:
                announced.setdefault(frame[28:32], time.monotonic())

        def all_are(announced: dict[bytes, float] = announced) -> bool:
            return len(announced.keys() & wanted) == MANY

        with listening(cluster.segment, ARP, received):
            busy = {node: _processor_seconds(agent.process.pid) for node, agent in cluster.agents.items()}
            began = time.monotonic()
            await anyio.to_thread.run_sync(cluster.segment.unplug, holder)
            cluster.agents[holder].tell(signal.SIGKILL)
            await story.wait(all_are, bound=30)
        took.append(1000 * (max(announced[address] for address in wanted) - began))
        successor = cluster.holder(SERVICES_LEASE)
        memory.append(cluster.agents[successor].rss_mib)
        load.append(1000 * (_processor_seconds(cluster.agents[successor].process.pid) - busy[successor]))
        progress(f"{took[-1]:.0f} ms")
        await cluster.agents[holder].wait()
        await anyio.to_thread.run_sync(cluster.segment.plug, holder)
        cluster.start_agent(holder)
        await anyio.sleep(10)
    return took, memory, load


def under_load(minutes: float, busy: int) -> Callable[[Cluster], Awaitable[tuple[int, int, list[float]]]]:
    """Let all cores be busy, and see whether a Lease changes hands; tell the load averages, too."""

    async def measure(cluster: Cluster) -> tuple[int, int, list[float]]:
        await serve(cluster, FEW)
        holders = {lease: cluster.holder(lease) for lease in LEASES}
        changes, loads = 0, []
        with _busy(busy):
            ends = time.monotonic() + 60 * minutes
            while time.monotonic() < ends:
                await anyio.sleep(0.05)
                loads.append(os.getloadavg()[0])
                for lease in LEASES:
                    now = cluster.holder(lease)
                    if now != holders[lease]:
                        changes += 1
                        progress(f"{lease} went from {holders[lease]} to {now}")
                        holders[lease] = now
        alive = sum(agent.process.poll() is None for agent in cluster.agents.values())
        return changes, alive, loads

    return measure


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--load-only", action="store_true")
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    figures = []
    if not asked.load_only:
        without, with_them = on_cluster(cost), on_cluster(cost, environment=HEARTBEATS)
        what = f"processor time of an agent, 3 nodes, {FEW} VIPs"
        figures.append(Figure(f"{what}, no heartbeats", "-", spread(without, "%", 2)))
        figures.append(Figure(f"{what}, heartbeats at 100 ms", "<= 1 % of a core", spread(with_them, "%", 2)))
        took, memory, load = on_cluster(power_off, environment=HEARTBEATS)
        figures.append(Figure(f"{MANY:,} VIPs, power-off: all announced again", "<= 1,000 ms", spread(took, "ms")))
        figures.append(Figure("the same: RSS of the successor", "-", spread(memory, "MiB", 1)))
        figures.append(Figure("the same: processor time of the successor", "-", spread(load, "ms")))
    changes, alive, loads = on_cluster(under_load(asked.minutes, asked.busy), environment=HEARTBEATS)
    what = f"false takeovers in {asked.minutes:g} min of load, {FEW} VIPs, heartbeats at 100 ms"
    figures.append(Figure(what, "0", f"{changes}, {alive} of 3 agents alive, load {spread(loads, '', 1)}"))
    hand_over(figures)


if __name__ == "__main__":
    begin()
    main()
