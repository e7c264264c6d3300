"""A thousand Services created at once, alone and beside ten thousand; a provider that is started with ten thousand.

The built-in API server is in this process, and the provider in one of its own.
"""

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
from figures import Figure, hand_over, spread

from kubevip.config import Kubeconfig
from kubevip.emulator import BY_PLURAL, Emulator, User, serve
from kubevip.kube.client import Client
from kubevip.kube.connect import connect

AT_ONCE, THERE, RUNS = 1000, 10_000, 3
POOLS = {"cidr-global": "10.0.0.0/8"}
FLAGS = [
    "--leader-elect-resource-name=kube-vip-cloud-controller",
    "--prometheusHTTPServer=off",
    "--logging-format=json",
]
LEASE = ("kube-system", "kube-vip-cloud-controller")
Manifest = dict[str, object]


def service(name: str, *, address: str = "") -> Manifest:
    metadata: dict[str, object] = {"name": name, "namespace": "default"}
    spec: dict[str, object] = {
        "type": "LoadBalancer",
        "allocateLoadBalancerNodePorts": False,
        "ports": [{"port": 80, "protocol": "TCP", "name": "http"}],
    }
    if address:
        metadata |= {
            "annotations": {
                "kube-vip.io/loadbalancerIPs": address,
                "kubevip.io/assigned": f"cidr-global {address}",
            },
            "labels": {"implementation": "kube-vip"},
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
        }
        spec["loadBalancerIP"] = address
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def addresses(server: Emulator) -> dict[str, str]:
    """Return the address of each Service, as the server has it."""
    found: dict[str, str] = {}
    for stored in server.store.view(BY_PLURAL["services"]).walk():
        value = stored.value
        found[value["metadata"]["name"]] = (
            value["metadata"].get("annotations", {}).get("kube-vip.io/loadbalancerIPs", "")
        )
    return found


@attrs.define(eq=False)
class Site:
    server: Emulator
    client: Client
    kubeconfig: Path
    created: int = attrs.field(default=0, init=False)

    async def create(self, manifests: Iterable[Manifest]) -> None:
        pending = list(manifests)

        async def some() -> None:
            while pending:
                await self.client.request("POST", "/api/v1/namespaces/default/services", body=pending.pop())

        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(some)

    @contextlib.asynccontextmanager
    async def provider(self) -> AsyncIterator[None]:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [sys.executable, "-m", "kubevip", "provider", *FLAGS]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(process.wait)

    async def wait_for(self, names: Iterable[str]) -> None:
        """Wait until all of *names* have an address."""
        missing = set(names)
        while missing:
            await anyio.sleep(0.01)
            for name in tuple(missing):
                found = self.server.store.get(BY_PLURAL["services"], ("default", name))
                assert found is not None
                if found.value["metadata"].get("annotations", {}).get("kube-vip.io/loadbalancerIPs"):
                    missing.discard(name)

    async def wave(self) -> tuple[float, float]:
        """Create a thousand; return how many seconds it took until all had an address, and API calls for each."""
        self.created += 1
        names = [f"wave{self.created}-{number}" for number in range(AT_ONCE)]
        before, began = self.server.statistics().requests, time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.create, [service(name) for name in names])
            await self.wait_for_all_created(names)
            await self.wait_for(names)
        took = time.monotonic() - began
        # Events follow.
        await anyio.sleep(2)
        calls = self.server.statistics().requests - before - AT_ONCE
        return took, calls / AT_ONCE

    async def wait_for_all_created(self, names: Sequence[str]) -> None:
        while any(self.server.store.get(BY_PLURAL["services"], ("default", name)) is None for name in names[::-1]):
            await anyio.sleep(0.01)

    async def settled(self) -> None:
        while self.server.store.get(BY_PLURAL["leases"], LEASE) is None:
            await anyio.sleep(0.01)
        await anyio.sleep(1)


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    tokens = {"admin": User("admin", ("system:masters",))}
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        async with serve(tokens=tokens) as server:
            kubeconfig.write_text(server.kubeconfig("admin"))
            async with await connect([Kubeconfig(paths=(kubeconfig,), reason="the benchmark's own")]) as client:
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "kubevip", "namespace": "kube-system"},
                    "data": POOLS,
                }
                await client.request("POST", "/api/v1/namespaces/kube-system/configmaps", body=body)
                yield Site(server, client, kubeconfig)


def there() -> list[Manifest]:
    return [service(f"old-{number}", address=f"10.200.{number // 250}.{number % 250 + 1}") for number in range(THERE)]


async def waves(present: Sequence[Manifest]) -> tuple[list[float], list[float]]:
    times, calls = [], []
    for _ in range(RUNS):
        async with site() as here:
            await here.create(present)
            async with here.provider():
                await here.settled()
                took, each = await here.wave()
                times.append(took)
                calls.append(each)
                found = addresses(here.server)
                assert len(set(found.values())) == len(found)
    return times, calls


async def restarts() -> list[float]:
    times = []
    for _ in range(RUNS):
        async with site() as here:
            await here.create(there())
            before = addresses(here.server)
            await here.create([service("new")])
            began = time.monotonic()
            async with here.provider():
                await here.wait_for(["new"])
                times.append(time.monotonic() - began)
                await anyio.sleep(1)
                after = addresses(here.server)
            moved = [name for name, address in before.items() if after[name] != address]
            assert not moved, f"{len(moved)} were renumbered"
    return times


async def main() -> list[Figure]:
    alone, calls = await waves([])
    beside, _ = await waves(there())
    started = await restarts()
    ratio = statistics.median(beside) / statistics.median(alone)
    return [
        Figure("1,000 Services at once have their address", "≤ 5 s", spread(alone, "s", 2)),
        Figure("the same beside 10,000 Services", "≤ 1.5 times that", f"{ratio:.2f} times, {spread(beside, 's', 2)}"),
        Figure("API calls for each, with its Event", "≤ 2", spread(calls, "calls", 2)),
        Figure("started with 10,000 Services: first new address", "≤ 3 s", spread(started, "s", 2)),
    ]


if __name__ == "__main__":
    hand_over(asyncio.run(main()))
