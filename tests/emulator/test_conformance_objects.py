"""Writes of objects, on the emulator and on a real kube-apiserver alike."""

import pytest

LEASE = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0}


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def lease(name, version="", **spec):
    metadata = {"name": name, **({"resourceVersion": version} if version else {})}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec or LEASE}


async def test_created_object_has_system_metadata(api):
    answer = await api.create("configmaps", config_map("c", k="v"))
    metadata = answer.body["metadata"]
    assert answer.status == 201
    assert answer.body["kind"] == "ConfigMap"
    assert answer.body["data"] == {"k": "v"}
    assert {"uid", "resourceVersion", "creationTimestamp", "name", "namespace"} <= metadata.keys()
    assert "generation" not in metadata


async def test_kind_and_version_may_be_left_out_of_a_body(api):
    answer = await api.create("configmaps", {"metadata": {"name": "c"}})
    assert answer.body["kind"] == "ConfigMap"


async def test_generated_name_has_five_letters(api):
    answer = await api.create("configmaps", {"metadata": {"generateName": "c-"}})
    assert answer.body["metadata"]["name"].startswith("c-")
    assert len(answer.body["metadata"]["name"]) == 7
    assert answer.body["metadata"]["generateName"] == "c-"


async def test_client_cannot_choose_uid_or_time(api):
    metadata = {"name": "c", "uid": "x", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    answer = await api.create("configmaps", {"metadata": metadata})
    found = answer.body["metadata"]
    assert found["uid"] != "x"
    assert found["creationTimestamp"] > "2002"


async def test_empty_maps_and_nulls_are_not_stored(api):
    document = {"metadata": {"name": "c", "labels": {}, "annotations": None, "finalizers": []}, "data": {}}
    answer = await api.create("configmaps", document)
    assert not {"labels", "annotations", "finalizers"} & answer.body["metadata"].keys()
    assert "data" not in answer.body


async def test_empty_holder_is_kept(api):
    answer = await api.create("leases", lease("l", holderIdentity="", leaseDurationSeconds=1))
    assert answer.body["spec"] == {"holderIdentity": "", "leaseDurationSeconds": 1}


async def test_lease_needs_no_spec(api):
    answer = await api.create("leases", {"metadata": {"name": "l"}})
    assert answer.body["spec"] == {}


@pytest.mark.parametrize(
    ("plural", "document", "status", "reason"),
    [
        ("configmaps", {"metadata": {"name": "Bad_Name"}}, 422, "Invalid"),
        ("configmaps", {"metadata": {}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "labels": {"a b": "c d"}}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "annotations": {"a b": "c d"}}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "finalizers": ["x y"]}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "finalizers": ["bare"]}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "labels": {"x/y/z": "v"}}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "labels": {"k": "v" * 64}}}, 422, "Invalid"),
        ("configmaps", {"metadata": {"name": "c", "namespace": "other"}}, 400, "BadRequest"),
        ("configmaps", {"metadata": {"name": "c", "resourceVersion": "1"}}, 500, None),
        ("configmaps", {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}}, 400, "BadRequest"),
        ("configmaps", {"kind": "Foo", "apiVersion": "v1", "metadata": {"name": "c"}}, 400, "BadRequest"),
        ("leases", {"kind": "Lease", "apiVersion": "v1", "metadata": {"name": "c"}}, 400, "BadRequest"),
        ("configmaps", {"metadata": {"name": "c"}, "data": "x"}, 400, "BadRequest"),
        ("configmaps", {"metadata": {"name": "c"}, "data": {"k": 1}}, 400, "BadRequest"),
        ("leases", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": "15"}}, 400, "BadRequest"),
        ("leases", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 99999999999}}, 400, "BadRequest"),
        ("leases", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}}, 422, "Invalid"),
        ("leases", {"metadata": {"name": "l"}, "spec": {"leaseTransitions": -1}}, 422, "Invalid"),
        ("leases", {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}}, 400, "BadRequest"),
        ("namespaces", {"metadata": {"name": "with.dot"}}, 422, "Invalid"),
        ("endpointslices", {"metadata": {"name": "e"}, "endpoints": []}, 422, "Invalid"),
        ("endpoints", {"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "x"}]}]}, 422, "Invalid"),
        ("endpoints", {"metadata": {"name": "e"}, "subsets": [{"ports": [{"port": 1}]}]}, 422, "Invalid"),
        ("events", {"metadata": {"name": "e"}, "involvedObject": {"namespace": "other"}}, 422, "Invalid"),
        ("clusterroles", {"metadata": {"name": "r"}, "rules": [{"verbs": []}]}, 422, "Invalid"),
    ],
)
async def test_bad_object_is_refused(api, plural, document, status, reason):
    answer = await api.create(plural, document)
    assert (answer.status, answer.body.get("reason")) == (status, reason)


@pytest.mark.parametrize(
    ("plural", "document", "message"),
    [
        (
            "configmaps",
            {"metadata": {"name": "Bad_Name"}},
            (
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
                "'-' or '.', and must "
                "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ),
        ),
        ("configmaps", {"metadata": {}}, "metadata.name: Required value: name or generateName is required"),
        (
            "leases",
            {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}},
            (
                'Lease.coordination.k8s.io "l" is invalid: [spec.leaseDurationSeconds: Invalid '
                "value: 0: must be greater "
                "than 0, spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]"
            ),
        ),
        (
            "leases",
            {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": "15"}},
            (
                'Lease in version "v1" cannot be handled as a Lease: json: cannot unmarshal string '
                "into Go struct field "
                "LeaseSpec.spec.leaseDurationSeconds of type int32"
            ),
        ),
        (
            "leases",
            {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}},
            'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse',
        ),
        (
            "leases",
            {"kind": "Lease", "apiVersion": "v1", "metadata": {"name": "l"}},
            'no kind "Lease" is registered for version "v1"',
        ),
        (
            "configmaps",
            {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}},
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap)',
        ),
        ("configmaps", {"metadata": {"name": "c", "finalizers": ["bare"]}}, "nor is it fully qualified"),
    ],
)
async def test_refusal_says_what_is_wrong(api, plural, document, message):
    assert message in (await api.create(plural, document)).message


async def test_body_that_is_no_json_is_refused(api):
    answer = await api.call("POST", api.path("configmaps"), b"{nope")
    assert answer.status == 400
    assert "the object provided is unrecognized (must be of type ConfigMap)" in answer.message


async def test_body_of_unknown_type_is_refused(api):
    answer = await api.call("POST", api.path("configmaps"), b"x", content_type="text/plain")
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_body_may_be_yaml(api):
    body = b"metadata:\n  name: c\ndata:\n  k: '2001-01-01'\n"
    answer = await api.call("POST", api.path("configmaps"), body, content_type="application/yaml")
    assert answer.body["data"] == {"k": "2001-01-01"}


async def test_second_creation_is_a_conflict(api):
    await api.create("configmaps", config_map("c"))
    answer = await api.create("configmaps", config_map("c"))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "c" already exists'
    assert answer.body["details"] == {"name": "c", "kind": "configmaps"}


async def test_namespace_has_to_be_there(api):
    answer = await api.call("POST", api.path("configmaps", namespace="none"), config_map("c"))
    assert (answer.status, answer.message) == (404, 'namespaces "none" not found')


async def test_unknown_object_is_not_found(api):
    answer = await api.get("leases", "none")
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")
    assert answer.message == 'leases.coordination.k8s.io "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "coordination.k8s.io", "kind": "leases"}


@pytest.mark.parametrize("mode", ["Ignore", "Warn", "Strict"])
async def test_unknown_fields_are_dropped_warned_of_or_refused(api, mode):
    document = {"metadata": {"name": "l"}, "spec": {"bogus": 1}}
    answer = await api.create("leases", document, fieldValidation=mode)
    if mode == "Strict":
        assert answer.status == 400
        assert 'strict decoding error: unknown field "spec.bogus"' in answer.message
    else:
        assert answer.body["spec"] == {}
        assert ("Warning" in answer.headers) is (mode == "Warn")


async def test_dry_run_stores_nothing(api):
    answer = await api.create("configmaps", config_map("c"), dryRun="All")
    assert answer.status == 201
    assert "resourceVersion" not in answer.body["metadata"]
    assert (await api.get("configmaps", "c")).status == 404


async def test_unknown_word_for_dry_run_is_refused(api):
    answer = await api.create("configmaps", config_map("c"), dryRun="some")
    assert answer.status == 422
    assert 'dryRun: Unsupported value: ["some"]: supported values: "All"' in answer.message


async def test_update_raises_the_version(api):
    old = await api.create("configmaps", config_map("c", k="1"))
    document = {**old.body, "data": {"k": "2"}}
    answer = await api.replace("configmaps", "c", document)
    assert answer.status == 200
    assert int(answer.version) > int(old.version)
    assert (await api.get("configmaps", "c")).body["data"] == {"k": "2"}


async def test_update_that_changes_nothing_keeps_the_version(api):
    old = await api.create("leases", lease("l"))
    answer = await api.replace("leases", "l", old.body)
    assert answer.version == old.version


async def test_update_of_an_old_version_is_a_conflict(api):
    old = await api.create("leases", lease("l"))
    await api.replace("leases", "l", lease("l", old.version, holderIdentity="b"))
    answer = await api.replace("leases", "l", lease("l", old.version, holderIdentity="c"))
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "l": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )


async def test_update_without_a_version_is_unconditional(api):
    await api.create("configmaps", config_map("c", k="1"))
    answer = await api.replace("configmaps", "c", config_map("c", k="2"))
    assert answer.body["data"] == {"k": "2"}


async def test_update_of_a_lease_needs_a_version(api):
    await api.create("leases", lease("l"))
    answer = await api.replace("leases", "l", lease("l", holderIdentity="b"))
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in answer.message


@pytest.mark.parametrize(
    ("plural", "created"),
    [("leases", True), ("services", True), ("endpoints", True), ("configmaps", False), ("secrets", False)],
)
async def test_update_of_what_is_not_there_creates_some_kinds(api, plural, created):
    document = {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}]} if plural == "services" else {}}
    if plural not in ("services", "leases"):
        del document["spec"]
    answer = await api.replace(plural, "x", document)
    assert answer.status == (201 if created else 404)


async def test_name_has_to_be_that_of_the_path(api):
    await api.create("configmaps", config_map("c"))
    answer = await api.replace("configmaps", "c", config_map("d"))
    assert (answer.status, answer.message) == (
        400,
        "the name of the object (d) does not match the name on the URL (c)",
    )


async def test_update_with_another_uid_is_a_conflict(api):
    await api.create("configmaps", config_map("c"))
    document = {"metadata": {"name": "c", "uid": "other"}}
    answer = await api.replace("configmaps", "c", document)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert "UID in precondition: other" in answer.message


async def test_version_that_is_no_number_is_an_error(api):
    await api.create("configmaps", config_map("c"))
    answer = await api.replace("configmaps", "c", {"metadata": {"name": "c", "resourceVersion": "x"}})
    assert answer.status == 500


async def test_creation_time_cannot_be_changed(api):
    old = await api.create("configmaps", config_map("c"))
    answer = await api.patch("configmaps", "c", {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})
    assert answer.body["metadata"]["creationTimestamp"] == old.body["metadata"]["creationTimestamp"]


async def test_put_on_a_collection_is_not_allowed(api):
    answer = await api.call("PUT", api.path("configmaps"), config_map("c"))
    assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")


async def test_immutable_config_map_keeps_its_data(api):
    await api.create("configmaps", {**config_map("c", k="1"), "immutable": True})
    answer = await api.patch("configmaps", "c", {"data": {"k": "2"}})
    assert answer.status == 422
    assert "data: Forbidden: field is immutable when `immutable` is set" in answer.message


async def test_secret_texts_become_data(api):
    answer = await api.create("secrets", {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (answer.body["data"], answer.body["type"]) == ({"k": "dg=="}, "Opaque")
    assert "stringData" not in answer.body


async def test_secret_data_has_to_be_base64(api):
    answer = await api.create("secrets", {"metadata": {"name": "s"}, "data": {"k": "%"}})
    assert answer.status == 400


async def test_endpoint_slice_gets_defaults_and_generations(api):
    document = {
        "metadata": {"name": "e"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}],
        "ports": [{"port": 80}],
    }
    old = await api.create("endpointslices", document)
    assert old.body["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert old.body["endpoints"] == [{"addresses": ["10.1.2.3"], "conditions": {}}]
    assert old.body["metadata"]["generation"] == 1
    new = await api.patch("endpointslices", "e", {"ports": [{"name": "a", "port": 81}]})
    assert new.body["metadata"]["generation"] == 2


async def test_slice_without_endpoints_shows_null(api):
    answer = await api.create("endpointslices", {"metadata": {"name": "e"}, "addressType": "IPv4"})
    assert answer.body["endpoints"] is None
    assert answer.body["ports"] is None


async def test_role_binding_cannot_change_its_role(api):
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}
    await api.create("rolebindings", {"metadata": {"name": "b"}, "roleRef": role})
    answer = await api.patch("rolebindings", "b", {"roleRef": {"name": "other"}})
    assert answer.status == 422
    assert "cannot change roleRef" in answer.message


async def test_node_keeps_status_on_creation_and_drops_it_from_updates(api):
    name = f"node-{api.namespace}"
    status = {"conditions": [{"type": "Ready", "status": "True"}], "addresses": []}
    made = await api.create("nodes", {"metadata": {"name": name}, "status": status})
    assert made.body["status"]["conditions"][0]["type"] == "Ready"
    answer = await api.patch("nodes", name, {"status": {"phase": "Running"}, "spec": {"unschedulable": True}})
    assert "phase" not in answer.body["status"]
    assert answer.body["spec"]["unschedulable"] is True
    await api.delete("nodes", name)
