"""The API server as a whole: built from its parts, listening, and gone without a trace when its context is left."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec
import yaml
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from kubevip.emulator.allocation import Allocator
from kubevip.emulator.api import MAX_BODY, Api, moment
from kubevip.emulator.auth import Authenticator, Certificate
from kubevip.emulator.decoding import read_object
from kubevip.emulator.faults import Faults
from kubevip.emulator.objects import Objects
from kubevip.emulator.rbac import Authorizer, User, bootstrap_objects
from kubevip.emulator.resources import BY_PLURAL, RESOURCES, Resource
from kubevip.emulator.store import Store, Stored
from kubevip.errors import ConfigError
from kubevip.listening import listening

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@attrs.frozen(kw_only=True)
class Statistics:
    """A snapshot of a server's work."""

    requests: int
    streams: int
    objects: int
    version: int


@attrs.frozen(kw_only=True)
class Emulator:
    """A running server."""

    url: str
    # All of it would be shown wherever somebody shows a server.
    store: Store = attrs.field(repr=False)
    """What is stored, to look at."""
    objects: Objects = attrs.field(repr=False)
    """Writes past HTTP, without authorization."""
    faults: Faults = attrs.field(repr=False)
    tokens: Mapping[str, User] | None = attrs.field(repr=False)
    authority: str = attrs.field(repr=False)
    """The certificate authority, in base64, empty without TLS."""
    _api: Api = attrs.field(alias="api", repr=False)

    def create(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Create the object of a whole document, as a manifest has it, and return it as it is stored.

        Its namespace is ``default`` if it names none. Raises as a client would be refused.
        """
        kind, group = document.get("kind"), document.get("apiVersion", "").rpartition("/")[0]
        resource = next((r for r in RESOURCES if (r.kind, r.group) == (kind, group) and not r.review), None)
        if resource is None:
            raise ConfigError([f"kind: {document.get('apiVersion')} {kind} is not served here"])
        namespace = document.get("metadata", {}).get("namespace", "default") if resource.namespaced else ""
        own = msgspec.json.decode(msgspec.json.encode(document))
        return resource.full(_create(self.objects, resource, namespace, own).copy())

    def kubeconfig(self, user: str | None = None) -> str:
        """A kubeconfig, as YAML text, for the *user* of that name, or the first; raises ConfigError if unknown."""
        tokens: dict[str, str] = {}
        for token, known in (self.tokens or {}).items():
            tokens.setdefault(known.name, token)
        name = user or next(iter(tokens), "admin")
        if self.tokens is not None and name not in tokens:
            raise ConfigError([f"kubeconfig: user {name!r} has no token; {', '.join(sorted(tokens))} have one"])
        cluster = {"server": self.url, **({"certificate-authority-data": self.authority} if self.authority else {})}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "emulator",
                "clusters": [{"name": "emulator", "cluster": cluster}],
                "users": [{"name": name, "user": {"token": tokens[name]} if tokens else {}}],
                "contexts": [{"name": "emulator", "context": {"cluster": "emulator", "user": name}}],
            }
        )

    def statistics(self) -> Statistics:
        """What the server has done and holds."""
        return Statistics(
            requests=self._api.requests,
            streams=len(self._api.streams),
            objects=self.store.count(),
            version=self.store.version,
        )


@contextlib.asynccontextmanager
async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tokens: Mapping[str, User] | None = None,
    rbac: bool = False,
    tls: Certificate | None = None,
    service_cidrs: Sequence[str] = ("10.96.0.0/12",),
    bookmark_seconds: float = 60.0,
    history: int = 10_000,
    rng: random.Random | None = None,
) -> AsyncIterator[Emulator]:
    """Serve on the running loop until the context is left; then all streams have ended and no task is left.

    *tokens* are the users by their bearer tokens; without, everybody is the administrator. With *rbac* a user may
    do what stored roles and bindings allow, and ``system:masters`` everything. *history* is the number of
    changes that are remembered of each resource. *rng* makes uids and names, and decides on chances: one with a seed
    makes them repeat.

    Raises ConfigError for settings that can't be used, and OSError when the address can't be listened on.
    """
    if rbac and not tokens:
        raise ConfigError(["rbac: without tokens there are no users to tell apart; give tokens"])
    rng = rng if rng is not None else random.SystemRandom()
    store = Store(history)
    objects = Objects(store, Allocator.of(service_cidrs), rng)
    faults = Faults(asyncio.get_running_loop().time, rng)
    authorizer = Authorizer(store) if rbac else None
    api = Api(store, objects, faults, Authenticator(tokens, anonymous=rbac), authorizer, bookmark_seconds)
    faults.perform = api.perform
    runner = web.ServerRunner(_make_server(api), shutdown_timeout=1.0)
    async with listening(runner, host, port, tls.context if tls else None) as bound:
        address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
        api.open(address)
        _bootstrap(objects, bound[1])
        try:
            yield Emulator(
                url=f"{'https' if tls else 'http'}://{address}",
                store=store,
                objects=objects,
                faults=faults,
                tokens=tokens,
                authority=tls.authority_data if tls else "",
                api=api,
            )
        finally:
            api.close()
            faults.clear()


def _make_server(api: Api) -> web.Server:
    loop = asyncio.get_running_loop()

    def make_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    return web.Server(api.handle, request_factory=make_request, handler_cancellation=True, access_log=None)


def _bootstrap(objects: Objects, port: int) -> None:
    """What a new cluster has: its namespaces, the roles for everybody, and the Service of the API server."""
    for name in _NAMESPACES:
        _create(objects, BY_PLURAL["namespaces"], "", {"metadata": {"name": name}})
    for resource, document in bootstrap_objects():
        _create(objects, resource, "", document)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "targetPort": port}]
    service = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": {"ports": ports}}
    _create(objects, BY_PLURAL["services"], "default", service)


def _create(objects: Objects, resource: Resource, namespace: str, document: Mapping[str, Any]) -> Stored:
    value, _ = read_object(resource, document)
    return objects.create(resource, namespace, value, moment())
