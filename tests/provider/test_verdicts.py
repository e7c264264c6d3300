"""Whose a Service is, by its class, type and end; what is checked of addresses, and what is recorded."""

import pytest

from kubevip.errors import ConfigError
from kubevip.ipam import DHCP_MARKER, FamilyPolicy
from kubevip.provision.verdict import (
    CLAIM,
    FINALIZER,
    Classes,
    Facts,
    Foreign,
    Lacks,
    Leaving,
    Record,
    Verdict,
    check_static,
    claim_of,
    read_addresses,
    record_of,
    unwanted,
    written,
)
from kubevip.provision.verdict import examine as examine_for
from tests.provider.services import (
    DUAL,
    ONLY_V4,
    ONLY_V6,
    PREFERS_DUAL,
    V4,
    V6,
    ips,
    labelled,
    recorded_as,
    service,
)

POOL = "range-global"
ONE, TWO, NINE = ips("10.0.0.1"), ips("10.0.0.2"), ips("10.0.0.9")
BOTH = ips("10.0.0.1,fd00::1")
CLAIMED = {CLAIM: "other 10.0.0.7"}


def examine(facts: Facts, classes: Classes | None = None) -> Verdict:
    return examine_for(facts, classes or Classes())


# Classes and types


def test_without_a_class_it_is_ours_by_default() -> None:
    assert Classes().include(None)
    assert not Classes().include("example.com/x")


def test_one_of_our_classes_is_ours() -> None:
    classes = Classes(classless=False, names=frozenset({"x", "y"}))
    assert [classes.include(name) for name in ("x", "y", "z", None)] == [True, True, False, False]


def test_of_our_class_it_lacks_an_address() -> None:
    facts = service(load_balancer_class="x")
    assert examine(facts, Classes(classless=False, names=frozenset({"x"}))) == Lacks()


def test_another_class_is_foreign_and_its_addresses_are_in_use() -> None:
    facts = service(text="10.0.0.1", spec="10.0.0.2", load_balancer_class="x", ingress=("10.0.0.9", "name.example.com"))
    verdict = examine(facts)
    assert isinstance(verdict, Foreign)
    assert set(verdict.addresses) == {*ONE, *TWO, *NINE}


def test_what_another_provider_has_given_to_another_class_is_left_alone() -> None:
    assert examine(labelled(text="10.0.0.1", load_balancer_class="x")) == Foreign(ONE)
    assert examine(recorded_as(POOL, "10.0.0.1", load_balancer_class="x")) == Foreign(ONE)


def test_what_a_class_mode_serves_is_left_alone_by_one_for_the_classless_and_the_other_way_round() -> None:
    assert examine(labelled(text="10.0.0.1"), Classes(classless=False, names=frozenset({"x"}))) == Foreign(ONE)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "ExternalName"])
def test_another_type_is_foreign_and_has_nothing(kind: str) -> None:
    assert examine(service(text="10.0.0.1", spec="10.0.0.1", type=kind)) == Foreign()


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_what_we_gave_it_has_to_go_when_its_type_changes_and_is_in_use_until_then(kind: str) -> None:
    facts = recorded_as(POOL, "10.0.0.1,fd00::1", type=kind, ingress=("10.0.0.9",))
    verdict = examine(facts)
    assert isinstance(verdict, Leaving)
    assert set(verdict.addresses) == {*BOTH, *NINE}


def test_what_kube_vip_cloud_provider_gave_it_has_to_go_too() -> None:
    assert examine(labelled(text="10.0.0.1", type="ClusterIP")) == Leaving(ONE)


def test_a_claim_has_to_go_with_the_type() -> None:
    assert examine(service(type="ClusterIP", annotations=CLAIMED)) == Leaving(ips("10.0.0.7"))


def test_the_finalizer_has_to_go_with_the_type_even_where_nothing_else_is_left() -> None:
    assert examine(service(type="ClusterIP", finalizers=(FINALIZER,))) == Leaving()


# Being deleted


def test_with_our_finalizer_it_is_to_be_let_go_and_has_its_addresses_until_then() -> None:
    assert examine(recorded_as(POOL, "10.0.0.1,fd00::1", deleting=True)) == Leaving(BOTH)


def test_with_kube_vip_cloud_providers_finalizer_it_is_to_be_let_go() -> None:
    assert examine(labelled(text="10.0.0.1", deleting=True)) == Leaving(ONE)


def test_with_somebody_elses_finalizer_it_isnt_ours_to_let_go_but_has_its_addresses() -> None:
    facts = recorded_as(POOL, "10.0.0.1", deleting=True, finalizers=("example.com/x",))
    assert examine(facts) == Foreign(ONE)


def test_with_both_finalizers_it_is_to_be_let_go() -> None:
    facts = recorded_as(POOL, "10.0.0.1", deleting=True, finalizers=("example.com/x", FINALIZER))
    assert examine(facts) == Leaving(ONE)


def test_pending_since_kube_vip_cloud_provider_it_has_the_finalizer_alone_and_is_to_be_let_go() -> None:
    assert examine(service(deleting=True, finalizers=(FINALIZER,))) == Leaving()


def test_without_marks_and_of_another_class_the_finalizer_is_somebody_elses() -> None:
    facts = service(deleting=True, finalizers=(FINALIZER,), load_balancer_class="x")
    assert examine(facts) == Foreign()


def test_of_another_class_with_our_marks_the_finalizer_may_be_ours() -> None:
    assert examine(recorded_as(POOL, "10.0.0.1", deleting=True, load_balancer_class="x")) == Leaving(ONE)


def test_after_its_type_has_changed_too_it_is_to_be_let_go() -> None:
    assert examine(recorded_as(POOL, "10.0.0.1", deleting=True, type="ClusterIP")) == Leaving(ONE)


def test_garbage_doesnt_keep_it() -> None:
    assert examine(recorded_as(POOL, "10.0.0.1", text="rubbish", deleting=True)) == Leaving(ONE)


# Addresses that users write


@pytest.mark.parametrize("text", ["224.0.0.1", "ff02::1", "127.0.0.1", "::1", "::"])
def test_what_cant_be_the_address_of_a_service_is_named(text: str) -> None:
    problem = f"{text} can't be the address of a Service: write a unicast address of your network"
    assert check_static(service(), ips(text)) == (problem,)


def test_the_wrong_family_is_named() -> None:
    problem = "fd00::1 is an IPv6 address, and the Service is for IPv4 alone"
    assert check_static(service(**ONLY_V4), BOTH) == (problem,)


@pytest.mark.parametrize("stack", [{}, DUAL, PREFERS_DUAL])
def test_any_family_is_right_where_none_is_asked_for_or_both_are(stack: dict[str, object]) -> None:
    assert check_static(service(**stack), BOTH) == ()


@pytest.mark.parametrize("stack", [ONLY_V4, ONLY_V6, {}])
def test_the_dhcp_marker_is_right_for_all(stack: dict[str, object]) -> None:
    assert check_static(service(**stack), (DHCP_MARKER,)) == ()


# Families


@pytest.mark.parametrize(("stack", "trimmed"), [(ONLY_V4, "fd00::1"), (ONLY_V6, "10.0.0.1"), ({}, "fd00::1")])
def test_a_single_stack_keeps_its_first_family(stack: dict[str, object], trimmed: str) -> None:
    assert unwanted(service(**stack), BOTH) == ips(trimmed)


@pytest.mark.parametrize("stack", [DUAL, PREFERS_DUAL])
def test_two_families_keep_both(stack: dict[str, object]) -> None:
    assert unwanted(service(**stack), BOTH) == ()


def test_nothing_is_left_without_an_address() -> None:
    assert unwanted(service(**ONLY_V6), ONE) == ()
    assert unwanted(service(**ONLY_V6), ips("10.0.0.1,10.0.0.2")) == ()


def test_of_one_family_the_first_is_kept() -> None:
    assert unwanted(service(**ONLY_V4), ips("10.0.0.1,10.0.0.2,fd00::1")) == ips("10.0.0.2,fd00::1")


# The record, and claims


@pytest.mark.parametrize("text", ["range-global 10.0.0.1", "annotation 10.0.0.1,fd00::1", "spec 0.0.0.0"])
def test_it_is_written_as_it_is_read(text: str) -> None:
    assert str(Record.parse(text)) == text


def test_an_edit_of_it_is_read_from_the_service() -> None:
    assert record_of(recorded_as(POOL, "10.0.0.1")) == Record(POOL, ONE)
    assert record_of(service()) is None


def test_static_is_what_a_user_wrote() -> None:
    assert [Record(origin, ONE).is_static for origin in ("annotation", "spec", POOL)] == [True, True, False]


def test_a_claim_names_the_provider() -> None:
    assert claim_of(service(annotations=CLAIMED)) == Record("other", ips("10.0.0.7"))


# Facts


def test_what_it_says_to_have_is_what_is_written_in_both_places() -> None:
    assert written(service(text="10.0.0.1,rubbish", spec="10.0.0.9")) == (*ONE, *NINE)
    assert written(recorded_as(POOL, "10.0.0.1", text=None, spec="")) == ()


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("9", "10", True),
        ("10", "9", False),
        ("9", "9", False),
        ("", "9", False),
        ("9", "", False),
        ("a", "b", False),
    ],
)
def test_versions_are_compared_as_numbers(one: str, other: str, older: bool) -> None:
    assert service(version=one).precedes(service(version=other)) is older


def test_it_asks_for_the_first_of_its_families() -> None:
    facts = service("x/y", families=(V6, V4), policy=FamilyPolicy.PREFER_DUAL, local=True, selector=(("a", "b"),))
    request = facts.request
    assert (request.key, request.namespace, request.family) == ("x/y", "x", V6)
    assert (request.policy, request.local, request.selector) == (facts.policy, True, facts.selector)


def test_every_bad_element_of_a_list_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read_addresses("x, 10.0.0.1, y")
    assert len(caught.value.problems) == 2
