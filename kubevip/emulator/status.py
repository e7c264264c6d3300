"""Refusals, in the words of the real API server, and the ``Status`` objects that carry them.

A refusal is raised as the same exception that a client of the API would see, with the details of its Status
in ``context["details"]``. Field errors are collected as `Cause` values: all of them are told at once.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from kubevip.emulator.resources import Resource
from kubevip.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ResourceExpired,
    Unauthorized,
)

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@attrs.frozen
class Cause:
    """One thing wrong with one field."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def document(self) -> dict[str, str]:
        """The cause as a Status lists it."""
        return {"reason": f"FieldValue{self.reason}", "message": self.message, "field": self.field}


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> Cause:
    """A field that has to be there is not."""
    return Cause(field, "Required", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: Any, detail: str) -> Cause:
    """A field has a value that it can't have."""
    return Cause(field, "Invalid", f"Invalid value: {_quoted(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """A field has none of its *supported* values."""
    return Cause(
        field,
        "NotSupported",
        f"Unsupported value: {_quoted(value)}: supported values: {', '.join(map(_quoted, supported))}",
    )


def not_allowed(field: str, detail: str) -> Cause:
    """A field is there that must not be."""
    return Cause(field, "Forbidden", f"Forbidden: {detail}")


def duplicate(field: str, value: Any) -> Cause:
    """A value is there for the second time."""
    return Cause(field, "Duplicate", f"Duplicate value: {_quoted(value)}")


def _details(resource: Resource, name: str, **more: Any) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {**named, **({"group": resource.group} if resource.group else {}), "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> NotFound:
    """There is no such object."""
    message = f'{resource.qualified} "{name}" not found'
    return NotFound(message, status=404, reason="NotFound", details=_details(resource, name))


def already_exists(resource: Resource, name: str) -> Conflict:
    """There is such an object."""
    message = f'{resource.qualified} "{name}" already exists'
    return Conflict(message, status=409, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "", *, subject: str = "") -> Conflict:
    """The object isn't the one that the writer has read."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {subject or resource.qualified} "{name}": {why}'
    return Conflict(message, status=409, reason="Conflict", details=_details(resource, name))


def unprocessable(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Invalid:
    """The object has fields that are wrong: *causes*, told in one message."""
    texts = list(dict.fromkeys(map(str, causes)))
    told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        **({"kind": kind} if kind else {}),
        "causes": [cause.document() for cause in causes],
    }
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {told}'
    return Invalid(message, status=422, reason="Invalid", details=details)


def bad_options(kind: str, causes: Sequence[Cause]) -> Invalid:
    """The query asks for something that isn't offered."""
    return unprocessable(kind, "meta.k8s.io", "", causes)


def unmendable() -> Invalid:
    """A JSON patch doesn't fit the object; the real server doesn't say why either."""
    message = "the server rejected our request due to an error in our request"
    return Invalid(message, status=422, reason="Invalid", details={})


def bad_request(message: str) -> Invalid:
    """The request can't be read."""
    return Invalid(message, status=400, reason="BadRequest")


def forbidden(resource: Resource, name: str, why: str, **details: Any) -> Forbidden:
    """The request is understood, and refused."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Forbidden(
        f"{subject} is forbidden: {why}", status=403, reason="Forbidden", details=_details(resource, name, **details)
    )


def forbidden_path(why: str) -> Forbidden:
    """The request is for no resource that is served, and refused."""
    return Forbidden(f"forbidden: {why}", status=403, reason="Forbidden", details={})


def unauthorized() -> Unauthorized:
    """The credentials are unknown."""
    return Unauthorized("Unauthorized", status=401, reason="Unauthorized")


def no_such_path() -> NotFound:
    """The server serves nothing there."""
    message = "the server could not find the requested resource"
    return NotFound(message, status=404, reason="NotFound", details={})


def method_not_allowed() -> Invalid:
    """The resource can't be used so."""
    message = "the server does not allow this method on the requested resource"
    return Invalid(message, status=405, reason="MethodNotAllowed", details={})


def unsupported_media_type() -> Invalid:
    """The body is in a format that isn't read here."""
    return Invalid("415: Unsupported Media Type", status=415, reason="UnsupportedMediaType", details={})


def not_acceptable() -> Invalid:
    """The client takes none of the formats that are written here."""
    message = "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch"
    return Invalid(message, status=406, reason="NotAcceptable", details={})


def expired(message: str) -> ResourceExpired:
    """The resource version is older than the history that is kept."""
    return ResourceExpired(message, status=410, reason="Expired")


def too_large_version(asked: int, current: int) -> ApiUnavailable:
    """The resource version is of the future."""
    return ApiUnavailable(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        status=504,
        reason="Timeout",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def too_large_body(limit: int) -> Invalid:
    """The body is larger than *limit* bytes."""
    message = f"Request entity too large: limit is {limit}"
    return Invalid(message, status=413, reason="RequestEntityTooLarge", details={})


def internal(message: str) -> ApiError:
    """What the real server answers with a bare 500."""
    return ApiError(message, status=500)


def injected(code: int, resource: Resource | None, name: str, retry_after: float | None) -> ApiError:
    """An answer that a fault gives in the place of the true one."""
    if code == 409 and resource:
        return conflict(resource, name)
    details = {} if retry_after is None else {"retryAfterSeconds": math.ceil(retry_after)}
    return ApiError(f"injected fault: {code}", status=code, reason=_REASONS.get(code, ""), details=details)


def document(error: ApiError) -> dict[str, Any]:
    """The Status object that tells *error*."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": error.context.get("metadata", {}),
        "status": "Failure",
        "message": str(error),
    }
    if error.reason:
        status["reason"] = error.reason
    if "details" in error.context:
        status["details"] = error.context["details"]
    return {**status, "code": error.status}


def success(resource: Resource, value: Mapping[str, Any]) -> dict[str, Any]:
    """The Status object that tells of a deletion."""
    metadata = value["metadata"]
    details = _details(resource, metadata["name"], uid=metadata["uid"])
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
