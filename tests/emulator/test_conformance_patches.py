"""Patches of all kinds, on the emulator and on a real kube-apiserver alike."""

import pytest

PORTS = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]


@pytest.fixture
async def patched(api):
    await api.create("configmaps", {"metadata": {"name": "c", "labels": {"a": "1", "b": "2"}}, "data": {"k": "v"}})
    return api


async def service(api, ports=PORTS):
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": ports}
    return await api.create("services", {"metadata": {"name": "s"}, "spec": spec})


def names(answer):
    return [port["name"] for port in answer.body["spec"]["ports"]]


async def test_merge_patch_merges_and_null_removes(patched):
    answer = await patched.patch("configmaps", "c", {"metadata": {"labels": {"a": None, "c": "3"}}})
    assert answer.body["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert answer.body["data"] == {"k": "v"}


async def test_json_patch_applies_in_order(patched):
    operations = [
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "add", "path": "/data/l", "value": "w"},
        {"op": "move", "from": "/data/k", "path": "/data/n"},
        {"op": "copy", "from": "/data/n", "path": "/data/o"},
        {"op": "remove", "path": "/metadata/labels/a"},
        {"op": "replace", "path": "/metadata/labels/b", "value": "3"},
    ]
    answer = await patched.patch("configmaps", "c", operations, kind="json")
    assert answer.body["data"] == {"l": "w", "n": "v", "o": "v"}
    assert answer.body["metadata"]["labels"] == {"b": "3"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/k", "value": "x"},
        {"op": "remove", "path": "/data/none"},
        {"op": "replace", "path": "/none/x", "value": "x"},
        {"op": "add", "path": "/none/x", "value": "x"},
        {"op": "move", "from": "/data/none", "path": "/data/x"},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "a.io/b"},
        {"op": "bogus", "path": "/data/k"},
    ],
)
async def test_json_patch_that_does_not_fit_is_refused(patched, operation):
    answer = await patched.patch("configmaps", "c", [operation], kind="json")
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_json_patch_replaces_what_is_not_there_unlike_the_rfc(patched):
    answer = await patched.patch("configmaps", "c", [{"op": "replace", "path": "/data/n", "value": "x"}], kind="json")
    assert answer.body["data"] == {"k": "v", "n": "x"}


async def test_json_patch_copies_what_is_not_there_as_null_unlike_the_rfc(patched):
    operation = {"op": "copy", "from": "/data/none", "path": "/data/n"}
    answer = await patched.patch("configmaps", "c", [operation], kind="json")
    assert answer.body["data"] == {"k": "v", "n": ""}


@pytest.mark.parametrize(
    ("kind", "patch"), [("json", {}), ("merge", b"nope"), ("strategic", b"nope"), ("strategic", [])]
)
async def test_patch_that_cannot_be_read_is_a_bad_request(patched, kind, patch):
    answer = await patched.patch("configmaps", "c", patch, kind=kind)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_patch_of_an_unknown_type_is_refused(patched):
    answer = await patched.call("PATCH", patched.path("configmaps", "c"), {}, content_type="application/json")
    assert answer.status == 415


async def test_patch_of_what_is_not_there(api):
    assert (await api.patch("configmaps", "none", {"data": {"a": "b"}})).status == 404


async def test_patch_that_changes_nothing_keeps_the_version(patched):
    old = await patched.get("configmaps", "c")
    assert (await patched.patch("configmaps", "c", {"data": {"k": "v"}})).version == old.version


async def test_patch_may_insist_on_a_version(patched):
    old = await patched.get("configmaps", "c")
    new = await patched.patch("configmaps", "c", {"metadata": {"resourceVersion": old.version}, "data": {"k": "w"}})
    assert new.status == 200
    stale = await patched.patch("configmaps", "c", {"metadata": {"resourceVersion": old.version}, "data": {"k": "x"}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")


async def test_json_patch_may_test_the_version(patched):
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    assert (await patched.patch("configmaps", "c", operations, kind="json")).status == 422


async def test_patch_cannot_rename(patched):
    answer = await patched.patch("configmaps", "c", {"metadata": {"name": "d"}})
    assert answer.message == "the name of the object (d) does not match the name on the URL (c)"


async def test_patch_cannot_change_the_uid(patched):
    answer = await patched.patch("configmaps", "c", {"metadata": {"uid": "x"}})
    assert answer.status == 422
    assert 'metadata.uid: Invalid value: "x": field is immutable' in answer.message


async def test_patch_with_a_wrong_type_is_refused(patched):
    assert (await patched.patch("configmaps", "c", {"data": {"k": 1}})).status in (400, 422)


async def test_patch_with_unknown_field_can_be_refused(patched):
    answer = await patched.patch("configmaps", "c", {"bogus": "x"}, fieldValidation="Strict")
    assert answer.status in (400, 422)
    assert 'unknown field "bogus"' in answer.message


async def test_patch_dry_run_changes_nothing(patched):
    answer = await patched.patch("configmaps", "c", {"data": {"k": "w"}}, dryRun="All")
    assert answer.body["data"] == {"k": "w"}
    assert (await patched.get("configmaps", "c")).body["data"] == {"k": "v"}


async def test_merge_patch_replaces_a_list(api):
    await service(api)
    answer = await api.patch("services", "s", {"spec": {"ports": [{"port": 82, "name": "c"}]}})
    assert names(answer) == ["c"]


async def test_strategic_patch_merges_ports_by_number(api):
    await service(api)
    answer = await api.patch("services", "s", {"spec": {"ports": [{"port": 81, "name": "z"}]}}, kind="strategic")
    assert names(answer) == ["a", "z"]


async def test_strategic_patch_puts_new_items_first(api):
    await service(api)
    answer = await api.patch("services", "s", {"spec": {"ports": [{"port": 82, "name": "c"}]}}, kind="strategic")
    assert names(answer) == ["c", "a", "b"]


async def test_strategic_patch_deletes_an_item(api):
    await service(api)
    patch = {"spec": {"ports": [{"$patch": "delete", "port": 80}]}}
    assert names(await api.patch("services", "s", patch, kind="strategic")) == ["b"]


async def test_strategic_patch_replaces_a_list(api):
    await service(api)
    patch = {"spec": {"ports": [{"$patch": "replace"}, {"port": 90, "name": "n"}]}}
    assert names(await api.patch("services", "s", patch, kind="strategic")) == ["n"]


async def test_strategic_patch_sets_the_order(api):
    await service(api)
    order = [{"port": 82}, {"port": 81}, {"port": 80}]
    patch = {"spec": {"$setElementOrder/ports": order, "ports": [{"port": 82, "name": "c"}]}}
    assert names(await api.patch("services", "s", patch, kind="strategic")) == ["c", "b", "a"]


async def test_strategic_patch_without_the_merge_key_is_an_error(api):
    await service(api)
    answer = await api.patch("services", "s", {"spec": {"ports": [{"name": "a"}]}}, kind="strategic")
    assert answer.status == 500
    assert "does not contain declared merge key: port" in answer.message


async def test_strategic_patch_replaces_a_map(api):
    await api.create("configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    patch = {"data": {"$patch": "replace", "b": "2"}}
    assert (await api.patch("configmaps", "c", patch, kind="strategic")).body["data"] == {"b": "2"}


async def test_strategic_patch_adds_to_finalizers_and_deletes_from_them(api):
    await api.create("configmaps", {"metadata": {"name": "c", "finalizers": ["a.io/x"]}})
    patch = {"metadata": {"finalizers": ["a.io/y"]}}
    answer = await api.patch("configmaps", "c", patch, kind="strategic")
    assert sorted(answer.body["metadata"]["finalizers"]) == ["a.io/x", "a.io/y"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.io/x"]}}
    answer = await api.patch("configmaps", "c", patch, kind="strategic")
    assert answer.body["metadata"]["finalizers"] == ["a.io/y"]


async def test_strategic_patch_merges_conditions_by_type(api):
    await service(api)

    def condition(kind):
        fields = {"status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        return {"status": {"conditions": [{"type": kind, **fields}]}}

    await api.patch("services", "s", condition("A"), "status", kind="strategic")
    answer = await api.patch("services", "s", condition("B"), "status", kind="strategic")
    assert [item["type"] for item in answer.body["status"]["conditions"]] == ["B", "A"]


async def test_server_side_apply_creates_and_merges(api):
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    made = await api.patch("configmaps", "c", config, kind="apply", fieldManager="test", force="true")
    assert made.status == 201
    await api.patch("configmaps", "c", {"data": {"b": "2"}})
    answer = await api.patch(
        "configmaps", "c", {**config, "data": {"a": "3"}}, kind="apply", fieldManager="test", force="true"
    )
    assert answer.status == 200
    assert answer.body["data"] == {"a": "3", "b": "2"}


async def test_server_side_apply_needs_a_manager(api):
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    answer = await api.patch("configmaps", "c", config, kind="apply")
    assert answer.status == 422
    assert "fieldManager: Required value: is required for apply patch" in answer.message


async def test_workload_patch_merges_containers_by_name(api):
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "x", "image": "i:1", "args": ["one"]}]},
    }
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = await api.create("daemonsets", {"metadata": {"name": "d"}, "spec": spec})
    assert made.body["metadata"]["generation"] == 1
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "i:2"}]}}}}
    answer = await api.patch("daemonsets", "d", patch, kind="strategic")
    (container,) = answer.body["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == ("i:2", ["one"])
    assert answer.body["metadata"]["generation"] == 2
