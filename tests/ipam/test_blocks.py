"""Sets of addresses as intervals: the same as sets of single addresses, but small."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.ipam import Block, Blocks
from kubevip.ipam.blocks import END, IPV6_BASE, address_at, family_at, merged, position
from kubevip.model import Family, IPAddress
from tests.ipam.asking import IPV4, IPV6, blocks, ip

LAST_IPV4, LAST_IPV6 = ip("255.255.255.255"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
# Three /24 and a bit, so that .0 and .255 are within; and around the border of the families.
PLACES = st.one_of(
    st.integers(position(ip("10.0.0.240")), position(ip("10.0.3.10"))),
    st.integers(IPV6_BASE - 20, IPV6_BASE + 20),
    st.integers(0, 20),
)


@st.composite
def some_block(draw: st.DrawFn) -> Block:
    first = draw(PLACES)
    last = first + draw(st.integers(0, 300))
    return Block(first, min(last, IPV6_BASE - 1) if first < IPV6_BASE else last)


SETS = st.builds(Blocks, st.lists(some_block(), max_size=5).map(tuple), st.booleans())


def members(found: Blocks) -> set[int]:
    """Write down each address."""
    places = {place for block in found.blocks for place in range(block.first, block.last + 1)}
    if not found.sparing:
        return places
    return {place for place in places if place >= IPV6_BASE or place % 256 not in (0, 255)}


# Places


@given(st.ip_addresses())
def test_a_place_leads_back_to_its_address(address: IPAddress) -> None:
    assert address_at(position(address)) == address
    assert family_at(position(address)) is Family.of(address)


def test_the_line_of_all_addresses_has_no_gap_between_the_families() -> None:
    assert position(ip("0.0.0.0")) == 0
    assert position(LAST_IPV4) + 1 == position(ip("::")) == IPV6_BASE
    assert position(LAST_IPV6) + 1 == END


# Writing


@pytest.mark.parametrize("text", ["10.0.0.0/24", "0.0.0.0/0", "10.0.0.7/32", "::/0", "fd00::/64", "fd00::1/128"])
def test_a_block_that_is_a_cidr_is_written_as_one(text: str) -> None:
    network = ipaddress.ip_network(text)
    assert str(Block.between(network[0], network[-1])) == text


@pytest.mark.parametrize("text", ["10.0.0.1-10.0.0.2", "10.0.0.0-10.0.0.2", "::1-::2", "fd00::4-fd00::b"])
def test_another_block_is_written_as_a_range(text: str) -> None:
    first, last = map(ip, text.split("-"))
    assert str(Block.between(first, last)) == text


def test_a_set_is_written_ascending_with_ipv4_first() -> None:
    assert str(blocks("fd00::/126,10.0.1.0/24,10.0.0.0/25")) == "10.0.0.0/25,10.0.1.0/24,fd00::/126"


def test_an_excerpt_of_many_blocks_says_how_many_more_there_are() -> None:
    many = blocks(",".join(f"10.0.{number}.4/30" for number in range(20)))
    assert many.excerpt.startswith("10.0.0.4/30,10.0.1.4/30,")
    assert many.excerpt.endswith(",10.0.7.4/30 and 12 more")


# Sets


def test_overlapping_and_adjacent_blocks_become_one() -> None:
    assert merged([Block(30, 40), Block(5, 9), Block(1, 3), Block(4, 6), Block(35, 36)]) == (Block(1, 9), Block(30, 40))


def test_the_end_of_ipv4_and_the_start_of_ipv6_stay_apart() -> None:
    both = (Block(IPV6_BASE - 2, IPV6_BASE - 1), Block(IPV6_BASE, IPV6_BASE + 1))
    assert merged(both) == both


@given(st.lists(some_block(), max_size=6))
def test_merging_keeps_the_addresses_and_leaves_gaps_between_blocks(some: list[Block]) -> None:
    result = merged(some)
    assert members(Blocks(result, False)) == {place for each in some for place in range(each.first, each.last + 1)}
    for one, other in itertools.pairwise(result):
        assert one.last + 1 < other.first or family_at(one.last) is not family_at(other.first)


@given(SETS, PLACES)
def test_a_set_contains_what_it_would_list(some: Blocks, place: int) -> None:
    assert (place in some) == (place in members(some))


@given(SETS)
def test_the_size_is_the_number_of_its_addresses(some: Blocks) -> None:
    assert some.size == len(members(some))


@given(SETS, st.lists(PLACES, unique=True))
def test_it_counts_those_that_belong_to_it(some: Blocks, places: list[int]) -> None:
    assert some.count(sorted(places)) == len(members(some) & set(places))


@given(SETS, st.lists(some_block(), max_size=6))
def test_what_is_taken_away_is_gone_and_nothing_else(some: Blocks, others: list[Block]) -> None:
    away = {place for other in others for place in range(other.first, other.last + 1)}
    rest = some.without(others)
    assert members(rest) == members(some) - away
    assert rest.sparing is some.sparing


def test_what_is_taken_away_may_reach_over_several_blocks() -> None:
    some = blocks("10.0.0.1-10.0.0.9,10.0.0.20-10.0.0.29,10.0.0.40-10.0.0.49")
    assert (
        str(some.without([Block.between(ip("10.0.0.5"), ip("10.0.0.44"))])) == "10.0.0.1-10.0.0.4,10.0.0.45-10.0.0.49"
    )


@given(SETS)
def test_the_parts_of_both_families_are_the_whole(some: Blocks) -> None:
    ipv4, ipv6 = members(some.of(IPV4)), members(some.of(IPV6))
    assert ipv4 | ipv6 == members(some)
    assert all(place < IPV6_BASE for place in ipv4)
    assert all(place >= IPV6_BASE for place in ipv6)


@given(SETS, st.booleans())
def test_its_runs_are_its_addresses_in_order(some: Blocks, descending: bool) -> None:
    found = []
    for run in some.runs(descending=descending):
        assert run.first <= run.last
        places = range(run.first, run.last + 1)
        found += reversed(places) if descending else places
    assert found == sorted(members(some), reverse=descending)


@given(some_block(), some_block())
def test_blocks_overlap_if_they_have_an_address_in_common(one: Block, other: Block) -> None:
    common = set(range(one.first, one.last + 1)) & set(range(other.first, other.last + 1))
    assert one.overlaps(other) == bool(common)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10.0.0.0/8", (1 << 24) - 2 * (1 << 16)),
        ("0.0.0.0/0", (1 << 32) - 2 * (1 << 24)),
        ("10.0.0.0/31", 1),
        ("10.0.0.0/32", 0),
        ("10.0.0.255/32", 0),
        ("fd00::/64", 1 << 64),
        ("::/0", 1 << 128),
        ("10.0.0.254-10.0.1.1", 2),
    ],
)
def test_sizes_without_the_numbers_0_and_255(text: str, size: int) -> None:
    assert blocks(text).size == size


def test_all_addresses_count_where_none_is_spared() -> None:
    assert blocks("10.0.0.0/8", sparing=False).size == 1 << 24


def test_only_a_set_without_blocks_is_false() -> None:
    assert not Blocks(())
    assert blocks("10.0.0.0/32")


def test_it_has_a_size_but_no_length() -> None:
    with pytest.raises(TypeError, match="use size"):
        len(blocks("fd00::/64"))
