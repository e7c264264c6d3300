"""The API server of a simulation: the emulator's store and rules, without its sockets.

So it answers as the real server does: the emulator's conformance tests run on both.
"""

import random
from collections.abc import Callable, Mapping

import attrs
import msgspec

from kubevip.emulator import BY_PLURAL, Resource, Store, Stored, reads, status
from kubevip.emulator.allocation import Allocator
from kubevip.emulator.calls import Call, parse_call
from kubevip.emulator.decoding import read_object
from kubevip.emulator.expectations import Moment
from kubevip.emulator.objects import Objects
from kubevip.emulator.rendering import Renderer
from kubevip.emulator.selectors import Selector
from kubevip.emulator.store import Change
from kubevip.emulator.writes import Writer
from kubevip.model import LeaseKey
from kubevip.ports import MERGE_PATCH
from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Chronicle, Wrote
from kubevip.testing.simulation.recording import Recorder

LEASES, SERVICES, SLICES, NODES = (BY_PLURAL[name] for name in ("leases", "services", "endpointslices", "nodes"))
NAMESPACES = ("default", "kube-system")
_DATE = "2026-01-01T00:00:00Z"


@attrs.frozen
class Fact:
    """What an answer says of a Lease: who held it at *version*."""

    lease: LeaseKey
    holder: str
    version: int


@attrs.frozen
class Answer:
    """JSON, and what its reader learns from it."""

    content: bytes
    facts: tuple[Fact, ...] = ()


@attrs.frozen(kw_only=True)
class Request:
    """A request of process number *life* of *node*, sent at *asked* (seconds of the world)."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None
    node: str
    life: int
    asked: float


@attrs.define(eq=False)
class Watch:
    """One watch: *tell* is called with each line of it, until it is closed."""

    server: "ApiServer"
    tell: Callable[[Answer], None]
    _call: Call
    _resource: Resource
    _selector: Selector
    _renderer: Renderer
    _since: int
    _position: int

    def proceed(self) -> None:
        """Tell what has changed."""
        changes = self.server.store.shelf(self._resource).after(self._position)
        self._position += len(changes)
        for change in changes:
            if change.version > self._since and self._call.scope in (None, change.new.key[0]):
                self._tell(change)

    def _tell(self, change: Change) -> None:
        if not self._selector.takes(change.new):
            # What a simulation selects is a name, and names don't change.
            return
        self.tell(Answer(self._renderer.event(change.type, change.new), facts(self._resource, change.new, change.gone)))

    def close(self) -> None:
        """Tell nothing any more."""
        self.server.watches.discard(self)


@attrs.define(eq=False)
class ApiServer:
    """Answers requests at once; whatever delays or loses them is between it and its clients."""

    chance: random.Random
    chronicle: Chronicle
    store: Store = attrs.field(factory=Store, init=False)
    watches: "Watches" = attrs.field(factory=lambda: Watches(), init=False)
    recorder: Recorder | None = attrs.field(default=None, init=False)
    _objects: Objects = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._objects = Objects(self.store, Allocator.of(("10.96.0.0/12",)), self.chance)
        for name in NAMESPACES:
            self.create(BY_PLURAL["namespaces"], "", {"metadata": {"name": name}})

    # Requests

    def answer(self, request: Request) -> Answer:
        """Answer a request that isn't a watch.

        :raises ApiError: as a client is refused.
        """
        call = parse_call(request.method, request.path, request.query)
        resource = call.resource
        if resource is None:
            raise status.no_such_path()
        if call.plural == "events":
            # Nobody here reads them.
            return Answer(b"{}")
        renderer = Renderer(resource, "object")
        if call.verb == "get":
            found = reads.get(self.store, resource, call, None)
            return Answer(renderer.object(found), facts(resource, found))
        if call.verb == "list":
            page = reads.list_page(self.store, resource, call, None)
            content = renderer.list(page.items, page.metadata)
            return Answer(content, tuple(fact for each in page.items for fact in facts(resource, each)))
        return self._write(request, call, resource, renderer)

    def _write(self, request: Request, call: Call, resource: Resource, renderer: Renderer) -> Answer:
        before = self.store.get(resource, call.key)
        version = self.store.version
        form = MERGE_PATCH if call.verb == "patch" else "application/json"
        answer = Writer(self._objects, call, resource, renderer, _moment()).answer(request.body or b"", form)
        if resource is not LEASES or self.store.version == version:
            self._spread(request)
            return Answer(answer.body)
        written = next(reversed(self.store.shelf(LEASES).changes)).new
        self._note(request, before, written)
        self._spread(request)
        return Answer(answer.body, facts(LEASES, written))

    def _note(self, request: Request, before: Stored | None, written: Stored) -> None:
        spec = written.value["spec"]
        self.chronicle.add(
            Wrote(
                universal_time(),
                request.node,
                lease_of(written),
                spec.get("holderIdentity") or "",
                (before.value["spec"].get("holderIdentity") or "") if before else "",
                float(spec.get("leaseDurationSeconds") or 0),
                int(spec.get("leaseTransitions") or 0),
                written.version,
                request.asked,
                request.life,
            )
        )

    def watch(self, request: Request, tell: Callable[[Answer], None]) -> Watch:
        """Begin a watch; *tell* is called with each line, the first ones before this returns.

        :raises ResourceExpired: if the version that it is to begin at is forgotten.
        """
        call = parse_call(request.method, request.path, request.query)
        assert call.resource is not None
        since = int(reads.parse_version(call.query) or 0)
        position = self.store.shelf(call.resource).position(since)
        selector = reads.select(call.resource, call.query)
        watch = Watch(self, tell, call, call.resource, selector, Renderer(call.resource, "object"), since, position)
        self.watches.add(watch)
        watch.proceed()
        return watch

    def _spread(self, request: Request | None = None) -> None:
        if self.recorder is not None:
            self.recorder.look(request.node if request else "", request.asked if request else universal_time())
        for watch in self.watches.all():
            watch.proceed()

    # What others do

    def create(self, resource: Resource, namespace: str, document: Mapping[str, object]) -> None:
        """Create an object."""
        value, _unknown = read_object(resource, msgspec.json.decode(msgspec.json.encode(document)))
        self._objects.create(resource, namespace, value, _moment())
        self._spread()

    def edit(self, resource: Resource, namespace: str, name: str, change: Callable[[dict[str, object]], None]) -> None:
        """Let *change* change an object in place, if it is there."""
        found = self.store.get(resource, (namespace, name))
        if found is not None:
            value = found.copy()
            change(value)
            self._objects.replace(resource, found.key, value, _moment())
            self._spread()

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object, if it is there."""
        if self.store.get(resource, (namespace, name)) is not None:
            self._objects.delete(resource, (namespace, name), _moment())
            self._spread()

    def forget(self) -> None:
        """Forget what was: a watch that goes on from an earlier version gets a 410."""
        self.store.expire()

    def holder(self, lease: LeaseKey) -> str:
        """Return who holds a Lease; empty where nobody does."""
        found = self.store.get(LEASES, (lease.namespace, lease.name))
        return str(found.value["spec"].get("holderIdentity") or "") if found else ""


@attrs.define(eq=False)
class Watches:
    """The open watches, in the order of their opening."""

    _open: dict[Watch, None] = attrs.field(factory=dict, init=False)

    def add(self, watch: Watch) -> None:
        """Add one."""
        self._open[watch] = None

    def discard(self, watch: Watch) -> None:
        """Remove one, if it is there."""
        self._open.pop(watch, None)

    def all(self) -> tuple[Watch, ...]:
        """Return those that are open now."""
        return tuple(self._open)


def lease_of(stored: Stored) -> LeaseKey:
    """Return the name of a stored Lease."""
    return LeaseKey(*stored.key)


def facts(resource: Resource, stored: Stored, gone: bool = False) -> tuple[Fact, ...]:
    """Return what is to be learnt from an object."""
    if resource is not LEASES:
        return ()
    holder = "" if gone else str(stored.value["spec"].get("holderIdentity") or "")
    return (Fact(lease_of(stored), holder, stored.version),)


def _moment() -> Moment:
    return Moment(universal_time(), _DATE)
