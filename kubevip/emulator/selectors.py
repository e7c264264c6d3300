"""Label and field selectors: the text of a query parsed into a predicate."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kubevip.emulator.resources import Resource
from kubevip.emulator.status import bad_request
from kubevip.emulator.store import Key, Stored

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|>|<|[^\s=!,()<>]+)")
_FIELD_TERM = re.compile(r"(.*?)(==|!=|=)(.*)", re.DOTALL)
_SYMBOLS = {"==", "!=", "=", "!", ",", "(", ")", ">", "<"}

Requirement = Callable[[Mapping[str, str]], bool]


@attrs.frozen
class Selector:
    """What a list or watch asks for. Without labels and fields it takes everything."""

    resource: Resource
    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, bool, str], ...] = ()
    """Path, whether it has to be equal, text."""

    @property
    def takes_all(self) -> bool:
        """Whether there is nothing to check."""
        return not self.labels and not self.fields

    @property
    def name(self) -> str | None:
        """The only name that can be selected, if there is but one."""
        return next((text for path, equal, text in self.fields if equal and path == "metadata.name"), None)

    def takes(self, stored: Stored | None) -> bool:
        """Whether an object is selected; one that isn't there is not."""
        if stored is None:
            return False
        if self.labels:
            labels = stored.value["metadata"].get("labels") or {}
            if not all(holds(labels) for holds in self.labels):
                return False
        return all((self._field(stored.key, stored.value, path) == text) is equal for path, equal, text in self.fields)

    def _field(self, key: Key, value: Mapping[str, Any], path: str) -> str:
        if path == "metadata.name":
            return key[1]
        return key[0] if path == "metadata.namespace" else self.resource.field(value, path)


def parse(resource: Resource, labels: str = "", fields: str = "") -> Selector:
    """The selector of a query's two texts; raises Invalid (400) when one can't be read."""
    return Selector(resource, parse_labels(labels), parse_fields(resource, fields))


def parse_fields(resource: Resource, text: str) -> tuple[tuple[str, bool, str], ...]:
    """The terms of a field selector; only fields that the resource offers can be selected."""
    known = ("metadata.name", "metadata.namespace", *resource.selectable)
    terms = []
    for term in filter(None, re.split(r"(?<!\\),", text)):
        match = _FIELD_TERM.fullmatch(term)
        if not match:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in known:
            raise bad_request(_unknown_field(resource, path))
        terms.append((path, operator != "!=", re.sub(r"\\([\\,=])", r"\1", value)))
    return tuple(terms)


def _unknown_field(resource: Resource, path: str) -> str:
    if resource.selectable:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector, equality and set based; raises Invalid (400)."""
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    return _LabelParser(tokens).parse() if tokens else ()


@attrs.define(eq=False)
class _LabelParser:
    tokens: list[str]
    at: int = 0

    def parse(self) -> tuple[Requirement, ...]:
        found = [self._requirement()]
        while self._peek():
            self._expect(",", "',' or 'end of string'")
            found.append(self._requirement())
        return tuple(found)

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self.at += 1
        return token

    def _expect(self, token: str, named: str) -> None:
        if (found := self._take()) != token:
            raise bad_request(f"unable to parse requirement: found '{found}', expected: {named}")

    def _identifier(self, named: str) -> str:
        token = self._take()
        if not token or token in _SYMBOLS:
            raise bad_request(f"unable to parse requirement: found '{token}', expected: {named}")
        return token

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            absent = self._identifier("identifier")
            return lambda labels: absent not in labels
        name = self._identifier("!, identifier, or 'end of string'")
        if self._peek() in ("", ","):
            return lambda labels: name in labels
        return self._comparison(name, self._take())

    def _comparison(self, name: str, operator: str) -> Requirement:
        if operator in ("=", "=="):
            equal = self._value()
            return lambda labels: labels.get(name) == equal
        if operator == "!=":
            unequal = self._value()
            return lambda labels: labels.get(name) != unequal
        if operator == "in":
            members = self._values()
            return lambda labels: name in labels and labels[name] in members
        if operator == "notin":
            strangers = self._values()
            return lambda labels: labels.get(name) not in strangers
        if operator in (">", "<"):
            return self._order(name, operator)
        expected = "in, notin, =, ==, !=, gt, lt"
        raise bad_request(f"unable to parse requirement: found '{operator}', expected: {expected}")

    def _order(self, name: str, operator: str) -> Requirement:
        text = self._value()
        try:
            bound = int(text)
        except ValueError as error:
            raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {text!r}") from error
        sign = 1 if operator == ">" else -1
        return lambda labels: _is_integer(labels.get(name)) and sign * (int(labels[name]) - bound) > 0

    def _value(self) -> str:
        return "" if self._peek() in ("", ",") else self._identifier("identifier")

    def _values(self) -> frozenset[str]:
        self._expect("(", "'('")
        found = set()
        while True:
            if self._peek() in (",", ")"):
                found.add("")
            else:
                found.add(self._identifier("',', ')' or identifier"))
            if self._peek() != ",":
                self._expect(")", "',' or ')'")
                return frozenset(found)
            self._take()


def _is_integer(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"[+-]?\d+", text) is not None
