"""From the API's objects to the domain's values.

Thousands of them are kept, and most parts of one are those of many others: such parts are shared.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache

from kubevip.custody import HOLDER, Custody
from kubevip.kube.resources import (
    Condition,
    EndpointConditions,
    EndpointSlice,
    EndpointsObject,
    LoadBalancerIngress,
    Service,
)
from kubevip.model import ServiceKey
from kubevip.service import CONFLICT, HOST, Endpoints, Ingress, ServiceView, TrafficPolicy
from kubevip.vocabulary import is_of_concern

SERVICE_NAME = "kubernetes.io/service-name"


def to_view(service: Service) -> ServiceView:
    """Return what matters of a Service."""
    metadata, spec = service.metadata, service.spec
    local = spec.external_traffic_policy == TrafficPolicy.LOCAL.value
    return ServiceView(
        key=ServiceKey(sys.intern(metadata.namespace), metadata.name),
        uid=metadata.uid,
        type=sys.intern(spec.type),
        load_balancer_class=spec.load_balancer_class,
        load_balancer_ip=spec.load_balancer_ip,
        annotations=_of_concern(metadata.annotations or {}),
        ports=_shared(tuple((port.port, port.protocol) for port in spec.ports)),
        policy=TrafficPolicy.LOCAL if local else TrafficPolicy.CLUSTER,
        ingress=tuple(to_ingress(entry) for entry in service.status.load_balancer.ingress or ()),
        deleting=metadata.deletion_timestamp is not None,
        conflict=_conflict(service.status.conditions),
        created=metadata.creation_timestamp or "",
        version=metadata.resource_version,
        record=Custody.parse((metadata.annotations or {}).get(HOLDER, ""), metadata.uid),
    )


def _conflict(conditions: Sequence[Condition] | None) -> str:
    return next((each.message for each in conditions or () if each.type == CONFLICT and each.status == "True"), "")


def to_ingress(entry: LoadBalancerIngress) -> Ingress:
    """Return an entry of the status."""
    return Ingress(entry.ip, entry.hostname, _shared(tuple((port.port, port.protocol) for port in entry.ports or ())))


def _of_concern(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out what others have written: kubectl alone keeps the whole manifest in one."""
    return {
        sys.intern(name): sys.intern(text) if name == HOST else text
        for name, text in annotations.items()
        if is_of_concern(name)
    }


@lru_cache(maxsize=1024)
def _shared(ports: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    return ports


def slice_endpoints(found: EndpointSlice, node: str, *, name_nodes: bool = False) -> Endpoints:
    """Count the endpoints of a slice that take traffic; name all nodes that have one, where that is asked for.

    Those count that kube-proxy would send something to: ready ones, and where there is none those that serve while
    they terminate. Where nobody says, an endpoint counts as ready. A Service that publishes addresses that are not
    ready has them marked as ready, and as not serving (``discovery/v1`` EndpointConditions).
    """
    nodes = [
        endpoint.node_name
        for endpoint in found.endpoints or ()
        if endpoint.addresses and _takes_traffic(endpoint.conditions)
    ]
    return _count(nodes, node, name_nodes)


def object_endpoints(found: EndpointsObject, node: str, *, name_nodes: bool = False) -> Endpoints:
    """Count the ready addresses of an Endpoints object; see ``slice_endpoints``."""
    nodes = [address.node_name for subset in found.subsets or () for address in subset.addresses or ()]
    return _count(nodes, node, name_nodes)


def slice_owner(found: EndpointSlice) -> ServiceKey | None:
    """Return the Service that a slice belongs to."""
    name = (found.metadata.labels or {}).get(SERVICE_NAME)
    return ServiceKey(sys.intern(found.metadata.namespace), name) if name else None


def _takes_traffic(conditions: EndpointConditions) -> bool:
    return conditions.ready is not False or conditions.serving is True


def _count(nodes: Sequence[str | None], node: str, name_nodes: bool) -> Endpoints:
    names = frozenset(sys.intern(each) for each in nodes if each) if name_nodes else frozenset[str]()
    return _endpoints(len(nodes), sum(1 for each in nodes if each == node), names)


def add_up(counts: Sequence[Endpoints]) -> Endpoints:
    """Return the sum of what the slices of a Service have."""
    total = sum(counts, Endpoints())
    return _endpoints(total.anywhere, total.here, total.nodes)


@lru_cache(maxsize=4096)
def _endpoints(anywhere: int, here: int, nodes: frozenset[str]) -> Endpoints:
    return Endpoints(anywhere, here, nodes)
