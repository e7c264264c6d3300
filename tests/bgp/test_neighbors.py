"""How peers are written: kube-vip's grammar, and what is said of what doesn't fit it."""

from ipaddress import IPv4Address, IPv6Address

import attrs
import pytest
from kubevip_bgp.neighbors import Detection, Malformed, Neighbor, NextHops, parse_neighbors

ONE = Neighbor(address=IPv4Address("10.0.0.1"), number=65001)
ROUTER = Neighbor(address=IPv6Address("::%eth1"), number=65001, interface="eth1")
OWN = NextHops()


def read(text, next_hops=OWN):
    return parse_neighbors(text, next_hops)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("10.0.0.1:65001", (ONE,)),
        ("10.0.0.1:65001:::", (ONE,)),
        ("10.0.0.1:65001:a]b[c", (Neighbor(address=ONE.address, number=65001, password="a]b[c"),)),
        (" 10.0.0.1:65001 , ", (ONE,)),
        ("unnumbered:eth1:65001", (ROUTER,)),
        (
            "unnumbered:eth1:65001:hush:false:1790::true;50;50;3",
            (attrs.evolve(ROUTER, password="hush", port=1790, detection=Detection(receive=0.05, transmit=0.05)),),
        ),
        (
            "10.0.0.1:65001:hush:true:1790",
            (Neighbor(address=ONE.address, number=65001, password="hush", multihop=True, port=1790),),
        ),
        ("[fd00::1]:4200000001", (Neighbor(address=IPv6Address("fd00::1"), number=4200000001),)),
        ("[fe80::1%eth0]:65001", (Neighbor(address=IPv6Address("fe80::1%eth0"), number=65001),)),
        (
            "10.0.0.1:65001::::mpbgp_nexthop=fixed;mpbgp_ipv6=[fd00::9]:true;50;50;3",
            (
                Neighbor(
                    address=ONE.address,
                    number=65001,
                    next_hops=NextHops(mode="fixed", ipv6=IPv6Address("fd00::9")),
                    detection=Detection(receive=0.05, transmit=0.05, multiplier=3),
                ),
            ),
        ),
        (
            "10.0.0.1:65001:::::true;50;60;4",
            (
                Neighbor(
                    address=ONE.address,
                    number=65001,
                    detection=Detection(receive=0.05, transmit=0.06, multiplier=4),
                ),
            ),
        ),
        ("10.0.0.1:65001:::::true;;;", (Neighbor(address=ONE.address, number=65001, detection=Detection()),)),
        ("10.0.0.1:65001:::::false;50;60;4", (ONE,)),
    ],
)
def test_peers_read_as_kube_vip_reads_them(text, expected):
    assert read(text) == expected


def test_unnumbered_peer_is_called_by_its_interface_and_has_no_address_yet():
    assert ROUTER.name == "unnumbered:eth1"
    assert not ROUTER.found
    assert ONE.found


def test_several_peers_keep_their_order():
    assert [each.number for each in read("10.0.0.1:65001,[fd00::1]:65002,10.0.0.3:65003")] == [65001, 65002, 65003]


def test_next_hops_of_all_are_those_of_peers_that_say_nothing():
    hops = NextHops(mode="auto_sourceif")
    peers = read("10.0.0.1:65001,10.0.0.2:65001::::mpbgp_nexthop=auto_sourceip", hops)
    assert [peer.next_hops.mode for peer in peers] == ["auto_sourceif", "auto_sourceip"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1", "peer 1, 10.0.0.1: AS ''; write a number from 1 to 4294967295"),
        ("10.0.0.1:0", "AS '0'"),
        ("10.0.0.1:4294967296", "AS '4294967296'"),
        ("10.0.0.1:" + "9" * 5000, "AS '99999999999'; write a number from 1 to 4294967295"),
        ("router:65001", "'router' is not an IP address; write one such as 10.0.0.1, an IPv6 address in brackets"),
        ("10.0.0.1:65001,10.0.0.300:65001", "peer 2, 10.0.0.300: '10.0.0.300' is not an IP address"),
        (":65001", "peer 1, without an address: '' is not an IP address"),
        ("fd00::1:65001", "an IPv6 address in brackets"),
        ("[fe80::1]:65001", "a link-local address needs its interface; write [fe80::1%eth0]"),
        ("224.0.0.1:65001", "224.0.0.1 is not the address of one machine"),
        ("10.0.0.1:65001::maybe", "multihop 'maybe'; write true or false"),
        ("10.0.0.1:65001:::0", "port '0'"),
        ("10.0.0.1:65001:::x", "port 'x'"),
        ("10.0.0.1:65001::::nexthop=1", "'nexthop=1'; write mpbgp_nexthop="),
        ("10.0.0.1:65001::::mpbgp_nexthop=self", "mpbgp_nexthop='self'"),
        ("10.0.0.1:65001::::mpbgp_nexthop=fixed", "needs mpbgp_ipv4, mpbgp_ipv6 or both"),
        ("10.0.0.1:65001::::mpbgp_ipv6=10.0.0.1", "mpbgp_ipv6='10.0.0.1' is not an IPv6 address"),
        ("10.0.0.1:65001:::::true;50", "bfd 'true;50'; write enabled;300;300;3"),
        ("10.0.0.1:65001:::::on;50;50;3", "bfd 'on'; write true or false"),
        ("10.0.0.1:65001:::::true;9;50;3", "bfd interval 9; write a number from 10 to 60000"),
        ("10.0.0.1:65001:::::true;50;60001;3", "bfd interval 60001; write a number from 10 to 60000"),
        ("10.0.0.1:65001:::::true;50;50;256", "bfd multiplier 256; write a number from 1 to 255"),
        ("10.0.0.1:65001::::::", "there are 8 fields"),
        ("unnumbered", "unnumbered:: interface ''; write unnumbered:<interface>:<AS>, such as unnumbered:eth1:65001"),
        ("unnumbered:eth0", "unnumbered:eth0: AS ''"),
        ("unnumbered:an-interface-too-long:65001", "interface 'an-interface-too-long'"),
        ("unnumbered:[fe80::1%eth0]:65001", "interface 'fe80::1%eth0'"),
    ],
)
def test_peer_that_can_not_be_is_named_with_what_would_be_right(text, said):
    with pytest.raises(Malformed) as caught:
        read(text)
    assert said in str(caught.value)


def test_password_is_neither_shown_nor_told_where_the_peer_is_wrong():
    with pytest.raises(Malformed) as caught:
        read("10.0.0.1:65001:" + "hush" * 21)
    assert "hush" not in str(caught.value)
    assert "80 bytes" in str(caught.value)
    assert "hush" not in repr(read("10.0.0.1:65001:hush"))


def test_peer_is_called_as_kube_vip_calls_it():
    assert ONE.name == "10.0.0.1:179"
    assert read("[fd00::1]:65001")[0].name == "[fd00::1]:179"
