"""A planned stop of the holder of a thousand Services, each with an address of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread
from kubevip_arp.packet import REPLY, Arp, probe
from wire import ARP, listening, mac_of

from kubevip.demo.cluster import CLIENT, PORT, Cluster
from kubevip.demo.scenario import SERVICES_LEASE, Story
from kubevip.model import ServiceKey

COUNT, SAMPLE, RUNS = 1000, 20, 5
FIRST = IPv4Address("172.31.4.0")


async def measure(cluster: Cluster) -> list[Figure]:
    """Make the Services, and stop their holder several times."""
    story = Story(cluster, "172.31.0.99", progress)
    for node in cluster.nodes:
        cluster.start_agent(node)
    await story.wait(lambda: cluster.holder(SERVICES_LEASE) != "")
    for number in range(COUNT):
        await cluster.create_service(f"service-{number}", str(FIRST + number))
    await story.wait(Published(cluster, COUNT), bound=60)
    progress(f"{COUNT} Services published")
    await anyio.sleep(3)
    times, lost, sent, exits = [], [], 0, []
    for _ in range(RUNS):
        took, result, code = await _stop_holder(cluster, story)
        times.append(1000 * took)
        lost.append(result.lost)
        sent = result.sent
        exits.append(code)
        progress(f"announced after {1000 * took:.0f} ms, {result}, exit {code}")
    silent = await _unanswered(cluster)
    memory = [agent.rss_mib for agent in cluster.agents.values()]
    return [
        Figure(
            f"{COUNT:,} Services, planned stop: SIGTERM to the last one announced", "<= 500 ms", spread(times, "ms")
        ),
        Figure(f"the same: probes lost on a sample of {SAMPLE} (of {sent:,})", "0", spread(lost, "lost")),
        Figure("the same: addresses that not just the holder answers for", "0", f"{silent} of {COUNT:,}"),
        Figure("the same: RSS of an agent that knows them", "", spread(memory, "MiB", 1)),
    ]


@attrs.frozen
class Published:
    """Whether the last of *count* Services has its address in its status."""

    cluster: Cluster
    count: int

    def __call__(self) -> bool:
        service = self.cluster.stored("services", ServiceKey("default", f"service-{self.count - 1}")) or {}
        return bool(service.get("status", {}).get("loadBalancer", {}).get("ingress"))


@attrs.define
class Sample:
    """What came of the probes, and which nodes answered last."""

    sent: int = 0
    lost: int = 0
    last_nodes: list[int] = attrs.field(factory=list)


async def _stop_holder(cluster: Cluster, story: Story) -> tuple[float, Sample, int]:
    holder = cluster.holder(SERVICES_LEASE)
    agent = cluster.agents[holder]
    own = mac_of(cluster.segment, holder)
    announced: dict[bytes, float] = {}

    def received(frame: bytes) -> None:
        if frame[6:12] != own and frame[28:32] == frame[38:42]:
            announced.setdefault(frame[28:32], time.monotonic())

    async with _probing(cluster) as result:
        with listening(cluster.segment, ARP, received):
            await anyio.sleep(1)
            announced.clear()
            began = time.monotonic()
            agent.tell(signal.SIGTERM)
            await story.wait(lambda: len(announced) >= COUNT)
        code = await agent.wait()
        await anyio.sleep(2)
    cluster.start_agent(holder)
    await anyio.sleep(6)
    if len(announced) < COUNT:
        return float("inf"), result, code
    return max(announced.values()) - began, result, code


@asynccontextmanager
async def _probing(cluster: Cluster) -> AsyncIterator[Sample]:
    sample = [str(FIRST + number) for number in range(0, COUNT, COUNT // SAMPLE)]
    command = [sys.executable, str(Path(__file__).with_name("sample_probe.py")), str(PORT), *sample]
    with cluster.segment.machines[CLIENT].entered():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    result = Sample()
    try:
        await anyio.sleep(0.5)
        yield result
    finally:
        output, _ = await anyio.to_thread.run_sync(process.communicate)
        told = json.loads(output)
        result.sent, result.lost, result.last_nodes = told["sent"], told["lost"], told["last_nodes"]


async def _unanswered(cluster: Cluster) -> int:
    """Ask on the wire for each address; return for how many not exactly the holder answers.

    By hand, because a client's neighbour table doesn't hold a thousand entries by default.
    """
    holder = mac_of(cluster.segment, cluster.holder(SERVICES_LEASE))
    answers: dict[bytes, set[bytes]] = {}

    def received(frame: bytes) -> None:
        arp = Arp.parse(frame)
        if arp is not None and arp.operation == REPLY:
            answers.setdefault(arp.sender.packed, set()).add(arp.mac)

    own = mac_of(cluster.segment, CLIENT)
    with listening(cluster.segment, ARP, received) as sock:
        for number in range(COUNT):
            sock.send(probe(FIRST + number, own))
            await anyio.sleep(0.0005)
        await anyio.sleep(0.5)
    return sum(1 for number in range(COUNT) if answers.get((FIRST + number).packed) != {holder})


if __name__ == "__main__":
    begin()
    hand_over(on_cluster(measure))
