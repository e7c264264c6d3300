"""Which Lease governs an address, as far as the API server knows, and which nodes there are."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import attrs
import msgspec

from kubevip.errors import ApiUnavailable, Forbidden, NotFound
from kubevip.governance import OfPrimary, Rules
from kubevip.kube.client import Client
from kubevip.kube.convert import to_view
from kubevip.kube.reflector import PAGE
from kubevip.kube.resources import SERVICES, ListPage, Object, Resource, Service
from kubevip.model import IPAddress, LeaseKey, Vip
from kubevip.service import ClassFilter, ServiceView, Wanted

NODES = Resource("/api/v1", "nodes", Object)


@attrs.frozen(kw_only=True)
class Leases:
    """The Leases that agents are told to use: of the control plane, whose *addresses* may be known, and of Services.

    *own*: each Service has its own, or, *on_demand*, those that are annotated for it.
    """

    control_plane: LeaseKey
    services: LeaseKey
    addresses: tuple[IPAddress, ...] = ()
    own: bool = False
    on_demand: bool = False

    async def governing(self, client: Client, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*; ``None`` where nobody knows the address.

        The control plane's own address stands nowhere in the API. Where it isn't among *addresses*, it is
        recognised by the API server being reached by it.

        :raises ApiError: if Services can't be listed.
        """
        if address in self.addresses or urlsplit(client.server).hostname == str(address):
            return self.control_plane
        governance = OfPrimary(Rules(common=self.services, every=self.own))
        async for view, vips in _using(client, address):
            if not self.own and not self.on_demand:
                return self.services
            if not governance.objection(view):
                governance.asks(view.key, view, vips)
        return governance.lease(address)


async def _using(client: Client, address: IPAddress) -> AsyncIterator[tuple[ServiceView, Sequence[Vip]]]:
    """Yield the Services that ask for *address*, with all that they ask for."""
    query = [("limit", str(PAGE))]
    while True:
        page = _read(await client.request("GET", SERVICES.path(), query=query), ListPage)
        for raw in page.items or ():
            found = _asking(raw)
            if found is not None and any(vip.address == address for vip in found[1]):
                yield found
        if not page.metadata.continue_:
            return
        query = [("limit", str(PAGE)), ("continue", page.metadata.continue_)]


def _asking(raw: msgspec.Raw) -> tuple[ServiceView, Sequence[Vip]] | None:
    try:
        view = to_view(msgspec.json.decode(raw, type=Service))
    except msgspec.MsgspecError:
        return None
    # Whatever its class: which classes the agents serve is told to them alone.
    classes = ClassFilter(name=view.load_balancer_class or "", legacy=True)
    wanted = view.wants(classes, lambda _address, _interface: ("", 0))
    return (view, wanted.vips) if isinstance(wanted, Wanted) else None


async def unknown_node(client: Client, name: str) -> list[str]:
    """Return the names of all nodes where none is called *name*; nothing where one is, or nobody can tell.

    :raises ApiError: if the API server doesn't answer.
    """
    try:
        await client.request("GET", NODES.path(name=name))
    except NotFound:
        pass
    except Forbidden:
        return []
    else:
        return []
    try:
        page = _read(await client.request("GET", NODES.path(), query=[("limit", str(PAGE))]), ListPage)
    except Forbidden:
        return []
    return sorted(msgspec.json.decode(raw, type=Object).metadata.name for raw in page.items or ())


def _read(content: bytes, kind: type[ListPage]) -> ListPage:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiUnavailable(f"the API server's answer can't be read: {error}") from error
