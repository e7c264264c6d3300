"""What a write comes with, and what it expects of what is stored: name and place, version, uid."""

from collections.abc import Callable
from typing import Any

import attrs

from kubevip.emulator import status
from kubevip.emulator.resources import Resource
from kubevip.emulator.store import Key, Stored

Value = dict[str, Any]


@attrs.frozen
class Moment:
    """The time of a write: seconds on the caller's clock, and as text for the object (UTC, RFC 3339, in seconds)."""

    now: float
    text: str


def _accept(unknown: list[str]) -> None:
    """Unknown fields don't matter."""


@attrs.frozen(kw_only=True)
class Options:
    """How a write is meant."""

    of_status: bool = False
    """Whether it is of the status, with the metadata, or of all the rest."""
    dry_run: bool = False
    """Whether nothing is to be stored."""
    judge: Callable[[list[str]], None] = _accept
    """Is told the paths of fields in a patch that aren't known, and may raise."""


@attrs.frozen(kw_only=True)
class Preconditions:
    """What a client that deletes expects to find; empty expects nothing."""

    uid: str = ""
    version: str = ""

    def check(self, resource: Resource, old: Stored) -> None:
        """Raise Conflict unless *old* is what is expected."""
        uid = old.value["metadata"]["uid"]
        why = ""
        if self.uid and self.uid != uid:
            expected = f"the UID in the precondition ({self.uid}) does not match the UID in record ({uid})"
            why = f"{expected}. The object might have been deleted and then recreated"
        elif self.version and self.version != str(old.version):
            expected = f"the ResourceVersion in the precondition ({self.version}) does not match"
            why = f"{expected} the ResourceVersion in record ({old.version}). The object might have been modified"
        if why:
            subject = resource.qualified.replace(resource.plural, resource.kind, 1)
            raise status.conflict(resource, old.key[1], why, subject=subject)


def place(resource: Resource, namespace: str, metadata: Value) -> None:
    """Put the namespace of the path into *metadata*; raises Invalid when another is there."""
    if metadata.get("namespace", namespace) != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if resource.namespaced:
        metadata["namespace"] = namespace


def match_url(resource: Resource, key: Key, metadata: Value) -> None:
    """Put the name and namespace of the path into *metadata*; raises Invalid when others are there."""
    name = metadata.setdefault("name", key[1])
    if name != key[1]:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({key[1]})")
    place(resource, key[0], metadata)


def check_version(resource: Resource, old: Stored, version: str) -> None:
    """Raise Conflict unless *version*, if there is one, is that of *old*."""
    if version and not version.isdecimal():
        raise status.internal(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if version and version != "0" and int(version) != old.version:
        raise status.conflict(resource, old.key[1])
    if resource.needs_version and version in ("", "0"):
        cause = status.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise status.unprocessable(resource.plural, resource.group, old.key[1], [cause])
