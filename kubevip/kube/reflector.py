"""Keeps somebody informed of all objects of a kind: list, then watch from there, and again (client-go's Reflector).

A stream that ends is taken up where it ended. When that is too long ago (410), everything is listed anew and
the difference told. A server that is silent for too long counts as gone, and one that fails is asked later
and later, with jitter.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Generic, Protocol, TypeVar

import anyio
import attrs
import msgspec

from kubevip.errors import ApiError, ApiUnavailable, ResourceExpired
from kubevip.kube.resources import Event, ListPage, Object, Resource
from kubevip.model import ObjectKey
from kubevip.ports import Api

log = logging.getLogger(__name__)

PAGE = 500
# The server ends a watch after this many seconds at the latest; it sends a bookmark about every 60. Agents that were
# started together don't come back together: each watch is up to a fifth shorter.
WATCH_SECONDS = 290
SILENCE = 90.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
# A watch that ends within this many seconds, without an event, was none; one that lasts works.
AT_ONCE = 1.0


class Keyed(Protocol):
    """A decoded object that knows its name."""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""


_EVENTS = msgspec.json.Decoder(Event)
_PAGES = msgspec.json.Decoder(ListPage)
_METADATA = msgspec.json.Decoder(Object)

Kind = TypeVar("Kind", bound=Keyed)
KindToSink = TypeVar("KindToSink", contravariant=True)


class Sink(Protocol[KindToSink]):
    """Who is kept informed."""

    def applied(self, found: KindToSink) -> None:
        """The object exists and is like that."""

    def deleted(self, found: KindToSink) -> None:
        """The object exists no more; this was its last state."""

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """A list has ended: at *version* there were these objects, all just applied, and no others."""


@attrs.frozen
class ReflectorStatistics:
    """A snapshot. *events* counts those of the watch by their type."""

    synced: bool
    lists: int
    streams: int
    events: Mapping[str, int]
    failures: int
    last_error: str


@attrs.define(eq=False)
class Reflector(Generic[Kind]):
    """Informs *sink* of every object of a resource, from ``run()`` until it is cancelled."""

    _client: Api
    resource: Resource[Kind]
    _sink: Sink[Kind]
    namespace: str = ""
    field_selector: str = ""
    silence: float = SILENCE
    longest_pause: float = LONGEST_PAUSE
    failed: Callable[[Exception], None] = lambda _error: None
    """Called with each failure, before it is tried again."""

    _version: str = attrs.field(default="", init=False)
    _listed: str = attrs.field(default="", init=False)
    _synced: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _pause: float = attrs.field(default=FIRST_PAUSE, init=False)
    _works: bool = attrs.field(default=False, init=False)
    _lists: int = attrs.field(default=0, init=False)
    _streams: int = attrs.field(default=0, init=False)
    _events: Counter[str] = attrs.field(factory=Counter, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _last_error: str = attrs.field(default="", init=False)
    _decode_one: Callable[[msgspec.Raw], Kind] = attrs.field(init=False)
    _jitter: Callable[[float, float], float] = random.uniform

    def __attrs_post_init__(self) -> None:
        self._decode_one = self.resource.decode or msgspec.json.Decoder(self.resource.kind).decode

    @property
    def what(self) -> str:
        """What is watched, for messages."""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource.plural}{where}"

    @property
    def is_listing(self) -> bool:
        """Whether what the sink is told comes from a list: in the order of names, and not of what happened."""
        return not self._version

    async def wait_synced(self) -> None:
        """Wait until the first list has been told."""
        await self._synced.wait()

    def statistics(self) -> ReflectorStatistics:
        """Return a snapshot."""
        return ReflectorStatistics(
            synced=self._synced.is_set(),
            lists=self._lists,
            streams=self._streams,
            events=dict(self._events),
            failures=self._failures,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Keep the sink informed until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ResourceExpired as error:
                # Once is usual. A server that finds its own list too old would be asked for lists without a pause.
                at_once, self._version = self._version in ("", self._listed), ""
                if at_once:
                    await self._back_off(error)
            except (ApiError, msgspec.MsgspecError) as error:
                await self._back_off(error)

    async def _list(self) -> None:
        keys: set[ObjectKey] = set()
        continue_at = ""
        while True:
            query = [("limit", str(PAGE)), *self._selection()]
            if continue_at:
                query.append(("continue", continue_at))
            page = await self._page(query)
            for raw in page.items or ():
                found = self._decode(raw)
                # What can't be read is there nevertheless: whatever was known of it stays.
                keys.add(_METADATA.decode(raw).key if found is None else found.key)
                if found is not None:
                    self._sink.applied(found)
            continue_at = page.metadata.continue_
            if not continue_at:
                break
        self._version = self._listed = page.metadata.resource_version
        self._lists += 1
        self._sink.listed(keys, self._version)
        self._well()
        self._synced.set()

    async def _page(self, query: list[tuple[str, str]]) -> ListPage:
        path = self.resource.path(self.namespace)
        return _PAGES.decode(await self._client.request("GET", path, query=query, timeout=60))

    async def _watch(self) -> None:
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(round(WATCH_SECONDS * self._jitter(0.8, 1.0)))),
            *self._selection(),
        ]
        path = self.resource.path(self.namespace)
        self._works = False
        async with self._client.stream(path, query=query, silence=self.silence) as lines:
            self._streams += 1
            proof = asyncio.get_running_loop().call_later(AT_ONCE, self._work)
            try:
                async for line in lines:
                    self._take(_EVENTS.decode(line))
            finally:
                proof.cancel()
        if not self._works:
            raise ApiUnavailable(f"the API server ends every watch of {self.what} at once")

    def _take(self, event: Event) -> None:
        self._events[event.type] += 1
        if event.type == "ERROR":
            raise _watch_error(event, self.what)
        found = self._decode(event.object) if event.type != "BOOKMARK" else None
        if found is not None:
            tell = self._sink.deleted if event.type == "DELETED" else self._sink.applied
            tell(found)
        self._version = _METADATA.decode(event.object).metadata.resource_version
        self._work()

    def _decode(self, raw: msgspec.Raw) -> Kind | None:
        """Decode one object. One that is not what it should be must not keep back the others."""
        try:
            return self._decode_one(raw)
        except msgspec.MsgspecError as error:
            known = _METADATA.decode(raw).key
            log.error("passing over an object that can't be read", extra={"object": str(known), "reason": str(error)})
            return None

    def _selection(self) -> list[tuple[str, str]]:
        return [("fieldSelector", self.field_selector)] if self.field_selector else []

    def _work(self) -> None:
        """The stream has told something, or lasts."""
        self._works = True
        self._pause = FIRST_PAUSE
        self._well()

    def _well(self) -> None:
        if self._last_error:
            log.info("watching %s again", self.what)
        self._last_error = ""

    async def _back_off(self, error: Exception) -> None:
        self._failures += 1
        if str(error) != self._last_error:
            log.warning("watching %s failed", self.what, extra={"reason": str(error)})
        self._last_error = str(error)
        self.failed(error)
        asked = error.retry_after if isinstance(error, ApiUnavailable) else None
        await anyio.sleep(asked or self._pause * self._jitter(0.5, 1.5))
        self._pause = min(2 * self._pause, self.longest_pause)


class _WatchStatus(msgspec.Struct):
    message: str = ""
    code: int = 0


def _watch_error(event: Event, what: str) -> ApiError:
    status = msgspec.json.decode(event.object, type=_WatchStatus)
    kind = ResourceExpired if status.code == 410 else ApiUnavailable
    return kind(f"the watch of {what} ended: {status.message}", status=status.code)
