"""Services that are made from another one's manifest: they carry its marks, and are somebody else."""

import attrs
import pytest

from kubevip.provision.verdict import RECORD, Classes, Facts, Has, Lacks, examine, record_of
from kubevip.service import INTERFACE
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import DUAL, ips, note, service

STATIC = {"range-global": "10.0.0.5-10.0.0.9"}


def copy(desk: Desk, name: str, onto: str) -> Facts:
    """Return what ``kubectl get -o yaml``, another name and ``kubectl create`` make of a Service."""
    return attrs.evolve(desk.service(name), key=key_of(onto), uid="", version="", finalizers=())


def test_a_record_is_of_one_service_alone() -> None:
    desk = serve(GLOBAL, "a")
    facts = desk.service("a")
    assert record_of(facts) is not None
    assert record_of(attrs.evolve(facts, uid="another")) is None


def test_a_record_that_says_nothing_of_whose_it_is_is_believed() -> None:
    facts = service("a", text="10.0.0.1", annotations={RECORD: "range-global 10.0.0.1"}, uid="x")
    assert examine(facts, Classes()) == Has(ips("10.0.0.1"), "range-global", settled=True)


def test_a_copy_of_what_a_pool_gave_gets_an_address_of_its_own() -> None:
    desk = serve(GLOBAL, "a")
    desk.serve(copy(desk, "a", "b"))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert note(desk.service("b")) == "range-global 10.0.0.2"


def test_a_copy_into_another_namespace_gets_an_address_of_that_ones_pool() -> None:
    desk = serve({**GLOBAL, "range-web": "10.1.0.1-10.1.0.9"}, "a")
    desk.serve(copy(desk, "a", "web/a"))
    assert desk.all() == {"a": "10.0.0.1", "web/a": "10.1.0.1"}


def test_a_service_that_is_made_anew_keeps_the_address_that_it_had() -> None:
    desk = serve(GLOBAL, "a", "b")
    again = copy(desk, "b", "b")
    desk.delete("b")
    desk.work()
    desk.serve(again)
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert note(desk.service("b")) == "range-global 10.0.0.2"


def test_a_copy_that_finds_nothing_free_says_to_have_nothing() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.1"}, "a")
    desk.serve(copy(desk, "a", "b"))
    assert desk.all() == {"a": "10.0.0.1", "b": ""}
    assert "no addresses available" in desk.waiting("b")


def test_a_copy_in_a_cluster_with_other_pools_gets_an_address_of_those() -> None:
    copied = copy(serve(GLOBAL, "a"), "a", "a")
    elsewhere = serve({"range-global": "10.9.0.1-10.9.0.9"}, "first", copied)
    assert elsewhere.all() == {"first": "10.9.0.1", "a": "10.9.0.2"}


@pytest.mark.parametrize("place", [{"text": "10.0.0.7"}, {"spec": "10.0.0.7"}])
def test_a_copy_of_what_a_user_wrote_is_refused_while_the_first_one_has_it(place: dict[str, str]) -> None:
    desk = serve(STATIC, service("a", **place))
    desk.serve(copy(desk, "a", "b"))
    assert desk.has("a") == "10.0.0.7"
    assert "10.0.0.7 is in use by default/a" in desk.waiting("b")


def test_an_address_that_was_edited_into_a_copy_is_its_users() -> None:
    desk = serve(GLOBAL, "a")
    copied = copy(desk, "a", "b")
    desk.serve(attrs.evolve(copied, annotations={**copied.annotations, "kube-vip.io/loadbalancerIPs": "10.0.0.9"}))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.9"}
    assert note(desk.service("b")) == "annotation 10.0.0.9"


def test_a_copy_of_two_families_gets_two() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}, service("a", **DUAL))
    desk.serve(copy(desk, "a", "b"))
    assert desk.has("b") == "10.0.0.2,fd00::2"


def test_a_copy_without_addresses_lacks_one() -> None:
    copied = copy(serve(GLOBAL, "a"), "a", "b")
    bare = attrs.evolve(copied, uid="x", annotations={RECORD: copied.annotations[RECORD]}, load_balancer_ip="")
    assert examine(bare, Classes()) == Lacks()


def test_two_copies_of_one_that_is_gone_get_different_addresses() -> None:
    desk = serve(GLOBAL, "a", "z")
    one, other = copy(desk, "z", "b"), copy(desk, "z", "c")
    desk.delete("z")
    desk.create(one, other)
    desk.work()
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


# The interface that goes with a pool


def test_an_interface_that_is_configured_later_moves_nobody() -> None:
    desk = serve(GLOBAL, "a")
    desk.configure({**GLOBAL, "interface-global": "eth1"})
    desk.edit("a", labels={**desk.service("a").labels, "tier": "web"})
    desk.serve(service("b"))
    assert [INTERFACE in desk.service(name).annotations for name in "ab"] == [False, True]


def test_the_interface_goes_with_the_address() -> None:
    desk = serve({**GLOBAL, "interface-global": "eth1"}, "a")
    desk.edit("a", type="ClusterIP")
    desk.work()
    assert desk.service("a").annotations == {}


def test_an_interface_that_a_user_has_edited_stays() -> None:
    desk = serve({**GLOBAL, "interface-global": "eth1"}, "a")
    desk.edit("a", annotations={**desk.service("a").annotations, INTERFACE: "eth7"})
    desk.work()
    desk.edit("a", type="ClusterIP")
    desk.work()
    assert desk.service("a").annotations == {INTERFACE: "eth7"}


def test_an_address_that_a_user_wrote_gets_the_interface_too() -> None:
    desk = serve({**STATIC, "interface-global": "eth1"}, service("a", text="10.0.0.7"))
    assert desk.service("a").annotations[INTERFACE] == "eth1"
