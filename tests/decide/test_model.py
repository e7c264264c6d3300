"""The values that everything else speaks of."""

import ipaddress

import pytest

from kubevip.errors import ConfigError
from kubevip.model import Family, LeaseKey, ServiceKey, Vip


@pytest.mark.parametrize(
    ("text", "address", "prefix_length"),
    [
        ("10.0.0.5", "10.0.0.5", 32),
        ("10.0.0.5/24", "10.0.0.5", 24),
        ("fd00::5", "fd00::5", 128),
        ("FD00:0::5/64", "fd00::5", 64),
    ],
)
def test_a_vip_is_read_with_the_prefix_of_a_host_unless_told(text: str, address: str, prefix_length: int) -> None:
    vip = Vip.parse(text, interface="eth0")
    assert (str(vip), vip.prefix_length, vip.interface) == (address, prefix_length, "eth0")


@pytest.mark.parametrize("text", ["", "eth0", "10.0.0", "10.0.0.5/33", "10.0.0.5/24/1", "fd00::5/129", "10.0.0.0.5"])
def test_what_is_no_address_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match="isn't an IP address such as"):
        Vip.parse(text, interface="eth0")


@pytest.mark.parametrize("text", ["224.0.0.1", "ff02::1", "0.0.0.0", "::"])
def test_what_is_no_unicast_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="isn't a unicast address"):
        Vip.parse(text, interface="eth0")


@pytest.mark.parametrize(("address", "length"), [("10.0.0.5", 33), ("10.0.0.5", -1), ("fd00::5", 129)])
def test_a_prefix_that_does_not_fit_is_refused_with_its_bounds(address: str, length: int) -> None:
    with pytest.raises(ConfigError, match="isn't within 0 and"):
        Vip(ipaddress.ip_address(address), "eth0", length)


def test_families_follow_the_version() -> None:
    assert Vip.parse("10.0.0.5", interface="eth0").family is Family.IPV4
    assert Vip.parse("fd00::5", interface="eth0").family is Family.IPV6


def test_keys_are_read_and_written_as_namespace_and_name() -> None:
    key = LeaseKey.parse("kube-system/plndr-cp-lock")
    assert (key.namespace, key.name, str(key)) == ("kube-system", "plndr-cp-lock", "kube-system/plndr-cp-lock")


def test_a_name_alone_is_in_the_default_namespace() -> None:
    assert LeaseKey.parse("lock", default_namespace="kube-system") == LeaseKey("kube-system", "lock")


@pytest.mark.parametrize("text", ["", "lock", "a/", "/lock", "a/b/c"])
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write namespace/name"):
        LeaseKey.parse(text)


def test_keys_of_different_kinds_are_different() -> None:
    assert LeaseKey("a", "b") != ServiceKey("a", "b")
