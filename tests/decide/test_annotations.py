"""A node's annotations become settings of BGP mode."""

import base64

import pytest

from kubevip.annotations import read_annotations

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
