"""Addresses that users write: checked, used wherever they are, and never anybody else's at the same time."""

import itertools

import pytest

from kubevip.provision.verdict import FINALIZER, LABEL, LABELLED, RECORD, Facts
from tests.provider.desk import GLOBAL, Desk, serve
from tests.provider.services import DUAL, ONLY_V4, service

DUAL_POOL = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}
PLACES = ("annotation", "spec")


# Written at the start


@pytest.mark.parametrize("wish", [{"text": "10.0.0.2"}, {"spec": "10.0.0.2"}, {"text": "10.0.0.2", "spec": "10.0.0.2"}])
def test_a_users_address_is_taken_over_into_both_places(wish: dict[str, str]) -> None:
    desk = serve(GLOBAL, service("a", **wish))
    assert desk.has("a") == "10.0.0.2"
    assert desk.service("a").labels == {LABEL: LABELLED}
    assert desk.service("a").finalizers == (FINALIZER,)


def test_it_is_told_who_asked_for_it() -> None:
    desk = serve(GLOBAL, service("a", text="10.0.0.2"), service("b", spec="10.0.0.3"))
    assert desk.told("a") == "Ensured load balancer: 10.0.0.2, as its annotation asks"
    assert desk.told("b") == "Ensured load balancer: 10.0.0.3, as its spec asks"


def test_a_users_address_isnt_given_to_others_even_before_it_is_settled() -> None:
    desk = Desk()
    desk.create(service("a"), service("z", spec="10.0.0.1"))
    desk.see()
    decision = desk.decide("a")
    assert decision is not None
    assert str(decision.addresses[0]) == "10.0.0.2"


def test_outside_of_all_pools_it_is_used_with_a_warning() -> None:
    desk = serve(GLOBAL, service("a", spec="192.0.2.1"))
    assert desk.has("a") == "192.0.2.1"
    assert [(note.warning, note.reason) for note in desk.notes["a"]] == [
        (False, "EnsuredLoadBalancer"),
        (True, "AddressOutsidePools"),
    ]
    assert desk.told("a") == "192.0.2.1 is outside of every pool of namespace default; it is used nevertheless"


@pytest.mark.parametrize("data", [None, {}, {"range-global": "nonsense"}])
def test_without_a_pool_it_is_used_all_the_same(data: dict[str, str] | None) -> None:
    assert serve(data, service("a", spec="10.0.0.1")).has("a") == "10.0.0.1"


def test_the_warning_comes_once() -> None:
    desk = serve(GLOBAL, service("a", spec="192.0.2.1"))
    desk.restart()
    desk.work()
    assert desk.reasons("a").count("AddressOutsidePools") == 1


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (service("a", spec="nonsense"), "'nonsense' is not an IP address"),
        (service("a", spec="224.0.0.1"), "224.0.0.1 can't be the address of a Service"),
        (service("a", text="fd00::1", **ONLY_V4), "fd00::1 is an IPv6 address, and the Service is for IPv4 alone"),
        (service("a", text="10.0.0.1,x,y"), "'x' is not an IP address"),
    ],
)
def test_what_cant_be_used_is_refused_and_named(facts: Facts, problem: str) -> None:
    desk = serve(GLOBAL, facts)
    assert desk.waiting("a").startswith(problem)
    assert desk.reasons("a") == ["AddressRefused"]
    assert desk.writes == 0


def test_two_families_are_taken_over() -> None:
    assert serve(DUAL_POOL, service("a", text="10.0.0.2,fd00::2", **DUAL)).has("a") == "10.0.0.2,fd00::2"


# Taken


@pytest.mark.parametrize("place", PLACES)
def test_what_somebody_has_is_refused_and_said_who(place: str) -> None:
    desk = serve(GLOBAL, "a", service("b", **{"text" if place == "annotation" else "spec": "10.0.0.1"}))
    assert desk.waiting("b") == "10.0.0.1 is in use by default/a"
    assert RECORD not in desk.service("b").annotations


def test_it_is_served_when_the_holder_goes() -> None:
    desk = serve(GLOBAL, "a", service("b", spec="10.0.0.1"))
    desk.delete("a")
    desk.work()
    assert desk.has("b") == "10.0.0.1"


def test_who_had_it_first_is_not_bothered() -> None:
    desk = serve(GLOBAL, "z", service("a", spec="10.0.0.1"))
    desk.edit("z", labels={**desk.service("z").labels, "tier": "web"})
    desk.work()
    assert desk.reasons("z") == ["EnsuredLoadBalancer"]


@pytest.mark.parametrize("order", [*itertools.permutations("abc")])
def test_of_those_that_write_the_same_the_first_by_name_gets_it(order: tuple[str, ...]) -> None:
    desk = Desk()
    desk.create(*(service(name, spec="10.0.0.2") for name in order))
    desk.work()
    assert desk.has("a") == "10.0.0.2"
    assert [RECORD in desk.service(name).annotations for name in "bc"] == [False, False]
    assert desk.waiting("b").startswith("10.0.0.2 is in use by default/a")
    desk.delete("a")
    desk.work()
    assert desk.has("b") == "10.0.0.2"


def test_the_first_by_name_doesnt_get_what_is_being_written_for_another() -> None:
    desk = Desk()
    desk.create(service("b", spec="10.0.0.2"))
    desk.see()
    decision = desk.decide("b")
    desk.create(service("a", spec="10.0.0.2"))
    desk.see()
    late = desk.decide("a")
    assert late is not None
    assert late.waiting == "10.0.0.2 is in use by default/b"
    desk.accounts.wrote(desk.write(decision), desk.now)
    desk.work()
    assert desk.has("b") == "10.0.0.2"


def test_nor_what_may_have_been_written_for_another() -> None:
    desk = Desk()
    desk.create(service("b", spec="10.0.0.2"))
    desk.see()
    desk.write(desk.decide("b"))
    desk.accounts.failed(desk.service("b").key, certainly=False)
    desk.accounts.applied(service("a", spec="10.0.0.2"))
    late = desk.decide("a")
    assert late is not None
    assert late.waiting == "10.0.0.2 is in use by default/b"


def test_nobody_waits_for_one_that_is_refused() -> None:
    desk = Desk()
    desk.create(service("a", text="10.0.0.2,fd00::1", **ONLY_V4), service("b", spec="10.0.0.2"))
    desk.work()
    assert desk.has("b") == "10.0.0.2"


def test_nobody_waits_for_one_that_cant_be_read() -> None:
    desk = Desk()
    desk.create(service("a", text="10.0.0.2,rubbish"), service("b", spec="10.0.0.2"))
    desk.work()
    assert desk.has("b") == "10.0.0.2"


def test_but_what_one_had_before_it_couldnt_be_read_is_its_own() -> None:
    desk = serve(GLOBAL, "z")
    desk.edit("z", "10.0.0.1,rubbish")
    desk.serve(service("a", spec="10.0.0.1"))
    assert desk.waiting("a") == "10.0.0.1 is in use by default/z"
