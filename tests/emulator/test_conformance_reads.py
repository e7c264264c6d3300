"""Get, list and watch, on the emulator and on a real kube-apiserver alike."""

import asyncio

import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def five(api):
    for number in range(5):
        labels = {"n": str(number), "parity": "even" if number % 2 == 0 else "odd"}
        document = {"metadata": {"name": f"c{number}", "labels": labels}, "data": {"k": "v"}}
        assert (await api.create("configmaps", document)).status == 201
    return api


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


async def test_list_has_a_version_and_items_without_kind(five):
    answer = await five.get("configmaps")
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(answer) == ["c0", "c1", "c2", "c3", "c4"]
    assert not {"kind", "apiVersion"} & answer.body["items"][0].keys()
    assert int(answer.version) >= max(int(item["metadata"]["resourceVersion"]) for item in answer.body["items"])


async def test_empty_list_is_a_list(api):
    assert (await api.get("leases")).body["items"] == []


async def test_list_of_all_namespaces(five):
    answer = await five.call("GET", "/api/v1/configmaps", labelSelector="n=3")
    assert (five.namespace, "c3") in {
        (item["metadata"]["namespace"], item["metadata"]["name"]) for item in answer.body["items"]
    }


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("n=1", ["c1"]),
        ("n==1", ["c1"]),
        ("n!=1", ["c0", "c2", "c3", "c4"]),
        ("none!=1", ["c0", "c1", "c2", "c3", "c4"]),
        ("n in (1, 2)", ["c1", "c2"]),
        ("n notin (1,2)", ["c0", "c3", "c4"]),
        ("none notin (1)", ["c0", "c1", "c2", "c3", "c4"]),
        ("n", ["c0", "c1", "c2", "c3", "c4"]),
        ("!n", []),
        ("n,parity=odd", ["c1", "c3"]),
        ("n>2", ["c3", "c4"]),
        ("n<1", ["c0"]),
        ("n=", []),
    ],
)
async def test_label_selectors(five, selector, found):
    assert names(await five.get("configmaps", labelSelector=selector)) == found


@pytest.mark.parametrize("selector", ["a in (", "a in 1", "=", "a b", ",", "a>x"])
async def test_label_selector_that_cannot_be_read(api, selector):
    answer = await api.get("configmaps", labelSelector=selector)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_field_selectors(five):
    assert names(await five.get("configmaps", fieldSelector="metadata.name=c1")) == ["c1"]
    assert names(await five.get("configmaps", fieldSelector="metadata.name!=c1")) == ["c0", "c2", "c3", "c4"]
    assert names(await five.get("configmaps", fieldSelector="metadata.name=c1,metadata.namespace=other")) == []


@pytest.mark.parametrize(
    ("plural", "message"),
    [
        ("services", "field label not supported: spec.foo"),
        ("leases", '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ],
)
async def test_unknown_field_cannot_be_selected(api, plural, message):
    answer = await api.get(plural, fieldSelector="spec.foo=x")
    assert (answer.status, answer.message) == (400, message)


async def test_fields_of_kinds(api):
    await api.create("services", {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 1}]}})
    assert names(await api.get("services", fieldSelector="spec.type=LoadBalancer")) == ["s"]
    await api.create("secrets", {"metadata": {"name": "s"}})
    assert names(await api.get("secrets", fieldSelector="type=Opaque")) == ["s"]
    subject = {"kind": "Service", "name": "s", "namespace": api.namespace}
    await api.create("events", {"metadata": {"name": "e"}, "involvedObject": subject, "reason": "R"})
    assert names(await api.get("events", fieldSelector="involvedObject.name=s,reason=R,type!=Warning")) == ["e"]
    assert names(await api.get("namespaces", fieldSelector="status.phase=Active"))


async def test_pages_are_of_one_snapshot(five):
    first = await five.get("configmaps", limit="2")
    assert names(first) == ["c0", "c1"]
    assert first.body["metadata"]["remainingItemCount"] == 3
    await five.delete("configmaps", "c3")
    await five.create("configmaps", {"metadata": {"name": "c21"}})
    second = await five.get("configmaps", limit="2", **{"continue": first.body["metadata"]["continue"]})
    assert names(second) == ["c2", "c3"]
    assert second.version == first.version
    last = await five.get("configmaps", limit="2", **{"continue": second.body["metadata"]["continue"]})
    assert names(last) == ["c4"]
    assert "continue" not in last.body["metadata"]


async def test_selected_pages_do_not_count_the_rest(five):
    answer = await five.get("configmaps", limit="1", labelSelector="parity=odd")
    assert names(answer) == ["c1"]
    assert "remainingItemCount" not in answer.body["metadata"]
    rest = await five.get("configmaps", labelSelector="parity=odd", **{"continue": answer.body["metadata"]["continue"]})
    assert names(rest) == ["c3"]


async def test_broken_continue_token(api):
    answer = await api.get("configmaps", **{"continue": "x!"})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_list_at_an_exact_version(five):
    old = await five.get("configmaps")
    await five.delete("configmaps", "c0")
    answer = await five.get("configmaps", resourceVersion=old.version, resourceVersionMatch="Exact")
    assert names(answer) == names(old)
    assert answer.version == old.version


async def test_list_not_older_than_a_version_is_the_newest(five):
    old = await five.get("configmaps")
    await five.delete("configmaps", "c0")
    answer = await five.get("configmaps", resourceVersion=old.version, resourceVersionMatch="NotOlderThan")
    assert names(answer) == ["c1", "c2", "c3", "c4"]


async def test_version_of_the_future_is_a_timeout(api):
    answer = await api.get("configmaps", resourceVersion="99999999")
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersion": "x"}, 400),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "5", "resourceVersionMatch": "Foo"}, 422),
        ({"limit": "x"}, 400),
    ],
)
async def test_list_with_bad_options(api, query, status):
    assert (await api.get("configmaps", **query)).status == status


async def test_format_that_is_not_spoken(api):
    answer = await api.call("GET", api.path("configmaps"), accept="application/x-nothing")
    assert (answer.status, answer.body["reason"]) == (406, "NotAcceptable")


async def test_table_of_a_list(five):
    answer = await five.call("GET", five.path("configmaps"), accept=TABLE, limit="2")
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in answer.body["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = answer.body["rows"][0]
    assert row["cells"][:2] == ["c0", 1]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert answer.body["metadata"]["continue"]


def workload():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "n", "image": "i"}]}}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def binding():
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    account = {"kind": "ServiceAccount", "name": "s", "namespace": "n"}
    return {"roleRef": role, "subjects": [account, {"kind": "User", "name": "u"}]}


HEADLESS = {"clusterIP": "None", "ports": [{"port": 1}], "selector": {"a": "b"}}
SUBSET = {"addresses": [{"ip": f"10.1.1.{number}"} for number in range(1, 5)], "ports": [{"port": 9}]}
SLICE = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"port": 9}]}


@pytest.mark.parametrize(
    ("plural", "document", "cells"),
    [
        ("services", {"spec": HEADLESS}, ["x", "ClusterIP", "None", "<none>", "1/TCP", "", "a=b"]),
        (
            "services",
            {"spec": {"type": "ExternalName", "externalName": "a.b"}},
            ["x", "ExternalName", "<none>", "a.b", "<none>", "", "<none>"],
        ),
        ("leases", {"spec": {"holderIdentity": "me"}}, ["x", "me", ""]),
        ("leases", {}, ["x", "", ""]),
        ("endpoints", {"subsets": [SUBSET]}, ["x", "10.1.1.1:9,10.1.1.2:9,10.1.1.3:9 + 1 more...", ""]),
        ("endpoints", {}, ["x", "<none>", ""]),
        ("endpointslices", SLICE, ["x", "IPv4", "9", "10.1.1.1", ""]),
        ("endpointslices", {"addressType": "IPv4"}, ["x", "IPv4", "<unset>", "<unset>", ""]),
        ("secrets", {"data": {"a": "eA=="}}, ["x", "Opaque", 1, ""]),
        ("serviceaccounts", {}, ["x", ""]),
        ("daemonsets", workload(), ["x", 0, 0, 0, 0, 0, "<none>", "", "n", "i", "a=b"]),
        ("deployments", workload(), ["x", "0/1", 0, 0, "", "n", "i", "a=b"]),
        ("rolebindings", binding(), ["x", "Role/r", "", "u", "", "n/s"]),
    ],
)
async def test_cells(api, plural, document, cells):
    made = await api.create(plural, {"metadata": {"name": "x"}, **document})
    assert made.status == 201, made
    answer = await api.call("GET", api.path(plural, "x"), accept=TABLE)
    columns = [column["name"] for column in answer.body["columnDefinitions"]]
    found = answer.body["rows"][0]["cells"]
    assert ["" if name == "Age" else cell for name, cell in zip(columns, found, strict=True)] == cells


async def test_cells_of_a_load_balancer(api):
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}
    await api.create("services", {"metadata": {"name": "x"}, "spec": spec})
    pending = await api.call("GET", api.path("services", "x"), accept=TABLE)
    assert pending.body["rows"][0]["cells"][3:5] == ["<pending>", "80/TCP"]
    ingress = [{"ip": "1.2.3.4"}, {"ip": "2001:db8::1"}, {"hostname": "a.b"}]
    await api.patch("services", "x", {"status": {"loadBalancer": {"ingress": ingress}}}, "status")
    answer = await api.call("GET", api.path("services", "x"), accept=TABLE)
    assert answer.body["rows"][0]["cells"][3] == "1.2.3.4,2001:db8::1,a.b"


async def test_cells_of_a_node(api):
    name = f"n-{api.namespace}"
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.9.9.9"}],
        "nodeInfo": {"kubeletVersion": "v1.35.0"},
    }
    labels = {"node-role.kubernetes.io/control-plane": ""}
    document = {"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": True}, "status": status}
    await api.create("nodes", document)
    answer = await api.call("GET", api.path("nodes", name), accept=TABLE)
    cells = answer.body["rows"][0]["cells"]
    assert cells[:3] == [name, "Ready,SchedulingDisabled", "control-plane"]
    assert cells[4:] == ["v1.35.0", "10.9.9.9", "<none>", "<unknown>", "<unknown>", "<unknown>"]
    await api.delete("nodes", name)


async def test_cells_of_an_event(api):
    subject = {"kind": "Service", "name": "s", "namespace": api.namespace}
    document = {
        "involvedObject": subject,
        "reason": "R",
        "message": " m\n",
        "type": "Normal",
        "source": {"component": "c"},
    }
    await api.create("events", {"metadata": {"name": "x"}, **document})
    answer = await api.call("GET", api.path("events", "x"), accept=TABLE)
    cells = answer.body["rows"][0]["cells"]
    assert cells == ["<unknown>", "Normal", "R", "service/s", "", "c", "m", "<unknown>", 1, "x"]


async def test_rows_may_have_whole_objects(five):
    answer = await five.call("GET", five.path("configmaps"), accept=TABLE, includeObject="Object")
    assert answer.body["rows"][0]["object"]["data"] == {"k": "v"}
    answer = await five.call("GET", five.path("configmaps"), accept=TABLE, includeObject="None")
    assert answer.body["rows"][0]["object"] is None


async def test_metadata_only(five):
    answer = await five.call("GET", five.path("configmaps", "c0"), accept=PARTIAL.format(""))
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert "data" not in answer.body
    answer = await five.call("GET", five.path("configmaps"), accept=PARTIAL.format("List"))
    assert answer.body["kind"] == "PartialObjectMetadataList"
    assert len(answer.body["items"]) == 5


def seen(events):
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def test_watch_tells_of_each_change(five, take_events):
    start = (await five.get("configmaps")).version
    async with five.watch("configmaps", resourceVersion=start) as events:
        await five.create("configmaps", {"metadata": {"name": "new"}})
        await five.patch("configmaps", "new", {"data": {"a": "b"}})
        await five.delete("configmaps", "new")
        found = await take_events(events, 3)
    assert seen(found) == [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "new")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in found]
    assert versions == sorted(set(versions))
    assert found[0]["object"]["kind"] == "ConfigMap"


@pytest.mark.parametrize("version", ["", "0"])
async def test_watch_without_a_version_begins_with_what_is_there(five, take_events, version):
    async with five.watch("configmaps", **({"resourceVersion": version} if version else {})) as events:
        assert seen(await take_events(events, 5)) == [("ADDED", f"c{number}") for number in range(5)]


async def test_watch_replays_what_came_after_a_version(five, take_events):
    start = (await five.get("configmaps")).version
    await five.delete("configmaps", "c0")
    await five.delete("configmaps", "c1")
    async with five.watch("configmaps", resourceVersion=start) as events:
        assert seen(await take_events(events, 2)) == [("DELETED", "c0"), ("DELETED", "c1")]


async def test_update_that_changes_nothing_is_no_event(five, take_events):
    start = (await five.get("configmaps")).version
    async with five.watch("configmaps", resourceVersion=start) as events:
        await five.patch("configmaps", "c0", {"data": {"k": "v"}})
        await five.delete("configmaps", "c1")
        assert seen(await take_events(events, 1)) == [("DELETED", "c1")]


async def test_watch_by_label_sees_objects_come_and_go(five, take_events):
    start = (await five.get("configmaps")).version
    async with five.watch("configmaps", resourceVersion=start, labelSelector="parity=odd") as events:
        await five.patch("configmaps", "c0", {"metadata": {"labels": {"parity": "odd"}}})
        await five.patch("configmaps", "c0", {"data": {"x": "y"}})
        await five.patch("configmaps", "c2", {"data": {"x": "y"}})
        last = await five.patch("configmaps", "c0", {"metadata": {"labels": {"parity": "even"}}, "data": {"x": "z"}})
        found = await take_events(events, 3)
    assert seen(found) == [("ADDED", "c0"), ("MODIFIED", "c0"), ("DELETED", "c0")]
    gone = found[-1]["object"]
    assert (gone["metadata"]["resourceVersion"], gone["data"]["x"]) == (last.version, "y")


async def test_watch_of_one_name(five, take_events):
    start = (await five.get("configmaps")).version
    async with five.watch("configmaps", resourceVersion=start, fieldSelector="metadata.name=c3") as events:
        await five.delete("configmaps", "c2")
        await five.delete("configmaps", "c3")
        assert seen(await take_events(events, 1)) == [("DELETED", "c3")]


async def test_watch_ends_when_its_time_is_up(five):
    async with five.watch("configmaps", resourceVersion="0", timeoutSeconds="1") as events:
        assert len([event async for event in events]) == 5


async def test_watch_list_ends_the_initial_events_with_a_bookmark(five, take_events):
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with five.watch("configmaps", **query) as events:
        found = await take_events(events, 6)
        assert [event["type"] for event in found] == ["ADDED"] * 5 + ["BOOKMARK"]
        metadata = found[-1]["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(metadata["resourceVersion"]) >= int(found[4]["object"]["metadata"]["resourceVersion"])
        await five.delete("configmaps", "c0")
        assert seen(await take_events(events, 1)) == [("DELETED", "c0")]


@pytest.mark.parametrize(
    "query",
    [
        {"sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_watch_with_bad_options(api, query):
    answer = await api.get("configmaps", watch="true", **query)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_watch_as_table_has_columns_once(five, take_events):
    async with five.watch("configmaps", accept=TABLE, resourceVersion="0") as events:
        first, second = await take_events(events, 2)
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "c1"


async def test_watch_of_the_future_waits(api):
    async with api.watch("configmaps", resourceVersion="99999999", timeoutSeconds="1") as events:
        assert [event async for event in events] == []


async def test_watch_with_a_version_that_is_no_number(api):
    assert (await api.get("configmaps", watch="true", resourceVersion="x")).status == 500


async def test_pages_of_a_forgotten_version_are_gone(five):
    first = await five.get("configmaps", limit="2")
    await five.delete("configmaps", "c0")
    token = await five.forget(first.body["metadata"]["continue"])
    answer = await five.get("configmaps", limit="2", **{"continue": token})
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    assert answer.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    rest = await five.get("configmaps", **{"continue": answer.body["metadata"]["continue"]})
    assert rest.status == 200
    assert names(rest)[-1] == "c4"


async def test_many_watchers_see_the_same_order(api, take_events):
    start = (await api.get("configmaps")).version

    async def watch():
        async with api.watch("configmaps", resourceVersion=start) as events:
            return [name for _, name in seen(await take_events(events, 10))]

    tasks = [asyncio.create_task(watch()) for _ in range(5)]
    for number in range(10):
        await api.create("configmaps", {"metadata": {"name": f"m{number}"}})
    assert await asyncio.gather(*tasks) == [[f"m{number}" for number in range(10)]] * 5
