"""What is found about the pools of a ConfigMap, each by itself and beside one another."""

from ipaddress import ip_address, ip_network

import pytest

from kubevip.ipam import Block
from kubevip.ipam.checking import check
from kubevip.ipam.findings import Grade, Surroundings
from kubevip.ipam.overlaps import MOST_PAIRS


def block(text):
    network = ip_network(text)
    return Block.between(network[0], network[-1])


PODS = Surroundings(pods=(block("10.244.0.0/16"), block("fd00:244::/48")))
SERVICES = Surroundings(services=(block("10.96.0.0/12"),))
NODES = Surroundings(nodes={"node1": (ip_address("172.31.0.1"), ip_address("fd00::1")), "node2": ()})


def found(data, around=None):
    """Return grade, key and text of each finding."""
    checked = check(data, around) if around else check(data)
    return [(finding.grade, finding.key, finding.text) for finding in checked.findings]


def graded(grade, data, around=None):
    """Return key and text of the findings of one grade."""
    return [(key, text) for each, key, text in found(data, around) if each is grade]


def errors(data, around=None):
    return graded(Grade.ERROR, data, around)


def warnings(data, around=None):
    return graded(Grade.WARNING, data, around)


def notes(data, around=None):
    return graded(Grade.NOTE, data, around)


def nearest(data):
    return {finding.key: finding.nearest for finding in check(data).findings if finding.nearest}


# As a whole


def test_nothing_is_found_about_the_operators_pools():
    data = {"range-global": "172.31.0.99-172.31.0.99"}
    assert found(data) == []
    assert check(data).is_right


def test_a_config_map_without_pools_is_an_error_that_names_the_keys():
    ((key, text),) = errors({"search-order": "desc"})
    assert key == "data"
    assert "range-global" in text


def test_what_the_provider_cant_use_is_an_error():
    data = {"cidr-global": "10.0.0.0/33", "range-a": "10.0.0.5-10.0.0.6"}
    ((key, text),) = errors(data)
    assert not check(data).is_right
    assert key == "cidr-global"
    assert "10.0.0.0/33" in text


def test_too_much_is_one_error():
    ((key, text),) = errors({"cidr-global": "10.0.0.0/24," * 100_000})
    assert key == "data"
    assert "1048576" in text


def test_the_worst_comes_first():
    data = {"cidr-a": "10.0.0.1/29", "rnge-b": "x", "range-c": "y"}
    grades = [grade for grade, _key, _text in found(data)]
    assert grades == sorted(grades, key=list(Grade).index)
    assert set(grades) == set(Grade)


# Keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("rnge-global", "range-global"),
        ("cidr_global", "cidr-global"),
        ("allow-shared-web", "allow-share-web"),
        ("serch-order", "search-order"),
        ("cidr-Web_1", "cidr-web-1"),
        ("cidr-golbal", "cidr-global"),
        ("cidr", "cidr-global"),
    ],
)
def test_the_nearest_key_is_suggested(key, meant):
    assert nearest({key: "10.0.0.5", "range-global": "10.0.0.5-10.0.0.9"})[key] == meant


def test_a_setting_for_a_namespace_without_a_pool_is_warned_about():
    data = {"cidr-default": "10.0.0.8/30", "allow-share-defualt": "true", "interface-web": "eth0", "fallback-b": "true"}
    told = [key for key, text in warnings(data) if "no pool for namespace" in text]
    assert told == ["allow-share-defualt", "fallback-b", "interface-web"]
    assert nearest(data) == {"allow-share-defualt": "allow-share-default"}


def test_a_setting_for_a_namespace_that_the_global_pool_serves_is_right():
    assert warnings({"range-global": "10.0.0.8-10.0.0.9", "allow-share-web": "true"}) == []


def test_sharing_without_ipv4_addresses_has_no_effect():
    assert [key for key, _text in warnings({"cidr-a": "fd00::/64", "allow-share-a": "true"})] == ["allow-share-a"]
    assert [key for key, _text in warnings({"cidr-a": "fd00::/64", "allow-share-global": "1"})] == [
        "allow-share-global"
    ]


def test_a_fallback_to_nothing_has_no_effect():
    assert [key for key, _text in warnings({"range-a": "10.0.0.8-10.0.0.9", "fallback-a": "true"})] == ["fallback-a"]


def test_an_empty_interface_that_hides_the_global_one_is_warned_about():
    data = {"range-global": "10.0.0.8-10.0.0.9", "interface-global": "eth0", "interface-web": ""}
    ((key, text),) = warnings(data)
    assert key == "interface-web"
    assert "eth0" in text


def test_an_empty_interface_that_hides_nothing_is_right():
    assert warnings({"range-global": "10.0.0.8-10.0.0.9", "interface-web": ""}) == []


@pytest.mark.parametrize("name", ["averyveryverylongname", "eth 0", "a/b"])
def test_what_cant_be_an_interface_is_warned_about(name):
    assert [key for key, _ in warnings({"range-global": "10.0.0.8-10.0.0.9", "interface-global": name})] == [
        "interface-global"
    ]


# Pools beside one another


def test_a_pool_that_another_one_of_its_namespace_hides_is_warned_about():
    ((key, text),) = warnings({"cidr-a": "10.0.0.8/32", "range-a": "10.0.1.1-10.0.1.9"})
    assert key == "range-a"
    assert 'fallback-a: "true"' in text


def test_with_a_fallback_no_pool_is_hidden():
    assert warnings({"cidr-a": "10.0.0.8/32", "range-a": "10.0.1.1-10.0.1.9", "fallback-a": "true"}) == []


def test_where_kube_vip_cloud_provider_takes_another_pool_is_noted():
    ((key, text),) = notes({"range-a": "10.0.1.1-10.0.1.9", "cidr-global": "10.0.0.8/32"})
    assert key == "range-a"
    assert "kube-vip-cloud-provider serves it from cidr-global" in text


def test_pools_that_overlap_are_warned_about_with_what_they_have_in_common():
    ((key, text),) = warnings({"range-a": "10.0.0.1-10.0.0.9", "range-b": "10.0.0.5-10.0.0.20"})
    assert key == "range-a"
    assert "5 addresses in common with range-b (10.0.0.5-10.0.0.9)" in text


def test_one_address_in_common_is_an_overlap():
    ((_key, text),) = warnings({"range-a": "10.0.0.1-10.0.0.5", "range-b": "10.0.0.5-10.0.0.20"})
    assert "1 address in common with range-b (10.0.0.5/32)" in text


def test_pools_that_touch_do_not_overlap():
    assert warnings({"range-a": "10.0.0.1-10.0.0.4", "range-b": "10.0.0.5-10.0.0.20"}) == []


def test_addresses_that_nobody_gives_out_are_no_overlap():
    assert warnings({"range-a": "10.0.0.250-10.0.0.255", "range-b": "10.0.0.255-10.0.1.9"}) == []
    assert warnings({"range-a": "10.0.0.1-10.0.0.5", "range-b": "10.0.0.5-10.0.0.9", "reserved": "10.0.0.5"}) == []


def test_a_hidden_pool_overlaps_with_none():
    texts = [text for _key, text in warnings({"cidr-a": "10.0.0.8/29", "range-a": "10.0.0.9-10.0.0.10"})]
    assert not any("in common" in text for text in texts)


def test_ipv4_and_ipv6_do_not_overlap():
    assert warnings({"cidr-a": "10.0.0.8/32", "cidr-b": "::a00:8/128"}) == []


def test_of_very_many_overlaps_the_first_are_told():
    told = warnings({f"cidr-n{number}": "10.0.0.0/24" for number in range(200)})
    assert len(told) == MOST_PAIRS + 1
    assert f"the first {MOST_PAIRS:,}" in dict(told)["data"]


def test_reserved_addresses_outside_of_every_pool_are_warned_about():
    ((key, text),) = warnings({"range-a": "10.0.0.1-10.0.0.9", "reserved": "10.0.0.5,10.9.0.0/24"})
    assert key == "reserved"
    assert "10.9.0.0/24" in text
    assert "10.0.0.5" not in text


# Networks around them


def test_addresses_of_pods_are_an_error():
    ((key, text),) = errors({"range-a": "10.243.255.9-10.244.0.9"}, PODS)
    assert key == "range-a"
    assert "Pods: 10.244.0.0-10.244.0.9" in text


def test_addresses_of_the_service_network_are_an_error():
    assert [key for key, _text in errors({"cidr-a": "10.100.0.8/29"}, SERVICES)] == ["cidr-a"]


def test_pools_beside_the_networks_are_right():
    assert errors({"cidr-a": "10.245.0.8/29,fd00:245::/64"}, PODS) == []


def test_a_node_in_a_pool_is_warned_about_by_name():
    ((key, text),) = warnings({"range-a": "172.31.0.1-172.31.0.9"}, NODES)
    assert (key, text) == ("range-a", "172.31.0.1 of node node1 is not given out")


def test_a_pool_of_nothing_but_a_nodes_address_is_an_error():
    ((key, text),) = errors({"range-a": "172.31.0.1-172.31.0.1"}, NODES)
    assert key == "range-a"
    assert "no address is left" in text


# One pool


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("127.0.0.8/29", "loopback"),
        ("::1/128", "loopback"),
        ("224.0.0.8/29", "multicast"),
        ("ff02::/120", "multicast"),
        ("0.0.0.0/0", "loopback"),
    ],
)
def test_addresses_that_no_service_can_have_are_an_error(text, what):
    assert any(key == "cidr-a" and what in text for key, text in errors({"cidr-a": text}))


@pytest.mark.parametrize(
    ("text", "what"), [("169.254.1.8/29", "link-local"), ("fe80::/64", "link-local"), ("240.0.0.8/29", "reserved")]
)
def test_addresses_that_hardly_work_are_warned_about(text, what):
    ((key, found_text),) = warnings({"cidr-a": text})
    assert key == "cidr-a"
    assert what in found_text


def test_a_pool_of_addresses_that_end_in_0_or_255_is_empty():
    ((key, text),) = errors({"cidr-a": "10.0.0.0/32"})
    assert key == "cidr-a"
    assert 'use-0-and-255: "true"' in text


def test_a_pool_that_is_all_reserved_is_empty():
    ((_key, text),) = errors({"range-a": "10.0.0.1-10.0.0.2", "reserved": "10.0.0.0/24"})
    assert "2 are kept free by reserved" in text


def test_one_family_that_is_empty_is_warned_about():
    ((_key, text),) = warnings({"cidr-a": "10.0.0.0/32,fd00::/120"})
    assert "its IPv4 part" in text


def test_addresses_at_the_ends_of_24_are_noted():
    ((key, text),) = notes({"cidr-a": "10.0.0.0/24"})
    assert key == "cidr-a"
    assert text.startswith("2 addresses end in .0 or .255")


def test_with_use_0_and_255_the_ends_are_given_out():
    ((_key, text),) = notes({"cidr-a": "10.0.0.0/24", "use-0-and-255": "true"})
    assert text.startswith("10.0.0.0 and 10.0.0.255 of 10.0.0.0/24 can be given out")


def test_ends_that_a_network_of_its_own_would_need_are_noted():
    ((_key, text),) = notes({"cidr-a": "10.0.0.8/29"})
    assert text.startswith("10.0.0.8 and 10.0.0.15 of 10.0.0.8/29 can be given out")


@pytest.mark.parametrize("text", ["10.0.0.8/31", "10.0.0.8/32", "10.0.0.8-10.0.0.15", "fd00::/120"])
def test_what_has_no_ends_has_no_note(text):
    assert notes({"cidr-a": text}) == []


def test_with_skip_ends_the_ends_are_not_noted():
    assert found({"cidr-a": "10.0.0.8/29", "skip-end-ips-in-cidr": "true"}) == []


def test_skip_ends_without_cidrs_has_no_effect():
    data = {"range-a": "10.0.0.8-10.0.0.15", "skip-end-ips-in-cidr": "true"}
    assert [key for key, _text in warnings(data)] == ["skip-end-ips-in-cidr"]


def test_bits_after_the_prefix_are_noted():
    texts = [text for _key, text in notes({"cidr-a": "192.168.0.210/29"})]
    assert "192.168.0.210/29 is 192.168.0.208/29: bits after the prefix don't count" in texts


def test_addresses_that_are_written_twice_are_warned_about():
    ((_key, text),) = warnings({"range-a": "10.0.0.1-10.0.0.9,10.0.0.5-10.0.0.12"})
    assert text.startswith("5 addresses are written more than once")


def test_the_dhcp_marker_is_noted():
    ((key, text),) = notes({"cidr-a": "0.0.0.0/32"})
    assert key == "cidr-a"
    assert "DHCP" in text


def test_the_dhcp_marker_beside_other_addresses_is_left_out_with_a_warning():
    assert any("DHCP" in text for _key, text in warnings({"cidr-a": "0.0.0.0/32,10.0.0.8/32"}))


def test_the_dhcp_marker_written_as_a_range_is_an_error():
    ((_key, text),) = errors({"range-a": "0.0.0.0-0.0.0.0"})
    assert "0.0.0.0/32" in text


def test_a_pool_of_the_unspecified_ipv6_address_is_an_error():
    assert len(errors({"cidr-a": "::/128"})) == 1


def test_another_ipams_pool_is_noted():
    assert notes({"source-a": "acme 10.0.0.0/8"}) == [
        ("source-a", "the IPAM 'acme' gives its addresses, and isn't asked here")
    ]


# Sizes


def test_sizes_are_of_what_can_be_given_out():
    data = {"cidr-a": "10.0.0.0/24,fd00::/64", "reserved": "10.0.0.7", "range-global": "10.0.1.1-10.0.1.3"}
    sizes = [(size.key, size.scope, size.family, size.size, size.use) for size in check(data).sizes]
    assert sizes == [
        ("cidr-a", "a", 4, 253, "first choice"),
        ("cidr-a", "a", 6, 2**64, "first choice"),
        ("range-global", "global", 4, 3, "first choice"),
    ]


def test_pools_without_addresses_of_their_own_have_their_use():
    data = {
        "cidr-a": "x",
        "range-a": "10.0.0.1-10.0.0.2",
        "fallback-a": "1",
        "range-b": "y",
        "source-c": "acme",
        "cidr-d": "0.0.0.0/32",
    }
    uses = {size.key: (size.use, size.addresses) for size in check(data).sizes}
    assert uses == {
        "cidr-a": ("can't be used", ""),
        "range-a": ("fallback", "10.0.0.1-10.0.0.2"),
        "range-b": ("can't be used", ""),
        "source-c": ("first choice", "by acme"),
        "cidr-d": ("first choice", "by DHCP"),
    }


@pytest.mark.parametrize(
    "data",
    [
        {f"cidr-n{number}": f"10.{number >> 8}.{number & 255}.0/24" for number in range(5000)},
        {"cidr-a": ",".join(f"10.{number >> 8}.{number & 255}.9/28" for number in range(30_000))},
        {"cidr-a": "10.0.0.0/8", "reserved": ",".join(f"10.{n >> 8}.{n & 255}.9" for n in range(30_000))},
    ],
    ids=["many pools", "long pool", "many reserved"],
)
@pytest.mark.timeout(20)
def test_large_config_maps_are_checked(data):
    assert check(data, PODS).sizes
