"""Routing tables of a simulated machine: the twin of ``kubevip.net.tables``."""

import errno
from collections.abc import Callable, Sequence

import attrs

from kubevip.backend import Route
from kubevip.errors import NetworkError
from kubevip.model import IPAddress
from kubevip.testing.links import MemoryLinks
from kubevip.testing.process import effectless


@attrs.define(eq=False)
class MemoryRoutes:
    """The routes to single addresses, as ``kubevip.ports.Routes``. Those by an interface that goes down go, too.

    While a test sets *failure*, every call fails with it. *failures* counts them; *looks* counts
    how often ``of()`` was answered; *puts* are the routes that were put, in order. *changed* is told of each address
    to which a route comes or goes.
    """

    _links: MemoryLinks
    failure: NetworkError | None = attrs.field(default=None, init=False)
    failures: int = attrs.field(default=0, init=False)
    looks: int = attrs.field(default=0, init=False)
    puts: list[Route] = attrs.field(factory=list, init=False)
    changed: Callable[[IPAddress, bool], None] = attrs.field(default=lambda _address, _present: None, init=False)
    _routes: dict[tuple[int, IPAddress], tuple[Route, int]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        others = self._links.on_down

        def down(index: int, gone: bool) -> None:
            others(index, gone)
            for place in [place for place, entry in self._routes.items() if entry[1] == index]:
                self._forget(place)

        self._links.on_down = down

    def all(self) -> list[Route]:
        """Return the routes of all tables and protocols."""
        return [route for route, _index in self._routes.values()]

    def delete(self, address: IPAddress, table: int) -> None:
        """Remove a route as anybody else would do it."""
        self._forget((table, address))

    def _forget(self, place: tuple[int, IPAddress]) -> None:
        del self._routes[place]
        self.changed(place[1], False)

    async def of(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes that *protocol* has in *table*; see ``kubevip.ports.Routes``."""
        self._may_fail()
        self.looks += 1
        return [route for route in self.all() if (route.table, route.protocol) == (table, protocol)]

    async def put(self, route: Route) -> None:
        """Put or replace a route; see ``kubevip.ports.Routes``."""
        self._may_fail()
        present = self._routes.get((route.table, route.address))
        if present is not None and present[0].protocol != route.protocol:
            raise NetworkError(f"table {route.table} has another protocol's route to {route.address}", errno.EEXIST)
        index = 0
        if route.interface:
            link = self._links.get(route.interface)
            if not link.up:
                raise NetworkError(f"putting a route by {route.interface}: network is down", errno.ENETDOWN)
            index = link.index
        if not effectless():
            self._routes[route.table, route.address] = (route, index)
            self.puts.append(route)
            if present is None:
                self.changed(route.address, True)

    async def remove(self, route: Route) -> None:
        """Remove a route; see ``kubevip.ports.Routes``."""
        self._may_fail()
        present = self._routes.get((route.table, route.address))
        if present is not None and present[0].protocol == route.protocol and not effectless():
            self._forget((route.table, route.address))

    def _may_fail(self) -> None:
        if self.failure is not None:
            self.failures += 1
            raise self.failure
