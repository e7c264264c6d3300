"""The last endpoint of a Service goes, in BGP mode: from the write to the API server to the router's kernel."""

import time
from ipaddress import IPv4Address
from typing import Any

import anyio
from bgp import RTM_DELROUTE, RTM_NEWROUTE, Routes, bird_on
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread

from kubevip.demo.cluster import CLIENT, OPERATOR, Cluster
from kubevip.model import IPAddress, ObjectKey

RUNS, BESIDE = 100, 100
ROUTER, NODE = "172.31.0.201", "172.31.0.1"
ADDRESS: IPAddress = IPv4Address("10.44.0.1")
CONFIG = f"""\
router id {ROUTER};
protocol device {{}}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol bgp node {{
    local {ROUTER} as 65001; neighbor {NODE} as 65000; passive;
    ipv4 {{ import all; export none; }};
}}
"""
BGP = {
    **OPERATOR,
    "vip_arp": "",
    "vip_leaderelection": "",
    "cp_enable": "",
    "bgp_enable": "true",
    "bgp_peers": f"{ROUTER}:65001",
}
PATH = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1"


async def measure(cluster: Cluster) -> list[Figure]:
    """Let the last endpoint go and come again, many times, beside other Services."""
    router = cluster.segment.machines[CLIENT]
    routes = Routes(router)
    for number in range(BESIDE):
        await cluster.create_service(f"beside-{number}", str(ADDRESS + 1 + number))
    with bird_on(router, CONFIG):
        arrived = routes.wait(RTM_NEWROUTE, ADDRESS)
        await cluster.create_service("web", str(ADDRESS))
        cluster.start_agent(cluster.nodes[0])
        with anyio.fail_after(30):
            await arrived
        # The rest of what a start brings.
        await anyio.sleep(2)
        gone, back = [], []
        for _ in range(RUNS):
            gone.append(await _write(cluster, routes, RTM_DELROUTE, serving=False))
            back.append(await _write(cluster, routes, RTM_NEWROUTE, serving=True))
    routes.close()
    progress(f"withdrawn {spread(gone, 'ms', 1)}, back {spread(back, 'ms', 1)}")
    return [
        Figure("EndpointSlice written to route gone from BIRD's kernel table", "", spread(gone, "ms", 1)),
        Figure("the same: to the route being back", "", spread(back, "ms", 1)),
    ]


async def _write(cluster: Cluster, routes: Routes, kind: int, *, serving: bool) -> float:
    """Return how long after the write was begun the router's kernel says so, in milliseconds."""
    found: dict[str, Any] = dict(cluster.stored("endpointslices", ObjectKey("default", "web-1")) or {})
    conditions = {"ready": serving, "serving": serving, "terminating": not serving}
    body = {**found, "endpoints": [{**each, "conditions": conditions} for each in found["endpoints"]]}
    body["metadata"] = {name: value for name, value in found["metadata"].items() if name != "resourceVersion"}
    arrived = routes.wait(kind, ADDRESS)
    began = time.perf_counter()
    await cluster.client.request("PUT", PATH, body=body)
    with anyio.fail_after(10):
        took = await arrived - began
    await anyio.sleep(0.02)
    return took * 1000


if __name__ == "__main__":
    begin()
    hand_over(on_cluster(measure, nodes=("node1",), environment=BGP))
