"""What the kernel knows of other machines: gateways from its routes, and whom it has reached lately.

It is asked seldom, in a thread of its own, and by messages packed by hand: loading pyroute2 for two questions would
take more memory than everything that is learnt by them.
"""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import TypeVar

import anyio.to_thread
import attrs

from kubevip.model import IPAddress
from kubevip.net import netlink
from kubevip.net.monitor import Monitor
from kubevip.net.netns import Enter

T = TypeVar("T")

# linux/rtnetlink.h, linux/neighbour.h
_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 4, 5, 6, 9, 15, 18
_MAIN_TABLE, _UNICAST = 254, 1
_NDA_DST, _NDA_CACHEINFO, _NDA_IFINDEX = 1, 3, 8
_INCOMPLETE = 0x01
_REACHABLE, _STALE, _DELAY, _PROBE = 0x02, 0x04, 0x08, 0x10
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BxxxiHBB")
_NEXT_HOP = struct.Struct("=HBBi")
# Whoever answered so many seconds ago may still do. The kernel counts in hundredths here (USER_HZ).
LATELY = 60.0
_TICKS = 100


@attrs.frozen
class Route:
    """A route in the main table: *gateways* by the index of their interface. The lower *metric* is preferred."""

    default: bool
    metric: int
    gateways: tuple[tuple[int, IPAddress], ...]


@attrs.frozen
class Neighbour:
    """A machine that the kernel knows; *age* in seconds since it was last known to be reachable."""

    index: int
    address: IPAddress
    age: float


@attrs.define(eq=False)
class KernelNeighbourhood:
    """Asks the kernel; see ``kubevip.ports.Neighbourhood``."""

    _monitor: Monitor
    _enter: Enter = contextlib.nullcontext

    async def gateways(self, interface: str) -> Sequence[IPAddress]:
        """Return the gateways of the routes through *interface*, those of default routes first."""
        index = self._monitor.get(interface).index
        routes = await self._listed(lambda family: ask_routes(family, index), parse_route)
        routes.sort(key=lambda route: (not route.default, route.metric))
        every = [gateway for route in routes for where, gateway in route.gateways if where == index]
        return list(dict.fromkeys(every))

    async def neighbours(self, interface: str) -> Sequence[IPAddress]:
        """Return who was reachable on *interface* a moment ago, the last one first."""
        index = self._monitor.get(interface).index
        known = await self._listed(lambda family: ask_neighbours(family, index), parse_neighbour)
        here = sorted((each for each in known if each.index == index), key=lambda each: each.age)
        return [each.address for each in here]

    async def sought(self, interface: str) -> Sequence[IPAddress]:
        """Return for whom the kernel asks on *interface* now."""
        index = self._monitor.get(interface).index
        known = await self._listed(lambda family: ask_neighbours(family, index), parse_sought)
        return [address for where, address in known if where == index]

    async def _listed(self, ask: Callable[[int], bytes], parse: Callable[[int, bytes], T | None]) -> list[T]:
        def listed() -> list[T]:
            with self._enter(), netlink.Requests() as requests:
                requests.filter_dumps()
                answers = [
                    each for family in (socket.AF_INET, socket.AF_INET6) for each in requests.listed(ask(family))
                ]
            return [found for kind, body in answers if (found := parse(kind, body)) is not None]

        return await anyio.to_thread.run_sync(listed)


def ask_routes(family: int, index: int) -> bytes:
    """Ask for the routes of the main table through an interface; a node may have a million others."""
    body = _RTMSG.pack(family, 0, 0, 0, _MAIN_TABLE, 0, 0, 0, 0)
    body += netlink.attribute(_RTA_OIF, struct.pack("=i", index))
    return netlink.message(netlink.RTM_GETROUTE, netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP, 1, body)


def ask_neighbours(family: int, index: int) -> bytes:
    """Ask for the neighbours on an interface."""
    body = _NDMSG.pack(family, 0, 0, 0, 0) + netlink.attribute(_NDA_IFINDEX, struct.pack("=i", index))
    return netlink.message(_RTM_GETNEIGH, netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP, 1, body)


def parse_route(kind: int, body: bytes) -> Route | None:
    """Unpack a route; ``None`` for one without a gateway, or of another table."""
    if kind != netlink.RTM_NEWROUTE:
        return None
    _family, length, _source, _tos, table, _protocol, _scope, route_type, _flags = _RTMSG.unpack_from(body)
    found = netlink.attributes(body, _RTMSG.size)
    if _RTA_TABLE in found:
        (table,) = struct.unpack("=I", found[_RTA_TABLE])
    if (table, route_type) != (_MAIN_TABLE, _UNICAST):
        return None
    gateways = tuple(_hops(found))
    metric = struct.unpack("=I", found[_RTA_PRIORITY])[0] if _RTA_PRIORITY in found else 0
    return Route(length == 0, metric, gateways) if gateways else None


def _hops(found: dict[int, bytes]) -> Iterator[tuple[int, IPAddress]]:
    gateway = _gateway(found)
    if gateway is not None and _RTA_OIF in found:
        yield struct.unpack("=i", found[_RTA_OIF])[0], gateway
    hops = found.get(_RTA_MULTIPATH, b"")
    while len(hops) >= _NEXT_HOP.size:
        length, _flags, _weight, index = _NEXT_HOP.unpack_from(hops)
        if length < _NEXT_HOP.size:
            return
        gateway = _gateway(netlink.attributes(hops[:length], _NEXT_HOP.size))
        if gateway is not None:
            yield index, gateway
        hops = hops[(length + 3) & ~3 :]


def _gateway(found: dict[int, bytes]) -> IPAddress | None:
    if _RTA_GATEWAY in found:
        return ip_address(found[_RTA_GATEWAY])
    # An IPv4 route by an IPv6 gateway has its family in front.
    return ip_address(found[_RTA_VIA][2:]) if len(found.get(_RTA_VIA, b"")) in (6, 18) else None


def parse_neighbour(kind: int, body: bytes) -> Neighbour | None:
    """Unpack a neighbour; ``None`` for one that has not been reachable lately."""
    if kind != _RTM_NEWNEIGH:
        return None
    _family, index, state, _flags, _type = _NDMSG.unpack_from(body)
    found = netlink.attributes(body, _NDMSG.size)
    if not state & (_REACHABLE | _STALE | _DELAY | _PROBE) or _NDA_DST not in found:
        return None
    confirmed = struct.unpack_from("=I", found[_NDA_CACHEINFO])[0] / _TICKS if _NDA_CACHEINFO in found else LATELY
    address = ip_address(found[_NDA_DST])
    if address.is_multicast or (confirmed >= LATELY and state != _REACHABLE):
        return None
    return Neighbour(index, address, confirmed)


def parse_sought(kind: int, body: bytes) -> tuple[int, IPAddress] | None:
    """Unpack interface and address of a neighbour that the kernel asks for; ``None`` for any other one."""
    if kind != _RTM_NEWNEIGH:
        return None
    _family, index, state, _flags, _type = _NDMSG.unpack_from(body)
    found = netlink.attributes(body, _NDMSG.size)
    return (index, ip_address(found[_NDA_DST])) if state & _INCOMPLETE and _NDA_DST in found else None
