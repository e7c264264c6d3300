"""Which Lease governs an address, as far as the API server knows, and which nodes there are."""

from urllib.parse import urlsplit

import attrs
import msgspec

from kubevip.errors import ApiUnavailable, Forbidden, NotFound
from kubevip.kube.client import Client
from kubevip.kube.convert import to_view
from kubevip.kube.reflector import PAGE
from kubevip.kube.resources import SERVICES, ListPage, Object, Resource, Service
from kubevip.model import IPAddress, LeaseKey
from kubevip.service import ClassFilter, Wanted

NODES = Resource("/api/v1", "nodes", Object)


@attrs.frozen(kw_only=True)
class Leases:
    """The Leases that agents are told to use: of the control plane, whose *addresses* may be known, and of Services."""

    control_plane: LeaseKey
    services: LeaseKey
    addresses: tuple[IPAddress, ...] = ()

    async def governing(self, client: Client, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*; ``None`` where nobody knows the address.

        The control plane's own address stands nowhere in the API. Where it isn't among *addresses*, it is
        recognised by the API server being reached by it.

        :raises ApiError: if Services can't be listed.
        """
        if address in self.addresses or urlsplit(client.server).hostname == str(address):
            return self.control_plane
        return self.services if await _serves(client, address) else None


async def _serves(client: Client, address: IPAddress) -> bool:
    query = [("limit", str(PAGE))]
    while True:
        page = _read(await client.request("GET", SERVICES.path(), query=query), ListPage)
        if any(address in _addresses(raw) for raw in page.items or ()):
            return True
        if not page.metadata.continue_:
            return False
        query = [("limit", str(PAGE)), ("continue", page.metadata.continue_)]


def _addresses(raw: msgspec.Raw) -> list[IPAddress]:
    try:
        view = to_view(msgspec.json.decode(raw, type=Service))
    except msgspec.MsgspecError:
        return []
    # Whatever its class: which classes the agents serve is told to them alone.
    classes = ClassFilter(name=view.load_balancer_class or "", legacy=True)
    wanted = view.wants(classes, lambda _address, _interface: ("", 0))
    return [vip.address for vip in wanted.vips] if isinstance(wanted, Wanted) else []


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
