"""Who has had which address, by the API server's own account: each change of a Service, in the order of its making."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection

import attrs

from kubevip.kube.client import Client
from kubevip.kube.provided import PROVIDED_SERVICES, ProvidedService
from kubevip.kube.reflector import Reflector
from kubevip.model import ObjectKey
from kubevip.service import ADDRESSES


@attrs.define(eq=False)
class Ledger:
    """Follows all Services. What must never happen is noted in *duplicates* and *moves*, with its version."""

    _client: Client
    duplicates: list[str] = attrs.field(factory=list, init=False)
    moves: list[str] = attrs.field(factory=list, init=False)
    _writes: Counter[str] = attrs.field(factory=Counter, init=False)
    _has: dict[ObjectKey, frozenset[str]] = attrs.field(factory=dict, init=False)
    _version: int = attrs.field(default=0, init=False)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Follow, also across the tasks of a fixture's setup and teardown."""
        reflector = Reflector(self._client, PROVIDED_SERVICES, self)
        task = asyncio.create_task(reflector.run())
        try:
            await reflector.wait_synced()
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def applied(self, found: ProvidedService) -> None:
        facts = found.facts
        self._writes[found.key.name] += 1
        self._version = max(self._version, int(facts.version))
        before, self._has[found.key] = self._has.get(found.key, frozenset()), _addresses(found)
        if before - self._has[found.key]:
            self.moves.append(f"{found.key}: {_list(before)} -> {_list(self._has[found.key])} at {facts.version}")
        for address in self._has[found.key] - before:
            others = [str(key) for key, has in self._has.items() if address in has and key != found.key]
            if others:
                self.duplicates.append(f"{address}: {', '.join((*others, str(found.key)))} at {facts.version}")

    def deleted(self, found: ProvidedService) -> None:
        self._version = max(self._version, int(found.facts.version))
        self._has.pop(found.key, None)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        self._version = max(self._version, int(version))
        for key in set(self._has).difference(keys):
            del self._has[key]

    def versions(self, name: str) -> int:
        """How many versions of a Service have been seen."""
        return self._writes[name]

    @property
    def served(self) -> dict[str, str]:
        """What each Service that has addresses has, by name."""
        return {key.name: _list(has) for key, has in self._has.items() if has}

    def check(self) -> None:
        """Fail if an address has been in two places, or a Service has lost one."""
        assert not self.duplicates, self.duplicates
        assert not self.moves, self.moves


def _addresses(found: ProvidedService) -> frozenset[str]:
    if found.facts.type != "LoadBalancer":
        return frozenset()
    texts = (*found.facts.annotations.get(ADDRESSES, "").split(","), found.facts.load_balancer_ip)
    return frozenset(text for text in texts if text)


def _list(addresses: frozenset[str]) -> str:
    return ",".join(sorted(addresses))
