"""``check_pool_source``: it lets good sources pass, and names what is wrong with others."""

import asyncio
import inspect
import ipaddress
import socket
import time
from importlib.metadata import EntryPoint

import anyio
import pytest

from kubevip.plugin import AddressTaken, Capacity, FamilyPolicy, KubeVipError, PoolExhausted, PoolSource
from kubevip.ranges import Ranges
from kubevip.registry import SourceRegistry
from kubevip.testing import ContractBroken, check_pool_source, virtual
from tests.ipam_plugins.ipams import Book, Good, ips, source

BOTH = ips(*(f"10.0.0.{number}" for number in range(1, 7)), *(f"fd00::{number}" for number in range(1, 7)))
FOUR = ips("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")


def keeps_a_book(base: type[Good] = Good, pool=BOTH) -> type[PoolSource]:
    """A source whose instances come and go, and whose IPAM stays."""
    return source(Book(pool), base)


class Unsized(Good):
    async def capacity(self):
        return Capacity(None, (await super().capacity()).used)


class Careless(Good):
    async def adopt(self, key, addresses):
        self.book.kept[key] = tuple(addresses)


class Slow(Good):
    async def allocate(self, request):
        await anyio.sleep(1)
        return await super().allocate(request)


class InAThread(Good):
    """Does in a thread what would block the loop."""

    async def allocate(self, request):
        await asyncio.to_thread(time.sleep, 0.001)
        return await super().allocate(request)


@pytest.mark.parametrize("base", [Good, Unsized, Careless, Slow])
@pytest.mark.parametrize("pool", [BOTH, FOUR, BOTH[6:]], ids=["both", "IPv4", "IPv6"])
def test_good_sources_pass(base, pool):
    @virtual
    async def check():
        checked = keeps_a_book(base, pool)
        await check_pool_source(checked, text="x")
        assert not checked.book.kept, "the check gives everything back"

    check()


async def test_what_blocks_may_do_so_in_a_thread():
    await check_pool_source(keeps_a_book(InAThread), text="x")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/29", "10.0.0.0/8", "10.0.0.1-10.0.0.9,fd00::1-fd00::9", "fd00::/64", "10.0.0.0/24,fd00::/120"]
)
async def test_the_bundled_source_passes(text):
    await check_pool_source("ranges", text=text)


class Abstract(PoolSource):
    async def allocate(self, request):
        return ips("10.0.0.1")


class WantsMore(Good):
    def __init__(self, key, text, settings, more):
        super().__init__(key, text, settings)


class StumblesOverItsText(Good):
    def __init__(self, key, text, settings):
        super().__init__(key, text, settings)
        self.network = ipaddress.ip_network(text)


class DoesNotOpen(Good):
    async def __aenter__(self):
        raise KubeVipError("no licence") if self.text == "x" else KubeVipError("no text")


class OpensSomethingElse(Good):
    async def __aenter__(self):
        return None


class DoesNotClose(Good):
    async def __aexit__(self, *_):
        raise ValueError("oh")


class NotACoroutine(Good):
    def capacity(self):
        return Capacity(10, 0)


class GivesNothing(Good):
    async def allocate(self, request):
        raise PoolExhausted("never")


class GivesText(Good):
    async def allocate(self, request):
        return [str(address) for address in await super().allocate(request)]


class GivesOneAddress(Good):
    async def allocate(self, request):
        return (await super().allocate(request))[0]


class GivesTheWrongFamily(Good):
    async def allocate(self, request):
        return self.book.kept.setdefault(request.key, (self.book.free(4),))


class GivesTwice(Good):
    async def allocate(self, request):
        kept = self.book.kept.get(request.key) or ips("10.0.0.1")
        self.book.kept[request.key] = kept if request.family in (None, 4) else ips("fd00::1")
        return self.book.kept[request.key]


class GivesTwiceAtOnce(Good):
    """Looks for a free address, and takes it a moment later."""

    async def allocate(self, request):
        if request.policy.is_dual or request.family == 6:
            return await super().allocate(request)
        free = self.book.free(4)
        await anyio.sleep(0.001)
        return self.book.kept.setdefault(request.key, (free,))


class GivesMoreEachTime(Good):
    """Isn't idempotent."""

    async def allocate(self, request):
        before = self.book.kept.pop(request.key, ())
        self.book.kept["spent"] = self.book.kept.get("spent", ()) + before
        return await super().allocate(request)

    async def release(self, key):
        self.book.kept.pop("spent", None)
        await super().release(key)


class KnowsOnlyItsOwn(Good):
    """Asks the IPAM for a new address, unless it remembers what it got."""

    async def __aenter__(self):
        self.mine = {}
        return await super().__aenter__()

    async def allocate(self, request):
        if request.key not in self.mine and request.key in self.book.kept:
            self.book.kept[f"lost {request.key}"] = self.book.kept.pop(request.key)
        self.mine[request.key] = await super().allocate(request)
        return self.mine[request.key]

    async def adopt(self, key, addresses):
        await super().adopt(key, addresses)
        self.mine[key] = addresses


class IsNotCancelled(Good):
    """Forgets whom it was for when it is cancelled."""

    async def allocate(self, request):
        if request.key in self.book.kept:
            return await super().allocate(request)
        given = await super().allocate(request)
        try:
            await anyio.sleep(0.01)
        except BaseException:
            self.book.kept["nobody"] = self.book.kept.pop(request.key)
            raise
        return given


class RaisesOnItsOwn(Good):
    async def allocate(self, request):
        raise KeyError("oh")


class RaisesWhenExhausted(Good):
    async def allocate(self, request):
        try:
            return await super().allocate(request)
        except PoolExhausted:
            raise IndexError("no more") from None


class NeverReturns(Good):
    async def allocate(self, request):
        await asyncio.Event().wait()


class TakesHalf(Good):
    """Keeps what it got where it can't get both families."""

    async def allocate(self, request):
        if request.policy is FamilyPolicy.REQUIRE_DUAL:
            self.book.kept[request.key] = (self.book.free(4),)
            raise PoolExhausted("no IPv6")
        return await super().allocate(request)


class GivesOneOfTwo(Good):
    async def allocate(self, request):
        given = await super().allocate(request)
        if request.policy is FamilyPolicy.PREFER_DUAL:
            self.book.kept[request.key] = given = given[:1]
        return given


class ForgetsWhatItAdopted(Good):
    async def adopt(self, key, addresses):
        """Do nothing."""


class AdoptsOnce(Good):
    async def adopt(self, key, addresses):
        if key in self.book.kept:
            raise KubeVipError("it has something already")
        await super().adopt(key, addresses)


class AdoptsMore(Good):
    async def adopt(self, key, addresses):
        self.book.kept[key] = tuple(dict.fromkeys((*self.book.kept.get(key, ()), *addresses)))


class CountsTheAdoptedOnly(Good):
    """Notes what it adopts, and gives it to others."""

    async def allocate(self, request):
        kept = self.book.kept
        hidden = {key: kept.pop(key) for key in list(kept) if key in self.book.adopted and key != request.key}
        try:
            return self.book.give(request)
        finally:
            kept.update(hidden)

    async def adopt(self, key, addresses):
        await super().adopt(key, addresses)
        self.book.adopted.add(key)


class TakesFromOthers(Good):
    async def adopt(self, key, addresses):
        for other, kept in list(self.book.kept.items()):
            self.book.kept[other] = tuple(address for address in kept if address not in addresses)
        self.book.kept[key] = tuple(addresses)


class RefusesByAnyError(Good):
    async def adopt(self, key, addresses):
        try:
            await super().adopt(key, addresses)
        except AddressTaken as error:
            raise KubeVipError(str(error)) from error


class ReleasesNothing(Good):
    async def release(self, key):
        """Do nothing."""


class ReleasesOnlyWhatItKnows(Good):
    async def release(self, key):
        del self.book.kept[key]


class ReleasesForItselfAlone(Good):
    """Tells nobody else: the IPAM behind it isn't asked."""

    async def __aenter__(self):
        self.released = {}
        return await super().__aenter__()

    async def release(self, key):
        self.released[key] = self.book.kept.pop(key, ())

    async def __aexit__(self, *error):
        self.book.kept.update({key: kept for key, kept in self.released.items() if kept})
        await super().__aexit__(*error)


class CountsNothing(Good):
    async def capacity(self):
        return Capacity(12, 0)


class CountsKeys(Good):
    async def capacity(self):
        return Capacity(12, len(self.book.kept))


class CountsInTexts(Good):
    async def capacity(self):
        return Capacity("12", "0")


class CountsTooMany(Good):
    async def capacity(self):
        return Capacity(1, (await super().capacity()).used)


class SaysItHasMore(Good):
    async def capacity(self):
        return Capacity(20, (await super().capacity()).used)


class SaysItHasLess(Good):
    async def capacity(self):
        found = await super().capacity()
        return Capacity(max(8, found.used), found.used)


class LeavesATask(Good):
    async def __aenter__(self):
        self.task = asyncio.create_task(asyncio.Event().wait(), name="left behind")
        return await super().__aenter__()


def pause(seconds):
    time.sleep(seconds)


class Sleeps(Good):
    async def allocate(self, request):
        pause(0.001)
        return await super().allocate(request)


class SleepsForLong(Good):
    async def allocate(self, request):
        pause(10)


class ConnectsAndTranslates(Good):
    async def allocate(self, request):
        try:
            socket.create_connection(("127.0.0.1", 9)).close()
        except OSError as error:
            raise KubeVipError("no route") from error


class Computes(Good):
    async def allocate(self, request):
        until = time.perf_counter() + 0.6
        while time.perf_counter() < until:
            pass
        return await super().allocate(request)


KEY = "check-pool-source/"
WRONG = [
    (Abstract, "Abstract has to define all verbs of a PoolSource; it lacks adopt, capacity, release"),
    (WantsMore, "__init__() with the text '' may raise nothing but KubeVipError; it raised TypeError"),
    (StumblesOverItsText, "__init__() with the text '' may raise nothing but KubeVipError; it raised ValueError"),
    (DoesNotOpen, "__aenter__() with the text 'x' has to succeed; it raised KubeVipError('no licence')"),
    (OpensSomethingElse, "__aenter__() has to return the source itself; it returned None"),
    (DoesNotClose, "__aexit__() has to succeed; it raised ValueError('oh')"),
    (NotACoroutine, "capacity() has to be a coroutine function; it returned Capacity(size=10, used=0)"),
    (GivesNothing, f"allocate({KEY}any) has to succeed; it raised PoolExhausted('never')"),
    (GivesText, f"allocate({KEY}v4, IPv4) returned ['10.0.0.1']: '10.0.0.1' has to be an object of the module"),
    (GivesOneAddress, "returned IPv4Address('10.0.0.1'): it has to be a list or a tuple of addresses"),
    (GivesTheWrongFamily, f"allocate({KEY}v6, IPv6) returned (IPv4Address('10.0.0.2'),): a SingleStack request has"),
    (GivesTwice, f"allocate({KEY}any) has to return what nobody has; it returned 10.0.0.1, and {KEY}v4 has that"),
    (GivesTwiceAtOnce, f"has to return what nobody has; it returned 10.0.0.2, and {KEY}b has that"),
    (GivesMoreEachTime, f"allocate({KEY}a) again has to return [10.0.0.1]; it returned [10.0.0.2]"),
    (KnowsOnlyItsOwn, f"after allocate({KEY}a) by a new instance, as after a restart, of what the last one had"),
    (IsNotCancelled, f"after allocate({KEY}a), cancelled and called again capacity() has to say that 1 are in use"),
    (RaisesOnItsOwn, f"allocate({KEY}v4, IPv4) may raise nothing but KubeVipError; it raised KeyError('oh')"),
    (RaisesWhenExhausted, "may raise nothing but KubeVipError; it raised IndexError('no more')"),
    (NeverReturns, f"allocate({KEY}v4, IPv4) has to return within 5 s: Services wait for it"),
    (GivesOneOfTwo, f"allocate({KEY}a, PreferDualStack) has to return 10.0.0.1, which it has, and an IPv6 address"),
    (ForgetsWhatItAdopted, f"after adopt({KEY}a, [10.0.0.1]) capacity() has to say that 1 are in use; it says 0"),
    (AdoptsOnce, f"adopt({KEY}a, [10.0.0.1]) again has to succeed; it raised KubeVipError('it has something already')"),
    (AdoptsMore, "which means these and no others capacity() has to say that 1 are in use; it says 2"),
    (TakesFromOthers, f"allocate({KEY}a) while another key claims its address has to return [10.0.0.1]"),
    (RefusesByAnyError, f"adopt({KEY}b, [10.0.0.1]) of what another key has may raise nothing but AddressTaken"),
    (ReleasesNothing, "after release() of them capacity() has to say that 0 are in use; it says 3"),
    (ReleasesOnlyWhatItKnows, f"release({KEY}a) again has to succeed; it raised KeyError"),
    (ReleasesForItselfAlone, "it says"),
    (CountsNothing, "after allocate() of 3 keys capacity() has to say that 3 are in use; it says 0"),
    (CountsKeys, "after allocate() of both families capacity() has to say that 2 are in use; it says 1"),
    (CountsInTexts, "capacity() has to return a Capacity of numbers from 0 on; it returned Capacity(size='12'"),
    (CountsTooMany, "capacity() has to count right; it says that 3 of 1 are in use"),
    (SaysItHasMore, "capacity() says that 20 addresses are free, so allocate() has to give as many and then raise"),
    (
        SaysItHasLess,
        "says that 8 addresses are free, so allocate() has to give as many and then raise PoolExhausted; it",
    ),
    (LeavesATask, "__aexit__() left tasks behind, and all have to end with it: left behind"),
    (Sleeps, f"allocate({KEY}v4, IPv4) has to leave the event loop free, and time.sleep() blocks it"),
    (ConnectsAndTranslates, "has to leave the event loop free, and connect() blocks it"),
    (Computes, "has to leave the event loop free, and it stood still for 0.6 s"),
]


@pytest.mark.parametrize(("base", "said"), WRONG, ids=[base.__name__ for base, _said in WRONG])
def test_what_is_wrong_is_named(base, said):
    @virtual
    async def check():
        try:
            with pytest.raises(ContractBroken) as caught:
                await check_pool_source(keeps_a_book(base) if issubclass(base, Good) else base, text="x")
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        assert said in str(caught.value)

    check()


def test_every_way_to_break_it_is_tried():
    tried = {base for base, _said in WRONG} | {SleepsForLong, TakesHalf, CountsTheAdoptedOnly}
    bad = [each for each in globals().values() if inspect.isclass(each) and issubclass(each, PoolSource)]
    assert not set(bad) - tried - {Good, Unsized, Careless, Slow, InAThread, PoolSource, Ranges}


@virtual
async def test_what_a_failed_allocation_leaves_behind_is_found():
    with pytest.raises(ContractBroken, match=r"after an allocate\(\) that failed capacity\(\) has to say that 0 are"):
        await check_pool_source(keeps_a_book(TakesHalf, FOUR), text="x")


@virtual
async def test_an_adopted_address_that_is_given_to_others_is_found():
    checked = keeps_a_book(CountsTheAdoptedOnly)
    checked.adopted = set()
    checked.book = type("Adopting", (Book,), {"adopted": set()})(BOTH)
    with pytest.raises(ContractBroken, match=r"allocate\(check-pool-source/b\) has to return what nobody has"):
        await check_pool_source(checked, text="x")


@virtual
async def test_a_class_of_another_kind_is_refused():
    with pytest.raises(ContractBroken, match=r"has to be a subclass of kubevip\.plugin\.PoolSource"):
        await check_pool_source(object, text="x")


@virtual
async def test_a_name_that_leads_nowhere_is_told():
    registry = SourceRegistry([EntryPoint("y", "a:B", "kubevip.ipam")])
    with pytest.raises(ContractBroken, match="the entry point has to lead to a pool source: no pool source 'x'"):
        await check_pool_source("x", text="x", registry=registry)


@virtual
async def test_what_blocks_is_not_carried_out():
    before = time.sleep
    began = time.perf_counter()
    with pytest.raises(ContractBroken, match=r"time\.sleep"):
        await check_pool_source(keeps_a_book(SleepsForLong), text="x")
    assert time.perf_counter() - began < 5
    assert time.sleep is before
