r"""Reads the protobuf that kubectl sends for ``create namespace|service|…`` and ``auth can-i``.

Kubernetes frames it as ``k8s\0`` and an ``Unknown`` message around the object. Only reading is needed: every
client that sends protobuf takes JSON back.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kubevip.emulator.schema import MESSAGES, Field, Message

_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def decode(body: bytes) -> dict[str, Any]:
    """The object in *body*, with its ``kind`` and ``apiVersion``; raises ValueError when it can't be read."""
    if not body.startswith(_MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _decode_message(MESSAGES["Unknown"], body[len(_MAGIC) :], raw=True)
        kind = envelope.get("typeMeta", {}).get("kind", "")
        raw = envelope.get("raw", b"")
        if envelope.get("contentType") == "application/json":
            return dict(json.loads(raw))
        if kind not in MESSAGES:
            raise ValueError(f"protobuf of kind {kind!r} is not read by this server: send application/json")
        return {**envelope["typeMeta"], **_decode_message(MESSAGES[kind], raw)}
    except (IndexError, struct.error, KeyError) as error:
        raise ValueError("protobuf: unexpected end of message") from error


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _read_varint(data, at)
            if at + size > len(data):
                raise IndexError
            yield number, data[at : at + size]
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"protobuf: wire type {wire} is not in use")


def _decode_message(message: Message, data: bytes, *, raw: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, value in _fields(data):
        field = message.by_number.get(number)
        if field is None or field.type == "ignored":
            continue
        if field.shape == "[]":
            result.setdefault(field.name, []).append(_decode_value(field, value, raw=raw))
        elif field.shape == "{}":
            entry = dict(_fields(_as_bytes(value)))
            name = _as_bytes(entry.get(1, b"")).decode()
            result.setdefault(field.name, {})[name] = _decode_value(field, entry.get(2, b""), raw=raw)
        else:
            result[field.name] = _decode_value(field, value, raw=raw)
    return result


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("protobuf: a number where bytes belong")
    return value


def _decode_value(field: Field, value: int | bytes, *, raw: bool) -> Any:
    if field.type == "bool" and isinstance(value, int):
        return bool(value)
    if field.type in ("int32", "int64") and isinstance(value, int):
        return value - (1 << 64) if value >> 63 else value
    value = _as_bytes(value)
    if field.type in MESSAGES:
        return _decode_message(MESSAGES[field.type], value, raw=raw)
    if field.type == "bytes":
        return value if raw else base64.b64encode(value).decode()
    if field.type in ("Time", "MicroTime"):
        return _decode_time(dict(_fields(value)), micro=field.type == "MicroTime")
    if field.type == "IntOrString":
        return _decode_int_or_string(dict(_fields(value)))
    if field.type == "Quantity":
        return _as_bytes(dict(_fields(value)).get(1, b"")).decode()
    if field.type == "any":
        raise ValueError(f"protobuf of the field {field.name} is not read by this server: send application/json")
    return value.decode()


def _decode_time(parts: Mapping[int, int | bytes], *, micro: bool) -> str | None:
    if not parts:
        return None
    seconds, nanos = int(parts.get(1, 0)), int(parts.get(2, 0))
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None, microsecond=nanos // 1000)
    return f"{moment.isoformat(timespec='microseconds' if micro else 'seconds')}Z"


def _decode_int_or_string(parts: Mapping[int, int | bytes]) -> int | str:
    if parts.get(1):
        return _as_bytes(parts.get(3, b"")).decode()
    return int(parts.get(2, 0))
