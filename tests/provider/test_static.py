"""Addresses that users write, and edit: honoured both ways, checked, and never anybody else's at the same time."""

import itertools

import pytest

from kubevip.provision import FINALIZER, LABEL, LABELLED, RECORD, Facts
from kubevip.service import ADDRESSES, INTERFACE
from tests.provider.desk import GLOBAL, Desk, serve
from tests.provider.services import DUAL, ONLY_V4, ip, recorded_as, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}
DUAL_POOL = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}
PLACES = ("annotation", "spec")


def write(desk: Desk, name: str, place: str, text: str) -> None:
    """Edit one of the two places."""
    if place == "annotation":
        desk.edit(name, text or None)
    else:
        desk.edit(name, load_balancer_ip=text)


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


# Edited


@pytest.mark.parametrize(
    ("place", "start"), [*itertools.product(PLACES, [{}, {"text": "10.0.0.1"}, {"spec": "10.0.0.1"}])]
)
def test_an_edit_of_one_place_moves_both(place: str, start: dict[str, str]) -> None:
    desk = serve(GLOBAL, service("a", **start))
    write(desk, "a", place, "10.0.0.3")
    desk.work()
    assert desk.has("a") == "10.0.0.3"
    assert desk.service("a").annotations[RECORD] == f"{place} 10.0.0.3"
    desk.serve(service("b"))
    assert desk.has("b") == "10.0.0.1"


@pytest.mark.parametrize("place", PLACES)
def test_what_is_removed_from_one_place_is_restored_where_it_came_from_a_pool(place: str) -> None:
    desk = serve(DUAL_POOL, service("a", **DUAL))
    write(desk, "a", place, "")
    desk.work()
    assert desk.has("a") == "10.0.0.1,fd00::1"


@pytest.mark.parametrize("place", PLACES)
def test_a_users_address_that_is_removed_makes_way_for_one_from_the_pool(place: str) -> None:
    desk = serve(GLOBAL, service("a", **{"text" if place == "annotation" else "spec": "192.0.2.1"}))
    write(desk, "a", place, "")
    desk.work()
    assert desk.has("a") == "10.0.0.1"
    assert desk.service("a").annotations[RECORD] == "range-global 10.0.0.1"


@pytest.mark.parametrize(("place", "data"), [*itertools.product(PLACES, [{}, None, {"range-global": "nonsense"}])])
def test_a_users_address_that_is_removed_is_gone_even_where_there_is_no_other(
    place: str, data: dict[str, str] | None
) -> None:
    desk = serve(data, service("a", **{"text" if place == "annotation" else "spec": "10.0.0.1"}))
    write(desk, "a", place, "")
    desk.work()
    assert desk.has("a") == ""
    assert desk.waiting("a").startswith("no address pools could be found" if not data else "range-global can't be")
    assert desk.accounts.holders(ip("10.0.0.1")) == ()


def test_a_users_address_that_is_removed_may_be_given_to_the_same_service_again() -> None:
    desk = serve(ONE, service("a", text="10.0.0.1"))
    write(desk, "a", "annotation", "")
    desk.work()
    assert desk.service("a").annotations[RECORD] == "range-global 10.0.0.1"


@pytest.mark.parametrize("place", PLACES)
def test_what_is_removed_isnt_given_to_others_while_the_other_place_says_it(place: str) -> None:
    desk = serve(GLOBAL, service("a", **{"text" if place == "annotation" else "spec": "10.0.0.1"}))
    write(desk, "a", place, "")
    desk.create(service("b"))
    desk.see()
    decision = desk.decide("b")
    assert decision is not None
    assert str(decision.addresses[0]) == "10.0.0.2"


@pytest.mark.parametrize("place", PLACES)
def test_what_is_edited_away_isnt_given_to_others_while_the_other_place_says_it(place: str) -> None:
    desk = serve(GLOBAL, "a")
    write(desk, "a", place, "10.0.0.3")
    desk.create(service("b"))
    desk.see()
    decision = desk.decide("b")
    assert decision is not None
    assert str(decision.addresses[0]) == "10.0.0.2"


@pytest.mark.parametrize("place", PLACES)
def test_an_edit_that_is_refused_frees_nothing(place: str) -> None:
    desk = serve(GLOBAL, "a", "b")
    write(desk, "a", place, "10.0.0.2")
    desk.work()
    assert desk.waiting("a") == "10.0.0.2 is in use by default/b"
    desk.serve(service("c"), service("d"))
    assert desk.has("c") == "10.0.0.3"
    assert desk.has("d") == ""


def test_an_edit_that_is_refused_and_taken_back_changes_nothing() -> None:
    desk = serve(GLOBAL, "a", "b")
    write(desk, "a", "spec", "10.0.0.2")
    desk.work()
    write(desk, "a", "spec", "10.0.0.1")
    desk.work()
    assert (desk.has("a"), desk.waiting("a"), desk.writes) == ("10.0.0.1", "", 2)


@pytest.mark.parametrize("place", PLACES)
def test_two_may_exchange_their_addresses(place: str) -> None:
    desk = serve(GLOBAL, "a", "b")
    write(desk, "a", place, "10.0.0.2")
    desk.work()
    write(desk, "b", place, "10.0.0.1")
    desk.work()
    assert desk.all() == {"a": "10.0.0.2", "b": "10.0.0.1"}


def test_an_address_may_be_passed_on() -> None:
    desk = serve(GLOBAL, service("a", spec="10.0.0.1"), service("b", spec="10.0.0.2"))
    write(desk, "a", "spec", "10.0.0.2")
    desk.work()
    write(desk, "b", "spec", "10.0.0.3")
    desk.work()
    assert desk.all() == {"a": "10.0.0.2", "b": "10.0.0.3"}


def test_a_label_or_a_record_that_is_lost_is_written_again() -> None:
    desk = serve(GLOBAL, "a")
    desk.edit("a", labels={})
    desk.work()
    assert desk.service("a").labels == {LABEL: LABELLED}
    desk.edit("a", annotations={ADDRESSES: "10.0.0.1"})
    desk.work()
    assert desk.service("a").annotations[RECORD] == "range-global 10.0.0.1"


def test_all_marks_gone_the_spec_is_taken_for_its_users_and_the_address_stays() -> None:
    desk = serve(GLOBAL, "a")
    desk.edit("a", annotations={}, labels={})
    desk.work()
    assert desk.has("a") == "10.0.0.1"


def test_who_has_lost_all_marks_makes_way_for_an_earlier_name_that_waits_for_the_address() -> None:
    desk = serve(GLOBAL, "b", service("a", spec="10.0.0.1"))
    desk.edit("b", annotations={}, labels={})
    desk.work()
    assert desk.has("a") == "10.0.0.1"
    assert desk.waiting("b") == "10.0.0.1 is in use by default/a"


# Type, and interface


@pytest.mark.parametrize("place", PLACES)
def test_of_another_type_it_keeps_what_its_user_wrote_and_frees_the_address(place: str) -> None:
    desk = serve(GLOBAL, service("a", **{"text" if place == "annotation" else "spec": "10.0.0.1"}))
    desk.edit("a", type="ClusterIP")
    desk.serve(service("b"))
    facts = desk.service("a")
    assert (facts.annotations.get(ADDRESSES), facts.load_balancer_ip) == (
        ("10.0.0.1", "") if place == "annotation" else (None, "10.0.0.1")
    )
    assert desk.has("b") == "10.0.0.1"


def test_a_users_address_gets_the_interface_of_the_pool_too() -> None:
    desk = serve({**GLOBAL, "interface-global": "eth1"}, service("a", spec="10.0.0.2"))
    assert desk.service("a").annotations[INTERFACE] == "eth1"


def test_a_users_own_interface_stays() -> None:
    desk = serve({**GLOBAL, "interface-global": "eth1"}, service("a", annotations={INTERFACE: "eth7"}))
    assert desk.service("a").annotations[INTERFACE] == "eth7"


def test_what_a_user_wrote_survives_a_restart_outside_of_the_pools() -> None:
    desk = Desk(ONE)
    desk.create(recorded_as("spec", "192.0.2.1", "a"))
    desk.work()
    assert (desk.has("a"), desk.writes) == ("192.0.2.1", 0)
