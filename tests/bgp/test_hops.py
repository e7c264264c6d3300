"""By which addresses a peer reaches us."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from kubevip_bgp.hops import own_next_hops
from kubevip_bgp.neighbors import NextHops
from kubevip_bgp.prefixes import Afi

INTERFACES = {
    "lo": tuple(map(ip_address, ("127.0.0.1", "::1"))),
    "eth0": tuple(map(ip_address, ("10.0.0.1", "fe80::1", "fd00::1"))),
    "eth1": tuple(map(ip_address, ("10.1.0.1", "fd01::1"))),
}
V4, V6 = IPv4Address("10.0.0.1"), IPv6Address("fd00::1")
OWN = NextHops()


@pytest.mark.parametrize("local", [V4, V6])
def test_other_family_goes_by_the_interface_that_the_session_is_on(local):
    assert own_next_hops(local, OWN, INTERFACES) == {Afi.IPV4: (V4,), Afi.IPV6: (V6,)}


def test_family_without_an_address_is_left_out():
    assert own_next_hops(V4, OWN, {"eth0": (V4, ip_address("fe80::1"))}) == {Afi.IPV4: (V4,)}


def test_fixed_address_is_for_the_other_family_alone():
    wanted = NextHops(mode="fixed", ipv4=IPv4Address("10.9.9.9"), ipv6=IPv6Address("fd09::9"))
    assert own_next_hops(V4, wanted, INTERFACES) == {Afi.IPV4: (V4,), Afi.IPV6: (IPv6Address("fd09::9"),)}
    assert own_next_hops(V6, wanted, INTERFACES) == {Afi.IPV4: (IPv4Address("10.9.9.9"),), Afi.IPV6: (V6,)}


def test_interface_of_sessions_gives_the_address_where_it_is_asked_to():
    wanted = NextHops(mode="auto_sourceif")
    assert own_next_hops(V4, wanted, INTERFACES, "eth1")[Afi.IPV6] == (IPv6Address("fd01::1"),)


def test_link_local_session_has_both_addresses():
    hops = own_next_hops(IPv6Address("fe80::1%eth0"), OWN, INTERFACES)
    assert hops == {Afi.IPV4: (V4,), Afi.IPV6: (V6, IPv6Address("fe80::1"))}


def test_node_without_an_ipv4_address_is_reached_by_its_ipv6_address_where_both_sides_agree():
    local, alone = ip_address("fe80::1%eth9"), {"eth9": ()}
    plain = ip_address("fe80::1")
    assert own_next_hops(local, NextHops(), alone, extended=True)[Afi.IPV4] == (plain, plain)
    assert Afi.IPV4 not in own_next_hops(local, NextHops(), alone)


def test_ipv4_address_of_the_interface_goes_before_an_ipv6_address_for_ipv4():
    local, both = ip_address("fe80::1%eth9"), {"eth9": (ip_address("10.0.0.1"),)}
    assert own_next_hops(local, NextHops(), both, extended=True)[Afi.IPV4] == (ip_address("10.0.0.1"),)


def test_link_local_session_of_a_node_with_nothing_else_has_that_address_twice():
    hops = own_next_hops(IPv6Address("fe80::1%eth0"), OWN, {"eth0": (IPv6Address("fe80::1"),)})
    assert hops == {Afi.IPV6: (IPv6Address("fe80::1"), IPv6Address("fe80::1"))}
