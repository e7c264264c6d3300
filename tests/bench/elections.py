"""Five hundred Services with a Lease each, on three agents: is every renewal in time, and what does that cost?

``python tests/bench/elections.py [SECONDS]`` watches for two minutes, unless told otherwise.
"""

import datetime
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import attrs
from cluster import NODES, begin, on_cluster, progress
from figures import Figure, hand_over, spread

from kubevip.demo.cluster import OPERATOR, Cluster
from kubevip.emulator import BY_PLURAL
from kubevip.governance import LEASE_PREFIX

COUNT = 500
SECONDS = 120.0
SETTLE = 20.0
FIRST = IPv4Address("172.31.4.0")
DURATION, DEADLINE, PERIOD = 15, 10, 2
ENVIRONMENT = {
    **OPERATOR,
    "svc_election": "true",
    "vip_leaseduration": str(DURATION),
    "vip_renewdeadline": str(DEADLINE),
    "vip_retryperiod": str(PERIOD),
}
TICKS = os.sysconf("SC_CLK_TCK")


@attrs.define(eq=False)
class Record:
    """What became of each Lease: when its holder renewed it, by the holder's own clock, and who that was."""

    cluster: Cluster
    renewed: dict[str, float] = attrs.field(factory=dict)
    holders: dict[str, str] = attrs.field(factory=dict)
    gaps: list[float] = attrs.field(factory=list)
    lost: int = 0
    spread: Counter[int] = attrs.field(factory=Counter)
    _position: int = 0

    def look(self) -> None:
        """Read what was written since the last look."""
        shelf = self.cluster.server.store.shelf(BY_PLURAL["leases"])
        changes = shelf.after(self._position)
        self._position += len(changes)
        for change in changes:
            name = str(change.new.value["metadata"]["name"])
            if name.startswith(LEASE_PREFIX):
                self._note(name, change.new.value["spec"])

    def begin(self) -> None:
        """Judge what is written from now on."""
        self._position = self.cluster.server.store.shelf(BY_PLURAL["leases"]).end
        for number in range(COUNT):
            found = self.cluster.server.store.get(BY_PLURAL["leases"], ("default", f"{LEASE_PREFIX}service-{number}"))
            assert found is not None
            self._note(f"{LEASE_PREFIX}service-{number}", found.value["spec"])
        self.gaps.clear()
        self.lost = 0

    def _note(self, name: str, spec: Mapping[str, Any]) -> None:
        now = datetime.datetime.fromisoformat(spec["renewTime"]).timestamp()
        if name in self.renewed:
            self.gaps.append(now - self.renewed[name])
            self.lost += self.holders[name] != spec["holderIdentity"]
            self.spread[int(now * 1000)] += 1
        self.renewed[name], self.holders[name] = now, spec["holderIdentity"]


def used(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(cluster: Cluster) -> list[Figure]:
    """Make the Services, let the agents elect, and look on."""
    record = Record(cluster)
    for node in cluster.nodes:
        cluster.start_agent(node)
    await anyio.sleep(5)
    began = time.monotonic()
    for number in range(COUNT):
        await cluster.create_service(f"service-{number}", str(FIRST + number))
    progress(f"{COUNT} Services made in {time.monotonic() - began:.1f} s")
    while True:
        leases = cluster.server.store.shelf(BY_PLURAL["leases"]).objects
        if sum(1 for key in leases if key[1].startswith(LEASE_PREFIX)) == COUNT:
            break
        await anyio.sleep(0.2)
    progress(f"{COUNT} Leases after {time.monotonic() - began:.1f} s")
    await anyio.sleep(SETTLE)
    record.begin()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    before = {node: used(agent.process.pid) for node, agent in cluster.agents.items()}
    own, requests, began = time.process_time(), cluster.server.statistics().requests, time.monotonic()
    while time.monotonic() < began + seconds:
        await anyio.sleep(0.5)
        record.look()
    took = time.monotonic() - began
    requests = cluster.server.statistics().requests - requests
    processor = [100 * (used(cluster.agents[node].process.pid) - before[node]) / took for node in NODES]
    silent = max(time.time() - at for at in record.renewed.values())
    held = Counter(record.holders.values())
    what = f"{COUNT} Services with a Lease each, 3 agents, {took:.0f} s"
    return [
        Figure(f"{what}: terms lost", "0", str(record.lost)),
        Figure(
            f"the same: seconds between renewals ({len(record.gaps):,} of them)",
            f"max < {DEADLINE}",
            f"{spread(record.gaps, 's', 2)}, longest rest {silent:.2f} s",
        ),
        Figure("the same: most renewals within a millisecond", "", str(max(record.spread.values()))),
        Figure("the same: requests a second, all agents", "printed", f"{requests / took:.0f}"),
        Figure("the same: watches, all agents", "", str(cluster.server.statistics().streams)),
        Figure("the same: Leases held by each agent", "", ", ".join(str(held[node]) for node in NODES)),
        Figure("the same: processor of each agent", "printed", ", ".join(f"{each:.1f} %" for each in processor)),
        Figure("the same: processor of the API server", "", f"{100 * (time.process_time() - own) / took:.0f} %"),
        Figure(
            "the same: RSS of each agent",
            "printed",
            ", ".join(f"{cluster.agents[node].rss_mib:.1f} MiB" for node in NODES),
        ),
    ]


if __name__ == "__main__":
    begin()
    hand_over(on_cluster(measure, environment=ENVIRONMENT))
