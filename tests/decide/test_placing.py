"""On which interface, and with which prefix length, an address is put."""

import ipaddress

import pytest

from kubevip.controllers.placing import Placing
from kubevip.model import Family, IPAddress

V4, V6 = ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("fd00::5")
FAR = ipaddress.ip_address("192.0.2.1")


def towards(address: IPAddress) -> tuple[str, int] | None:
    return {V4: ("eth1", 24), V6: ("eth1", 64)}.get(address)


def placing(services: str = "eth0", prefixes: dict[Family, int | None] | None = None) -> Placing:
    known = {Family.IPV4: 32, Family.IPV6: 128} if prefixes is None else prefixes
    return Placing(interface="eth0", services_interface=services, prefix_length=known.get, towards=towards)


def test_the_control_plane_is_on_the_interface_with_a_host_prefix() -> None:
    vip = placing("eth9").control_plane(V4)
    assert (vip.interface, vip.prefix_length) == ("eth0", 32)


def test_services_are_on_their_own_interface() -> None:
    assert placing("eth9").service(V4, "") == ("eth9", 32)


def test_the_annotation_goes_before_the_setting() -> None:
    assert placing("eth9").service(V4, "eth7") == ("eth7", 32)


@pytest.mark.parametrize("address", [V4, V6])
def test_auto_finds_the_interface_whose_network_has_the_address(address: IPAddress) -> None:
    assert placing("auto").service(address, "")[0] == "eth1"


def test_auto_falls_back_to_the_interface() -> None:
    assert placing("auto").service(FAR, "") == ("eth0", 32)


def test_auto_may_be_annotated() -> None:
    assert placing("eth9").service(V4, "auto")[0] == "eth1"


def test_a_prefix_length_that_is_not_set_is_that_of_the_network() -> None:
    assert placing(prefixes={}).service(V4, "")[1] == 24
    assert placing(prefixes={}).service(V6, "")[1] == 64


def test_a_prefix_length_that_is_not_set_is_that_of_a_host_elsewhere() -> None:
    assert placing(prefixes={}).service(FAR, "")[1] == 32


def test_each_family_has_its_own_prefix_length() -> None:
    mixed = placing(prefixes={Family.IPV4: 28, Family.IPV6: 96})
    assert (mixed.control_plane(V4).prefix_length, mixed.control_plane(V6).prefix_length) == (28, 96)
