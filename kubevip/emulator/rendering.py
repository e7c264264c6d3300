"""How objects are written to a client: whole, as rows of a Table, or with their metadata only."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from kubevip.emulator import status
from kubevip.emulator.resources import Resource
from kubevip.emulator.schema import normalise
from kubevip.emulator.store import Change, Stored, event_line
from kubevip.emulator.table import COLUMNS, PLAIN_COLUMNS

_KINDS = {"Table": "table", "PartialObjectMetadata": "partial", "PartialObjectMetadataList": "partial"}
_PLAIN = ("application/json", "*/*", "application/*")
encode = msgspec.json.Encoder().encode


def choose_form(accept: str) -> str:
    """``object``, ``table`` or ``partial``: the first that the client takes; raises Invalid (406) if there is none."""
    for entry in accept.split(",") if accept else _PLAIN[:1]:
        media, *texts = (part.strip() for part in entry.split(";"))
        parameters = dict(text.partition("=")[::2] for text in texts)
        if media not in _PLAIN:
            continue
        wanted = parameters.get("as")
        if wanted is None:
            return "object"
        if wanted in _KINDS and parameters.get("g") == "meta.k8s.io" and parameters.get("v") == "v1":
            return _KINDS[wanted]
    raise status.not_acceptable()


def partial(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with nothing but its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}


@attrs.define(eq=False)
class Renderer:
    """Writes one response. Only the first Table of a stream has its columns."""

    resource: Resource
    form: str
    included: str = "Metadata"
    """What the rows of a Table have of their object: ``Metadata``, ``Object`` or ``None``."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970, for ages."""
    _header: bool = True

    def object(self, stored: Stored) -> bytes:
        """One object."""
        if self.form == "object":
            return self.resource.opening + stored.encoded[1:]
        return encode(self._shape(stored.value))

    def list(self, items: Sequence[Stored], metadata: Mapping[str, Any]) -> bytes:
        """A list; *metadata* is the list's own."""
        if self.form == "table":
            return encode(self._table([stored.value for stored in items], metadata))
        if self.form == "partial":
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            encoded = [encode(partial(stored.value)) for stored in items]
        else:
            kind, version = f"{self.resource.kind}List", self.resource.api_version
            encoded = [stored.encoded for stored in items]
        opening = b'{"kind":"%s","apiVersion":"%s","metadata":' % (kind.encode(), version.encode())
        return b"".join((opening, encode(metadata), b',"items":[', b",".join(encoded), b"]}"))

    def change(self, change: Change) -> bytes:
        """The event of a change, for who sees all of it."""
        return change.line if self.form == "object" else self.event(change.type, change.new)

    def event(self, kind: str, stored: Stored) -> bytes:
        """An event that shows an object."""
        if self.form == "object":
            return event_line(kind, self.resource, stored.encoded)
        return encode({"type": kind, "object": self._shape(stored.value)}) + b"\n"

    def bookmark(self, version: int, *, initial: bool = False) -> bytes:
        """A bookmark; the *initial* one ends the objects that were there at the start."""
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        value = {**normalise(self.resource.message, {}, []), "metadata": metadata}
        shown = self.resource.full(value) if self.form == "object" else self._shape(value)
        return encode({"type": "BOOKMARK", "object": shown}) + b"\n"

    def _shape(self, value: Mapping[str, Any]) -> dict[str, Any]:
        if self.form == "partial":
            return partial(value)
        return self._table([value], {"resourceVersion": value["metadata"].get("resourceVersion", "")})

    def _table(self, values: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> dict[str, Any]:
        columns, header, now = COLUMNS.get(self.resource.kind, PLAIN_COLUMNS), self._header, self.wall()
        self._header = False
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in columns] if header else None,
            "rows": [
                {"cells": [column.cell(value, now) for column in columns], "object": self._include(value)}
                for value in values
            ],
        }

    def _include(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.included == "Object":
            return self.resource.full(value)
        return partial(value) if self.included != "None" else None
