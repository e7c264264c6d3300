"""What the provider reads of the API: Services whole, addresses of nodes, the ConfigMap."""

from typing import Any

import attrs
import msgspec

from kubevip.ipam import FamilyPolicy, read_address
from kubevip.kube.resources import LoadBalancerStatus, Meta, Object, Resource, ServicePort, Struct
from kubevip.model import Family, IPAddress, ObjectKey, ServiceKey
from kubevip.provision.verdict import CONDITION, Condition, Facts

_FAMILIES = {"IPv4": Family.IPV4, "IPv6": Family.IPV6}


class _Meta(Meta):
    """With what keeps an object from being deleted."""

    finalizers: list[str] | None = None


class _Spec(Struct):
    """``core/v1`` ServiceSpec, as far as an address depends on it."""

    type: str = "ClusterIP"
    load_balancer_class: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    external_traffic_policy: str = "Cluster"
    ports: list[ServicePort] | None = None
    selector: dict[str, str] | None = None
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None


class _Condition(Struct):
    """``meta/v1`` Condition."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Status(Struct):
    """``core/v1`` ServiceStatus."""

    conditions: list[_Condition] | None = None
    load_balancer: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)


class _Service(Struct):
    """``core/v1`` Service."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


@attrs.frozen
class ProvidedService:
    """A Service: what matters of it, and all of it, for an update has to leave alone what it doesn't know."""

    facts: Facts
    text: bytes

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return self.facts.key


class NodeAddress(Struct):
    """An address of a node; *type* is ``InternalIP``, ``ExternalIP``, ``Hostname`` and so on."""

    type: str = ""
    address: str = ""


class _NodeStatus(Struct):
    """``core/v1`` NodeStatus."""

    addresses: list[NodeAddress] | None = None


class Node(Object):
    """``core/v1`` Node."""

    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class ConfigMap(Object):
    """``core/v1`` ConfigMap."""

    data: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Service)


def read_service(text: bytes | msgspec.Raw) -> ProvidedService:
    """Read a Service.

    :raises msgspec.MsgspecError: if it is none.
    """
    return ProvidedService(to_facts(_decoder.decode(text)), bytes(text))


def to_facts(found: _Service) -> Facts:
    """Return what matters of a Service."""
    metadata, spec = found.metadata, found.spec
    families = tuple(_FAMILIES[name] for name in spec.ip_families or () if name in _FAMILIES)
    return Facts(
        key=ServiceKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        version=metadata.resource_version,
        type=spec.type,
        load_balancer_class=spec.load_balancer_class,
        load_balancer_ip=spec.load_balancer_ip,
        annotations=metadata.annotations or {},
        labels=metadata.labels or {},
        finalizers=tuple(metadata.finalizers or ()),
        ports=frozenset((port.port, port.protocol) for port in spec.ports or ()),
        local=spec.external_traffic_policy == "Local",
        selector=tuple(sorted((spec.selector or {}).items())),
        families=families,
        policy=_policy(spec.ip_family_policy),
        ingress=tuple(entry.ip for entry in found.status.load_balancer.ingress or () if entry.ip),
        deleting=metadata.deletion_timestamp is not None,
        condition=_condition(found.status),
    )


def _condition(status: _Status) -> Condition | None:
    for each in status.conditions or ():
        if each.type == CONDITION:
            return Condition(each.status == "True", each.reason, each.message)
    return None


def _policy(text: str | None) -> FamilyPolicy:
    return FamilyPolicy(text) if text in {each.value for each in FamilyPolicy} else FamilyPolicy.SINGLE


def node_addresses(node: Node) -> tuple[IPAddress, ...]:
    """Return the IP addresses of a node."""
    found: dict[IPAddress, Any] = {}
    for entry in node.status.addresses or ():
        try:
            found[read_address(entry.address)] = None
        except ValueError:
            continue  # a host name
    return tuple(found)


PROVIDED_SERVICES = Resource("/api/v1", "services", ProvidedService, read_service)
NODES = Resource("/api/v1", "nodes", Node)
CONFIG_MAPS = Resource("/api/v1", "configmaps", ConfigMap)
