"""What the tests of the API adapter share: API servers, and clients of them under several names."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from blockbuster import BlockBuster

from kubevip.config import Kubeconfig
from kubevip.emulator import Certificate, Fault, User, serve
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.listening import listening
from kubevip.manifest import Rights
from kubevip.model import LeaseKey, ServiceKey
from tests.realapi import find_assets, serve_real

AGENT = "system:serviceaccount:kube-system:kube-vip"
NOBODY = "nobody"
TOKENS = {
    "admin-token": User("admin", ("system:masters",)),
    "agent-token": User(AGENT),
    "nobody-token": User(NOBODY),
}
PATHS = {
    "namespaces": "/api/v1/namespaces",
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "clusterrolebindings": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def files_are_read_while_connecting(nothing_blocks_the_loop: BlockBuster) -> None:
    """Let credentials be read from files, which happens once, before anything depends on the loop; and be written."""
    for function in nothing_blocks_the_loop.functions.values():
        function.can_block_in("kubevip/kube/connect.py", {"connect"})
        function.can_block_in("kubevip/kube/client.py", {"__aenter__"})
        function.can_block_in("tests/kube/conftest.py", {"write"})


@attrs.define(eq=False)
class Api:
    """One API server, with the operator's rights in it, and a namespace of this test alone."""

    server: Any
    """The ``Emulator``, or the ``RealServer``."""
    directory: Path
    namespace: str
    admin: Client = attrs.field(init=False)

    @contextlib.asynccontextmanager
    async def client(self, user: str = AGENT) -> AsyncIterator[Client]:
        path = write(self.directory / user.replace(":", "-"), self.server.kubeconfig(user))
        async with await connect([Kubeconfig(paths=(path,), reason="the test's")]) as client:
            yield client

    def lease(self, name: str = "lock") -> LeaseKey:
        return LeaseKey(self.namespace, name)

    def service(self, name: str = "web") -> ServiceKey:
        return ServiceKey(self.namespace, name)

    def path(self, plural: str, name: str = "", sub: str = "") -> str:
        groups = {"leases": "coordination.k8s.io", "endpointslices": "discovery.k8s.io"}
        root = f"/apis/{groups[plural]}/v1" if plural in groups else "/api/v1"
        return "/".join(part for part in (root, "namespaces", self.namespace, plural, name, sub) if part)

    async def create(self, plural: str, document: dict[str, Any]) -> dict[str, Any]:
        return json.loads(await self.admin.request("POST", self.path(plural), body=document))

    async def get(self, plural: str, name: str) -> dict[str, Any]:
        return json.loads(await self.admin.request("GET", self.path(plural, name)))

    async def list(self, plural: str) -> list[dict[str, Any]]:
        return json.loads(await self.admin.request("GET", self.path(plural)))["items"]

    async def replace(self, plural: str, document: dict[str, Any], sub: str = "") -> dict[str, Any]:
        path = self.path(plural, document["metadata"]["name"], sub)
        return json.loads(await self.admin.request("PUT", path, body=document))

    async def delete(self, plural: str, name: str) -> None:
        await self.admin.request("DELETE", self.path(plural, name))

    async def create_service(self, name: str = "web", **spec: Any) -> dict[str, Any]:
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
        return await self.create("services", {"metadata": {"name": name}, "spec": spec})

    def fault(self, action: str, **selection: Any) -> int:
        return self.server.faults.add(Fault(action=action, **selection))


@contextlib.asynccontextmanager
async def _prepared(server: Any, directory: Path) -> AsyncIterator[Api]:
    api = Api(server, directory, f"t{next(_numbers)}")
    async with api.client("admin") as api.admin:
        await api.admin.request("POST", PATHS["namespaces"], body={"metadata": {"name": api.namespace}})
        yield api


async def _grant_rights(admin: Client) -> None:
    _account, role, binding = Rights().manifests()
    await admin.request("POST", PATHS["clusterroles"], body=role)
    await admin.request("POST", PATHS["clusterrolebindings"], body=binding)


@contextlib.asynccontextmanager
async def _emulated(directory: Path) -> AsyncIterator[Api]:
    async with (
        serve(tokens=TOKENS, rbac=True, bookmark_seconds=0.1, rng=random.Random(1)) as server,
        _prepared(server, directory) as api,
    ):
        await _grant_rights(api.admin)
        yield api


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Api]:
    """The built-in API server, which makes faults on request."""
    async with _emulated(tmp_path) as api:
        yield api


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real kube-apiserver for the whole session; skips where there is none."""
    assets = find_assets()
    if assets is None:
        pytest.skip("no real kube-apiserver: KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    with serve_real(assets, users={AGENT: (), NOBODY: ()}) as server:
        asyncio.run(_grant_rights_on(server, tmp_path_factory.mktemp("real")))
        yield server


async def _grant_rights_on(server: Any, directory: Path) -> None:
    async with Api(server, directory, "default").client("admin") as admin:
        await _grant_rights(admin)


@pytest.fixture(params=["emulator", pytest.param("real", marks=pytest.mark.real_api)])
def kind_of_server(request: pytest.FixtureRequest) -> Any:
    """A real server that runs; ``None`` stands for the built-in one, which needs the test's event loop."""
    return request.getfixturevalue("real_server") if request.param == "real" else None


@pytest.fixture
async def api(kind_of_server: Any, tmp_path: Path) -> AsyncIterator[Api]:
    """The built-in API server, and then the real one."""
    async with _emulated(tmp_path) if kind_of_server is None else _prepared(kind_of_server, tmp_path) as api:
        yield api


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    """A certificate of 127.0.0.1."""
    return Certificate.generate("127.0.0.1")


@pytest.fixture(scope="session")
def other_certificate() -> Certificate:
    """A certificate of 127.0.0.1 by another authority."""
    return Certificate.generate("127.0.0.1")


@attrs.define(eq=False)
class Scripted:
    """A server that answers what it is told to, whatever is asked."""

    url: str
    answer: Any = None
    requests: list[web.Request] = attrs.field(factory=list)

    @contextlib.asynccontextmanager
    async def client(self, directory: Path) -> AsyncIterator[Client]:
        path = write(directory / "scripted", kubeconfig(self.url))
        async with await connect([Kubeconfig(paths=(path,), reason="the test's")]) as client:
            yield client


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """A server under the test's control: set ``answer`` to a coroutine function that takes the request."""
    found = Scripted("")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        found.requests.append(request)
        return await found.answer(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1)
    async with listening(runner, "127.0.0.1") as (host, port):
        found.url = f"http://{host}:{port}"
        yield found


def write(path: Path, text: str) -> Path:
    """Write a file, which may be executed."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def kubeconfig(server: str, user: str = "{}", cluster: str = "") -> str:
    return f"""
apiVersion: v1
kind: Config
current-context: c
clusters:
- name: c
  cluster: {{server: '{server}'{", " + cluster if cluster else ""}}}
users:
- name: u
  user: {user}
contexts:
- name: c
  context: {{cluster: c, user: u}}
"""
