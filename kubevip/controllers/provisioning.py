"""Does what the account decides: writes addresses into Services, side by side, and tells the outcome."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import anyio
import anyio.abc
import anyio.lowlevel
import attrs

from kubevip import ipam
from kubevip.accounts import Accounts, Decision, Note
from kubevip.controllers.sources import Sources
from kubevip.edits import Edits
from kubevip.errors import ApiError, ApiUnavailable, Conflict, KubeVipError, NotFound
from kubevip.ipam import Pool, Severity
from kubevip.kube.provided import ConfigMap, Node, ProvidedService, node_addresses
from kubevip.model import ObjectKey, ServiceKey
from kubevip.provision import Condition, Facts, join
from kubevip.runtime.retry import Retry

log = logging.getLogger(__name__)

# Decisions in one go, between two turns of the event loop.
AT_ONCE = 50
# How often is looked at what only time changes.
TICK = 0.5


class Writer(Protocol):
    """Reads and writes Services; ``kubevip.kube.editing.Editor`` is one."""

    async def read(self, key: ServiceKey) -> ProvidedService:
        """Return a Service as it is now."""

    async def write(self, service: ProvidedService, edits: Edits) -> ProvidedService:
        """Write *edits* into *service*; return what has become of it."""

    async def report(self, service: ProvidedService, condition: Condition) -> ProvidedService:
        """Write *condition* into the status of *service*; return what has become of it."""


class Recorder(Protocol):
    """Takes Events; ``kubevip.kube.events.Events`` is one."""

    def normal(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        """Note that something went as it should."""

    def warning(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        """Note that something is wrong."""


@attrs.define(eq=False)
class Provisioning:
    """Gives Services their addresses, from ``run()`` until it is cancelled. Its other methods are called before."""

    _accounts: Accounts
    _writer: Writer
    _events: Recorder
    _sources: Sources
    workers: int = 16

    _whole: dict[ServiceKey, ProvidedService] = attrs.field(factory=dict, init=False)
    _busy: set[ServiceKey] = attrs.field(factory=set, init=False)
    _again: set[ServiceKey] = attrs.field(factory=set, init=False)
    _unsure: set[ServiceKey] = attrs.field(factory=set, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _retry: Retry[ServiceKey] = attrs.field(init=False)
    _returning: dict[ServiceKey, Pool] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._retry = Retry(self._look_again)

    # What is seen

    def service_applied(self, found: ProvidedService) -> None:
        """A Service is there, and is like that."""
        key = found.facts.key
        self._whole[key] = found
        self._note_return(key, found.facts)
        self._accounts.applied(found.facts, anyio.current_time())
        self._poke()

    def service_deleted(self, key: ServiceKey) -> None:
        """A Service is gone."""
        self._forget(key)
        self._note_return(key, None)
        self._accounts.deleted(key, anyio.current_time())
        self._poke()

    def services_listed(self, keys: Collection[ServiceKey]) -> None:
        """There are no other Services than these."""
        for key in set(self._accounts.keys).difference(keys):
            self.service_deleted(key)

    def node_applied(self, node: Node) -> None:
        """A node is there."""
        self._accounts.node_has(node.metadata.name, node_addresses(node))
        self._poke()

    def node_deleted(self, name: str) -> None:
        """A node is gone."""
        self._accounts.node_has(name, ())
        self._poke()

    def nodes_listed(self, names: Collection[str]) -> None:
        """There are no other nodes than these."""
        for name in set(self._accounts.node_names).difference(names):
            self.node_deleted(name)

    def configured(self, found: ConfigMap | None) -> None:
        """The ConfigMap is like that; ``None`` where there is none."""
        if found is None:
            log.warning("there are no pools: the ConfigMap doesn't exist", extra={"object": self._accounts.where})
            self._accounts.configure(None)
        else:
            pools = ipam.read(found.data or {})
            for problem in pools.problems:
                level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
                extra = {"key": problem.key, "reason": problem.text}
                log.log(level, "the ConfigMap can't be used as it is", extra=extra)
                self._events.warning(found.key, found.metadata.uid, "InvalidPool", str(problem), kind="ConfigMap")
            log.info("read the pools", extra={"object": self._accounts.where, "pools": len(pools.pools)})
            self._accounts.configure(pools)
        self._poke()

    # Working

    async def run(self) -> None:
        """Decide and write until cancelled. Everything that there is has to have been seen before."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._retry.run)
            tasks.start_soon(self._tick)
            for _ in range(self.workers):
                tasks.start_soon(self._work)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            for key, pool in tuple(self._returning.items()):
                await self._return(key, pool)
            self._accounts.look_again(anyio.current_time())
            self._poke()

    async def _work(self) -> None:
        decided = 0
        while True:
            key = self._accounts.next_due()
            if key is None:
                self._wake = anyio.Event() if self._wake.is_set() else self._wake
                await self._wake.wait()
            elif key in self._busy:
                self._again.add(key)
            else:
                await self._take(key)
                decided += 1
                if decided % AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()

    async def _take(self, key: ServiceKey) -> None:
        self._busy.add(key)
        try:
            if key in self._unsure:
                await self._learn(key)
            await self._settle(key)
        except ApiError as error:
            self._failed(key, error)
        finally:
            self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._look_again((key,))

    async def _settle(self, key: ServiceKey) -> None:
        decision = self._accounts.decide(key, anyio.current_time())
        if decision is None:
            self._whole.pop(key, None)
            return
        self._tell(decision.facts, (note for note in decision.notes if note.warning))
        if decision.source is not None:
            await self._ask(decision.facts, decision.source)
        elif decision.edits:
            await self._write(decision)
        elif decision.condition is not None:
            await self._report(decision.facts, decision.condition)
        elif not decision.waiting:
            self._whole.pop(key, None)
            self._retry.forget(key)

    async def _write(self, decision: Decision) -> None:
        facts = decision.facts
        whole = self._whole.get(facts.key) or await self._learn(facts.key)
        if whole is None or whole.facts.version != facts.version:
            # What was decided was decided on something older.
            self._accounts.failed(facts.key, certainly=True)
            self._look_again((facts.key,))
            return
        written = await self._writer.write(whole, decision.edits)
        self._retry.forget(facts.key)
        self._whole[facts.key] = written
        self._accounts.wrote(written.facts, anyio.current_time())
        self._tell(facts, (note for note in decision.notes if not note.warning))
        self._log(decision)
        self._poke()

    async def _report(self, facts: Facts, condition: Condition) -> None:
        """Say in the status of a Service whether it has an address."""
        whole = self._whole.get(facts.key) or await self._learn(facts.key)
        if whole is not None and whole.facts.version == facts.version:
            self.service_applied(await self._writer.report(whole, condition))

    async def _learn(self, key: ServiceKey) -> ProvidedService | None:
        """Read a Service of which is not known what has become of it."""
        try:
            found = await self._writer.read(key)
        except NotFound:
            self.service_deleted(key)
            return None
        finally:
            self._unsure.discard(key)
        self.service_applied(found)
        return found

    def _failed(self, key: ServiceKey, error: ApiError) -> None:
        unsure = isinstance(error, ApiUnavailable)
        if unsure or isinstance(error, Conflict | NotFound):
            self._unsure.add(key)
        self._accounts.failed(key, certainly=not unsure)
        if self._retry.after(key, error) and not isinstance(error, Conflict):
            log.warning("can't write the Service", extra={"service": str(key), "reason": str(error)})

    # Other IPAMs

    async def _ask(self, facts: Facts, pool: Pool) -> None:
        """Have a pool's own IPAM give an address."""
        try:
            addresses = await self._sources.allocate(pool, facts.request)
        except KubeVipError as error:
            self._gives_none(facts, f"{pool.key}: {error}")
            return
        taken = self._accounts.granted(facts.key, pool, addresses)
        if taken:
            self._gives_none(facts, f"{pool.key}: {pool.source} gives {join(taken)}, which is in use already")
            await self._return(facts.key, pool)
        self._poke()

    def _gives_none(self, facts: Facts, text: str) -> None:
        self._tell(facts, (Note(True, "SyncLoadBalancerFailed", f"Error syncing load balancer: {text}"),))
        if self._retry.after(facts.key, KubeVipError(text)):
            log.warning("no address from another IPAM", extra={"service": str(facts.key), "reason": text})

    async def _return(self, key: ServiceKey, pool: Pool) -> None:
        """Give back what a Service had of a pool; later, where that isn't possible now."""
        try:
            await self._sources.release(pool, str(key))
        except KubeVipError as error:
            log.warning("another IPAM takes no address back", extra={"service": str(key), "reason": str(error)})
            self._returning[key] = pool
        else:
            self._returning.pop(key, None)

    # Telling

    def _tell(self, facts: Facts, notes: Iterable[Note]) -> None:
        for note in notes:
            record = self._events.warning if note.warning else self._events.normal
            record(facts.key, facts.uid, note.reason, note.message)

    @staticmethod
    def _log(decision: Decision) -> None:
        extra: Mapping[str, str] = {"service": str(decision.facts.key), "vip": join(decision.addresses)}
        if decision.waiting:
            log.debug("claimed", extra={**extra, "reason": decision.waiting})
        else:
            log.info("assigned" if decision.addresses else "released", extra=extra)

    def _note_return(self, key: ServiceKey, facts: Facts | None) -> None:
        """Give an address back to its own IPAM when the Service doesn't have it any more."""
        before = self._accounts.source_of(key)
        if before is not None and (facts is None or self._accounts.pool_named(facts) != before):
            self._returning[key] = before

    def _forget(self, key: ServiceKey) -> None:
        self._whole.pop(key, None)
        self._unsure.discard(key)
        self._again.discard(key)
        self._retry.forget(key)

    def _look_again(self, keys: Iterable[ServiceKey]) -> None:
        self._accounts.look_at(keys)
        self._poke()

    def _poke(self) -> None:
        self._wake.set()
