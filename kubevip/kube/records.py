"""Services' records of who holds their addresses, written as one compare-and-swap.

The ServiceAccount may update Services, not patch them: an update is made from the whole object as it was read, so
nothing of anybody else's is lost; where it has changed meanwhile, the API server says 409.
"""

from typing import Any

import attrs
import msgspec

from kubevip.custody import HOLDER, Custody
from kubevip.kube.resources import SERVICES
from kubevip.model import ServiceKey
from kubevip.ports import Api


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
    """Reads and writes records. It keeps nothing."""

    _client: Api

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
