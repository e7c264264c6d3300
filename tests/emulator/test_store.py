"""The store: versions, history, and what a watcher still has to see, without any server."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubevip.emulator import BY_PLURAL, Store
from kubevip.errors import ResourceExpired

MAPS, LEASES = BY_PLURAL["configmaps"], BY_PLURAL["leases"]
KEYS = [("a", "x"), ("a", "y"), ("ab", "x"), ("b", "x")]


def put(store, key, text="", now=0.0, resource=MAPS):
    return store.put(resource, key, {"metadata": {"name": key[1], "namespace": key[0]}, "text": text}, now)


def content(view):
    return {key: view.objects[key].value["text"] for key in view.keys}


def test_versions_count_over_all_resources():
    store = Store()
    assert [put(store, KEYS[0]).version, put(store, KEYS[1], resource=LEASES).version] == [1, 2]
    assert store.remove(MAPS, KEYS[0], 0).version == 3


def test_object_carries_its_version():
    stored = put(Store(), KEYS[0])
    assert stored.value["metadata"]["resourceVersion"] == "1"
    assert b'"resourceVersion":"1"' in stored.encoded


def test_copy_is_free_to_be_changed():
    stored = put(Store(), KEYS[0], "t")
    stored.copy()["text"] = "u"
    assert stored.value["text"] == "t"


def test_changes_tell_their_type():
    store = Store()
    put(store, KEYS[0])
    put(store, KEYS[0], "u")
    store.remove(MAPS, KEYS[0], 0)
    assert [change.type for change in store.shelf(MAPS).after(0)] == ["ADDED", "MODIFIED", "DELETED"]


def test_event_line_is_made_once():
    store = Store()
    put(store, KEYS[0])
    (change,) = store.shelf(MAPS).after(0)
    assert change.line.startswith(b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{')
    assert change.line.endswith(b"}}\n")
    assert change.line is change.line


def test_namespace_is_a_range_of_keys():
    store = Store()
    for key in KEYS:
        put(store, key)
    assert [stored.key for stored in store.view(MAPS).walk("a")] == KEYS[:2]
    assert [stored.key for stored in store.view(MAPS).walk()] == KEYS


def test_listeners_hear_of_their_resource_only():
    store, heard = Store(), []
    store.shelf(MAPS).listeners.add(lambda: heard.append("maps"))
    put(store, KEYS[0])
    put(store, KEYS[0], resource=LEASES)
    assert heard == ["maps"]


def test_history_is_bounded():
    store = Store(history=8)
    for number in range(100):
        put(store, KEYS[0], str(number))
    shelf = store.shelf(MAPS)
    assert 8 <= len(shelf.changes) <= 10
    with pytest.raises(ResourceExpired, match=r"too old resource version: 1 \(9\d\)"):
        shelf.position(1)
    assert len(shelf.after(shelf.position(95))) == 5


def test_position_that_fell_behind_is_expired():
    store = Store(history=4)
    shelf = store.shelf(MAPS)
    position = shelf.end
    for number in range(20):
        put(store, KEYS[0], str(number))
    with pytest.raises(ResourceExpired):
        shelf.after(position)


def test_expired_history_forgets_all_but_the_present():
    store = Store()
    put(store, KEYS[0])
    store.expire(MAPS)
    with pytest.raises(ResourceExpired):
        store.view(MAPS, 0)
    assert content(store.view(MAPS, 1)) == {KEYS[0]: ""}
    assert store.shelf(LEASES).floor == 0
    store.expire()
    assert store.shelf(LEASES).floor == 1


def test_version_at_a_time():
    store = Store()
    for now in (1.0, 2.0, 3.0):
        put(store, KEYS[0], now=now)
    shelf = store.shelf(MAPS)
    assert [shelf.version_at(now) for now in (0.5, 1.0, 2.5, 9.0)] == [0, 1, 2, 3]


OPERATIONS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["put", "remove"])), max_size=40)


@given(OPERATIONS, st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_past_is_as_it_was(operations, history):
    """Whatever is written, each version that is remembered reads as it did when it was the newest."""
    store, past, current = Store(history=history), {0: {}}, {}
    for number, (key, verb) in enumerate(operations):
        if verb == "put":
            put(store, key, str(number))
            current = {**current, key: str(number)}
        elif key in current:
            store.remove(MAPS, key, 0)
            current = {k: v for k, v in current.items() if k != key}
        past[store.version] = current
    floor = store.shelf(MAPS).floor
    for version, expected in past.items():
        if version >= floor:
            view = store.view(MAPS, version)
            assert content(view) == expected
            assert view.keys == sorted(expected)
        else:
            with pytest.raises(ResourceExpired):
                store.view(MAPS, version)


@given(OPERATIONS, st.data())
@settings(max_examples=200, deadline=None)
def test_changes_lead_from_any_version_to_the_present(operations, data):
    """A list and the changes after its version are all a client needs."""
    store, past, current = Store(), [(0, {})], {}
    for number, (key, verb) in enumerate(operations):
        if verb == "put":
            put(store, key, str(number))
            current = {**current, key: str(number)}
        elif key in current:
            store.remove(MAPS, key, 0)
            current = {k: v for k, v in current.items() if k != key}
        past.append((store.version, current))
    version, state = data.draw(st.sampled_from(past))
    state, shelf = dict(state), store.shelf(MAPS)
    for change in shelf.after(shelf.position(version)):
        assert change.version > version
        if change.gone:
            del state[change.new.key]
        else:
            assert (change.new.key in state) is (change.type == "MODIFIED")
            state[change.new.key] = change.new.value["text"]
    assert state == current
