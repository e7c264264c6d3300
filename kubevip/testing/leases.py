"""An in-memory LeaseStore: the same compare-and-swap, without an API server."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio.lowlevel
import attrs

from kubevip.election import Claim, Record
from kubevip.errors import LeaseConflict
from kubevip.model import LeaseKey
from kubevip.ports import Observation


async def _at_once(_call: str, _lease: LeaseKey) -> None:
    await anyio.lowlevel.checkpoint()


@attrs.define(eq=False)
class MemoryLeases:
    """Keeps Leases in memory. Electors that share one event loop may share it.

    *before* is awaited at the start of each call, with ``"read"`` or ``"write"`` and the Lease: a test makes
    it slow, or has it raise what a broken API server raises.
    """

    before: Callable[[str, LeaseKey], Awaitable[None]] = _at_once
    _records: dict[LeaseKey, Record] = attrs.field(factory=dict, init=False)
    _watchers: dict[LeaseKey, list[Callable[[Observation], None]]] = attrs.field(factory=dict, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1), init=False)

    async def read(self, lease: LeaseKey) -> Record | None:
        """Return the Lease as it is now."""
        await self.before("read", lease)
        return self._records.get(lease)

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """Make the Lease say *claim* if it still is at *base*."""
        await self.before("write", lease)
        current = self._records.get(lease)
        if (current.version if current else None) != (base.version if base else None):
            raise LeaseConflict(f"{lease} has changed meanwhile")
        version = str(next(self._numbers))
        acquired = version if claim.fresh or base is None else base.acquired
        record = Record(claim.holder, claim.duration, claim.transitions, acquired, version, version)
        self._publish(lease, record, version)
        return record

    def put(self, lease: LeaseKey, record: Record) -> None:
        """Write what somebody else would write, whatever is there."""
        version = str(next(self._numbers))
        self._publish(lease, attrs.evolve(record, version=version, renewed=version), version)

    def delete(self, lease: LeaseKey) -> None:
        """Delete the Lease by hand."""
        self._publish(lease, None, str(next(self._numbers)))

    def holder(self, lease: LeaseKey) -> str:
        """Return who holds the Lease; empty where nobody does."""
        record = self._records.get(lease)
        return record.holder if record else ""

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """Report each change of the Lease, and its present state at first."""
        record = self._records.get(lease)
        seen(Observation(record, record.version if record else ""))
        self._watchers.setdefault(lease, []).append(seen)
        try:
            yield
        finally:
            self._watchers[lease].remove(seen)

    def _publish(self, lease: LeaseKey, record: Record | None, version: str) -> None:
        if record is None:
            self._records.pop(lease, None)
        else:
            self._records[lease] = record
        for seen in tuple(self._watchers.get(lease, ())):
            seen(Observation(record, version))
