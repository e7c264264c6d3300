"""None of kube-vip-cloud-provider's weaknesses, as far as they lie in what is decided. The numbers are our inventory's.

What lies elsewhere is tested there: 13 and 14 in the controller, 20 in the command and the metrics.
"""

import itertools
from collections.abc import Callable

import pytest

from kubevip.provision.replan import written
from kubevip.provision.verdict import RECORD, Classes, Facts
from kubevip.service import ADDRESSES, INTERFACE
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import (
    DNS,
    HTTP,
    HTTPS,
    ONLY_V4,
    PREFERS_DUAL,
    labelled,
    note,
    readable,
    recorded_as,
    served,
    service,
)

ONE = {"range-global": "10.0.0.1-10.0.0.1"}


@pytest.mark.parametrize(
    "text", ["", " ", ",", "10.0.0.1, ", "rubbish", "10.0.0.1;10.0.0.2", "::ffff:10.0.0.1", "\x00"]
)
@pytest.mark.parametrize("make", [service, labelled])
def test_1_one_bad_annotation_stops_nobody(text: str, make: Callable[..., Facts]) -> None:
    desk = Desk()
    desk.create(make("bad", text=text), service("a"))
    desk.work()
    assert desk.has("a") in ("10.0.0.1", "10.0.0.2")
    desk.restart()
    desk.serve(service("b"))
    assert desk.has("b") in ("10.0.0.2", "10.0.0.3")


def test_2_an_exhausted_pool_of_one_family_leaves_no_empty_annotation_with_one_that_prefers_two() -> None:
    desk = serve(ONE, "a", service("b", **PREFERS_DUAL))
    assert ADDRESSES not in desk.service("b").annotations
    assert desk.service("b").labels == {}
    assert "no addresses available in range-global" in desk.waiting("b")
    desk.configure(GLOBAL)
    desk.serve(service("c"))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


def test_3_a_users_spec_is_seen_by_all() -> None:
    desk = Desk()
    desk.create(service("a"), service("b", spec="10.0.0.1"), service("web/c", spec="10.0.0.2"))
    desk.work()
    assert desk.has("a") == "10.0.0.3"


def test_3_a_users_spec_is_seen_by_those_that_share() -> None:
    data = {**GLOBAL, "allow-share-global": "true"}
    desk = serve(data, service("b", spec="10.0.0.1", ports=[HTTP]), service("a", ports=[HTTP]))
    assert desk.has("a") == "10.0.0.2"


@pytest.mark.parametrize("first", ["web/a", "b"])
def test_4_overlapping_pools_give_an_address_once(first: str) -> None:
    second = "b" if first == "web/a" else "web/a"
    desk = serve({**GLOBAL, "range-web": "10.0.0.1-10.0.0.3"}, first, second)
    assert (desk.has(first), desk.has(second)) == ("10.0.0.1", "10.0.0.2")


def test_4_a_namespace_called_global_has_no_account_of_its_own() -> None:
    desk = serve(GLOBAL, "a", "global/b", "web/c")
    assert len(set(desk.all().values())) == 3


def test_4_a_users_address_in_another_namespace_isnt_given() -> None:
    desk = serve({"range-web": "10.0.0.1-10.0.0.2", "range-db": "10.0.0.1-10.0.0.2"}, service("db/a", text="10.0.0.1"))
    desk.serve(service("web/b"))
    assert desk.has("web/b") == "10.0.0.2"


def test_5_workers_side_by_side_give_each_address_once() -> None:
    desk = Desk({"range-global": "10.0.0.1-10.0.0.200"})
    names = [f"s{number}" for number in range(100)]
    desk.create(*map(service, names))
    desk.see()
    decisions = [desk.decide(name) for name in names]
    written = [desk.write(each) for each in reversed(decisions)]
    assert len(set().union(*map(served, written))) == 100


def test_6_an_address_that_is_there_meanwhile_isnt_overwritten() -> None:
    desk = Desk()
    desk.create(service("a"))
    desk.see()
    decision = desk.decide("a")
    desk.edit("a", "10.0.0.3")
    assert decision is not None
    assert decision.facts.version != desk.service("a").version
    desk.accounts.failed(key_of("a"), certainly=True)
    desk.work()
    assert desk.has("a") == "10.0.0.3"


def test_7_a_pool_that_is_edited_back_and_forth_is_the_one_that_is_written() -> None:
    desk = serve({"cidr-global": "10.0.0.0/30"}, "a")
    desk.configure({"range-global": "192.0.2.1-192.0.2.9"})
    desk.serve(service("b"))
    desk.configure({"cidr-global": "10.0.0.0/30"})
    desk.serve(service("c"))
    assert desk.all() == {"a": "10.0.0.1", "b": "192.0.2.1", "c": "10.0.0.2"}


def test_7_skip_end_ips_counts_at_once() -> None:
    desk = serve({"cidr-global": "10.0.0.8/30", "skip-end-ips-in-cidr": "true"}, "a", "b", "c")
    assert desk.all() == {"a": "10.0.0.9", "b": "10.0.0.10", "c": ""}
    desk.configure({"cidr-global": "10.0.0.8/30"})
    desk.work()
    assert desk.has("c") == "10.0.0.8"


@pytest.mark.parametrize("classes", [Classes(), Classes(classless=False, names=frozenset({"x"}))])
def test_8_a_change_of_type_leaks_nothing_and_wedges_no_deletion(classes: Classes) -> None:
    desk = Desk(ONE, classes)
    name = next(iter(classes.names), None)
    desk.serve(service("a", load_balancer_class=name))
    desk.edit("a", type="ClusterIP", load_balancer_class=None)
    desk.serve(service("b", load_balancer_class=name))
    assert desk.has("b") == "10.0.0.1"
    assert desk.service("a").finalizers == ()
    desk.delete("a")
    assert key_of("a") not in desk.server.objects


@pytest.mark.parametrize("spec", ["nonsense", "10.0.0.1", "fd00::1", "224.0.0.1"])
def test_9_a_users_address_is_checked(spec: str) -> None:
    desk = serve(GLOBAL, "a")
    desk.serve(service("b", spec=spec, **ONLY_V4))
    assert desk.reasons("b") == ["AddressRefused"]
    assert RECORD not in desk.service("b").annotations


def test_9_a_users_address_outside_of_all_pools_is_told() -> None:
    assert "AddressOutsidePools" in serve(GLOBAL, service("a", spec="192.0.2.1")).reasons("a")


def test_10_annotation_and_spec_never_stay_different() -> None:
    edits = [("10.0.0.2", None), (None, "10.0.0.2"), ("10.0.0.2", "10.0.0.3"), ("", None), (None, ""), ("", "")]
    for start, (text, spec) in itertools.product([{}, {"text": "10.0.0.1"}, {"spec": "10.0.0.1"}], edits):
        desk = serve(GLOBAL, service("a", **start))
        changes = {} if spec is None else {"load_balancer_ip": spec}
        desk.edit("a", "" if text is None else text or None, **changes)
        desk.work()
        facts = desk.service("a")
        assert readable(facts.annotations[ADDRESSES]) == readable(facts.load_balancer_ip) == served(facts)


def test_11_dns_by_tcp_and_by_udp_shares_an_address() -> None:
    data = {**GLOBAL, "allow-share-global": "true"}
    desk = serve(data, service("a", ports=[DNS]), service("b", ports=[(53, "TCP")]))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.1"}


def test_11_what_is_shared_is_in_the_pool_and_is_the_same_at_every_try() -> None:
    data = {"range-web": "10.0.0.9-10.0.0.9", "range-global": "10.0.0.1-10.0.0.3", "allow-share-global": "true"}
    for _ in range(10):
        desk = serve(data, service("web/a", ports=[HTTP]), service("b", ports=[HTTP]), service("c", ports=[HTTP]))
        desk.serve(service("d", ports=[HTTPS]))
        assert desk.has("d") == "10.0.0.1"


def test_11_the_dhcp_marker_isnt_shared() -> None:
    desk = serve({**GLOBAL, "allow-share-global": "true"}, service("a", spec="0.0.0.0", ports=[HTTP]))
    desk.serve(service("b", ports=[HTTPS]))
    assert desk.has("b") == "10.0.0.1"


def test_11_those_whose_traffic_stays_on_its_node_share_with_the_same_pods_only() -> None:
    data = {**GLOBAL, "allow-share-global": "true"}
    one, other = {"local": True, "selector": (("app", "x"),)}, {"local": True, "selector": (("app", "y"),)}
    desk = serve(data, service("a", ports=[HTTP], **one), service("b", ports=[HTTPS], **other))
    desk.serve(service("c", ports=[DNS], **one))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.1"}


def test_12_a_global_cidr_doesnt_hide_the_range_of_a_namespace() -> None:
    desk = serve({"cidr-global": "10.0.0.0/30", "range-web": "192.0.2.1-192.0.2.9"}, "web/a", "b")
    assert desk.all() == {"web/a": "192.0.2.1", "b": "10.0.0.1"}


def test_12_blanks_dont_matter_and_the_next_pool_serves_where_that_is_allowed() -> None:
    desk = serve({"range-web": " 10.0.0.1 - 10.0.0.1 ", **GLOBAL, "fallback-web": "1"}, "web/a", "web/b")
    assert desk.all() == {"web/a": "10.0.0.1", "web/b": "10.0.0.2"}
    assert note(desk.service("web/b")) == "range-global 10.0.0.2"


def test_12_a_configmap_that_is_put_right_serves_at_once() -> None:
    desk = serve({"range-global": "10.0.0.1"}, "a")
    desk.configure(GLOBAL)
    assert desk.accounts.next_due() == key_of("a")


def test_13_services_with_a_class_are_told_as_all_others() -> None:
    desk = Desk(GLOBAL, Classes(classless=False, names=frozenset({"x"})))
    desk.serve(service("a", load_balancer_class="x"))
    assert desk.reasons("a") == ["EnsuredLoadBalancer"]


def test_14_an_address_takes_one_write_and_no_read() -> None:
    desk = Desk({"range-global": "10.0.0.1-10.0.0.200"})
    desk.create(*(service(f"s{number}") for number in range(100)))
    desk.work()
    assert desk.writes == 100


def test_15_addresses_that_end_in_0_and_255_are_given_where_that_is_wished() -> None:
    data = {"range-global": "10.0.0.255-10.0.1.0"}
    assert serve(data, "a").has("a") == ""
    desk = serve({**data, "use-0-and-255": "true"}, "a", "b")
    assert desk.all() == {"a": "10.0.0.255", "b": "10.0.1.0"}


def test_15_skip_end_ips_is_about_the_cidrs_as_they_are_written() -> None:
    data = {"cidr-global": "10.0.0.200/30,10.0.0.204/30", "skip-end-ips-in-cidr": "true"}
    desk = serve(data, "a", "b", "c", "d", "e")
    assert [desk.has(name)[-3:] for name in "abcd"] == ["201", "202", "205", "206"]
    assert desk.has("e") == ""


def test_16_a_missing_configmap_is_a_message_and_nothing_else() -> None:
    desk = serve(None, "a")
    assert desk.told("a").startswith(
        "Error syncing load balancer: no address pools could be found: create the ConfigMap"
    )
    assert desk.writes == 0


def test_17_a_range_that_runs_backwards_is_told_in_words() -> None:
    desk = serve({"range-global": "10.0.0.9-10.0.0.1"}, "a")
    assert desk.waiting("a") == (
        "range-global can't be used: the range 10.0.0.9-10.0.0.1 runs backwards: write 10.0.0.1-10.0.0.9"
    )


def test_17_exhaustion_names_the_key_of_a_global_pool() -> None:
    assert serve(ONE, "web/a", "db/b").waiting("db/b") == "no addresses available in range-global [10.0.0.1/32]"


def test_18_a_users_interface_stays_and_static_services_get_one() -> None:
    desk = Desk({**GLOBAL, "interface-global": "eth1"})
    desk.serve(service("a", annotations={INTERFACE: "eth7"}), service("b", spec="10.0.0.3"))
    assert [desk.service(name).annotations[INTERFACE] for name in "ab"] == ["eth7", "eth1"]


def test_19_dropping_the_label_frees_nothing() -> None:
    desk = serve(GLOBAL, "a")
    desk.edit("a", labels={})
    desk.see()
    assert desk.accounts.holders(next(iter(served(desk.service("a"))))) == ("default/a",)


def test_19_setting_the_label_gives_no_right_to_somebody_elses_address() -> None:
    desk = serve(GLOBAL, "a")
    desk.serve(labelled("b", "10.0.0.1", spec=""))
    desk.serve(service("c"))
    assert (desk.has("a"), desk.has("c")) == ("10.0.0.1", "10.0.0.2")


def test_20_how_full_pools_are_is_told() -> None:
    desk = serve(GLOBAL, "a")
    statistics = desk.statistics("range-global")
    assert (statistics.size, statistics.used, statistics.free) == (3, 1, 2)


def test_21_conflict_deletion_restart_and_a_new_configmap_in_one_story() -> None:
    desk = serve(GLOBAL, "a", "b")
    desk.create(service("c"))
    desk.see()
    decision = desk.decide("c")
    desk.edit("c", labels={"tier": "web"})
    desk.accounts.failed(key_of("c"), certainly=True)
    desk.delete("a")
    desk.restart()
    desk.configure({"range-global": "10.0.0.2-10.0.0.3"})
    desk.work()
    assert desk.all() == {"b": "10.0.0.2", "c": "10.0.0.3"}
    assert decision is not None
    assert written(decision.facts, decision.edits).annotations[ADDRESSES] == "10.0.0.3"


def test_what_was_recorded_by_hand_is_believed_only_with_the_address() -> None:
    desk = serve(GLOBAL, "a")
    desk.serve(recorded_as("range-global", "10.0.0.1", "b", text=None, spec=""))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2"}
