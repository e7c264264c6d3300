"""Discovery, authentication and RBAC, on the emulator and on a real kube-apiserver alike."""

import pytest

AGENT = "system:serviceaccount:kube-system:kube-vip"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@pytest.fixture
def bob(api):
    api.token = "bob-token"
    return api


async def as_admin(api, method, *arguments, **options):
    token, api.token = api.token, "admin-token"
    try:
        answer = await getattr(api, method)(*arguments, **options)
    finally:
        api.token = token
    assert answer.status < 300, answer
    return answer


async def test_unknown_token_is_unauthorized(api):
    api.token = "nonsense"
    answer = await api.get("configmaps")
    assert (answer.status, answer.message, answer.body["reason"]) == (401, "Unauthorized", "Unauthorized")


async def test_nobody_may_see_the_version_and_no_more(api):
    api.token = ""
    assert (await api.call("GET", "/version")).body["major"] == "1"
    answer = await api.get("configmaps")
    assert answer.status == 403
    assert 'User "system:anonymous" cannot list resource "configmaps" in API group ""' in answer.message


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/api/v1/namespaces/x/services", (
            'services is forbidden: User "bob" cannot list '
            'resource "services" in '
         'API group "" in the namespace "x"')),
        ("GET", "/api/v1/services?watch=1", (
            'services is forbidden: User "bob" cannot watch '
            'resource "services" in API '
         'group "" at the cluster scope')),
        ("GET", "/api/v1/nodes/n", ('nodes "n" is forbidden: User "bob" cannot get resource "nodes" in API group "" at '
         "the cluster scope")),
        ("PUT", "/api/v1/namespaces/x/services/s/status", (
            'services "s" is forbidden: User "bob" '
            'cannot update resource '
         '"services/status" in API group "" in the namespace "x"')),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l", ('leases.coordination.k8s.io "l" is '
         'forbidden: User "bob" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace '
         '"kube-system"')),
        ("GET", "/api/v1/namespaces/x", ('namespaces "x" is forbidden: User "bob" cannot get resource "namespaces" in '
         'API group "" in the namespace "x"')),
        ("DELETE", "/api/v1/namespaces/x/services", 'User "bob" cannot deletecollection resource "services"'),
        ("PATCH", "/api/v1/namespaces/x/services/s", 'User "bob" cannot patch resource "services"'),
        ("GET", "/metrics", 'forbidden: User "bob" cannot get path "/metrics"'),
    ],
)  # fmt: skip
async def test_refusal_names_user_verb_and_resource(bob, method, path, message):
    answer = await bob.call(method, path, {} if method in ("PUT", "PATCH") else None)
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert message in answer.message


async def test_details_of_a_refusal(bob):
    answer = await bob.call("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l")
    assert answer.body["details"] == {"name": "l", "group": "coordination.k8s.io", "kind": "leases"}


async def bind(api, rules, subjects, *, cluster=False):
    role, binding = ("clusterroles", "clusterrolebindings") if cluster else ("roles", "rolebindings")
    name = f"r-{api.namespace}"
    kind = "ClusterRole" if cluster else "Role"
    await as_admin(api, "create", role, {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    await as_admin(api, "create", binding, {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects})


async def eventually(act, status):
    """The real server's authorizer learns of roles by watching them."""
    for _ in range(100):
        answer = await act()
        if answer.status == status:
            return answer
    raise AssertionError(answer)


BOB = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}


async def test_role_allows_in_its_namespace_only(bob):
    await bind(bob, [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}], [BOB])
    await eventually(lambda: bob.get("configmaps"), 200)
    assert (await bob.call("GET", "/api/v1/namespaces/default/configmaps")).status == 403
    assert (await bob.call("GET", "/api/v1/configmaps")).status == 403
    assert (await bob.get("configmaps", "c")).status == 403


async def test_cluster_role_allows_everywhere(bob):
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}]
    await bind(bob, rules, [BOB], cluster=True)
    await eventually(lambda: bob.call("GET", "/apis/coordination.k8s.io/v1/leases"), 200)
    name = f"r-{bob.namespace}"
    await as_admin(bob, "delete", "clusterrolebindings", name)
    await eventually(lambda: bob.get("leases"), 403)


async def test_group_is_a_subject(bob):
    group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "devs"}
    await bind(bob, [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], [group])
    await eventually(lambda: bob.get("leases"), 200)


async def test_right_may_be_for_one_name(bob):
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["mine"]}
    await bind(bob, [rule], [BOB])
    await eventually(lambda: bob.get("configmaps", "mine"), 404)
    assert (await bob.get("configmaps", "other")).status == 403


async def test_right_for_one_name_covers_lists_that_select_it(bob):
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"], "resourceNames": ["mine"]}
    await bind(bob, [rule], [BOB])
    path = f"/api/v1/namespaces/{bob.namespace}/configmaps"
    await eventually(lambda: bob.call("GET", f"{path}?fieldSelector=metadata.name=mine"), 200)
    assert (await bob.call("GET", path)).status == 403
    for selector in ("metadata.name!=mine", "metadata.namespace=mine"):
        assert (await bob.call("GET", f"{path}?fieldSelector={selector}")).status == 403
    other = await bob.call("GET", f"{path}?fieldSelector=metadata.name=other")
    assert other.status == 403
    assert 'configmaps "other" is forbidden' in other.message


async def test_right_for_a_subresource_is_its_own(bob):
    await as_admin(bob, "create", "services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    await bind(bob, [{"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]}], [BOB])
    await eventually(lambda: bob.patch("services", "s", {}, "status"), 200)
    assert (await bob.patch("services", "s", {})).status == 403


async def test_service_account_is_a_subject(api):
    api.token = f"{AGENT}-token"
    subject = {"kind": "ServiceAccount", "name": "kube-vip", "namespace": "kube-system"}
    await bind(api, [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}], [subject])
    await eventually(lambda: api.get("configmaps"), 200)


async def test_service_accounts_are_a_group(client):
    # Not on the real server: it knows this user by a static token, which puts it in no group.
    api = client
    api.token = f"{AGENT}-token"
    group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:kube-system"}
    await bind(api, [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}], [group])
    await eventually(lambda: api.get("configmaps"), 200)


async def test_user_may_ask_what_it_may(bob):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = {"verb": "list", "resource": "configmaps", "namespace": bob.namespace}
    answer = await bob.call("POST", path, {"spec": {"resourceAttributes": attributes}})
    assert (answer.status, answer.body["status"]["allowed"]) == (201, False)
    answer = await bob.call("POST", path, {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/version"}}})
    assert answer.body["status"]["allowed"] is True


async def test_user_may_ask_who_it_is(bob):
    answer = await bob.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    info = answer.body["status"]["userInfo"]
    assert info["username"] == "bob"
    assert sorted(info["groups"]) == ["devs", "system:authenticated"]


async def test_administrator_may_act_as_another(api):
    answer = await api.call("GET", "/api/v1/configmaps", headers={"Impersonate-User": "bob"})
    assert 'User "bob" cannot list' in answer.message


async def test_others_may_not_act_as_another(bob):
    answer = await bob.call("GET", "/api/v1/configmaps", headers={"Impersonate-User": "admin"})
    assert answer.status == 403
    assert 'User "bob" cannot impersonate resource "users"' in answer.message


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
async def test_health(api, path):
    assert (await api.call("GET", path)).body == "ok"


async def test_groups_and_their_resources(api):
    groups = {group["name"]: group for group in (await api.call("GET", "/apis")).body["groups"]}
    assert groups["coordination.k8s.io"]["preferredVersion"]["groupVersion"] == "coordination.k8s.io/v1"
    assert (await api.call("GET", "/api")).body["versions"] == ["v1"]
    assert (await api.call("GET", "/apis/apps")).body["kind"] == "APIGroup"
    found = (await api.call("GET", "/api/v1")).body["resources"]
    (services,) = [item for item in found if item["name"] == "services"]
    assert services["shortNames"] == ["svc"]
    assert services["singularName"] == "service"
    assert services["namespaced"] is True
    assert services["verbs"] == ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    assert [item for item in found if item["name"] == "services/status"]


async def test_every_resource_is_known_to_the_other_server(api):
    from kubevip.emulator import RESOURCES

    for resource in RESOURCES:
        root = f"/apis/{resource.group}/v1" if resource.group else "/api/v1"
        listed = {item["name"]: item for item in (await api.call("GET", root)).body["resources"]}
        found = listed[resource.plural]
        assert (found["kind"], found["namespaced"]) == (resource.kind, resource.namespaced)
        assert tuple(found.get("shortNames", ())) == resource.short_names
        assert tuple(found.get("categories", ())) == resource.categories
        assert (f"{resource.plural}/status" in listed) is resource.has_status


async def test_aggregated_discovery(api):
    answer = await api.call("GET", "/apis", accept=AGGREGATED)
    assert answer.body["kind"] == "APIGroupDiscoveryList"
    (apps,) = [item for item in answer.body["items"] if item["metadata"]["name"] == "apps"]
    resources = {item["resource"]: item for item in apps["versions"][0]["resources"]}
    assert resources["daemonsets"]["scope"] == "Namespaced"
    assert resources["daemonsets"]["subresources"][0]["subresource"] == "status"


async def test_openapi_says_that_fields_are_checked(api):
    link = (await api.call("GET", "/openapi/v3")).body["paths"]["api/v1"]["serverRelativeURL"]
    document = (await api.call("GET", link)).body
    patch = document["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Service", "version": "v1"}


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/v1/nones", "json"), ("/apis/apps/v1/nones", "json"), ("/nope", "text")]
)
async def test_unknown_path(api, path, kind):
    answer = await api.call("GET", path)
    assert answer.status == 404
    if kind == "json":
        assert answer.message == "the server could not find the requested resource"
    else:
        assert "404 page not found" in answer.body
