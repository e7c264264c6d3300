"""The one table: all settings by group, and what can be looked up in it."""

import difflib
import re
from typing import Any

import attrs

from kubevip.config.bgp import Bgp
from kubevip.config.core import Arp, ControlPlane, Node
from kubevip.config.features import Egress, Etcd, Extras, Naming
from kubevip.config.fitness import Fitness
from kubevip.config.modes import Balancer, ControlPlaneHealth, RoutingTable, Wireguard
from kubevip.config.process import Kubernetes, Logging, Serving
from kubevip.config.retired import CONFIG_FILE, ELSEWHERE, RETIRED
from kubevip.config.segment import Segment
from kubevip.config.services import Election, Services
from kubevip.config.setting import Setting, settings_of
from kubevip.model import LeaseKey

_FAMILY = re.compile(r"(vip|cp|svc|lb|bgp|mpbgp|zebra|egress|dhcp|control_plane_health_check)_", re.I)
_TITLE = "title"


@attrs.frozen(kw_only=True)
class Settings:
    """All that an agent is told at its start, read and checked; see ``load``."""

    node: Node = attrs.field(factory=Node, metadata={_TITLE: "Node"})
    arp: Arp = attrs.field(factory=Arp, metadata={_TITLE: "ARP mode"})
    control_plane: ControlPlane = attrs.field(factory=ControlPlane, metadata={_TITLE: "Control plane"})
    services: Services = attrs.field(factory=Services, metadata={_TITLE: "Services"})
    election: Election = attrs.field(factory=Election, metadata={_TITLE: "Election"})
    fitness: Fitness = attrs.field(factory=Fitness, metadata={_TITLE: "Fitness and preference"})
    segment: Segment = attrs.field(factory=Segment, metadata={_TITLE: "Takeovers and conflicts"})
    kubernetes: Kubernetes = attrs.field(factory=Kubernetes, metadata={_TITLE: "API server"})
    serving: Serving = attrs.field(factory=Serving, metadata={_TITLE: "Metrics and health"})
    logging: Logging = attrs.field(factory=Logging, metadata={_TITLE: "Logging"})
    bgp: Bgp = attrs.field(factory=Bgp, metadata={_TITLE: "BGP mode"})
    routing_table: RoutingTable = attrs.field(factory=RoutingTable, metadata={_TITLE: "Routing-table mode"})
    wireguard: Wireguard = attrs.field(factory=Wireguard, metadata={_TITLE: "WireGuard mode"})
    balancer: Balancer = attrs.field(factory=Balancer, metadata={_TITLE: "Balancing of API servers"})
    control_plane_health: ControlPlaneHealth = attrs.field(
        factory=ControlPlaneHealth, metadata={_TITLE: "Health of the control plane"}
    )
    egress: Egress = attrs.field(factory=Egress, metadata={_TITLE: "Egress"})
    naming: Naming = attrs.field(factory=Naming, metadata={_TITLE: "DNS and DHCP"})
    extras: Extras = attrs.field(factory=Extras, metadata={_TITLE: "Further features"})
    etcd: Etcd = attrs.field(factory=Etcd, metadata={_TITLE: "Election by etcd"})

    @property
    def services_lease(self) -> LeaseKey:
        """The Lease that governs the addresses of all Services, unless each has its own."""
        return LeaseKey.parse(self.services.lease_name, default_namespace=self.control_plane.namespace)


@attrs.frozen
class Group:
    """A part of the table: what belongs together on a page."""

    title: str
    about: str
    settings: tuple[Setting, ...]


@attrs.frozen
class ValueGroup(Group):
    """A part whose values are held by *field* of ``Settings``, an instance of *cls*, under *names*."""

    field: str
    cls: type[Any]
    names: tuple[str, ...]


def _value_group(field: "attrs.Attribute[Any]") -> ValueGroup:
    cls = field.type
    if cls is None:
        raise TypeError(f"{field.name} has no annotation")
    names, settings = zip(*settings_of(cls), strict=True)
    about = (cls.__doc__ or "").partition("\n")[0]
    return ValueGroup(field.metadata[_TITLE], about, settings, field.name, cls, names)


VALUES: tuple[ValueGroup, ...] = tuple(_value_group(field) for field in attrs.fields(Settings))
TABLE: tuple[Group, ...] = (
    *VALUES,
    Group("Config file", "Settings may stand in a file too.", (CONFIG_FILE,)),
    Group("Without effect", "Accepted, so that an operator's manifest needs no change.", RETIRED),
    Group("Read elsewhere", "What the surroundings say; no settings of kubevip.", ELSEWHERE),
)
SETTINGS: tuple[Setting, ...] = tuple(setting for group in TABLE for setting in group.settings)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
NAMES: frozenset[str] = frozenset(alias.env for setting in SETTINGS for alias in setting.names if alias.env)


def _keys() -> dict[str, str]:
    """Return how a config file may spell names, folded, and the name that each spelling stands for.

    The first setting that claims a spelling has it: ``VIPSubnet`` in a file is kube-vip's key of
    ``vip_subnet``, while ``vipSubnet`` in the environment is nothing.
    """
    keys: dict[str, str] = {}
    for setting in (setting for setting in SETTINGS if setting not in ELSEWHERE):
        for alias in setting.names:
            for key in (alias.env or setting.name, *alias.keys):
                keys.setdefault(key.casefold(), alias.env or setting.name)
    return keys


KEYS: dict[str, str] = _keys()


def is_ours(name: str) -> bool:
    """Tell whether an environment name looks as if it were meant for kubevip.

    The families are lower case. An upper-case name counts only if it spells a known one: Kubernetes itself
    sets names such as ``LB_SERVICE_HOST``, one for every Service.
    """
    if not _FAMILY.match(name):
        return False
    return not name.isupper() or name.casefold() in KEYS


def nearest(name: str) -> str | None:
    """Return the known environment name that is spelt most like *name*, or ``None``."""
    by_folded = {known.casefold(): known for known in sorted(NAMES)}
    found = difflib.get_close_matches(name.casefold(), sorted(by_folded), n=1)
    return by_folded[found[0]] if found else None
