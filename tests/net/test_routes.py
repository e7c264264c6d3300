"""The interface of the default route."""

import anyio
import pytest

from kubevip.net.routes import default_interface
from tests.kernel import run_on

pytestmark = pytest.mark.kernel


@pytest.fixture
def found(segment):
    machine = segment.machines["n1"]

    def find():
        machine.network.enter()
        return anyio.run(default_interface)

    async def with_routes(*routes):
        await run_on(machine, "ip", "link", "add", "lan0", "up", "type", "veth", "peer", "name", "lan0-end")
        await run_on(machine, "ip", "link", "set", "lan0-end", "up")
        await run_on(machine, "ip", "addr", "add", "192.168.7.1/24", "dev", "lan0")
        await run_on(machine, "ip", "addr", "add", "fd07::1/64", "dev", "lan0", "nodad")
        for route in routes:
            await run_on(machine, "ip", *route.split())
        # The thread enters the machine for good: it has to be one of its own.
        return await anyio.to_thread.run_sync(find, limiter=anyio.CapacityLimiter(1))

    return with_routes


ETH0, LAN0 = "route add default via 10.9.0.254 dev eth0", "route add default via 192.168.7.254 dev lan0"
ETH0_6 = "-6 route add default via fd09::fe dev eth0"


@pytest.mark.parametrize(
    ("routes", "interface"),
    [
        ((), None),
        ((ETH0,), "eth0"),
        ((f"{ETH0} metric 200", f"{LAN0} metric 100"), "lan0"),
        ((f"{ETH0} metric 100", f"{LAN0} metric 200"), "eth0"),
        ((f"{LAN0} metric 200", ETH0_6), "lan0"),
        ((ETH0_6,), "eth0"),
        ((f"{ETH0} table 100", f"{LAN0} metric 500"), "lan0"),
        ((f"{ETH0} table 100",), None),
        (("route add unreachable default", "-6 route add unreachable default dev lo"), None),
        (("route add 10.50.0.0/16 via 10.9.0.254",), None),
        (("route add default nexthop via 10.9.0.253 dev eth0 nexthop via 10.9.0.254 dev eth0",), "eth0"),
    ],
)
async def test_best_default_route_counts(found, routes, interface):
    assert await found(*routes) == interface
