"""What is installed, by name: backends, and sources of pools. Nothing is imported before it is asked for."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, Generic, TypeVar, cast

import attrs

from kubevip import backend, source
from kubevip.backend import Backend
from kubevip.errors import (
    BrokenBackend,
    BrokenPoolSource,
    KubeVipError,
    UnknownBackend,
    UnknownPoolSource,
)
from kubevip.model import Family
from kubevip.source import PoolSource

Kind = TypeVar("Kind")


@attrs.define(eq=False)
class Installed(Mapping[str, type[Kind]], Generic[Kind]):
    """Maps the name of a plugin of some kind to its class.

    A plugin that doesn't import, is not of its kind, or shares its name with another one fails when it is asked
    for, and only then. Finding the entry points costs a millisecond or so: keep the mapping.
    """

    what: ClassVar[str]
    group: ClassVar[str]
    base: ClassVar[type]
    unknown: ClassVar[type[KubeVipError]]
    broken: ClassVar[type[KubeVipError]]

    _points: tuple[EntryPoint, ...] = attrs.field()

    @_points.default
    def _installed(self) -> tuple[EntryPoint, ...]:
        return tuple(entry_points(group=self.group))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({point.name for point in self._points}))

    def __len__(self) -> int:
        return len({point.name for point in self._points})

    def __contains__(self, name: object) -> bool:
        return any(point.name == name for point in self._points)

    def __getitem__(self, name: str) -> type[Kind]:
        """Import the plugin called *name*.

        :raises KubeVipError: ``unknown`` if none is installed, ``broken`` if it can't be used, naming the
            distribution that it comes from.
        """
        found = [point for point in self._points if point.name == name]
        if not found:
            known = ", ".join(self) or "none"
            raise self.unknown(f"no {self.what} {name!r} is installed; there are: {known}")
        if len({point.value for point in found}) > 1:
            both = ", ".join(self.describe(point) for point in found)
            raise self.broken(f"{self.what} {name!r} is registered more than once: {both}; uninstall all but one")
        return self._load(found[0])

    def _load(self, point: EntryPoint) -> type[Kind]:
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:
            raise self.broken(f"{self._named(point)} doesn't import: {error}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, self.base)):
            raise self.broken(f"{self._named(point)} isn't a subclass of kubevip.plugin.{self.base.__name__}")
        return cast("type[Kind]", loaded)

    def _named(self, point: EntryPoint) -> str:
        # Reading who installed it takes a millisecond: only errors need it.
        return f"{self.what} {point.name!r} ({self.describe(point)})"

    def origin(self, name: str) -> str:
        """Say where the plugin called *name* comes from: its class and its distribution."""
        return ", ".join(self.describe(point) for point in self._points if point.name == name)

    @staticmethod
    def describe(point: EntryPoint) -> str:
        """Name the object and the distribution behind an entry point."""
        return f"{point.value} of {point.dist.name} {point.dist.version}" if point.dist else point.value


@attrs.define(eq=False)
class Registry(Installed[Backend]):
    """The installed backends.

    Asking for one raises ``UnknownBackend`` or ``BrokenBackend``; see ``Installed``.
    """

    what = "backend"
    group = backend.ENTRY_POINT_GROUP
    base = Backend
    unknown = UnknownBackend
    broken = BrokenBackend

    def choose(self, names: Iterable[str]) -> dict[Family, str]:
        """Return for each address family the first backend of *names* that announces it.

        :raises UnknownBackend: if one isn't installed.
        :raises BrokenBackend: if one can't be used.
        """
        chosen: dict[Family, str] = {}
        for name in names:
            for family in self[name].families:
                chosen.setdefault(family, name)
        return chosen


@attrs.define(eq=False)
class SourceRegistry(Installed[PoolSource]):
    """The installed sources of pools.

    Asking for one raises ``UnknownPoolSource`` or ``BrokenPoolSource``; see ``Installed``.
    """

    what = "pool source"
    group = source.ENTRY_POINT_GROUP
    base = PoolSource
    unknown = UnknownPoolSource
    broken = BrokenPoolSource
