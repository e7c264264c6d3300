"""An IPAM that keeps what it knows, whoever asks it; and sources that give out its addresses, well or badly."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from kubevip.plugin import AddressTaken, Capacity, FamilyPolicy, IPAddress, PoolExhausted, PoolSource, Request


def ips(*texts: str) -> tuple[IPAddress, ...]:
    return tuple(map(ipaddress.ip_address, texts))


async def at_once(_verb: str, _key: str) -> None:
    """Obey at once."""


@attrs.define(eq=False)
class Book:
    """What the IPAM has written down: who has which of *pool*. *before* may hold a call up, or fail it."""

    pool: tuple[IPAddress, ...]
    kept: dict[str, tuple[IPAddress, ...]] = attrs.field(factory=dict)
    # What is answered instead of what is given.
    answers: dict[str, Any] = attrs.field(factory=dict)
    calls: list[tuple[str, ...]] = attrs.field(factory=list)
    opened: int = 0
    closed: int = 0
    before: Callable[[str, str], Awaitable[None]] = at_once

    async def hear(self, verb: str, key: str = "", addresses: Sequence[IPAddress] = ()) -> None:
        """Note a call as *verb*, key and addresses."""
        self.calls.append((verb, key, *map(str, addresses))[: 3 if addresses else 2])
        await self.before(verb, key)

    def verbs(self, key: str) -> list[str]:
        """What was asked about *key*, in order."""
        return [verb for verb, about, *_ in self.calls if about == key]

    def has(self, address: IPAddress) -> str:
        return next((key for key, kept in self.kept.items() if address in kept), "")

    def give(self, request: Request) -> tuple[IPAddress, ...]:
        kept = {address.version: address for address in self.kept.get(request.key, ())}
        both = [6, 4] if request.family == 6 else [4, 6]
        wanted = both if request.policy.is_dual else [request.family or next(iter(kept), self.pool[0].version)]
        found = [kept.get(version) or self.free(version) for version in wanted]
        given = tuple(address for address in found if address is not None)
        if not given or (len(given) < len(wanted) and request.policy is not FamilyPolicy.PREFER_DUAL):
            raise PoolExhausted("the book is full")
        self.kept[request.key] = given
        return given

    def free(self, version: int) -> IPAddress | None:
        return next((each for each in self.pool if each.version == version and not self.has(each)), None)


class Good(PoolSource):
    """Does all that is asked of it; what it gives is in its book, which is as the class attribute says."""

    book: ClassVar[Book]

    async def __aenter__(self) -> "Good":
        self.book.opened += 1
        await self.book.hear("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.book.hear("close")
        self.book.closed += 1

    async def allocate(self, request: Request) -> Sequence[IPAddress]:
        await self.book.hear("allocate", request.key)
        return self.book.answers[request.key] if request.key in self.book.answers else self.book.give(request)

    async def release(self, key: str) -> None:
        await self.book.hear("release", key)
        self.book.kept.pop(key, None)

    async def adopt(self, key: str, addresses: Sequence[IPAddress]) -> None:
        await self.book.hear("adopt", key, addresses)
        others = {self.book.has(address) for address in addresses} - {"", key}
        if others:
            raise AddressTaken(f"{addresses[0]} is down for {', '.join(others)}")
        self.book.kept[key] = tuple(addresses)

    async def capacity(self) -> Capacity:
        used = sum(address in self.book.pool for kept in self.book.kept.values() for address in kept)
        return Capacity(len(self.book.pool), used)


def source(book: Book, base: type[Good] = Good) -> type[PoolSource]:
    """Return a class of sources with *book*."""
    return type(base.__name__, (base,), {"book": book})


def registry(**sources: type[PoolSource]) -> Mapping[str, type[PoolSource]]:
    return sources
