"""Pools as text: what is read, and what is said about what can't be."""

import pytest

from kubevip.errors import ConfigError
from kubevip.ipam import Blocks, read_address, read_pool
from kubevip.ipam.notation import read_blocks, sift_blocks
from tests.ipam.asking import ip

EMPTY = "there is an empty element between commas, or at an end"
UNABLE, FIRST_LAST = "unable to parse IP range", "write first-last, such as 10.0.0.5-10.0.0.9"


def read_as(text: str, **how: bool) -> str:
    return str(Blocks(read_pool(text, **how)))


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_pool(text)
    return caught.value.problems


# What is read


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("192.168.0.210/29", "192.168.0.208/29"),
        ("fd00::ff/120", "fd00::/120"),
        ("10.0.0.5-10.0.0.9", "10.0.0.5-10.0.0.9"),
        ("10.0.0.5-10.0.0.5", "10.0.0.5/32"),
        ("172.31.0.99-172.31.0.99", "172.31.0.99/32"),
        ("10.0.0.0/24,fd00::/120", "10.0.0.0/24,fd00::/120"),
        ("10.0.0.1-10.0.0.9,fd00::1-fd00::9", "10.0.0.1-10.0.0.9,fd00::1-fd00::9"),
        # Order is lost, overlaps collapse, neighbours fuse.
        ("10.0.1.0/24,10.0.0.0/24", "10.0.0.0/23"),
        ("10.0.0.5-10.0.0.9,10.0.0.1-10.0.0.6", "10.0.0.1-10.0.0.9"),
        ("fd00::/120,10.0.0.0/24", "10.0.0.0/24,fd00::/120"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("FD00::A/128", "fd00::a/128"),
    ],
)
def test_pools_that_the_original_reads_are_read_alike(text: str, meaning: str) -> None:
    assert read_as(text) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (" 10.0.0.0/24 ", "10.0.0.0/24"),
        ("10.0.0.0/24 ,\n 10.0.2.0/24", "10.0.0.0/24,10.0.2.0/24"),
        ("10.0.0.5 - 10.0.0.9,\t10.0.0.21-10.0.0.22\n", "10.0.0.5-10.0.0.9,10.0.0.21-10.0.0.22"),
    ],
)
def test_blanks_around_elements_do_not_matter(text: str, meaning: str) -> None:
    assert read_as(text) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10.0.0.0/24", "10.0.0.1-10.0.0.254"),
        # Of each CIDR as it is written, also where the original sees the two as one /29.
        ("10.0.0.200/30,10.0.0.204/30", "10.0.0.201-10.0.0.202,10.0.0.205-10.0.0.206"),
        ("10.0.0.4/31", "10.0.0.4/31"),
        ("10.0.0.4/32", "10.0.0.4/32"),
        ("fd00::/120", "fd00::/120"),
        ("10.0.0.4-10.0.0.9", "10.0.0.4-10.0.0.9"),
    ],
)
def test_skipping_ends_takes_them_from_each_ipv4_cidr_that_has_more_than_two(text: str, meaning: str) -> None:
    assert read_as(text, skip_ends=True) == meaning


def test_for_what_is_kept_free_all_notations_go_together() -> None:
    text = "10.0.0.1, 10.0.1.0/24, fd00::1-fd00::4 , fd00::9"
    assert str(Blocks(read_blocks(text))) == "10.0.0.1/32,10.0.1.0/24,fd00::1-fd00::4,fd00::9/128"


def test_what_is_kept_free_is_read_as_far_as_it_can_be() -> None:
    found, problems = sift_blocks("10.0.0.1,nonsense,10.0.0.3")
    assert str(Blocks(found)) == "10.0.0.1/32,10.0.0.3/32"
    assert problems == ("'nonsense' is not an IP address such as 10.0.0.5 or fd00::5",)


@pytest.mark.parametrize("text", ["", "10.0.0.1,,10.0.0.2"])
def test_an_empty_element_among_what_is_kept_free_is_said_to_be_one(text: str) -> None:
    assert sift_blocks(text)[1] == (EMPTY,)


# What can't be read: each message names the element, and what would be right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Empty elements
        ("", EMPTY),
        ("10.0.0.0/24,", EMPTY),
        (",10.0.0.0/24", EMPTY),
        ("10.0.0.0/24, ,10.0.1.0/24", EMPTY),
        ("10.0.0.1-10.0.0.2,", EMPTY),
        # Kinds mixed
        (
            "10.0.0.0/24,10.0.1.1-10.0.1.2",
            "'10.0.1.1-10.0.1.2' has no prefix length: write CIDRs such as 10.0.0.0/24, or ranges alone",
        ),
        (
            "10.0.0.0/24,10.0.1.1",
            "'10.0.1.1' has no prefix length: write CIDRs such as 10.0.0.0/24, or ranges alone",
        ),
        # Ranges
        (
            "10.0.0.1",
            f"{UNABLE} [10.0.0.1]: {FIRST_LAST}, or for one address 10.0.0.1-10.0.0.1",
        ),
        ("nonsense", f"{UNABLE} [nonsense]: {FIRST_LAST}"),
        (
            "10.0.0.1-10.0.0.2-10.0.0.3",
            f"{UNABLE} [10.0.0.1-10.0.0.2-10.0.0.3]: {FIRST_LAST}",
        ),
        ("10.0.0.1-", f"{UNABLE} [10.0.0.1-]: {FIRST_LAST}"),
        ("-10.0.0.1", f"{UNABLE} [-10.0.0.1]: {FIRST_LAST}"),
        ("-", f"{UNABLE} [-]: {FIRST_LAST}"),
        ("10.0.0.9-10.0.0.1", "the range 10.0.0.9-10.0.0.1 runs backwards: write 10.0.0.1-10.0.0.9"),
        ("fd00::9-fd00::1", "the range fd00::9-fd00::1 runs backwards: write fd00::1-fd00::9"),
        ("10.0.0.1-fd00::1", "the range 10.0.0.1-fd00::1 mixes IPv4 and IPv6: write one range for each"),
        ("fd00::1-10.0.0.1", "the range fd00::1-10.0.0.1 mixes IPv4 and IPv6: write one range for each"),
        ("10.0.0.x-10.0.0.9", "'10.0.0.x' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("10.0.0.1-10.0.0", "'10.0.0' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("10.0.0.1-9", "'9' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("10.0.0.256-10.0.1.1", "'10.0.0.256' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("10..0.1-10.0.0.2", "'10..0.1' is not an IP address such as 10.0.0.5 or fd00::5"),
        # Leading zeros, in one way or another
        ("10.0.0.01-10.0.0.09", "'10.0.0.01' is not an IP address: write it without leading zeros, 10.0.0.1"),
        ("10.0.0.00-10.0.0.9", "'10.0.0.00' is not an IP address: write it without leading zeros, 10.0.0.0"),
        ("010.0.0.999-10.0.0.9", "'010.0.0.999' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("010.0.0.0/24", "'010.0.0.0' is not an IP address: write it without leading zeros, 10.0.0.0"),
        # Addresses before the slash
        ("/24", "'/24' has no address: write CIDRs such as 10.0.0.0/24"),
        ("nonsense/24", "'nonsense' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("10.0.0/24", "'10.0.0' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("٣.0.0.0/24", "'٣.0.0.0' is not an IP address such as 10.0.0.5 or fd00::5"),
        ("\x00/24", "'\\x00' is not an IP address such as 10.0.0.5 or fd00::5"),
        # Zones
        ("fe80::1%eth0/64", "'fe80::1%eth0' has a zone: write the address without it"),
        ("fe80::1%eth0-fe80::9", "'fe80::1%eth0' has a zone: write the address without it"),
        # IPv4 in the form of IPv6
        ("::ffff:10.0.0.0/120", "'::ffff:10.0.0.0' is IPv4 in the form of IPv6: write 10.0.0.0"),
        ("::ffff:10.0.0.1-::ffff:10.0.0.9", "'::ffff:10.0.0.1' is IPv4 in the form of IPv6: write 10.0.0.1"),
        ("::ffff:a00:1/128", "'::ffff:a00:1' is IPv4 in the form of IPv6: write 10.0.0.1"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named_with_what_would_be_right(text: str, message: str) -> None:
    assert problems_of(text) == (message,)


@pytest.mark.parametrize(
    "length", ["", "33", "100", "1000", "024", "00", "-1", "+8", " 8", "8.0", "8/8", "٨", "255.255.255.0", "0.0.0.255"]
)
def test_a_prefix_length_is_a_plain_number(length: str) -> None:
    wanted = "needs a plain number from 0 to 32 after the slash, such as 10.0.0.0/32"
    assert problems_of(f"10.0.0.0/{length}") == (f"'10.0.0.0/{length}' {wanted}",)


def test_ipv6_has_prefix_lengths_up_to_128() -> None:
    wanted = "needs a plain number from 0 to 128 after the slash, such as fd00::/128"
    assert problems_of("fd00::/129") == (f"'fd00::/129' {wanted}",)


def test_semicolons_do_not_part_elements() -> None:
    (problem,) = problems_of("10.0.0.0/24;10.0.1.0/24")
    assert problem.startswith("'10.0.0.0/24;10.0.1.0/24' needs a plain number")


def test_all_elements_that_are_wrong_are_told_at_once() -> None:
    assert problems_of("10.0.0.0/24,10.0.1.0/99,x/8,10.0.2.0/24,") == (
        "'10.0.1.0/99' needs a plain number from 0 to 32 after the slash, such as 10.0.1.0/32",
        "'x' is not an IP address such as 10.0.0.5 or fd00::5",
        EMPTY,
    )


def test_of_very_many_that_are_wrong_only_some_are_told() -> None:
    problems = problems_of(",".join(["x"] * 5000))
    assert len(problems) == 11
    assert problems[-1] == "and 4990 more"


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, "x" * 100_000 + "/24", "0" * 100_000 + ".0.0.1-10.0.0.1", "10.0.0.0/" + "1" * 100_000,
     "10.0.0.1-" * 20_000, "." * 100_000 + "/8", "%" * 100_000 + "/8"],
)  # fmt: skip
def test_an_element_without_end_gets_a_message_that_can_be_read(text: str) -> None:
    (problem,) = problems_of(text)
    assert len(problem) < 250
    assert "int_max_str_digits" not in problem


# Addresses


@pytest.mark.parametrize("text", ["10.0.0.1", "0.0.0.0", "fd00::1", "::", "FD00:0::1"])
def test_an_address_is_read(text: str) -> None:
    assert read_address(text) == ip(text)


@pytest.mark.parametrize(
    "text", ["", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1/32", "10.0.0.01", "fe80::1%eth0", "::ffff:10.0.0.1", "x", "1"]
)
def test_an_address_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|zone|IPv4"):
        read_address(text)
