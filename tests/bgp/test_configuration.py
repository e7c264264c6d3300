"""The settings of the backend, as they stand in the environment."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from kubevip_bgp.configuration import parse_communities, read_configuration
from kubevip_bgp.neighbors import Neighbor

from kubevip.plugin import ConfigError

PEER = {"bgp_peers": "10.0.0.9:65001"}


def problems(**texts):
    with pytest.raises(ConfigError) as caught:
        read_configuration({**PEER, **texts})
    return caught.value.problems


def test_defaults_are_those_of_kube_vip():
    found = read_configuration(PEER)
    assert (found.number, found.hold_time, found.keepalive) == (65000, 30, 10)
    assert (found.connect, found.accept, found.graceful_restart) == (True, False, 0)
    assert found.neighbors == (Neighbor(address=IPv4Address("10.0.0.9"), number=65001),)


def test_single_peer_comes_behind_the_list():
    found = read_configuration(
        {**PEER, "bgp_peeraddress": "fd00::9", "bgp_peeras": "65009", "bgp_peerpass": "hush", "bgp_multihop": "true"}
    )
    assert found.neighbors[1] == Neighbor(address=IPv6Address("fd00::9"), number=65009, password="hush", multihop=True)


def test_attributes_of_routes_are_read():
    found = read_configuration(
        {**PEER, "bgp_communities": "65000:1, 1:2:3", "bgp_local_pref": "200", "bgp_med": "0", "bgp_prepend": "2"}
    )
    assert found.route.communities == (65000 << 16 | 1,)
    assert found.route.large_communities == ((1, 2, 3),)
    assert (found.route.local_pref, found.route.med, found.route.prepend) == (200, 0, 2)


@pytest.mark.parametrize(
    ("text", "connect", "accept"), [("active", True, False), ("passive", False, True), ("both", True, True)]
)
def test_connection_says_who_may_begin(text, connect, accept):
    found = read_configuration({**PEER, "bgp_connection": text})
    assert (found.connect, found.accept) == (connect, accept)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"bgp_peers": ""}, "bgp_peers (not set): BGP needs a peer; write bgp_peers=<address>:<AS>"),
        ({"bgp_peers": "10.0.0.9:0"}, "bgp_peers: peer 1, 10.0.0.9: AS '0'; write a number from 1 to 4294967295"),
        ({"bgp_peeraddress": "10.0.0.9"}, "bgp_peers: 10.0.0.9 is there more than once; leave one of them"),
        ({"bgp_hold_time": "2", "bgp_keepalive_interval": "1"}, "bgp_hold_time: 2 s; write 0 for none, or at least 3"),
        ({"bgp_hold_time": "9"}, "bgp_keepalive_interval: 10 s is longer than bgp_hold_time, 9 s"),
        ({"bgp_as": "0"}, "bgp_as: AS '0'; write a number from 1 to 4294967295"),
        (
            {"bgp_routerid": "fd00::1"},
            "bgp_routerid: 'fd00::1'; write an IPv4 address, also where sessions are over IPv6",
        ),
        ({"bgp_peers": " , "}, "bgp_peers ',': BGP needs a peer; write bgp_peers=<address>:<AS>"),
        (
            {"bgp_sourceip": "10.0.0.1", "bgp_sourceif": "eth0"},
            "bgp_sourceip, bgp_sourceif: these exclude each other; leave one of them",
        ),
        ({"bgp_connection": "maybe"}, "bgp_connection: 'maybe'; write active, passive or both"),
        ({"bgp_graceful_restart": "5000"}, "bgp_graceful_restart: '5000'; write a whole number from 0 to 4095"),
        ({"bgp_communities": "1"}, "bgp_communities: '1' is no community; write 65000:1, or 65000:1:2 for a large one"),
        ({"mpbgp_nexthop": "fixed"}, "mpbgp_nexthop=fixed needs mpbgp_ipv4, mpbgp_ipv6 or both"),
    ],
)
def test_what_can_not_be_is_told_with_what_would_be_right(texts, problem):
    assert problems(**texts) == (problem,)


def test_all_problems_are_told_at_once_and_no_password():
    told = problems(bgp_peers="10.0.0.9:x:hush", bgp_as="x", bgp_med="-1")
    assert [each.partition(":")[0] for each in told] == ["bgp_peers", "bgp_as", "bgp_med"]
    assert "hush" not in str(told)


@pytest.mark.parametrize("text", ["65536:1", "1:65536", "1:2:4294967296", "a:b", "1:2:3:4", "-1:2"])
def test_community_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="is no community"):
        parse_communities(text)
