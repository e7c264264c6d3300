"""From the bytes of a request to an object that can be written."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml

from kubevip.emulator import protobuf, status
from kubevip.emulator.resources import RESOURCES, Resource
from kubevip.emulator.schema import normalise
from kubevip.errors import ApiError, Invalid


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: what looks like a time stays a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_yaml(body: bytes) -> Any:
    return _Loader(body).get_single_data()


_READERS: Mapping[str, tuple[str, Callable[[bytes], Any]]] = {
    "": ("json parse", msgspec.json.decode),
    "application/json": ("json parse", msgspec.json.decode),
    "application/vnd.kubernetes.protobuf": ("protobuf", protobuf.decode),
    "application/yaml": ("yaml parse", _read_yaml),
}
"""By content type: what an error of the reader is called, and the reader."""


def read_document(body: bytes, content_type: str, kind: str) -> Any:
    """The document in *body*: JSON, YAML or protobuf; raises Invalid when it isn't that, or is in another format."""
    if content_type not in _READERS:
        raise status.unsupported_media_type()
    name, read = _READERS[content_type]
    try:
        return read(body)
    except (ValueError, msgspec.DecodeError, yaml.YAMLError) as error:
        raise _unrecognised(kind, f"{name} error: {error}") from error


def _unrecognised(kind: str, why: str) -> Invalid:
    subject = f"the object provided is unrecognized (must be of type {kind})"
    return status.bad_request(f"{subject}: couldn't get version/kind; {why}")


def read_object(resource: Resource, document: Any) -> tuple[dict[str, Any], list[str]]:
    """The value in a client's *document*, without kind and apiVersion, and the paths of fields that are unknown.

    Raises Invalid (400) when it isn't an object of the resource's kind or a field has a wrong type.
    """
    kind = resource.kind
    if not isinstance(document, dict):
        raise _unrecognised(kind, "json parse error: json: cannot unmarshal into Go value of type struct")
    sent = document.get("kind") or kind, document.get("apiVersion") or resource.api_version
    if sent != (kind, resource.api_version):
        raise status.bad_request(
            f'{sent[0]} in version "{resource.version}" cannot be handled as a {kind}: {_why_not(resource, *sent)}'
        )
    return _normalise(resource, document)


def read_patched(resource: Resource, document: Any) -> tuple[dict[str, Any], list[str]]:
    """The same of what a patch has made; raises Invalid (422) as a patch is refused."""
    if not isinstance(document, dict):
        raise status.unmendable()
    try:
        return _normalise(resource, document)
    except ApiError as error:
        cause = status.invalid("patch", msgspec.json.encode(document).decode(), str(error.__cause__))
        raise status.unprocessable("", "", "", [cause]) from error


def _normalise(resource: Resource, document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    kind, unknown = resource.kind, list[str]()
    body = {name: item for name, item in document.items() if name not in ("kind", "apiVersion")}
    try:
        return normalise(resource.message, body, unknown), unknown
    except ValueError as error:
        detail = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {error}'
        raise status.bad_request(detail) from error


def _why_not(resource: Resource, kind: str, api_version: str) -> str:
    if any(known.kind == kind and known.api_version == api_version for known in RESOURCES):
        internal = f"{resource.group.partition('.')[0] or 'core'}.{resource.kind}"
        return f"converting ({api_version.rpartition('/')[2]}.{kind}) to ({internal}): unknown conversion"
    return f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"'
