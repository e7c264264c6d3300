"""Which address a request gets: order, ends, families and policies, DHCP, and what is said when there is none."""

import pytest

from kubevip.errors import ExternalPool, IpamError, NoFamily, NoPool, PoolExhausted
from kubevip.ipam import Allocator, FamilyPolicy
from kubevip.model import Family
from tests.ipam.asking import IPV4, IPV6, PREFER, REQUIRE, SINGLE, allocator, assigned, ip, ips, listed, sound, want

BOTH = {"cidr_global": "10.0.0.4/31,fd00::/127"}
EITHER = [IPV4, IPV6, None]


def fails(error: type[IpamError], policy: FamilyPolicy = SINGLE, family: Family | None = None, **data: str) -> str:
    with pytest.raises(error) as caught:
        allocator(**data).assign(want("a", policy=policy, family=family))
    assert type(caught.value) is error
    return str(caught.value)


def says_exhausted(known: Allocator) -> str:
    with pytest.raises(PoolExhausted) as caught:
        known.assign(want("one more"))
    return str(caught.value)


# Order


def test_ascending_the_lowest_free_address_comes_first() -> None:
    known = sound(range_global="10.0.0.7-10.0.0.8,10.0.0.4-10.0.0.5")
    assert assigned(known, *"abcd") == ["10.0.0.4", "10.0.0.5", "10.0.0.7", "10.0.0.8"]


def test_descending_the_highest_free_address_comes_first() -> None:
    known = sound(range_global="10.0.0.7-10.0.0.8,10.0.0.4-10.0.0.5", search_order="desc")
    assert assigned(known, *"abcd") == ["10.0.0.8", "10.0.0.7", "10.0.0.5", "10.0.0.4"]


@pytest.mark.parametrize(
    ("order", "freed", "fresh"), [("asc", "10.0.0.4", "10.0.0.7"), ("desc", "10.0.0.9", "10.0.0.6")]
)
def test_what_was_freed_comes_first_again(order: str, freed: str, fresh: str) -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9", search_order=order)
    assigned(known, *"abc")
    known.release("default/a")
    assert assigned(known, "d", "e") == [freed, fresh]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_several_that_were_freed_come_in_order_whatever_the_order_of_their_release(order: str) -> None:
    known = sound(range_global="10.0.0.1-10.0.0.9", search_order=order)
    before = assigned(known, *"abcdefghi")
    for name in "gbdi":
        known.release(f"default/{name}")
    assert assigned(known, *"wxyz") == [before["abcdefghi".index(name)] for name in "bdgi"]


def test_a_pool_is_used_up_to_its_last_address() -> None:
    known = sound(cidr_global="10.0.0.0/29,10.0.0.64/30")
    names = [str(number) for number in range(11)]
    assert len(set(assigned(known, *names))) == 11
    with pytest.raises(PoolExhausted):
        known.assign(want("one more"))


def test_an_exhausted_pool_goes_on_with_what_is_freed() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.5")
    assigned(known, "a", "b")
    for _ in range(2):
        with pytest.raises(PoolExhausted):
            known.assign(want("c"))
    known.release("default/a")
    assert assigned(known, "c") == ["10.0.0.4"]


# Ends


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_addresses_that_end_in_0_or_255_are_skipped_also_in_the_middle(order: str) -> None:
    known = sound(range_global="10.0.0.254-10.0.2.1", search_order=order)
    got = assigned(known, *map(str, range(256)))
    expected = ["10.0.0.254", *(f"10.0.1.{number}" for number in range(1, 255)), "10.0.2.1"]
    assert got == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize(("text", "only"), [("10.0.0.0/31", "10.0.0.1"), ("10.0.0.254/31", "10.0.0.254")])
def test_they_are_skipped_in_the_smallest_pools_too(text: str, only: str) -> None:
    known = sound(cidr_global=text)
    assert assigned(known, "a") == [only]
    with pytest.raises(PoolExhausted):
        known.assign(want("b"))


@pytest.mark.parametrize("text", ["10.0.0.0/32", "10.0.0.255/32", "10.0.0.255-10.0.1.0"])
def test_a_pool_of_nothing_else_is_exhausted_from_the_start(text: str) -> None:
    assert fails(PoolExhausted, range_global=text).startswith("no addresses available in range-global [")


def test_they_are_used_where_that_is_configured() -> None:
    known = sound(range_global="10.0.0.254-10.0.1.1", use_0_and_255="true")
    assert assigned(known, *"abcd") == ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]


def test_ipv6_has_no_such_ends() -> None:
    assert assigned(sound(cidr_global="fd00::/120"), "a", "b") == ["fd00::", "fd00::1"]
    assert assigned(sound(cidr_global="fd00::/120", search_order="desc"), "a", "b") == ["fd00::ff", "fd00::fe"]


def test_skipped_ends_are_those_of_the_cidrs_as_written() -> None:
    known = sound(cidr_global="10.0.0.200/30,10.0.0.204/30", skip_end_ips_in_cidr="true")
    assert assigned(known, *"abcd") == ["10.0.0.201", "10.0.0.202", "10.0.0.205", "10.0.0.206"]


def test_the_first_address_of_a_cidr_that_is_not_its_network_is_masked() -> None:
    assert assigned(sound(cidr_global="192.168.0.210/29"), "a") == ["192.168.0.208"]


@pytest.mark.parametrize(
    ("namespace", "address"),
    [("default", "192.168.0.200"), ("testing", "192.168.0.216"), ("plunder", "192.168.0.208")],
)
def test_the_example_of_the_original_gives_the_addresses_that_it_gives_there(namespace: str, address: str) -> None:
    known = sound(
        allow_share_global="true",
        cidr_default="192.168.0.200/29",
        cidr_plunder="192.168.0.210/29",
        allow_share_plunder="false",
        cidr_testing="192.168.0.220/29",
    )
    assert listed(known.assign(want("a", (80, "TCP"), namespace=namespace))) == address


def test_the_operators_range_of_one_address_gives_that_one() -> None:
    known = sound(range_global="172.31.0.99-172.31.0.99")
    assert assigned(known, "a") == ["172.31.0.99"]
    assert says_exhausted(known) == "no addresses available in range-global [172.31.0.99/32]"


# One family


@pytest.mark.parametrize(("family", "address"), [(IPV4, "10.0.0.4"), (IPV6, "fd00::"), (None, "10.0.0.4")])
def test_a_single_stack_gets_its_first_family_or_else_ipv4(family: Family | None, address: str) -> None:
    assert assigned(sound(**BOTH), "a", family=family) == [address]


def test_without_a_wish_it_gets_ipv6_where_the_pool_has_nothing_else() -> None:
    assert assigned(sound(cidr_global="fd00::/127"), "a") == ["fd00::"]


def test_a_pool_without_the_family_is_not_suitable() -> None:
    text = "could not find suitable pool for the IP family of the service: cidr-global has no IPv6 addresses"
    assert fails(NoFamily, family=IPV6, cidr_global="10.0.0.0/24") == text


def test_an_exhausted_family_is_not_made_up_for_by_the_other() -> None:
    known = sound(**BOTH)
    assigned(known, "a", "b")
    for family in (IPV4, None):
        with pytest.raises(PoolExhausted, match=r"^no addresses available in cidr-global \[10\.0\.0\.4/31\]$"):
            known.assign(want("c", family=family))


# Two families


@pytest.mark.parametrize("policy", [PREFER, REQUIRE])
@pytest.mark.parametrize(
    ("family", "both"), [(IPV4, "10.0.0.4,fd00::"), (IPV6, "fd00::,10.0.0.4"), (None, "10.0.0.4,fd00::")]
)
def test_a_dual_stack_gets_both_in_the_order_of_its_families(
    policy: FamilyPolicy, family: Family | None, both: str
) -> None:
    made = sound(**BOTH).assign(want("a", policy=policy, family=family))
    assert (listed(made), made.pool, made.shared, made.without) == (both, "cidr-global", (), "")


@pytest.mark.parametrize("family", EITHER)
@pytest.mark.parametrize(("text", "address"), [("10.0.0.4/31", "10.0.0.4"), ("fd00::/127", "fd00::")])
def test_preferring_both_takes_the_one_that_the_pool_has(family: Family | None, text: str, address: str) -> None:
    made = sound(cidr_global=text).assign(want("a", policy=PREFER, family=family))
    assert (listed(made), made.without) == (address, "")


@pytest.mark.parametrize(("taken", "left"), [(IPV4, "fd00::"), (IPV6, "10.0.0.4")])
def test_preferring_both_takes_the_one_that_is_not_exhausted_and_says_why(taken: Family, left: str) -> None:
    known = sound(**BOTH)
    assigned(known, "a", "b", family=taken)
    made = known.assign(want("c", policy=PREFER))
    part = {IPV4: "10.0.0.4/31", IPV6: "fd00::/127"}[taken]
    assert (listed(made), made.without) == (left, f"no addresses available in cidr-global [{part}]")


def test_preferring_both_fails_where_both_are_exhausted() -> None:
    known = sound(**BOTH)
    assigned(known, "a", "b", policy=REQUIRE)
    with pytest.raises(PoolExhausted) as caught:
        known.assign(want("c", policy=PREFER))
    assert str(caught.value) == (
        "could not allocate any IP address for PreferDualStack service: "
        "\n\t- no addresses available in cidr-global [10.0.0.4/31]"
        "\n\t- no addresses available in cidr-global [fd00::/127]"
    )


def test_preferring_both_fails_where_the_only_one_is_exhausted() -> None:
    known = sound(cidr_global="10.0.0.4/32")
    assigned(known, "a")
    with pytest.raises(PoolExhausted) as caught:
        known.assign(want("c", policy=PREFER))
    assert str(caught.value) == (
        "could not allocate any IP address for PreferDualStack service: "
        "\n\t- no addresses available in cidr-global [10.0.0.4/32]"
    )
    assert known.addresses("default/c") == ()


@pytest.mark.parametrize("data", [{"range_global": "0.0.0.0-0.0.0.0"}, {"cidr_global": "::/128"}])
def test_preferring_both_fails_where_the_pool_has_nothing_at_all(data: dict[str, str]) -> None:
    text = fails(NoFamily, PREFER, **data)
    assert text.startswith(
        "could not allocate any IP address for PreferDualStack service: \n\t- could not find suitable"
    )


@pytest.mark.parametrize("text", ["10.0.0.4/31", "fd00::/127"])
def test_requiring_both_fails_where_the_pool_has_one(text: str) -> None:
    assert fails(NoFamily, REQUIRE, cidr_global=text) == (
        "service requires dual-stack, but the configuration does not have both IPv4 and IPv6 pools listed for the "
        f"namespace: cidr-global is {text}"
    )


@pytest.mark.parametrize(("taken", "part"), [(IPV4, "10.0.0.4/31"), (IPV6, "fd00::/127")])
def test_requiring_both_fails_where_one_is_exhausted_and_takes_nothing(taken: Family, part: str) -> None:
    known = sound(**BOTH)
    assigned(known, "a", "b", family=taken)
    with pytest.raises(PoolExhausted) as caught:
        known.assign(want("c", policy=REQUIRE))
    assert str(caught.value) == (
        "could not allocate required IP addresses for RequireDualStack service: "
        f"\n\t- no addresses available in cidr-global [{part}]"
    )
    assert known.addresses("default/c") == ()
    assert len(known) == 2


def test_requiring_both_fails_with_both_reasons_where_both_are_exhausted() -> None:
    known = sound(**BOTH)
    assigned(known, "a", "b", policy=REQUIRE)
    with pytest.raises(PoolExhausted) as caught:
        known.assign(want("c", policy=REQUIRE, family=IPV6))
    assert str(caught.value) == (
        "could not allocate required IP addresses for RequireDualStack service: "
        "\n\t- no addresses available in cidr-global [fd00::/127]"
        "\n\t- no addresses available in cidr-global [10.0.0.4/31]"
    )


# DHCP


@pytest.mark.parametrize("policy", list(FamilyPolicy))
@pytest.mark.parametrize("family", EITHER)
def test_a_pool_for_dhcp_gives_everybody_the_marker(policy: FamilyPolicy, family: Family | None) -> None:
    known = sound(cidr_global="0.0.0.0/32")
    assert assigned(known, "a", "b", policy=policy, family=family) == ["0.0.0.0", "0.0.0.0"]
    assert len(known) == 0


@pytest.mark.parametrize(
    ("policy", "family", "addresses"),
    [
        (SINGLE, None, "0.0.0.0"),
        (SINGLE, IPV4, "0.0.0.0"),
        (SINGLE, IPV6, "fd00::"),
        (PREFER, None, "0.0.0.0,fd00::"),
        (PREFER, IPV6, "fd00::,0.0.0.0"),
        (REQUIRE, IPV4, "0.0.0.0,fd00::"),
    ],
)
def test_beside_ipv6_addresses_the_marker_stands_for_ipv4(
    policy: FamilyPolicy, family: Family | None, addresses: str
) -> None:
    known = sound(cidr_global="0.0.0.0/32,fd00::/126", allow_share_global="true")
    assert assigned(known, "a", policy=policy, family=family) == [addresses]
    assert known.addresses("default/a") == tuple(ips(addresses.replace("0.0.0.0", "").strip(",")))


def test_the_marker_goes_on_when_the_ipv6_addresses_are_exhausted() -> None:
    known = sound(cidr_global="0.0.0.0/32,fd00::/128")
    assert assigned(known, "a", "b", policy=PREFER) == ["0.0.0.0,fd00::", "0.0.0.0"]


@pytest.mark.parametrize("policy", list(FamilyPolicy))
def test_whoever_has_an_address_keeps_it_when_the_pool_becomes_one_for_dhcp(policy: FamilyPolicy) -> None:
    known = sound(cidr_global="0.0.0.0/32,fd00::/126") if policy is REQUIRE else sound(cidr_global="0.0.0.0/32")
    request = want("a", policy=policy, family=IPV4)
    known.adopt(request, ips("10.0.0.4"))
    made = known.assign(request, keep=ips("10.0.0.4"))
    assert made.addresses[0] == ip("10.0.0.4")
    assert ip("10.0.0.4") in known.addresses("default/a")


def test_the_marker_alone_is_nothing_that_would_be_kept_beside_another_pool() -> None:
    made = sound(cidr_global="0.0.0.0/32").assign(want("a", policy=REQUIRE), keep=ips("0.0.0.0"))
    assert listed(made) == "0.0.0.0"


def test_a_range_of_the_unspecified_address_is_no_marker_and_has_nothing() -> None:
    assert fails(NoFamily, range_global="0.0.0.0-0.0.0.0").startswith("could not find suitable pool")


def test_ipv6_has_no_marker() -> None:
    assert assigned(sound(cidr_global="::/127"), "a") == ["::1"]


# No pool


def test_without_a_pool_it_says_which_keys_would_give_one() -> None:
    assert fails(NoPool, cidr_other="10.0.0.0/24") == (
        "no address pools could be found: the ConfigMap has none of cidr-default, range-default, cidr-global, "
        "range-global"
    )


def test_a_pool_that_is_empty_is_named() -> None:
    text = fails(NoPool, cidr_default="", cidr_global="10.0.0.0/24")
    assert text == "cidr-default can't be used: could not discover address: pool is not specified"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10.0.0.1", "unable to parse IP range [10.0.0.1]"),
        ("10.0.0.9-10.0.0.1", "the range 10.0.0.9-10.0.0.1 runs backwards"),
        ("10.0.0.0/33", "'10.0.0.0/33' needs a plain number from 0 to 32"),
    ],
)
def test_a_pool_that_is_malformed_is_named_with_what_is_wrong(text: str, problem: str) -> None:
    assert fails(NoPool, range_global=text).startswith(f"range-global can't be used: {problem}")


def test_an_exhausted_pool_of_very_many_parts_gets_a_message_that_can_be_read() -> None:
    known = sound(range_global=",".join(f"10.0.{number}.0-10.0.{number}.0" for number in range(256)))
    assert len(says_exhausted(known)) < 250


def test_a_pool_of_very_many_parts_that_lacks_a_family_gets_a_message_that_can_be_read() -> None:
    many = ",".join(f"10.0.{number}.0/30" for number in range(256))
    assert len(fails(NoFamily, REQUIRE, cidr_global=many)) < 250


def test_a_pool_of_another_ipam_is_handed_to_whoever_can_ask_that() -> None:
    known = sound(source_default="netbox prefix-1")
    with pytest.raises(ExternalPool) as caught:
        known.assign(want("a"))
    assert caught.value.pool is known.pools.pools["source-default"]
