"""An API server with the operator's setup of the provider, and what tests do to it and ask of it."""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import anyio
import attrs
import yaml

from kubevip.config import Kubeconfig
from kubevip.config.provider import add_provider_flags, load_provider
from kubevip.emulator import Emulator, Fault
from kubevip.errors import NotFound
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.provider import Provider
from kubevip.provision import FINALIZER, LABEL, LABELLED, RECORD
from kubevip.service import ADDRESSES
from tests.kernel import in_thread
from tests.provider_system.ledger import Ledger
from tests.waiting import until

_DATA = Path(__file__).parents[1] / "system" / "data"
MANIFESTS = (_DATA / "kube-vip-cloud-controller.yaml").read_text()
POOLS = (_DATA / "kubevip-configmap.yaml").read_text()
ACCOUNT = "system:serviceaccount:kube-system:kube-vip-cloud-controller"
SECOND = "system:serviceaccount:kube-system:second"
ROLE = "system:kube-vip-cloud-controller-role"
LEASE = "kube-vip-cloud-controller"
OPERATORS_FLAG = f"--leader-elect-resource-name={LEASE}"
# A Lease that others may take after 3 seconds: the shortest there is.
BRISK = (
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
)
QUIET = "--prometheusHTTPServer=off"
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
_numbers = itertools.count(1)
_PARSER = argparse.ArgumentParser()
add_provider_flags(_PARSER)


@attrs.define(eq=False, repr=False)
class Running:
    """A provider as a process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, bound: float = 10.0) -> int:
        return await in_thread(self.process.wait, bound)

    async def stop(self) -> int:
        self.tell(signal.SIGTERM)
        return await self.wait()

    def logged(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.logged()]

    async def wait_logged(self, message: str, bound: float = 10.0, **fields: str) -> dict[str, Any]:
        """Wait for a log line that begins like *message*, and whose fields contain *fields*; return it."""

        def found() -> dict[str, Any] | None:
            for line in self.logged():
                if line["message"].startswith(message) and all(
                    text in line.get(key, "") for key, text in fields.items()
                ):
                    return line
            return None

        try:
            return await until(found, bound, f"{message!r} in the log")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log: {self.log.read_text()[-3000:]}") from error

    async def ask(self, path: str) -> tuple[int, str]:
        return await ask(self.port, path)


@attrs.define(eq=False, repr=False)
class Site:
    """A running server: the built-in one, which makes faults, or a real one."""

    server: Any
    directory: Path
    admin: Client
    ledger: Ledger
    _processes: list[Running] = attrs.field(factory=list, init=False)
    _made: list[tuple[str, str]] = attrs.field(factory=list, init=False)

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, server: Any, directory: Path) -> AsyncIterator[Self]:
        """Apply the operator's manifests to *server*, and take away what tests have left when it is over."""
        async with client_of(server, directory, "admin") as admin:
            site = cls(server, directory, admin, Ledger(admin))
            await site.apply(MANIFESTS)
            async with site.ledger.kept():
                try:
                    yield site
                finally:
                    site.end_processes()
                    site.clear_faults()
                    await site.clean()
        if admin.server.startswith("https"):
            # Watches that were cut off say goodbye yet, which nobody can wait for.
            await asyncio.sleep(0.02)

    @property
    def is_real(self) -> bool:
        return not isinstance(self.server, Emulator)

    # Objects

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
        """Delete all Services and what tests have created, where it outlives the test."""
        if not self.is_real:
            return
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
        for events in ("/api/v1/namespaces/default/events", "/api/v1/namespaces/kube-system/events"):
            await self.admin.request("DELETE", events)

    # Faults of the built-in server

    def fault(self, action: str, **selection: Any) -> int:
        """Let the server do something wrong to providers, and to nobody else."""
        return self.server.faults.add(Fault(action=action, **{"users": (ACCOUNT, SECOND), **selection}))

    def clear_faults(self) -> None:
        if not self.is_real:
            self.server.faults.clear()

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

    # Providers

    def environment(self, user: str = ACCOUNT, **more: str) -> dict[str, str]:
        return {"KUBECONFIG": str(self.directory / file_of(user)), "HOME": str(self.directory), **more}

    def make_provider(self, *flags: str, user: str = ACCOUNT, **environment: str) -> Provider:
        environ = self.environment(user, **environment)
        settings, _notices = load_provider(environ, parse((OPERATORS_FLAG, *BRISK, QUIET, *flags)))
        return Provider(settings, environ)

    @contextlib.asynccontextmanager
    async def provider(self, *flags: str, user: str = ACCOUNT, **environment: str) -> AsyncIterator[Provider]:
        """Run a provider in this process, with the operator's flag and *flags*."""
        provider = self.make_provider(*flags, user=user, **environment)
        task = asyncio.create_task(provider.run())
        try:
            yield provider
        finally:
            provider.stop()
            await task

    def start(self, *flags: str, user: str = ACCOUNT, port: int = 0, **environment: str) -> Running:
        """Start a provider as a process, with the operator's flag and *flags*."""
        log = self.directory / f"provider{next(_numbers)}.log"
        port = port or free_port()
        command = [sys.executable, "-m", "kubevip", "provider", OPERATORS_FLAG, *BRISK, *flags]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, f"--prometheusHTTPServer=127.0.0.1:{port}", "--logging-format=json"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**kept, "PYTHONWARNINGS": "error", **self.environment(user, **environment)},
            )
        running = Running(process, log, port)
        self._processes.append(running)
        return running

    def end_processes(self) -> None:
        for running in self._processes:
            running.process.kill()
            running.process.wait()
        self._processes.clear()


async def ask(port: int, path: str) -> tuple[int, str]:
    """Ask a provider over HTTP; return the status, 0 where nobody answers, and the body."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
            return await _get(session, path)
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def metrics(port: int) -> dict[str, float]:
    _status, text = await ask(port, "/metrics")
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@contextlib.asynccontextmanager
async def client_of(server: Any, directory: Path, user: str) -> AsyncIterator[Client]:
    """A client; kubeconfigs of all users are written on the way."""
    for each in ("admin", ACCOUNT, SECOND):
        (directory / file_of(each)).write_text(server.kubeconfig(each))
    path = directory / file_of(user)
    async with await connect([Kubeconfig(paths=(path,), reason="the test's")]) as client:
        yield client


def parse(flags: Sequence[str]) -> dict[str, str | None]:
    """Read flags as the command does."""
    return dict(vars(_PARSER.parse_args(flags)))


def path_of(name: str, namespace: str = "default") -> str:
    return f"/api/v1/namespaces/{namespace}/services/{name}"


def file_of(user: str) -> str:
    return user.replace(":", "-")


def is_marked(service: Mapping[str, Any]) -> bool:
    """Whether a Service has the label, the finalizer and the record."""
    metadata = service["metadata"]
    return (
        metadata.get("labels", {}).get(LABEL) == LABELLED
        and FINALIZER in metadata.get("finalizers", ())
        and RECORD in metadata.get("annotations", {})
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
