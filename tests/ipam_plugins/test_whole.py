"""The whole path, from a Service to another IPAM and back, in virtual time."""

import anyio
import msgspec
import pytest

from kubevip.controllers.sources import LOOK_EVERY, PATIENCE
from kubevip.errors import KubeVipError
from kubevip.kube.provided import Node
from kubevip.provider_metrics import provider_metrics
from kubevip.provider_statistics import ProviderStatistics
from kubevip.provision.verdict import Condition
from kubevip.source import Capacity
from kubevip.testing import virtual
from tests.ipam_plugins.cluster import Cluster
from tests.ipam_plugins.ipams import Book, at_once, ips, registry, source

POOL = ips("10.0.0.1", "10.0.0.2", "10.0.0.3")
WEB = {"source-default": "book"}

each_order = pytest.mark.parametrize("early", [True, False], ids=["watch first", "answer first"])


def world(*pool: str, data=WEB, **options):
    book = Book(ips(*pool) if pool else POOL)
    return book, Cluster(registry(book=source(book)), data, **options)


@virtual
async def test_a_service_gets_what_its_ipam_gives():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["10.0.0.1"]
        assert cluster.record("a") == "source-default 10.0.0.1"
        assert book.kept == {"default/a": ips("10.0.0.1")}


@each_order
def test_an_address_goes_back_when_its_service_is_deleted(early):
    @virtual
    async def check():
        book, cluster = world(early=early)
        async with cluster.provider():
            cluster.create("a")
            await cluster.until_addressed("a")
            cluster.delete("a")
            await cluster.until(lambda: not book.kept)
            assert book.verbs("default/a") == ["allocate", "release"]

    check()


@each_order
def test_an_address_goes_back_when_its_service_changes_its_type(early):
    @virtual
    async def check():
        book, cluster = world(early=early)
        async with cluster.provider():
            cluster.create("a")
            await cluster.until_addressed("a")
            cluster.edit("a", type="ClusterIP")
            await cluster.until(lambda: not book.kept)
            assert cluster.address("a") == ""

    check()


@each_order
def test_a_service_that_is_made_anew_keeps_what_it_is_given(early):
    @virtual
    async def check():
        book, cluster = world(early=early)
        async with cluster.provider():
            cluster.create("a")
            await cluster.until_addressed("a")
            cluster.delete("a")
            await cluster.until(lambda: not cluster.objects)
            cluster.create("a")
            address = await cluster.until_addressed("a")
            await anyio.sleep(5)
            assert [cluster.address("a")] == address
            assert book.kept == {"default/a": ips(*address)}

    check()


@each_order
def test_a_family_that_is_not_wanted_any_more_goes_back(early):
    @virtual
    async def check():
        book, cluster = world("10.0.0.1", "fd00::1", early=early)
        async with cluster.provider():
            cluster.create("a", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
            assert await cluster.until_addressed("a") == ["10.0.0.1,fd00::1"]
            cluster.edit("a", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
            await cluster.until(lambda: book.kept == {"default/a": ips("10.0.0.1")})
            assert cluster.address("a") == "10.0.0.1"

    check()


@virtual
async def test_a_family_that_is_wanted_too_is_added():
    book, cluster = world("10.0.0.1", "fd00::1")
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.edit("a", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
        await cluster.until(lambda: cluster.address("a") == "10.0.0.1,fd00::1")
        assert book.kept == {"default/a": ips("10.0.0.1", "fd00::1")}


@virtual
async def test_what_is_in_use_already_is_given_back_and_the_next_one_taken():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("static", loadBalancerIP="10.0.0.1")
        await cluster.until_addressed("static")
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["10.0.0.2"]
        assert "book gives 10.0.0.1, which is in use already" in cluster.told("a")
        # It knows now, and will until the static one is gone.
        assert book.kept == {"default/static": ips("10.0.0.1"), "default/a": ips("10.0.0.2")}
        cluster.delete("static")
        await cluster.until(lambda: list(book.kept) == ["default/a"])


@virtual
async def test_many_addresses_that_are_in_use_already_are_found_out_at_once():
    _book, cluster = world(*(f"10.0.0.{number}" for number in range(1, 32)))
    async with cluster.provider():
        for number in range(1, 31):
            cluster.create(f"static-{number}", loadBalancerIP=f"10.0.0.{number}")
        await cluster.until_addressed(*(f"static-{number}" for number in range(1, 31)))
        cluster.create("a")
        began = anyio.current_time()
        assert await cluster.until_addressed("a") == ["10.0.0.31"]
        assert anyio.current_time() - began < 2


@virtual
async def test_an_ipam_that_does_not_learn_is_asked_later_and_later():
    book, cluster = world("10.0.0.1")

    async def forget(verb: str, key: str) -> None:
        book.kept.pop("default/static", None)

    book.before = forget
    async with cluster.provider():
        cluster.create("static", loadBalancerIP="10.0.0.1")
        await cluster.until_addressed("static")
        cluster.create("a")
        await anyio.sleep(60)
        assert cluster.address("a") == ""
        assert 4 < book.verbs("default/a").count("allocate") < 12


@virtual
async def test_after_a_restart_all_is_adopted_before_anything_is_allocated():
    book, cluster = world()
    async with cluster.provider():
        for name in "ab":
            cluster.create(name)
        await cluster.until_addressed("a", "b")
    book.kept.clear()
    book.calls.clear()
    cluster.create("c")
    async with cluster.provider():
        assert await cluster.until_addressed("c") == ["10.0.0.3"]
    about = [(verb, key) for verb, key, *_ in book.calls if key]
    assert sorted(about[:2]) == [("adopt", "default/a"), ("adopt", "default/b")]
    assert about[2:] == [("allocate", "default/c")]


@virtual
async def test_nothing_is_renumbered_by_a_restart():
    _book, cluster = world()
    async with cluster.provider():
        for name in "abc":
            cluster.create(name)
        before = await cluster.until_addressed("a", "b", "c")
        cluster.delete("a")
        await cluster.until(lambda: len(cluster.objects) == 2)
    async with cluster.provider():
        cluster.create("d")
        await cluster.until_addressed("d")
        assert [cluster.address(name) for name in "bc"] == before[1:]


def leave(cluster: Cluster, change: str) -> None:
    """Let Service ``a`` need no address any more."""
    if change == "delete":
        cluster.delete("a")
    else:
        cluster.edit("a", type="ClusterIP")


@pytest.mark.parametrize("change", ["delete", "retype"])
def test_what_was_allocated_for_a_service_that_needs_none_by_then_goes_back(change):
    @virtual
    async def check():
        book, cluster = world()

        async def wait(verb: str, key: str) -> None:
            if verb == "allocate":
                await anyio.sleep(3)

        book.before = wait
        async with cluster.provider():
            cluster.create("a")
            await anyio.sleep(1)
            leave(cluster, change)
            await cluster.until(lambda: book.verbs("default/a") == ["allocate", "release"])
            assert not book.kept
            assert change == "delete" or cluster.address("a") == ""

    check()


@pytest.mark.parametrize("change", ["delete", "retype"])
def test_what_may_have_been_allocated_by_a_call_that_failed_goes_back(change):
    @virtual
    async def check():
        book, cluster = world()

        async def fail_after_all(verb: str, key: str) -> None:
            if verb == "allocate":
                book.kept[key] = ips("10.0.0.2")
                raise KubeVipError("the answer is lost")

        book.before = fail_after_all
        async with cluster.provider():
            cluster.create("a")
            await cluster.until(lambda: "the answer is lost" in cluster.told("a"))
            assert book.kept
            leave(cluster, change)
            await cluster.until(lambda: not book.kept)

    check()


@virtual
async def test_what_an_ipam_does_not_take_back_now_it_takes_later():
    book, cluster = world()

    async def refuse(verb: str, key: str) -> None:
        if verb == "release" and anyio.current_time() < 40:
            raise KubeVipError("not now")

    book.before = refuse
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.delete("a")
        await cluster.until(lambda: not cluster.objects)
        assert anyio.current_time() < 1, "the finalizer waits for no IPAM"
        await cluster.until(lambda: not book.kept)
        assert book.verbs("default/a").count("release") < 10


@virtual
async def test_an_ipam_that_hangs_keeps_nobody_else_waiting():
    data = {**WEB, "range-plain": "10.9.0.1-10.9.0.9", "source-well": "well"}
    stuck, well = Book(POOL), Book(POOL)
    stuck.before = lambda _verb, _key: anyio.sleep_forever()
    cluster = Cluster(registry(book=source(stuck), well=source(well)), data, workers=2)
    async with cluster.provider():
        for number in range(20):
            cluster.create(f"stuck-{number}")
        await anyio.sleep(0.5)
        began = anyio.current_time()
        cluster.create("plain/a")
        cluster.create("well/a")
        await cluster.until_addressed("plain/a", "well/a")
        assert anyio.current_time() - began < 1
        await cluster.until(lambda: "book has not answered within 10 s" in cluster.told("stuck-0"))


@virtual
async def test_an_ipam_that_hangs_keeps_no_service_from_being_deleted():
    names = [f"s{number}" for number in range(40)]
    book, cluster = world(*(f"10.0.0.{number}" for number in range(1, 50)))
    async with cluster.provider():
        for name in names:
            cluster.create(name)
        await cluster.until_addressed(*names)
        book.before = lambda _verb, _key: anyio.sleep_forever()
        for name in names:
            cluster.delete(name)
        began = anyio.current_time()
        await cluster.until(lambda: not cluster.objects)
        assert anyio.current_time() - began < 11
        book.before = at_once
        await cluster.until(lambda: not book.kept)


@virtual
async def test_a_failure_is_told_and_tried_again():
    book, cluster = world()

    async def fail(verb: str, key: str) -> None:
        if anyio.current_time() < 3:
            raise KubeVipError("no route to the IPAM")

    book.before = fail
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        assert "SyncLoadBalancerFailed: Error syncing load balancer: source-default: no route" in cluster.told("a")


@pytest.mark.parametrize(
    "answer",
    [(), None, "10.0.0.1", ["10.0.0.1"], ips("10.0.0.1", "10.0.0.2"), ips("fd00::1"), ips("224.0.0.1")],
    ids=str,
)
def test_an_answer_that_is_none_is_told_and_the_others_are_served(answer):
    @virtual
    async def check():
        book, cluster = world()
        book.answers["default/bad"] = answer
        async with cluster.provider():
            cluster.create("bad")
            cluster.create("a")
            assert await cluster.until_addressed("a") == ["10.0.0.1"]
            await cluster.until(lambda: "which can't be used" in cluster.told("bad"))
            assert cluster.address("bad") == ""

    check()


@virtual
async def test_an_edited_pool_is_opened_anew_and_the_old_one_closed():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.configure({"source-default": "book other"})
        cluster.create("b")
        await cluster.until_addressed("b")
        await cluster.until(lambda: (book.opened, book.closed) == (2, 1))
        assert cluster.address("a") == "10.0.0.1"


@virtual
async def test_an_address_goes_back_to_a_pool_that_is_not_configured_any_more():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.configure({"range-default": "10.9.0.1-10.9.0.9"})
        cluster.delete("a")
        await cluster.until(lambda: not book.kept)


@virtual
async def test_a_service_that_its_user_makes_static_keeps_what_its_ipam_gave():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.annotate("a", **{"kubevip.io/assigned": "annotation 10.0.0.1"})
        await anyio.sleep(5)
        assert book.kept == {"default/a": ips("10.0.0.1")}
        cluster.delete("a")
        await cluster.until(lambda: not book.kept)


@virtual
async def test_a_source_that_is_not_installed_is_named_in_the_event():
    from kubevip.registry import SourceRegistry

    cluster = Cluster(SourceRegistry([]), WEB)
    async with cluster.provider():
        cluster.create("a")
        await cluster.until(lambda: cluster.events)
        assert "source-default: no pool source 'book' is installed; there are: none" in cluster.told("a")


@virtual
async def test_the_bundled_source_serves_a_thousand():
    from kubevip.ranges import Ranges

    cluster = Cluster(registry(ranges=Ranges), {"source-default": "ranges 10.0.0.0/16"}, workers=16)
    names = [f"s{number}" for number in range(1000)]
    async with cluster.provider():
        for name in names:
            cluster.create(name)
        found = await cluster.until_addressed(*names)
        assert len(set(found)) == 1000


@virtual
async def test_an_address_goes_back_after_a_restart_too():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
    async with cluster.provider():
        cluster.vanish("a")
        await cluster.until(lambda: not book.kept)


@virtual
async def test_nothing_is_allocated_for_a_service_while_its_last_address_goes_back():
    book, cluster = world()
    book.before = lambda verb, _key: anyio.sleep(3 if verb == "release" else 0)
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        cluster.edit("a", type="ClusterIP")
        await cluster.until(lambda: "release" in book.verbs("default/a"))
        cluster.edit("a", type="LoadBalancer")
        await cluster.until_addressed("a")
        await anyio.sleep(5)
        assert book.verbs("default/a") == ["allocate", "release", "allocate"]
        assert book.kept == {"default/a": ips(cluster.address("a"))}


@virtual
async def test_a_service_whose_families_change_meanwhile_gets_those():
    book, cluster = world("10.0.0.1", "fd00::1")
    book.before = lambda verb, _key: anyio.sleep(3 if verb == "allocate" else 0)
    async with cluster.provider():
        cluster.create("a")
        await anyio.sleep(1)
        cluster.edit("a", ipFamilies=["IPv6"])
        assert await cluster.until_addressed("a") == ["fd00::1"]
        await anyio.sleep(5)
        assert book.kept == {"default/a": ips("fd00::1")}


@virtual
async def test_a_service_whose_pool_changes_meanwhile_is_served_from_the_new_one():
    stuck, well = Book(POOL), Book(POOL)
    stuck.before = lambda _verb, _key: anyio.sleep_forever()
    cluster = Cluster(registry(book=source(stuck), well=source(well)), WEB)
    async with cluster.provider():
        cluster.create("a")
        # By now the pauses between two attempts are long.
        await anyio.sleep(65)
        calls = len(stuck.calls)
        await cluster.until(lambda: len(stuck.calls) > calls)
        cluster.configure({"source-default": "well"})
        began = anyio.current_time()
        await cluster.until_addressed("a")
        assert anyio.current_time() - began < PATIENCE + 1


@virtual
async def test_what_a_pool_gives_that_is_not_asked_any_more_goes_back():
    slow, stuck = Book(POOL), Book(POOL)
    slow.before = lambda verb, _key: anyio.sleep(3 if verb == "allocate" else 0)
    stuck.before = lambda _verb, _key: anyio.sleep_forever()
    cluster = Cluster(registry(book=source(slow), stuck=source(stuck)), WEB)
    async with cluster.provider():
        cluster.create("a")
        await anyio.sleep(1)
        cluster.configure({"source-default": "stuck"})
        await cluster.until(lambda: slow.verbs("default/a") == ["allocate", "release"])


@virtual
async def test_an_address_goes_back_before_its_service_is_gone_each_time():
    book, cluster = world()
    book.before = lambda verb, _key: anyio.sleep(3 if verb == "release" else 0)
    async with cluster.provider():
        for _ in range(2):
            cluster.create("a")
            await cluster.until_addressed("a")
            cluster.delete("a")
            await cluster.until(lambda: not cluster.objects)
            assert not book.kept


@virtual
async def test_nothing_is_told_of_a_service_that_is_gone():
    book, cluster = world()

    async def fail(verb: str, key: str) -> None:
        await anyio.sleep(1)
        raise KubeVipError("no route")

    async with cluster.provider():
        book.before = fail
        cluster.create("a")
        await anyio.sleep(0.5)
        cluster.delete("a")
        await anyio.sleep(5)
        assert cluster.told("a") == ""


@virtual
async def test_what_went_back_is_not_told_again_while_somebody_else_keeps_the_service():
    book, cluster = world()
    async with cluster.provider():
        cluster.create("a", finalizers=["example.com/wait"])
        await cluster.until_addressed("a")
        cluster.delete("a")
        await cluster.until(lambda: not book.kept)
        cluster.annotate("a", note="still here")
        await anyio.sleep(5)
        assert book.verbs("default/a") == ["allocate", "release"]


@virtual
async def test_of_several_that_share_an_address_the_ipam_is_told_one():
    data = {**WEB, "allow-share-default": "true"}
    book, cluster = world(data=data)
    async with cluster.provider():
        for number in (1, 2):
            cluster.create(f"static-{number}", loadBalancerIP="10.0.0.1", ports=[{"port": number}])
        await cluster.until_addressed("static-1", "static-2")
        cluster.create("a", ports=[{"port": 3}], externalTrafficPolicy="Local")
        assert await cluster.until_addressed("a") == ["10.0.0.2"]
        await anyio.sleep(5)
        assert [key for verb, key, *_ in book.calls if verb == "adopt"] == ["default/static-1"]


@virtual
async def test_a_node_that_has_the_address_too_is_told_to_no_ipam():
    book, cluster = world()
    async with cluster.provider():
        node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
        cluster.work.node_applied(msgspec.convert(node, Node))
        cluster.create("static", loadBalancerIP="10.0.0.1")
        await cluster.until_addressed("static")
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["10.0.0.2"]
        assert book.kept["default/static"] == ips("10.0.0.1")


@virtual
async def test_the_marker_that_asks_for_dhcp_is_nothing_to_give_back():
    book, cluster = world()
    book.answers["default/a"] = ips("0.0.0.0")
    async with cluster.provider():
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["0.0.0.0"]
        await anyio.sleep(5)
        assert book.verbs("default/a") == ["allocate"]


# What is refused


@virtual
async def test_a_refusal_is_told_in_the_status_and_counted_and_taken_back():
    book, cluster = world("10.0.0.1")
    async with cluster.provider():
        cluster.create("first")
        await cluster.until_addressed("first")
        cluster.create("a")
        await cluster.until(lambda: cluster.condition("a"))
        text = "source-default: the book is full"
        assert cluster.condition("a") == Condition(False, "AddressPoolExhausted", text)
        asked = book.verbs("default/a").count("allocate")
        assert cluster.accounts.statistics().failures == {"AddressPoolExhausted": asked}
        cluster.delete("first")
        assert await cluster.until_addressed("a") == ["10.0.0.1"]
        await cluster.until(lambda: cluster.condition("a").status)


@virtual
async def test_a_refusal_is_not_asked_about_again_because_it_was_told():
    book, cluster = world("10.0.0.1")
    async with cluster.provider():
        cluster.create("first")
        await cluster.until_addressed("first")
        cluster.create("a")
        await anyio.sleep(0.4)
        assert cluster.condition("a") is not None
        assert book.verbs("default/a") == ["allocate"]


@virtual
async def test_a_service_that_asks_for_something_else_is_asked_for_at_once():
    _book, cluster = world("10.0.0.1", "fd00::1")
    async with cluster.provider():
        cluster.create("first")
        await cluster.until_addressed("first")
        cluster.create("a")
        await cluster.until(lambda: cluster.condition("a"))
        began = anyio.current_time()
        cluster.edit("a", ipFamilies=["IPv6"])
        assert await cluster.until_addressed("a") == ["fd00::1"]
        assert anyio.current_time() - began < 0.1


@virtual
async def test_the_next_pool_serves_when_an_ipam_has_none_left():
    both = {"source-default": "book", "range-global": "10.1.0.1-10.1.0.1", "fallback-default": "true"}
    book, cluster = world("10.0.0.1", data=both)
    async with cluster.provider():
        cluster.create("first")
        await cluster.until_addressed("first")
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["10.1.0.1"]
        assert cluster.record("a") == "range-global 10.1.0.1"
        assert list(book.kept) == ["default/first"]


@virtual
async def test_all_pools_that_have_none_left_are_named_and_the_ipam_is_asked_again():
    both = {"source-default": "book", "range-global": "10.1.0.1-10.1.0.1", "fallback-default": "true"}
    _book, cluster = world("10.0.0.1", data=both)
    async with cluster.provider():
        for name in ("first", "second"):
            cluster.create(name)
            await cluster.until_addressed(name)
        cluster.create("a")
        await cluster.until(lambda: cluster.condition("a"))
        told = cluster.condition("a").message
        assert told == "source-default: the book is full; no addresses available in range-global [10.1.0.1/32]"
        cluster.delete("first")
        assert await cluster.until_addressed("a") == ["10.0.0.1"]


@virtual
async def test_an_ipam_that_does_not_answer_is_not_passed_over():
    both = {"source-default": "book", "range-global": "10.1.0.1-10.1.0.1", "fallback-default": "true"}
    book, cluster = world("10.0.0.1", data=both)

    async def fail(verb: str, key: str) -> None:
        if anyio.current_time() < 3:
            raise KubeVipError("no route to the IPAM")

    book.before = fail
    async with cluster.provider():
        cluster.create("a")
        assert await cluster.until_addressed("a") == ["10.0.0.1"]


@virtual
async def test_an_address_of_a_node_is_refused():
    book, cluster = world("10.0.0.1", "10.0.0.2")
    async with cluster.provider():
        node = {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
        cluster.work.node_applied(msgspec.convert(node, Node))
        cluster.create("a")
        await cluster.until(lambda: "gives 10.0.0.1, which is in use already" in cluster.told("a"))
        assert cluster.address("a") == ""
        book.pool = ips("10.0.0.2")
        assert await cluster.until_addressed("a") == ["10.0.0.2"]


@virtual
async def test_what_an_ipam_has_is_among_the_metrics():
    _book, cluster = world("10.0.0.1", "10.0.0.2")
    async with cluster.provider():
        cluster.create("a")
        await cluster.until_addressed("a")
        await anyio.sleep(LOOK_EVERY)
        told = cluster.sources.statistics()
        assert told == {"source-default": Capacity(2, 1)}
        now = ProviderStatistics(
            name="p", time=0, electors=(), accounts=cluster.accounts.statistics(), reflectors={}, sources=told
        )
        found = {metric.name: metric.samples for metric in provider_metrics(now)}
        for name, value in (("size", 2), ("used", 1), ("free", 1)):
            (sample,) = found[f"kubevip_pool_{name}"]
            assert (sample.labels, sample.value) == ({"pool": "source-default", "family": ""}, value)
