"""The installed backends, by name. Nothing is imported before it is asked for."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

import attrs

from kubevip.backend import ENTRY_POINT_GROUP, Backend
from kubevip.errors import BrokenBackend, UnknownBackend
from kubevip.model import Family


def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


@attrs.define(eq=False)
class Registry(Mapping[str, type[Backend]]):
    """Maps the name of a backend to its class.

    A plugin that doesn't import, is no backend, or shares its name with another one fails when it is asked
    for, and only then. Finding the entry points costs a millisecond or so: keep the registry.
    """

    _points: tuple[EntryPoint, ...] = attrs.field(factory=_installed)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({point.name for point in self._points}))

    def __len__(self) -> int:
        return len({point.name for point in self._points})

    def __contains__(self, name: object) -> bool:
        return any(point.name == name for point in self._points)

    def __getitem__(self, name: str) -> type[Backend]:
        """Import the backend called *name*.

        :raises UnknownBackend: if none is installed.
        :raises BrokenBackend: if it can't be used, naming the distribution that it comes from.
        """
        found = [point for point in self._points if point.name == name]
        if not found:
            known = ", ".join(self) or "none"
            raise UnknownBackend(f"no backend {name!r} is installed; there are: {known}")
        if len({point.value for point in found}) > 1:
            both = ", ".join(self.describe(point) for point in found)
            raise BrokenBackend(f"backend {name!r} is registered more than once: {both}; uninstall all but one")
        return self._load(found[0])

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

    def _load(self, point: EntryPoint) -> type[Backend]:
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:
            raise BrokenBackend(f"backend {point.name!r} ({self.describe(point)}) doesn't import: {error}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
            raise BrokenBackend(
                f"backend {point.name!r} ({self.describe(point)}) isn't a subclass of kubevip.plugin.Backend"
            )
        return loaded

    def origin(self, name: str) -> str:
        """Say where the backend called *name* comes from: its class and its distribution."""
        return ", ".join(self.describe(point) for point in self._points if point.name == name)

    @staticmethod
    def describe(point: EntryPoint) -> str:
        """Name the object and the distribution behind an entry point."""
        return f"{point.value} of {point.dist.name} {point.dist.version}" if point.dist else point.value
