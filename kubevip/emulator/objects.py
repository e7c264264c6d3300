"""Writes: what the API server does between a client's request and the store.

One write is one synchronous call: it is decided and stored, or refused, with nothing in between. The time comes as
a `Moment`. What controllers do in a cluster is done at once here: a namespace that is deleted is emptied, and goes
when nothing in it waits for a finalizer; there is no garbage collection of what an owner leaves behind.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from kubevip.emulator import status, validation
from kubevip.emulator.allocation import Allocator
from kubevip.emulator.decoding import read_object, read_patched
from kubevip.emulator.expectations import Moment, Options, Preconditions, check_version, match_url, place
from kubevip.emulator.patch import strategic_patch
from kubevip.emulator.resources import BY_PLURAL, RESOURCES, Resource
from kubevip.emulator.rules import KIND_RULES, Rules
from kubevip.emulator.services import service_rules
from kubevip.emulator.status import Cause
from kubevip.emulator.store import Key, Store, Stored

Value = dict[str, Any]
_NAMESPACES, _SERVICES, _ENDPOINTS = BY_PLURAL["namespaces"], BY_PLURAL["services"], BY_PLURAL["endpoints"]
_PLAIN = Rules()
_UNDELETABLE = ("default", "kube-system", "kube-public")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_LIMIT, _SUFFIX_LENGTH, _GENERATE_TRIES = 58, 5, 8
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
_PLAINLY, _WHATEVER = Options(), Preconditions()


@attrs.define(eq=False)
class Objects:
    """All writes to one store. *rng* makes names and uids."""

    store: Store
    allocator: Allocator
    rng: random.Random = attrs.field(factory=random.Random)
    _rules: dict[str, Rules] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rules = {**KIND_RULES, "Service": service_rules(self.allocator)}

    def create(
        self, resource: Resource, namespace: str, value: Value, moment: Moment, options: Options = _PLAINLY
    ) -> Stored:
        """Create an object; *value* becomes the store's.

        Raises Conflict (AlreadyExists), NotFound (the namespace), Forbidden (it is being deleted) or Invalid.
        """
        metadata, rules = value["metadata"], self._rules_of(resource)
        place(resource, namespace, metadata)
        rules.default(value)
        self._admit(resource, namespace, metadata.get("name", ""))
        if metadata.pop("resourceVersion", ""):
            raise status.internal("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._generate_name(resource, namespace, metadata["generateName"])
        for name in _KEPT:
            metadata.pop(name, None)
        metadata.update(uid=self._generate_uid(), creationTimestamp=moment.text)
        if resource.counts_generations:
            metadata["generation"] = 1
        key = namespace, metadata.get("name", "")
        claim = rules.begin(value, None)
        stored = None
        try:
            rules.prepare(value, None)
            causes = validation.metadata_of_new(metadata, rules.name) + rules.validate(value, None)
            _refuse(resource, key[1], causes)
            if self.store.get(resource, key):
                raise status.already_exists(resource, key[1])
            if options.dry_run:
                return _unwritten(key, value, 0)
            stored = self.store.put(resource, key, value, moment.now)
            return stored
        finally:
            if claim:
                claim.close(value["spec"] if stored else None)

    def replace(
        self, resource: Resource, key: Key, value: Value, moment: Moment, options: Options = _PLAINLY
    ) -> tuple[Stored, bool]:
        """Write a whole object, or its status; tells whether it was created, which some kinds allow.

        Raises Conflict, NotFound or Invalid.
        """
        match_url(resource, key, value["metadata"])
        old, uid = self.store.get(resource, key), value["metadata"].get("uid", "")
        if uid and uid != (old.value["metadata"]["uid"] if old else ""):
            found = old.value["metadata"]["uid"] if old else ""
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            raise status.conflict(resource, key[1], why)
        if old is not None:
            return self._update(resource, old, value, moment, options), False
        if not resource.creates_on_update:
            raise status.not_found(resource, key[1])
        value["metadata"].pop("resourceVersion", None)
        return self.create(resource, key[0], value, moment, options), True

    def patch(
        self,
        resource: Resource,
        key: Key,
        change: Callable[[Value], Any],
        moment: Moment,
        options: Options = _PLAINLY,
    ) -> Stored:
        """Write what *change* makes of the whole object; raises Conflict, NotFound or Invalid."""
        old = self.store.get(resource, key)
        if old is None:
            raise status.not_found(resource, key[1])
        value, unknown = read_patched(resource, change(resource.full(old.copy())))
        options.judge(unknown)
        match_url(resource, key, value["metadata"])
        return self._update(resource, old, value, moment, options)

    def apply(
        self, resource: Resource, key: Key, config: Any, moment: Moment, options: Options = _PLAINLY
    ) -> tuple[Stored, bool]:
        """Server-side apply, in its simplest form: create, or merge *config* into the object; tells if it was created.

        Nothing is remembered of who applied what: no conflicts are found between managers, and a field that a
        manager applies no longer stays as it is.
        """
        value, unknown = read_object(resource, config)
        if self.store.get(resource, key) is None:
            options.judge(unknown)
            match_url(resource, key, value["metadata"])
            return self.create(resource, key[0], value, moment, options), True

        def change(document: Value) -> Value:
            return strategic_patch(document, config, resource.message)

        return self.patch(resource, key, change, moment, options), False

    def delete(
        self,
        resource: Resource,
        key: Key,
        moment: Moment,
        preconditions: Preconditions = _WHATEVER,
        options: Options = _PLAINLY,
    ) -> tuple[Stored, bool]:
        """Delete an object, or mark it while finalizers hold it; tells the last of it and whether it is gone.

        Raises NotFound, Conflict (a precondition) or Forbidden.
        """
        old = self.store.get(resource, key)
        if old is None:
            raise status.not_found(resource, key[1])
        preconditions.check(resource, old)
        held = bool(old.value["metadata"].get("finalizers")) or resource is _NAMESPACES
        if resource is _NAMESPACES and key[1] in _UNDELETABLE:
            raise status.forbidden(resource, key[1], "this namespace may not be deleted")
        if options.dry_run or (held and "deletionTimestamp" in old.value["metadata"]):
            return old, not held
        if not held:
            return self._remove(resource, key, moment), True
        marked = self._mark(resource, old, moment)
        if resource is _NAMESPACES:
            self._empty(key[1], moment)
        return marked, False

    def _rules_of(self, resource: Resource) -> Rules:
        return self._rules.get(resource.kind, _PLAIN)

    def _generate_uid(self) -> str:
        digits = f"{self.rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def _generate_name(self, resource: Resource, namespace: str, prefix: str) -> str:
        name = ""
        for _ in range(_GENERATE_TRIES):
            name = prefix[:_GENERATED_LIMIT] + "".join(self.rng.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))
            if self.store.get(resource, (namespace, name)) is None:
                break
        return name

    def _admit(self, resource: Resource, namespace: str, name: str) -> None:
        """Nothing is created in a namespace that isn't there or is going."""
        if not resource.namespaced:
            return
        found = self.store.get(_NAMESPACES, ("", namespace))
        if found is None:
            raise status.not_found(_NAMESPACES, namespace)
        if "deletionTimestamp" in found.value["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            message = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
            raise status.forbidden(resource, name, why, causes=[cause])

    def _update(self, resource: Resource, old: Stored, value: Value, moment: Moment, options: Options) -> Stored:
        metadata, before, rules = value["metadata"], old.value["metadata"], self._rules_of(resource)
        check_version(resource, old, metadata.pop("resourceVersion", ""))
        rules.default(value)
        uid = metadata.get("uid") or before["uid"]
        for name in _KEPT:
            metadata.pop(name, None)
        metadata.update({name: before[name] for name in _KEPT if name in before}, uid=uid)
        metadata["resourceVersion"] = str(old.version)
        if options.of_status:
            value = {**old.value, "metadata": metadata, **({"status": value["status"]} if "status" in value else {})}
            causes = validation.metadata_of_update(metadata, before) + rules.validate_status(value, old.value)
            _refuse(resource, old.key[1], causes)
            return self._store(resource, old, value, moment, options)
        if resource.has_status:
            value.pop("status", None)
            value.update({"status": old.value["status"]} if "status" in old.value else {})
        claim, stored = rules.begin(value, old.value), None
        try:
            rules.prepare(value, old.value)
            causes = validation.metadata_of_update(metadata, before) + rules.validate(value, old.value)
            _refuse(resource, old.key[1], causes)
            if resource.counts_generations and _body(value) != _body(old.value):
                metadata["generation"] = before["generation"] + 1
            stored = self._store(resource, old, value, moment, options)
            return stored
        finally:
            if claim:
                kept = stored and not options.dry_run and self.store.get(resource, old.key)
                claim.close(value["spec"] if kept else None)

    def _store(self, resource: Resource, old: Stored, value: Value, moment: Moment, options: Options) -> Stored:
        metadata = value["metadata"]
        done = "deletionTimestamp" in metadata and not metadata.get("finalizers") and resource is not _NAMESPACES
        if done and not options.dry_run:
            self._remove(resource, old.key, moment)
        if options.dry_run or done or value == old.value:
            return _unwritten(old.key, value, old.version)
        stored = self.store.put(resource, old.key, value, moment.now)
        if resource is _NAMESPACES:
            self._finish_namespace(old.key[1], moment)
        return stored

    def _mark(self, resource: Resource, old: Stored, moment: Moment) -> Stored:
        value = old.copy()
        metadata = value["metadata"]
        metadata["deletionTimestamp"] = moment.text
        if resource is _NAMESPACES:
            value["status"] = {**value["status"], "phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = 0
        if "generation" in metadata:
            metadata["generation"] += 1
        return self.store.put(resource, old.key, value, moment.now)

    def _remove(self, resource: Resource, key: Key, moment: Moment) -> Stored:
        gone = self.store.remove(resource, key, moment.now)
        self._rules_of(resource).end(gone.copy())
        if resource is _SERVICES and self.store.get(_ENDPOINTS, key):
            self._remove(_ENDPOINTS, key, moment)
        self._finish_namespace(key[0], moment)
        return gone

    def _content(self, namespace: str) -> Iterator[tuple[Resource, Key]]:
        for resource in RESOURCES:
            if resource.namespaced:
                view = self.store.view(resource)
                first, last = view.range(namespace)
                yield from ((resource, key) for key in view.keys[first:last])

    def _empty(self, namespace: str, moment: Moment) -> None:
        for resource, key in list(self._content(namespace)):
            if self.store.get(resource, key):
                self.delete(resource, key, moment)
        self._finish_namespace(namespace, moment)

    def _finish_namespace(self, name: str, moment: Moment) -> None:
        found = self.store.get(_NAMESPACES, ("", name))
        if found is None or "deletionTimestamp" not in found.value["metadata"]:
            return
        if not found.value["metadata"].get("finalizers") and next(self._content(name), None) is None:
            self.store.remove(_NAMESPACES, ("", name), moment.now)


def _body(value: Mapping[str, Any]) -> Value:
    return {name: item for name, item in value.items() if name not in ("metadata", "status")}


def _unwritten(key: Key, value: Value, version: int) -> Stored:
    return Stored(key, value, version, msgspec.json.encode(value))


def _refuse(resource: Resource, name: str, causes: list[Cause]) -> None:
    if causes:
        raise status.unprocessable(resource.kind, resource.group, name, causes)
