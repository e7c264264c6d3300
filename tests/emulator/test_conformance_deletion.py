"""Deletion, finalizers and namespaces, on the emulator and on a real kube-apiserver alike."""

import pytest


async def made(api, name="c", **metadata):
    return await api.create("configmaps", {"metadata": {"name": name, **metadata}})


async def test_deletion_answers_with_a_status(api):
    uid = (await made(api)).body["metadata"]["uid"]
    answer = await api.delete("configmaps", "c")
    assert answer.body["status"] == "Success"
    assert answer.body["details"] == {"name": "c", "kind": "configmaps", "uid": uid}
    assert (await api.get("configmaps", "c")).status == 404


@pytest.mark.parametrize("plural", ["services", "serviceaccounts"])
async def test_deletion_of_some_kinds_answers_with_the_object(api, plural):
    spec = {"spec": {"ports": [{"port": 1}]}} if plural == "services" else {}
    old = await api.create(plural, {"metadata": {"name": "x"}, **spec})
    answer = await api.delete(plural, "x")
    assert answer.body["metadata"]["uid"] == old.body["metadata"]["uid"]
    assert int(answer.version) > int(old.version)


async def test_deletion_of_what_is_not_there(api):
    assert (await api.delete("configmaps", "none")).status == 404


async def test_finalizer_holds_a_deleted_object(api):
    await made(api, finalizers=["a.io/x"])
    answer = await api.delete("configmaps", "c")
    metadata = answer.body["metadata"]
    assert answer.status == 200
    assert metadata["deletionTimestamp"]
    assert metadata["deletionGracePeriodSeconds"] == 0
    again = await api.delete("configmaps", "c")
    assert again.version == answer.version


async def test_object_goes_with_its_last_finalizer(api, take_events):
    await made(api, finalizers=["a.io/x"])
    start = (await api.delete("configmaps", "c")).version
    async with api.watch("configmaps", resourceVersion=start) as events:
        answer = await api.patch("configmaps", "c", {"metadata": {"finalizers": None, "labels": {"a": "b"}}})
        (event,) = await take_events(events, 1)
    assert answer.body["metadata"]["labels"] == {"a": "b"}
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["finalizers"] == ["a.io/x"]
    assert "labels" not in event["object"]["metadata"]
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(start)
    assert (await api.get("configmaps", "c")).status == 404


async def test_deleted_object_takes_no_new_finalizers(api):
    await made(api, finalizers=["a.io/x"])
    await api.delete("configmaps", "c")
    answer = await api.patch("configmaps", "c", {"metadata": {"finalizers": ["a.io/x", "a.io/y"]}})
    assert answer.status == 422
    assert 'found new finalizers []string{"a.io/y"}' in answer.message
    await api.patch("configmaps", "c", {"metadata": {"finalizers": None}})


async def test_deletion_time_cannot_be_taken_back(api):
    await made(api, finalizers=["a.io/x"])
    await api.delete("configmaps", "c")
    answer = await api.patch("configmaps", "c", {"metadata": {"deletionTimestamp": None}})
    assert answer.body["metadata"]["deletionTimestamp"]
    await api.patch("configmaps", "c", {"metadata": {"finalizers": None}})


async def test_generation_counts_the_deletion(api):
    document = {"metadata": {"name": "e", "finalizers": ["a.io/x"]}, "addressType": "IPv4"}
    await api.create("endpointslices", document)
    assert (await api.delete("endpointslices", "e")).body["metadata"]["generation"] == 2
    await api.patch("endpointslices", "e", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("preconditions", "message"),
    [
        ({"uid": "other"}, "the UID in the precondition (other) does not match the UID in record"),
        ({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does not match"),
    ],
)
async def test_preconditions_of_a_deletion(api, preconditions, message):
    await made(api)
    answer = await api.delete("configmaps", "c", {"preconditions": preconditions})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert message in answer.message


async def test_deletion_dry_run(api):
    await made(api)
    assert (await api.delete("configmaps", "c", dryRun="All")).status == 200
    assert (await api.delete("configmaps", "c", {"dryRun": ["All"]})).status == 200
    assert (await api.get("configmaps", "c")).status == 200


async def test_unknown_propagation_is_refused(api):
    await made(api)
    answer = await api.delete("configmaps", "c", propagationPolicy="Foo")
    assert answer.status == 422
    assert 'propagationPolicy: Unsupported value: "Foo": supported values: "Foreground", "Background", "Orphan"' in (
        answer.message
    )


async def test_collection_is_deleted_by_selector(api):
    for name in ("a", "b", "c"):
        await made(api, name, labels={"name": name})
    answer = await api.delete("configmaps", labelSelector="name in (a,b)")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in (await api.get("configmaps")).body["items"]] == ["c"]


async def test_namespace_has_its_name_as_label(api):
    answer = await api.get("namespaces", api.namespace)
    assert answer.body["metadata"]["labels"] == {"kubernetes.io/metadata.name": api.namespace}
    assert answer.body["spec"] == {"finalizers": ["kubernetes"]}
    assert answer.body["status"] == {"phase": "Active"}


async def test_deleted_namespace_is_terminating(api):
    answer = await api.delete("namespaces", api.namespace)
    assert answer.body["status"]["phase"] == "Terminating"
    assert answer.body["metadata"]["deletionTimestamp"]


async def test_nothing_is_created_in_a_namespace_that_goes(api):
    await made(api, finalizers=["a.io/x"])
    await api.delete("namespaces", api.namespace)
    answer = await made(api, "d")
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    expected = f"unable to create new content in namespace {api.namespace} because it is being terminated"
    assert answer.message == f'configmaps "d" is forbidden: {expected}'
    assert answer.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_system_namespaces_stay(api, name):
    answer = await api.delete("namespaces", name)
    assert (answer.status, answer.message) == (
        403,
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )


async def test_namespaces_are_not_deleted_together(api):
    assert (await api.delete("namespaces")).status == 405
