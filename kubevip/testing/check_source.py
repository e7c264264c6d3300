"""Checks that a source of pools keeps its side of the contract (``kubevip.source``), with the IPAM behind it."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping

from kubevip.errors import AddressTaken, BrokenPoolSource, KubeVipError, UnknownPoolSource
from kubevip.ipam import FamilyPolicy
from kubevip.model import Family, IPAddress
from kubevip.registry import SourceRegistry
from kubevip.source import PoolSource
from kubevip.testing.check import ContractBroken
from kubevip.testing.source_session import Addresses, Subject, key_of, listed

# A pool that has no more free addresses than this is exhausted, too.
FEW = 64
# What was cancelled, and tasks that have to end, are given this many seconds.
SETTLE = 0.05
RESTART = " by a new instance, as after a restart,"


async def check_pool_source(
    source: type[PoolSource] | str,
    *,
    text: str,
    settings: Mapping[str, str] | None = None,
    registry: SourceRegistry | None = None,
    key: str = "source-check",
    within: float = 5.0,
) -> None:
    """Check *source*, a class or the name that it is registered by, against all that the core relies on.

    *text* is what stands behind the source's name in the ConfigMap's *key*, *settings* the environment. Choose a
    pool of which nobody else takes addresses meanwhile, with 4 free ones of each family that it has: the check takes
    some, and gives them back. A pool of up to 64 is exhausted, too. Each call has *within* seconds.

    :raises ContractBroken: at the first thing that is not as it has to be.
    """
    checked = _resolve(source, registry)
    if inspect.isabstract(checked):
        missing = ", ".join(sorted(checked.__abstractmethods__))
        raise ContractBroken(f"{checked.__name__} has to define all verbs of a PoolSource; it lacks {missing}")
    subject = Subject(checked, key, text, settings or {}, within)
    before = asyncio.all_tasks()
    await _check_text(subject)
    families = await _find_families(subject)
    for step in _STEPS:
        await step(subject, families)
    await asyncio.sleep(SETTLE)
    left = [task.get_name() for task in asyncio.all_tasks() - before]
    if left:
        raise ContractBroken(f"__aexit__() left tasks behind, and all have to end with it: {', '.join(sorted(left))}")


def _resolve(source: type[PoolSource] | str, registry: SourceRegistry | None) -> type[PoolSource]:
    if isinstance(source, str):
        try:
            return (registry if registry is not None else SourceRegistry())[source]
        except (UnknownPoolSource, BrokenPoolSource) as error:
            raise ContractBroken(f"the entry point has to lead to a pool source: {error}") from error
    if not (isinstance(source, type) and issubclass(source, PoolSource)):
        raise ContractBroken(f"{source!r} has to be a subclass of kubevip.plugin.PoolSource")
    return source


def _expect_same(found: Addresses, wanted: Addresses, what: str) -> None:
    if found != wanted:
        raise ContractBroken(f"{what} has to return {listed(wanted)}; it returned {listed(found)}")


def _expect_apart(given: Mapping[str, Addresses]) -> None:
    owners: dict[IPAddress, str] = {}
    for name, addresses in given.items():
        for address in addresses:
            if address in owners:
                raise ContractBroken(
                    f"allocate({key_of(name)}) has to return what nobody has; it returned {address}, and "
                    f"{key_of(owners[address])} has that"
                )
            owners[address] = name


async def _check_text(subject: Subject) -> None:
    """A text that means nothing is refused by an error that can be shown, if it is refused."""
    for text in ("", "-"):
        try:
            async with subject.entered(text, keep=(KubeVipError,)):
                pass
        except KubeVipError:
            continue


async def _find_families(subject: Subject) -> tuple[Family, ...]:
    """Return the families that it has addresses of."""
    async with subject.opened() as here:
        names = {family: f"v{family.value}" for family in Family}
        given = {name: await here.allocate(name, family=family, may_fail=True) for family, name in names.items()}
        found = tuple(family for family, name in names.items() if given[name])
        _expect_apart({**given, "any": await here.allocate("any")})
        await here.expect_used(len(found) + 1, f"allocate() of {len(found) + 1} keys")
        await here.release("any", *given)
        await here.expect_used(0, "release() of them")
    return found


async def _check_giving(subject: Subject, _families: tuple[Family, ...]) -> None:
    """Each key gets addresses of its own, once, also when several ask side by side; and they come back."""
    async with subject.opened() as here:
        first = await here.allocate("a")
        _expect_same(await here.allocate("a", when=" again"), first, f"allocate({key_of('a')}) again")
        await here.expect_used(1, "allocate() of one key, twice")
        _expect_apart({"a": first, **await here.allocate_together("b", "c", "d")})
        await here.expect_used(4, "allocate() of 4 keys")
        await here.release("a", "b", "c", "d")
        await here.release("a", when=" again")
        await here.release("e", when=" of what was never allocated")
        await here.expect_used(0, "release() of all")


async def _check_adopting(subject: Subject, _families: tuple[Family, ...]) -> None:
    """What is adopted is its key's, and nobody else's."""
    async with subject.opened() as here:
        given = await here.allocate("a")
        await here.release("a")
    async with subject.opened() as here:
        for when in ("", " again"):
            await here.adopt("a", given, when=when)
            await here.expect_used(1, f"adopt({key_of('a')}, {listed(given)}){when}")
        _expect_apart({"a": given, "b": await here.allocate("b"), "c": await here.allocate("c")})
        _expect_same(await here.allocate("a"), given, f"allocate({key_of('a')}), which was adopted,")
        other = await here.allocate("d")
        await here.release("b", "c", "d")
        await here.adopt("a", other, when=", in place of what it had,")
        await here.expect_used(1, f"adopt({key_of('a')}, {listed(other)}), which means these and no others")
        _expect_same(await here.allocate("a"), other, f"allocate({key_of('a')}), which was adopted,")
        await here.release("a")
        await here.expect_used(0, "release() of what was adopted")


async def _check_contest(subject: Subject, _families: tuple[Family, ...]) -> None:
    """An address that somebody else has may be refused, and stays where it is."""
    async with subject.opened() as here:
        given = await here.allocate("a")
        with contextlib.suppress(AddressTaken):
            await here.adopt("b", given, when=" of what another key has", keep=(AddressTaken,))
        _expect_same(await here.allocate("a"), given, f"allocate({key_of('a')}) while another key claims its address")
        await here.release("b", "a")
        await here.expect_used(0, "release() of both")


async def _check_restart(subject: Subject, _families: tuple[Family, ...]) -> None:
    """A new instance comes to the same end, whatever the last one was in the middle of."""
    async with subject.opened() as here:
        before = here.before
        await here.allocate("a")
    async with subject.opened(before) as here:
        given = await here.allocate("a", when=RESTART)
        await here.expect_used(1, f"allocate({key_of('a')}){RESTART} of what the last one had allocated already")
    async with subject.opened(before) as here:
        await here.adopt("a", given, when=RESTART)
        await here.expect_used(1, f"adopt({key_of('a')}, {listed(given)}){RESTART}")
        _expect_same(await here.allocate("a", when=RESTART), given, f"allocate({key_of('a')}){RESTART}")
        await here.release("a", when=RESTART)
    async with subject.opened(before) as here:
        await here.expect_used(0, f"release({key_of('a')}) by the last instance")


async def _check_lost_answer(subject: Subject, _families: tuple[Family, ...]) -> None:
    """A call that was given up may come again."""
    async with subject.opened() as here:
        given_up = asyncio.create_task(here.allocate("a"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await asyncio.sleep(SETTLE)
        await here.allocate("a", when=" after a call that was cancelled")
        await here.expect_used(1, f"allocate({key_of('a')}), cancelled and called again")
        await here.release("a")
        await here.expect_used(0, f"release({key_of('a')})")


async def _check_families(subject: Subject, families: tuple[Family, ...]) -> None:
    """Who wants both families gets both, or nothing; one that lacks one keeps the other."""
    prefer, require = FamilyPolicy.PREFER_DUAL, FamilyPolicy.REQUIRE_DUAL
    async with subject.opened() as here:
        both = await here.allocate("a", policy=require, may_fail=len(families) < 2)
        await here.expect_used(len(both), "allocate() of both families" if both else "an allocate() that failed")
        if both:
            await here.allocate("b", policy=require, family=Family.IPV6)
            await here.adopt("a", both[:1])
            await here.expect_used(3, f"adopt({key_of('a')}, {listed(both[:1])}), which means this one and no others")
        more = await here.allocate("a", policy=prefer)
        if both and (len(more) < 2 or more[0] != both[0]):
            raise ContractBroken(
                f"allocate({key_of('a')}, {prefer.value}) has to return {both[0]}, which it has, and an IPv6 address; "
                f"it returned {listed(more)}"
            )
        await here.release("a", "b")
        await here.expect_used(0, "release() of all")


async def _check_exhaustion(subject: Subject, families: tuple[Family, ...]) -> None:
    """It gives as many as it says, then says that there are none, and gives again what comes back."""
    async with subject.opened() as here:
        capacity = await here.capacity()
        if capacity.size is None or capacity.size - capacity.used > FEW:
            return
        free = capacity.size - capacity.used
        given: dict[str, Addresses] = {}
        for family in families:
            while len(given) <= free:
                name = f"n{len(given)}"
                addresses = await here.allocate(name, family=family, may_fail=True)
                if not addresses:
                    break
                given[name] = addresses
        _expect_apart(given)
        if len(given) != free:
            raise ContractBroken(
                f"capacity() says that {free} addresses are free, so allocate() has to give as many and then raise "
                f"PoolExhausted; it gave {'more' if len(given) > free else len(given)}"
            )
        name, addresses = given.popitem()
        await here.release(name)
        await here.allocate("last", family=Family.of(addresses[0]), when=" after another one's was released")
        await here.release("last", *given)
        await here.expect_used(0, "release() of all")


_STEPS: tuple[Callable[[Subject, tuple[Family, ...]], Awaitable[None]], ...] = (
    _check_giving,
    _check_adopting,
    _check_contest,
    _check_restart,
    _check_lost_answer,
    _check_families,
    _check_exhaustion,
)
