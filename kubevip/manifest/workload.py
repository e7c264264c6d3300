"""The Pod that runs the agent on a node, alone as a static Pod or from a DaemonSet.

The shape is that of kube-vip's manifests, so that the one can take the other's place.
"""

from pathlib import Path
from typing import Any

import attrs

from kubevip.config import ADMIN_CONF, Settings
from kubevip.manifest.environment import environment
from kubevip.version import __version__

ACCOUNT = "kube-vip"
DAEMON_SET = "kube-vip-ds"
_NAME_LABEL = "app.kubernetes.io/name"
_VERSION_LABEL = "app.kubernetes.io/version"
_CONTROL_PLANE_ROLES = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")
_BEFORE_THE_NODE_NAME = ("vip_arp", "port")

Manifest = dict[str, Any]


@attrs.frozen(kw_only=True)
class Workload:
    """What is to run: the agent with *settings*, from *image*.

    *in_cluster*: with the ServiceAccount; else with the node's file *kubeconfig*, which the Pod sees as
    /etc/kubernetes/admin.conf. *control_plane_only*: a DaemonSet for control-plane nodes, whatever their
    taints.
    """

    settings: Settings
    image: str = f"kubevip:{__version__}"
    namespace: str = "kube-system"
    in_cluster: bool = False
    kubeconfig: Path = ADMIN_CONF
    control_plane_only: bool = False

    def pod(self) -> Manifest:
        """Return a static Pod."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": ACCOUNT, "namespace": self.namespace},
            "spec": self._pod_spec(),
            "status": {},
        }

    def daemon_set(self) -> Manifest:
        """Return a DaemonSet."""
        labels = {_NAME_LABEL: DAEMON_SET, _VERSION_LABEL: __version__}
        return {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"labels": labels, "name": DAEMON_SET, "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": {_NAME_LABEL: DAEMON_SET}},
                "template": {
                    "metadata": {"labels": dict(labels)},
                    "spec": self._pod_spec() | (_placement() if self.control_plane_only else {}),
                },
                "updateStrategy": {},
            },
        }

    def _pod_spec(self) -> Manifest:
        spec = {"containers": [self._container()], "hostNetwork": True}
        return spec | (_account() if self.in_cluster else self._mounted())

    def _container(self) -> Manifest:
        container = {
            "args": ["manager"],
            "env": self._env(),
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "name": ACCOUNT,
            "resources": {},
            "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}},
        }
        if not self.in_cluster:
            container["volumeMounts"] = [{"mountPath": str(ADMIN_CONF), "name": "kubeconfig"}]
        return container | self._probes()

    def _env(self) -> list[Manifest]:
        entries: list[Manifest] = [{"name": name, "value": text} for name, text in environment(self.settings)]
        node_name = {"name": "vip_nodename", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
        entries.insert(len(_BEFORE_THE_NODE_NAME), node_name)
        return entries

    def _probes(self) -> Manifest:
        port = self.settings.serving.health_check_port
        if port is None:
            return {}
        return {kind: {"httpGet": {"path": "/healthz", "port": port}} for kind in ("livenessProbe", "readinessProbe")}

    def _mounted(self) -> Manifest:
        return {
            "hostAliases": [{"hostnames": ["kubernetes"], "ip": "127.0.0.1"}],
            "volumes": [{"hostPath": {"path": str(self.kubeconfig)}, "name": "kubeconfig"}],
        }


def _account() -> Manifest:
    return {"serviceAccountName": ACCOUNT}


def _placement() -> Manifest:
    terms = [{"matchExpressions": [{"key": role, "operator": "Exists"}]} for role in _CONTROL_PLANE_ROLES]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    effects = ("NoSchedule", "NoExecute")
    return {
        "affinity": {"nodeAffinity": required},
        "tolerations": [{"effect": effect, "operator": "Exists"} for effect in effects],
    }
