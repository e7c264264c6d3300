"""Announces addresses by routes in a table of the kernel, from which a routing daemon on the node takes them."""

import asyncio
import logging
from typing import ClassVar, Self

from kubevip.plugin import Backend, Cadence, Host, IPAddress, NetworkError, Route, Vip
from kubevip_routes.configuration import read_configuration

__all__ = ["RoutesBackend"]

log = logging.getLogger(__name__)

# After the start, addresses are given so many seconds to be announced again, before their routes count as left over.
SETTLE = 10.0
# What was read of the table counts for so many seconds: one look is enough for all VIPs that are announced in a go.
FRESH = 1.0


class RoutesBackend(Backend):
    """Keeps a route for each VIP in a table: its address alone, whatever its prefix length.

    Several nodes may announce one address: routers spread the traffic over them. Routes of other protocols, and
    those to whole networks, are never touched.
    """

    exclusive: ClassVar[bool] = False
    cadence: ClassVar[Cadence] = Cadence(period=5.0)

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._configuration = read_configuration(host.settings)
        self._announced: dict[IPAddress, dict[Vip, Route]] = {}
        self._present: dict[IPAddress, Route] = {}
        self._read_at = float("-inf")
        self._cleaning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin the time after which routes are left over, where they are to be removed."""
        if self._configuration.clean:
            self._cleaning = asyncio.create_task(self._clean_when_settled(), name="cleaning the routing table")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Remove what is still announced, and what is left over where that is to be removed."""
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.wait({self._cleaning})
        announced = [route for users in self._announced.values() for route in users.values()]
        self._announced.clear()
        try:
            for route in announced:
                await self.host.remove_route(route)
            if self._configuration.clean:
                await self._clean()
        except NetworkError as error:
            log.warning("routes are left behind", extra={"reason": str(error)})

    async def announce(self, vip: Vip) -> None:
        """Put the route to *vip* into the table, unless it is there.

        :raises NetworkError: if the kernel refuses it, or another protocol has a route to the address there.
        """
        users = self._announced.setdefault(vip.address, {})
        users[vip] = route = self._route(vip)
        await self._read()
        if self._present.get(vip.address) in users.values():
            return
        await self.host.put_route(route)
        self._present[vip.address] = route

    async def withdraw(self, vip: Vip) -> None:
        """Remove the route to *vip*, unless it is announced on another interface, too: then by way of that."""
        users = self._announced.get(vip.address, {})
        users.pop(vip, None)
        if users:
            await self.announce(next(iter(users)))
            return
        self._announced.pop(vip.address, None)
        self._present.pop(vip.address, None)
        await self.host.remove_route(self._route(vip))

    def _route(self, vip: Vip) -> Route:
        configuration = self._configuration
        return Route(
            address=vip.address,
            table=configuration.table,
            protocol=configuration.protocol,
            kind=configuration.kind,
            interface="" if configuration.leads_nowhere else vip.interface,
        )

    async def _read(self) -> None:
        """Look what there is in the table, unless that was just done."""
        now = self.host.now()
        if now >= self._read_at + FRESH:
            found = await self.host.routes(self._configuration.table, self._configuration.protocol)
            self._present = {route.address: route for route in found}
            self._read_at = now

    async def _clean_when_settled(self) -> None:
        while True:
            await asyncio.sleep(SETTLE)
            try:
                await self._clean()
            except NetworkError as error:
                log.warning("cleaning the routing table failed", extra={"reason": str(error)})
            else:
                return

    async def _clean(self) -> None:
        for route in await self.host.routes(self._configuration.table, self._configuration.protocol):
            if route.address not in self._announced:
                # Forgotten first: whoever announces it meanwhile puts it again.
                self._present.pop(route.address, None)
                await self.host.remove_route(route)
                log.info("removed a route that was left over", extra={"vip": str(route.address)})
