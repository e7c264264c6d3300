"""What ``listing.py`` runs."""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from cluster import progress
from figures import Figure, spread

import kubevip.agent
from kubevip.claims import Claims, Fixed
from kubevip.config import Kubeconfig
from kubevip.controllers.ownership import Ownership
from kubevip.controllers.services import Services
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.kube.events import Events
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import SERVICES
from kubevip.kube.sinks import ServiceSink
from kubevip.lease import Timing
from kubevip.model import LeaseKey
from kubevip.runtime.keeper import Keeper
from kubevip.service import ClassFilter
from kubevip.testing import MemoryAddresses, MemoryLinks

COUNT, RUNS = 10_000, 5
assert kubevip.agent, "loaded for its memory: the agent has all of it"


async def measure() -> list[Figure]:
    """List and watch all Services several times."""
    with tempfile.TemporaryDirectory(prefix="kubevip-bench-") as directory:
        path = Path(directory) / "kubeconfig"
        async with _emulator(path), await connect([Kubeconfig(paths=(path,), reason="the benchmark's")]) as client:
            await _fill(client)
            progress(f"{COUNT} Services made")
            times, stalls, memory = [], [], []
            for _ in range(RUNS):
                took, stall = await _list_and_watch(client)
                times.append(1000 * took)
                stalls.append(1000 * stall)
                memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
                # An agent lists once: what the last run left must not count for the next.
                gc.collect()
    return [
        Figure(f"{COUNT:,} Services listed and watched", "<= 300 ms", spread(times, "ms")),
        Figure("the same: longest time the loop was blocked", "<= 50 ms", spread(stalls, "ms", 1)),
        Figure("the same: RSS", "<= 120 MiB", spread(memory, "MiB", 1)),
    ]


async def _list_and_watch(client: Client) -> tuple[float, float]:
    timing = Timing()
    links = MemoryLinks()
    keeper = Keeper(MemoryAddresses(links), links, {}, timing, linger=1.0)
    ownership = Ownership(Claims(Fixed({}, LeaseKey("kube-system", "plndr-svcs-lock"))), keeper)
    services = Services(
        "node1", ownership, ClassFilter(), lambda _address, _name: ("eth0", 32), Events(client, "node1"), lambda: False
    )
    reflector = Reflector(client, SERVICES, ServiceSink(services))
    stalls: list[float] = []
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_feel, stalls)
        tasks.start_soon(reflector.run)
        while reflector.statistics().streams == 0:
            await anyio.sleep(0.001)
        took = anyio.current_time() - began
        assert services.statistics().wanted == COUNT
        tasks.cancel_scope.cancel()
    return took, max(stalls)


async def _feel(stalls: list[float]) -> None:
    while True:
        before = time.monotonic()
        await anyio.sleep(0.001)
        stalls.append(time.monotonic() - before - 0.001)


@asynccontextmanager
async def _emulator(kubeconfig: Path) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "kubevip", "emulator", "--listen", "127.0.0.1:0", "--kubeconfig", str(kubeconfig)]
    process = await anyio.open_process(command, stdout=subprocess.DEVNULL, stderr=None)
    try:
        while not kubeconfig.exists():
            await anyio.sleep(0.02)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _fill(client: Client) -> None:
    limiter = anyio.CapacityLimiter(16)

    async def create(number: int) -> None:
        async with limiter:
            address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            await client.request("POST", SERVICES.path("default"), body=_service(number, address))

    async with anyio.create_task_group() as tasks:
        for number in range(COUNT):
            tasks.start_soon(create, number)


def _service(number: int, address: str) -> dict[str, object]:
    applied = json.dumps({"kind": "Service", "spec": {"ports": [{"name": "http", "port": 80}] * 3}})
    return {
        "metadata": {
            "name": f"service-{number}",
            "labels": {"app.kubernetes.io/name": f"service-{number}", "app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "kube-vip.io/loadbalancerIPs": address,
                "kubectl.kubernetes.io/last-applied-configuration": applied,
            },
        },
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "selector": {"app": f"service-{number}"},
            "ports": [{"name": name, "port": port} for name, port in (("http", 80), ("https", 443), ("m", 9090))],
        },
    }
