"""What tests do to the objects of an API server that has the operator's setup, and what they see of them."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs
import yaml

from kubevip.errors import NotFound
from kubevip.kube.client import Client
from kubevip.provision.verdict import FINALIZER, LABEL, LABELLED, RECORD
from kubevip.service import ADDRESSES
from tests.waiting import until

_DATA = Path(__file__).parents[1] / "system" / "data"
MANIFESTS = (_DATA / "kube-vip-cloud-controller.yaml").read_text()
POOLS = (_DATA / "kubevip-configmap.yaml").read_text()
ACCOUNT = "system:serviceaccount:kube-system:kube-vip-cloud-controller"
SECOND = "system:serviceaccount:kube-system:second"
ROLE = "system:kube-vip-cloud-controller-role"
LEASE = "kube-vip-cloud-controller"
# What the provider never had a hand in.
_FOREIGN = ("kube-system", "kube-public", "kube-node-lease")
_COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{0}/configmaps",
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Service": "/api/v1/namespaces/{0}/services",
    "ServiceAccount": "/api/v1/namespaces/{0}/serviceaccounts",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{0}/leases",
    "Deployment": "/apis/apps/v1/namespaces/{0}/deployments",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


@attrs.define(eq=False, repr=False)
class Objects:
    """The objects, as the administrator has them."""

    admin: Client
    _made: list[tuple[str, str]] = attrs.field(factory=list, init=False)

    async def apply(self, text: str) -> None:
        """Create what a manifest describes, or replace it."""
        for document in yaml.safe_load_all(text):
            await self.create(document)

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        collection = _COLLECTIONS[manifest["kind"]].format(manifest["metadata"].get("namespace", ""))
        path = f"{collection}/{manifest['metadata']['name']}"
        with contextlib.suppress(NotFound):
            found = await self.read(path)
            merged = {**found, **manifest, "metadata": {**found["metadata"], **manifest["metadata"]}}
            return json.loads(await self.admin.request("PUT", path, body=merged))
        self._made.append((manifest["kind"], path))
        return json.loads(await self.admin.request("POST", collection, body=dict(manifest)))

    async def read(self, path: str) -> dict[str, Any]:
        return json.loads(await self.admin.request("GET", path))

    async def configure(self, _name: str = "kubevip", _namespace: str = "kube-system", /, **data: str) -> None:
        """Write the ConfigMap; underscores in keys stand for hyphens."""
        metadata = {"name": _name, "namespace": _namespace}
        written = {key.replace("_", "-"): text for key, text in data.items()}
        await self.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": written})

    async def unconfigure(self) -> None:
        await self.admin.request("DELETE", "/api/v1/namespaces/kube-system/configmaps/kubevip")

    async def grant(self, user: str) -> None:
        """Let another account have the operator's role."""
        _system, _kind, namespace, name = user.split(":")
        await self.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            }
        )

    async def add_namespaces(self, *names: str) -> None:
        for name in names:
            await self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def add_node(self, name: str, *addresses: str) -> None:
        await self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        await self.set_node(name, *addresses)

    async def set_node(self, name: str, *addresses: str) -> None:
        path = f"/api/v1/nodes/{name}"
        node = await self.read(path)
        node["status"]["addresses"] = [
            {"type": "Hostname", "address": name},
            *({"type": "InternalIP", "address": address} for address in addresses),
        ]
        await self.admin.request("PUT", f"{path}/status", body=node)

    async def add_service(self, name: str, namespace: str = "default", /, **parts: Any) -> dict[str, Any]:
        """Create a Service of type LoadBalancer; *parts* are of its metadata or its spec."""
        metadata = {"name": name, "namespace": namespace}
        metadata |= {key: parts.pop(key) for key in ("annotations", "labels", "finalizers") if key in parts}
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False, **parts}
        return await self.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    async def add_services(self, names: Sequence[str], **parts: Any) -> None:
        """Create many, eight at a time."""
        left = list(reversed(names))

        async def some() -> None:
            while left:
                await self.add_service(left.pop(), **parts)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(some)

    async def service(self, name: str, namespace: str = "default") -> dict[str, Any]:
        return await self.read(path_of(name, namespace))

    async def edit(
        self, name: str, change: Callable[[dict[str, Any]], Any], namespace: str = "default", sub: str = ""
    ) -> None:
        """Let *change* change the object, and write it back."""
        found = await self.service(name, namespace)
        change(found)
        found["metadata"].pop("resourceVersion")
        await self.admin.request("PUT", path_of(name, namespace) + sub, body=found)

    async def label(self, name: str, **labels: str) -> None:
        """Set labels of a Service; raises Conflict where somebody else was faster."""
        found = await self.service(name)
        found["metadata"].setdefault("labels", {}).update(labels)
        await self.admin.request("PUT", path_of(name), body=found)

    async def annotate(self, name: str, text: str | None) -> None:
        """Write the annotation of a Service's addresses, or remove it."""

        def change(found: dict[str, Any]) -> None:
            annotations = found["metadata"].setdefault("annotations", {})
            annotations.pop(ADDRESSES, None)
            if text is not None:
                annotations[ADDRESSES] = text

        await self.edit(name, change)

    async def delete(self, name: str, namespace: str = "default") -> None:
        await self.admin.request("DELETE", path_of(name, namespace))

    async def events(self, name: str, namespace: str = "default") -> list[tuple[str, str, str]]:
        """Return type, reason and message of the Events about an object, the first first."""
        listed = await self.read(f"/api/v1/namespaces/{namespace}/events")
        found = [each for each in listed["items"] if each["involvedObject"]["name"] == name]
        found.sort(key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [(each["type"], each["reason"], each["message"]) for each in found]

    async def holder(self, lease: str = LEASE) -> str:
        """Return who holds a Lease; empty where nobody does."""
        with contextlib.suppress(NotFound):
            found = await self.read(f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{lease}")
            return found["spec"].get("holderIdentity") or ""
        return ""

    async def add_lease(self, holder: str, name: str = LEASE) -> None:
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 3, "leaseTransitions": 1}
        metadata = {"name": name, "namespace": "kube-system"}
        await self.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})

    async def clean(self) -> None:
        """Delete all Services and what tests have created."""
        for service in (await self.read("/api/v1/services"))["items"]:
            metadata = service["metadata"]
            if metadata["namespace"] in _FOREIGN or metadata["name"] == "kubernetes":
                continue
            key = metadata["name"], metadata["namespace"]
            with contextlib.suppress(NotFound):
                if metadata.get("finalizers"):
                    await self.edit(key[0], lambda found: found["metadata"].pop("finalizers", None), key[1])
                if not metadata.get("deletionTimestamp"):
                    await self.delete(*key)
        for kind, path in reversed(self._made):
            if kind != "Namespace":
                with contextlib.suppress(NotFound):
                    await self.admin.request("DELETE", path)
        with contextlib.suppress(NotFound):
            # Of a provider that was killed.
            await self.admin.request("DELETE", f"{_COLLECTIONS['Lease'].format('kube-system')}/{LEASE}")
        for events in ("/api/v1/namespaces/default/events", "/api/v1/namespaces/kube-system/events"):
            await self.admin.request("DELETE", events)

    # What is seen

    async def address(self, name: str, namespace: str = "default") -> str:
        found = await self.service(name, namespace)
        return found["metadata"].get("annotations", {}).get(ADDRESSES, "")

    async def wait_served(self, name: str, address: str = "", namespace: str = "default", bound: float = 10.0) -> str:
        """Wait until a Service has *address*, or any, in both places; return it."""

        async def so() -> str:
            found = await self.service(name, namespace)
            listed = found["metadata"].get("annotations", {}).get(ADDRESSES, "")
            whole = listed and found["spec"].get("loadBalancerIP") == listed.split(",")[0] and is_marked(found)
            return listed if whole and listed == (address or listed) else ""

        return await until(so, bound, f"{namespace}/{name} with {address or 'an address'}")

    async def wait_gone(self, name: str, namespace: str = "default", bound: float = 10.0) -> None:
        async def so() -> bool:
            try:
                await self.service(name, namespace)
            except NotFound:
                return True
            return False

        await until(so, bound, f"{namespace}/{name} gone")

    async def wait_event(
        self, name: str, reason: str, text: str = "", namespace: str = "default", bound: float = 10.0
    ) -> str:
        """Wait for an Event about an object; return its message."""

        async def so() -> str:
            events = await self.events(name, namespace)
            return next((told for _type, why, told in events if why == reason and text in told), "")

        try:
            return await until(so, bound, f"{reason} about {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {await self.events(name, namespace)}") from error

    async def wait_leader(self, *, other_than: str = "", bound: float = 10.0) -> str:
        async def so() -> str:
            holder = await self.holder()
            return holder if holder != other_than else ""

        return await until(so, bound, "a leader")


def path_of(name: str, namespace: str = "default") -> str:
    return f"/api/v1/namespaces/{namespace}/services/{name}"


def is_marked(service: Mapping[str, Any]) -> bool:
    """Whether a Service has the label, the finalizer and the record."""
    metadata = service["metadata"]
    return (
        metadata.get("labels", {}).get(LABEL) == LABELLED
        and FINALIZER in metadata.get("finalizers", ())
        and RECORD in metadata.get("annotations", {})
    )
