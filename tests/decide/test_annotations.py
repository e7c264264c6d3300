"""A node's annotations become settings of BGP mode."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.configuration import read_configuration

from kubevip.annotations import peers_of, read_annotations

PREFIX = "metal.example.com"
PLAIN = {"node-asn": "65000", "src-ip": "10.0.0.1", "peer-asn": "65001", "peer-ip": "10.0.0.9"}


def read(prefix: str = PREFIX, **fields: str):
    return read_annotations({f"{PREFIX}/{name}": text for name, text in fields.items()}, prefix)


def secret(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_plain_names_become_settings() -> None:
    found = read(**PLAIN)
    assert found.problems == found.unknown == ()
    assert found.settings == {
        "bgp_as": "65000",
        "bgp_sourceip": "10.0.0.1",
        "bgp_routerid": "10.0.0.1",
        "bgp_peers": "10.0.0.9:65001::",
    }


def test_numbered_names_mean_the_same() -> None:
    assert read(**{f"bgp-peers-0-{name}": text for name, text in PLAIN.items()}).settings == read(**PLAIN).settings


def test_every_numbered_peer_counts_in_the_order_of_its_number() -> None:
    more = {"bgp-peers-10-peer-ip": "10.0.0.3", "bgp-peers-2-peer-ip": "10.0.0.1, fd00::2", "bgp-peers-2-peer-asn": "7"}
    found = read(**{**PLAIN, **more})
    assert found.settings["bgp_peers"] == "10.0.0.9:65001::,10.0.0.1:7::,[fd00::2]:7::,10.0.0.3:65001::"


def test_peer_that_is_named_twice_is_one() -> None:
    found = read(**PLAIN, **{"bgp-peers-0-peer-ip": "10.0.0.9"})
    assert found.settings["bgp_peers"] == "10.0.0.9:65001::"


def test_password_and_multihop_are_for_all_peers() -> None:
    found = read(**{**PLAIN, "peer-ip": "10.0.0.8,10.0.0.9"}, **{"bgp-pass": secret("hush"), "peer-multi-hop": "true"})
    assert found.settings["bgp_peers"] == "10.0.0.8:65001:hush:true,10.0.0.9:65001:hush:true"


def test_ipv6_source_is_no_router_id() -> None:
    assert "bgp_routerid" not in read(**{**PLAIN, "src-ip": "fd00::1"}).settings


@pytest.mark.parametrize("missing", PLAIN)
def test_what_is_missing_is_named(missing: str) -> None:
    found = read(**{name: text for name, text in PLAIN.items() if name != missing})
    assert found.settings == {}
    assert found.problems == (f"annotation {PREFIX}/{missing} is missing",)


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("bgp-pass", "?", "bgp-pass is not base64 of a text"),
        ("bgp-pass", secret("a:b"), "bgp-pass: a password with ':' or ',' can't be used"),
        ("peer-multi-hop", "yes", "peer-multi-hop is 'yes'; write true or false"),
    ],
)
def test_what_can_not_be_is_named_without_the_password(field: str, text: str, problem: str) -> None:
    found = read(**PLAIN, **{field: text})
    assert found.settings == {}
    assert found.problems == (f"annotation {PREFIX}/{problem}",)


def test_unknown_names_of_the_prefix_are_told() -> None:
    found = read_annotations(
        {**{f"{PREFIX}/{k}": v for k, v in PLAIN.items()}, f"{PREFIX}/peer": "x", "a/b": "c"}, PREFIX
    )
    assert found.unknown == (f"{PREFIX}/peer",)
    assert found.settings


def test_names_of_others_are_none_of_ours() -> None:
    ours = {f"{PREFIX}/{name}": text for name, text in PLAIN.items()}
    assert read_annotations(ours | {"a/peer": "x", f"{PREFIX}x/peer": "x"}, PREFIX) == read(**PLAIN)


def test_prefix_may_end_with_a_slash() -> None:
    assert read(PREFIX + "/", **PLAIN).settings == read(**PLAIN).settings


@pytest.mark.parametrize(
    ("field", "text", "right"),
    [
        ("node-asn", "AS65000", "write an AS number from 1 to 4294967295"),
        ("node-asn", "0", "write an AS number from 1 to 4294967295"),
        ("src-ip", "10.0.0.1/24", "write an IP address"),
        ("src-ip", "0.0.0.0", "is not the address of one machine"),
        ("peer-asn", "4294967296", "write an AS number from 1 to 4294967295"),
        ("peer-ip", "10.0.0.300,router", "write an IP address"),
        ("peer-ip", "fe80::1", "a link-local address needs its interface"),
        ("peer-ip", "fe80::1%a:b", "'a:b' is no interface"),
        ("bgp-pass", secret("x" * 81), "more than 80 bytes"),
    ],
)
def test_bad_value_is_named_with_what_would_be_right(field: str, text: str, right: str) -> None:
    found = read(**{**PLAIN, field: text})
    assert found.settings == {}
    ((name, problem),) = found.bad.items()
    assert name == f"{PREFIX}/{field}"
    assert problem.startswith(f"annotation {name}")
    assert right in problem


def test_peers_beside_a_bad_one_in_a_list_count():
    found = read(**{**PLAIN, "peer-ip": "10.0.0.9,10.0.0.300,fd00::2"})
    assert found.settings["bgp_peers"].count(":65001:") == 2
    name = f"{PREFIX}/peer-ip"
    assert found.bad == {name: f"annotation {name} is '10.0.0.300'; write an IP address; its other peers count"}


SECOND = {"bgp-peers-1-peer-ip": "10.0.0.8", "bgp-peers-1-peer-asn": "65002"}


@pytest.mark.parametrize("field", ["peer-ip", "peer-asn", "bgp-pass", "peer-multi-hop"])
def test_bad_value_of_one_peer_leaves_the_others(field: str) -> None:
    found = read(**PLAIN, **{**SECOND, f"bgp-peers-1-{field}": "?"})
    assert found.settings["bgp_peers"] == "10.0.0.9:65001::"
    assert list(found.bad) == [f"{PREFIX}/bgp-peers-1-{field}"]


def test_last_good_value_counts_in_the_place_of_a_bad_one() -> None:
    before = read(**PLAIN, **SECOND)
    bad = {f"{PREFIX}/{name}": text for name, text in {**PLAIN, **SECOND, "bgp-peers-1-peer-ip": "?"}.items()}
    found = read_annotations(bad, PREFIX, before.used)
    assert found.settings == before.settings
    assert found.problems[0].endswith("its last good value goes on to count")
    assert read_annotations(bad, PREFIX, found.used).settings == before.settings


def test_peer_that_the_settings_name_is_told_and_left_to_them() -> None:
    settings = {"bgp_peers": "10.0.0.7:1, [fd00:0::2]:65001:a[b]", "bgp_peeraddress": "10.0.0.8"}
    named = {f"{PREFIX}/{name}": text for name, text in {**PLAIN, **SECOND, "peer-ip": "10.0.0.9,fd00::2"}.items()}
    found = read_annotations(named, PREFIX, peers=peers_of(settings))
    assert found.settings["bgp_peers"] == "10.0.0.9:65001::"
    assert found.problems == (
        f"annotation {PREFIX}/peer-ip: bgp_peers names fd00::2 too, and counts",
        f"annotation {PREFIX}/bgp-peers-1-peer-ip: bgp_peers names 10.0.0.8 too, and counts",
    )


def test_peer_without_a_number_of_its_own_or_of_all_is_named() -> None:
    peers = {"bgp-peers-1-peer-ip": "10.0.0.8", "bgp-peers-2-peer-ip": "10.0.0.9", "bgp-peers-2-peer-asn": "65001"}
    found = read(**{"node-asn": "65000", "src-ip": "10.0.0.1"}, **peers)
    assert found.settings["bgp_peers"] == "10.0.0.9:65001::"
    assert found.problems == (f"annotation {PREFIX}/bgp-peers-1-peer-asn is missing",)


_TEXTS = st.one_of(
    st.sampled_from(
        ["1", "65000", "0", "10.0.0.1", "10.0.0.2,fd00::1", "fe80::1%eth0", "fe80::1%a:b", "true", "", "²"]
    ),
    st.text(max_size=12),
    st.text(max_size=90).map(secret),
)
_NAMES = st.sampled_from([*PLAIN, "bgp-pass", "peer-multi-hop"]).flatmap(
    lambda field: st.sampled_from([field, f"bgp-peers-0-{field}", f"bgp-peers-1-{field}"])
)


@given(st.dictionaries(_NAMES, _TEXTS), st.dictionaries(_NAMES, _TEXTS))
def test_backend_never_refuses_what_is_made_of_annotations(before: dict[str, str], after: dict[str, str]) -> None:
    used = read(**before).used
    given = {f"{PREFIX}/{name}": text for name, text in {**PLAIN, **after}.items()}
    settings = read_annotations(given, PREFIX, used).settings
    if settings:
        read_configuration(settings)
