"""A node of a fleet that shares Services loses its power, or its agent: when its addresses answer elsewhere."""

import signal
import time
from collections import defaultdict
from ipaddress import IPv4Address

import anyio
import anyio.to_thread
import attrs
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread
from kubevip_arp.packet import REPLY, Arp, probe
from wire import ARP, listening, mac_of

from kubevip.demo.cluster import CLIENT, OPERATOR, Cluster

COUNT, RUNS, ASKS_EVERY = 10, 5, 0.005
FIRST = IPv4Address("172.31.4.0")
ADDRESSES = [FIRST + number for number in range(COUNT)]
SPREAD = {"cp_enable": "false", "svc_placement": "spread", "vip_failover": "fast", "vip_heartbeat": "100"}


@attrs.define
class Answers:
    """Who answers for each address, asked every few milliseconds by the client."""

    seen: dict[bytes, list[tuple[float, bytes]]] = attrs.field(factory=lambda: defaultdict(list))

    def received(self, frame: bytes) -> None:
        """Note an answer."""
        arp = Arp.parse(frame)
        if arp is not None and arp.operation == REPLY:
            self.seen[arp.sender.packed].append((time.monotonic(), arp.mac))

    def of(self, node: bytes) -> list[bytes]:
        """Return the addresses that the node with this MAC address answered for last."""
        return [address for address, answers in self.seen.items() if answers[-1][1] == node]

    def are_elsewhere(self, addresses: list[bytes], node: bytes) -> bool:
        """Tell whether another node answers for all of these now."""
        recent = time.monotonic() - 0.1
        return all(self.seen[each][-1][1] != node and self.seen[each][-1][0] > recent for each in addresses)

    def outage(self, addresses: list[bytes], node: bytes) -> float:
        """Return the longest time for which nobody answered for one of these, in milliseconds."""
        gaps = []
        for address in addresses:
            old = max(at for at, mac in self.seen[address] if mac == node)
            gaps.append(1000 * (min(at for at, mac in self.seen[address] if mac != node) - old))
        return max(gaps)

    def doubled(self, addresses: list[bytes], node: bytes) -> float:
        """Return for how long two answered for one of these, in milliseconds."""
        return max(0.0, *(-self.outage([address], node) for address in addresses))


async def measure(cluster: Cluster) -> list[Figure]:
    """Make the Services, and lose nodes."""
    for node in cluster.nodes:
        cluster.start_agent(node)
    for number, address in enumerate(ADDRESSES):
        await cluster.create_service(f"service-{number}", str(address))
    await anyio.sleep(5)
    found: dict[str, list[tuple[float, float]]] = {"power-off": [], "kill -9 of the agent": []}
    for _run in range(RUNS):
        for what, outcomes in found.items():
            outcomes.append(await _lose(cluster, power=what == "power-off"))
            progress(f"{what}: an outage of {outcomes[-1][0]:.0f} ms, two for {outcomes[-1][1]:.0f} ms")
    figures = []
    for what, outcomes in found.items():
        name = f"spread, {COUNT} addresses, heartbeats at 100 ms, {what}"
        asked = "<= 700 ms" if what == "power-off" else ""
        figures += [
            Figure(f"{name}: outage of the last address", asked, spread([each[0] for each in outcomes], "ms")),
            Figure(f"{name}: two answer", "0 ms", spread([each[1] for each in outcomes], "ms")),
        ]
    return figures


async def _lose(cluster: Cluster, *, power: bool) -> tuple[float, float]:
    """Lose the node that has most; who comes back takes nothing."""
    macs = {node: mac_of(cluster.segment, node) for node in cluster.nodes}
    own, answers = mac_of(cluster.segment, CLIENT), Answers()
    with listening(cluster.segment, ARP, answers.received) as sock:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                while True:
                    for address in ADDRESSES:
                        sock.send(probe(address, own))
                    await anyio.sleep(ASKS_EVERY)

            tasks.start_soon(ask)
            with anyio.fail_after(30):
                while len(answers.seen) < COUNT:
                    await anyio.sleep(0.1)
            await anyio.sleep(1)
            node = max(cluster.nodes, key=lambda each: len(answers.of(macs[each])))
            lost, had = macs[node], answers.of(macs[node])
            if power:
                await anyio.to_thread.run_sync(cluster.segment.unplug, node)
            cluster.agents[node].tell(signal.SIGKILL)
            with anyio.fail_after(15):
                while not answers.are_elsewhere(had, lost):
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    await cluster.agents[node].wait()
    if power:
        await anyio.sleep(5)
        await anyio.to_thread.run_sync(cluster.segment.plug, node)
    outcome = answers.outage(had, lost), answers.doubled(had, lost)
    cluster.start_agent(node)
    await anyio.sleep(5)
    return outcome


if __name__ == "__main__":
    begin()
    hand_over(on_cluster(measure, environment={**OPERATOR, **SPREAD}))
