"""Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

Each returns a new document and leaves its arguments as they are. The strategic one knows from the table of
messages which lists are merged item by item and by which key; for the parts of workloads that the table doesn't
look into it knows the keys by the names of the lists.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubevip.emulator.schema import MESSAGES, Field, Message

_UNTYPED_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_DIRECTIVE = "$patch"
_ORDER, _DELETIONS, _RETAINED = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """RFC 6902; raises ValueError when an operation doesn't fit, and then nothing is changed.

    As in the real server, and unlike the RFC, ``replace`` sets a name that an object doesn't have, and ``copy`` of
    one gives null.
    """
    result = copy.deepcopy(document)
    for operation in operations:
        result = _operate(result, operation)
    return result


def _operate(document: Any, operation: Mapping[str, Any]) -> Any:
    verb, path = operation.get("op"), _pointer(operation.get("path"))
    if verb in ("add", "replace", "test") and "value" not in operation:
        raise ValueError(f"{verb}: the operation needs a value")
    if verb == "test":
        if not _equal(_find(document, path), operation["value"]):
            raise ValueError(f"test: {operation['path']} has another value")
        return document
    if verb in ("move", "copy"):
        source = _pointer(operation.get("from"))
        value = copy.deepcopy(_find(document, source, missing=verb == "copy"))
        if verb == "move":
            if path[: len(source)] == source and path != source:
                raise ValueError("move: a value can't be moved into itself")
            document = _remove(document, source)
        return _add(document, path, value)
    if verb == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if verb == "remove":
        return _remove(document, path)
    if verb == "replace":
        return _replace(document, path, copy.deepcopy(operation["value"]))
    raise ValueError(f"op: {verb!r} is none of add, remove, replace, move, copy, test")


def _equal(left: Any, right: Any) -> bool:
    """JSON's equality: unlike Python's, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _pointer(text: Any) -> list[str]:
    """RFC 6901."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise ValueError(f"path: {text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(items: Sequence[Any], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(items)
    if not re.fullmatch("0|[1-9][0-9]*", part) or int(part) >= len(items) + end:
        raise ValueError(f"path: there is no item {part!r} in a list of {len(items)}")
    return int(part)


def _find(document: Any, path: Sequence[str], *, missing: bool = False) -> Any:
    """The value at *path*; with *missing* its last name need not be there."""
    for at, part in enumerate(path, 1):
        if isinstance(document, list):
            document = document[_index(document, part)]
        elif isinstance(document, Mapping) and (part in document or (missing and at == len(path))):
            document = document.get(part)
        else:
            raise ValueError(f"path: there is no {part!r}")
    return document


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise ValueError(f"path: nothing can be added to {parent!r}")
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    _find(document, path)
    if not path:
        return None
    parent = _find(document, path[:-1])
    del parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]]
    return document


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    _find(document, path, missing=True)
    parent = _find(document, path[:-1])
    parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]] = value
    return document


def strategic_patch(document: Mapping[str, Any], patch: Mapping[str, Any], message: Message | None) -> dict[str, Any]:
    """Merge as Kubernetes does; *message* is the type of the document, or None where it isn't known.

    The directives are ``$patch``, ``$setElementOrder``, ``$deleteFromPrimitiveList`` and ``$retainKeys``. Raises
    ValueError when an item lacks the key by which its list is merged.
    """
    if (directive := patch.get(_DIRECTIVE)) in ("replace", "delete"):
        return {name: value for name, value in patch.items() if name != _DIRECTIVE} if directive == "replace" else {}
    result = dict(document)
    if _RETAINED in patch:
        result = {name: value for name, value in result.items() if name in patch[_RETAINED]}
    for name, value in patch.items():
        if name.startswith(_DELETIONS):
            target = name.removeprefix(_DELETIONS)
            result[target] = [item for item in result.get(target) or () if item not in value]
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value, patch.get(_ORDER + name), name, message)
    return result


def _merge(old: Any, new: Any, order: Any, name: str, message: Message | None) -> Any:
    field = message.by_name.get(name) if message else None
    nested = MESSAGES.get(field.type) if field else None
    if isinstance(new, Mapping):
        return strategic_patch(old if isinstance(old, Mapping) else {}, new, nested)
    if not isinstance(new, list):
        return new
    key = _merge_key(field, name)
    if key is None:
        return [item for item in new if not _is_directive(item)]
    return _merge_lists(old if isinstance(old, list) else [], new, order, key, nested)


def _merge_key(field: Field | None, name: str) -> str | None:
    if field is not None:
        return field.merge_key
    return "" if name == "finalizers" else _UNTYPED_KEYS.get(name)


def _is_directive(item: Any) -> bool:
    return isinstance(item, Mapping) and _DIRECTIVE in item


def _merge_lists(old: list[Any], new: list[Any], order: Any, key: str, nested: Message | None) -> list[Any]:
    """Merge by *key*; what the patch names keeps the order of the patch, the rest the order it had."""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    for item in new:
        if key and isinstance(item, Mapping) and key not in item and item.get(_DIRECTIVE) != "replace":
            raise ValueError(f"map: {item} does not contain declared merge key: {key}")
    if any(_is_directive(item) and item[_DIRECTIVE] == "replace" for item in new):
        return [item for item in new if not _is_directive(item)]
    deleted = [identity(item) for item in new if _is_directive(item) and item[_DIRECTIVE] == "delete"]
    kept = {identity(item): item for item in old if identity(item) not in deleted}
    before = list(kept)
    for item in new:
        if not _is_directive(item):
            known = kept.get(identity(item), {})
            kept[identity(item)] = strategic_patch(known, item, nested) if isinstance(item, Mapping) else item
    wanted = [identity(item) for item in (order if isinstance(order, list) else new)]
    moved = [name for name in dict.fromkeys(wanted) if name in kept]
    stay = [name for name in kept if name not in moved]
    return [kept[name] for name in _interleave(stay, moved, before)]


def _interleave(stay: list[Any], moved: list[Any], before: list[Any]) -> list[Any]:
    """One list of both, each in its order: an item stays ahead of another only where it was ahead of it *before*."""
    place = {name: index for index, name in enumerate(before)}
    result, rest = [], list(stay)
    for name in moved:
        while rest and name in place and place[rest[0]] < place[name]:
            result.append(rest.pop(0))
        result.append(name)
    return result + rest
