"""Nodes, a client and an API server on one Ethernet segment of this machine: an agent on each node, and a provider."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import IO, Any, Self

import anyio.to_thread
import attrs

from kubevip.config import Kubeconfig
from kubevip.config.provider import LEASE
from kubevip.demo import echo
from kubevip.emulator import BY_PLURAL, Emulator, User, serve
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.manifest import ProviderManifests, Rights
from kubevip.model import ObjectKey
from kubevip.net.segment import Interface, Machine, Segment

API, CLIENT = "api", "client"
PORT = 7000
# The environment of the container in the operator's DaemonSet, to the letter.
OPERATOR: Mapping[str, str] = {
    "vip_arp": "true",
    "vip_interface": "eth0",
    "vip_cidr": "32",
    "vipSubnet": "",
    "cp_enable": "true",
    "cp_namespace": "kube-system",
    "vip_ddns": "false",
    "svc_enable": "true",
    "vip_leaderelection": "true",
    "vip_leaseduration": "5",
    "vip_renewdeadline": "3",
    "vip_retryperiod": "1",
    "address": "172.31.0.99",
}
# The operator's ConfigMap: one free address, for the control plane and for Services.
POOLS = {"range-global": "172.31.0.99-172.31.0.99"}
_COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{0}/configmaps",
    "Service": "/api/v1/namespaces/{0}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{0}/endpointslices",
    "ServiceAccount": "/api/v1/namespaces/{0}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def addresses(nodes: Sequence[str]) -> dict[str, tuple[Interface, ...]]:
    """Return the addresses of the machines of a cluster with these nodes: IPv4 and IPv6, none of them a VIP."""
    numbers = {name: number for number, name in enumerate(nodes, start=1)} | {CLIENT: 201, API: 250}
    return {
        name: (ip_interface(f"172.31.0.{number}/16"), ip_interface(f"fd31::{number:x}/64"))
        for name, number in numbers.items()
    }


@attrs.define(eq=False)
class AgentProcess:
    """An agent that was started on a node."""

    node: str
    process: "subprocess.Popen[bytes]"
    started: float

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        return await anyio.to_thread.run_sync(self.process.wait)

    @property
    def rss_mib(self) -> float:
        """The memory that it occupies now, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@attrs.define(eq=False)
class Cluster:
    """A running cluster. Agents are started and stopped by the caller; what is left ends with the cluster."""

    nodes: tuple[str, ...]
    segment: Segment
    server: Emulator
    client: Client
    _directory: Path
    _environment: Mapping[str, str]
    _log: IO[bytes]
    agents: dict[str, AgentProcess] = attrs.field(factory=dict, init=False)
    _processes: "list[subprocess.Popen[bytes]]" = attrs.field(factory=list, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        segment: Segment,
        directory: Path,
        *,
        environment: Mapping[str, str] = OPERATOR,
        log: IO[bytes] | None = None,
    ) -> AsyncIterator[Self]:
        """Start the API server, with the rights of the operator's manifests, and what answers on the nodes.

        The calling process has to be on the machine ``api``. Agents log to *log*, else into *directory*.
        """
        tokens = {
            "admin": User("admin", ("system:masters",)),
            "agent": User.service_account("kube-system", "kube-vip"),
            "provider": User.service_account("kube-system", "kube-vip-cloud-controller"),
        }
        nodes = tuple(name for name in segment.machines if name not in (API, CLIENT))
        async with serve(host="172.31.0.250", port=8080, tokens=tokens, rbac=True) as server:
            for user in tokens.values():
                (directory / user.name.replace(":", "-")).write_text(server.kubeconfig(user.name))
            async with await connect([Kubeconfig(paths=(directory / "admin",), reason="the demo's own")]) as client:
                with (directory / "agents.log").open("ab") as file:
                    cluster = cls(nodes, segment, server, client, directory, environment, log or file)
                    for manifest in (*Rights().manifests(), *ProviderManifests(image="").rights(), _pools()):
                        await cluster.create(manifest)
                    with cluster._ending_processes():
                        cluster._start_echo()
                        yield cluster

    # Objects

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Create an object."""
        namespace = manifest["metadata"].get("namespace", "")
        await self.client.request("POST", _COLLECTIONS[manifest["kind"]].format(namespace), body=dict(manifest))

    async def create_service(self, name: str, address: str = "", **spec: Any) -> None:
        """Create a LoadBalancer Service, and an endpoint for it on each node; without *address* a pool gives it one."""
        annotations = {"kube-vip.io/loadbalancerIPs": address} if address else {}
        await self.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default", "annotations": annotations},
                "spec": {"type": "LoadBalancer", "ports": [{"port": PORT, "protocol": "UDP"}], **spec},
            }
        )
        await self.create(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-1",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": [f"10.1.0.{number}"], "nodeName": node, "conditions": {"ready": True}}
                    for number, node in enumerate(self.nodes, start=1)
                ],
                "ports": [{"port": PORT, "protocol": "UDP", "name": ""}],
            }
        )

    def stored(self, plural: str, key: ObjectKey) -> Mapping[str, Any] | None:
        """Return an object as the API server has it now."""
        found = self.server.store.get(BY_PLURAL[plural], (key.namespace, key.name))
        return found.value if found is not None else None

    def holder(self, lease: ObjectKey) -> str:
        """Return who holds a Lease; empty where nobody does."""
        found = self.stored("leases", lease)
        return str(found["spec"].get("holderIdentity") or "") if found else ""

    # Agents

    def start_agent(self, node: str, *, extra: Mapping[str, str] | None = None) -> AgentProcess:
        """Start the agent of *node*, with the environment of the cluster and *extra*."""
        environment = {
            **self._inherited(),
            **self._environment,
            "KUBECONFIG": self._kubeconfig("kube-vip"),
            **(extra or {}),
        }
        command = [sys.executable, "-m", "kubevip", "manager"]
        started = time.monotonic()
        agent = AgentProcess(node, self._start(self.segment.machines[node], command, env=environment), started)
        self.agents[node] = agent
        return agent

    def start_provider(self) -> None:
        """Start the provider, beside the API server."""
        environment = self._inherited() | {"KUBECONFIG": self._kubeconfig("kube-vip-cloud-controller")}
        command = [
            sys.executable,
            "-m",
            "kubevip",
            "provider",
            f"--leader-elect-resource-name={LEASE}",
        ]
        self._start(self.segment.machines[API], command, env=environment)

    def _kubeconfig(self, account: str) -> str:
        return str(self._directory / f"system-serviceaccount-kube-system-{account}")

    @staticmethod
    def _inherited() -> dict[str, str]:
        return {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ}

    def start_probe(self, address: str) -> "subprocess.Popen[bytes]":
        """Start to probe *address* from the client; the records come on its stdout."""
        command = [sys.executable, "-m", "kubevip.demo.probe", address, str(PORT)]
        return self._start(self.segment.machines[CLIENT], command, stdout=subprocess.PIPE)

    def _start_echo(self) -> None:
        sockets = []
        for node in self.nodes:
            with self.segment.machines[node].entered():
                sockets.append(echo.bind(PORT))
        numbers = [sock.fileno() for sock in sockets]
        command = [sys.executable, "-m", "kubevip.demo.echo", *map(str, numbers)]
        self._start(self.segment.machines[API], command, pass_fds=numbers)
        for sock in sockets:
            sock.close()

    def _start(self, machine: Machine, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        with machine.entered():
            process = subprocess.Popen(command, stderr=self._log, stdin=subprocess.DEVNULL, **options)
        self._processes.append(process)
        return process

    @contextlib.contextmanager
    def _ending_processes(self) -> Iterator[None]:
        try:
            yield
        finally:
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
            for process in self._processes:
                process.wait()
                if process.stdout:
                    process.stdout.close()


def _pools() -> Mapping[str, Any]:
    metadata = {"name": "kubevip", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(POOLS)}
