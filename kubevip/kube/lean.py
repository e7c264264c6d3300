"""Loads only the parts of kubernetes_asyncio that are used.

``import kubernetes_asyncio`` imports 1,200 modules of models: 40 MB and 0.2 s that an agent doesn't need. The
agent's process, and no other, may register empty packages with the real search paths before the first import,
so that only what loads credentials is loaded. A library that does so would change what its host imports.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGES = ("kubernetes_asyncio", "kubernetes_asyncio.client")
# What loads credentials names these, and uses them only where it is not told what to fill.
_NAMED = ("ApiClient", "Configuration")


def load_lean() -> bool:
    """Make later imports of kubernetes_asyncio lean; return whether that worked.

    Where its layout is another one, or it is loaded already, nothing changes and everything still works.
    """
    if _PACKAGES[0] in sys.modules:
        return False
    try:
        for name in _PACKAGES:
            _register(name)
        importlib.import_module("kubernetes_asyncio.config.incluster_config")
        importlib.import_module("kubernetes_asyncio.config.kube_config")
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.split(".")[0] == _PACKAGES[0]]:
            del sys.modules[name]
        return False
    return True


def _register(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(name=name)
    package = ModuleType(name)
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    package.__path__ = list(spec.submodule_search_locations)
    if name == "kubernetes_asyncio.client":
        package.__dict__.update({named: type(named, (), {}) for named in _NAMED})
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)
