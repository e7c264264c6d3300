"""Watch streams: who watches is told of each change, in order, until it leaves, its time is up or it is too far behind.

A stream keeps its position in the history and sleeps until something changes: the resource, the faults, or the
time of its next bookmark. It holds no events of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import attrs
from aiohttp import web

from kubevip.emulator import status
from kubevip.emulator.calls import Call, flag, number
from kubevip.emulator.faults import Fault, Faults, Target
from kubevip.emulator.reads import parse_version, select
from kubevip.emulator.rendering import Renderer, encode
from kubevip.emulator.selectors import Selector
from kubevip.emulator.store import Change, Shelf, Store
from kubevip.errors import ApiError, ResourceExpired

_DEFAULT_SECONDS = 1800.0
"""How long a stream lasts for who doesn't say."""


@attrs.define(eq=False)
class Stream:
    """One watch. It is made for a request and run by its task."""

    store: Store
    faults: Faults
    call: Call
    target: Target
    renderer: Renderer
    bookmark_seconds: float
    _selector: Selector = attrs.field(init=False)
    _shelf: Shelf = attrs.field(init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _since: int = attrs.field(default=0, init=False)
    """The version that the client has seen already; it may be of the future."""
    _position: int = attrs.field(default=0, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _cut: Fault | None = attrs.field(default=None, init=False)
    _timeout: float = attrs.field(default=0.0, init=False)
    _next_bookmark: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._selector = select(self.renderer.resource, self.call.query)
        self._shelf = self.store.shelf(self.renderer.resource)
        _check_options(self.call)

    def cut(self, fault: Fault) -> None:
        """End the stream as *fault* says: by an ERROR event, or by cutting its connection."""
        self._cut = fault
        self._wake.set()

    def close(self) -> None:
        """End the stream as if its time were up."""
        self._ended = True
        self._wake.set()

    async def run(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request* until the stream ends."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timeout = now + (number(self.call.query, "timeoutSeconds") or _DEFAULT_SECONDS)
        if flag(self.call.query, "allowWatchBookmarks"):
            self._next_bookmark = now + self.bookmark_seconds
        chunk = self._start(now)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        # A client that goes away while it is told something has heard enough.
        with self._listening(), contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            while True:
                if chunk:
                    await response.write(chunk)
                if self._ended or request.transport is None:
                    break
                await wait_for(self._wake, self._next_time())
                if self._is_broken():
                    request.transport.abort()
                    break
                chunk = self._proceed(loop.time())
        return response

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        listeners: tuple[set[Callable[[], None]], ...] = (self._shelf.listeners, self.faults.listeners)
        for known in listeners:
            known.add(self._wake.set)
        try:
            yield
        finally:
            for known in listeners:
                known.discard(self._wake.set)

    def _is_broken(self) -> bool:
        if self._cut and self._cut.status is None:
            return True
        fault = self.faults.holding("cut-off", self.target)
        return fault is not None and not fault.hang

    def _start(self, now: float) -> bytes:
        """Find the position to go on from, and what has to be told first."""
        until, query = self._limit(now), self.call.query
        self._since = 0 if _wants_initial(self.call) else int(parse_version(query) or 0)
        try:
            if self._since:
                self._position = self._shelf.position(self._since)
                return self._proceed(now)
            self._position = self._shelf.end if until is None else self._shelf.position(until)
            view = self.store.view(self.renderer.resource, until)
        except ResourceExpired as error:
            return self._fail(error)
        if "sendInitialEvents" in query and not _wants_initial(self.call):
            return b""
        lines = [self.renderer.event("ADDED", s) for s in view.walk(self.call.scope) if self._selector.takes(s)]
        if _wants_initial(self.call) and self._next_bookmark is not None:
            lines.append(self.renderer.bookmark(self.store.version if until is None else until, initial=True))
        return b"".join(lines)

    def _proceed(self, now: float) -> bytes:
        """What has to be told now."""
        if self._cut:
            return self._fail(status.injected(self._cut.status or 500, self.renderer.resource, "", None))
        if self.faults.holding("cut-off", self.target):
            return b""
        until = self._limit(now)
        try:
            changes = self._shelf.after(self._position, until)
        except ResourceExpired as error:
            return self._fail(error)
        self._position += len(changes)
        lines = [line for change in changes if (line := self._line(change))]
        if self._next_bookmark is not None and now >= self._next_bookmark:
            self._next_bookmark = now + self.bookmark_seconds
            lines.append(self.renderer.bookmark(self.store.version if until is None else until))
        self._ended = self._ended or now >= self._timeout
        return b"".join(lines)

    def _fail(self, error: ApiError) -> bytes:
        self._ended = True
        return encode({"type": "ERROR", "object": status.document(error)}) + b"\n"

    def _line(self, change: Change) -> bytes:
        """The event of a change as this stream sees it: what stops being selected is deleted for it."""
        if change.version <= self._since or self.call.scope not in (None, change.new.key[0]):
            return b""
        if self._selector.takes_all:
            return self.renderer.change(change)
        before, after = self._selector.takes(change.old), not change.gone and self._selector.takes(change.new)
        if before and after:
            return self.renderer.event("MODIFIED", change.new)
        if after:
            return self.renderer.event("ADDED", change.new)
        return self.renderer.event("DELETED", change.last_sight()) if before else b""

    def _limit(self, now: float) -> int | None:
        """The newest version that the stream may see, None when it may see all."""
        fault = self.faults.holding("stale", self.target)
        return None if fault is None else stale_version(fault, self._shelf, self.store, now)

    def _next_time(self) -> float | None:
        """When there is something to do even if nothing happens."""
        times = [self.faults.next_end()]
        if not self.faults.holding("cut-off", self.target):
            times += [self._timeout, self._next_bookmark]
            fault = self.faults.holding("stale", self.target)
            if fault and fault.seconds and (written := self._shelf.time_after(self._position)) is not None:
                times.append(written + fault.seconds)
        return min((time for time in times if time is not None), default=None)


async def wait_for(event: asyncio.Event, until: float | None) -> None:
    """Sleep until *event* is set, or until the time *until* of the loop's clock, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await event.wait()
    event.clear()


def stale_version(fault: Fault, shelf: Shelf, store: Store, now: float) -> int:
    """The version that a stale reader sees."""
    if fault.seconds:
        return shelf.version_at(now - fault.seconds)
    return max(shelf.floor, store.version - fault.versions)


def _wants_initial(call: Call) -> bool:
    return flag(call.query, "sendInitialEvents")


def _check_options(call: Call) -> None:
    """The rules of WatchList: initial events need their match, and bookmarks."""
    match, field = call.query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    if _wants_initial(call) and match != "NotOlderThan":
        cause = status.not_allowed(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    elif match and "sendInitialEvents" not in call.query:
        cause = status.not_allowed(field, f"{field} is forbidden for watch unless sendInitialEvents is provided")
    else:
        return
    raise status.bad_options("ListOptions", [cause])
