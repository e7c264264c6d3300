"""Who has what in spread mode, read once from the API server: for commands, which have no watch."""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import attrs
import msgspec

from kubevip.custody import HOLDER
from kubevip.errors import ApiUnavailable
from kubevip.kube.convert import slice_endpoints, slice_owner, to_view
from kubevip.kube.leases import to_record
from kubevip.kube.nodeleases import PREFIX
from kubevip.kube.reflector import PAGE
from kubevip.kube.resources import (
    ENDPOINT_SLICES,
    LEASES,
    SERVICES,
    EndpointSlice,
    ListPage,
    RawLease,
    Resource,
    Service,
)
from kubevip.lease import Record
from kubevip.model import ServiceKey
from kubevip.placement import Item, Node
from kubevip.ports import Api
from kubevip.service import ClassFilter, Endpoints, Wanted
from kubevip.spread.charges import charge_of
from kubevip.spread.roster import Roster
from kubevip.spread.spreading import Spreading

# How long a Lease that isn't there counts; nobody waits here.
_DURATION = 15.0
Kind = TypeVar("Kind", Service, EndpointSlice, RawLease)


@attrs.frozen
class Survey:
    """The Services that are spread, the nodes that are there with their Leases, and who holds what."""

    items: dict[ServiceKey, Item]
    nodes: dict[str, Node]
    leases: dict[str, Record]
    holders: dict[ServiceKey, str]
    why: Callable[[ServiceKey], str]

    @property
    def loads(self) -> Counter[str]:
        """How many Services each node has."""
        found = Counter(dict.fromkeys(self.nodes, 0))
        found.update(self.holders.values())
        return found


async def is_spread(client: Api, namespace: str) -> bool:
    """Tell whether agents share the Services: each of them has a Lease in *namespace* then.

    :raises ApiError: if the API server doesn't answer, or refuses.
    """
    leases = await _list(client, LEASES, namespace)
    return any(lease.key.name.startswith(PREFIX) and to_record(lease).holder for lease in leases)


async def survey(client: Api, namespace: str) -> Survey:
    """Look at all Services, and at the Leases of nodes in *namespace*.

    :raises ApiError: if the API server doesn't answer, or refuses.
    """
    spreading = Spreading("", Roster(_DURATION))
    leases: dict[str, Record] = {}
    for lease in await _list(client, LEASES, namespace):
        if lease.key.name.startswith(PREFIX):
            node, record = lease.key.name.removeprefix(PREFIX), to_record(lease)
            spreading.roster.saw(node, record, record.version, 0.0)
            leases[node] = record
    endpoints: dict[ServiceKey, Endpoints] = {}
    for found in await _list(client, ENDPOINT_SLICES):
        if (owner := slice_owner(found)) is not None:
            endpoints[owner] = endpoints.get(owner, Endpoints()) + slice_endpoints(found, "", name_nodes=True)
    for service in await _list(client, SERVICES):
        _take(spreading, service, endpoints)
    spreading.update(0.0)
    assignment = spreading.assignment
    nodes = spreading.roster.present(0.0)
    holders = {key: node for key, node in assignment.on.items() if node in nodes}
    return Survey(dict(assignment.items), nodes, leases, holders, lambda key: assignment.why(key, 0.0))


def _take(spreading: Spreading, service: Service, endpoints: dict[ServiceKey, Endpoints]) -> None:
    view = to_view(service)
    if HOLDER not in (service.metadata.annotations or {}):
        # Nobody has ever spread it.
        return
    classes = ClassFilter(name=view.load_balancer_class or "", legacy=True)
    wanted = view.wants(classes, lambda _address, _interface: ("", 0))
    if isinstance(wanted, Wanted):
        addresses = [vip.address for vip in wanted.vips]
        spreading.applied(charge_of(view, addresses, endpoints.get(view.key, Endpoints())), 0.0)


async def _list(client: Api, resource: Resource[Kind], namespace: str = "") -> list[Kind]:
    query, found = [("limit", str(PAGE))], []
    while True:
        content = await client.request("GET", resource.path(namespace), query=query, timeout=60)
        try:
            page = msgspec.json.decode(content, type=ListPage)
            found += [msgspec.json.decode(raw, type=resource.kind) for raw in page.items or ()]
        except msgspec.MsgspecError as error:
            raise ApiUnavailable(f"the API server's answer can't be read: {error}") from error
        if not page.metadata.continue_:
            return found
        query = [("limit", str(PAGE)), ("continue", page.metadata.continue_)]
