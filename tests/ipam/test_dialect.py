"""The keys of the ConfigMap: what each says, which goes first, and what is told about those that can't be used."""

import pytest

from kubevip.ipam import Pools, Problem, Severity, read
from kubevip.ipam.dialect import LONGEST
from tests.ipam.asking import IPV4, IPV6, ip

ERROR, WARNING = Severity.ERROR, Severity.WARNING
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
NEITHER = ("yes", "no", "on", "off", "tRUE", "y", "", "2", "true,", "10.0.0.0/24")


def served(pools: Pools, namespace: str) -> list[str]:
    return [pool.key for pool in pools.chain(namespace)]


def problem_of(data: dict[str, str]) -> Problem:
    (problem,) = read(data).problems
    return problem


# Pools


@pytest.mark.parametrize("key", ["cidr-global", "range-global", "cidr-a", "range-a"])
@pytest.mark.parametrize("text", ["10.0.0.0/30,fd00::/126", "10.0.0.0-10.0.0.3,fd00::-fd00::3"])
def test_what_a_pool_has_is_told_by_its_text_and_not_by_its_key(key: str, text: str) -> None:
    pools = read({key: text})
    pool = pools.pools[key]
    assert (pool.ipv4.size, pool.ipv6.size) == (3, 4)
    assert (pool.text, pool.kind, pool.broken, pool.dhcp, pools.problems) == (
        text, key.partition("-")[0], "", False, (),
    )  # fmt: skip


def test_blanks_around_the_text_of_a_pool_do_not_matter() -> None:
    assert str(read({"cidr-global": "\n 10.0.0.0/24 \n"}).pools["cidr-global"].ipv4) == "10.0.0.0/24"


def test_a_pool_has_a_part_for_each_family() -> None:
    pool = read({"cidr-a": "10.0.0.0/30,fd00::/126"}).pools["cidr-a"]
    assert (str(pool.of(IPV4)), str(pool.of(IPV6))) == ("10.0.0.0/30", "fd00::/126")


def test_an_own_pool_goes_before_a_global_one_and_cidrs_before_ranges() -> None:
    keys = ["cidr-a", "range-a", "source-a", "cidr-global", "range-global", "source-global"]
    data = dict.fromkeys(reversed(keys), "10.0.0.1-10.0.0.9") | {"source-a": "there", "source-global": "there"}
    for key in keys:
        assert served(read(data), "a") == [key]
        del data[key]
    assert served(read(data), "a") == []


def test_a_namespace_without_a_pool_of_its_own_has_the_global_one() -> None:
    pools = read({"cidr-global": "10.0.0.0/24", "cidr-a": "10.0.1.0/24"})
    assert (served(pools, "a"), served(pools, "b")) == (["cidr-a"], ["cidr-global"])


def test_a_global_cidr_does_not_hide_the_range_of_a_namespace() -> None:
    pools = read({"cidr-global": "10.0.0.0/24", "range-a": "10.0.1.1-10.0.1.9"})
    assert served(pools, "a") == ["range-a"]


def test_the_pool_of_a_longer_namespace_is_not_that_of_a_shorter_one() -> None:
    pools = read({"cidr-team-a": "10.0.0.0/24"})
    assert (served(pools, "team-a"), served(pools, "team"), served(pools, "a")) == (["cidr-team-a"], [], [])


def test_in_a_namespace_called_global_the_global_pool_is_one_and_not_two() -> None:
    pools = read({"cidr-global": "10.0.0.0/24", "range-global": "10.0.1.1-10.0.1.9", "fallback-global": "true"})
    assert served(pools, "global") == ["cidr-global", "range-global"]
    assert pools.problems == ()


def test_the_global_settings_are_those_of_a_namespace_called_global() -> None:
    pools = read({"allow-share-global": "true", "fallback-global": "true", "interface-global": "eth1"})
    assert (pools.shares("global"), pools.falls_back("global"), pools.interface_of("global")) == (True, True, "eth1")


def test_with_fallback_all_pools_that_serve_a_namespace_are_asked_in_turn() -> None:
    data = {"range-global": "10.0.0.1-10.0.0.1", "cidr-a": "10.0.1.0/24", "cidr-b": "10.0.2.0/24", "fallback-a": "1"}
    pools = read(data)
    assert served(pools, "a") == ["cidr-a", "range-global"]
    assert served(pools, "b") == ["cidr-b"]


def test_an_empty_pool_is_still_the_one_that_counts() -> None:
    pools = read({"cidr-a": "  ", "cidr-global": "10.0.0.0/24"})
    assert served(pools, "a") == ["cidr-a"]
    assert pools.problems == (Problem("cidr-a", "could not discover address: pool is not specified", ERROR),)


def test_a_malformed_pool_has_no_addresses_but_the_reason() -> None:
    pools = read({"cidr-a": "10.0.0.0/24,10.0.1.0/99", "cidr-global": "10.0.2.0/24"})
    pool = pools.pools["cidr-a"]
    assert (pool.ipv4.size, pool.ipv6.size) == (0, 0)
    assert pools.problems == (Problem("cidr-a", pool.broken, ERROR),)
    assert pool.broken.startswith("'10.0.1.0/99' needs a plain number")


def test_a_malformed_pool_hurts_no_other() -> None:
    pools = read({"cidr-a": "nonsense", "cidr-b": "10.0.0.0/24", "cidr-global": "10.0.1.0/24"})
    assert [pool.broken for pool in pools.chain("b") + pools.chain("c")] == ["", ""]


@pytest.mark.parametrize("text", ["0.0.0.0/32", " 0.0.0.0/32 ", "0.0.0.0/32,0.0.0.0/32"])
@pytest.mark.parametrize("key", ["cidr-global", "range-a"])
def test_the_marker_alone_asks_for_addresses_by_dhcp(key: str, text: str) -> None:
    pool = read({key: text}).pools[key]
    assert (pool.dhcp, bool(pool.ipv4), bool(pool.ipv6)) == (True, False, False)


def test_the_marker_stands_for_the_ipv4_part_where_there_are_ipv6_addresses_too() -> None:
    pool = read({"cidr-a": "0.0.0.0/32,fd00::/126"}).pools["cidr-a"]
    assert (pool.dhcp, str(pool.ipv4), str(pool.ipv6)) == (True, "", "fd00::/126")


@pytest.mark.parametrize("text", ["0.0.0.0-0.0.0.0", "0.0.0.0/31", "0.0.0.0/32,10.0.0.0/24", "::/128", "0.0.0.0/0"])
def test_nothing_else_is_the_marker(text: str) -> None:
    assert not read({"cidr-a": text, "use-0-and-255": "true"}).pools["cidr-a"].dhcp


@pytest.mark.parametrize(("text", "left"), [("0.0.0.0/30", "0.0.0.1-0.0.0.3"), ("::/126", "::1-::3")])
def test_nobody_gets_an_unspecified_address(text: str, left: str) -> None:
    pool = read({"cidr-a": text, "use-0-and-255": "true"}).pools["cidr-a"]
    assert f"{pool.ipv4}{pool.ipv6}" == left


def test_a_pool_knows_what_it_may_have_given() -> None:
    pool = read({"cidr-a": "10.0.0.0/24,fd00::/126"}).pools["cidr-a"]
    texts = ["10.0.0.1", "10.0.0.0", "10.0.1.1", "fd00::", "fd00::4", "0.0.0.0", "::"]
    assert [text for text in texts if ip(text) in pool] == ["10.0.0.1", "fd00::"]


def test_the_marker_is_what_a_pool_for_dhcp_gives() -> None:
    pool = read({"cidr-a": "0.0.0.0/32,fd00::/126"}).pools["cidr-a"]
    texts = ["0.0.0.0", "0.0.0.1", "::", "fd00::1"]
    assert [text for text in texts if ip(text) in pool] == ["0.0.0.0", "fd00::1"]


# Pools of others


def test_a_source_is_named_and_may_have_a_text() -> None:
    pools = read({"source-a": "netbox", "source-b": " netbox  prefix 10.0.0.0/8 ", "source-global": "infoblox x"})
    assert {key: (pool.source, pool.text) for key, pool in pools.pools.items()} == {
        "source-a": ("netbox", ""),
        "source-b": ("netbox", "prefix 10.0.0.0/8"),
        "source-global": ("infoblox", "x"),
    }
    assert pools.pools["source-a"].kind == "source"
    assert pools.problems == ()


@pytest.mark.parametrize("name", ["net/box", "n" * 64, "netböx", "a,b"])
def test_a_source_has_a_plain_name(name: str) -> None:
    assert problem_of({"source-a": f"{name} text"}) == Problem(
        "source-a", f"'{name if len(name) < 60 else name[:60] + '...'}' is no name of a pool source", ERROR
    )


# Settings of a namespace


@pytest.mark.parametrize("text", [*TRUE, *FALSE])
@pytest.mark.parametrize("key", ["allow-share-a", "fallback-a", "skip-end-ips-in-cidr", "use-0-and-255"])
def test_booleans_are_those_of_go(key: str, text: str) -> None:
    data = {key: text, "cidr-a": "10.0.0.0/24"}
    pools = read(data)
    assert pools.problems == ()
    size = pools.pools["cidr-a"].ipv4.size
    meant = {
        "allow-share-a": pools.shares("a"),
        "fallback-a": pools.falls_back("a"),
        "use-0-and-255": size == 256,
        "skip-end-ips-in-cidr": str(pools.pools["cidr-a"].ipv4) == "10.0.0.1-10.0.0.254",
    }
    assert meant[key] is (text in TRUE)


@pytest.mark.parametrize("text", NEITHER)
@pytest.mark.parametrize("key", ["allow-share-a", "fallback-global", "skip-end-ips-in-cidr", "use-0-and-255"])
def test_any_other_text_is_false_and_a_warning(key: str, text: str) -> None:
    pools = read({key: text, "cidr-a": "10.0.0.0/24"})
    assert pools.problems == (Problem(key, f"{text!r} is neither true nor false: false", WARNING),)
    assert not pools.shares("a")
    assert not pools.falls_back("b")
    assert str(pools.pools["cidr-a"].ipv4) == "10.0.0.0/24"
    assert pools.pools["cidr-a"].ipv4.size == 254


def test_blanks_around_a_boolean_do_not_matter() -> None:
    assert read({"allow-share-a": " true\n"}).shares("a")


def test_a_namespaces_setting_goes_before_the_global_one_also_when_it_is_false() -> None:
    pools = read({"allow-share-global": "true", "allow-share-a": "false", "fallback-global": "1", "fallback-a": "0"})
    assert (pools.shares("a"), pools.shares("b")) == (False, True)
    assert (pools.falls_back("a"), pools.falls_back("b")) == (False, True)


def test_a_setting_that_is_no_boolean_hides_the_global_one_too() -> None:
    assert not read({"allow-share-global": "true", "allow-share-a": "yes"}).shares("a")


def test_nothing_is_shared_and_nothing_falls_back_unless_that_is_written() -> None:
    pools = read({})
    assert (pools.shares("a"), pools.falls_back("a"), pools.interface_of("a")) == (False, False, "")


def test_the_interface_is_the_namespaces_or_the_global_one() -> None:
    pools = read({"interface-global": "eth0", "interface-a": " eth1 ", "interface-b": ""})
    assert [pools.interface_of(namespace) for namespace in "abc"] == ["eth1", "", "eth0"]


def test_settings_go_by_the_namespace_wherever_the_pool_comes_from() -> None:
    pools = read({"cidr-global": "10.0.0.0/24", "allow-share-a": "true", "interface-a": "eth1"})
    assert (pools.shares("a"), pools.interface_of("a"), served(pools, "a")) == (True, "eth1", ["cidr-global"])


# Settings of the whole


@pytest.mark.parametrize(("text", "descending"), [("desc", True), ("asc", False), (" desc ", True)])
def test_the_order_is_asc_or_desc(text: str, descending: bool) -> None:
    pools = read({"search-order": text})
    assert (pools.descending, pools.problems) == (descending, ())


@pytest.mark.parametrize("text", ["DESC", "descending", "", "true"])
def test_any_other_order_is_ascending_and_a_warning(text: str) -> None:
    pools = read({"search-order": text})
    assert not pools.descending
    assert pools.problems == (Problem("search-order", f"{text!r} is neither asc nor desc: ascending", WARNING),)


def test_without_a_word_about_it_the_order_is_ascending() -> None:
    assert not read({}).descending


def test_skipping_ends_goes_by_the_cidrs_as_they_are_written() -> None:
    data = {"cidr-a": "10.0.0.200/30,10.0.0.204/30,fd00::/126", "range-b": "10.0.1.1-10.0.1.2"}
    pools = read({**data, "skip-end-ips-in-cidr": "true"})
    assert str(pools.pools["cidr-a"].ipv4) == "10.0.0.201-10.0.0.202,10.0.0.205-10.0.0.206"
    assert str(pools.pools["cidr-a"].ipv6) == "fd00::/126"
    assert pools.pools["range-b"].ipv4.size == 2


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("300", 300.0), (" 60 ", 60.0), ("9999999", 9_999_999.0)])
def test_the_cool_down_is_in_seconds(text: str, seconds: float) -> None:
    pools = read({"cool-down": text})
    assert (pools.cool_down, pools.problems) == (seconds, ())


@pytest.mark.parametrize("text", ["", "5m", "-1", "1.5", "1e3", "٣", "10000000", "never"])
def test_any_other_cool_down_is_none_and_a_warning(text: str) -> None:
    pools = read({"cool-down": text})
    assert pools.cool_down == 0.0
    assert pools.problems == (Problem("cool-down", f"{text!r} is not a whole number of seconds: 0", WARNING),)


def test_reserved_addresses_are_of_no_pool() -> None:
    data = {"cidr-a": "10.0.0.0/29,fd00::/125", "range-global": "10.0.0.1-10.0.0.9"}
    pools = read({**data, "reserved": "10.0.0.1, fd00::-fd00::3,10.0.0.4/31"})
    assert str(pools.pools["cidr-a"].ipv4) == "10.0.0.0/32,10.0.0.2/31,10.0.0.6/31"
    assert str(pools.pools["cidr-a"].ipv6) == "fd00::4/126"
    assert str(pools.pools["range-global"].ipv4) == "10.0.0.2/31,10.0.0.6-10.0.0.9"
    assert pools.problems == ()


def test_an_empty_list_of_reserved_addresses_is_none() -> None:
    pools = read({"cidr-a": "10.0.0.4/30", "reserved": " "})
    assert (pools.pools["cidr-a"].ipv4.size, pools.problems) == (4, ())


def test_of_reserved_addresses_those_that_can_be_read_are_kept_free() -> None:
    pools = read({"range-a": "10.0.0.1-10.0.0.4", "reserved": "10.0.0.1,10.0.0.x,10.0.0.3"})
    assert str(pools.pools["range-a"].ipv4) == "10.0.0.2/32,10.0.0.4/32"
    text = "'10.0.0.x' is not an IP address such as 10.0.0.5 or fd00::5; what is left of it is kept free"
    assert pools.problems == (Problem("reserved", text, ERROR),)


# Keys that aren't


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("cdir-global", "cidr-global"),
        ("cidr_global", "cidr-global"),
        ("CIDR-default", "cidr-default"),
        ("rnage-my-long-namespace", "range-my-long-namespace"),
        ("cidrs-team-a-prod", "cidr-team-a-prod"),
        ("allowshare-global", "allow-share-global"),
        ("allow-sharing-dev", "allow-share-dev"),
        ("interfaces-dev", "interface-dev"),
        ("falback-dev", "fallback-dev"),
        ("sources-dev", "source-dev"),
        ("searchorder", "search-order"),
        ("search-oder", "search-order"),
        ("skip-end-ips-in-cidrs", "skip-end-ips-in-cidr"),
        ("skip-ends-in-cidr", "skip-end-ips-in-cidr"),
        ("cooldown", "cool-down"),
        ("reserve", "reserved"),
        ("use-0-and-256", "use-0-and-255"),
        ("cidr", "cidr-global"),
        ("allow-share", "allow-share-global"),
    ],
)
def test_a_key_that_is_none_is_a_warning_with_the_nearest_one(key: str, meant: str) -> None:
    assert problem_of({key: "10.0.0.0/24"}) == Problem(key, f"there is no such key; did you mean {meant}?", WARNING)


@pytest.mark.parametrize("key", ["foo", "", "x" * 5000, "-", "kubevip-services"])
def test_a_key_like_no_other_has_no_nearest_one(key: str) -> None:
    assert problem_of({key: "text"}) == Problem(key, "there is no such key", WARNING)


@pytest.mark.parametrize("prefix", ["cidr-", "range-", "source-", "allow-share-", "interface-", "fallback-"])
@pytest.mark.parametrize("scope", ["", "Default", "my_app", "a.b", "-a", "a-", "a" * 64])
def test_what_follows_a_prefix_has_to_be_a_namespace(prefix: str, scope: str) -> None:
    data = {f"{prefix}{scope}": "true" if prefix in ("allow-share-", "fallback-") else "10.0.0.1-10.0.0.9"}
    wanted = f"{scope!r} can't be a namespace: write {prefix}NAMESPACE or {prefix}global"
    assert problem_of(data) == Problem(f"{prefix}{scope}", wanted, WARNING)


def test_problems_are_told_in_the_order_of_their_keys() -> None:
    pools = read({"search-order": "x", "cidr-b": "x", "cidr-a": "", "foo": "", "cool-down": "x"})
    assert [problem.key for problem in pools.problems] == ["cidr-a", "cidr-b", "cool-down", "foo", "search-order"]


def test_a_problem_is_written_with_its_key() -> None:
    assert str(problem_of({"search-order": "x"})) == "search-order: 'x' is neither asc nor desc: ascending"


def test_an_empty_configmap_is_no_problem() -> None:
    assert read({}) == Pools()


# Size


def test_a_configmap_that_kubernetes_would_not_store_is_not_read() -> None:
    data = {"cidr-global": "10.0.0.0/24", "interface-a": "x" * LONGEST}
    pools = read(data)
    length = sum(len(key) + len(text) for key, text in data.items())
    wanted = f"{length} characters are more than Kubernetes stores in a ConfigMap (1048576)"
    assert pools == Pools(problems=(Problem("data", wanted, ERROR),))


def test_one_that_it_just_stores_is_read() -> None:
    data = {"cidr-global": "10.0.0.0/24"}
    left = LONGEST - sum(len(key) + len(text) for key, text in data.items()) - len("interface-a")
    assert served(read({**data, "interface-a": "x" * left}), "a") == ["cidr-global"]


def test_keys_without_text_count_too() -> None:
    pools = read({f"interface-{number:06}": "" for number in range(70_000)})
    assert [problem.key for problem in pools.problems] == ["data"]


def test_a_text_without_end_gets_a_message_that_can_be_read() -> None:
    long = "x" * 100_000
    keys = ("cidr-a", "range-b", "source-c", "allow-share-a", "search-order", "cool-down", "reserved")
    assert all(len(problem.text) < 250 for problem in read(dict.fromkeys(keys, long)).problems)
