"""Services' records of who holds their addresses, written as one compare-and-swap.

A merge patch that names the resourceVersion it is meant for needs one request. Kube-vip's ServiceAccount may update
Services, not patch them: an update is made from the whole object as it was read, so nothing of anybody else's is lost.
Of either, where the Service has changed meanwhile, the API server says 409.
"""

import logging
from typing import Any

import attrs
import msgspec

from kubevip.custody import HOLDER, Custody
from kubevip.errors import Conflict, Forbidden
from kubevip.kube.resources import SERVICES
from kubevip.model import ServiceKey
from kubevip.ports import Api

log = logging.getLogger(__name__)


@attrs.frozen
class Found:
    """A Service as it is now: which one it is, and what it says of its holders."""

    key: ServiceKey
    document: dict[str, Any] = attrs.field(repr=False)

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.document["metadata"].get("uid", ""))

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        return str(self.document["metadata"].get("resourceVersion", ""))

    @property
    def record(self) -> Custody | None:
        """Its record; ``None`` where it has none of its own."""
        annotations = self.document["metadata"].get("annotations") or {}
        return Custody.parse(annotations.get(HOLDER, ""), self.uid)


@attrs.define(eq=False)
class Records:
    """Reads and writes records. It keeps nothing but whether it may patch."""

    _client: Api
    _may_patch: bool = attrs.field(default=True, init=False)

    async def read(self, key: ServiceKey) -> Found:
        """Return a Service as it is now.

        :raises ApiError: if that isn't possible; ``NotFound`` where there is none.
        """
        content = await self._client.request("GET", SERVICES.path(key.namespace, key.name))
        return Found(key, msgspec.json.decode(content))

    async def write(self, found: Found, record: Custody) -> Found:
        """Let a Service have *record*; return what has become of it.

        :raises Conflict: if it isn't any more as it was read.
        :raises ApiError: if there is no answer, or another one. The write may have happened then.
        """
        metadata = {**found.document["metadata"]}
        metadata.pop("managedFields", None)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), HOLDER: str(record)}
        key, body = found.key, {**found.document, "metadata": metadata}
        content = await self._client.request("PUT", SERVICES.path(key.namespace, key.name), body=body)
        return Found(key, msgspec.json.decode(content))

    async def swap(self, key: ServiceKey, version: str, record: Custody) -> Found | None:
        """Let a Service that is at *version* have *record*; return what has become of it.

        Nothing is changed where the answer is ``None``: it isn't at *version*, or has to be read for a ``write``.

        :raises ApiError: if there is no answer, or another one. The patch may have happened then.
        """
        if not self._may_patch:
            return None
        body = {"metadata": {"resourceVersion": version, "annotations": {HOLDER: str(record)}}}
        try:
            content = await self._client.request("PATCH", SERVICES.path(key.namespace, key.name), body=body)
        except Conflict:
            return None
        except Forbidden as error:
            self._may_patch = False
            log.info("each record takes two requests: Services may not be patched", extra={"reason": str(error)})
            return None
        return Found(key, msgspec.json.decode(content))
