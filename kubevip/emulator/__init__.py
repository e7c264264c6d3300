"""A Kubernetes API server in the process: for tests, for the demo, and for trying manifests with kubectl.

``async with serve() as server`` serves on the running loop what kubevip and its operators use: see `resources`.
It answers as the real server does, down to its error messages, and the conformance tests run on both. It runs no
controllers, persists nothing, and makes faults on demand (`Fault`).
"""

from kubevip.emulator.auth import Certificate
from kubevip.emulator.faults import Fault, Faults
from kubevip.emulator.rbac import User
from kubevip.emulator.resources import BY_PLURAL, RESOURCES, Resource
from kubevip.emulator.server import Emulator, Statistics, serve
from kubevip.emulator.store import Store, Stored

__all__ = [
    "BY_PLURAL",
    "RESOURCES",
    "Certificate",
    "Emulator",
    "Fault",
    "Faults",
    "Resource",
    "Statistics",
    "Store",
    "Stored",
    "User",
    "serve",
]
