"""Everything that the provider would know at this moment, read once: from the API server, or from what kubectl wrote.

A reflector asks again and again, which is right for those who stay. Here whoever asks waits for an answer, or for the
reason why there is none.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import attrs
import msgspec

from kubevip.errors import ApiUnavailable, ConfigError, Forbidden, NotFound, ResourceExpired
from kubevip.kube.client import Client
from kubevip.kube.provided import CONFIG_MAPS, NODES, PROVIDED_SERVICES, ConfigMap, node_addresses
from kubevip.kube.reflector import PAGE
from kubevip.kube.resources import ListPage, Object, Resource, Struct
from kubevip.model import IPAddress, ObjectKey
from kubevip.provision.verdict import Facts

# A page of whole Services may take a slow server a while.
_PATIENCE = 30.0
Kind = TypeVar("Kind")


@attrs.frozen(kw_only=True)
class Survey:
    """What there is. *data* is the ConfigMap's, ``None`` if there is none; *notices* say what isn't known, and why."""

    services: tuple[Facts, ...]
    nodes: Mapping[str, tuple[IPAddress, ...]]
    data: Mapping[str, str] | None = None
    notices: tuple[str, ...] = ()


class _Kind(Struct):
    """What an object says that it is."""

    kind: str = ""


async def survey(client: Client, config_map: ObjectKey) -> Survey:
    """Read all Services, the nodes and the ConfigMap.

    :raises ApiError: if that isn't possible. Nodes that may not be listed are a notice.
    """
    notices: list[str] = []
    services = _decoded(PROVIDED_SERVICES, await _list(client, PROVIDED_SERVICES), notices)
    try:
        nodes = _decoded(NODES, await _list(client, NODES), notices)
    except Forbidden as error:
        notices.append(f"the nodes' addresses aren't known: {error}")
        nodes = []
    return Survey(
        services=tuple(service.facts for service in services),
        nodes={node.metadata.name: node_addresses(node) for node in nodes},
        data=await _data(client, config_map),
        notices=tuple(notices),
    )


def read_dump(content: bytes) -> Survey:
    """Read what ``kubectl get services,nodes -A -o json`` has written; nodes may be missing.

    :raises ConfigError: if it is something else.
    """
    notices: list[str] = []
    try:
        items = msgspec.json.decode(content, type=ListPage).items
        # Straight from the API server, the items of a ServiceList don't say what they are.
        whole = msgspec.json.decode(content, type=_Kind).kind.removesuffix("List")
        kinds = [msgspec.json.decode(raw, type=_Kind).kind or whole for raw in items or ()]
    except msgspec.MsgspecError as error:
        raise ConfigError([f"this is no list of objects in JSON: {error}"]) from error
    if items is None:
        raise ConfigError(["this is no list of objects: write it with kubectl get services,nodes -A -o json"])
    by_kind = {kind: [raw for raw, each in zip(items, kinds, strict=True) if each == kind] for kind in set(kinds)}
    if not by_kind.get("Service"):
        raise ConfigError(["there is no Service in this: write it with kubectl get services,nodes -A -o json"])
    nodes = _decoded(NODES, by_kind.get("Node", ()), notices)
    return Survey(
        services=tuple(each.facts for each in _decoded(PROVIDED_SERVICES, by_kind["Service"], notices)),
        nodes={node.metadata.name: node_addresses(node) for node in nodes},
        notices=tuple(notices),
    )


async def _list(client: Client, resource: Resource[Kind]) -> list[msgspec.Raw]:
    try:
        return await _list_once(client, resource)
    except ResourceExpired:
        # The pages of a list have to be fetched before the server forgets its state.
        return await _list_once(client, resource)


async def _list_once(client: Client, resource: Resource[Kind]) -> list[msgspec.Raw]:
    found: list[msgspec.Raw] = []
    query = [("limit", str(PAGE))]
    while True:
        page = _read(await client.request("GET", resource.path(), query=query, timeout=_PATIENCE), ListPage)
        found += page.items or ()
        if not page.metadata.continue_:
            return found
        query = [("limit", str(PAGE)), ("continue", page.metadata.continue_)]


async def _data(client: Client, key: ObjectKey) -> Mapping[str, str] | None:
    try:
        content = await client.request("GET", CONFIG_MAPS.path(key.namespace, key.name))
    except NotFound:
        return None
    return _read(content, ConfigMap).data or {}


def _read(content: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiUnavailable(f"the API server's answer can't be read: {error}") from error


def _decoded(resource: Resource[Kind], items: Iterable[msgspec.Raw], notices: list[str]) -> list[Kind]:
    """Decode *items*. One that is not what it should be must not keep back the others."""
    decode: Callable[[msgspec.Raw], Kind] = resource.decode or msgspec.json.Decoder(resource.kind).decode
    found = []
    for raw in items:
        try:
            found.append(decode(raw))
        except msgspec.MsgspecError as error:
            notices.append(f"{_name(raw)} of {resource.plural} can't be read, and is left out: {error}")
    return found


def _name(raw: msgspec.Raw) -> str:
    try:
        key = msgspec.json.decode(raw, type=Object).key
    except msgspec.MsgspecError:
        return "an object"
    return str(key) if key.namespace else key.name
