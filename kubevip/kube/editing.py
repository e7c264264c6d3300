"""Writes edits into Services, by an update that carries the version which they were decided on.

The provider's ServiceAccount may update Services, not patch them. An update is made from the whole object as it
was read, so nothing of anybody else's is lost; where it has changed meanwhile, the API server says 409.
"""

import datetime
from typing import Any

import attrs
import msgspec

from kubevip.kube.client import Client
from kubevip.kube.provided import ProvidedService, read_service
from kubevip.kube.resources import SERVICES
from kubevip.model import ServiceKey
from kubevip.provision.edits import Edits
from kubevip.provision.verdict import CONDITION, FINALIZER, Condition

# meta/v1 Condition takes this many characters.
LONGEST_MESSAGE = 32768


@attrs.define(eq=False)
class Editor:
    """Writes Services. It keeps nothing."""

    _client: Client

    async def read(self, key: ServiceKey) -> ProvidedService:
        """Return a Service as it is now.

        :raises ApiError: if that isn't possible; ``NotFound`` where there is none.
        """
        return read_service(await self._client.request("GET", SERVICES.path(key.namespace, key.name)))

    async def write(self, service: ProvidedService, edits: Edits) -> ProvidedService:
        """Write *edits* into *service*; return what has become of it.

        :raises Conflict: if it isn't any more as it was read.
        :raises ApiError: if that isn't possible.
        """
        key = service.facts.key
        if edits.clear_ingress:
            document = _decode(service.text)
            document.get("status", {})["loadBalancer"] = {}
            path = SERVICES.path(key.namespace, key.name, "status")
            service = read_service(await self._client.request("PUT", path, body=document))
        document = edited(_decode(service.text), edits)
        return read_service(await self._client.request("PUT", SERVICES.path(key.namespace, key.name), body=document))

    async def report(self, service: ProvidedService, condition: Condition) -> ProvidedService:
        """Write *condition* into the status of *service*; return what has become of it.

        :raises Conflict: if it isn't any more as it was read.
        :raises ApiError: if that isn't possible.
        """
        key = service.facts.key
        document = _decode(service.text)
        status = document.setdefault("status", {})
        others = [each for each in status.get("conditions", ()) if each.get("type") != CONDITION]
        status["conditions"] = [*others, _to_json(condition)]
        path = SERVICES.path(key.namespace, key.name, "status")
        return read_service(await self._client.request("PUT", path, body=document))


def _to_json(condition: Condition) -> dict[str, str]:
    return {
        "type": CONDITION,
        "status": str(condition.status),
        "reason": condition.reason,
        "message": condition.message[:LONGEST_MESSAGE],
        "lastTransitionTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def edited(document: dict[str, Any], edits: Edits) -> dict[str, Any]:
    """Return *document* with *edits*; it is changed in place."""
    metadata = document["metadata"]
    _merge(metadata, "annotations", edits.annotations)
    _merge(metadata, "labels", edits.labels)
    if edits.load_balancer_ip:
        document["spec"]["loadBalancerIP"] = edits.load_balancer_ip
    elif edits.load_balancer_ip is not None:
        document["spec"].pop("loadBalancerIP", None)
    if edits.finalizer is not None:
        others = [each for each in metadata.get("finalizers", ()) if each != FINALIZER]
        metadata["finalizers"] = [*others, FINALIZER] if edits.finalizer else others
    return document


def _decode(text: bytes) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(text)
    document["metadata"].pop("managedFields", None)
    return document


def _merge(metadata: dict[str, Any], field: str, changes: Any) -> None:
    merged = {**(metadata.get(field) or {}), **changes}
    metadata[field] = {name: value for name, value in merged.items() if value is not None}
