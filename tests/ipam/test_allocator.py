"""The account: who has what, from adoption to release."""

import pytest

from kubevip.errors import NoFamily, NoPool, PoolExhausted
from kubevip.ipam import Allocator, FamilyPolicy, PoolStatistics, Request, read
from kubevip.model import Family
from tests.ipam.asking import (
    HTTP,
    HTTPS,
    IPV4,
    IPV6,
    PREFER,
    REQUIRE,
    SINGLE,
    allocator,
    assigned,
    ip,
    ips,
    listed,
    sound,
    want,
)

FOUR, SIX = "10.0.0.4", "fd00::"
DUAL = "10.0.0.4/30,fd00::/126"


# What is there already


def test_what_was_adopted_is_not_assigned() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    assert known.adopt(want("old"), ips("10.0.0.4,10.0.0.6")) == {}
    assert assigned(known, "a", "b") == ["10.0.0.5", "10.0.0.7"]


def test_what_was_adopted_late_is_not_assigned_either() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    assigned(known, "a")
    known.adopt(want("old"), ips("10.0.0.5"))
    assert assigned(known, "b") == ["10.0.0.6"]


def test_addresses_outside_of_every_pool_are_adopted_too() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    assert known.adopt(want("old"), ips("192.168.0.1,fd00::1")) == {}
    assert known.addresses("default/old") == (ip("192.168.0.1"), ip("fd00::1"))


def test_without_any_pool_there_is_an_account_nevertheless() -> None:
    known = allocator()
    known.adopt(want("a"), ips(FOUR))
    assert known.adopt(want("b"), ips(FOUR)) == {ip(FOUR): ("default/a",)}


def test_a_restart_gives_everybody_what_it_had() -> None:
    before = sound(cidr_global=DUAL, allow_share_global="true")
    requests = [want("a", HTTP, policy=REQUIRE), want("b", HTTPS), want("c", HTTP), want("d", policy=PREFER)]
    had = {request: before.assign(request).addresses for request in requests}
    after = Allocator(before.pools)
    assert [after.adopt(request, addresses) for request, addresses in had.items()] == [{}] * 4
    assert {request: after.addresses(request.key) for request in requests} == had
    assert listed(after.assign(want("e"))) == listed(before.assign(want("e")))


def test_what_is_adopted_anew_replaces_what_was() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.adopt(want("old"), ips("10.0.0.4,10.0.0.5"))
    known.adopt(want("old"), ips("10.0.0.5,10.0.0.6"))
    assert known.addresses("default/old") == (ip("10.0.0.5"), ip("10.0.0.6"))
    assert assigned(known, "a", "b") == ["10.0.0.4", "10.0.0.7"]


def test_adopting_nothing_lets_go() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.adopt(want("old"), ips(FOUR))
    known.adopt(want("old"), [])
    assert (known.addresses("default/old"), known.holders(ip(FOUR)), len(known)) == ((), (), 0)


def test_an_address_written_twice_is_one() -> None:
    known = allocator()
    assert known.adopt(want("a"), ips(f"{FOUR},{FOUR}")) == {}
    assert known.addresses("default/a") == (ip(FOUR),)


@pytest.mark.parametrize("text", ["0.0.0.0", "::"])
def test_unspecified_addresses_are_nobodys(text: str) -> None:
    known = allocator()
    known.adopt(want("a"), ips(text))
    assert known.adopt(want("b"), ips(text)) == {}
    assert (known.holders(ip(text)), len(known)) == ((), 0)


# Contested


def test_an_address_that_two_have_is_contested_and_stays_in_use() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.adopt(want("a"), ips(FOUR))
    assert known.adopt(want("b"), ips(f"{FOUR},10.0.0.5")) == {ip(FOUR): ("default/a",)}
    assert known.holders(ip(FOUR)) == ("default/a", "default/b")
    assert assigned(known, "c") == ["10.0.0.6"]


def test_a_third_one_is_told_of_both() -> None:
    known = allocator()
    for name in "ab":
        known.adopt(want(name), ips(FOUR))
    assert known.adopt(want("c"), ips(FOUR)) == {ip(FOUR): ("default/a", "default/b")}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_contested_address_is_free_when_both_have_let_go(order: str) -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    for name in "ab":
        known.adopt(want(name), ips(FOUR))
    known.release(f"default/{order[0]}")
    assert known.holders(ip(FOUR)) == (f"default/{order[1]}",)
    assert assigned(known, "c") == ["10.0.0.5"]
    known.release(f"default/{order[1]}")
    assert assigned(known, "d") == ["10.0.0.4"]


def test_who_has_it_alone_again_contests_with_nobody() -> None:
    known = allocator()
    for name in "ab":
        known.adopt(want(name), ips(FOUR))
    known.release("default/a")
    assert known.adopt(want("b"), ips(FOUR)) == {}
    assert known.adopt(want("c"), ips(FOUR)) == {ip(FOUR): ("default/b",)}


def test_who_else_has_it_can_be_asked_without_adopting() -> None:
    known = sound(allow_share_global="true")
    known.adopt(want("a", HTTP), ips(FOUR))
    assert known.others(want("b", HTTP), ip(FOUR)) == ("default/a",)
    assert known.others(want("b", HTTPS), ip(FOUR)) == ()
    assert known.others(want("a", HTTP), ip(FOUR)) == ()
    assert known.others(want("b", HTTP), ip("10.0.0.5")) == ()
    assert known.others(want("b", HTTP), ip("0.0.0.0")) == ()


def test_of_a_contested_address_nobody_is_in_its_own_way() -> None:
    known = allocator()
    for name in "ab":
        known.adopt(want(name), ips(FOUR))
    assert known.others(want("a"), ip(FOUR)) == ("default/b",)
    assert known.others(want("b"), ip(FOUR)) == ("default/a",)


# Reserved


def test_reserved_addresses_are_not_assigned() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.reserve("node a", ips("10.0.0.4,10.0.0.5"))
    assert assigned(known, "a") == ["10.0.0.6"]
    assert known.holders(ip(FOUR)) == ("node a",)


def test_an_owner_reserves_what_was_told_last() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.reserve("node a", ips("10.0.0.4,10.0.0.5"))
    known.reserve("node a", ips("10.0.0.5"))
    assert assigned(known, "a", "b") == ["10.0.0.4", "10.0.0.6"]


def test_what_an_owner_lets_go_is_free() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.reserve("node a", ips("10.0.0.4"))
    known.release("node a")
    assert assigned(known, "a") == ["10.0.0.4"]


def test_whoever_has_a_nodes_address_is_told() -> None:
    known = allocator()
    known.reserve("node a", ips(FOUR))
    assert known.adopt(want("a", HTTP), ips(FOUR)) == {ip(FOUR): ("node a",)}


def test_nodes_may_tell_of_the_same_address() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    known.reserve("node a", ips(FOUR))
    known.reserve("node b", ips(FOUR))
    known.release("node a")
    assert assigned(known, "a") == ["10.0.0.5"]


# Overlaps


def test_pools_that_overlap_give_no_address_twice() -> None:
    known = sound(cidr_a="10.0.0.4/30", cidr_global="10.0.0.0/29", range_b="10.0.0.6-10.0.0.9")
    got = [
        listed(known.assign(want(f"{number}", namespace=namespace)))
        for number, namespace in enumerate(["a", "b", "c", "a", "b", "c", "b", "c", "b"])
    ]
    assert got == [f"10.0.0.{last}" for last in (4, 6, 1, 5, 7, 2, 8, 3, 9)]


def test_the_pool_of_the_namespace_called_global_overlaps_with_no_one_elses() -> None:
    known = sound(cidr_global="10.0.0.4/30")
    assert listed(known.assign(want("a", namespace="global"))) == "10.0.0.4"
    assert listed(known.assign(want("a", namespace="other"))) == "10.0.0.5"


# Keep, extend, trim


@pytest.mark.parametrize(
    ("policy", "family", "keep", "result"),
    [
        # Nothing is missing.
        (SINGLE, IPV4, "10.0.0.6", "10.0.0.6"),
        (SINGLE, None, "10.0.0.6", "10.0.0.6"),
        (SINGLE, None, "fd00::2", "fd00::2"),
        (PREFER, IPV4, "10.0.0.6,fd00::2", "10.0.0.6,fd00::2"),
        (REQUIRE, IPV6, "10.0.0.6,fd00::2", "fd00::2,10.0.0.6"),
        # One is missing.
        (PREFER, IPV4, "10.0.0.6", "10.0.0.6,fd00::"),
        (REQUIRE, IPV4, "10.0.0.6", "10.0.0.6,fd00::"),
        (PREFER, IPV6, "10.0.0.6", "fd00::,10.0.0.6"),
        (PREFER, None, "fd00::2", "10.0.0.4,fd00::2"),
        # One is too much.
        (SINGLE, IPV4, "10.0.0.6,fd00::2", "10.0.0.6"),
        (SINGLE, IPV6, "10.0.0.6,fd00::2", "fd00::2"),
        (SINGLE, None, "10.0.0.6,fd00::2", "10.0.0.6"),
        (SINGLE, None, "fd00::2,10.0.0.6", "fd00::2"),
        (SINGLE, IPV4, "10.0.0.6,10.0.0.7", "10.0.0.6"),
        # The other one is wanted.
        (SINGLE, IPV6, "10.0.0.6", "fd00::"),
    ],
)
def test_what_is_kept_stays_what_is_missing_comes_and_what_is_too_much_goes(
    policy: FamilyPolicy, family: Family | None, keep: str, result: str
) -> None:
    known = sound(cidr_global=DUAL)
    request = want("a", policy=policy, family=family)
    known.adopt(request, ips(keep))
    assert listed(known.assign(request, keep=ips(keep))) == result
    assert known.addresses("default/a") == tuple(ips(result))
    gone = set(ips(keep)) - set(ips(result))
    assert [known.holders(address) for address in gone] == [()] * len(gone)


@pytest.mark.parametrize("pool", ["10.0.1.4/30", "fd00::4/126", "10.0.1.4/30,fd00::4/126"])
@pytest.mark.parametrize("policy", [PREFER, REQUIRE])
def test_who_has_both_keeps_both_whatever_became_of_the_pool(policy: FamilyPolicy, pool: str) -> None:
    known = sound(cidr_global=pool)
    request = want("a", policy=policy)
    known.adopt(request, ips("10.0.0.6,fd00::2"))
    assert listed(known.assign(request, keep=ips("10.0.0.6,fd00::2"))) == "10.0.0.6,fd00::2"


@pytest.mark.parametrize("pool", ["10.0.1.4/30", "fd00::4/126"])
@pytest.mark.parametrize("address", ["10.0.0.6", "fd00::2"])
def test_who_wants_one_of_any_family_keeps_it_whatever_became_of_the_pool(address: str, pool: str) -> None:
    known = sound(cidr_global=pool)
    known.adopt(want("a"), ips(address))
    assert listed(known.assign(want("a"), keep=ips(address))) == address


def test_what_the_pool_lacks_may_be_what_is_kept() -> None:
    known = sound(cidr_global="fd00::4/126")
    request = want("a", policy=REQUIRE)
    known.adopt(request, ips("10.0.0.6"))
    assert listed(known.assign(request, keep=ips("10.0.0.6"))) == "10.0.0.6,fd00::4"


@pytest.mark.parametrize(("pool", "error"), [("10.0.0.4/30,fd00::/128", PoolExhausted), ("10.0.0.4/30", NoFamily)])
def test_who_can_not_be_given_more_keeps_what_it_has(pool: str, error: type[Exception]) -> None:
    known = sound(cidr_global=pool)
    known.adopt(want("other"), ips("fd00::"))
    request = want("a", policy=REQUIRE)
    known.adopt(request, ips("10.0.0.6"))
    with pytest.raises(error):
        known.assign(request, keep=ips("10.0.0.6"))
    assert known.addresses("default/a") == (ip("10.0.0.6"),)


def test_who_prefers_more_than_there_is_keeps_what_it_has_and_is_told() -> None:
    known = sound(cidr_global="10.0.0.4/30,fd00::/128")
    known.adopt(want("other"), ips("fd00::"))
    request = want("a", policy=PREFER)
    known.adopt(request, ips("10.0.0.6"))
    made = known.assign(request, keep=ips("10.0.0.6"))
    assert (listed(made), made.without) == ("10.0.0.6", "no addresses available in cidr-global [fd00::/128]")


def test_who_keeps_nothing_gets_another_address() -> None:
    known = sound(cidr_global="10.0.0.4/30")
    assigned(known, "a")
    assert assigned(known, "a") == ["10.0.0.5"]
    assert known.holders(ip("10.0.0.4")) == ()


# Release


def test_what_is_released_is_free_at_once() -> None:
    known = sound(cidr_global=DUAL)
    assigned(known, "a", policy=REQUIRE)
    known.release("default/a")
    assert (known.addresses("default/a"), known.holders(ip(FOUR)), len(known)) == ((), (), 0)
    assert assigned(known, "b", policy=REQUIRE) == [f"{FOUR},{SIX}"]


def test_whoever_has_nothing_can_be_released() -> None:
    known = sound(cidr_global=DUAL)
    known.release("default/a")
    assert len(known) == 0


# Cooling down


def test_a_released_address_cools_down_before_it_is_assigned_again() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9", cool_down="60")
    known.assign(want("a"), now=0.0)
    known.release("default/a", now=100.0)
    assert listed(known.assign(want("b"), now=100.0)) == "10.0.0.5"
    assert listed(known.assign(want("c"), now=159.9)) == "10.0.0.6"
    assert listed(known.assign(want("d"), now=160.0)) == "10.0.0.4"


def test_a_pool_whose_addresses_cool_down_is_exhausted_until_then() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.4", cool_down="60")
    known.assign(want("a"), now=0.0)
    known.release("default/a", now=100.0)
    with pytest.raises(PoolExhausted):
        known.assign(want("b"), now=159.0)
    assert known.next_thaw() == 160.0
    assert listed(known.assign(want("b"), now=160.0)) == "10.0.0.4"
    assert known.next_thaw() is None


def test_cooling_down_keeps_nobody_from_writing_the_address_itself() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9", cool_down="60")
    known.adopt(want("a"), ips(FOUR))
    known.release("default/a", now=0.0)
    assert known.others(want("b"), ip(FOUR)) == ()
    assert known.adopt(want("b"), ips(FOUR), now=1.0) == {}
    assert known.holders(ip(FOUR)) == ("default/b",)
    assert known.next_thaw() is None


def test_an_address_that_was_in_use_between_cools_down_anew() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.4", cool_down="60")
    known.adopt(want("a"), ips(FOUR))
    known.release("default/a", now=0.0)
    known.adopt(want("b"), ips(FOUR), now=10.0)
    known.release("default/b", now=50.0)
    with pytest.raises(PoolExhausted):
        known.assign(want("c"), now=109.0)
    assert listed(known.assign(want("c"), now=110.0)) == "10.0.0.4"


def test_an_address_in_use_does_not_thaw() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.5", cool_down="60")
    known.adopt(want("a"), ips(FOUR))
    known.release("default/a", now=0.0)
    known.adopt(want("b"), ips(FOUR), now=10.0)
    assert listed(known.assign(want("c"), now=1000.0)) == "10.0.0.5"
    assert known.holders(ip(FOUR)) == ("default/b",)


def test_an_address_cools_down_when_its_last_user_lets_go() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.4", cool_down="60", allow_share_global="true")
    known.assign(want("a", HTTP), now=0.0)
    known.assign(want("b", HTTPS), now=0.0)
    known.release("default/a", now=10.0)
    assert listed(known.assign(want("c", HTTP), now=20.0)) == FOUR
    known.release("default/b", now=20.0)
    known.release("default/c", now=30.0)
    assert known.next_thaw() == 90.0


def test_what_is_trimmed_cools_down() -> None:
    known = sound(cidr_global=DUAL, cool_down="60")
    known.assign(want("a", policy=REQUIRE), now=0.0)
    known.assign(want("a", family=IPV4), keep=ips(FOUR), now=10.0)
    assert listed(known.assign(want("b", family=IPV6), now=20.0)) == "fd00::1"
    assert known.next_thaw() == 70.0


def test_what_is_adopted_no_longer_cools_down() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9", cool_down="60")
    known.adopt(want("a"), ips("10.0.0.4,10.0.0.5"), now=0.0)
    known.adopt(want("a"), ips("10.0.0.5"), now=10.0)
    assert listed(known.assign(want("b"), now=69.0)) == "10.0.0.6"
    assert listed(known.assign(want("c"), now=70.0)) == "10.0.0.4"


def test_what_is_kept_does_not_cool_down() -> None:
    known = sound(cidr_global=DUAL, cool_down="60")
    request = want("a", policy=PREFER)
    known.adopt(request, ips(FOUR), now=0.0)
    known.assign(request, keep=ips(FOUR), now=0.0)
    assert (known.next_thaw(), known.holders(ip(FOUR))) == (None, ("default/a",))


def test_nothing_cools_down_unless_that_is_configured() -> None:
    known = sound(range_global="10.0.0.4-10.0.0.9")
    assigned(known, "a")
    known.release("default/a", now=5.0)
    assert known.next_thaw() is None


# Fallback


def test_without_fallback_an_exhausted_pool_is_the_end() -> None:
    known = sound(range_default="10.0.0.4-10.0.0.4", range_global="10.0.1.4-10.0.1.4")
    assigned(known, "a")
    with pytest.raises(PoolExhausted, match="no addresses available in range-default"):
        known.assign(want("b"))


def test_with_fallback_the_next_pool_serves_when_one_is_exhausted() -> None:
    pools = {"cidr_default": "10.0.0.4/32", "range_default": "10.0.1.4-10.0.1.4", "cidr_global": "10.0.2.4/32"}
    known = sound(**pools, fallback_global="true")
    made = [known.assign(want(name)) for name in "abc"]
    assert [(listed(each), each.pool) for each in made] == [
        ("10.0.0.4", "cidr-default"),
        ("10.0.1.4", "range-default"),
        ("10.0.2.4", "cidr-global"),
    ]
    with pytest.raises(PoolExhausted, match=r"^no addresses available in cidr-default \["):
        known.assign(want("d"))


def test_a_pool_with_a_free_address_again_serves_before_its_fallback() -> None:
    known = sound(cidr_default="10.0.0.4/32", cidr_global="10.0.2.4/30", fallback_global="true")
    assigned(known, "a", "b")
    known.release("default/a")
    assert assigned(known, "c", "d") == ["10.0.0.4", "10.0.2.5"]


def test_with_fallback_the_next_pool_serves_when_one_lacks_the_family() -> None:
    known = sound(cidr_default="10.0.0.4/30", cidr_global=DUAL, fallback_default="true")
    assert assigned(known, "a", family=IPV6) == ["fd00::"]
    assert assigned(known, "b", policy=REQUIRE) == ["10.0.0.4,fd00::1"]
    assert assigned(known, "c", policy=PREFER) == ["10.0.0.5"]


def test_a_fallback_may_share() -> None:
    known = sound(cidr_default="10.0.0.4/32", cidr_global="10.0.1.4/32", fallback_global="1", allow_share_global="1")
    requests = [want("a", HTTP), want("b", HTTP), want("c", HTTPS), want("d", HTTPS)]
    assert [listed(known.assign(request)) for request in requests] == ["10.0.0.4", "10.0.1.4", "10.0.0.4", "10.0.1.4"]


def test_a_broken_pool_has_no_fallback() -> None:
    known = allocator(cidr_default="nonsense/8", cidr_global="10.0.0.4/30", fallback_global="true")
    with pytest.raises(NoPool, match="cidr-default can't be used"):
        known.assign(want("a"))


def test_a_broken_fallback_is_passed_over() -> None:
    pools = {"cidr_default": "10.0.0.4/32", "range_default": "nonsense", "cidr_global": "10.0.2.4/32"}
    known = allocator(**pools, fallback_global="true")
    assert assigned(known, "a", "b") == ["10.0.0.4", "10.0.2.4"]
    with pytest.raises(PoolExhausted, match="cidr-default"):
        known.assign(want("c"))


# What it tells


def test_an_assignment_names_its_request_and_pool() -> None:
    made = sound(range_default="10.0.0.4-10.0.0.9").assign(want("a"))
    assert made == ("default/a", (ip(FOUR),), "range-default", (), "")


def test_it_tells_which_pool_of_a_namespace_has_all_of_some_addresses() -> None:
    known = sound(cidr_a=DUAL, cidr_global="10.0.1.0/24,fd00:1::/64", fallback_a="true")
    assert known.pool_of("a", ips("10.0.0.4,fd00::1")) == "cidr-a"
    assert known.pool_of("a", ips("10.0.1.4")) == "cidr-global"
    assert known.pool_of("a", ips("10.0.0.4,fd00:1::1")) == ""
    assert known.pool_of("b", ips("10.0.0.4")) == ""


def test_the_marker_is_of_the_pool_for_dhcp() -> None:
    known = sound(cidr_a="0.0.0.0/32", cidr_b="10.0.0.0/24")
    assert (known.pool_of("a", ips("0.0.0.0")), known.pool_of("b", ips("0.0.0.0"))) == ("cidr-a", "")


def test_where_there_is_no_pool_none_has_an_address() -> None:
    assert allocator().pool_of("a", ips(FOUR)) == ""


def test_statistics_count_each_family_of_each_pool() -> None:
    known = sound(cidr_a="10.0.0.0/24,fd00::/64", range_global="10.0.0.1-10.0.0.9", cidr_b="0.0.0.0/32")
    assigned(known, "x", namespace="a", policy=REQUIRE)
    known.adopt(want("y"), ips("10.0.0.20,192.168.0.1"))
    known.reserve("node a", ips("10.0.0.0"))
    assert sorted(known.statistics(), key=lambda each: (each.pool, each.family)) == [
        PoolStatistics("cidr-a", IPV4, 254, 2),
        PoolStatistics("cidr-a", IPV6, 1 << 64, 1),
        PoolStatistics("range-global", IPV4, 9, 1),
    ]


def test_what_is_not_used_is_free() -> None:
    assert PoolStatistics("cidr-a", IPV4, 254, 4).free == 250


def test_a_shared_or_contested_address_is_used_once() -> None:
    known = sound(cidr_global="10.0.0.4/30", allow_share_global="true")
    for name, port in (("a", HTTP), ("b", HTTPS), ("c", HTTPS)):
        known.adopt(want(name, port), ips(FOUR))
    assert known.statistics() == [PoolStatistics("cidr-global", IPV4, 4, 1)]


def test_an_address_that_cools_down_counts_as_used() -> None:
    known = sound(cidr_global="10.0.0.4/30", cool_down="60")
    assigned(known, "a")
    known.release("default/a", now=0.0)
    assert [each.free for each in known.statistics()] == [3]


def test_a_broken_pool_and_one_of_another_ipam_have_no_statistics() -> None:
    assert allocator(cidr_a="nonsense/8", source_b="netbox").statistics() == []


def test_its_length_is_how_many_have_addresses() -> None:
    known = sound(cidr_global=DUAL)
    assigned(known, "a", "b", policy=REQUIRE)
    known.reserve("node a", ips("192.168.0.1"))
    assert len(known) == 3


# What is kept


def test_looking_at_the_same_service_again_and_again_keeps_nothing_more() -> None:
    known = sound(range_global="10.0.0.1-10.0.0.9")
    assigned(known, "a", "b", "c")
    for _ in range(300):
        known.adopt(want("b"), ips("10.0.0.2"), now=1.0)
    assert kept(known) == (0, 0)


def test_using_addresses_of_another_pool_over_and_over_does_not_add_up() -> None:
    known = sound(range_a="10.0.0.1-10.0.0.9", range_global="10.0.0.1-10.0.0.9")
    for name in "abcde":
        known.assign(want(name, namespace="a"))
    for _ in range(300):
        for name in "abcde":
            known.release(f"a/{name}")
            known.assign(want(name, namespace="b"))
            known.release(f"b/{name}")
    assert kept(known)[0] < 200


def kept(known: Allocator) -> tuple[int, int]:
    """Return how many freed and how many cooling addresses are remembered."""
    lists = [free for parts in known._parts.values() for free in parts.free.values()]
    return sum(len(free._freed) for free in lists), len(known._cooling)


def test_the_example_of_the_package_runs() -> None:
    known = Allocator(read({"range-global": "10.0.0.5-10.0.0.9"}))
    known.adopt(want("old"), ips("10.0.0.5"))
    assert known.assign(want("new")).addresses == (ip("10.0.0.6"),)


def test_what_cools_down_goes_on_to_under_an_edited_configuration() -> None:
    data = {"range-global": "10.0.0.5-10.0.0.6", "cool-down": "60"}
    before = Allocator(read(data))
    before.assign(Request(key="a", namespace="n"), now=0.0)
    before.release("a", now=10.0)
    after = Allocator(read({**data, "search-order": "asc"}))
    after.go_on_cooling(before.cooling())
    assert str(after.assign(Request(key="b", namespace="n"), now=69.0).addresses[0]) == "10.0.0.6"
    assert str(after.assign(Request(key="c", namespace="n"), now=70.0).addresses[0]) == "10.0.0.5"
