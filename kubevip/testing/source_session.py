"""A source of pools that is being checked: each call of it is timed, and its answer looked at."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs

from kubevip.errors import KubeVipError
from kubevip.ipam import Request
from kubevip.model import IPAddress
from kubevip.source import Capacity, PoolSource, fault_of
from kubevip.testing.blocking import Blocked, unblocked
from kubevip.testing.check import ContractBroken

NAMESPACE = "check-pool-source"
Addresses = tuple[IPAddress, ...]
Errors = tuple[type[Exception], ...]


def key_of(name: str) -> str:
    """Return the key of a Service in the check's own namespace."""
    return f"{NAMESPACE}/{name}"


def listed(addresses: Sequence[IPAddress]) -> str:
    """Write addresses into a message."""
    return f"[{', '.join(map(str, addresses))}]"


@attrs.frozen(eq=False)
class Subject:
    """What is checked: *source*, with what it is made of. Each call has *within* seconds."""

    source: type[PoolSource]
    key: str
    text: str
    settings: Mapping[str, str]
    within: float

    @asynccontextmanager
    async def opened(self, before: int | None = None) -> AsyncIterator["Session"]:
        """Open a new instance; *before* is how many addresses were in use before the first of several."""
        async with self.entered(self.text) as source:
            session = Session(self, source, 0)
            yield attrs.evolve(session, before=(await session.capacity()).used if before is None else before)

    @asynccontextmanager
    async def entered(self, text: str, keep: Errors = ()) -> AsyncIterator[PoolSource]:
        """Make one of *text*, and open it; it may raise *keep* instead."""

        async def make() -> PoolSource:
            return self.source(self.key, text, self.settings)

        about = f" with the text {text!r}"
        source: PoolSource = await self.timed(make, f"__init__(){about}", keep)
        found = await self.timed(source.__aenter__, f"__aenter__(){about}", keep)
        if found is not source:
            raise ContractBroken(f"__aenter__() has to return the source itself; it returned {found!r}")
        try:
            yield source
        except BaseException:
            # What went wrong first is what matters.
            with contextlib.suppress(ContractBroken):
                await self._leave(source)
            raise
        await self._leave(source)

    async def _leave(self, source: PoolSource) -> None:
        await self.timed(lambda: source.__aexit__(None, None, None), "__aexit__()")

    async def timed(self, call: Callable[[], Any], what: str, keep: Errors = ()) -> Any:
        """Return what the coroutine function *call* returns; of what it raises, *keep* are no fault."""
        try:
            async with asyncio.timeout(self.within) as scope:
                return await unblocked(_awaitable(call(), what))
        except ContractBroken:
            raise
        except Blocked as error:
            raise ContractBroken(f"{what} has to leave the event loop free, and {error}") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ContractBroken(f"{what} may raise nothing but KubeVipError; it raised {error!r}") from error
        except Exception as error:
            if isinstance(error, keep):
                raise
            if scope.expired():
                raise ContractBroken(f"{what} has to return within {self.within:g} s: Services wait for it") from error
            names = ", ".join(each.__name__ for each in keep)
            allowed = f"may raise nothing but {names}" if keep else "has to succeed"
            raise ContractBroken(f"{what} {allowed}; it raised {error!r}") from error


def _awaitable(found: Any, what: str) -> Any:
    if not inspect.isawaitable(found):
        raise ContractBroken(f"{what} has to be a coroutine function; it returned {found!r}")
    return found


@attrs.frozen(eq=False)
class Session:
    """A source that is open. *before* is how many addresses were in use when that began."""

    _subject: Subject
    _source: PoolSource
    before: int

    async def allocate(self, name: str, *, when: str = "", may_fail: bool = False, **wish: Any) -> Addresses:
        """Return what *name* gets; where that *may fail*, that is nothing then."""
        request = Request(key=key_of(name), namespace=NAMESPACE, ports=frozenset({(80, "TCP")}), **wish)
        what = f"allocate({_described(request)}){when}"
        try:
            answer = await self._subject.timed(lambda: self._source.allocate(request), what, (KubeVipError,))
        except KubeVipError as error:
            if may_fail:
                return ()
            raise ContractBroken(f"{what} has to succeed; it raised {error!r}") from error
        fault = fault_of(request, answer)
        if fault:
            raise ContractBroken(f"{what} returned {answer!r}: {fault}")
        return tuple(answer)

    async def allocate_together(self, *names: str) -> dict[str, Addresses]:
        """Return what each of *names* gets, when all ask at the same time."""
        calls = (self.allocate(name, when=" beside others") for name in names)
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.wait(tasks)
        return {name: task.result() for name, task in zip(names, tasks, strict=True)}

    async def release(self, *names: str, when: str = "") -> None:
        """Release what *names* have."""
        for key in map(key_of, names):
            await self._subject.timed(partial(self._source.release, key), f"release({key}){when}")

    async def adopt(self, name: str, addresses: Addresses, *, when: str = "", keep: Errors = ()) -> None:
        """Tell that *name* has *addresses*; it may raise *keep* instead."""
        what = f"adopt({key_of(name)}, {listed(addresses)}){when}"
        await self._subject.timed(lambda: self._source.adopt(key_of(name), addresses), what, keep)

    async def capacity(self) -> Capacity:
        """Return what it says of itself, if that can be."""
        found = await self._subject.timed(self._source.capacity, "capacity()")
        if not (
            isinstance(found, Capacity) and _is_count(found.used) and (found.size is None or _is_count(found.size))
        ):
            raise ContractBroken(f"capacity() has to return a Capacity of numbers from 0 on; it returned {found!r}")
        if found.size is not None and found.used > found.size:
            raise ContractBroken(f"capacity() has to count right; it says that {found.used} of {found.size} are in use")
        return found

    async def expect_used(self, more: int, after: str) -> None:
        """See that *more* addresses are in use than before."""
        used, wanted = (await self.capacity()).used, self.before + more
        if used != wanted:
            raise ContractBroken(f"after {after} capacity() has to say that {wanted} are in use; it says {used}")


def _is_count(number: object) -> bool:
    return type(number) is int and number >= 0


def _described(request: Request) -> str:
    family = f", IPv{request.family.value}" if request.family else ""
    return f"{request.key}{family}" + (f", {request.policy.value}" if request.policy.is_dual else "")
