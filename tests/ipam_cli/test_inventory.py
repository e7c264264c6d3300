"""Who has which address, how full the pools are, and who waits."""

import attrs

from kubevip.ipam import read
from kubevip.provision.inventory import Holding, take_inventory
from kubevip.provision.verdict import Classes
from tests.ipam_cli.services import IPV4, IPV6, PREFER, ips, key, service

POOL = {"range-global": "10.0.0.1-10.0.0.4"}


def inventory(services, data=POOL, nodes=None, classes=None):
    return take_inventory(services, nodes or {}, None if data is None else read(data), classes or Classes())


def holdings(*arguments, **options):
    return {(str(each.address), each.owner): each for each in inventory(*arguments, **options).holdings}


def usage(*arguments, **options):
    return {
        (each.pool, int(each.family)): (each.used, each.free, each.size)
        for each in inventory(*arguments, **options).usage
    }


def waiting(*arguments, **options):
    return {each.name: why for each, why in inventory(*arguments, **options).waiting.items()}


def test_an_assigned_address_has_its_owner_and_its_pool():
    found = inventory([service("a", "10.0.0.1", "range-global")])
    assert found.holdings == (Holding(*ips("10.0.0.1"), "default/a", "range-global"),)
    assert found.waiting == {}


def test_usage_is_of_each_family():
    services = [service("a", "10.0.0.1,fd00::1", "cidr-default"), service("b", "10.0.0.2", "cidr-default")]
    assert usage(services, {"cidr-default": "10.0.0.0/29,fd00::/64"}) == {
        ("cidr-default", 4): (2, 5, 7),
        ("cidr-default", 6): (1, 2**64 - 1, 2**64),
    }


def test_nobody_is_given_anything_by_looking():
    services = [service("a"), service("b")]
    assert usage(services) == {("range-global", 4): (0, 4, 4)}
    assert inventory(services).holdings == ()


def test_who_shares_is_told_of_each_other():
    both = [
        service(name, "10.0.0.1", "range-global", ports=frozenset({(port, "TCP")}))
        for name, port in (("a", 80), ("b", 81))
    ]
    found = holdings(both, POOL | {"allow-share-global": "true"})
    assert found["10.0.0.1", "default/a"].shared_with == ("default/b",)
    assert found["10.0.0.1", "default/b"].shared_with == ("default/a",)
    assert usage(both, POOL | {"allow-share-global": "true"}) == {("range-global", 4): (1, 3, 4)}


def test_a_users_own_address_has_where_it_is_written():
    services = [
        service("a", "10.0.0.2"),
        service("b", load_balancer_ip="10.0.0.3"),
        service("c", "10.9.9.9", "annotation"),
    ]
    assert {each.owner: each.origin for each in inventory(services).holdings} == {
        "default/a": "annotation",
        "default/b": "spec",
        "default/c": "annotation",
    }


def test_who_is_in_no_pool_is_marked():
    services = [service("a", "10.9.9.9", "range-global"), service("b", "10.0.0.2", "range-global")]
    assert {each.owner: each.outside for each in inventory(services).holdings} == {
        "default/a": True,
        "default/b": False,
    }


def test_kube_vip_cloud_providers_addresses_are_of_the_pool_that_has_them():
    marked = {"labels": {"implementation": "kube-vip"}}
    services = [service("a", "10.0.0.1", load_balancer_ip="10.0.0.1", **marked)]
    assert [each.origin for each in inventory(services).holdings] == ["range-global"]


def test_addresses_of_others_are_shown_as_such():
    services = [
        service("a", load_balancer_class="acme.io/x", load_balancer_ip="10.0.0.1"),
        service("b", "10.0.0.2", "range-global", deleting=True),
        service("c", "10.0.0.3,x"),
    ]
    assert {each.owner: each.origin for each in inventory(services).holdings} == {
        "default/a": "not ours",
        "default/b": "being released",
        "default/c": "refused",
    }


def test_an_address_that_a_users_edit_leaves_behind_is_being_released():
    edited = service("a", "10.0.0.3", annotations={"kubevip.io/assigned": "range-global 10.0.0.1"})
    edited = attrs.evolve(edited, load_balancer_ip="10.0.0.1")
    assert {(str(each.address), each.origin) for each in inventory([edited]).holdings} == {
        ("10.0.0.3", "annotation"),
        ("10.0.0.1", "being released"),
    }


def test_a_nodes_address_is_shown_where_a_pool_has_it():
    nodes = {"node1": ips("10.0.0.4", "192.168.0.1")}
    assert inventory([], nodes=nodes).holdings == (Holding(*ips("10.0.0.4"), "node node1", "node"),)
    assert usage([], nodes=nodes) == {("range-global", 4): (1, 3, 4)}


def test_addresses_are_in_order_and_ipv4_goes_first():
    services = [
        service(name, text, "range-global") for name, text in (("a", "fd00::1"), ("b", "10.0.0.10"), ("c", "10.0.0.9"))
    ]
    assert [str(each.address) for each in inventory(services).holdings] == ["10.0.0.9", "10.0.0.10", "fd00::1"]


def test_dhcp_is_shown_and_shared_with_nobody():
    services = [service(name, "0.0.0.0", "cidr-global") for name in ("a", "b")]
    found = inventory(services, {"cidr-global": "0.0.0.0/32"}).holdings
    assert [(each.owner, each.shared_with, each.outside) for each in found] == [
        ("default/a", (), False),
        ("default/b", (), False),
    ]


def test_what_another_ipam_gave_is_inside_of_its_pool():
    found = inventory([service("a", "10.7.7.7", "source-global")], {"source-global": "acme"}).holdings
    assert [each.outside for each in found] == [False]


def test_who_waits_is_told_what_the_provider_tells():
    full = [service(f"s{number}", f"10.0.0.{number}", "range-global") for number in range(1, 5)]
    assert "no addresses available in range-global" in waiting([*full, service("new")])["new"]


def test_who_could_have_one_is_told_that():
    assert waiting([service("a"), service("b")]) == {
        "a": "10.0.0.1 is free for it: is the provider running?",
        "b": "10.0.0.2 is free for it: is the provider running?",
    }


def test_what_is_refused_waits():
    services = [service("a", "10.0.0.1", "range-global"), service("b", "10.0.0.1"), service("c", "1.2.3.04")]
    told = waiting(services)
    assert "10.0.0.1 is in use by default/a" in told["b"]
    assert "1.2.3.04" in told["c"]
    assert set(told) == {"b", "c"}


def test_who_lacks_a_second_family_waits_for_it():
    services = [service("a", "10.0.0.9", "cidr-default", policy=PREFER, families=(IPV4, IPV6))]
    assert waiting(services, {"cidr-default": "10.0.0.8/29,fd00::8/125"}) == {
        "a": "fd00::8 is free for it: is the provider running?"
    }


def test_who_is_another_ipams_waits_for_that():
    assert "'acme'" in waiting([service("a")], {"source-global": "acme x"})["a"]


def test_without_a_config_map_all_wait_and_are_told_what_to_create():
    found = take_inventory([service("a")], {}, None, Classes(), "the ConfigMap kube-system/kubevip")
    assert "create the ConfigMap kube-system/kubevip with one of" in found.waiting[key("a")]


def test_services_of_a_class_count_where_that_is_served():
    services = [service("a", load_balancer_class="kube-vip.io/kube-vip-class"), service("b")]
    classes = Classes(classless=False, names=frozenset({"kube-vip.io/kube-vip-class"}))
    assert set(waiting(services)) == {"b"}
    assert set(waiting(services, classes=classes)) == {"a"}
