"""Routes to single addresses in the kernel's routing tables: the kernel's side of ``kubevip.ports.Routes``.

Every request names table and protocol, so the routes of others are neither replaced nor removed: a new route is
put where there is none, and replaces one only where that is of the same protocol.

Layouts: ``linux/rtnetlink.h``. A request may wait for the kernel's lock, so it is made in a worker thread.
"""

import contextlib
import errno
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import attrs

from kubevip.backend import Route
from kubevip.errors import NetworkError
from kubevip.model import Family
from kubevip.net import netlink
from kubevip.net.netns import Enter
from kubevip.ports import Links

RTM_DELROUTE = 25
NLM_F_EXCL = 0x200
RTA_OIF, RTA_TABLE = 4, 15
# Types whose routes lead nowhere, so that they have no interface: blackhole, unreachable, prohibit.
NOWHERE = frozenset({6, 7, 8})
# The scope that the kernel demands of a type (its fib_props): a local address is no further away than this host.
_SCOPES = {netlink.RTN_LOCAL: netlink.RT_SCOPE_HOST, 3: netlink.RT_SCOPE_LINK}
# "Any scope" in a request to delete.
_ANY_SCOPE = 255
_RTMSG = struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=I")
_ONE_BYTE = 255

Result = TypeVar("Result")


@attrs.define(eq=False)
class KernelRoutes:
    """The routing tables of a network namespace. A live object: open it in a running event loop."""

    _links: Links
    _enter: Enter = contextlib.nullcontext
    _requests: netlink.Requests | None = attrs.field(default=None, init=False)
    _one_at_a_time: anyio.CapacityLimiter = attrs.field(factory=lambda: anyio.CapacityLimiter(1), init=False)

    async def __aenter__(self) -> Self:
        """Open the netlink socket."""
        with self._enter():
            self._requests = netlink.Requests()
        self._requests.filter_dumps()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the netlink socket. Routes stay: whoever put them removes them."""
        assert self._requests is not None
        self._requests.close()

    async def of(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes that *protocol* has in *table*; see ``kubevip.ports.Routes``."""
        names = {self._links.get(name).index: name for name in self._links.names()}

        def read(requests: netlink.Requests) -> list[Route]:
            found: list[Route] = []
            for family in Family:
                for kind, body in _listed(requests, family, table, protocol):
                    route = _parse(body, names) if kind == netlink.RTM_NEWROUTE else None
                    # A kernel that can't filter has listed all.
                    if route is not None and (route.table, route.protocol) == (table, protocol):
                        found.append(route)
            return found

        return await self._in_thread(read)

    async def put(self, route: Route) -> None:
        """Put or replace a route; see ``kubevip.ports.Routes``."""
        index = self._links.get(route.interface).index if route.interface else 0
        refusal = await self._carry_out(route, index, netlink.NLM_F_CREATE | NLM_F_EXCL)
        if refusal is not None and refusal[0] == errno.EEXIST:
            ours = {each.address for each in await self.of(route.table, route.protocol)}
            if route.address not in ours:
                raise NetworkError(
                    f"routing table {route.table} has a route to {route.address} that isn't of protocol "
                    f"{route.protocol}; remove it, or set another vip_routingtableid",
                    errno.EEXIST,
                )
            refusal = await self._carry_out(route, index, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE)
        if refusal is not None:
            raise netlink.network_error(*refusal, f"putting {_named(route)}")

    async def remove(self, route: Route) -> None:
        """Remove a route; see ``kubevip.ports.Routes``."""
        request = _request(RTM_DELROUTE, 0, attrs.evolve(route, kind=0), 0, _ANY_SCOPE)
        refusal = (await self._in_thread(lambda requests: requests.carry_out([request]))).get(1)
        # The table goes with its last route.
        if refusal is not None and refusal[0] not in (errno.ESRCH, errno.ENOENT):
            raise netlink.network_error(*refusal, f"removing {_named(route)}")

    async def _carry_out(self, route: Route, index: int, flags: int) -> tuple[int, str] | None:
        scope = _SCOPES.get(route.kind, netlink.RT_SCOPE_UNIVERSE)
        request = _request(netlink.RTM_NEWROUTE, flags, route, index, scope)
        return (await self._in_thread(lambda requests: requests.carry_out([request]))).get(1)

    async def _in_thread(self, work: Callable[[netlink.Requests], Result]) -> Result:
        requests = self._requests
        assert requests is not None
        return await anyio.to_thread.run_sync(lambda: work(requests), limiter=self._one_at_a_time)


def _named(route: Route) -> str:
    by = f" by {route.interface}" if route.interface else ""
    return f"the route to {route.address}{by} in table {route.table} (type {route.kind}, protocol {route.protocol})"


def _number(kind: int, value: int) -> bytes:
    return netlink.attribute(kind, _NUMBER.pack(value))


def _header(family: int, bits: int, table: int, protocol: int, scope: int, kind: int) -> bytes:
    # A table above 255 doesn't fit into the header: it counts as none there, and RTA_TABLE names it.
    return _RTMSG.pack(family, bits, 0, 0, table if table <= _ONE_BYTE else 0, protocol, scope, kind, 0)


def _request(verb: int, flags: int, route: Route, index: int, scope: int) -> bytes:
    family = Family.of(route.address)
    body = _header(netlink.FAMILIES[family], family.bits, route.table, route.protocol, scope, route.kind)
    body += netlink.attribute(netlink.RTA_DST, route.address.packed) + _number(RTA_TABLE, route.table)
    if index:
        body += _number(RTA_OIF, index)
    return netlink.message(verb, netlink.NLM_F_REQUEST | flags, 1, body)


def _listed(requests: netlink.Requests, family: Family, table: int, protocol: int) -> list[tuple[int, bytes]]:
    body = _header(netlink.FAMILIES[family], 0, table, protocol, 0, 0) + _number(RTA_TABLE, table)
    asked = netlink.message(netlink.RTM_GETROUTE, netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP, 1, body)
    try:
        return requests.listed(asked)
    except NetworkError as error:
        if error.errno == errno.ENOENT:  # there is no such table, as long as it has no route
            return []
        raise


def _parse(body: bytes, names: dict[int, str]) -> Route | None:
    """Unpack a route; ``None`` where it is not to a single address."""
    family, bits, _source, _tos, table, protocol, _scope, kind, _flags = _RTMSG.unpack_from(body)
    found = netlink.attributes(body, _RTMSG.size)
    ours = next((each for each, number in netlink.FAMILIES.items() if number == family), None)
    if ours is None or bits != ours.bits or netlink.RTA_DST not in found:
        return None
    if RTA_TABLE in found:
        (table,) = _NUMBER.unpack(found[RTA_TABLE])
    index = _NUMBER.unpack(found[RTA_OIF])[0] if RTA_OIF in found and kind not in NOWHERE else 0
    return Route(
        address=ip_address(found[netlink.RTA_DST]),
        table=table,
        protocol=protocol,
        kind=kind,
        interface=names.get(index, ""),
    )
