"""A cluster of agent processes for tests: the demo's, before the built-in API server or a real one."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import aiohttp
import anyio
import attrs
import yaml

from kubevip.config import Kubeconfig
from kubevip.demo.cluster import AgentProcess, Cluster
from kubevip.demo.record import PATIENCE, HolderRecord, ProbeRecord
from kubevip.demo.watch import recording, watch_holders
from kubevip.emulator import Fault
from kubevip.errors import NotFound
from kubevip.kube.connect import connect
from kubevip.kube.resources import LEASES, SERVICES
from kubevip.model import LeaseKey, ObjectKey
from kubevip.net.segment import Segment
from tests.kernel import addresses_on
from tests.waiting import until

DATA = Path(__file__).parent / "data"
ACCOUNT = "system:serviceaccount:kube-system:kube-vip"
CONTROL_PLANE = LeaseKey("kube-system", "plndr-cp-lock")
SERVICES_LEASE = LeaseKey("kube-system", "plndr-svcs-lock")
_COLLECTIONS = {
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{0}/services",
    "ServiceAccount": "/api/v1/namespaces/{0}/serviceaccounts",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{0}/leases",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{0}/endpointslices",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def operator_environment() -> dict[str, str]:
    """Return the environment of the container in the operator's DaemonSet, to the letter."""
    (workload,) = yaml.safe_load_all((DATA / "kube-vip.yaml").read_text())
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


@attrs.define(eq=False)
class TestCluster(Cluster):
    """A running cluster, and what tests do to it and ask of it; all questions go through the API."""

    __test__ = False

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, server: Any, segment: Segment, directory: Path) -> AsyncIterator[Self]:
        """Prepare *server* with the operator's rights, and the nodes with a program that answers probes.

        The calling process has to be on the machine ``api``.
        """
        for user in ("admin", ACCOUNT):
            (directory / user.replace(":", "-")).write_text(kubeconfig_of(server, user))
        candidates = [Kubeconfig(paths=(directory / "admin",), reason="the test's own")]
        nodes = tuple(name for name in segment.machines if name.startswith("node"))
        async with await connect(candidates) as client:
            with (directory / "programs.log").open("ab") as log:
                cluster = cls(nodes, segment, server, client, directory, operator_environment(), log)
                await cluster.apply((DATA / "kube-vip-rbac.yaml").read_text())
                with cluster._ending_processes():
                    cluster._start_echo()
                    yield cluster

    # Objects

    async def apply(self, text: str) -> None:
        """Create what a manifest describes."""
        for document in yaml.safe_load_all(text):
            await self.create(document)

    async def create(self, manifest: Mapping[str, Any]) -> None:
        await self.client.request("POST", collection(manifest), body=dict(manifest))

    async def delete(self, manifest: Mapping[str, Any]) -> None:
        await self.client.request("DELETE", f"{collection(manifest)}/{manifest['metadata']['name']}")

    async def service(self, name: str) -> dict[str, Any]:
        return json.loads(await self.client.request("GET", SERVICES.path("default", name)))

    async def edit_service(self, name: str, change: Any, subresource: str = "") -> None:
        """Let *change* change the object, and write it back."""
        found = await self.service(name)
        change(found)
        found["metadata"].pop("resourceVersion")
        path = SERVICES.path("default", name, subresource)
        await self.client.request("PUT", path, body=found)

    async def annotate(self, name: str, **annotations: str | None) -> None:
        """Set annotations of kube-vip by their last part; ``None`` removes one."""

        def change(found: dict[str, Any]) -> None:
            known = found["metadata"].setdefault("annotations", {})
            for key, value in annotations.items():
                known.pop(f"kube-vip.io/{key}", None)
                if value is not None:
                    known[f"kube-vip.io/{key}"] = value

        await self.edit_service(name, change)

    async def delete_service(self, name: str) -> None:
        await self.client.request("DELETE", SERVICES.path("default", name))

    async def add_service(self, name: str, *addresses: str, endpoints: tuple[str, ...] = (), **spec: Any) -> None:
        """Create a Service at *addresses*, with an endpoint on each node of *endpoints*."""
        metadata = {
            "name": name,
            "namespace": "default",
            "annotations": {"kube-vip.io/loadbalancerIPs": ",".join(addresses)},
        }
        spec = {"type": "LoadBalancer", "ports": [{"port": 7000, "protocol": "UDP"}], **spec}
        await self.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        if endpoints:
            await self.set_endpoints(name, *endpoints)

    async def set_endpoints(self, name: str, *nodes: str, **conditions: bool) -> None:
        """Let the Service have an endpoint on each of *nodes*, ready unless *conditions* say otherwise."""
        manifest = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [f"10.1.0.{number}"], "nodeName": node, "conditions": conditions or {"ready": True}}
                for number, node in enumerate(nodes, start=1)
            ],
            "ports": [{"port": 7000, "protocol": "UDP", "name": ""}],
        }
        path = f"{collection(manifest)}/{name}-1"
        try:
            await self.client.request("GET", path)
        except NotFound:
            await self.create(manifest)
        else:
            await self.client.request("PUT", path, body=manifest)

    async def lease(self, key: ObjectKey) -> dict[str, Any]:
        return json.loads(await self.client.request("GET", LEASES.path(key.namespace, key.name)))

    async def holder_of(self, key: ObjectKey) -> str:
        """Return who holds a Lease; empty where nobody does."""
        try:
            return (await self.lease(key))["spec"].get("holderIdentity") or ""
        except NotFound:
            return ""

    async def give_lease(self, key: LeaseKey, holder: str) -> None:
        """Let *holder* have a Lease before any agent runs, as if it had been there before."""
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 5, "leaseTransitions": 0}
        metadata = {"name": key.name, "namespace": key.namespace}
        await self.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})

    def fault(self, action: str, **selection: Any) -> int:
        """Let the built-in API server do something wrong."""
        return self.server.faults.add(Fault(action=action, **selection))

    # What is seen

    async def published(self, name: str) -> tuple[list[str], str]:
        """Return the addresses in the status of a Service, and the node that it names."""
        found = await self.service(name)
        ingress = found["status"].get("loadBalancer", {}).get("ingress") or []
        return [entry["ip"] for entry in ingress], found["metadata"].get("annotations", {}).get(
            "kube-vip.io/vipHost", ""
        )

    async def holders(self, address: str) -> list[str]:
        """Return the nodes that have *address* on a link now."""
        return [node for node in self.nodes if address in await addresses_on(self.segment.machines[node])]

    async def wait_published(self, name: str, *addresses: str, bound: float = 10.0) -> str:
        """Wait until the status of a Service lists exactly *addresses*; return the node that it names."""

        async def so() -> str:
            found, host = await self.published(name)
            return host if found == list(addresses) else ""

        return await until(so, bound, f"{name} with {addresses}")

    async def wait_held(self, address: str, bound: float = 10.0) -> str:
        """Wait until exactly one node has *address*, and return it."""

        async def so() -> str:
            found = await self.holders(address)
            return found[0] if len(found) == 1 else ""

        return await until(so, bound, f"{address} on one node")

    async def wait_released(self, address: str, bound: float = 10.0) -> None:
        """Wait until no node has *address*."""

        async def so() -> bool:
            return not await self.holders(address)

        await until(so, bound, f"{address} on no node")

    @contextlib.contextmanager
    def watching(self, address: str) -> Iterator["Watch"]:
        """Follow who has *address*, and probe it every millisecond."""
        with (
            watch_holders(self.segment, self.nodes, ip_address(address), lambda: None) as holders,
            recording(self.start_probe(address)) as probes,
        ):
            yield Watch(holders, probes)

    # Agents

    def start_agent(self, node: str, *, extra: Mapping[str, str] | None = None) -> AgentProcess:
        """Start the agent of *node*; its log has a file of its own."""
        shared = self._log
        with self.log_of(node).open("ab") as self._log:
            agent = super().start_agent(node, extra=extra)
        self._log = shared
        return agent

    def log_of(self, node: str) -> Path:
        return self._directory / f"{node}.log"

    def logged(self, node: str) -> list[dict[str, Any]]:
        """Return the log lines of an agent, and of those that ran on the same node before it."""
        return [json.loads(line) for line in self.log_of(node).read_text().splitlines()]

    def messages(self, node: str) -> list[str]:
        return [line["message"] for line in self.logged(node)]

    async def wait_logged(self, node: str, message: str, bound: float = 10.0, **fields: str) -> dict[str, Any]:
        """Wait for a log line that begins like *message*, and whose fields contain *fields*; return it."""

        def found() -> dict[str, Any] | None:
            for line in self.logged(node):
                if line["message"].startswith(message) and all(
                    text in line.get(key, "") for key, text in fields.items()
                ):
                    return line
            return None

        return await until(found, bound, f"{message!r} in the log of {node}")

    async def start_all(self) -> None:
        """Start the agents that don't run, and wait until all are ready."""
        for node in self.nodes:
            if node not in self.agents or self.agents[node].process.poll() is not None:
                self.start_agent(node)
        for node in self.nodes:
            await self.wait_ready(node)

    async def wait_ready(self, node: str, bound: float = 15.0) -> None:
        """Wait until an agent says that it does all its work."""

        told = ""

        async def ready() -> bool:
            nonlocal told
            status, told = await self.ask(node, "/readyz")
            return status == 200

        try:
            await until(ready, bound, f"{node} ready")
        except AssertionError as error:
            raise AssertionError(f"{node} isn't ready: {told}") from error

    async def ask(self, node: str, path: str, port: int = 2112) -> tuple[int, str]:
        """Ask an agent over HTTP; return the status, 0 where nobody answers, and the body."""
        url = f"http://{self.address_of(node)}:{port}{path}"
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    def address_of(self, node: str) -> str:
        return f"172.31.0.{self.nodes.index(node) + 1}"

    async def stop_agent(self, node: str) -> int:
        """Stop an agent as the kubelet does; return its exit code."""
        agent = self.agents[node]
        agent.process.terminate()
        return await agent.wait()


@attrs.frozen
class Watch:
    """What is seen of an address meanwhile."""

    holders: HolderRecord
    probes: ProbeRecord

    @property
    def holder(self) -> str:
        """The one node that has it; empty where there is none, or more than one."""
        (*nodes,) = self.holders.holders
        return nodes[0] if len(nodes) == 1 else ""

    async def wait_holder(self, bound: float = 15.0, *, other_than: str = "") -> str:
        """Wait until one node has it, and a probe is answered."""
        holder = await until(lambda: self.holder if self.holder != other_than else "", bound, "a holder")
        start = now()
        await until(lambda: self.probes.first_answer_after(start), bound, "an answer")
        return holder

    async def lost_since(self, start: float) -> int:
        """Return how many probes of those sent since *start* were lost, when that is known."""
        end = now()
        await anyio.sleep(PATIENCE)
        sent, lost = self.probes.count(start, end)
        assert sent > 0
        return lost

    def with_several_since(self, start: float) -> float:
        """Return for how many seconds since *start* more than one node had it."""
        return self.holders.with_several(start, now())


def now() -> float:
    """Return the time on the clock that all records are by."""
    return time.monotonic()


def collection(manifest: Mapping[str, Any]) -> str:
    """Return the path of the collection that an object belongs to."""
    return _COLLECTIONS[manifest["kind"]].format(manifest["metadata"].get("namespace", ""))


def kubeconfig_of(server: Any, user: str) -> str:
    """Return the kubeconfig of *user*; a real server is reached at the segment's address, by its own name."""
    text = server.kubeconfig(user)
    if "https://127.0.0.1:" not in text:
        return text
    document = yaml.safe_load(text)
    (cluster,) = document["clusters"]
    cluster["cluster"]["server"] = cluster["cluster"]["server"].replace("127.0.0.1", "172.31.0.250")
    cluster["cluster"]["tls-server-name"] = "127.0.0.1"
    return yaml.safe_dump(document)
