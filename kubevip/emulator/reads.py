"""Get and list: which version is shown, which part of it, and how to go on."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from kubevip.emulator import status
from kubevip.emulator.calls import Call, Query, number
from kubevip.emulator.resources import Resource
from kubevip.emulator.selectors import Selector, parse
from kubevip.emulator.store import Key, Store, Stored, View
from kubevip.errors import ResourceExpired

_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_MATCHES = ("Exact", "NotOlderThan", "")


@attrs.frozen
class Page:
    """A part of a list, with the metadata that goes with it."""

    items: list[Stored]
    metadata: Mapping[str, Any]


def parse_version(query: Query) -> int | None:
    """The resourceVersion of the query, None when it asks for the newest or for any.

    Raises ApiError (500) when it is no number.
    """
    text = query.get("resourceVersion", "")
    if text and not text.isdecimal():
        detail = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise status.internal(f'resourceVersion: Invalid value: "{text}": {detail}')
    return None if text in ("", "0") else int(text)


def asked_version(query: Query, newest: int) -> int | None:
    """The resourceVersion of the query; raises ApiUnavailable (504) when it is newer than the *newest*."""
    version = parse_version(query)
    if version is not None and version > newest:
        raise status.too_large_version(version, newest)
    return version


def get(store: Store, resource: Resource, call: Call, at: int | None) -> Stored:
    """One object, as it is or as it was *at* a version; raises NotFound."""
    asked_version(call.query, store.version if at is None else at)
    found = store.view(resource, at).get(call.key)
    if found is None:
        raise status.not_found(resource, call.name)
    return found


def select(resource: Resource, query: Query) -> Selector:
    """The selector of the query."""
    return parse(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def list_page(store: Store, resource: Resource, call: Call, at: int | None) -> Page:
    """The part of the list that the query asks for, as it is or as it was *at* a version."""
    query = call.query
    selector, limit, after, token = select(resource, query), number(query, "limit"), None, query.get("continue")
    if token:
        version, after = _read_token(token)
        view, version = _continued_view(store, resource, version, after)
    else:
        newest = store.version if at is None else at
        exact = _exact_version(query, newest)
        version = newest if exact is None else exact
        view = _exact_view(store, resource, version) if version != store.version else store.view(resource)
    items, last, rest = _slice(view, selector, call.scope, after, limit)
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if rest:
        metadata["continue"] = _write_token(version, last)
        if selector.takes_all:
            metadata["remainingItemCount"] = rest
    return Page(items, metadata)


def _exact_version(query: Query, newest: int) -> int | None:
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    field, causes = "resourceVersionMatch", []
    if match and not version:
        causes.append(status.not_allowed(field, f"{field} is forbidden unless resourceVersion is provided"))
    if match not in _MATCHES:
        causes.append(status.unsupported(field, match, _MATCHES))
    if match == "Exact" and version == "0":
        causes.append(status.not_allowed(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    if causes:
        raise status.bad_options("ListOptions", causes)
    if version and not version.isdecimal():
        detail = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise status.bad_request(f'invalid resource version: resourceVersion: Invalid value: "{version}": {detail}')
    asked = asked_version(query, newest)
    return asked if match == "Exact" else None


def _exact_view(store: Store, resource: Resource, version: int) -> View:
    try:
        return store.view(resource, version)
    except ResourceExpired as error:
        raise status.expired("The resourceVersion for the provided list is too old.") from error


def _continued_view(store: Store, resource: Resource, version: int, after: Key) -> tuple[View, int]:
    if version < 0:
        return store.view(resource), store.version
    try:
        return store.view(resource, version), version
    except ResourceExpired as error:
        raise ResourceExpired(
            _CONTINUE_EXPIRED,
            status=410,
            reason="Expired",
            metadata={"continue": _write_token(-1, after)},
        ) from error


def _slice(
    view: View, selector: Selector, scope: str | None, after: Key | None, limit: int
) -> tuple[list[Stored], Key, int]:
    """The selected objects, the last key that was looked at, and how many keys come after it."""
    first, last = view.range(scope, after)
    keys = view.keys[first:last]
    if selector.takes_all:
        chosen = keys[:limit] if limit > 0 else keys
        return [view.objects[key] for key in chosen], chosen[-1] if chosen else ("", ""), len(keys) - len(chosen)
    if scope is not None and selector.name is not None:
        keys = [key for key in ((scope, selector.name),) if key in view.objects and key > (after or ("", ""))]
    items: list[Stored] = []
    for index, key in enumerate(keys):
        stored = view.objects[key]
        if selector.takes(stored):
            items.append(stored)
            if len(items) == limit:
                return items, key, len(keys) - index - 1
    return items, keys[-1] if keys else ("", ""), 0


def _write_token(version: int, key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([version, *key])).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        version, namespace, name = msgspec.json.decode(text, type=tuple[int, str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise status.bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    return version, (namespace, name)
