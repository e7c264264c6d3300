"""A request as the API understands it: a verb on a resource, with options, for a client that takes certain formats."""

from collections.abc import Mapping

import attrs

from kubevip.emulator import status
from kubevip.emulator.rbac import Action
from kubevip.emulator.resources import BY_PATH, Resource
from kubevip.emulator.selectors import parse
from kubevip.emulator.store import Key
from kubevip.errors import Invalid

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES_OF_NAMESPACES = ("status", "finalize")
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}

Query = Mapping[str, str]


def flag(query: Query, name: str) -> bool:
    """A boolean of the query, read as Go reads it."""
    return query.get(name, "") in _TRUE


def number(query: Query, name: str) -> int:
    """A number of the query; 0 when it isn't there; raises Invalid (400)."""
    text = query.get(name) or "0"
    try:
        return int(text)
    except ValueError as error:
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


@attrs.frozen(kw_only=True)
class Call:
    """What a request asks for. *resource* is None for paths outside the resources."""

    verb: str
    path: str
    query: Query
    resource: Resource | None = None
    group: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def key(self) -> Key:
        """The key of the object."""
        return self.namespace, self.name

    @property
    def scope(self) -> str | None:
        """The namespace that is listed or watched, None for all of them."""
        return self.namespace if self.resource and self.resource.namespaced and self.namespace else None

    @property
    def full_plural(self) -> str:
        """The plural with the subresource."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    @property
    def action(self) -> Action:
        """What RBAC decides on."""
        if not self.plural:
            return Action(verb=self.verb, path=self.path)
        namespace = self.name if self.plural == "namespaces" else self.namespace
        return Action(
            verb=self.verb, resource=self.full_plural, group=self.group, namespace=namespace, name=self._subject
        )

    @property
    def _subject(self) -> str:
        """The name that a rule's ``resourceNames`` are held against: a list or watch has it in its field selector."""
        if self.resource is None or self.verb not in ("list", "watch"):
            return self.name
        try:
            return parse(self.resource, fields=self.query.get("fieldSelector", "")).name or ""
        except Invalid:
            # It is refused with its reason when it is served.
            return ""

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored; raises Invalid (422) for a word other than All."""
        asked = self.query.get("dryRun")
        if asked and asked != "All":
            cause = status.unsupported("dryRun", [asked], ["All"])
            raise status.bad_options(_OPTIONS.get(self.verb, "DeleteOptions"), [cause])
        return bool(asked)


def parse_call(method: str, path: str, query: Query) -> Call:
    """The call that a request is."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return _parse_resource(method, path, query, "", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) > 3:
        return _parse_resource(method, path, query, parts[1], parts[2], parts[3:])
    return Call(verb=method.lower(), path=path, query=query)


def _parse_resource(method: str, path: str, query: Query, group: str, version: str, rest: list[str]) -> Call:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _SUBRESOURCES_OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = [*rest, "", ""][: max(3, len(rest))]
    found = BY_PATH.get((group, version, plural))
    if more or (found and namespace and not found.namespaced):
        found = None
    return Call(
        verb=_verb(method, query, name),
        path=path,
        query=query,
        resource=found,
        group=group,
        plural=plural,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _verb(method: str, query: Query, name: str) -> str:
    if method in ("GET", "HEAD"):
        if name:
            return "get"
        return "watch" if flag(query, "watch") else "list"
    verb = _WRITES.get(method, method.lower())
    return "deletecollection" if verb == "delete" and not name else verb
