"""Gets addresses for Services from other IPAMs, and sees to it that those know who has them."""

from collections.abc import Callable, Iterable

import anyio
import anyio.abc
import attrs

from kubevip.controllers.loans import Loans
from kubevip.controllers.sources import PATIENCE, Sources
from kubevip.errors import KubeVipError
from kubevip.ipam import Pool, Pools
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision.accounts import Accounts
from kubevip.provision.verdict import Facts, join, record_of


@attrs.define(eq=False)
class Borrowing:
    """Asks for addresses in tasks of its own: an IPAM that hangs keeps nobody from serving other Services.

    *again* has Services decided on anew, at once. *refused* is told why one gets nothing, and has that done later.
    """

    _accounts: Accounts
    _sources: Sources
    _again: Callable[[Iterable[ServiceKey]], None]
    _refused: Callable[[Facts, Pool, KubeVipError], None]
    _loans: Loans = attrs.field(init=False)
    _tasks: anyio.abc.TaskGroup = attrs.field(init=False)
    # About whom an IPAM is being asked, and whether they are to be looked at again after that.
    _asking: dict[ServiceKey, bool] = attrs.field(factory=dict, init=False)
    # Whose addresses are given back while they are being deleted, and whether that has come to an end.
    _leaving: dict[ServiceKey, bool] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._loans = Loans(self._sources, self._accounts.holders)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Do what is asked for, until cancelled; ``begin()`` may be called once it has started."""
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            await self._loans.run()

    def configured(self, pools: Pools | None) -> None:
        """There are other pools now; the account knows them already."""
        present = pools.pools.values() if pools is not None else ()
        self._sources.keep(present)
        for pool in present:
            for key, addresses in self._accounts.present(pool) if pool.source else ():
                self._found(ServiceKey.parse(key), pool, addresses)

    def seen(self, facts: Facts) -> None:
        """A Service is like that; the account knows already."""
        pool, record = self._accounts.pool_named(facts), record_of(facts)
        if pool is not None and record is not None:
            self._found(facts.key, pool, record.addresses)

    def deleted(self, key: ServiceKey) -> None:
        """A Service is gone; the account knows already."""
        self._leaving.pop(key, None)
        self.decided(key)

    def decided(self, key: ServiceKey) -> None:
        """No IPAM has to be asked for a Service; it may have to be told what has become of it."""
        self._loans.look_at(key, wants_more=False)

    def give_back(self, key: ServiceKey) -> bool:
        """Begin to give back what a Service has that is being deleted; return whether to wait until that has ended.

        So a provider that stops before that is done begins again. An IPAM that doesn't answer is waited for once.
        """
        if key not in self._leaving and self._loans.owes(key):
            self._leaving[key] = False
            self._tasks.start_soon(self._give_back, key)
        return not self._leaving.get(key, True)

    async def _give_back(self, key: ServiceKey) -> None:
        with anyio.move_on_after(PATIENCE):
            await self._loans.close(key)
        if key in self._leaving:
            self._leaving[key] = True
            self._again((key,))

    def begin(self, facts: Facts, pool: Pool) -> None:
        """Have a pool's own IPAM give what a Service lacks."""
        if facts.key in self._asking:
            self._asking[facts.key] = True
        else:
            self._asking[facts.key] = False
            self._tasks.start_soon(self._ask, facts, pool)

    def _found(self, key: ServiceKey, pool: Pool, addresses: Iterable[IPAddress]) -> None:
        if key not in self._leaving:
            self._loans.found(key, pool, addresses)

    async def _ask(self, facts: Facts, pool: Pool) -> None:
        try:
            taken = await self._borrow(facts, pool)
            if taken:
                await self._set_right(facts, pool, taken)
        except KubeVipError as error:
            if facts.key in self._accounts.keys:
                self._refused(facts, pool, error)
        finally:
            if self._asking.pop(facts.key):
                self._again((facts.key,))

    async def _borrow(self, facts: Facts, pool: Pool) -> tuple[IPAddress, ...]:
        """Have it given, and reserve it if it is still wanted; return what somebody has already."""
        key = facts.key
        taken: tuple[IPAddress, ...] = ()
        async with self._loans.alone_with(key):
            addresses = await self._loans.borrow(key, pool, facts.request)
            decision = self._accounts.decide(key, anyio.current_time())
            if decision is not None and decision.source == pool and decision.facts.request == facts.request:
                taken = self._accounts.granted(key, pool, addresses)
            self._loans.look_at(key)
        if not taken:
            self._again((key,))
        return taken

    async def _set_right(self, facts: Facts, pool: Pool, taken: tuple[IPAddress, ...]) -> None:
        """Tell an IPAM that took for free what isn't; ask again at once only where it didn't know."""
        await self._loans.settle(facts.key, pool)
        known = [await self._loans.entrust(holder, pool, each) for each in taken for holder in self._holders(each)[:1]]
        self._refused(facts, pool, KubeVipError(f"{pool.source} gives {join(taken)}, which is in use already"))
        if any(known):
            self._again((facts.key,))

    def _holders(self, address: IPAddress) -> list[ServiceKey]:
        return [ServiceKey.parse(text) for text in self._accounts.holders(address) if "/" in text]
