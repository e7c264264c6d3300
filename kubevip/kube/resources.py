"""The kinds that kubevip reads, as typed structures that msgspec decodes in one step; other fields are skipped."""

import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from kubevip.model import ObjectKey


class Struct(msgspec.Struct, rename="camel"):
    """A JSON object with Kubernetes' field names."""


class Meta(Struct):
    """``meta/v1`` ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ListMeta(Struct):
    """``meta/v1`` ListMeta."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Object(Struct):
    """Any object: only its metadata."""

    metadata: Meta = msgspec.field(default_factory=Meta)

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        # Many keys are kept, of few namespaces.
        return ObjectKey(sys.intern(self.metadata.namespace), self.metadata.name)


class ServicePort(Struct):
    """A port of a Service."""

    port: int
    protocol: str = "TCP"


class ServiceSpec(Struct):
    """``core/v1`` ServiceSpec."""

    type: str = "ClusterIP"
    load_balancer_class: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    external_traffic_policy: str = "Cluster"
    ports: list[ServicePort] = []


class PortStatus(Struct):
    """A port in an ingress entry."""

    port: int
    protocol: str = "TCP"


class LoadBalancerIngress(Struct):
    """An entry of ``status.loadBalancer.ingress``."""

    ip: str = ""
    hostname: str = ""
    ports: list[PortStatus] | None = None


class LoadBalancerStatus(Struct):
    """``status.loadBalancer``."""

    ingress: list[LoadBalancerIngress] | None = None


class Condition(Struct):
    """``meta/v1`` Condition."""

    type: str = ""
    status: str = ""
    message: str = ""


class ServiceStatus(Struct):
    """``core/v1`` ServiceStatus."""

    load_balancer: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)
    conditions: list[Condition] | None = None


class Service(Object):
    """``core/v1`` Service."""

    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


class EndpointConditions(Struct):
    """What is known of an endpoint; ``None`` is unknown, which counts as ready (``discovery/v1``)."""

    ready: bool | None = None
    serving: bool | None = None


class Endpoint(Struct):
    """An endpoint of an EndpointSlice."""

    addresses: list[str] = []
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    node_name: str | None = None


class EndpointSlice(Object):
    """``discovery.k8s.io/v1`` EndpointSlice."""

    endpoints: list[Endpoint] | None = None


class EndpointAddress(Struct):
    """An address of an Endpoints object."""

    ip: str = ""
    node_name: str | None = None


class EndpointSubset(Struct):
    """A subset of an Endpoints object: only the ready addresses."""

    addresses: list[EndpointAddress] | None = None


class EndpointsObject(Object):
    """``core/v1`` Endpoints."""

    subsets: list[EndpointSubset] | None = None


class RawLease(Struct):
    """``coordination.k8s.io/v1`` Lease, kept whole: a write has to leave alone what it doesn't know."""

    metadata: dict[str, Any] = {}
    spec: dict[str, Any] | None = None

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.metadata.get("namespace", ""), self.metadata.get("name", ""))


class ListPage(Struct):
    """A page of a list; the items are decoded one by one."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class Event(Struct):
    """A line of a watch; *object* is decoded by its type."""

    type: str
    object: msgspec.Raw


Kind = TypeVar("Kind")


@attrs.frozen
class Resource(Generic[Kind]):
    """Where the objects of a kind are, and what they are decoded to: *kind*, or what *decode* makes of the JSON.

    *decode* raises ``msgspec.MsgspecError`` where an object is not what it should be.
    """

    prefix: str
    plural: str
    kind: type[Kind]
    decode: Callable[[msgspec.Raw], Kind] | None = None

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of a collection, or of an object; an empty *namespace* is all of them."""
        parts = [self.prefix, "namespaces" if namespace else "", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


SERVICES = Resource("/api/v1", "services", Service)
ENDPOINTS = Resource("/api/v1", "endpoints", EndpointsObject)
ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1", "endpointslices", EndpointSlice)
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases", RawLease)
EVENTS = Resource("/api/v1", "events", Object)
