"""The bundled source of pools: CIDRs and ranges, in memory. ``source-web: ranges 10.0.0.0/24`` is ``cidr-web``."""

from collections.abc import Mapping, Sequence

import attrs

from kubevip.errors import NoPool
from kubevip.ipam import Allocator, Request, Severity, read
from kubevip.model import IPAddress
from kubevip.source import Capacity, PoolSource

_KEY = "range-global"


class Ranges(PoolSource):
    """Gives the addresses of its text, which is written like a pool of the ConfigMap."""

    def __init__(self, key: str, text: str, settings: Mapping[str, str]) -> None:
        """See ``PoolSource``.

        :raises NoPool: if the text is no pool.
        """
        super().__init__(key, text, settings)
        pools = read({_KEY: text})
        errors = [problem.text for problem in pools.problems if problem.severity is Severity.ERROR]
        if errors:
            raise NoPool("; ".join(errors))
        # In messages it goes by the name that the ConfigMap has for it.
        named = {_KEY: attrs.evolve(pools.pools[_KEY], key=key)}
        self._allocator = Allocator(attrs.evolve(pools, pools=named))

    async def allocate(self, request: Request) -> Sequence[IPAddress]:
        """See ``PoolSource``."""
        return self._allocator.assign(request, keep=self._allocator.addresses(request.key)).addresses

    async def release(self, key: str) -> None:
        """See ``PoolSource``."""
        self._allocator.release(key)

    async def adopt(self, key: str, addresses: Sequence[IPAddress]) -> None:
        """See ``PoolSource``."""
        self._allocator.adopt(Request(key=key, namespace=""), addresses)

    async def capacity(self) -> Capacity:
        """See ``PoolSource``."""
        pools = self._allocator.statistics()
        return Capacity(sum(pool.size for pool in pools), sum(pool.used for pool in pools))
