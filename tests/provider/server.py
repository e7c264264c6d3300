"""A simulated API server: objects under optimistic locking, finalizers, and a log that watches tell in order."""

import itertools

import attrs

from kubevip.model import ServiceKey
from kubevip.provision.verdict import Facts


class Conflicted(Exception):
    """409: the object isn't any more what the write was decided on."""


class Gone(Exception):
    """404."""


@attrs.define(eq=False)
class Server:
    objects: dict[ServiceKey, Facts] = attrs.field(factory=dict)
    # A Service as it was at a version, and whether it was there then.
    log: list[tuple[bool, Facts]] = attrs.field(factory=list)
    _uids: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))

    def create(self, facts: Facts) -> None:
        if facts.key not in self.objects:
            self._store(attrs.evolve(facts, uid=f"uid-{next(self._uids)}"))

    def update(self, facts: Facts, version: str) -> Facts:
        present = self.objects.get(facts.key)
        if present is None or present.uid != facts.uid:
            raise Gone
        if present.version != version:
            raise Conflicted
        if attrs.evolve(facts, version=version) == present:
            return present
        return self._store(attrs.evolve(facts, deleting=present.deleting))

    def delete(self, key: ServiceKey) -> None:
        present = self.objects.get(key)
        if present is not None and not present.deleting:
            self._store(attrs.evolve(present, deleting=True))

    def _store(self, facts: Facts) -> Facts:
        stored = attrs.evolve(facts, version=str(len(self.log) + 1))
        is_there = not stored.deleting or bool(stored.finalizers)
        self.log.append((is_there, stored))
        if is_there:
            self.objects[stored.key] = stored
        else:
            self.objects.pop(stored.key, None)
        return stored

    def at(self, position: int) -> dict[ServiceKey, Facts]:
        """The objects as of the first *position* entries of the log."""
        found: dict[ServiceKey, Facts] = {}
        for is_there, facts in self.log[:position]:
            found[facts.key] = facts
            if not is_there:
                del found[facts.key]
        return found

    def since(self, key: ServiceKey, position: int) -> list[Facts]:
        """What *key* has been from *position* on."""
        first = self.at(position).get(key)
        return ([first] if first else []) + [facts for _, facts in self.log[position:] if facts.key == key]
