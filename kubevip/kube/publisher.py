"""Writes into Services what is true of them: the announced addresses, and the node that announces them.

One update of the ``status`` subresource carries both, since it takes annotations too: the ServiceAccount of
kube-vip may update, not patch. It is made from the object as it is, so nothing of anybody else's is lost, and
only where something changes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec

from kubevip.errors import Conflict, NotFound
from kubevip.kube.convert import to_ingress
from kubevip.kube.resources import SERVICES, LoadBalancerIngress
from kubevip.model import ServiceKey
from kubevip.ports import Api
from kubevip.service import HOST, Ingress

ATTEMPTS = 5


@attrs.define(eq=False)
class Publisher:
    """Publishes the state of Services. It keeps nothing."""

    _client: Api

    async def publish(
        self, key: ServiceKey, merge: Callable[[tuple[Ingress, ...]], Sequence[Ingress]], host: str | None
    ) -> bool:
        """Have *key* list what *merge* makes of its present ingress, announced by *host*; tell whether it had to.

        A Service that is gone is left alone. An update that somebody else's overtook is made again.

        :raises ApiError: if that isn't possible.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._publish(key, merge, host)
            except NotFound:
                return False
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
        return False

    async def _publish(
        self, key: ServiceKey, merge: Callable[[tuple[Ingress, ...]], Sequence[Ingress]], host: str | None
    ) -> bool:
        service = msgspec.json.decode(await self._client.request("GET", SERVICES.path(key.namespace, key.name)))
        if service["spec"].get("type") != "LoadBalancer":
            return False
        present = present_ingress(service)
        ingress = tuple(merge(present))
        annotations = service["metadata"].setdefault("annotations", {})
        if ingress == present and (host is None or annotations.get(HOST) == host):
            return False
        service.setdefault("status", {}).setdefault("loadBalancer", {})["ingress"] = [to_json(each) for each in ingress]
        if host is not None:
            annotations[HOST] = host
        service["metadata"].pop("managedFields", None)
        await self._client.request("PUT", SERVICES.path(key.namespace, key.name, "status"), body=service)
        return True


def present_ingress(service: dict[str, Any]) -> tuple[Ingress, ...]:
    """Return what the status of a Service lists."""
    entries = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return tuple(to_ingress(msgspec.convert(entry, LoadBalancerIngress)) for entry in entries)


def to_json(ingress: Ingress) -> dict[str, Any]:
    """Build an entry of the status as kube-vip writes it; the server adds ``ipMode``."""
    named = {"ip": ingress.ip} if ingress.ip else {"hostname": ingress.hostname}
    ports = [{"port": port, "protocol": protocol} for port, protocol in ingress.ports]
    return {**named, **({"ports": ports} if ports else {})}
