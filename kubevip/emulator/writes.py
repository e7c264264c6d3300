"""POST, PUT, PATCH and DELETE: from the body of a request to a write, and to the answer."""

from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from kubevip.emulator import reads, status
from kubevip.emulator.calls import Call
from kubevip.emulator.decoding import read_document, read_object
from kubevip.emulator.expectations import Moment, Options, Preconditions
from kubevip.emulator.objects import Objects
from kubevip.emulator.patch import json_patch, merge_patch, strategic_patch
from kubevip.emulator.rendering import Renderer, encode
from kubevip.emulator.resources import Resource
from kubevip.emulator.schema import MESSAGES, normalise

_PROPAGATIONS = ("Foreground", "Background", "Orphan")
_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
_STRATEGIC_PATCH, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


@attrs.frozen
class Answer:
    """What is sent back."""

    body: bytes
    code: int = 200


@attrs.define(eq=False)
class Writer:
    """Carries out one writing call."""

    objects: Objects
    call: Call
    resource: Resource
    renderer: Renderer
    moment: Moment
    unknown: list[str] = attrs.field(factory=list, init=False)
    """Fields that were sent and not understood: the client is to be warned of them, whatever the answer."""

    def answer(self, body: bytes, content_type: str) -> Answer:
        """Do it; raises ApiError."""
        call = self.call
        if call.verb == "create" and not call.name:
            return self._create(body, content_type)
        if call.verb == "update" and call.name:
            return self._replace(body, content_type)
        if call.verb == "patch" and call.name:
            return self._patch(body, content_type)
        if call.verb == "delete":
            return self._delete(body, content_type)
        if call.verb == "deletecollection" and self.resource.plural != "namespaces":
            return self._delete_collection(body, content_type)
        raise status.method_not_allowed()

    def _read(self, body: bytes, content_type: str) -> dict[str, Any]:
        value, unknown = read_object(self.resource, read_document(body, content_type, self.resource.kind))
        self._judge(unknown)
        return value

    def _judge(self, unknown: list[str]) -> None:
        """Remember what to warn of; raises Invalid (400) when the client wants unknown fields refused."""
        mode = self.call.query.get("fieldValidation", "Warn")
        if unknown and mode == "Strict":
            kind, named = self.resource.kind, ", ".join(f'unknown field "{path}"' for path in unknown)
            subject = f'{kind} in version "{self.resource.version}" cannot be handled as a {kind}'
            raise status.bad_request(f"{subject}: strict decoding error: {named}")
        if mode != "Ignore":
            self.unknown += unknown

    def _options(self) -> Options:
        return Options(of_status=bool(self.call.subresource), dry_run=self.call.dry_run, judge=self._judge)

    def _create(self, body: bytes, content_type: str) -> Answer:
        value = self._read(body, content_type)
        stored = self.objects.create(self.resource, self.call.namespace, value, self.moment, self._options())
        return Answer(self.renderer.object(stored), 201)

    def _replace(self, body: bytes, content_type: str) -> Answer:
        value = self._read(body, content_type)
        stored, created = self.objects.replace(self.resource, self.call.key, value, self.moment, self._options())
        return Answer(self.renderer.object(stored), 201 if created else 200)

    def _patch(self, body: bytes, content_type: str) -> Answer:
        if content_type == _APPLY:
            return self._apply(body)
        change = _read_patch(body, content_type, self.resource)
        stored = self.objects.patch(self.resource, self.call.key, change, self.moment, self._options())
        return Answer(self.renderer.object(stored))

    def _apply(self, body: bytes) -> Answer:
        if not self.call.query.get("fieldManager"):
            raise status.bad_options("PatchOptions", [status.required("fieldManager", "is required for apply patch")])
        config = read_document(body, "application/yaml", self.resource.kind)
        stored, created = self.objects.apply(self.resource, self.call.key, config, self.moment, self._options())
        return Answer(self.renderer.object(stored), 201 if created else 200)

    def _delete(self, body: bytes, content_type: str) -> Answer:
        terms = self._read_delete_options(body, content_type)
        stored, gone = self.objects.delete(self.resource, self.call.key, self.moment, *terms)
        if gone and not self.resource.returns_deleted:
            return Answer(encode(status.success(self.resource, stored.value)))
        return Answer(self.renderer.object(stored))

    def _delete_collection(self, body: bytes, content_type: str) -> Answer:
        terms = self._read_delete_options(body, content_type)
        page = reads.list_page(self.objects.store, self.resource, self.call, None)
        for stored in page.items:
            self.objects.delete(self.resource, stored.key, self.moment, *terms)
        version = str(self.objects.store.version)
        return Answer(self.renderer.list(page.items, {**page.metadata, "resourceVersion": version}))

    def _read_delete_options(self, body: bytes, content_type: str) -> tuple[Preconditions, Options]:
        document = read_document(body, content_type, "DeleteOptions") if body else {}
        document = {name: item for name, item in document.items() if name not in ("kind", "apiVersion")}
        try:
            options = normalise(MESSAGES["DeleteOptions"], document, [])
        except ValueError as error:
            raise status.bad_request(str(error)) from error
        asked = options.get("propagationPolicy") or self.call.query.get("propagationPolicy")
        if asked and asked not in _PROPAGATIONS:
            cause = status.unsupported("propagationPolicy", asked, (*_PROPAGATIONS, "nil"))
            raise status.bad_options("DeleteOptions", [cause])
        expected = options.get("preconditions") or {}
        preconditions = Preconditions(uid=expected.get("uid", ""), version=expected.get("resourceVersion", ""))
        return preconditions, Options(dry_run=self.call.dry_run or options.get("dryRun") == ["All"])


def _read_patch(body: bytes, content_type: str, resource: Resource) -> Callable[[dict[str, Any]], Any]:
    """The change that a patch makes; raises Invalid when it can't be read, or later when it doesn't fit."""
    if content_type not in (_JSON_PATCH, _MERGE_PATCH, _STRATEGIC_PATCH):
        raise status.unsupported_media_type()
    try:
        patch = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise status.bad_request(f"error decoding patch: {error}") from error
    if content_type == _JSON_PATCH:
        if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
            found = "object" if isinstance(patch, dict) else "value"
            raise status.bad_request(
                f"error decoding patch: json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
            )
        return lambda document: _mend(document, patch)
    if not isinstance(patch, dict):
        found = "array" if isinstance(patch, list) else "value"
        raise status.bad_request(f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
    if content_type == _MERGE_PATCH:
        return lambda document: merge_patch(document, patch)
    return lambda document: _merge(document, patch, resource)


def _merge(document: dict[str, Any], patch: dict[str, Any], resource: Resource) -> Any:
    try:
        return strategic_patch(document, patch, resource.message)
    except ValueError as error:
        raise status.internal(str(error)) from error


def _mend(document: dict[str, Any], patch: list[dict[str, Any]]) -> Any:
    try:
        return json_patch(document, patch)
    except ValueError as error:
        raise status.unmendable() from error
