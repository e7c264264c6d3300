"""Services that are deleted, nodes that have addresses themselves, DHCP, and what is counted."""

import pytest

from kubevip.ipam import DHCP_MARKER
from kubevip.model import Family
from kubevip.provision.accounts import Accounts
from kubevip.provision.verdict import CLAIM, FINALIZER, Classes
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import ip, ips, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}


# Being deleted


def test_a_deleted_service_is_let_go_and_its_address_is_free_when_it_is_gone() -> None:
    desk = serve(GLOBAL, "a")
    desk.delete("a")
    desk.see()
    assert desk.accounts.holders(ip("10.0.0.1")) == ("default/a",)
    desk.work()
    assert key_of("a") not in desk.server.objects
    assert desk.accounts.holders(ip("10.0.0.1")) == ()


def test_its_address_is_its_own_while_somebody_elses_finalizer_is_there() -> None:
    desk = serve(ONE, service("a", finalizers=("example.com/x",)), "b")
    desk.delete("a")
    desk.work()
    assert desk.service("a").finalizers == ("example.com/x",)
    assert desk.has("b") == ""
    desk.edit("a", finalizers=())
    desk.work()
    assert desk.has("b") == "10.0.0.1"


def test_a_service_that_waits_has_no_finalizer_and_is_deleted_at_once() -> None:
    desk = serve(ONE, "a", "b")
    desk.delete("b")
    assert key_of("b") not in desk.server.objects


def test_one_that_was_pending_with_the_finalizer_is_let_go() -> None:
    desk = serve(ONE, "a", service("b", finalizers=(FINALIZER,)))
    desk.delete("b")
    desk.work()
    assert key_of("b") not in desk.server.objects


def test_a_service_of_the_same_name_starts_anew() -> None:
    desk = serve(GLOBAL, "a", "b")
    desk.delete("a")
    desk.work()
    desk.serve(service("a", text="10.0.0.3"))
    assert desk.all() == {"b": "10.0.0.2", "a": "10.0.0.3"}


# Nodes


def test_addresses_of_nodes_arent_given() -> None:
    desk = Desk()
    desk.accounts.node_has("n1", ips("10.0.0.1,10.0.0.2"))
    desk.serve(service("a"))
    assert desk.has("a") == "10.0.0.3"


def test_a_user_may_write_the_address_of_a_node_which_is_the_control_planes_vip() -> None:
    desk = Desk()
    desk.accounts.node_has("n1", ips("10.0.0.2"))
    desk.serve(service("a", spec="10.0.0.2"))
    assert desk.has("a") == "10.0.0.2"


def test_who_had_a_nodes_address_keeps_it_without_a_word() -> None:
    desk = serve(GLOBAL, "a")
    desk.accounts.node_has("n1", ips("10.0.0.1"))
    desk.edit("a", labels={**desk.service("a").labels, "tier": "web"})
    desk.work()
    assert (desk.has("a"), desk.reasons("a")) == ("10.0.0.1", ["EnsuredLoadBalancer"])


@pytest.mark.parametrize("left", ["", "10.0.0.9"])
def test_an_address_that_a_node_gives_up_serves_the_one_that_waits(left: str) -> None:
    desk = Desk(ONE)
    desk.accounts.node_has("n1", ips("10.0.0.1"))
    desk.serve(service("a"))
    assert desk.has("a") == ""
    desk.accounts.node_has("n1", ips(left) if left else ())
    desk.work()
    assert desk.has("a") == "10.0.0.1"


def test_which_nodes_have_addresses_is_told() -> None:
    accounts = Accounts(Classes())
    accounts.node_has("n1", ips("10.0.0.1"))
    accounts.node_has("n2", ())
    assert list(accounts.node_names) == ["n1"]
    accounts.node_has("n1", ())
    assert list(accounts.node_names) == []


# DHCP, and statistics


def test_of_a_dhcp_pool_everybody_gets_the_marker() -> None:
    desk = serve({"cidr-global": "0.0.0.0/32"}, "a", "b")
    assert desk.all() == {"a": str(DHCP_MARKER), "b": str(DHCP_MARKER)}
    desk.restart()
    desk.work()
    assert desk.writes == 2


def test_a_user_may_ask_for_dhcp() -> None:
    desk = serve(GLOBAL, service("a", spec="0.0.0.0"), service("b", text="0.0.0.0"))
    assert desk.all() == {"a": "0.0.0.0", "b": "0.0.0.0"}
    assert desk.reasons("a") == desk.reasons("b") == ["EnsuredLoadBalancer"]


def test_pools_are_counted_by_family_and_failures_by_reason() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.1,fd00::1-fd00::9"}, "a", "b", service("c", text="rubbish"))
    v4, v6 = (desk.statistics("range-global", family) for family in Family)
    assert (v4.size, v4.used, v4.free) == (1, 1, 0)
    assert (v6.size, v6.used, v6.free) == (9, 0, 9)
    statistics = desk.accounts.statistics()
    assert statistics.services == 3
    assert statistics.failures == {"AddressPoolExhausted": 1, "AddressRefused": 1}


def test_without_other_providers_a_claim_that_is_left_over_is_removed_and_counts_for_nothing() -> None:
    desk = Desk(ONE)
    desk.create(service("a", annotations={CLAIM: "gone 10.0.0.1"}), service("b"))
    desk.see()
    assert desk.accounts.holders(ip("10.0.0.1")) == ()
    desk.work()
    assert desk.has("a") == "10.0.0.1"
    assert CLAIM not in desk.service("a").annotations
