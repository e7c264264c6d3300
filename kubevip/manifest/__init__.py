"""Manifests for the agent, made from the same settings that it reads: static Pod, DaemonSet, RBAC."""

from kubevip.manifest.command import Written, add_arguments, written
from kubevip.manifest.environment import environment
from kubevip.manifest.rbac import Rights
from kubevip.manifest.workload import Manifest, Workload

__all__ = [
    "Manifest",
    "Rights",
    "Workload",
    "Written",
    "add_arguments",
    "environment",
    "written",
]
