"""Manifests: the agent's from the settings that it reads, as static Pod, DaemonSet and RBAC; the provider's."""

from kubevip.manifest.command import Written, add_arguments, written
from kubevip.manifest.environment import environment
from kubevip.manifest.provider import ProviderManifests
from kubevip.manifest.rbac import Rights
from kubevip.manifest.workload import Manifest, Workload

__all__ = [
    "Manifest",
    "ProviderManifests",
    "Rights",
    "Workload",
    "Written",
    "add_arguments",
    "environment",
    "written",
]
