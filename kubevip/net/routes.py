"""Routes, through pyroute2: nothing of it is in a hurry."""

import socket
from typing import Any

MAIN_TABLE = 254
UNICAST = 1


async def default_interface() -> str | None:
    """Return the interface of the best default route, IPv4 before IPv6; ``None`` where there is no such route."""
    # Loaded here, because most agents are told their interface.
    from pyroute2 import AsyncIPRoute

    async with AsyncIPRoute() as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            routes = [
                (route.get("priority") or 0, _interface(route))
                async for route in await kernel.route("dump", family=family)
                if route["dst_len"] == 0 and route.get("table") == MAIN_TABLE and route["type"] == UNICAST
            ]
            best = min((route for route in routes if route[1]), default=None)
            if best is not None:
                (link,) = await kernel.link("get", index=best[1])
                return str(link.get("ifname"))
    return None


def _interface(route: Any) -> int:
    """Return the index of the interface of a route, or of its first hop where it has several; else 0."""
    hops = route.get("multipath") or ()
    return int(route.get("oif") or next((hop["oif"] for hop in hops), 0))
