"""The rights that the agent needs: kube-vip's, so that its ServiceAccount serves both."""

from typing import Any

import attrs

from kubevip.manifest.workload import ACCOUNT, Manifest

_GROUP = "rbac.authorization.k8s.io"
_CLUSTER_ROLE = "system:kube-vip-role"
_CLUSTER_BINDING = "system:kube-vip-binding"
_WATCH = ["list", "get", "watch"]


@attrs.frozen(kw_only=True)
class Rights:
    """The ServiceAccount in *namespace* and what it may do.

    *role*: in that namespace only. *role_binding*: the ClusterRole, bound in that namespace only.
    *events*: it may write Events too. *patches*: it may patch Services too, so that spread mode needs one request
    for each address that moves, and not two.
    """

    namespace: str = "kube-system"
    role: bool = False
    role_binding: bool = False
    events: bool = False
    patches: bool = False

    def manifests(self) -> tuple[Manifest, ...]:
        """Return the ServiceAccount, its role and the binding of the two."""
        return (self._account(), self._role(), self._binding())

    def _account(self) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": self.namespace},
        }

    def _role(self) -> Manifest:
        kind, metadata = self._role_names()
        return rbac(kind, metadata, rules=self._rules())

    def _role_names(self) -> tuple[str, Manifest]:
        if self.role:
            return "Role", {"name": ACCOUNT, "namespace": self.namespace}
        return "ClusterRole", {"name": _CLUSTER_ROLE}

    def _binding(self) -> Manifest:
        kind, metadata = self._role_names()
        reference = {"apiGroup": _GROUP, "kind": kind, "name": metadata["name"]}
        subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}]
        if self.role or self.role_binding:
            place = {"name": ACCOUNT, "namespace": self.namespace}
            return rbac("RoleBinding", place, roleRef=reference, subjects=subjects)
        return rbac("ClusterRoleBinding", {"name": _CLUSTER_BINDING}, roleRef=reference, subjects=subjects)

    def _rules(self) -> list[Manifest]:
        rules = [
            rule("", ["services/status"], ["update"]),
            rule("", ["services", "endpoints"], [*_WATCH, "update"]),
            rule("", ["nodes"], [*_WATCH, "update", "patch"]),
            rule("coordination.k8s.io", ["leases"], [*_WATCH, "update", "create"]),
            rule("discovery.k8s.io", ["endpointslices"], [*_WATCH, "update"]),
            rule("", ["pods"], ["list"]),
        ]
        if self.patches:
            rules.append(rule("", ["services"], ["patch"]))
        if not self.role:
            rules.append(rule("networking.k8s.io", ["servicecidrs"], [*_WATCH]))
        if self.events:
            rules.append(rule("", ["events"], ["create", "patch"]))
        return rules


def rbac(kind: str, metadata: Manifest, **parts: Any) -> Manifest:
    """Return an object of the API group for rights."""
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata} | parts


def rule(group: str, resources: list[str], verbs: list[str]) -> Manifest:
    """Return a rule of a role."""
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
