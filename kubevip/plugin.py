"""All that the author of a backend imports."""

from kubevip.backend import Backend, Cadence, Host, Link, Sighting
from kubevip.errors import KubeVipError, LinkNotFound, NetworkError
from kubevip.model import Family, IPAddress, Vip

__all__ = [
    "Backend",
    "Cadence",
    "Family",
    "Host",
    "IPAddress",
    "KubeVipError",
    "Link",
    "LinkNotFound",
    "NetworkError",
    "Sighting",
    "Vip",
]
