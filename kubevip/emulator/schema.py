"""Reads objects as the real server's Go types would: wrong types are refused, unknown fields reported.

What is empty and would not be written back is left out, so that equal objects are equal values: an update that
changes nothing is seen to change nothing.
"""

import base64
import re
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from kubevip.emulator.messages import TABLE

_FIELD = re.compile(r"(\w+)([*!]*)=(\d+)(?::(\[\]|\{\})?([\w.]*)(/\w*)?)?")
_INDEX = re.compile(r"\[\d+\]")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MICRO_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_BASE64 = string.ascii_letters + string.digits + "+/"
_GO_KINDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_ZEROS = {"string": "", "bool": False, "int32": 0, "int64": 0}
_ABSENT: Any = object()


def read_time(text: str, *, micro: bool = False) -> str:
    """*text* as the server writes it: UTC, with six digits of the second for *micro*, otherwise with none.

    Raises ValueError unless it is RFC 3339; a micro time has to bring its six digits.
    """
    if not (_MICRO_STAMP if micro else _STAMP).fullmatch(text):
        layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
        raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{text}"')
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'parsing time "{text}": {error}') from error
    if text[-1] == "Z" and (micro or len(text) == 20):
        return text
    moment = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='microseconds' if micro else 'seconds')}Z"


def _read_bytes(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except ValueError as error:
        wrong = len(value) - len(value.lstrip(_BASE64))
        raise ValueError(f"illegal base64 data at input byte {wrong}") from error
    return value


def _is_text(value: Any) -> bool:
    return type(value) is str


_SCALARS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], Any] | None]] = {
    "string": (_is_text, None),
    "bool": (lambda value: type(value) is bool, None),
    "int32": (lambda value: type(value) is int and -(1 << 31) <= value < 1 << 31, None),
    "int64": (lambda value: type(value) is int and -(1 << 63) <= value < 1 << 63, None),
    "bytes": (_is_text, _read_bytes),
    "Time": (_is_text, read_time),
    "MicroTime": (_is_text, lambda value: read_time(value, micro=True)),
    "IntOrString": (lambda value: type(value) in (int, str), None),
    "Quantity": (lambda value: type(value) in (int, float, str), str),
    "any": (lambda value: True, None),
    "ignored": (lambda value: True, lambda value: None),
}


@attrs.frozen
class Field:
    """One field of a message."""

    name: str
    number: int
    type: str
    """``string``, ``int32``, ``any``, … or the name of a message."""
    shape: str
    """``[]``, ``{}`` or nothing."""
    pointer: bool
    always: bool
    merge_key: str | None
    """The field that tells the items of a list apart; empty for a set of scalars, None for a list replaced whole."""

    is_text: bool = attrs.field(init=False)
    """Whether it is a string, as most are: then there is nothing to read."""
    is_struct: bool = attrs.field(init=False)
    """Whether Go always writes it, even when nothing is in it."""
    is_filled: bool = attrs.field(init=False)
    """Whether something is written for it when nothing was given."""

    @is_text.default
    def _is_plain_text(self) -> bool:
        return self.type == "string" and not self.shape

    @is_struct.default
    def _is_message_or_number(self) -> bool:
        return not self.shape and (self.type not in _SCALARS or self.type == "IntOrString")

    @is_filled.default
    def _has_blank(self) -> bool:
        return not self.pointer and (self.always or self.is_struct)

    @property
    def go_type(self) -> str:
        """The type as Go's decoder names it."""
        base = f"v1.{self.type.rpartition('.')[2]}" if self.type in MESSAGES else self.type
        return {"[]": f"[]{base}", "{}": f"map[string]{base}"}.get(self.shape, base)


@attrs.frozen
class Message:
    """One type of objects, by field."""

    name: str
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field]
    by_number: Mapping[int, Field]

    def mismatch(self, field: Field, path: str, value: Any) -> ValueError:
        """The error of a *value* that *field*, at *path*, can't take, in the words of Go's decoder."""
        got = _GO_KINDS.get(type(value), "null")
        if got == "number" and not field.shape and field.type in ("int32", "int64"):
            got = f"number {value}"
        where = f"{self.name.rpartition('.')[2]}.{_INDEX.sub('', path)}"
        return ValueError(f"json: cannot unmarshal {got} into Go struct field {where} of type {field.go_type}")


def _parse_field(text: str) -> Field:
    match = _FIELD.fullmatch(text)
    assert match, text
    name, flags, number, shape, kind, key = match.groups()
    return Field(name, int(number), kind or "string", shape or "", "*" in flags, "!" in flags, key[1:] if key else None)


def _parse_row(row: str) -> Message:
    name, *texts = row.split()
    fields = tuple(map(_parse_field, texts))
    return Message(name, fields, {f.name: f for f in fields}, {f.number: f for f in fields})


MESSAGES: dict[str, Message] = {}
MESSAGES.update((row.split()[0], _parse_row(row)) for row in TABLE.replace("\n  ", " ").split("\n") if row)


def normalise(message: Message, value: Mapping[str, Any], unknown: list[str], path: str = "") -> dict[str, Any]:
    """*value* as the server would write it back; the paths of fields it doesn't know are added to *unknown*.

    Raises ValueError, in the words of Go's decoder, where a value doesn't fit its field.
    """
    result = {}
    for field in message.fields:
        name = field.name
        item = value.get(name)
        if item is not None and not (field.is_text and type(item) is str):
            item = _read(message, field, item, unknown, f"{path}.{name}" if path else name)
        if item or (item is not None and (field.pointer or field.is_struct)):
            result[name] = item
        elif field.is_filled and (blank := _blank(field)) is not _ABSENT:
            result[name] = blank
    for name in value:
        if name not in message.by_name:
            unknown.append(f"{path}.{name}" if path else name)
    return result


def _blank(field: Field) -> Any:
    """What Go writes for a field that was not given."""
    if field.shape:
        return None if field.always else _ABSENT
    if field.type in MESSAGES:
        return normalise(MESSAGES[field.type], {}, [])
    return _ZEROS.get(field.type, _ABSENT) if field.always else _ABSENT


def _read(message: Message, field: Field, value: Any, unknown: list[str], path: str) -> Any:
    if not field.shape:
        return _read_one(message, field, value, unknown, path)
    if field.shape == "[]" and isinstance(value, list):
        return [_read_one(message, field, item, unknown, f"{path}[{i}]") for i, item in enumerate(value)]
    if field.shape == "[]" or not isinstance(value, dict):
        raise message.mismatch(field, path, value)
    return {name: _read_one(message, field, item, unknown, path) for name, item in value.items()}


def _read_one(message: Message, field: Field, value: Any, unknown: list[str], path: str) -> Any:
    nested = MESSAGES.get(field.type)
    if value is None:
        value = _ZEROS.get(field.type, {})
    if nested is not None:
        if type(value) is not dict:
            raise message.mismatch(field, path, value)
        return normalise(nested, value, unknown, path)
    fits, read = _SCALARS[field.type]
    if not fits(value):
        raise message.mismatch(field, path, value)
    return read(value) if read else value
