"""What Services have of other IPAMs, and what those have to be told when that changes.

It is compared, not followed: whatever became of a Service, the addresses that its IPAM has down for it are to be
those that it has in the account. So nothing depends on the order in which things are seen.
"""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
import attrs

from kubevip.controllers.sources import Sources
from kubevip.errors import KubeVipError
from kubevip.ipam import Pool, Request
from kubevip.model import IPAddress, ServiceKey
from kubevip.runtime.retry import Retry

log = logging.getLogger(__name__)


@attrs.define
class _Loan:
    """Addresses of a pool that may be a Service's, and those which the pool's IPAM has down for it.

    It is not *sure* what it has down after a call that has failed.
    """

    addresses: tuple[IPAddress, ...]
    told: tuple[IPAddress, ...]
    is_sure: bool = True


@attrs.define(eq=False)
class Loans:
    """Has other IPAMs know who has their addresses, from ``run()`` until it is cancelled.

    *holders* tells who has an address, as texts.
    """

    _sources: Sources
    _holders: Callable[[IPAddress], Collection[str]]
    _loans: dict[ServiceKey, dict[Pool, _Loan]] = attrs.field(factory=dict, init=False)
    _due: dict[tuple[ServiceKey, Pool], None] = attrs.field(factory=dict, init=False)
    _locks: dict[ServiceKey, anyio.Lock] = attrs.field(factory=dict, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _retry: Retry[tuple[ServiceKey, Pool]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._retry = Retry(self._make_due)

    def found(self, key: ServiceKey, pool: Pool, addresses: Iterable[IPAddress]) -> None:
        """A Service says that it has *addresses* of *pool*. A source that is opened later is told then."""
        addresses = tuple(addresses)
        loan = self._loan(key, pool, () if self._sources.is_told(pool) else addresses)
        loan.addresses = _joined(loan.addresses, addresses)
        self.look_at(key)

    def look_at(self, key: ServiceKey, *, wants_more: bool = True) -> None:
        """Something has become of a Service: tell the IPAMs of its addresses, where that matters to them.

        What it may have got by a call that has failed is left to it as long as it *wants more*.
        """
        for pool, loan in self._loans.get(key, {}).items():
            if set(self._kept(key, loan)) != set(loan.told) or not (loan.is_sure or wants_more):
                self._make_due(((key, pool),))

    @asynccontextmanager
    async def alone_with(self, key: ServiceKey) -> AsyncIterator[None]:
        """Let nobody else ask any IPAM about a Service meanwhile."""
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.statistics().locked and not lock.statistics().tasks_waiting:
                self._locks.pop(key, None)

    async def borrow(self, key: ServiceKey, pool: Pool, request: Request) -> Sequence[IPAddress]:
        """Have *pool* give addresses, ``alone_with()`` the Service; call ``look_at()`` when it is clear who has them.

        :raises KubeVipError: if it gives none.
        """
        loan = self._loan(key, pool, ())
        loan.is_sure = False
        addresses = await self._sources.allocate(pool, request)
        loan.told, loan.is_sure = _lendable(addresses), True
        loan.addresses = _joined(loan.addresses, addresses)
        return addresses

    async def entrust(self, key: ServiceKey, pool: Pool, address: IPAddress) -> bool:
        """Tell the IPAM of *pool*, which took *address* for free, that a Service has it; return whether it knows now.

        What it has been told already is no help, and so ``False``.
        """
        loan = self._loan(key, pool, ())
        loan.addresses = _joined(loan.addresses, (address,))
        return address not in loan.told and await self.settle(key, pool)

    async def settle(self, key: ServiceKey, pool: Pool) -> bool:
        """Tell the IPAM of *pool* what a Service has of it; return ``False`` where that has to be tried again."""
        async with self.alone_with(key):
            return await self._settle(key, pool)

    def owes(self, key: ServiceKey) -> bool:
        """Tell whether any IPAM has addresses down for a Service."""
        return key in self._loans

    async def close(self, key: ServiceKey) -> None:
        """Give back all that a Service has: it won't have it for much longer. What can't be now is tried again."""
        for pool, loan in tuple(self._loans.get(key, {}).items()):
            loan.addresses = ()
            await self.settle(key, pool)

    async def run(self) -> None:
        """Tell what is due, and again what has failed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._retry.run)
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                due, self._due = self._due, {}
                for key, pool in due:
                    tasks.start_soon(self.settle, key, pool)

    async def _settle(self, key: ServiceKey, pool: Pool) -> bool:
        loan = self._loans.get(key, {}).get(pool)
        if loan is None:
            return True
        kept = self._kept(key, loan)
        is_told = loan.is_sure and set(kept) == set(loan.told)
        if not is_told and not await self._tell(key, pool, kept):
            return False
        self._retry.forget((key, pool))
        loan.told, loan.is_sure, loan.addresses = kept, True, self._kept(key, loan)
        if not loan.addresses and not kept:
            self._drop(key, pool)
        self.look_at(key)
        return True

    async def _tell(self, key: ServiceKey, pool: Pool, kept: Sequence[IPAddress]) -> bool:
        try:
            if kept:
                await self._sources.adopt(pool, str(key), kept)
            else:
                await self._sources.release(pool, str(key))
        except KubeVipError as error:
            if self._retry.after((key, pool), error):
                extra = {"service": str(key), "key": pool.key, "reason": str(error)}
                log.warning("another IPAM can't be told who has its addresses", extra=extra)
            return False
        log.info("told another IPAM", extra={"service": str(key), "key": pool.key, "kept": len(kept)})
        return True

    def _kept(self, key: ServiceKey, loan: _Loan) -> tuple[IPAddress, ...]:
        return tuple(address for address in loan.addresses if str(key) in self._holders(address))

    def _loan(self, key: ServiceKey, pool: Pool, told: Iterable[IPAddress]) -> _Loan:
        return self._loans.setdefault(key, {}).setdefault(pool, _Loan((), _lendable(told)))

    def _drop(self, key: ServiceKey, pool: Pool) -> None:
        pools = self._loans.get(key, {})
        pools.pop(pool, None)
        if not pools:
            self._loans.pop(key, None)

    def _make_due(self, keys: Iterable[tuple[ServiceKey, Pool]]) -> None:
        self._due.update(dict.fromkeys(keys))
        self._wake.set()


def _joined(some: Iterable[IPAddress], more: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    return _lendable(dict.fromkeys((*some, *more)))


def _lendable(addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    """Leave out the marker that asks for an address by DHCP: it is nobody's."""
    return tuple(address for address in addresses if not address.is_unspecified)
