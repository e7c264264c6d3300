"""ConfigMaps that are missing, broken or edited; and families."""

import pytest

from kubevip.ipam import FamilyPolicy
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import (
    DUAL,
    ONLY_V4,
    ONLY_V6,
    PREFERS_DUAL,
    V4,
    V6,
    ips,
    note,
    recorded_as,
    service,
)

ONE = {"range-global": "10.0.0.1-10.0.0.1"}
DUAL_POOL = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}


# The ConfigMap


def test_without_a_configmap_it_is_said_what_to_create() -> None:
    desk = serve(None, "web/a")
    keys = "cidr-web, range-web, cidr-global, range-global"
    text = f"no address pools could be found: create the ConfigMap kube-system/kubevip with one of {keys}"
    assert desk.waiting("web/a") == text
    assert desk.reasons("web/a") == ["NoAddressPool"]


def test_without_a_pool_it_is_said_which_keys_would_make_one() -> None:
    desk = serve({"range-other": "10.0.0.1-10.0.0.9"}, "web/a")
    keys = "cidr-web, range-web, cidr-global, range-global"
    assert desk.waiting("web/a") == f"no address pools could be found: the ConfigMap has none of {keys}"


@pytest.mark.parametrize("before", [None, {}, {"range-global": "nonsense"}, ONE | {"reserved": "10.0.0.1"}])
def test_whoever_waits_is_served_when_the_configmap_is_put_right(before: dict[str, str] | None) -> None:
    desk = serve(before, "a")
    assert desk.has("a") == ""
    desk.configure(ONE)
    desk.work()
    assert desk.has("a") == "10.0.0.1"


def test_a_broken_pool_is_named_and_hurts_its_own_namespaces_alone() -> None:
    desk = serve({"range-web": "10.0.0.9-10.0.0.1", **GLOBAL}, "web/a", "a")
    assert desk.waiting("web/a").startswith("range-web can't be used: the range 10.0.0.9-10.0.0.1 runs backwards")
    assert desk.has("a") == "10.0.0.1"


@pytest.mark.parametrize("after", [None, {}, {"range-global": "nonsense"}, {"range-global": "192.0.2.1-192.0.2.9"}])
def test_nobody_is_renumbered_by_another_configmap(after: dict[str, str] | None) -> None:
    desk = serve(GLOBAL, "a", "b")
    desk.configure(after)
    desk.work()
    desk.restart()
    desk.work()
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert desk.writes == 2


def test_what_is_out_of_its_pool_is_still_in_use() -> None:
    desk = serve(GLOBAL, "a")
    desk.configure({"range-web": "10.0.0.1-10.0.0.3"})
    desk.serve(service("web/b"))
    assert desk.has("web/b") == "10.0.0.2"


def test_what_comes_back_into_a_pool_is_in_use_there() -> None:
    desk = serve(GLOBAL, "a")
    desk.configure({})
    desk.work()
    desk.configure(ONE)
    desk.serve(service("b"))
    assert desk.has("b") == ""


def test_what_was_reserved_and_not_yet_written_is_chosen_anew_when_its_pool_is_gone() -> None:
    desk = Desk()
    desk.create(service("a"))
    desk.see()
    desk.decide("a")
    desk.configure({"range-default": "192.0.2.1-192.0.2.1"})
    decision = desk.decide("a")
    assert decision is not None
    assert decision.addresses == ips("192.0.2.1")


def test_an_edit_between_decision_and_write_doesnt_lose_what_is_reserved() -> None:
    desk = Desk()
    desk.create(service("a"), service("b"))
    desk.see()
    first = desk.decide("a")
    desk.configure(DUAL_POOL)
    second = desk.decide("b")
    assert second is not None
    assert second.addresses == ips("10.0.0.2")
    desk.accounts.wrote(desk.write(first), desk.now)
    assert desk.has("a") == "10.0.0.1"


def test_addresses_of_nodes_are_known_under_every_configmap() -> None:
    desk = Desk()
    desk.accounts.node_has("n1", ips("10.0.0.1"))
    desk.configure(DUAL_POOL)
    desk.serve(service("a"))
    assert desk.has("a") == "10.0.0.2"


def test_the_interface_of_the_namespace_goes_before_the_global_one() -> None:
    desk = serve({**GLOBAL, "interface-global": "eth1", "interface-web": "eth2", "interface-db": ""}, "a", "web/b")
    desk.serve(service("db/c"))
    found = [desk.service(name).annotations.get("kube-vip.io/serviceInterface") for name in ("a", "web/b", "db/c")]
    assert found == ["eth1", "eth2", None]


# Families


def test_each_family_is_served() -> None:
    desk = serve(DUAL_POOL, service("a", **ONLY_V4), service("b", **ONLY_V6), service("c", **DUAL))
    assert desk.all() == {"a": "10.0.0.1", "b": "fd00::1", "c": "10.0.0.2,fd00::2"}


def test_the_second_family_goes_first_where_the_service_says_so() -> None:
    desk = serve(DUAL_POOL, service("a", policy=FamilyPolicy.REQUIRE_DUAL, families=(V6, V4)))
    assert desk.has("a") == "fd00::1,10.0.0.1"
    assert desk.service("a").load_balancer_ip == "fd00::1"


@pytest.mark.parametrize("stack", [DUAL, PREFERS_DUAL])
def test_a_change_to_two_families_adds_one(stack: dict[str, object]) -> None:
    desk = serve(DUAL_POOL, service("a", **ONLY_V4))
    desk.edit("a", **stack)
    desk.work()
    assert desk.has("a") == "10.0.0.1,fd00::1"


def test_a_change_to_one_family_takes_back_the_other_at_once() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::1"}, service("a", **DUAL), service("b", **ONLY_V6))
    assert desk.has("b") == ""
    desk.edit("a", **ONLY_V4)
    desk.work()
    assert desk.all() == {"a": "10.0.0.1", "b": "fd00::1"}
    assert desk.reasons("a") == ["EnsuredLoadBalancer", "AddressReleased"]
    assert desk.told("a") == "released fd00::1: one family is wanted"


def test_what_a_user_wrote_is_neither_trimmed_nor_extended() -> None:
    desk = serve(DUAL_POOL, service("a", text="10.0.0.1,fd00::1", **DUAL), service("b", spec="10.0.0.2", **DUAL))
    desk.edit("a", **ONLY_V4)
    desk.work()
    assert desk.all() == {"a": "10.0.0.1,fd00::1", "b": "10.0.0.2"}


def test_where_two_are_required_one_isnt_given() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::1"}, service("a", **DUAL), service("b", **DUAL))
    assert desk.has("b") == ""
    assert "no addresses available in range-global [fd00::1/128]" in desk.waiting("b")


def test_whoever_requires_two_and_has_one_keeps_it_and_waits_for_the_other() -> None:
    desk = serve(
        {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::1"}, service("a", **ONLY_V6), service("b", **ONLY_V4)
    )
    desk.edit("b", **DUAL)
    desk.work()
    assert desk.has("b") == "10.0.0.1"
    assert key_of("b") in desk.accounts.statistics().waiting
    desk.delete("a")
    desk.work()
    assert desk.has("b") == "10.0.0.1,fd00::1"
    assert key_of("b") not in desk.accounts.statistics().waiting


def test_where_two_are_preferred_one_is_given_with_a_warning() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::1"}, service("a", **ONLY_V6))
    desk.serve(service("b", **PREFERS_DUAL))
    assert desk.has("b") == "10.0.0.1"
    assert desk.reasons("b")[0] == "OneFamilyOnly"
    assert desk.accounts.statistics().waiting == {}


@pytest.mark.parametrize("families", [(), (V4,), (V4, V6)])
def test_the_second_of_two_that_are_preferred_comes_when_one_is_free(families: tuple[object, ...]) -> None:
    stack = {"policy": FamilyPolicy.PREFER_DUAL, "families": families}
    desk = serve({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::1"}, service("a", **ONLY_V6), service("b", **stack))
    desk.delete("a")
    desk.work()
    assert desk.has("b") == "10.0.0.1,fd00::1"


@pytest.mark.parametrize("families", [(), (V4,), (V4, V6)])
def test_the_second_of_two_that_are_preferred_comes_with_a_pool_that_has_it(families: tuple[object, ...]) -> None:
    desk = serve(GLOBAL, service("a", policy=FamilyPolicy.PREFER_DUAL, families=families))
    desk.configure(DUAL_POOL)
    desk.work()
    assert desk.has("a") == "10.0.0.1,fd00::1"


def test_one_that_is_left_with_one_family_stays_recorded_under_its_own_pool() -> None:
    desk = serve(GLOBAL, service("a", **PREFERS_DUAL))
    desk.configure({"range-default": "192.0.2.1-192.0.2.9"})
    desk.edit("a", labels={**desk.service("a").labels, "tier": "web"})
    desk.work()
    assert note(desk.service("a")) == "range-global 10.0.0.1"


def test_nobody_is_renumbered_who_has_an_address_of_a_family_that_isnt_asked_for() -> None:
    desk = Desk(DUAL_POOL)
    desk.create(recorded_as("range-global", "10.0.0.1", "a", **ONLY_V6))
    desk.work()
    assert (desk.has("a"), desk.writes) == ("10.0.0.1", 0)
