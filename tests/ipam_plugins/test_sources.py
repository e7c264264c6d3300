"""``Sources``: what it asks of sources, and what sources can't do to it. In virtual time."""

import asyncio
import contextlib

import anyio
import attrs
import pytest

from kubevip.controllers.sources import AT_ONCE, LOOK_EVERY, PATIENCE, Sources
from kubevip.errors import KubeVipError, PoolExhausted
from kubevip.ipam import Pool, Request
from kubevip.plugin import Capacity
from kubevip.registry import SourceRegistry
from kubevip.testing import virtual
from tests.ipam_plugins.ipams import Book, Good, at_once, ips, registry, source

POOL = Pool("source-web", "text", source="book")
OTHER = Pool("source-other", "text", source="other")


def request(name="a"):
    return Request(key=f"web/{name}", namespace="web")


@attrs.define(eq=False)
class World:
    """A book of three addresses, and what there is of it already."""

    base: type[Good] = Good
    present: dict[str, tuple] = attrs.field(factory=dict)
    book: Book = attrs.field(factory=lambda: Book(ips("10.0.0.1", "10.0.0.2", "10.0.0.3")))
    other: Book = attrs.field(factory=lambda: Book(ips("10.9.0.1")))

    def sources(self):
        kinds = registry(book=source(self.book, self.base), other=source(self.other))
        return Sources(kinds, {}, lambda pool: iter(self.present.items()) if pool.key == POOL.key else ())


def fails_until(when, error, *verbs):
    async def before(verb, _key):
        if verb in verbs and anyio.current_time() < when:
            raise error

    return before


def hangs(*verbs):
    async def before(verb, _key):
        if verb in verbs:
            await anyio.sleep_forever()

    return before


@virtual
async def test_nothing_is_opened_before_it_is_asked_for():
    world = World()
    async with world.sources():
        await anyio.sleep(1)
    assert world.book.calls == []


@virtual
async def test_a_source_is_opened_once_however_many_ask():
    world = World()
    world.book.before = lambda verb, _key: anyio.sleep(1 if verb == "open" else 0)
    async with world.sources() as sources, anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(sources.allocate, POOL, request(name))
    assert (world.book.opened, world.book.closed, len(world.book.kept)) == (1, 1, 3)


@virtual
async def test_all_that_there_is_is_adopted_before_anything_is_allocated():
    world = World(present={"web/x": ips("10.0.0.1"), "web/y": ips("10.0.0.2")})
    async with world.sources() as sources:
        assert await sources.allocate(POOL, request()) == ips("10.0.0.3")
    assert [verb for verb, *_ in world.book.calls] == ["open", "adopt", "adopt", "allocate", "close"]


@virtual
async def test_what_appears_while_all_is_being_adopted_is_adopted_too():
    world = World(present={"web/x": ips("10.0.0.1")})

    async def add(verb, key):
        if key == "web/x":
            world.present["web/y"] = ips("10.0.0.2")
            await anyio.sleep(1)

    world.book.before = add
    async with world.sources() as sources:
        assert await sources.allocate(POOL, request()) == ips("10.0.0.3")


@virtual
async def test_adopting_takes_as_long_as_it_takes():
    world = World(present={f"web/{number}": ips(f"10.1.{number // 250}.{number % 250}") for number in range(1000)})
    world.book.before = lambda verb, _key: anyio.sleep(1 if verb == "adopt" else 0)
    async with world.sources() as sources:
        began = anyio.current_time()
        await sources.allocate(POOL, request())
        assert 1000 / AT_ONCE <= anyio.current_time() - began < 1000 / AT_ONCE + 2
    assert len(world.book.kept) == 1001


@virtual
async def test_nothing_is_allocated_while_something_cannot_be_adopted():
    world = World(present={"web/x": ips("10.0.0.1")})
    world.book.before = fails_until(5, KubeVipError("no route"), "adopt")
    async with world.sources() as sources:
        with pytest.raises(KubeVipError, match="no route"):
            await sources.allocate(POOL, request())
        await anyio.sleep(5)
        assert await sources.allocate(POOL, request()) == ips("10.0.0.2")
    assert world.book.opened == 1


@virtual
async def test_what_was_adopted_once_is_not_adopted_again():
    world = World(present={f"web/{name}": ips(f"10.0.1.{number}") for number, name in enumerate("xyz")})

    async def fail(verb, key):
        if key == "web/z" and anyio.current_time() < 5:
            raise KubeVipError("no route")

    world.book.before = fail
    async with world.sources() as sources:
        with pytest.raises(KubeVipError, match="no route"):
            await sources.allocate(POOL, request())
        await anyio.sleep(5)
        await sources.allocate(POOL, request())
    assert [len(world.book.verbs(f"web/{name}")) for name in "xyz"] == [1, 1, 2]


@virtual
async def test_an_address_that_somebody_else_has_there_keeps_nothing_else_from_being_adopted(caplog):
    world = World(present={"web/x": ips("10.0.0.1"), "web/y": ips("10.0.0.2")})
    world.book.kept["a printer"] = ips("10.0.0.1")
    async with world.sources() as sources:
        assert await sources.allocate(POOL, request()) == ips("10.0.0.3")
    assert "web/y" in world.book.kept
    assert "10.0.0.1 is down for a printer" in [record.__dict__.get("reason") for record in caplog.records]


@pytest.mark.parametrize("verb", ["open", "adopt", "allocate"])
def test_one_that_hangs_is_given_up(verb):
    @virtual
    async def check():
        world = World(present={f"web/{number}": ips(f"10.0.1.{number}") for number in range(100)})
        world.book.before = hangs(verb)
        async with world.sources() as sources:
            for _ in range(2):
                began = anyio.current_time()
                with pytest.raises(KubeVipError, match=r"book has not answered within 10 s"):
                    await sources.allocate(POOL, request())
                assert anyio.current_time() - began == pytest.approx(PATIENCE, abs=0.1)
            world.book.before = at_once
            assert await sources.allocate(POOL, request()) == ips("10.0.0.1")

    check()


@virtual
async def test_one_that_hangs_keeps_no_other_one_waiting():
    world = World()
    world.book.before = hangs("open")
    async with world.sources() as sources, anyio.create_task_group() as tasks:
        tasks.start_soon(_try, sources)
        await anyio.sleep(1)
        await sources.allocate(OTHER, request())
        assert anyio.current_time() == pytest.approx(1, abs=0.1)


async def _try(sources):
    with contextlib.suppress(KubeVipError):
        await sources.allocate(POOL, request())


@virtual
async def test_a_timeout_of_its_own_is_no_silence():
    world = World()
    world.book.before = fails_until(99, TimeoutError("the IPAM's own"), "allocate")
    async with world.sources() as sources:
        with pytest.raises(KubeVipError, match=r"book has failed: TimeoutError\(\"the IPAM's own\"\)"):
            await sources.allocate(POOL, request())


@pytest.mark.parametrize("verb", ["open", "adopt", "allocate"])
def test_whatever_it_raises_becomes_an_error_of_ours(verb):
    @virtual
    async def check():
        world = World(present={"web/x": ips("10.0.0.1")})
        world.book.before = fails_until(99, ValueError("oh"), verb)
        async with world.sources() as sources:
            with pytest.raises(KubeVipError, match=r"book has failed: ValueError\('oh'\)"):
                await sources.allocate(POOL, request())

    check()


@virtual
async def test_its_traceback_is_logged_once(caplog):
    world = World()
    world.book.before = fails_until(99, ValueError("oh"), "allocate")
    async with world.sources() as sources:
        for _ in range(3):
            await _try(sources)
    assert len([record for record in caplog.records if record.exc_info]) == 1


@virtual
async def test_an_error_of_ours_stays_what_it_is():
    world = World()
    world.book.before = fails_until(99, PoolExhausted("full"), "allocate")
    async with world.sources() as sources:
        with pytest.raises(PoolExhausted, match="full"):
            await sources.allocate(POOL, request())


@pytest.mark.parametrize("verb", ["open", "adopt", "allocate"])
def test_what_it_waited_for_being_cancelled_is_no_cancellation_of_ours(verb):
    @virtual
    async def check():
        world = World(present={"web/x": ips("10.0.0.1")})

        async def wait_for_what_is_cancelled(said, _key):
            if said == verb:
                other = asyncio.get_running_loop().create_future()
                other.cancel()
                await other

        world.book.before = wait_for_what_is_cancelled
        async with world.sources() as sources:
            with pytest.raises(KubeVipError, match="something that it waited for was cancelled"):
                await sources.allocate(POOL, request())

    check()


@virtual
async def test_one_that_does_not_open_is_tried_again():
    world = World()
    world.book.before = fails_until(5, KubeVipError("no licence"), "open")
    async with world.sources() as sources:
        with pytest.raises(KubeVipError, match="no licence"):
            await sources.allocate(POOL, request())
        await anyio.sleep(5)
        assert await sources.allocate(POOL, request()) == ips("10.0.0.1")


@virtual
async def test_one_that_is_not_installed_is_named():
    async with Sources(SourceRegistry([]), {}, lambda _pool: ()) as sources:
        with pytest.raises(KubeVipError, match="no pool source 'book' is installed"):
            await sources.allocate(POOL, request())


class NotOfOneTask(Good):
    """Keeps tasks, so that it has to be closed by the task that has opened it."""

    async def __aenter__(self):
        self.tasks = await anyio.create_task_group().__aenter__()
        self.tasks.start_soon(anyio.sleep_forever)
        self.crash = anyio.Event()
        self.tasks.start_soon(self._crash)
        return await super().__aenter__()

    async def __aexit__(self, *error):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(*error)
        await super().__aexit__(*error)

    async def release(self, key):
        self.crash.set()

    async def _crash(self):
        await self.crash.wait()
        raise ValueError("crashed")


@virtual
async def test_one_may_keep_tasks_of_its_own():
    world = World(base=NotOfOneTask)
    async with world.sources() as sources, anyio.create_task_group() as tasks:
        tasks.start_soon(sources.allocate, POOL, request())
    assert (world.book.opened, world.book.closed) == (1, 1)


@virtual
async def test_one_whose_own_task_crashes_is_opened_anew(caplog):
    world = World(base=NotOfOneTask)
    async with world.sources() as sources:
        await sources.allocate(POOL, request())
        await sources.release(POOL, "web/a")
        await anyio.sleep(1)
        assert await sources.allocate(POOL, request("b")) == ips("10.0.0.2")
    assert world.book.opened == 2
    assert "a pool source has ended" in caplog.messages


@virtual
async def test_all_are_closed_when_their_user_is_cancelled():
    world = World()
    world.book.before = lambda verb, _key: anyio.sleep(2 if verb == "close" else 0)
    with anyio.move_on_after(1):
        async with world.sources() as sources:
            await sources.allocate(POOL, request())
            await anyio.sleep_forever()
    assert (world.book.opened, world.book.closed) == (1, 1)
    assert anyio.current_time() == pytest.approx(3, abs=0.1)


@virtual
async def test_one_that_does_not_close_is_left_behind():
    world = World()
    world.book.before = hangs("close")
    async with world.sources() as sources:
        await sources.allocate(POOL, request())
    assert anyio.current_time() == pytest.approx(PATIENCE, abs=0.1)


@virtual
async def test_an_error_of_its_user_is_not_wrapped():
    async def use():
        async with World().sources() as sources:
            await sources.allocate(POOL, request())
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await use()


@virtual
async def test_one_that_is_not_kept_is_closed_when_its_calls_have_ended():
    world = World()
    world.book.before = lambda verb, _key: anyio.sleep(3 if verb == "allocate" else 0)
    async with world.sources() as sources, anyio.create_task_group() as tasks:
        tasks.start_soon(sources.allocate, POOL, request())
        await anyio.sleep(1)
        sources.keep([OTHER])
        await anyio.sleep(1)
        assert world.book.closed == 0
        await anyio.sleep(2)
        assert world.book.closed == 1
    assert world.book.kept == {"web/a": ips("10.0.0.1")}


@virtual
async def test_whoever_still_waits_for_one_that_is_closed_is_told():
    world = World()
    world.book.before = lambda verb, _key: anyio.sleep(8 if verb == "allocate" else 0)
    ends = []

    async def ask(number):
        try:
            await sources.allocate(POOL, request(str(number)))
        except KubeVipError as error:
            ends.append(str(error))

    async with world.sources() as sources, anyio.create_task_group() as tasks:
        for number in range(5 * AT_ONCE):
            tasks.start_soon(ask, number)
        await anyio.sleep(1)
        sources.keep(())
    assert "book was closed meanwhile" in ends
    assert anyio.current_time() < 40


@virtual
async def test_no_more_than_so_many_calls_go_on_at_once():
    world = World()
    going_on, most = 0, 0

    async def count(verb, _key):
        nonlocal going_on, most
        if verb == "release":
            going_on += 1
            most = max(most, going_on)
            await anyio.sleep(1)
            going_on -= 1

    world.book.before = count
    async with world.sources() as sources, anyio.create_task_group() as tasks:
        for number in range(3 * AT_ONCE):
            tasks.start_soon(sources.release, POOL, f"web/{number}")
    assert most == AT_ONCE


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((), "a SingleStack request has to get IPv4 or IPv6, one address each"),
        (ips("10.0.0.1", "10.0.0.2"), "has to get IPv4 or IPv6"),
        (["10.0.0.1"], "'10.0.0.1' has to be an object of the module ipaddress"),
        (None, "it has to be a list or a tuple"),
        (ips("127.0.0.1"), "127.0.0.1 can't be the address of a Service"),
        (ips("::"), ":: can't be"),
        (ips("::ffff:10.0.0.1"), "write 10.0.0.1"),
    ],
)
def test_an_answer_that_cannot_be_used_is_an_error(answer, said):
    @virtual
    async def check():
        world = World()
        world.book.answers["web/a"] = answer
        async with world.sources() as sources:
            with pytest.raises(KubeVipError, match="which can't be used") as caught:
                await sources.allocate(POOL, request())
            assert said in str(caught.value)

    check()


@virtual
async def test_what_each_has_is_known_and_kept_up_to_date():
    world = World()
    async with world.sources() as sources:
        await sources.allocate(POOL, request())
        await sources.allocate(POOL, request("b"))
        assert set(sources.statistics()) <= {"source-web"}
        await anyio.sleep(LOOK_EVERY + 1)
        assert sources.statistics() == {"source-web": Capacity(3, 2)}
        await sources.release(POOL, "web/b")
        await anyio.sleep(LOOK_EVERY + 1)
        assert sources.statistics() == {"source-web": Capacity(3, 1)}


class CannotCount(Good):
    async def capacity(self):
        raise ZeroDivisionError


class CountsOtherwise(Good):
    async def capacity(self):
        return 3


@pytest.mark.parametrize("base", [CannotCount, CountsOtherwise])
def test_one_that_cannot_count_serves_nevertheless(base):
    @virtual
    async def check():
        world = World(base=base)
        async with world.sources() as sources:
            await sources.allocate(POOL, request())
            await anyio.sleep(LOOK_EVERY + 1)
            assert sources.statistics() == {}
            assert await sources.allocate(POOL, request("b")) == ips("10.0.0.2")

    check()
