"""Writes into Services what is true of them: the announced addresses, and the node that announces them.

One update of the ``status`` subresource carries both, since it takes annotations too: the ServiceAccount of
kube-vip may update, not patch. It is made from the object as it is, so nothing of anybody else's is lost, and
only where something changes.
"""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec

from kubevip.errors import Conflict, NotFound
from kubevip.kube.convert import to_ingress
from kubevip.kube.resources import SERVICES, LoadBalancerIngress
from kubevip.model import ServiceKey
from kubevip.ports import Api
from kubevip.service import CONFLICT, HOST, Ingress

ATTEMPTS = 5


@attrs.define(eq=False)
class Publisher:
    """Publishes the state of Services. It keeps nothing."""

    _client: Api

    async def publish(
        self,
        key: ServiceKey,
        merge: Callable[[tuple[Ingress, ...]], Sequence[Ingress]],
        host: str | None,
        conflict: str | None = None,
    ) -> bool:
        """Have *key* list what *merge* makes of its present ingress, announced by *host*; tell whether it had to.

        *conflict* says which other machines claim its addresses, in a condition; an empty text ends one
        that is there, ``None`` leaves it alone.
        A Service that is gone is left alone. An update that somebody else's overtook is made again.

        :raises ApiError: if that isn't possible.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._publish(key, merge, host, conflict)
            except NotFound:
                return False
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
        return False

    async def _publish(
        self,
        key: ServiceKey,
        merge: Callable[[tuple[Ingress, ...]], Sequence[Ingress]],
        host: str | None,
        conflict: str | None,
    ) -> bool:
        service = msgspec.json.decode(await self._client.request("GET", SERVICES.path(key.namespace, key.name)))
        if service["spec"].get("type") != "LoadBalancer":
            return False
        present = present_ingress(service)
        ingress = tuple(merge(present))
        annotations = service["metadata"].setdefault("annotations", {})
        status = service.setdefault("status", {})
        told = conflict is not None and _tell_conflict(status, conflict)
        if ingress == present and not told and (host is None or annotations.get(HOST) == host):
            return False
        if ingress != present:
            status.setdefault("loadBalancer", {})["ingress"] = [to_json(each) for each in ingress]
        if host is not None:
            annotations[HOST] = host
        service["metadata"].pop("managedFields", None)
        await self._client.request("PUT", SERVICES.path(key.namespace, key.name, "status"), body=service)
        return True


def _tell_conflict(status: dict[str, Any], conflict: str) -> bool:
    """Have *status* tell of *conflict*, or of none; return whether it had to be changed."""
    conditions = status.get("conditions") or []
    present = next((each for each in conditions if each.get("type") == CONFLICT), None)
    before = present.get("message", "") if present is not None and present.get("status") == "True" else ""
    if before == conflict:
        return False
    kept = present is not None and bool(before) and bool(conflict)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": CONFLICT,
        "status": "True" if conflict else "False",
        "reason": "ClaimedByAnotherMachine" if conflict else "NobodyElseClaimsIt",
        "message": conflict,
        # It is the transition of the status alone (meta/v1 Condition).
        "lastTransitionTime": present["lastTransitionTime"] if kept and present else now,
    }
    status["conditions"] = [*(each for each in conditions if each is not present), condition]
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
