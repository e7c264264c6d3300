"""Answers requests: who asks and may they, what do they want, which fault strikes, what does the answer look like."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec
from aiohttp import web

from kubevip.emulator import discovery, reads, status
from kubevip.emulator.auth import Authenticator
from kubevip.emulator.calls import Call, parse_call
from kubevip.emulator.counting import CONTENT_TYPE, Tally
from kubevip.emulator.decoding import read_document, read_object
from kubevip.emulator.expectations import Moment
from kubevip.emulator.faults import Fault, Faults, Target, read_fault
from kubevip.emulator.objects import Objects
from kubevip.emulator.rbac import ANONYMOUS, Action, Authorizer, User
from kubevip.emulator.rendering import Renderer, choose_form, encode
from kubevip.emulator.resources import BY_PLURAL, Resource
from kubevip.emulator.store import Store
from kubevip.emulator.watch import Stream, stale_version, wait_for
from kubevip.emulator.writes import Writer
from kubevip.errors import ApiError, ConfigError

FAULTS_PATH = "/kubevip.emulator/faults"
MAX_BODY = 3 * 1024 * 1024
_HEALTH = ("/healthz", "/livez", "/readyz")


def moment() -> Moment:
    """Now, on the running loop's clock and as text."""
    return Moment(asyncio.get_running_loop().time(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


@attrs.define(eq=False)
class Api:
    """The handler of all requests."""

    store: Store
    objects: Objects
    faults: Faults
    authenticator: Authenticator
    authorizer: Authorizer | None
    bookmark_seconds: float
    requests: int = attrs.field(default=0, init=False)
    streams: set[Stream] = attrs.field(factory=set, init=False)
    _tally: Tally = attrs.field(factory=Tally, init=False)
    _documents: Mapping[str, bytes] = attrs.field(factory=dict, init=False)
    _aggregated: Mapping[str, bytes] = attrs.field(factory=dict, init=False)

    def open(self, address: str) -> None:
        """Get ready to answer at *address* (host and port)."""
        self._documents = {path: encode(found) for path, found in discovery.documents(address).items()}
        self._aggregated = {path: encode(found) for path, found in discovery.aggregated_documents().items()}

    def close(self) -> None:
        """End all streams."""
        for stream in tuple(self.streams):
            stream.close()

    def perform(self, fault: Fault) -> None:
        """Carry out an instant fault."""
        if fault.action == "cut-streams":
            for stream in tuple(self.streams):
                if fault.selects(stream.target):
                    stream.cut(fault)
            return
        for plural in fault.resources:
            self.store.expire(BY_PLURAL[plural.partition("/")[0]])
        if not fault.resources:
            self.store.expire()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.requests += 1
        call = parse_call(request.method, request.path, request.query)
        try:
            response = await self._answer(request, call)
        except ApiError as error:
            response = _refusal(error)
        self._tally.add(call, response.status)
        return response

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        stranger: ApiError | None = None
        try:
            user = self._identify(request)
        except ApiError as error:
            user, stranger = ANONYMOUS, error
        if call.path.startswith(FAULTS_PATH):
            self._admit(user, stranger, call)
            return await self._answer_faults(request, call)
        target = Target(
            verb=call.verb,
            resource=call.full_plural,
            namespace=call.namespace,
            name=call.name,
            user=user.name,
            client=request.remote or "",
        )
        struck = self.faults.strike(target)
        for fault in struck:
            if await self._suffer(fault, target, call):
                return _cut(request)
        try:
            self._admit(user, stranger, call)
            response = await self._serve(request, call, user, target, struck)
        except ApiError as error:
            response = _refusal(error)
        if call.resource and call.resource.deprecation and not response.prepared:
            response.headers.add("Warning", f'299 - "{call.resource.deprecation}"')
        return _cut(request) if any(fault.action == "lose-reply" for fault in struck) else response

    def _identify(self, request: web.BaseRequest) -> User:
        user = self.authenticator.identify(request.headers)
        name = request.headers.get("Impersonate-User")
        if not name:
            return user
        self._authorize(user, Action(verb="impersonate", resource="users", name=name), None)
        return User(name, tuple(request.headers.getall("Impersonate-Group", ())))

    def _admit(self, user: User, stranger: ApiError | None, call: Call) -> None:
        """Faults strike strangers, too; but that is all they get."""
        if stranger is not None:
            raise stranger
        self._authorize(user, call.action, call.resource)

    def _authorize(self, user: User, action: Action, resource: Resource | None) -> None:
        if self.authorizer is None or self.authorizer.allows(user, action):
            return
        if resource is not None:
            raise status.forbidden(resource, action.name, action.refusal(user))
        raise status.forbidden_path(action.refusal(user))

    async def _suffer(self, fault: Fault, target: Target, call: Call) -> bool:
        """What a fault does to a request before it is served; tells whether that is to cut its connection."""
        if fault.action == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.action == "status":
            raise status.injected(fault.status or 500, call.resource, call.name, fault.retry_after)
        elif fault.action == "cut-off" and fault.hang:
            await self._wait_reachable(target)
            return False
        return fault.action in ("drop", "cut-off")

    async def _wait_reachable(self, target: Target) -> None:
        wake = asyncio.Event()
        self.faults.listeners.add(wake.set)
        try:
            while self.faults.holding("cut-off", target):
                await wait_for(wake, self.faults.next_end())
        finally:
            self.faults.listeners.discard(wake.set)

    async def _serve(
        self, request: web.BaseRequest, call: Call, user: User, target: Target, struck: Sequence[Fault]
    ) -> web.StreamResponse:
        resource = call.resource
        if resource is None:
            return self._serve_path(request, call)
        if resource.review:
            return await self._review(request, call, resource, user)
        if call.subresource and not (call.subresource == "status" and resource.has_status):
            raise status.no_such_path()
        if call.subresource and call.verb not in ("get", "update", "patch"):
            raise status.method_not_allowed()
        if resource.namespaced and not call.namespace and call.verb not in ("list", "watch"):
            raise status.method_not_allowed()
        included = call.query.get("includeObject", "Metadata")
        renderer = Renderer(resource, choose_form(request.headers.get("Accept", "")), included)
        if call.verb == "watch":
            return await self._watch(request, call, target, renderer)
        if call.verb == "get":
            return _json(renderer.object(reads.get(self.store, resource, call, self._stale(struck, resource))))
        if call.verb == "list":
            page = reads.list_page(self.store, resource, call, self._stale(struck, resource))
            return _json(renderer.list(page.items, page.metadata))
        body = await _read_body(request)
        writer = Writer(self.objects, call, resource, renderer, moment())
        try:
            answer = writer.answer(body, _content_type(request))
            response = _json(answer.body, answer.code)
        except ApiError as error:
            response = _refusal(error)
        for path in writer.unknown:
            response.headers.add("Warning", f'299 - "unknown field \\"{path}\\""')
        return response

    def _stale(self, struck: Sequence[Fault], resource: Resource) -> int | None:
        fault = next((fault for fault in struck if fault.action == "stale"), None)
        now = asyncio.get_running_loop().time()
        return stale_version(fault, self.store.shelf(resource), self.store, now) if fault else None

    async def _watch(
        self, request: web.BaseRequest, call: Call, target: Target, renderer: Renderer
    ) -> web.StreamResponse:
        stream = Stream(self.store, self.faults, call, target, renderer, self.bookmark_seconds)
        self.streams.add(stream)
        try:
            return await stream.run(request)
        finally:
            self.streams.discard(stream)

    def _serve_path(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        path = call.path.rstrip("/") or "/"
        if path.startswith(_HEALTH):
            return web.Response(text="ok")
        if path == "/metrics":
            return web.Response(body=self._tally.text(len(self.streams)), headers={"Content-Type": CONTENT_TYPE})
        if path in self._aggregated and discovery.AGGREGATED in request.headers.get("Accept", ""):
            return _json(self._aggregated[path], content_type=discovery.AGGREGATED)
        if path in self._documents:
            return _json(self._documents[path])
        if call.plural and (f"/apis/{call.group}/v1" in self._documents or not call.group):
            raise status.no_such_path()
        return web.Response(status=404, text="404 page not found\n")

    async def _review(self, request: web.BaseRequest, call: Call, resource: Resource, user: User) -> web.StreamResponse:
        """Answer what a client asks about itself."""
        if call.verb != "create":
            raise status.method_not_allowed()
        document = read_document(await _read_body(request), _content_type(request), resource.kind)
        value, _ = read_object(resource, document)
        if resource.kind == "SelfSubjectReview":
            value["status"] = {"userInfo": {"username": user.name, "groups": list(user.all_groups)}}
        else:
            allowed = self.authorizer is None or self.authorizer.allows(user, _asked_action(value["spec"]))
            value["status"] = {"allowed": allowed}
        return _json(encode(resource.full(value)), 201)

    async def _answer_faults(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """The administration of faults: GET all, POST one, DELETE one or all."""
        number = call.path.removeprefix(FAULTS_PATH).strip("/")
        if request.method == "POST" and not number:
            try:
                added = self.faults.add(read_fault(msgspec.json.decode(await _read_body(request))))
            except (ConfigError, msgspec.DecodeError) as error:
                raise status.bad_request(str(error)) from error
            return _json(encode({"id": added}), 201)
        if request.method == "DELETE" and not number:
            self.faults.clear()
        elif request.method == "DELETE" and number.isdecimal():
            if not self.faults.remove(int(number)):
                raise status.no_such_path()
        elif request.method != "GET" or number:
            raise status.method_not_allowed()
        active = self.faults.active()
        return _json(encode({"faults": [{"id": key, **attrs.asdict(fault)} for key, fault in active.items()]}))


def _asked_action(spec: Mapping[str, Any]) -> Action:
    path, asked = spec.get("nonResourceAttributes"), spec.get("resourceAttributes") or {}
    if path:
        return Action(verb=path.get("verb", ""), path=path.get("path", ""))
    parts = filter(None, (asked.get("resource", ""), asked.get("subresource", "")))
    names = {name: asked.get(name, "") for name in ("verb", "group", "namespace", "name")}
    return Action(resource="/".join(parts), **names)


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise status.too_large_body(MAX_BODY) from error


def _content_type(request: web.BaseRequest) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip()


def _json(body: bytes, code: int = 200, *, content_type: str = "application/json") -> web.Response:
    return web.Response(body=body, status=code, headers={"Content-Type": content_type})


def _cut(request: web.BaseRequest) -> web.Response:
    """Cut the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _refusal(error: ApiError) -> web.Response:
    seconds = error.context.get("details", {}).get("retryAfterSeconds")
    if error.status == 429:  # what limits requests in the real server writes no Status
        response = web.Response(status=429, text="Too many requests, please try again later.\n")
    else:
        response = _json(encode(status.document(error)), error.status)
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response
