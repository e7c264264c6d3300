"""The rules that names, labels and metadata of every kind have to keep, in the words of the real server."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubevip.emulator.status import Cause, invalid, not_allowed, required

Object = Mapping[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME_PART})?"
_ALPHANUMERIC_ENDS = "and must start and end with an alphanumeric character"
_PORT_NAME = re.compile("[-a-z0-9]+")
_FINALIZERS = {"orphan", "foregroundDeletion", "kubernetes"}
_ANNOTATIONS_LIMIT = 256 * 1024


def _check(text: str, pattern: str, limit: int, rule: str, *examples: str) -> list[str]:
    found = [f"must be no more than {limit} characters"] if len(text) > limit else []
    if not re.fullmatch(pattern, text):
        told = " or ".join(f"'{example}', " for example in examples)
        found.append(f"{rule} (e.g. {told}regex used for validation is '{pattern}')")
    return found


def dns_label(text: str) -> list[str]:
    """What is wrong with *text* as an RFC 1123 label."""
    rule = f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALPHANUMERIC_ENDS}"
    return _check(text, _LABEL, 63, rule, "my-name", "123-abc")


def service_name(text: str) -> list[str]:
    """What is wrong with *text* as an RFC 1035 label."""
    rule = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character"
    )
    return _check(text, _LABEL_1035, 63, rule, "my-name", "abc-123")


def dns_subdomain(text: str) -> list[str]:
    """What is wrong with *text* as an RFC 1123 subdomain."""
    characters = "lower case alphanumeric characters, '-' or '.'"
    rule = f"a lowercase RFC 1123 subdomain must consist of {characters}, {_ALPHANUMERIC_ENDS}"
    return _check(text, _SUBDOMAIN, 253, rule, "example.com")


def path_segment(text: str) -> list[str]:
    """What is wrong with *text* as one segment of a path: names of roles may have colons, for one."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{mark}'" for mark in "/%" if mark in text]


def qualified_name(text: str) -> list[str]:
    """What is wrong with *text* as the key of a label: a name with an optional DNS prefix."""
    *prefixes, name = text.split("/")
    characters = "alphanumeric characters, '-', '_' or '.'"
    if len(prefixes) > 1:
        rule = f"a qualified name must consist of {characters}, {_ALPHANUMERIC_ENDS}"
        shape = f"{rule} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME_PART}')"
        return [f"{shape} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found = []
    if prefixes:
        wrong = dns_subdomain(prefixes[0]) if prefixes[0] else ["must be non-empty"]
        found = [f"prefix part {detail}" for detail in wrong]
    if not name:
        found.append("name part must be non-empty")
    rule = f"must consist of {characters}, {_ALPHANUMERIC_ENDS}"
    examples = ("MyName", "my.name", "123-abc")
    return found + [f"name part {detail}" for detail in _check(name, _NAME_PART, 63, rule, *examples)]


def label_value(text: str) -> list[str]:
    """What is wrong with *text* as the value of a label."""
    characters = "alphanumeric characters, '-', '_' or '.'"
    rule = f"a valid label must be an empty string or consist of {characters}, {_ALPHANUMERIC_ENDS}"
    return _check(text, _VALUE, 63, rule, "MyValue", "my_value", "12345")


def data_key(text: str) -> list[str]:
    """What is wrong with *text* as a key of a ConfigMap or Secret."""
    rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    return _check(text, "[-._a-zA-Z0-9]+", 253, rule, "key.name", "KEY_NAME", "key-name")


def port_number(number: int) -> list[str]:
    """What is wrong with *number* as a port."""
    return [] if 1 <= number <= 65535 else ["must be between 1 and 65535, inclusive"]


def port_name(text: str) -> list[str]:
    """What is wrong with *text* as the name of a port of a pod (IANA service name)."""
    found = ["must be no more than 15 characters"] if len(text) > 15 else []
    if not _PORT_NAME.fullmatch(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def address(text: str) -> list[str]:
    """What is wrong with *text* as an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def network(text: str) -> list[str]:
    """What is wrong with *text* as a CIDR; bits of the host may be set."""
    try:
        ipaddress.ip_interface(text if "/" in text else "")
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return []


def endpoint_address(text: str) -> list[str]:
    """What is wrong with *text* as an address that traffic is sent to."""
    if wrong := address(text):
        return wrong
    ip = ipaddress.ip_address(text)
    found = [f"may not be unspecified ({text})"] if ip.is_unspecified else []
    if ip.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip in ipaddress.ip_network("224.0.0.0/24" if ip.version == 4 else "ff02::/16"):
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return found


def told(field: str, value: Any, details: Iterable[str]) -> list[Cause]:
    """Each of *details* as a cause of the *value* of *field*."""
    return [invalid(field, value, detail) for detail in details]


def labels(values: Mapping[str, str], field: str) -> list[Cause]:
    """What is wrong with a map of labels."""
    return [
        cause
        for key, value in values.items()
        for cause in told(field, key, qualified_name(key)) + told(field, value, label_value(value))
    ]


def immutable(new: Any, old: Any, field: str) -> list[Cause]:
    """The cause of a field that must not change and does."""
    return [] if new == old else [invalid(field, new, "field is immutable")]


def _finalizers(names: Iterable[str]) -> list[Cause]:
    found = []
    for index, name in enumerate(names):
        found += told("metadata.finalizers", name, qualified_name(name))
        if "/" not in name and name not in _FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid(f"metadata.finalizers[{index}]", name, detail))
    return found


def _owners(references: Iterable[Object]) -> list[Cause]:
    rules = {"apiVersion": "version must not be empty", "kind": "must not be empty"}
    return [
        invalid(f"metadata.ownerReferences.{name}", "", rules.get(name, "must not be empty"))
        for reference in references
        for name in ("apiVersion", "kind", "name", "uid")
        if not reference.get(name)
    ]


def _common(metadata: Object) -> list[Cause]:
    annotations = metadata.get("annotations", {})
    found = labels(metadata.get("labels", {}), "metadata.labels")
    for key in annotations:
        found += told("metadata.annotations", key, qualified_name(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        detail = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        found.append(Cause("metadata.annotations", "TooLong", detail))
    found += _owners(metadata.get("ownerReferences", ()))
    return found + _finalizers(metadata.get("finalizers", ()))


def metadata_of_new(metadata: Object, check_name: Callable[[str], list[str]]) -> list[Cause]:
    """What is wrong with the metadata of an object that shall be created."""
    found = []
    if prefix := metadata.get("generateName"):
        found += told("metadata.generateName", prefix, check_name(prefix.rstrip("-") + "a"))
    if not metadata.get("name"):
        found.append(required("metadata.name", "name or generateName is required"))
    else:
        found += told("metadata.name", metadata["name"], check_name(metadata["name"]))
    return found + _common(metadata)


def metadata_of_update(new: Object, old: Object) -> list[Cause]:
    """What is wrong with metadata that shall replace *old*."""
    found = []
    if "deletionTimestamp" in old:
        added = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
        if added:
            names = ", ".join(f'"{name}"' for name in added)
            rule = "no new finalizers can be added if the object is being deleted"
            found.append(not_allowed("metadata.finalizers", f"{rule}, found new finalizers []string{{{names}}}"))
    return found + immutable(new["uid"], old["uid"], "metadata.uid") + _common(new)
