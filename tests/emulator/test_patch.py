"""Patches as pure functions: the examples of the RFCs, and what holds of all of them."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.emulator.patch import json_patch, merge_patch, strategic_patch
from kubevip.emulator.schema import MESSAGES

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("ab/~", max_size=2), VALUES, max_size=4)

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "result"), RFC_7386)
def test_examples_of_rfc_7386(document, patch, result):
    assert merge_patch(document, patch) == result


RFC_6902 = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}}], {"foo": "bar", "child": {"g": {}}}),
    ({"foo": "bar"}, [{"op": "add", "path": "", "value": 1}], 1),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
    ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
    ({"a": None}, [{"op": "test", "path": "/a", "value": None}], {"a": None}),
]


@pytest.mark.parametrize(("document", "operations", "result"), RFC_6902)
def test_examples_of_rfc_6902(document, operations, result):
    assert json_patch(document, operations) == result


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "add", "path": "/baz/bat", "value": "qux"}],
        [{"op": "test", "path": "/a", "value": "1"}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "test", "path": "/l", "value": [1, 2]}],
        [{"op": "remove", "path": "/l/1"}],
        [{"op": "remove", "path": "/l/-"}],
        [{"op": "add", "path": "/l/2", "value": 0}],
        [{"op": "add", "path": "/l/01", "value": 0}],
        [{"op": "add", "path": "/a/b", "value": 0}],
        [{"op": "add", "path": "a", "value": 0}],
        [{"op": "add", "path": "/a"}],
        [{"op": "move", "from": "/o", "path": "/o/x"}],
        [{"op": "move", "from": "/none", "path": "/x"}],
        [{"op": "nothing", "path": "/a"}],
        [{"path": "/a"}],
        [{"op": "remove"}],
    ],
)
def test_operation_that_does_not_fit_is_an_error(operations):
    with pytest.raises(ValueError, match=r"\w+: "):
        json_patch({"a": 1, "l": [1], "o": {"x": 1}}, operations)


@given(VALUES, VALUES)
def test_merge_patch_leaves_its_arguments_alone(document, patch):
    before = copy.deepcopy((document, patch))
    merge_patch(document, patch)
    assert (document, patch) == before


@given(VALUES, OBJECTS)
def test_merge_patch_twice_is_once(document, patch):
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS)
def test_empty_patches_change_nothing(document):
    assert merge_patch(document, {}) == document
    assert json_patch(document, []) == document
    assert strategic_patch(document, {}, None) == document


def pointer(parts):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def places(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*at, name))


@given(OBJECTS, st.data())
def test_json_patch_sets_and_finds_any_place(document, data):
    place = data.draw(st.sampled_from(list(places(document))))
    value = data.draw(VALUES)
    before = copy.deepcopy(document)
    path = pointer(place)
    changed = json_patch(document, [{"op": "replace", "path": path, "value": value}])
    assert json_patch(changed, [{"op": "test", "path": path, "value": value}]) == changed
    assert document == before


@given(OBJECTS, st.data())
def test_json_patch_takes_back_what_it_adds(document, data):
    parent = data.draw(st.sampled_from(list(places(document))))
    path = pointer((*parent, "new"))
    add = [{"op": "add", "path": path, "value": 1}, {"op": "remove", "path": path}]
    target = document
    for part in parent:
        target = target[part]
    if isinstance(target, dict):
        assert json_patch(document, add) == document
    else:
        with pytest.raises(ValueError, match="path: "):
            json_patch(document, add)


SERVICE = MESSAGES["Service"]
PORTS = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 4), "name": st.sampled_from("abc")}),
    max_size=4,
    unique_by=lambda port: port["port"],
)


@given(PORTS, PORTS)
def test_strategic_patch_unites_ports_by_number(old, new):
    document = {"spec": {"ports": old, "type": "NodePort"}}
    before = json.dumps(document)
    ports = strategic_patch(document, {"spec": {"ports": new}}, SERVICE)["spec"]["ports"]
    assert {port["port"]: port["name"] for port in ports} == {p["port"]: p["name"] for p in (*old, *new)}
    assert [port["port"] for port in ports if port in new] == [port["port"] for port in new]
    assert json.dumps(document) == before


def test_strategic_patch_merges_untyped_containers():
    document = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "x"}]}]}}}}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "y", "value": "2"}]}]}}}}
    result = strategic_patch(document, patch, MESSAGES["DaemonSet"])
    (container,) = result["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "1"
    assert {item["name"] for item in container["env"]} == {"x", "y"}


def test_strategic_patch_replaces_lists_without_a_key():
    document = {"spec": {"externalIPs": ["a"], "ports": []}}
    assert strategic_patch(document, {"spec": {"externalIPs": ["b"]}}, SERVICE)["spec"]["externalIPs"] == ["b"]


def test_strategic_patch_without_the_merge_key_is_an_error():
    with pytest.raises(ValueError, match="does not contain declared merge key: port"):
        strategic_patch({}, {"spec": {"ports": [{"name": "a"}]}}, SERVICE)


def test_strategic_patch_keeps_named_keys_only():
    document = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"x": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_patch(document, patch, None) == {"strategy": {"type": "Recreate"}}
