"""The provider's manifests: kube-vip-cloud-provider's Deployment, and the rights that it really needs."""

from typing import Any

import attrs

from kubevip.config.provider import LEASE
from kubevip.manifest.rbac import rbac, rule
from kubevip.manifest.workload import Manifest

ACCOUNT = "kube-vip-cloud-controller"
_ROLE = f"system:{ACCOUNT}-role"
_BINDING = f"system:{ACCOUNT}-binding"
_LABELS = {"app": "kube-vip", "component": "kube-vip-cloud-provider"}
_CONTROL_PLANE = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")


@attrs.frozen(kw_only=True)
class ProviderManifests:
    """The provider in *namespace*, from *image*."""

    image: str
    namespace: str = "kube-system"

    def manifests(self) -> tuple[Manifest, ...]:
        """Return the ServiceAccount, its role, the binding of the two, and the Deployment."""
        return (*self.rights(), self._deployment())

    def rights(self) -> tuple[Manifest, ...]:
        """Return the ServiceAccount, its role and the binding of the two."""
        account = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}
        return (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": self.namespace}},
            rbac("ClusterRole", {"name": _ROLE}, rules=_rules()),
            rbac(
                "ClusterRoleBinding",
                {"name": _BINDING},
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _ROLE},
                subjects=[account],
            ),
        )

    def _deployment(self) -> Manifest:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "kube-vip-cloud-provider", "namespace": self.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": self._pod()},
            },
        }

    def _pod(self) -> dict[str, Any]:
        tolerations = [{"key": key, "effect": "NoSchedule"} for key in _CONTROL_PLANE]
        preferred = [
            {"weight": 10, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}}
            for key in reversed(_CONTROL_PLANE)
        ]
        return {
            "serviceAccountName": ACCOUNT,
            "containers": [
                {
                    "name": "kube-vip-cloud-provider",
                    "image": self.image,
                    "command": ["/kube-vip-cloud-provider", f"--leader-elect-resource-name={LEASE}"],
                    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 2112}},
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": 2112}},
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "tolerations": tolerations,
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
        }


def _rules() -> list[Manifest]:
    return [
        rule("", ["services"], ["get", "list", "watch", "update"]),
        rule("", ["services/status"], ["update"]),
        rule("", ["nodes", "configmaps"], ["list", "watch"]),
        rule("", ["events"], ["create"]),
        rule("coordination.k8s.io", ["leases"], ["get", "list", "watch", "create", "update"]),
    ]
