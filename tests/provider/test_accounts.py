"""Who gets an address, who waits and why, and who is served when one is free again."""

import pytest

from kubevip.provision.accounts import Accounts
from kubevip.provision.verdict import Classes, Condition, Facts
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import ips, labelled, note, recorded_as, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}


# Giving


def test_a_new_service_gets_the_first_address_by_one_write() -> None:
    desk = serve(GLOBAL, "a")
    assert desk.has("a") == "10.0.0.1"
    assert note(desk.service("a")) == "range-global 10.0.0.1"
    assert desk.writes == 1


def test_it_is_told_which_address_and_where_from() -> None:
    desk = serve(GLOBAL, "a")
    assert [(note.warning, note.reason) for note in desk.notes["a"]] == [(False, "EnsuredLoadBalancer")]
    assert desk.told("a") == "Ensured load balancer: 10.0.0.1 from range-global"


def test_a_write_is_decided_on_what_was_seen_last() -> None:
    desk = Desk()
    desk.create(service("a"))
    desk.edit("a", labels={"tier": "web"})
    desk.see()
    decision = desk.decide("a")
    assert decision is not None
    assert decision.facts == desk.service("a")


def test_one_service_after_the_other_gets_the_next_address() -> None:
    assert serve(GLOBAL, "b", "a", "other/c").all() == {"b": "10.0.0.1", "a": "10.0.0.2", "other/c": "10.0.0.3"}


def test_what_is_decided_is_reserved_before_it_is_written() -> None:
    desk = Desk()
    desk.create(service("a"), service("b"))
    desk.see()
    decisions = [desk.decide("a"), desk.decide("b")]
    assert [each.addresses for each in decisions if each] == [ips("10.0.0.1"), ips("10.0.0.2")]


def test_decided_twice_it_is_the_same_address() -> None:
    desk = Desk()
    desk.create(service("a"))
    desk.see()
    assert desk.decide("a") == desk.decide("a")


def test_nothing_is_due_twice() -> None:
    desk = Desk()
    desk.create(service("a"))
    desk.see()
    assert desk.accounts.next_due() == key_of("a")
    assert desk.accounts.next_due() is None


def test_a_key_that_isnt_known_is_no_matter() -> None:
    accounts = Accounts(Classes())
    accounts.look_at([key_of("a")])
    accounts.deleted(key_of("a"))
    accounts.failed(key_of("a"), certainly=True)
    assert accounts.next_due() is None
    assert accounts.decide(key_of("a")) is None


@pytest.mark.parametrize("facts", [service("a", type="ClusterIP"), service("a", load_balancer_class="x")])
def test_nothing_is_done_for_what_isnt_ours(facts: Facts) -> None:
    desk = serve(GLOBAL, facts)
    assert (desk.decisions["a"], desk.writes) == (None, 0)


def test_several_classes_and_the_classless_are_served_side_by_side() -> None:
    desk = Desk(GLOBAL, Classes(names=frozenset({"x", "y"})))
    desk.serve(service("a"), service("b", load_balancer_class="x"), service("c", load_balancer_class="y"))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


# What is there already


def test_what_is_there_is_adopted_before_anything_is_given() -> None:
    desk = Desk()
    desk.create(service("a"), labelled("b", "10.0.0.1"), recorded_as("range-global", "10.0.0.2", "c"))
    desk.work()
    assert desk.all() == {"a": "10.0.0.3", "b": "10.0.0.1", "c": "10.0.0.2"}


def test_what_kube_vip_cloud_provider_gave_is_recorded_once() -> None:
    desk = serve(GLOBAL, labelled("a", "10.0.0.1"))
    assert note(desk.service("a")) == "range-global 10.0.0.1"
    desk.restart()
    desk.work()
    assert desk.writes == 1


def test_what_kube_vip_cloud_provider_gave_outside_of_all_pools_stays_as_if_its_user_had_written_it() -> None:
    desk = serve(GLOBAL, labelled("a", "192.0.2.1"))
    assert note(desk.service("a")) == "annotation 192.0.2.1"
    assert desk.reasons("a") == []


def test_two_that_have_one_address_already_keep_it_and_are_told() -> None:
    desk = Desk()
    desk.create(labelled("a", "10.0.0.1"), labelled("b", "10.0.0.1"), service("c"))
    desk.work()
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2"}
    assert desk.told("a") == "10.0.0.1 is in use by default/b; nothing is changed"
    assert desk.told("b") == "10.0.0.1 is in use by default/a; nothing is changed"


def test_an_address_of_two_is_free_when_both_are_gone() -> None:
    desk = Desk(ONE)
    desk.create(labelled("a", "10.0.0.1"), labelled("b", "10.0.0.1"), service("c"))
    desk.work()
    desk.delete("a")
    desk.work()
    assert desk.has("c") == ""
    desk.delete("b")
    desk.work()
    assert desk.has("c") == "10.0.0.1"


def test_a_restart_writes_nothing_and_gives_the_next_address_to_the_next() -> None:
    desk = serve(GLOBAL, "a", "b")
    desk.restart()
    desk.work()
    assert desk.writes == 2
    desk.serve(service("c"))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


def test_addresses_of_another_class_arent_given() -> None:
    desk = Desk()
    desk.create(service("a"), service("b", load_balancer_class="x", ingress=("10.0.0.1",)))
    desk.work()
    assert desk.has("a") == "10.0.0.2"


# Waiting


def test_exhaustion_names_the_key_of_the_pool() -> None:
    desk = serve(ONE, "a", "b")
    assert desk.waiting("b") == "no addresses available in range-global [10.0.0.1/32]"
    assert desk.reasons("b") == ["AddressPoolExhausted"]
    assert desk.told("b") == f"Error syncing load balancer: {desk.waiting('b')}"
    assert desk.notes["b"][0].warning


def test_a_deletion_serves_the_one_that_has_waited_longest() -> None:
    desk = serve(ONE, "a", "b", "c")
    desk.delete("a")
    desk.work()
    assert desk.all() == {"b": "10.0.0.1", "c": ""}


def test_a_change_of_type_serves_the_one_that_waits() -> None:
    desk = serve(ONE, "a", "b")
    desk.edit("a", type="ClusterIP")
    desk.work()
    assert desk.all() == {"a": "", "b": "10.0.0.1"}


def test_a_users_choice_of_another_address_serves_the_one_that_waits() -> None:
    desk = serve(ONE, "a", "b")
    desk.edit("a", "192.0.2.1")
    desk.work()
    assert desk.all() == {"a": "192.0.2.1", "b": "10.0.0.1"}


def test_since_when_who_waits_is_told_until_it_is_served() -> None:
    desk = serve(ONE, "a", "b")
    desk.now += 7
    desk.serve(service("c"))
    assert desk.accounts.statistics().waiting == {key_of("b"): 1000.0, key_of("c"): 1007.0}
    desk.delete("a")
    desk.work()
    assert desk.accounts.statistics().waiting == {key_of("c"): 1007.0}


@pytest.mark.parametrize("end", ["deleted", "retyped"])
def test_who_is_gone_waits_no_longer(end: str) -> None:
    desk = serve(ONE, "a", "b")
    if end == "deleted":
        desk.delete("b")
    else:
        desk.edit("b", type="ClusterIP")
    desk.work()
    assert desk.accounts.statistics().waiting == {}


def test_why_it_waits_is_a_condition_which_is_written_once() -> None:
    desk = serve(ONE, "a", "b")
    first = desk.decisions["b"]
    assert first is not None
    text = "no addresses available in range-global [10.0.0.1/32]"
    assert first.condition == Condition(False, "AddressPoolExhausted", text)
    desk.edit("b", condition=first.condition)
    desk.work()
    again = desk.decisions["b"]
    assert again is not None
    assert again.condition is None


def test_the_condition_is_corrected_when_it_is_served() -> None:
    desk = serve(ONE, "a", "b")
    desk.edit("b", condition=Condition(False, "AddressPoolExhausted", ""))
    desk.see()
    desk.delete("a")
    desk.work()
    served = desk.decisions["b"]
    assert served is not None
    assert served.condition == Condition(True, "AddressAssigned", "10.0.0.1")


def test_who_was_never_in_want_gets_no_condition() -> None:
    decision = serve(GLOBAL, "a").decisions["a"]
    assert decision is not None
    assert decision.condition is None


def test_a_reason_that_is_longer_than_a_condition_may_be_isnt_written_again_and_again() -> None:
    desk = serve(GLOBAL, service("a", text="x," * 2000))
    first = desk.decisions["a"]
    assert first is not None
    assert first.condition is not None
    assert len(first.condition.message) == 32768
    desk.edit("a", condition=first.condition)
    desk.work()
    again = desk.decisions["a"]
    assert again is not None
    assert again.condition is None
