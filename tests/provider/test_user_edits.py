"""Edits of users: honoured both ways, and what they leave is nobody else's before it is written so."""

import itertools

import pytest

from kubevip.provision.verdict import LABEL, LABELLED
from kubevip.service import ADDRESSES, INTERFACE
from tests.provider.desk import GLOBAL, Desk, serve
from tests.provider.services import DUAL, ip, labelled, note, recorded_as, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}
DUAL_POOL = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}
PLACES = ("annotation", "spec")


def write(desk: Desk, name: str, place: str, text: str) -> None:
    """Edit one of the two places."""
    if place == "annotation":
        desk.edit(name, text or None)
    else:
        desk.edit(name, load_balancer_ip=text)


# Edited


@pytest.mark.parametrize(
    ("place", "start"), [*itertools.product(PLACES, [{}, {"text": "10.0.0.1"}, {"spec": "10.0.0.1"}])]
)
def test_an_edit_of_one_place_moves_both(place: str, start: dict[str, str]) -> None:
    desk = serve(GLOBAL, service("a", **start))
    write(desk, "a", place, "10.0.0.3")
    desk.work()
    assert desk.has("a") == "10.0.0.3"
    assert note(desk.service("a")) == f"{place} 10.0.0.3"
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
    assert note(desk.service("a")) == "range-global 10.0.0.1"


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
    assert note(desk.service("a")) == "range-global 10.0.0.1"


def test_a_users_address_that_is_removed_isnt_given_to_others_before_it_is_written_that_it_is_gone() -> None:
    desk = serve(ONE, service("a", text="10.0.0.1", **DUAL))
    write(desk, "a", "annotation", "")
    desk.create(service("b"))
    desk.see()
    gone, other = desk.decide("a"), desk.decide("b")
    assert gone is not None
    assert other is not None
    assert gone.edits.load_balancer_ip == ""
    assert other.addresses == ()


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


def test_a_spec_that_differs_under_kube_vip_cloud_provider_isnt_given_to_others_before_it_is_written_over() -> None:
    desk = Desk()
    desk.create(labelled("a", "10.0.0.2", spec="10.0.0.1"), service("b"))
    desk.see()
    decision = desk.decide("b")
    assert decision is not None
    assert str(decision.addresses[0]) == "10.0.0.3"


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
    assert note(desk.service("a")) == "range-global 10.0.0.1"


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
