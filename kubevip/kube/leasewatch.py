"""One watch for all Leases of a namespace, shared by all who want to know of one of them.

A watch for each Lease is right where there are two. Where every Service has one, each node would hold hundreds of
streams open. Where the API server forbids to watch a whole namespace, each Lease gets its own watch after all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
import anyio.abc
import attrs

from kubevip.errors import Forbidden
from kubevip.kube.leases import LONGEST_PAUSE, SILENCE, KubeLeases, to_record
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import LEASES, RawLease
from kubevip.lease import Record
from kubevip.model import LeaseKey, ObjectKey
from kubevip.ports import Api, Observation

log = logging.getLogger(__name__)

Seen = Callable[[Observation], None]
WatchOne = Callable[[LeaseKey, Seen], AbstractAsyncContextManager[None]]


@attrs.define(eq=False)
class SharedLeases(KubeLeases):
    """Keeps Leases in the Kubernetes API, and watches them by namespace while ``run()`` goes on."""

    _namespaces: dict[str, "_Namespace"] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Seen) -> AsyncIterator[None]:
        """Report each change of the Lease; see ``kubevip.ports.LeaseStore``."""
        space = self._namespaces.get(lease.namespace)
        if space is None:
            alone = partial(KubeLeases.watch, self)
            space = self._namespaces[lease.namespace] = _Namespace(self._client, lease.namespace, alone)
            self._wake.set()
        space.join(lease, seen)
        try:
            yield
        finally:
            space.leave(lease, seen)

    async def run(self) -> None:
        """Watch the namespaces in which somebody wants to know of a Lease, until cancelled."""
        started: set[str] = set()
        async with anyio.create_task_group() as tasks:
            while True:
                for name in self._namespaces.keys() - started:
                    started.add(name)
                    tasks.start_soon(self._namespaces[name].run)
                await self._wake.wait()
                self._wake.clear()

    def watches(self) -> int:
        """Return how many watches are open for all Leases together."""
        return sum(space.watches for space in self._namespaces.values())


@attrs.define(eq=False)
class _Namespace:
    """The Leases of one namespace as they were seen last, and who wants to know of them."""

    _client: Api
    name: str
    _watch_one: WatchOne
    _wanting: dict[LeaseKey, list[Seen]] = attrs.field(factory=dict, init=False)
    _found: dict[LeaseKey, Record] = attrs.field(factory=dict, init=False)
    _version: str | None = attrs.field(default=None, init=False)
    _forbidden: bool = attrs.field(default=False, init=False)
    _alone: dict[LeaseKey, anyio.CancelScope] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def join(self, lease: LeaseKey, seen: Seen) -> None:
        """Tell *seen* of *lease* from now on, and what is known of it at once."""
        self._wanting.setdefault(lease, []).append(seen)
        self._wake.set()
        if lease in self._found:
            seen(Observation(self._found[lease], self._found[lease].version))
        elif self._version is not None:
            seen(Observation(None, self._version))

    def leave(self, lease: LeaseKey, seen: Seen) -> None:
        """Tell *seen* nothing any more."""
        self._wanting[lease].remove(seen)
        if not self._wanting[lease]:
            del self._wanting[lease]
        self._wake.set()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._alone) if self._forbidden else int(bool(self._wanting))

    # What is seen of all Leases

    def applied(self, found: RawLease) -> None:
        """See ``Sink``."""
        record = to_record(found)
        lease = LeaseKey(found.key.namespace, found.key.name)
        self._found[lease] = record
        self._tell(lease, Observation(record, record.version))

    def deleted(self, found: RawLease) -> None:
        """See ``Sink``."""
        version = to_record(found).version
        self._gone(LeaseKey(found.key.namespace, found.key.name), version)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """See ``Sink``."""
        there = {LeaseKey(key.namespace, key.name) for key in keys}
        self._version = version
        for lease in (self._found.keys() | self._wanting.keys()) - there:
            self._gone(lease, version)

    def _gone(self, lease: LeaseKey, version: str) -> None:
        self._found.pop(lease, None)
        self._tell(lease, Observation(None, version))

    def _tell(self, lease: LeaseKey, observation: Observation) -> None:
        for seen in tuple(self._wanting.get(lease, ())):
            seen(observation)

    # Watching

    async def run(self) -> None:
        """Watch while anybody wants to know, until cancelled."""
        while True:
            while not self._wanting:
                await self._wait()
            await self._watch_all()
            if self._forbidden:
                await self._watch_each()

    async def _watch_all(self) -> None:
        reflector = Reflector(
            self._client,
            LEASES,
            self,
            namespace=self.name,
            silence=SILENCE,
            longest_pause=LONGEST_PAUSE,
            failed=self._failed,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reflector.run)
            while self._wanting and not self._forbidden:
                await self._wait()
            tasks.cancel_scope.cancel()
        # Nobody looks from now on.
        self._version = None
        self._found.clear()

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Forbidden):
            self._forbidden = True
            self._wake.set()
            extra = {"namespace": self.name, "reason": str(error)}
            log.warning("watching each Lease by itself: the watch of all of them is forbidden", extra=extra)

    async def _watch_each(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                for lease in self._alone.keys() - self._wanting.keys():
                    self._alone.pop(lease).cancel()
                for lease in self._wanting.keys() - self._alone.keys():
                    self._alone[lease] = scope = anyio.CancelScope()
                    tasks.start_soon(self._watch_alone, lease, scope)
                await self._wait()

    async def _watch_alone(self, lease: LeaseKey, scope: anyio.CancelScope) -> None:
        with scope:
            async with self._watch_one(lease, lambda observation: self._tell(lease, observation)):
                await anyio.sleep_forever()

    async def _wait(self) -> None:
        await self._wake.wait()
        self._wake.clear()
