"""In-memory LeaseStores: the same compare-and-swap as the Kubernetes API, and its faults on request."""

import asyncio
import contextvars
import itertools
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

import anyio
import anyio.lowlevel
import attrs

from kubevip.errors import ApiUnavailable, LeaseConflict
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey
from kubevip.ports import Asking, LeaseStore, Observation
from kubevip.testing.process import Listener, effectless, universal_time

Answer = TypeVar("Answer")


async def _at_once(_call: str, _lease: LeaseKey) -> None:
    await anyio.lowlevel.checkpoint()


@attrs.frozen
class Written:
    """A Lease as it was left at *time* (seconds of the world); *record* is ``None`` where it was deleted."""

    time: float
    lease: LeaseKey
    record: Record | None


@attrs.define(eq=False)
class MemoryLeases:
    """Keeps Leases in memory. Electors that share one event loop may share it.

    *before* is awaited at the start of each call, with ``"read"`` or ``"write"`` and the Lease: a test makes
    it slow, or has it raise what a broken API server raises. *written* is all that ever happened.
    """

    before: Callable[[str, LeaseKey], Awaitable[None]] = _at_once
    written: list[Written] = attrs.field(factory=list, init=False)
    _records: dict[LeaseKey, Record] = attrs.field(factory=dict, init=False)
    _watchers: dict[LeaseKey, list[Listener]] = attrs.field(factory=dict, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1), init=False)

    # The port

    async def read(self, lease: LeaseKey) -> Record | None:
        """Return the Lease as it is now; see ``kubevip.ports.LeaseStore``."""
        await self.before("read", lease)
        return self._records.get(lease)

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """Make the Lease say *claim* if it still is at *base*; see ``kubevip.ports.LeaseStore``."""
        await self.before("write", lease)
        if effectless():
            raise ApiUnavailable("a killed process asks nobody")
        current = self._records.get(lease)
        if (current.version if current else None) != (base.version if base else None):
            raise LeaseConflict(f"{lease} has changed meanwhile", status=409)
        version = str(next(self._numbers))
        acquired = version if claim.fresh or base is None else base.acquired
        badge = claim.badge or (base.badge if base is not None else "")
        record = Record(claim.holder, claim.duration, claim.transitions, acquired, version, version, badge)
        if base is not None:
            record = attrs.evolve(record, word=claim.word or base.word, request=base.request)
        self._publish(lease, record, version)
        return record

    async def ask(self, lease: LeaseKey, request: str, base: Record) -> Record:
        """Write *request* into the Lease if it still is at *base*; see ``kubevip.ports.Asking``."""
        await self.before("ask", lease)
        if effectless():
            raise ApiUnavailable("a killed process asks nobody")
        current = self._records.get(lease)
        if current is None or current.version != base.version:
            raise LeaseConflict(f"{lease} has changed meanwhile", status=409)
        version = str(next(self._numbers))
        record = attrs.evolve(current, version=version, request=request)
        self._publish(lease, record, version)
        return record

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """Report each change of the Lease, and its present state at first; see ``kubevip.ports.LeaseStore``."""
        record = self._records.get(lease)
        listener = Listener(seen)
        listener.tell(Observation(record, record.version if record else ""))
        self._watchers.setdefault(lease, []).append(listener)
        try:
            yield
        finally:
            self._watchers[lease].remove(listener)

    # What others do, and what a test asks

    def put(self, lease: LeaseKey, record: Record) -> None:
        """Write what somebody else would write, whatever is there: a holder's renewal, or a hand edit."""
        version = str(next(self._numbers))
        self._publish(lease, attrs.evolve(record, version=version, renewed=version), version)

    def edit(self, lease: LeaseKey) -> None:
        """Change something of the Lease that no election looks at, such as a label."""
        version = str(next(self._numbers))
        self._publish(lease, attrs.evolve(self._records[lease], version=version), version)

    def delete(self, lease: LeaseKey) -> None:
        """Delete the Lease by hand."""
        self._publish(lease, None, str(next(self._numbers)))

    def restore(self, lease: LeaseKey, record: Record | None) -> None:
        """Bring back an earlier *record* with its version, as from a backup: versions go on from there."""
        version = record.version if record else "0"
        self._numbers = itertools.count(int(version) + 1)
        self._publish(lease, record, version)

    def record(self, lease: LeaseKey) -> Record | None:
        """Return what the Lease says."""
        return self._records.get(lease)

    def holder(self, lease: LeaseKey) -> str:
        """Return who holds the Lease; empty where nobody does."""
        record = self._records.get(lease)
        return record.holder if record else ""

    def _publish(self, lease: LeaseKey, record: Record | None, version: str) -> None:
        if record is None:
            self._records.pop(lease, None)
        else:
            self._records[lease] = record
        self.written.append(Written(universal_time(), lease, record))
        for listener in tuple(self._watchers.get(lease, ())):
            listener.tell(Observation(record, version))


@attrs.define(eq=False)
class FaultyLeases:
    """One node's way to a LeaseStore, slow and lossy as it is told to be.

    Each request and each answer takes up to *latency* seconds, and gets lost with the chance *loss* (from 0 to
    1): nobody is told, as on a real network. Watch events come up to *lag* seconds late, in their order. While
    it is *cut*, nothing gets through, and the watch shows only the last state afterwards. *chance* returns
    numbers from 0 to 1.
    """

    _store: LeaseStore
    latency: float = 0.0
    loss: float = 0.0
    lag: float = 0.0
    chance: Callable[[], float] = random.random
    connected: bool = attrs.field(default=True, init=False)
    _on_the_way: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)
    _missed: dict[LeaseKey, Observation] = attrs.field(factory=dict, init=False)
    _watchers: dict[LeaseKey, Callable[[Observation], None]] = attrs.field(factory=dict, init=False)
    _shown: float = attrs.field(default=0.0, init=False)

    def cut(self) -> None:
        """Let nothing through from now on."""
        self.connected = False

    def mend(self) -> None:
        """Let everything through again; the watch shows at once what was missed."""
        self.connected = True
        missed, self._missed = self._missed, {}
        for lease, observation in missed.items():
            self._watchers[lease](observation)

    async def read(self, lease: LeaseKey) -> Record | None:
        """Return the Lease as it is when the request arrives; see ``kubevip.ports.LeaseStore``."""
        return await self._ask(lambda: self._store.read(lease))

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """Write when the request arrives, whoever still waits for the answer; see ``kubevip.ports.LeaseStore``."""
        return await self._ask(lambda: self._store.write(lease, claim, base))

    async def ask(self, lease: LeaseKey, request: str, base: Record) -> Record:
        """Write when the request arrives; see ``kubevip.ports.Asking``."""
        return await self._ask(lambda: cast("Asking", self._store).ask(lease, request, base))

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """Report changes late; see ``kubevip.ports.LeaseStore``."""
        listener = Listener(seen)

        def show(observation: Observation) -> None:
            if not self.connected:
                self._missed[lease] = observation
                return
            now = universal_time()
            # Never two at the same moment, or they might change places.
            self._shown = max(math.nextafter(self._shown, math.inf), now + self.lag * self.chance())
            listener.tell(observation, after=self._shown - now)

        self._watchers[lease] = show
        async with self._store.watch(lease, show):
            yield

    async def _ask(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        if effectless():
            raise ApiUnavailable("a killed process asks nobody")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # On its way a request belongs to the network: it arrives though the one who sent it has given up.
        way = self._bring(request, answer)
        task = asyncio.get_running_loop().create_task(way, context=contextvars.Context())
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)
        return await answer

    async def _bring(self, request: Callable[[], Awaitable[Answer]], answer: "asyncio.Future[Answer]") -> None:
        await anyio.sleep(self.latency * self.chance())
        if self._lost():
            return
        result: Answer | Exception
        try:
            result = await request()
        except Exception as error:
            result = error
        await anyio.sleep(self.latency * self.chance())
        if self._lost() or answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def _lost(self) -> bool:
        return not self.connected or (self.loss > 0 and self.chance() < self.loss)
