"""``Loans``: an IPAM comes to know what the account says, whatever happens in between. In virtual time."""

import contextlib
import ipaddress

import anyio
import attrs
import pytest

from kubevip.controllers.loans import Loans
from kubevip.controllers.sources import Sources
from kubevip.errors import KubeVipError
from kubevip.ipam import FamilyPolicy, Pool, Request
from kubevip.model import ServiceKey
from kubevip.testing import virtual
from tests.ipam_plugins.ipams import Book, ips, registry, source

POOL = Pool("source-web", "text", source="book")
KEY = ServiceKey("web", "a")


@attrs.define(eq=False)
class World:
    """An account that the test writes: who has which address."""

    has: dict[str, set] = attrs.field(factory=dict)
    book: Book = attrs.field(factory=lambda: Book(ips("10.0.0.1", "10.0.0.2", "fd00::1")))

    @contextlib.asynccontextmanager
    async def loans(self):
        async with Sources(registry(book=source(self.book)), {}, lambda _pool: ()) as sources:
            loans = Loans(sources, lambda address: [key for key, has in self.has.items() if address in has])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(loans.run)
                yield loans
                tasks.cancel_scope.cancel()

    def set(self, *texts):
        self.has[str(KEY)] = set(ips(*texts))


async def borrow(world, loans, **wish):
    request = Request(key=str(KEY), namespace="web", **wish)
    async with loans.alone_with(KEY):
        given = await loans.borrow(KEY, POOL, request)
        world.set(*map(str, given))
        loans.look_at(KEY)
    return given


@virtual
async def test_what_is_kept_is_not_talked_about():
    world = World()
    async with world.loans() as loans:
        await borrow(world, loans)
        await anyio.sleep(60)
        assert world.book.verbs(str(KEY)) == ["allocate"]
        assert loans.owes(KEY)


@virtual
async def test_what_is_given_back_leaves_nothing_behind():
    world = World()
    async with world.loans() as loans:
        await borrow(world, loans)
        world.set()
        loans.look_at(KEY)
        await anyio.sleep(1)
        assert not world.book.kept
        assert not loans.owes(KEY)
        assert not loans._locks


@virtual
async def test_a_part_is_given_back_by_telling_the_rest():
    world = World()
    async with world.loans() as loans:
        await borrow(world, loans, policy=FamilyPolicy.REQUIRE_DUAL)
        world.set("10.0.0.1")
        loans.look_at(KEY)
        await anyio.sleep(1)
        assert world.book.calls[-2:] == [("allocate", str(KEY)), ("adopt", str(KEY), "10.0.0.1")]


@virtual
async def test_what_changes_while_an_ipam_is_told_is_told_next():
    world = World()
    world.book.before = lambda verb, _key: anyio.sleep(3 if verb == "adopt" else 0)
    async with world.loans() as loans:
        await borrow(world, loans, policy=FamilyPolicy.REQUIRE_DUAL)
        world.set("10.0.0.1")
        loans.look_at(KEY)
        await anyio.sleep(1)
        world.set()
        await anyio.sleep(5)
        assert world.book.verbs(str(KEY)) == ["allocate", "adopt", "release"]


@virtual
async def test_what_is_found_before_the_source_is_open_is_left_to_its_opening():
    world = World()
    world.set("10.0.0.1")
    async with world.loans() as loans:
        loans.found(KEY, POOL, ips("10.0.0.1"))
        await anyio.sleep(1)
        assert world.book.calls == []


@virtual
async def test_what_is_found_later_is_told():
    world = World()
    async with world.loans() as loans:
        await borrow(world, loans)
        other = ServiceKey("web", "b")
        world.has[str(other)] = set(ips("10.0.0.2"))
        loans.found(other, POOL, ips("10.0.0.2"))
        await anyio.sleep(1)
        assert world.book.kept == {str(KEY): ips("10.0.0.1"), str(other): ips("10.0.0.2")}


@virtual
async def test_what_cannot_be_told_is_told_later_and_logged_once(caplog):
    world = World()

    async def refuse(verb, _key):
        if verb == "release" and anyio.current_time() < 60:
            raise KubeVipError("not now")

    world.book.before = refuse
    async with world.loans() as loans:
        await borrow(world, loans)
        world.set()
        loans.look_at(KEY)
        await anyio.sleep(100)
        assert not world.book.kept
    assert caplog.messages.count("another IPAM can't be told who has its addresses") == 1


@virtual
async def test_one_that_knows_already_who_has_an_address_is_not_told_again():
    world = World()
    other = ServiceKey("web", "static")
    world.has[str(other)] = set(ips("10.0.0.1"))
    async with world.loans() as loans:
        assert await loans.entrust(other, POOL, ipaddress.ip_address("10.0.0.1"))
        assert not await loans.entrust(other, POOL, ipaddress.ip_address("10.0.0.1"))
        assert world.book.verbs(str(other)) == ["adopt"]


@virtual
async def test_what_a_failed_call_may_have_got_is_left_while_more_is_wanted():
    world = World()

    async def lose(verb, key):
        if verb == "allocate":
            world.book.kept[key] = ips("10.0.0.2")
            raise KubeVipError("lost")

    world.book.before = lose
    async with world.loans() as loans:
        with pytest.raises(KubeVipError, match="lost"):
            await borrow(world, loans)
        loans.look_at(KEY)
        await anyio.sleep(1)
        assert world.book.kept
        loans.look_at(KEY, wants_more=False)
        await anyio.sleep(1)
        assert not world.book.kept
