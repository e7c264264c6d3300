"""All that the author of a backend, or of a source of pools, imports."""

from kubevip.backend import Answer, Backend, BpfInstruction, Cadence, Host, Link, Peering, Route, Sighting
from kubevip.errors import (
    AddressTaken,
    ConfigError,
    IpamError,
    KubeVipError,
    LinkNotFound,
    NetworkError,
    NoFamily,
    PoolExhausted,
)
from kubevip.filtering import ACCEPT, REJECT, accept_any
from kubevip.ipam import FamilyPolicy, Request
from kubevip.model import Family, IPAddress, Vip
from kubevip.source import Capacity, PoolSource

__all__ = [
    "ACCEPT",
    "REJECT",
    "AddressTaken",
    "Answer",
    "Backend",
    "BpfInstruction",
    "Cadence",
    "Capacity",
    "ConfigError",
    "Family",
    "FamilyPolicy",
    "Host",
    "IPAddress",
    "IpamError",
    "KubeVipError",
    "Link",
    "LinkNotFound",
    "NetworkError",
    "NoFamily",
    "Peering",
    "PoolExhausted",
    "PoolSource",
    "Request",
    "Route",
    "Sighting",
    "Vip",
    "accept_any",
]
