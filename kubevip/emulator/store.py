"""What the API server remembers: the objects, one counter of versions, and for each resource its latest changes.

The store is synchronous and knows no clock: the time of a change is passed in. A watcher needs no queue of its
own: it keeps a `Position` and asks what comes after it, so a slow one costs nothing and learns at worst that what
it would have to see is gone (410). Lists of the past are made by undoing changes, as long as they are kept.

An object is encoded once, when it is written; whoever sends it later sends the same bytes.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from kubevip.emulator.resources import RESOURCES, Resource
from kubevip.emulator.status import expired

Key = tuple[str, str]
"""Namespace (empty for cluster-wide objects) and name."""
_encode = msgspec.json.Encoder().encode


@attrs.frozen(eq=False)
class Stored:
    """One version of one object. *value* has no ``kind`` and ``apiVersion`` and is never changed."""

    key: Key
    value: Mapping[str, Any]
    version: int
    encoded: bytes
    """*value* as JSON."""

    def copy(self) -> dict[str, Any]:
        """The value, free to be changed."""
        value: dict[str, Any] = msgspec.json.decode(self.encoded)
        return value


@attrs.define(eq=False)
class Change:
    """One write: *old* is None for a creation, *gone* tells that *new* is the last sight of a deleted object."""

    resource: Resource
    now: float
    old: Stored | None
    new: Stored
    gone: bool = False
    _line: bytes = b""

    @property
    def version(self) -> int:
        """The version that the change made."""
        return self.new.version

    @property
    def type(self) -> str:
        """The type of the watch event for who sees everything."""
        return "DELETED" if self.gone else "ADDED" if self.old is None else "MODIFIED"

    def last_sight(self) -> Stored:
        """What who sees it no more is shown: the object as it was, with the version of the change."""
        if self.gone or self.old is None:
            return self.new
        value = self.old.copy()
        value["metadata"]["resourceVersion"] = str(self.version)
        return Stored(self.new.key, value, self.version, _encode(value))

    @property
    def line(self) -> bytes:
        """The watch event for who sees everything, encoded once."""
        if not self._line:
            self._line = event_line(self.type, self.resource, self.new.encoded)
        return self._line


def event_line(kind: str, resource: Resource, encoded: bytes) -> bytes:
    """A watch event of the type *kind* as a line of the stream."""
    return b'{"type":"%s","object":%s%s}\n' % (kind.encode(), resource.opening, encoded[1:])


@attrs.define(eq=False)
class Shelf:
    """The objects of one resource, with the changes that are still remembered, oldest first."""

    resource: Resource
    limit: int
    objects: dict[Key, Stored] = attrs.field(factory=dict)
    keys: list[Key] = attrs.field(factory=list)
    changes: list[Change] = attrs.field(factory=list)
    dropped: int = 0
    """How many changes are forgotten: a Position counts from the first that ever was."""
    floor: int = 0
    """The newest version that is forgotten: before it, nothing can be told."""
    listeners: set[Callable[[], None]] = attrs.field(factory=set)

    @property
    def end(self) -> int:
        """The position after the newest change."""
        return self.dropped + len(self.changes)

    def position(self, version: int) -> int:
        """The position after the changes up to *version*; raises ResourceExpired when later ones are forgotten."""
        if version < self.floor:
            raise expired(f"too old resource version: {version} ({self.floor})")
        return self.dropped + bisect_right(self.changes, version, key=lambda change: change.version)

    def after(self, position: int, until: int | None = None) -> list[Change]:
        """The changes from *position* on, up to the version *until*; raises ResourceExpired when they are gone."""
        if position < self.dropped:
            raise expired(f"too old resource version: {position} ({self.floor})")
        changes = self.changes[position - self.dropped :]
        if until is None or not changes or changes[-1].version <= until:
            return changes
        return changes[: bisect_right(changes, until, key=lambda change: change.version)]

    def time_after(self, position: int) -> float | None:
        """When the first change from *position* on was made, None when there is none."""
        index = max(0, position - self.dropped)
        return self.changes[index].now if index < len(self.changes) else None

    def version_at(self, now: float) -> int:
        """The newest version that was there at the time *now*, as far as it is remembered."""
        index = bisect_right(self.changes, now, key=lambda change: change.now)
        return self.changes[index - 1].version if index else self.floor

    def record(self, change: Change) -> None:
        """Apply a change and tell the listeners."""
        key = change.new.key
        if change.gone:
            del self.objects[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            if change.old is None:
                insort(self.keys, key)
            self.objects[key] = change.new
        self.changes.append(change)
        if len(self.changes) > self.limit + self.limit // 4:
            self.forget(len(self.changes) - self.limit)
        for listener in tuple(self.listeners):
            listener()

    def forget(self, count: int) -> None:
        """Drop the oldest *count* changes."""
        if count:
            self.floor = self.changes[count - 1].version
            self.dropped += count
            del self.changes[:count]

    def view(self, version: int) -> "View":
        """The resource as it was at *version*; raises ResourceExpired when that is forgotten."""
        position = self.position(version)
        undone: dict[Key, Stored | None] = {}
        for change in reversed(self.changes[position - self.dropped :]):
            undone[change.new.key] = change.old
        if not undone:
            return View(self.objects, self.keys)
        objects = {key: stored for key, stored in {**self.objects, **undone}.items() if stored is not None}
        return View(objects, sorted(objects))


@attrs.frozen(eq=False)
class View:
    """The objects of one resource at one version, by key in order."""

    objects: Mapping[Key, Stored]
    keys: list[Key]

    def get(self, key: Key) -> Stored | None:
        """The object of that key."""
        return self.objects.get(key)

    def range(self, namespace: str | None, after: Key | None = None) -> tuple[int, int]:
        """The slice of *keys* that lies in *namespace* (None: in all) and comes after the key *after*."""
        first = 0 if namespace is None else bisect_left(self.keys, (namespace, ""))
        last = len(self.keys) if namespace is None else bisect_left(self.keys, (f"{namespace}\0", ""))
        return (first if after is None else max(first, bisect_right(self.keys, after))), last

    def walk(self, namespace: str | None = None) -> Iterator[Stored]:
        """The objects in *namespace*, or all, in the order of their keys."""
        first, last = self.range(namespace)
        return (self.objects[key] for key in self.keys[first:last])


@attrs.define(eq=False)
class Store:
    """All resources under one counter of versions. *history* changes of each are remembered."""

    history: int = 10_000
    version: int = 0
    _shelves: dict[Resource, Shelf] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._shelves = {resource: Shelf(resource, self.history) for resource in RESOURCES}

    def shelf(self, resource: Resource) -> Shelf:
        """The objects and changes of one resource."""
        return self._shelves[resource]

    def get(self, resource: Resource, key: Key) -> Stored | None:
        """The newest version of an object."""
        return self._shelves[resource].objects.get(key)

    def view(self, resource: Resource, version: int | None = None) -> View:
        """A resource as it is, or as it was at *version*; raises ResourceExpired when that is forgotten."""
        shelf = self._shelves[resource]
        return View(shelf.objects, shelf.keys) if version is None else shelf.view(version)

    def count(self) -> int:
        """How many objects there are."""
        return sum(len(shelf.objects) for shelf in self._shelves.values())

    def put(self, resource: Resource, key: Key, value: dict[str, Any], now: float) -> Stored:
        """Write *value*, which becomes the store's own, as the next version of the object."""
        shelf = self._shelves[resource]
        stored = self._seal(key, value)
        shelf.record(Change(resource, now, shelf.objects.get(key), stored))
        return stored

    def remove(self, resource: Resource, key: Key, now: float) -> Stored:
        """Delete the object; what is returned is its last sight, which carries the version of the deletion."""
        shelf = self._shelves[resource]
        old = shelf.objects[key]
        stored = self._seal(key, old.copy())
        shelf.record(Change(resource, now, old, stored, gone=True))
        return stored

    def expire(self, resource: Resource | None = None) -> None:
        """Forget all changes of a resource, or of all: whoever goes on from an older version gets a 410."""
        for shelf in [self._shelves[resource]] if resource else self._shelves.values():
            shelf.forget(len(shelf.changes))
            shelf.floor = self.version

    def _seal(self, key: Key, value: dict[str, Any]) -> Stored:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        return Stored(key, value, self.version, _encode(value))
