"""Selectors, schema, protobuf, allocation and tables as pure functions."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.emulator import BY_PLURAL, RESOURCES, Store
from kubevip.emulator.allocation import Allocator
from kubevip.emulator.protobuf import decode
from kubevip.emulator.rendering import choose_form
from kubevip.emulator.schema import MESSAGES, normalise, read_time
from kubevip.emulator.selectors import parse, parse_fields, parse_labels
from kubevip.emulator.table import COLUMNS, human_duration
from kubevip.errors import ApiError, ConfigError, Invalid

LABELS = st.dictionaries(st.sampled_from(["a", "b", "c.d/e"]), st.sampled_from(["", "x", "1", "22"]), max_size=3)
NAMES, TEXTS = st.sampled_from(["a", "b", "c.d/e"]), st.sampled_from(["", "x", "1", "22"])


def selects(text, labels):
    return all(holds(labels) for holds in parse_labels(text))


@given(LABELS, NAMES, TEXTS)
def test_equality_and_its_opposite(labels, name, text):
    assert selects(f"{name}={text}", labels) is (labels.get(name) == text)
    assert selects(f"{name}={text}", labels) is not selects(f"{name}!={text}", labels)
    assert selects(f"{name} == {text}", labels) is selects(f"{name}={text}", labels)


@given(LABELS, NAMES, st.lists(TEXTS.filter(bool), min_size=1, max_size=3))
def test_sets_and_their_opposite(labels, name, texts):
    members = ",".join(texts)
    assert selects(f"{name} in ({members})", labels) is (labels.get(name) in texts)
    assert selects(f"{name} in ({members})", labels) is not selects(f"{name} notin ({members})", labels)


@given(LABELS, NAMES)
def test_existence_and_its_opposite(labels, name):
    assert selects(name, labels) is (name in labels)
    assert selects(name, labels) is not selects(f"!{name}", labels)


@given(LABELS, NAMES, NAMES)
def test_comma_is_and(labels, one, other):
    assert selects(f"{one},!{other}", labels) is (selects(one, labels) and selects(f"!{other}", labels))


@given(st.text("ab=!,()<> inot", max_size=12))
def test_any_text_is_a_selector_or_a_bad_request(text):
    with contextlib.suppress(Invalid):
        parse_labels(text)


def test_field_selector_escapes():
    assert parse_fields(BY_PLURAL["events"], r"reason=a\,b\=c") == (("reason", True, "a,b=c"),)


def test_selector_of_one_name_knows_it():
    resource = BY_PLURAL["configmaps"]
    assert parse(resource, fields="metadata.name=x").name == "x"
    assert parse(resource, fields="metadata.name!=x").name is None


def test_time_is_written_in_utc():
    assert read_time("2026-01-01T01:00:00+02:00") == "2025-12-31T23:00:00Z"
    assert read_time("2026-01-01T01:00:00.9Z") == "2026-01-01T01:00:00Z"
    assert read_time("2026-01-01T01:00:00.000001+00:00", micro=True) == "2026-01-01T01:00:00.000001Z"


@pytest.mark.parametrize("text", ["", "x", "2026-01-01", "2026-01-01 00:00:00Z", "2026-13-01T00:00:00Z"])
def test_text_that_is_no_time(text):
    with pytest.raises(ValueError, match="parsing time"):
        read_time(text)


@pytest.mark.parametrize("resource", [r for r in RESOURCES if not r.review], ids=lambda r: r.kind)
def test_normal_form_is_normal(resource):
    once = normalise(resource.message, {"metadata": {"name": "x", "labels": {}}}, [])
    assert once["metadata"] == {"name": "x"}
    assert normalise(resource.message, once, []) == once


def test_unknown_fields_are_named_by_path():
    unknown = []
    normalise(MESSAGES["Service"], {"x": 1, "spec": {"ports": [{"port": 1, "y": 1}], "z": 1}}, unknown)
    assert unknown == ["spec.ports[0].y", "spec.z", "x"]


def test_null_in_a_map_or_list_is_an_empty_value():
    value = {"data": {"k": None}, "metadata": {"finalizers": [None]}}
    assert normalise(MESSAGES["ConfigMap"], value, []) == {"data": {"k": ""}, "metadata": {"finalizers": [""]}}


def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def envelope(kind, raw, version=b"v1"):
    return b"k8s\0" + field(1, field(1, version) + field(2, kind)) + field(2, raw)


def test_protobuf_of_a_service():
    port = field(1, b"http") + field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, b"web"))
    entry = field(1, b"app") + field(2, b"x")
    raw = field(1, field(1, b"s")) + field(2, field(1, port) + field(2, entry) + field(13, 1))
    assert decode(envelope(b"Service", raw)) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {
            "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
            "selector": {"app": "x"},
            "publishNotReadyAddresses": True,
        },
    }


def test_protobuf_of_bytes_times_and_numbers():
    entry = field(1, b"k") + field(2, b"\x00\xff")
    assert decode(envelope(b"Secret", field(2, entry)))["data"] == {"k": "AP8="}
    stamp = field(1, 1767225600) + field(2, 5000)
    spec = field(2, (1 << 64) - 3) + field(4, stamp)
    raw = decode(envelope(b"Lease", field(2, spec), b"coordination.k8s.io/v1"))
    assert raw["spec"] == {"leaseDurationSeconds": -3, "renewTime": "2026-01-01T00:00:00.000005Z"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        envelope(b"Pod", field(2, b"x")),
        envelope(b"Foo", b""),
        envelope(b"Lease", b"\x0a\x05x"),
        b"k8s\0\x07",
    ],
)
def test_protobuf_that_is_not_read(body):
    with pytest.raises(ValueError, match="protobuf"):
        decode(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_protobuf_or_an_error(body):
    with contextlib.suppress(ValueError):
        decode(b"k8s\0" + body)


def test_addresses_are_handed_out_in_order_and_come_back():
    allocator = Allocator.of(["10.0.0.0/29"])
    taken = [allocator.take_next("IPv4") for _ in range(6)]
    assert taken == [f"10.0.0.{number}" for number in range(1, 7)]
    assert allocator.take_next("IPv4") is None
    allocator.free(["10.0.0.3"])
    assert allocator.take_next("IPv4") == "10.0.0.3"


def test_default_family_is_the_first():
    assert list(Allocator.of(["fd00::/112", "10.0.0.0/24"]).networks) == ["IPv6", "IPv4"]
    with pytest.raises(ConfigError, match="one network, or one of each family"):
        Allocator.of(["fd00::/112", "fd01::/112"])


@given(st.lists(st.integers(0, 300), max_size=60))
def test_no_address_is_given_twice(wishes):
    allocator, held = Allocator.of(["10.0.0.0/24"]), set()
    for wish in wishes:
        address = f"10.0.0.{wish}" if wish < 256 else allocator.take_next("IPv4")
        refused = allocator.take(address) if wish < 256 else ""
        assert bool(refused) is (address in held)
        assert ipaddress.ip_address(address) in ipaddress.ip_network("10.0.0.0/24")
        held.add(address)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119.9, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"),
        (3 * 3600, "3h"), (3 * 3600 + 61, "3h1m"), (8 * 3600, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"),
        (49 * 3600, "2d1h"), (8 * 86400, "8d"), (729 * 86400, "729d"), (730 * 86400, "2y"), (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
    ],
)  # fmt: skip
def test_ages_in_words(seconds, text):
    assert human_duration(seconds) == text


def test_every_kind_that_is_stored_has_columns():
    assert {r.kind for r in RESOURCES if not r.review} - set(COLUMNS) == {"ServiceAccount"}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "object"),
        ("*/*", "object"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "object"),
        ("application/vnd.kubernetes.protobuf,application/json", "object"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "partial"),
    ],
)
def test_first_format_that_is_spoken_is_chosen(accept, form):
    assert choose_form(accept) == form


def test_format_that_is_not_spoken():
    with pytest.raises(ApiError, match="406"):
        choose_form("application/cbor")


def test_plurals_are_unique():
    assert len(BY_PLURAL) == len(RESOURCES)
    assert Store().count() == 0
