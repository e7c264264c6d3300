"""An API server for a whole fleet, built in or real, and a client of it that loads and counts."""

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from kubevip.manifest import Rights

# The real server is that of the tests.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.realapi import find_assets, serve_real

HOST = "172.31.0.250"
AGENT = ("kube-system", "kube-vip")
ADMIN_TOKEN = "admin-token"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
CORE, DISCOVERY = "/api/v1", "/apis/discovery.k8s.io/v1"
COLLECTIONS = {
    "Service": f"{CORE}/namespaces/default/services",
    "EndpointSlice": f"{DISCOVERY}/namespaces/default/endpointslices",
    "ServiceAccount": f"{CORE}/namespaces/kube-system/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
LEASES = "/apis/coordination.k8s.io/v1/leases"
_LINE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@attrs.frozen(kw_only=True)
class ApiServer:
    """A running API server: where it is, whom the agents say they are, and the processes that it is made of."""

    name: str
    url: str
    ssl_context: ssl.SSLContext | None
    kubeconfig: Path
    pids: Mapping[str, int]


@contextlib.contextmanager
def built_in(directory: Path) -> Iterator[ApiServer]:
    """Start the built-in one."""
    command = [sys.executable, str(Path(__file__).with_name("scale_server.py")), HOST, "8080", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield ApiServer(
            name="built in",
            url=f"http://{HOST}:8080",
            ssl_context=None,
            kubeconfig=directory / "agent",
            pids={"server": process.pid},
        )


@contextlib.contextmanager
def real(directory: Path) -> Iterator[ApiServer]:
    """Start kube-apiserver and etcd."""
    assets = find_assets()
    if assets is None:
        sys.exit("there is no kube-apiserver: name its directory in KUBEBUILDER_ASSETS")
    name = "system:serviceaccount:{}:{}".format(*AGENT)
    users = {name: ("system:serviceaccounts", "system:authenticated")}
    arguments = ("--service-cluster-ip-range=10.96.0.0/12",)
    with serve_real(assets, users=users, arguments=arguments, host=HOST) as server:
        path = directory / "agent"
        path.write_text(server.kubeconfig(name))
        pids = {kind: _pid_of(assets / kind) for kind in ("kube-apiserver", "etcd")}
        yield ApiServer(
            name="kube-apiserver", url=server.url, ssl_context=server.ssl_context, kubeconfig=path, pids=pids
        )


def _pid_of(binary: Path) -> int:
    """Return the child of this process that runs *binary*."""
    children = Path("/proc/thread-self/children").read_text().split()
    return next(int(pid) for pid in children if Path(f"/proc/{pid}/exe").resolve() == binary.resolve())


@attrs.define(eq=False)
class Api:
    """A client with all rights, that knows how much it has written itself."""

    _session: aiohttp.ClientSession
    written: int = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: ApiServer) -> AsyncIterator["Api"]:
        """Connect to *server*."""
        connector = aiohttp.TCPConnector(ssl=server.ssl_context or False, limit=64)
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
            yield cls(session)

    async def write(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Write; return what the server makes of it."""
        self.written += 1
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": kind}) as response:
            content = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
            found: dict[str, Any] = json.loads(content)
            return found

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return await self.write("POST", COLLECTIONS[manifest["kind"]], dict(manifest))

    async def create_all(self, manifests: Iterator[Mapping[str, Any]], *, at_once: int = 16) -> int:
        """Create many objects; return how many."""
        count = 0

        async def take() -> None:
            nonlocal count
            for manifest in manifests:
                await self.create(manifest)
                count += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(take())
        return count

    async def grant(self) -> None:
        """Make the agents' account, with the operator's rights."""
        for manifest in Rights(patches=True).manifests():
            await self.create(manifest)

    async def get(self, path: str) -> dict[str, Any]:
        """Read."""
        async with self._session.get(path) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def tally(self) -> Counter[tuple[str, str]]:
        """Return how many requests the server has answered, by verb and resource (with its subresource)."""
        found: Counter[tuple[str, str]] = Counter()
        async with self._session.get("/metrics") as response:
            for line in (await response.text()).splitlines():
                matched = _LINE.match(line)
                if matched:
                    labels = dict(_LABEL.findall(matched[1]))
                    what = "/".join(filter(None, (labels["resource"], labels.get("subresource", ""))))
                    found[labels["verb"], what] += int(float(matched[2]))
        return found

    async def watch(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Give the events of a collection from now on, until cancelled."""
        listed = await self.get(f"{path}?limit=1")
        version = listed["metadata"]["resourceVersion"]
        timeout = aiohttp.ClientTimeout(total=None)
        query = f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=3600"
        async with self._session.get(query, timeout=timeout) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield json.loads(line)
