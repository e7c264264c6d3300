"""The pools of other IPAMs: each opened when it is first needed, and told what its Services have already.

A source lives in a task of its own from its opening to its end, so that it may hold what only the task that opened
it can close. One that fails or hangs keeps nobody else's Services waiting.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.abc
import attrs

from kubevip.errors import AddressTaken, KubeVipError
from kubevip.ipam import Pool, Request
from kubevip.model import IPAddress
from kubevip.registry import SourceRegistry
from kubevip.source import Capacity, PoolSource, fault_of

log = logging.getLogger(__name__)

# A call that takes longer than this many seconds is given up.
PATIENCE = 10.0
# So many calls of one source go on at once.
AT_ONCE = 16
# How often a source is asked how much it has.
LOOK_EVERY = 30.0
# Of a pool: each key that has addresses of it, with them.
Present = Callable[[Pool], Iterable[tuple[str, tuple[IPAddress, ...]]]]
Answer = TypeVar("Answer")


@attrs.define(eq=False)
class Sources:
    """Asks the sources of pools; to be entered. *present* tells what there is of a pool already."""

    _registry: SourceRegistry
    _settings: Mapping[str, str]
    _present: Present
    _tasks: anyio.abc.TaskGroup = attrs.field(init=False)
    _open: dict[Pool, "_Opened"] = attrs.field(factory=dict, init=False)

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close those that were opened."""
        self.keep(())
        await self._tasks.__aexit__(None, None, None)

    def keep(self, pools: Collection[Pool]) -> None:
        """Close those of all other pools, when the calls that go on have come to their end."""
        for pool in self._open.keys() - pools:
            self._open.pop(pool).close()

    def is_told(self, pool: Pool) -> bool:
        """Whether the source of *pool* is open, and was told what there was."""
        return pool in self._open and self._open[pool].is_ready

    async def allocate(self, pool: Pool, request: Request) -> Sequence[IPAddress]:
        """Return the addresses that *pool* gives *request*.

        :raises KubeVipError: if it gives none, or none that can be used.
        """
        addresses = await self._of(pool).ask(lambda source: source.allocate(request))
        fault = fault_of(request, addresses)
        if fault:
            raise KubeVipError(f"{pool.source} gives {addresses!r}, which can't be used: {fault}")
        return tuple(addresses)

    async def adopt(self, pool: Pool, key: str, addresses: Sequence[IPAddress]) -> None:
        """Tell that *key* has *addresses*, and no others.

        :raises KubeVipError: if that isn't possible now.
        """
        await self._of(pool).ask(lambda source: source.adopt(key, addresses))

    async def release(self, pool: Pool, key: str) -> None:
        """Give back what *key* has of *pool*.

        :raises KubeVipError: if that isn't possible now.
        """
        await self._of(pool).ask(lambda source: source.release(key))

    def statistics(self) -> Mapping[str, Capacity]:
        """Return a snapshot: what each source that is open has said last, by the pool's key."""
        return {pool.key: opened.capacity for pool, opened in self._open.items() if opened.capacity is not None}

    def _of(self, pool: Pool) -> "_Opened":
        opened = self._open.get(pool)
        if opened is None or opened.is_over:
            opened = self._open[pool] = _Opened(pool, self._make, self._present)
            self._tasks.start_soon(opened.live)
        return opened

    def _make(self, pool: Pool) -> PoolSource:
        return self._registry[pool.source](pool.key, pool.text, self._settings)


@attrs.define(eq=False)
class _Opened:
    """One source. Whoever asks it waits until it is open and was told of all that there is, or that has failed."""

    _pool: Pool
    _make: Callable[[Pool], PoolSource]
    _present: Present
    is_ready: bool = attrs.field(default=False, init=False)
    is_over: bool = attrs.field(default=False, init=False)
    capacity: Capacity | None = attrs.field(default=None, init=False)

    _source: PoolSource = attrs.field(init=False)
    _adopted: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict, init=False)
    _failure: KubeVipError | None = attrs.field(default=None, init=False)
    # An attempt to make it ready has ended; somebody waits for another one, or it is to be closed.
    _tried: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _is_closing: bool = attrs.field(default=False, init=False)
    _turns: anyio.CapacityLimiter = attrs.field(factory=lambda: anyio.CapacityLimiter(AT_ONCE), init=False)
    _logged: str = attrs.field(default="", init=False)

    async def ask(self, call: Callable[[PoolSource], Awaitable[Answer]]) -> Answer:
        """Return what *call* returns.

        :raises KubeVipError: whatever has failed.
        """
        while not self.is_ready:
            await self._wait_tried()
        async with self._turns:
            if self.is_over:
                raise self._failure or self._closed()
            return await self._bounded(call)

    def close(self) -> None:
        """Close it, in its own task."""
        self._is_closing = True
        self._wake.set()

    async def _wait_tried(self) -> None:
        if self.is_over or self._is_closing:
            raise self._failure or self._closed()
        if self._tried.is_set():
            self._tried = anyio.Event()
            self._wake.set()
        await self._tried.wait()
        if self._failure is not None:
            raise KubeVipError(str(self._failure)) from self._failure

    async def live(self) -> None:
        """Open the source, tell it what there is, and close it in the end. Whoever cancels that waits for the end."""
        try:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + PATIENCE) as scope:
                with self._translated():
                    async with self._make(self._pool) as self._source:
                        scope.deadline = math.inf
                        await self._serve()
                        scope.deadline = anyio.current_time() + PATIENCE
            if scope.cancelled_caught:
                raise self._silence()
        except KubeVipError as error:
            if self.is_ready:
                log.warning("a pool source has ended", extra={"key": self._pool.key, "reason": str(error)})
            self._failure = error
        finally:
            self.is_ready, self.is_over = False, True
            self._tried.set()

    async def _serve(self) -> None:
        while not self._is_closing and not self.is_ready:
            self._wake = anyio.Event()
            self._failure = await self._adopt_all()
            self.is_ready = self._failure is None
            self._tried.set()
            if not self.is_ready:
                await self._wake.wait()
        while not self._is_closing:
            await self._look()
            with anyio.move_on_after(LOOK_EVERY):
                await self._wake.wait()
        with anyio.move_on_after(PATIENCE):
            for _ in range(AT_ONCE):
                await self._turns.acquire_on_behalf_of(object())

    async def _adopt_all(self) -> KubeVipError | None:
        """Tell the source what there is that it wasn't told of yet; return why that is not possible now."""
        failures: list[KubeVipError] = []
        while not failures:
            present = [each for each in tuple(self._present(self._pool)) if self._adopted.get(each[0]) != each[1]]
            if not present:
                self._adopted.clear()
                return None
            left = iter(present)
            async with anyio.create_task_group() as tasks:
                for _ in range(min(AT_ONCE, len(present))):
                    tasks.start_soon(self._adopt, left, failures)
        return failures[0]

    async def _adopt(self, left: Iterator[tuple[str, tuple[IPAddress, ...]]], failures: list[KubeVipError]) -> None:
        for key, addresses in left:
            try:
                await self._adopt_one(key, addresses)
            except KubeVipError as error:
                failures.append(error)
            if failures:
                return

    async def _adopt_one(self, key: str, addresses: tuple[IPAddress, ...]) -> None:
        try:
            await self._bounded(lambda source: source.adopt(key, addresses))
        except AddressTaken as error:
            # It gives that address to nobody, then; and all others have to be served.
            extra = {"key": self._pool.key, "service": key, "reason": str(error)}
            log.warning("another IPAM has somebody else down for a Service's address", extra=extra)
        self._adopted[key] = addresses

    async def _look(self) -> None:
        try:
            found = await self._bounded(lambda source: source.capacity())
        except KubeVipError as error:
            log.debug("the capacity isn't known", extra={"key": self._pool.key, "reason": str(error)})
            found = None
        self.capacity = found if isinstance(found, Capacity) else None

    async def _bounded(self, call: Callable[[PoolSource], Awaitable[Answer]]) -> Answer:
        with anyio.move_on_after(PATIENCE), self._translated():
            return await call(self._source)
        raise self._silence()

    def _closed(self) -> KubeVipError:
        return KubeVipError(f"{self._pool.source} was closed meanwhile")

    def _silence(self) -> KubeVipError:
        return KubeVipError(f"{self._pool.source} has not answered within {PATIENCE:g} s")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Make ``KubeVipError`` of whatever a source raises."""
        try:
            yield
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise KubeVipError(f"{self._pool.source} has failed: something that it waited for was cancelled") from error
        except KubeVipError:
            raise
        except Exception as error:
            if repr(error) != self._logged:
                self._logged = repr(error)
                log.exception("a pool source has failed", extra={"key": self._pool.key})
            raise KubeVipError(f"{self._pool.source} has failed: {error!r}") from error
