"""Virtual IP addresses for Kubernetes control planes and LoadBalancer Services: a library and an agent.

``hold()`` holds an address for as long as this process leads. The agent is ``python -m kubevip agent``. Who
writes a backend imports ``kubevip.plugin``, who tests one ``kubevip.testing``.
"""

from typing import TYPE_CHECKING

from kubevip.errors import ApiError, ConfigError, KubeVipError, LeadershipLost, LinkNotFound, NetworkError
from kubevip.lease import Timing
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.version import __version__

if TYPE_CHECKING:
    from kubevip.holder import hold

__all__ = [
    "ApiError",
    "ConfigError",
    "Family",
    "KubeVipError",
    "LeadershipLost",
    "LeaseKey",
    "LinkNotFound",
    "NetworkError",
    "Term",
    "Timing",
    "Vip",
    "__version__",
    "hold",
]


def __getattr__(name: str) -> object:
    """Load what does I/O when it is asked for: the pure parts are imported without asyncio, anyio or netlink."""
    if name == "hold":
        from kubevip.holder import hold

        return hold
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
