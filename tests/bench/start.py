"""How soon an agent creates its Lease, and what it needs while it idles."""

import os
from pathlib import Path

import anyio
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread

from kubevip.demo.cluster import Cluster
from kubevip.demo.scenario import CONTROL_PLANE_LEASE, Story

RUNS = 7
IDLE_SECONDS = 10.0


async def measure(cluster: Cluster) -> list[Figure]:
    """Start one agent several times."""
    starts, memory, load = [], [], []
    for run in range(RUNS + 1):
        story = Story(cluster, "172.31.0.99", progress)
        agent = cluster.start_agent(cluster.nodes[0])
        await story.wait(lambda: cluster.stored("leases", CONTROL_PLANE_LEASE) is not None)
        start = anyio.current_time() - agent.started
        await anyio.sleep(3)
        if run == RUNS:
            before = _processor_seconds(agent.process.pid)
            await anyio.sleep(IDLE_SECONDS)
            load.append(100 * (_processor_seconds(agent.process.pid) - before) / IDLE_SECONDS)
        elif run > 0:
            # The first one compiled what had changed.
            starts.append(1000 * start)
        memory.append(agent.rss_mib)
        agent.process.kill()
        await agent.wait()
        await cluster.client.request(
            "DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/plndr-cp-lock"
        )
    return [
        Figure("start to Lease created, one node", "<= 500 ms", spread(starts, "ms")),
        Figure("RSS of an idle agent", "<= 60 MiB", spread(memory, "MiB", 1)),
        Figure("processor time of an idle holder", "<= 1 % of a core", spread(load, "%", 2)),
    ]


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    begin()
    hand_over(on_cluster(measure, nodes=("node1",)))
