"""Does what the account decides: writes addresses into Services, side by side, and tells the outcome."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import anyio
import anyio.abc
import anyio.lowlevel
import attrs

from kubevip import ipam
from kubevip.controllers.borrowing import Borrowing
from kubevip.controllers.sources import Sources
from kubevip.errors import ApiError, ApiUnavailable, Conflict, KubeVipError, NotFound
from kubevip.ipam import Pool, Request, Severity
from kubevip.kube.provided import ConfigMap, Node, ProvidedService, node_addresses
from kubevip.model import ObjectKey, ServiceKey
from kubevip.provision.accounts import Accounts
from kubevip.provision.decision import Decision, Note
from kubevip.provision.edits import Edits
from kubevip.provision.verdict import Condition, Facts, join
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
    """Gives Services their addresses, from ``run()`` until it is cancelled or closed.

    It is told what is seen, before and meanwhile. *may_write* is asked before each write.
    """

    _accounts: Accounts
    _writer: Writer
    _events: Recorder
    _sources: Sources
    workers: int = 16
    _may_write: Callable[[], bool] = lambda: True

    _whole: dict[ServiceKey, ProvidedService] = attrs.field(factory=dict, init=False)
    _busy: set[ServiceKey] = attrs.field(factory=set, init=False)
    _again: set[ServiceKey] = attrs.field(factory=set, init=False)
    _unsure: set[ServiceKey] = attrs.field(factory=set, init=False)
    # What another IPAM has refused: it is asked for that again when its time has come.
    _refused: dict[ServiceKey, tuple[Pool, Request]] = attrs.field(factory=dict, init=False)
    # What is to be said of that in the status.
    _news: dict[ServiceKey, Condition] = attrs.field(factory=dict, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _retry: Retry[ServiceKey] = attrs.field(init=False)
    _borrowing: Borrowing = attrs.field(init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _closed: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._retry = Retry(self._ask_again)
        self._borrowing = Borrowing(self._accounts, self._sources, self._ask_again, self._gives_none)

    # What is seen

    def service_applied(self, found: ProvidedService, *, in_order: bool = True) -> None:
        """A Service is there, and is like that; *in_order* as ``Accounts.applied()`` has it."""
        if self._accounts.applied(found.facts, anyio.current_time(), in_order=in_order):
            self._whole[found.facts.key] = found
            self._borrowing.seen(found.facts)
        self._poke()

    def service_deleted(self, key: ServiceKey, last: Facts | None = None) -> None:
        """A Service is gone; *last* is how it was, by which is seen that it hasn't been created anew since."""
        if last is not None and not self._accounts.applied(last, anyio.current_time()):
            return
        self._forget(key)
        self._accounts.deleted(key, anyio.current_time())
        self._borrowing.deleted(key)
        self._poke()

    def services_listed(self, keys: Collection[ServiceKey]) -> None:
        """There are no other Services than these, and all of them have been told."""
        for key in set(self._accounts.keys).difference(keys):
            self.service_deleted(key)
        self._accounts.listed()
        self._poke()

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
            pools = None
        else:
            pools = ipam.read(found.data or {})
            for problem in pools.problems:
                level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
                extra = {"key": problem.key, "reason": problem.text}
                log.log(level, "the ConfigMap can't be used as it is", extra=extra)
                self._events.warning(found.key, found.metadata.uid, "InvalidPool", str(problem), kind="ConfigMap")
            log.info("read the pools", extra={"object": self._accounts.where, "pools": len(pools.pools)})
        self._refused.clear()
        self._accounts.configure(pools)
        self._borrowing.configured(pools)
        self._poke()

    # Working

    async def run(self) -> None:
        """Decide and write until cancelled or closed. Everything that there is has to have been seen before."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._borrowing.run)
            tasks.start_soon(self._retry.run)
            tasks.start_soon(self._tick)
            async with anyio.create_task_group() as workers:
                for _ in range(self.workers):
                    workers.start_soon(self._work)
            tasks.cancel_scope.cancel()
        self._closed.set()

    async def close(self) -> None:
        """Begin no more writes, and wait for those that go on: whoever works next has to see how they ended."""
        self._closing = True
        self._poke()
        await self._closed.wait()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            self._accounts.look_again(anyio.current_time())
            self._poke()

    async def _work(self) -> None:
        decided = 0
        while not self._closing:
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
        if decision is None or decision.source is None:
            self._borrowing.decided(key)
        if decision is None:
            self._whole.pop(key, None)
            return
        self._tell(decision.facts, (note for note in decision.notes if note.warning))
        if decision.source is not None:
            await self._borrow(decision.facts, decision.source)
        elif decision.facts.deleting and self._borrowing.give_back(key):
            pass  # it is looked at again
        elif decision.edits:
            await self._write(decision)
        elif decision.condition is not None:
            await self._report(decision.facts, decision.condition)
        elif not decision.waiting:
            self._whole.pop(key, None)
            self._retry.forget(key)

    async def _borrow(self, facts: Facts, pool: Pool) -> None:
        news = self._news.pop(facts.key, None)
        if self._refused.get(facts.key) != (pool, facts.request):
            self._borrowing.begin(facts, pool)
        elif news is not None:
            await self._report(facts, news)

    async def _write(self, decision: Decision) -> None:
        facts = decision.facts
        whole = await self._whole_of(facts)
        if whole is None or not self._may_write():
            return
        written = await self._writer.write(whole, decision.edits)
        self._retry.forget(facts.key)
        self._keep(written)
        self._accounts.wrote(written.facts, anyio.current_time())
        self._tell(facts, (note for note in decision.notes if not note.warning))
        self._log(decision)
        self._poke()

    async def _report(self, facts: Facts, condition: Condition) -> None:
        """Say in the status of a Service whether it has an address."""
        whole = await self._whole_of(facts)
        if whole is not None and self._may_write():
            self.service_applied(await self._writer.report(whole, condition), in_order=False)

    async def _whole_of(self, facts: Facts) -> ProvidedService | None:
        """Return all of a Service; ``None`` if it isn't like *facts* any more: it is decided on when that is seen."""
        whole = self._whole.get(facts.key) or await self._learn(facts.key)
        return whole if whole is not None and whole.facts.version == facts.version else None

    def _keep(self, found: ProvidedService) -> None:
        known = self._whole.get(found.facts.key)
        if known is None or not found.facts.precedes(known.facts):
            self._whole[found.facts.key] = found

    async def _learn(self, key: ServiceKey) -> ProvidedService | None:
        """Read a Service of which is not known what has become of it."""
        try:
            found = await self._writer.read(key)
        except NotFound:
            self.service_deleted(key)
            return None
        finally:
            self._unsure.discard(key)
        self.service_applied(found, in_order=False)
        return found

    def _failed(self, key: ServiceKey, error: ApiError) -> None:
        # A conflict may be with ourselves: a request whose connection breaks is sent again, and may succeed at first.
        unsure = isinstance(error, ApiUnavailable | Conflict | NotFound)
        if unsure:
            self._unsure.add(key)
        self._accounts.failed(key, certainly=not unsure)
        if self._retry.after(key, error) and not isinstance(error, Conflict):
            log.warning("can't write the Service", extra={"service": str(key), "reason": str(error)})

    def _gives_none(self, facts: Facts, pool: Pool, error: KubeVipError) -> None:
        """Another IPAM gives a Service no address, now."""
        decision = self._accounts.refused(facts.key, pool, error)
        if decision is not None:
            self._tell(facts, decision.notes)
            self._refused[facts.key] = (pool, facts.request)
            if decision.condition is not None:
                self._news[facts.key] = decision.condition
                self._look_again((facts.key,))
        if self._retry.after(facts.key, error):
            extra = {"service": str(facts.key), "key": pool.key, "reason": str(error)}
            log.warning("no address from another IPAM", extra=extra)

    # Telling

    def failing(self) -> Mapping[ServiceKey, str]:
        """Return which Services can't be written now, and why."""
        return self._retry.failing()

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

    def _forget(self, key: ServiceKey) -> None:
        self._whole.pop(key, None)
        self._unsure.discard(key)
        self._again.discard(key)
        self._refused.pop(key, None)
        self._news.pop(key, None)
        self._retry.forget(key)

    def _ask_again(self, keys: Iterable[ServiceKey]) -> None:
        keys = tuple(keys)
        for key in keys:
            self._refused.pop(key, None)
        self._look_again(keys)

    def _look_again(self, keys: Iterable[ServiceKey]) -> None:
        self._accounts.look_at(keys)
        self._poke()

    def _poke(self) -> None:
        self._wake.set()
