"""Routes, through pyroute2: nothing of it is in a hurry."""

import socket

MAIN_TABLE = 254


async def default_interface() -> str | None:
    """Return the interface of the best default route, IPv4 before IPv6; ``None`` where there is no such route."""
    # Loaded here, because most agents are told their interface.
    from pyroute2 import AsyncIPRoute

    async with AsyncIPRoute() as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            routes = [
                (route.get("priority") or 0, route.get("oif"))
                async for route in await kernel.route("dump", family=family)
                if route["dst_len"] == 0 and route.get("table") == MAIN_TABLE and route.get("oif")
            ]
            if routes:
                (link,) = await kernel.link("get", index=min(routes)[1])
                return str(link.get("ifname"))
    return None
