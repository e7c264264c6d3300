"""Settings: one table of names, from which the loader, the flags, the documentation and the manifests come.

``load`` reads the environment, flags and a config file, and gives ``Settings`` or all that is wrong.
"""

from kubevip.config.core import Arp, ControlPlane, Node
from kubevip.config.flags import add_flags
from kubevip.config.kubeconfig import ADMIN_CONF, InCluster, Kubeconfig, Server, kubeconfig_candidates
from kubevip.config.loading import Loaded, load
from kubevip.config.parse_network import Listen, Prefixes
from kubevip.config.process import Kubernetes, Logging, Serving
from kubevip.config.services import Election, Services
from kubevip.config.setting import Origin
from kubevip.config.sources import Given
from kubevip.config.table import Settings

__all__ = [
    "ADMIN_CONF",
    "Arp",
    "ControlPlane",
    "Election",
    "Given",
    "InCluster",
    "Kubeconfig",
    "Kubernetes",
    "Listen",
    "Loaded",
    "Logging",
    "Node",
    "Origin",
    "Prefixes",
    "Server",
    "Services",
    "Serving",
    "Settings",
    "add_flags",
    "kubeconfig_candidates",
    "load",
]
