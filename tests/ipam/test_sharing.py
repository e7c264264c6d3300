"""Requests that share an IPv4 address: only where it is allowed, their ports differ, and nobody would miss traffic."""

import itertools

import pytest

from kubevip.ipam import Allocator, Request
from kubevip.ipam.sharing import KINDS
from tests.ipam.asking import HTTP, HTTPS, IPV6, PREFER, ip, ips, listed, sound, want

DNS_TCP, DNS_UDP = (53, "TCP"), (53, "UDP")
APP, DB = (("app", "web"),), (("app", "db"),)


def sharing(**data: str) -> Allocator:
    return sound(**({"range_global": "10.0.0.4-10.0.0.9", "allow_share_global": "true"} | data))


def got(known: Allocator, *requests: Request) -> list[str]:
    return [listed(known.assign(request)) for request in requests]


# Ports


def test_requests_with_different_ports_share_the_first_address() -> None:
    known = sharing()
    assert got(known, want("a", HTTP), want("b", HTTPS), want("c", (22, "TCP"))) == ["10.0.0.4"] * 3
    assert known.holders(ip("10.0.0.4")) == ("default/a", "default/b", "default/c")


def test_who_joins_is_told_that_others_were_there_before() -> None:
    known = sharing()
    assert known.assign(want("a", HTTP)).shared == ()
    assert known.assign(want("b", HTTPS)).shared == (ip("10.0.0.4"),)


def test_sharing_goes_before_a_free_address() -> None:
    known = sharing()
    assert got(known, want("a", HTTP), want("b", HTTP), want("c", HTTPS)) == ["10.0.0.4", "10.0.0.5", "10.0.0.4"]


def test_a_port_in_common_keeps_requests_apart() -> None:
    assert got(sharing(), want("a", HTTP, HTTPS), want("b", HTTPS, (22, "TCP"))) == ["10.0.0.4", "10.0.0.5"]


def test_the_same_number_of_another_protocol_is_another_port() -> None:
    assert got(sharing(), want("a", DNS_TCP), want("b", DNS_UDP)) == ["10.0.0.4", "10.0.0.4"]


def test_whoever_was_there_counts_with_all_its_ports() -> None:
    known = sharing()
    assert got(known, want("a", HTTP), want("b", HTTPS)) == ["10.0.0.4", "10.0.0.4"]
    assert got(known, want("c", HTTPS), want("d", HTTP)) == ["10.0.0.5", "10.0.0.5"]


def test_one_without_ports_has_an_address_alone() -> None:
    assert got(sharing(), want("a", HTTP), want("b"), want("c", HTTPS)) == ["10.0.0.4", "10.0.0.5", "10.0.0.4"]


def test_nobody_joins_one_without_ports() -> None:
    assert got(sharing(), want("a"), want("b", HTTP), want("c")) == ["10.0.0.4", "10.0.0.5", "10.0.0.6"]


def test_ports_that_others_have_given_up_are_free_again() -> None:
    known = sharing()
    got(known, want("a", HTTP), want("b", HTTP), want("c", HTTPS))
    known.release("default/a")
    assert got(known, want("d", HTTP)) == ["10.0.0.4"]


def test_ports_that_were_given_up_long_before_what_was_searched_are_free_again() -> None:
    known = sharing()
    assert got(known, *(want(name, HTTP) for name in "abc"), want("d", HTTPS))[-2:] == ["10.0.0.6", "10.0.0.4"]
    known.release("default/a")
    assert got(known, want("e", HTTP)) == ["10.0.0.4"]


def test_a_new_address_before_what_was_searched_is_shared() -> None:
    known = sharing(allow_share_closed="false")
    known.adopt(want("x", namespace="closed"), ips("10.0.0.4"))
    assert got(known, *(want(name, HTTP) for name in "abc")) == ["10.0.0.5", "10.0.0.6", "10.0.0.7"]
    known.release("closed/x")
    known.adopt(want("d", HTTPS), ips("10.0.0.4"))
    assert got(known, want("e", HTTP)) == ["10.0.0.4"]


def test_an_address_that_becomes_one_to_share_is_shared() -> None:
    known = sharing()
    got(known, *(want(name, HTTP) for name in "abc"), want("d", HTTPS))
    known.adopt(want("x", namespace="b"), ips("10.0.0.4"))
    known.release("default/a")
    assert got(known, want("e", HTTP)) == ["10.0.0.7"]
    known.release("b/x")
    assert got(known, want("f", HTTP)) == ["10.0.0.4"]


def test_ports_that_were_edited_count_from_then_on() -> None:
    known = sharing()
    got(known, want("a", HTTP), want("b", HTTP))
    known.adopt(want("a", HTTPS), ips("10.0.0.4"))
    assert got(known, want("c", HTTPS), want("d", HTTP)) == ["10.0.0.5", "10.0.0.4"]


# Order


@pytest.mark.parametrize(("order", "first"), [("asc", "10.0.0.4"), ("desc", "10.0.0.9")])
def test_of_several_addresses_to_share_the_first_in_order_is_taken(order: str, first: str) -> None:
    known = sharing(search_order=order)
    got(known, *(want(name, HTTP) for name in "abc"))
    assert got(known, want("d", HTTPS)) == [first]


def test_the_order_of_what_was_there_before_does_not_matter() -> None:
    addresses = ["10.0.0.5", "10.0.0.7", "10.0.0.8"]
    for adopted in itertools.permutations(addresses):
        known = sharing()
        for name, address in zip("abc", adopted, strict=True):
            known.adopt(want(name, HTTP), ips(address))
        assert got(known, want("d", HTTPS), want("e", HTTPS), want("f", HTTPS)) == addresses


def test_more_kinds_of_requests_than_are_remembered_do_no_harm() -> None:
    known = sharing(range_global="10.0.0.1-10.0.0.254")
    got(known, want("a", HTTP), want("b", HTTP))
    many = [want(f"n{number}", (1000 + number, "TCP")) for number in range(2 * KINDS)]
    assert set(got(known, *many)) == {"10.0.0.1"}
    assert len(known._sharing._searched) <= KINDS + 1
    known.release("default/a")
    assert got(known, want("c", HTTP), want("d", HTTP)) == ["10.0.0.1", "10.0.0.3"]


# Where


def test_nothing_is_shared_unless_that_is_allowed() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    assert got(known, want("a", HTTP), want("b", HTTPS)) == ["10.0.0.4", "10.0.0.5"]


def test_a_namespace_that_may_not_share_neither_joins_nor_is_joined() -> None:
    known = sharing(allow_share_b="false")
    one, other = want("a", HTTP, namespace="b"), want("a", HTTPS, namespace="a")
    assert got(known, one, other) == ["10.0.0.4", "10.0.0.5"]
    assert got(known, want("c", (22, "TCP"), namespace="b")) == ["10.0.0.6"]


def test_namespaces_that_may_share_do_so_with_each_other() -> None:
    known = sharing()
    assert got(known, want("a", HTTP, namespace="a"), want("a", HTTPS, namespace="b")) == ["10.0.0.4", "10.0.0.4"]


def test_an_address_outside_of_the_pool_is_not_shared() -> None:
    known = sharing()
    known.adopt(want("a", HTTP), ips("10.0.0.1"))
    assert got(known, want("b", HTTPS)) == ["10.0.0.4"]


def test_an_address_of_another_namespaces_pool_is_not_shared() -> None:
    known = sharing(cidr_a="10.0.1.4/30")
    got(known, want("a", HTTP, namespace="a"))
    assert got(known, want("b", HTTPS, namespace="b")) == ["10.0.0.4"]


def test_an_address_that_the_pool_spares_is_not_shared() -> None:
    known = sharing(cidr_global="10.0.0.0/29")
    known.adopt(want("a", HTTP), ips("10.0.0.0"))
    assert got(known, want("b", HTTPS)) == ["10.0.0.1"]


def test_the_address_of_a_node_is_not_shared() -> None:
    known = sharing()
    known.reserve("node a", ips("10.0.0.4"))
    assert got(known, want("b", HTTPS)) == ["10.0.0.5"]


def test_a_contested_address_is_not_joined_by_a_third() -> None:
    known = sharing()
    known.adopt(want("a", HTTP), ips("10.0.0.4"))
    known.adopt(want("b", HTTP, namespace="b"), ips("10.0.0.4"))
    known.reserve("node a", ips("10.0.0.4"))
    assert got(known, want("c", HTTPS)) == ["10.0.0.5"]
    known.release("node a")
    assert got(known, want("d", (22, "TCP"))) == ["10.0.0.4"]


def test_an_address_that_cools_down_is_not_shared() -> None:
    known = sharing(cool_down="10")
    got(known, want("a", HTTP))
    known.release("default/a", now=0.0)
    assert got(known, want("b", HTTPS)) == ["10.0.0.5"]


# IPv6


def test_ipv6_is_never_shared() -> None:
    known = sharing(range_global="fd00::1-fd00::9")
    assert got(known, want("a", HTTP), want("b", HTTPS)) == ["fd00::1", "fd00::2"]


def test_ipv6_that_two_have_is_contested_whatever_their_ports() -> None:
    known = sharing(range_global="fd00::1-fd00::9")
    known.adopt(want("a", HTTP), ips("fd00::1"))
    assert known.adopt(want("b", HTTPS), ips("fd00::1")) == {ip("fd00::1"): ("default/a",)}


def test_of_two_families_ipv4_is_shared_and_ipv6_is_not() -> None:
    known = sharing(range_global="10.0.0.4-10.0.0.9,fd00::1-fd00::9")
    assert got(known, want("a", HTTP, policy=PREFER)) == ["10.0.0.4,fd00::1"]
    made = known.assign(want("b", HTTPS, policy=PREFER, family=IPV6))
    assert (listed(made), made.shared) == ("fd00::2,10.0.0.4", (ip("10.0.0.4"),))


# Traffic that stays on the node


def test_local_traffic_is_shared_by_requests_for_the_same_pods() -> None:
    one, other = want("a", HTTP, local=True, selector=APP), want("b", HTTPS, local=True, selector=APP)
    assert got(sharing(), one, other) == ["10.0.0.4", "10.0.0.4"]


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_local_traffic_is_not_shared_by_requests_for_other_pods(first: bool, second: bool) -> None:
    one, other = want("a", HTTP, local=first, selector=APP), want("b", HTTPS, local=second, selector=DB)
    assert got(sharing(), one, other) == ["10.0.0.4", "10.0.0.5"]


def test_equal_selectors_of_two_namespaces_are_not_the_same_pods() -> None:
    one = want("a", HTTP, namespace="a", local=True, selector=APP)
    other = want("a", HTTPS, namespace="b", local=True, selector=APP)
    assert got(sharing(), one, other) == ["10.0.0.4", "10.0.0.5"]


def test_without_a_selector_nothing_tells_that_the_pods_are_the_same() -> None:
    assert got(sharing(), want("a", HTTP, local=True), want("b", HTTPS, local=True)) == ["10.0.0.4", "10.0.0.5"]


def test_traffic_that_may_go_anywhere_is_shared_whatever_the_pods() -> None:
    assert got(sharing(), want("a", HTTP, selector=APP), want("b", HTTPS, selector=DB)) == ["10.0.0.4", "10.0.0.4"]


def test_all_users_of_an_address_have_to_get_along_with_who_joins() -> None:
    known = sharing()
    got(known, want("a", HTTP, selector=APP), want("b", HTTPS, selector=DB))
    assert got(known, want("c", (22, "TCP"), local=True, selector=APP)) == ["10.0.0.5"]


def test_what_one_kind_of_request_has_passed_over_another_still_finds() -> None:
    known = sharing()
    got(known, want("a", HTTP, local=True, selector=APP), want("b", HTTP, local=True, selector=APP))
    assert got(known, want("c", HTTPS, local=True, selector=DB)) == ["10.0.0.6"]
    assert got(known, want("d", HTTPS, local=True, selector=APP)) == ["10.0.0.4"]


# Asking again


def test_who_asks_again_does_not_share_with_itself() -> None:
    known = sharing()
    got(known, want("a", HTTP))
    made = known.assign(want("a", HTTPS))
    assert (listed(made), made.shared) == ("10.0.0.5", ())
    assert known.holders(ip("10.0.0.4")) == ()


def test_who_keeps_a_shared_address_has_it_on() -> None:
    known = sharing()
    got(known, want("a", HTTP), want("b", HTTPS))
    made = known.assign(want("b", HTTPS), keep=ips("10.0.0.4"))
    assert (listed(made), made.shared) == ("10.0.0.4", ())
    assert set(known.holders(ip("10.0.0.4"))) == {"default/a", "default/b"}


def test_a_shared_address_is_free_when_all_have_let_go() -> None:
    known = sharing()
    got(known, want("a", HTTP), want("b", HTTPS))
    known.release("default/a")
    assert known.holders(ip("10.0.0.4")) == ("default/b",)
    known.release("default/b")
    assert known.holders(ip("10.0.0.4")) == ()
    assert got(known, want("c")) == ["10.0.0.4"]


# What is there already


def test_those_who_share_rightly_do_not_contest() -> None:
    known = sharing()
    known.adopt(want("a", HTTP), ips("10.0.0.4"))
    assert known.adopt(want("b", HTTPS), ips("10.0.0.4")) == {}


@pytest.mark.parametrize(
    "other",
    [
        want("b", HTTP),
        want("b"),
        want("b", HTTPS, namespace="closed"),
        want("b", HTTPS, local=True, selector=DB),
    ],
)
def test_those_who_would_not_have_got_it_do(other: Request) -> None:
    known = sharing(allow_share_closed="false")
    known.adopt(want("a", HTTP, selector=APP), ips("10.0.0.4"))
    assert known.adopt(other, ips("10.0.0.4")) == {ip("10.0.0.4"): ("default/a",)}
