"""The one table of what is served: names, kinds, subresources, and how each kind may be written and selected."""

from collections.abc import Mapping
from typing import Any

import attrs

from kubevip.emulator.schema import MESSAGES, Message


@attrs.frozen(kw_only=True)
class Resource:
    """One resource of the API."""

    group: str = ""
    version: str = "v1"
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    has_status: bool = False
    counts_generations: bool = False
    """Whether a change of the spec raises ``metadata.generation``."""
    creates_on_update: bool = False
    """Whether a PUT of a name that isn't there creates it."""
    needs_version: bool = False
    """Whether an update without a resourceVersion is refused."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object rather than with a Status."""
    selectable: tuple[str, ...] = ()
    """Fields of field selectors besides ``metadata.name`` and ``metadata.namespace``."""
    deprecation: str = ""
    """What users of the resource are warned of."""
    review: bool = False
    """Whether it is only a question that POST asks, and nothing is stored."""

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The name of one."""
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """The plural with its group, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def message(self) -> Message:
        """The type of its objects."""
        return MESSAGES[self.kind]

    @property
    def opening(self) -> bytes:
        """How the JSON of an object begins, up to where its stored form goes on after the brace."""
        return b'{"kind":"%s","apiVersion":"%s",' % (self.kind.encode(), self.api_version.encode())

    def full(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The stored *value* with its kind and apiVersion."""
        return {"kind": self.kind, "apiVersion": self.api_version, **value}

    def field(self, value: Mapping[str, Any], path: str) -> str:
        """The text that field selectors compare for *path*; absent reads as empty."""
        item: Any = value
        for name in path.split("."):
            item = item.get(name) if isinstance(item, Mapping) else None
        if isinstance(item, bool):
            return "true" if item else "false"
        return "" if item is None else str(item)


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_COORDINATION, _DISCOVERY, _APPS = "coordination.k8s.io", "discovery.k8s.io", "apps"
_RBAC: dict[str, Any] = {"group": "rbac.authorization.k8s.io", "creates_on_update": True}
_WORKLOAD: dict[str, Any] = {
    "group": _APPS,
    "has_status": True,
    "counts_generations": True,
    "categories": ("all",),
}

RESOURCES: tuple[Resource, ...] = (
    Resource(
        plural="namespaces",
        kind="Namespace",
        short_names=("ns",),
        namespaced=False,
        has_status=True,
        returns_deleted=True,
        selectable=("status.phase",),
    ),
    Resource(
        plural="services",
        kind="Service",
        short_names=("svc",),
        categories=("all",),
        has_status=True,
        creates_on_update=True,
        returns_deleted=True,
        selectable=("spec.clusterIP", "spec.type"),
    ),
    Resource(
        plural="endpoints",
        kind="Endpoints",
        short_names=("ep",),
        creates_on_update=True,
        deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
    Resource(
        plural="nodes",
        kind="Node",
        short_names=("no",),
        namespaced=False,
        has_status=True,
        selectable=("spec.unschedulable",),
    ),
    Resource(plural="configmaps", kind="ConfigMap", short_names=("cm",)),
    Resource(plural="secrets", kind="Secret", selectable=("type",)),
    Resource(plural="serviceaccounts", kind="ServiceAccount", short_names=("sa",), returns_deleted=True),
    Resource(
        plural="events",
        kind="Event",
        short_names=("ev",),
        creates_on_update=True,
        selectable=(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "reportingComponent", "type"),
    ),
    Resource(
        plural="pods",
        kind="Pod",
        short_names=("po",),
        categories=("all",),
        has_status=True,
        counts_generations=True,
        returns_deleted=True,
        selectable=("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"),
    ),
    Resource(group=_COORDINATION, plural="leases", kind="Lease", creates_on_update=True, needs_version=True),
    Resource(group=_DISCOVERY, plural="endpointslices", kind="EndpointSlice", counts_generations=True),
    Resource(plural="daemonsets", kind="DaemonSet", short_names=("ds",), **_WORKLOAD),
    Resource(plural="deployments", kind="Deployment", short_names=("deploy",), **_WORKLOAD),
    Resource(
        plural="replicasets", kind="ReplicaSet", short_names=("rs",), selectable=("status.replicas",), **_WORKLOAD
    ),
    Resource(plural="roles", kind="Role", **_RBAC),
    Resource(plural="rolebindings", kind="RoleBinding", **_RBAC),
    Resource(plural="clusterroles", kind="ClusterRole", namespaced=False, **_RBAC),
    Resource(plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False, **_RBAC),
    Resource(
        group="authorization.k8s.io",
        plural="selfsubjectaccessreviews",
        kind="SelfSubjectAccessReview",
        namespaced=False,
        review=True,
    ),
    Resource(
        group="authentication.k8s.io",
        plural="selfsubjectreviews",
        kind="SelfSubjectReview",
        namespaced=False,
        review=True,
    ),
)

BY_PATH: Mapping[tuple[str, str, str], Resource] = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_PLURAL: Mapping[str, Resource] = {r.plural: r for r in RESOURCES}
"""Every plural is in one group only."""
