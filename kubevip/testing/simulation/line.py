"""The way between a node and the API server, with all that can go wrong on it.

A message that meets a cut waits there, as TCP keeps it, and goes on when the cut is over, or its connection breaks
then. So a request may be carried out long after its sender has given it up.
"""

import asyncio
import contextvars
import math
import random
from collections.abc import Callable

import attrs

from kubevip.errors import ApiError, ApiUnavailable
from kubevip.testing.simulation.server import Answer, ApiServer, Request, Watch

# A connection is found dead after so many seconds of silence (kubevip.kube.client sets its keepalive so).
DEAD_AFTER = 14.0
# How long a broken connection takes to say so.
_REFUSED_AFTER = 0.001

Reply = asyncio.Future[Answer]


@attrs.define(eq=False)
class Conditions:
    """How a line is. Times are seconds, parts are from 0 to 1.

    *latency* is the longest of each way, *lag* how late a watch may be besides. *requests_cut* and *replies_cut*
    count the faults that stop each direction. *refusing* counts those that have the server refuse connections.
    *erring* is the part of the requests that get *status*; *losing* of those whose reply is lost, *doubling* of those
    that arrive twice.
    """

    latency: float
    lag: float = 0.0
    requests_cut: int = 0
    replies_cut: int = 0
    refusing: int = 0
    erring: float = 0.0
    status: int = 500
    losing: float = 0.0
    doubling: float = 0.0


@attrs.define(eq=False)
class Stream:
    """One watch as its client has it: lines that have arrived, or the error that ended it."""

    line: "Line"
    arrived: list[Answer] = attrs.field(factory=list, init=False)
    error: ApiError | None = attrs.field(default=None, init=False)
    watch: Watch | None = attrs.field(default=None, init=False)
    _wake: "asyncio.Future[None] | None" = attrs.field(default=None, init=False)
    _last: float = attrs.field(default=0.0, init=False)
    _held: list[Answer] = attrs.field(factory=list, init=False)

    def send(self, answer: Answer) -> None:
        """Bring a line from the server, after those that were sent before it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        conditions = self.line.conditions
        late = (conditions.latency + conditions.lag) * self.line.chance.random()
        # Never two at the same moment, or they might change places.
        self._last = max(math.nextafter(self._last, math.inf), now + late)
        loop.call_at(self._last, self._arrive, answer)

    def _arrive(self, answer: Answer) -> None:
        if self.line.conditions.replies_cut or self._held:
            self._held.append(answer)
        elif self.error is None:
            self.arrived.append(answer)
            self._tell()

    def mended(self) -> None:
        """Let what was held up arrive."""
        held, self._held = self._held, []
        for answer in held:
            self._arrive(answer)

    def fail(self, error: ApiError) -> None:
        """End it with *error*."""
        if self.error is None:
            self.error = error
            self.close()
            self._tell()

    def close(self) -> None:
        """End it."""
        if self.watch is not None:
            self.watch.close()
        self.line.streams.pop(self, None)

    def _tell(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait(self, silence: float) -> None:
        """Wait until there is something to read; after *silence* seconds that is an error."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(silence, self.fail, ApiUnavailable(f"no answer within {silence:g} s"))
        try:
            await self._wake
        finally:
            timer.cancel()


@attrs.define(eq=False)
class Line:
    """One node's way to the API server, of *usual_latency* each way. What it does, it does in nobody's process."""

    server: ApiServer
    chance: random.Random
    usual_latency: float
    conditions: Conditions = attrs.field(init=False)
    streams: dict[Stream, None] = attrs.field(factory=dict, init=False)
    _held: list[tuple[Callable[[], None], Reply]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.conditions = Conditions(latency=self.usual_latency)

    # Requests

    def ask(self, request: Request, reply: Reply) -> None:
        """Bring *request* to the server and what it says to *reply*, if neither is lost."""
        contextvars.Context().run(self._leave, lambda: self._arrive(request, reply), reply)

    def open(self, request: Request, stream: Stream, reply: Reply) -> None:
        """Begin a watch; *reply* is for whether it has begun."""
        contextvars.Context().run(self._leave, lambda: self._begin(request, stream, reply), reply)

    def _leave(self, arrive: Callable[[], None], reply: Reply) -> None:
        if self.conditions.refusing:
            self._later(_REFUSED_AFTER, self._fail, reply, "connection refused")
        elif self.conditions.requests_cut:
            self._held.append((arrive, reply))
        else:
            self._later(self._way(), arrive)

    def _arrive(self, request: Request, reply: Reply) -> None:
        error = self._struck()
        if error is not None:
            self._return(reply, error)
            return
        outcome = self._answer(request)
        if self._happens(self.conditions.doubling):
            # The connection broke under the first one, and the client's transport sent it again.
            outcome = self._answer(request)
        if self._happens(self.conditions.losing):
            self._later(self._way(), self._fail, reply, "connection reset by peer")
        else:
            self._return(reply, outcome)

    def _answer(self, request: Request) -> Answer | ApiError:
        try:
            return self.server.answer(request)
        except ApiError as error:
            return error

    def _begin(self, request: Request, stream: Stream, reply: Reply) -> None:
        if reply.done():
            return
        error = self._struck()
        if error is None:
            try:
                stream.watch = self.server.watch(request, stream.send)
            except ApiError as refused:
                error = refused
        if error is None:
            self.streams[stream] = None
        self._return(reply, error or Answer(b""))

    def _struck(self) -> ApiError | None:
        """Return the error that the server answers with, whatever it is asked."""
        if self.conditions.refusing:
            return ApiUnavailable("the connection was reset")
        if not self._happens(self.conditions.erring):
            return None
        error = ApiUnavailable(f"the server says {self.conditions.status}", status=self.conditions.status)
        if self.conditions.status == 429:
            error.retry_after = 1.0
        return error

    def _return(self, reply: Reply, outcome: Answer | ApiError) -> None:
        self._later(self._way(), self._come_back, reply, outcome)

    def _come_back(self, reply: Reply, outcome: Answer | ApiError) -> None:
        if self.conditions.replies_cut:
            self._held.append((lambda: self._settle(reply, outcome), reply))
        else:
            self._settle(reply, outcome)

    @staticmethod
    def _settle(reply: Reply, outcome: Answer | ApiError) -> None:
        if reply.done():
            return
        if isinstance(outcome, ApiError):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)

    def _fail(self, reply: Reply, why: str) -> None:
        self._settle(reply, ApiUnavailable(f"the API server does not answer: {why}"))

    def _way(self) -> float:
        return self.conditions.latency * self.chance.random()

    def _happens(self, part: float) -> bool:
        return part > 0 and self.chance.random() < part

    @staticmethod
    def _later(after: float, do: Callable[..., None], *args: object) -> None:
        asyncio.get_running_loop().call_later(after, do, *args)

    # What happens to it

    def cut(self, *, requests: bool, replies: bool) -> None:
        """Stop one direction, or both. Streams that stay silent for long are found dead."""
        self.conditions.requests_cut += requests
        self.conditions.replies_cut += replies
        for stream in tuple(self.streams):
            self._later(DEAD_AFTER, self._find_dead, stream)

    def _find_dead(self, stream: Stream) -> None:
        if self.conditions.replies_cut or self.conditions.requests_cut:
            stream.fail(ApiUnavailable("the connection timed out"))

    def mend(self, *, requests: bool, replies: bool) -> None:
        """Let through again what ``cut()`` has stopped. Of what was held up some goes on, and some is lost."""
        self.conditions.requests_cut -= requests
        self.conditions.replies_cut -= replies
        held, self._held = self._held, []
        for go_on, reply in held:
            if self._happens(0.3):
                self._later(self._way(), self._fail, reply, "connection reset by peer")
            else:
                # Sent again when TCP's timer says so.
                self._later(0.2 * self.chance.random(), go_on)
        for stream in tuple(self.streams):
            stream.mended()

    def break_streams(self) -> None:
        """End all watches, as a server does that goes down."""
        for stream in tuple(self.streams):
            stream.fail(ApiUnavailable("the watch was cut"))

    def hang_up(self) -> None:
        """End all watches without a word: the process that had them is no more."""
        for stream in tuple(self.streams):
            stream.close()
