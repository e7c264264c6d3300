"""What the tests of the emulator share: a client, and the servers that the conformance tests run on."""

import base64
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import attrs
import pytest

from kubevip.emulator import BY_PLURAL, Certificate, Emulator, User, serve
from tests.realapi import find_assets, serve_real

USERS = {"bob": ("devs",), "system:serviceaccount:kube-system:kube-vip": ()}
TOKENS = {"admin-token": User("admin", ("system:masters",)), **{f"{u}-token": User(u, g) for u, g in USERS.items()}}
_numbers = itertools.count(1)


@attrs.frozen
class Answer:
    status: int
    body: Any
    headers: Any

    @property
    def message(self) -> str:
        return self.body["message"]

    @property
    def version(self) -> str:
        return self.body["metadata"]["resourceVersion"]


@attrs.define(eq=False)
class Client:
    """Plain HTTP to one server, in a namespace of its own."""

    session: aiohttp.ClientSession
    url: str
    ssl: Any
    namespace: str
    server: Any
    """The `Emulator`, or the `RealServer`."""
    token: str = "admin-token"

    def path(self, plural: str, name: str = "", sub: str = "", *, namespace: str | None = None) -> str:
        resource = BY_PLURAL[plural]
        root = f"/apis/{resource.group}/v1" if resource.group else "/api/v1"
        place = f"/namespaces/{self.namespace if namespace is None else namespace}" if resource.namespaced else ""
        return root + (place if namespace != "" else "") + "".join(f"/{part}" for part in (plural, name, sub) if part)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Accept": accept, **(headers or {})}
        if not self.token:
            del sent["Authorization"]
        if data is not None:
            sent["Content-Type"] = content_type
        options = {"headers": sent, "params": query, "ssl": self.ssl}
        async with self.session.request(method, self.url + path, data=data, **options) as response:
            raw = await response.read()
            body = json.loads(raw) if raw.startswith(b"{") else raw.decode()
            return Answer(response.status, body, response.headers)

    async def create(self, plural: str, document: Any, **query: str) -> Answer:
        return await self.call("POST", self.path(plural), document, **query)

    async def get(self, plural: str, name: str = "", **query: str) -> Answer:
        return await self.call("GET", self.path(plural, name), **query)

    async def replace(self, plural: str, name: str, document: Any, sub: str = "", **query: str) -> Answer:
        return await self.call("PUT", self.path(plural, name, sub), document, **query)

    async def patch(
        self, plural: str, name: str, patch: Any, sub: str = "", kind: str = "merge", **query: str
    ) -> Answer:
        kinds = {"merge": "merge-patch+json", "json": "json-patch+json", "strategic": "strategic-merge-patch+json"}
        path, content_type = self.path(plural, name, sub), f"application/{kinds.get(kind, 'apply-patch+yaml')}"
        return await self.call("PATCH", path, patch, content_type=content_type, **query)

    async def delete(self, plural: str, name: str = "", body: Any = None, **query: str) -> Answer:
        return await self.call("DELETE", self.path(plural, name), body, **query)

    @contextlib.asynccontextmanager
    async def watch(
        self, plural: str, *, accept: str = "application/json", namespace: str | None = None, **query: str
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events of a watch, which has begun when the context is entered."""
        options = {
            "headers": {"Authorization": f"Bearer {self.token}", "Accept": accept},
            "params": {"watch": "true", **query},
            "ssl": self.ssl,
        }
        async with self.session.get(self.url + self.path(plural, namespace=namespace), **options) as response:
            assert response.status == 200, await response.text()
            try:
                yield _events(response)
            finally:
                # A TLS connection would otherwise still be saying goodbye when the loop is closed.
                if response.connection and response.connection.transport:
                    response.connection.transport.abort()

    async def forget(self, token: str) -> str:
        """Have the server forget its past; tells the continue *token* as it is of a version that is forgotten."""
        if isinstance(self.server, Emulator):
            self.server.store.expire()
            return token
        # What etcd forgets the watch cache may still know: so the token has to be of the very beginning.
        revision = {"revision": (await self.get("configmaps")).version, "physical": True}
        async with self.session.post(f"{self.server.etcd_url}/v3/kv/compaction", json=revision) as response:
            assert response.status == 200
        content = json.loads(base64.b64decode(token + "=="))
        return base64.b64encode(json.dumps({**content, "rv": 2}).encode()).decode()


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    buffer = b""
    async for chunk in response.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in filter(None, lines):
            yield json.loads(line)


async def take(events: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [await anext(events) for _ in range(count)]


@pytest.fixture(scope="session")
def real_server() -> Iterator[Any]:
    """A real kube-apiserver for the whole session; skips where there is none."""
    assets = find_assets()
    if assets is None:
        pytest.skip("no real kube-apiserver: KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    with serve_real(assets, users=USERS) as server:
        yield server


@contextlib.asynccontextmanager
async def _client(url: str, context: Any, server: Any) -> AsyncIterator[Client]:
    namespace = f"t{next(_numbers)}"
    async with aiohttp.ClientSession() as session:
        client = Client(session, url, context, namespace, server)
        answer = await client.create("namespaces", {"metadata": {"name": namespace}})
        assert answer.status == 201, answer
        yield client


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator with users, roles and the network that the real server has."""
    async with serve(tokens=TOKENS, rbac=True, service_cidrs=["10.0.0.0/24"], rng=random.Random(1)) as server:
        yield server


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Client]:
    """A client of the emulator."""
    async with _client(emulator.url, False, emulator) as found:
        yield found


@pytest.fixture(params=["emulator", pytest.param("real", marks=pytest.mark.real_api)])
def kind_of_server(request: pytest.FixtureRequest) -> Any:
    """A real server that runs; None stands for the emulator, which needs the test's event loop."""
    return request.getfixturevalue("real_server") if request.param == "real" else None


@pytest.fixture
async def api(kind_of_server: Any) -> AsyncIterator[Client]:
    """A client of the emulator, and then of the real server: what holds of both is tested with it."""
    if kind_of_server is not None:
        async with _client(kind_of_server.url, kind_of_server.ssl_context, kind_of_server) as found:
            yield found
        return
    async with (
        serve(tokens=TOKENS, rbac=True, service_cidrs=["10.0.0.0/24"], rng=random.Random(1)) as server,
        _client(server.url, False, server) as found,
    ):
        yield found


@pytest.fixture
def take_events() -> Callable[[AsyncIterator[dict[str, Any]], int], Any]:
    """Take as many events of a watch."""
    return take


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    """A certificate of 127.0.0.1."""
    return Certificate.generate("127.0.0.1")
