"""What clients ask before they ask for objects: groups, resources, the version, and as much OpenAPI as kubectl needs.

Discovery is served in both forms, document by document and aggregated. The OpenAPI documents name only the paths,
with ``fieldValidation`` among the parameters of PATCH: from that kubectl sees that the server checks fields itself.
"""

from collections.abc import Mapping
from typing import Any

from kubevip.emulator.resources import RESOURCES, Resource

GIT_VERSION = "v1.35.0-kubevip-emulator"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_STATUS_VERBS = ("get", "patch", "update")
_GROUPS = sorted({resource.group for resource in RESOURCES} - {""})
_VERSION = {
    "major": "1",
    "minor": "35",
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def verbs(resource: Resource) -> list[str]:
    """The verbs that the resource takes."""
    if resource.review:
        return ["create"]
    return [verb for verb in _VERBS if verb != "deletecollection" or resource.plural != "namespaces"]


def documents(address: str) -> Mapping[str, Any]:
    """Every document of discovery by its path; *address* is where clients reach the server."""
    found: dict[str, Any] = {
        "/version": _VERSION,
        "/api": {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in _GROUPS]},
        "/api/v1": _resource_list(""),
        "/openapi/v3": {"paths": {_root(name)[1:]: _openapi_link(name) for name in ("", *_GROUPS)}},
    }
    for name in _GROUPS:
        found[f"/apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}
        found[_root(name)] = _resource_list(name)
    found.update({f"/openapi/v3{_root(name)}": _openapi(name) for name in ("", *_GROUPS)})
    found["/"] = {"paths": sorted(found)}
    return found


def aggregated_documents() -> Mapping[str, Any]:
    """The aggregated discovery by path."""
    return {"/api": _aggregated(""), "/apis": _aggregated(*_GROUPS)}


def _root(group: str) -> str:
    return f"/apis/{group}/v1" if group else "/api/v1"


def _of_group(group: str) -> list[Resource]:
    return [resource for resource in RESOURCES if resource.group == group]


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource_list(group: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for resource in _of_group(group):
        entry = {"namespaced": resource.namespaced, "kind": resource.kind}
        more = {"shortNames": list(resource.short_names), "categories": list(resource.categories)}
        names = {"name": resource.plural, "singularName": resource.singular}
        found.append({**names, **entry, "verbs": verbs(resource), **{k: v for k, v in more.items() if v}})
        if resource.has_status:
            names = {"name": f"{resource.plural}/status", "singularName": ""}
            found.append({**names, **entry, "verbs": list(_STATUS_VERBS)})
    api_version = f"{group}/v1" if group else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": found}


def _aggregated(*groups: str) -> dict[str, Any]:
    def item(group: str) -> dict[str, Any]:
        resources = [_aggregated_resource(resource) for resource in _of_group(group)]
        versions = [{"version": "v1", "resources": resources, "freshness": "Current"}]
        return {"metadata": {"name": group} if group else {}, "versions": versions}

    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [item(group) for group in groups],
    }


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": verbs(resource),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.has_status:
        found["subresources"] = [{"subresource": "status", "responseKind": kind, "verbs": list(_STATUS_VERBS)}]
    return found


def _openapi_link(group: str) -> dict[str, str]:
    return {"serverRelativeURL": f"/openapi/v3{_root(group)}?hash={GIT_VERSION}"}


def _openapi(group: str) -> dict[str, Any]:
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    paths = {}
    for resource in _of_group(group):
        kind = {"group": group, "version": resource.version, "kind": resource.kind}
        patch = {
            "parameters": [parameter],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": kind,
        }
        place = "/namespaces/{namespace}" if resource.namespaced else ""
        paths[f"{_root(group)}{place}/{resource.plural}/{{name}}"] = {"patch": patch}
    info = {"title": "Kubernetes", "version": GIT_VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}
