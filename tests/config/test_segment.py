"""The settings of what is verified and watched on a segment."""

import ipaddress

import pytest

from kubevip.config import load
from kubevip.errors import ConfigError

BASE = {"vip_arp": "true", "svc_enable": "true"}


def segment(**given: str):
    return load(BASE | given).settings.segment


def test_without_a_word_nothing_is_asked_and_conflicts_are_told() -> None:
    found = segment()
    assert (found.verify, found.verify_timeout, found.witnesses, found.conflict) == ("warn", 10.0, (), "alarm")


def test_witnesses_are_addresses_of_both_families_each_once() -> None:
    found = segment(vip_witnesses="10.0.0.1, fe80::1,10.0.0.1")
    assert found.witnesses == (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("fe80::1"))


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("vip_verify", "yes", "write off, warn or resign"),
        ("vip_verify_timeout", "0", "from 1 to 3600"),
        ("vip_verify_timeout", "2.5", "whole seconds"),
        ("vip_witnesses", "gateway.example", "write IP addresses, separated by commas"),
        ("vip_witnesses", "10.0.0.0/8", "without a prefix length"),
        ("vip_witnesses", "fe80::1%eth0", "without a zone"),
        ("vip_witnesses", "224.0.0.1", "a unicast address"),
        ("vip_conflict", "fight", "write alarm, defend or yield"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(name: str, text: str, right: str) -> None:
    with pytest.raises(ConfigError) as caught:
        segment(**{name: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}={text!r}")
    assert right in problem
