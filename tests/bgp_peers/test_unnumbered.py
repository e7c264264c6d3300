"""Peers without an address, on an interface: BIRD and FRR are found by their router advertisements, and find us."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio
from kubevip_bgp import BgpBackend

from kubevip.model import Vip
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.runtime.host import LocalHost
from tests.bgp_peers.routers import NODE, OURS, THEIRS, UnnumberedFrr
from tests.kernel import run_on
from tests.waiting import until

pytestmark = pytest.mark.peer

V4, V6 = Vip.parse("10.9.0.1", interface="eth0"), Vip.parse("fd09::1", interface="eth0")
PEERS = {
    "bgp_peers": f"unnumbered:eth0:{THEIRS}",
    "bgp_routerid": NODE[0],
    "bgp_hold_time": "9",
    "bgp_keepalive_interval": "3",
}
BIRD = """\
log "{directory}/bird.log" all;
router id 10.7.0.2;
protocol device {{ scan time 1; }}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol kernel {{ ipv6 {{ import none; export all; }}; }}
protocol radv {{
    interface "eth0" {{ min ra interval 3; max ra interval 4; default lifetime 0; }};
    prefix ::/0 {{ skip; }};
}}
protocol bgp node {{
    local as {theirs};
    neighbor range fe80::/10 as {ours};
    interface "eth0"; {options}
    ipv4 {{ import all; export none; extended next hop on; }};
    ipv6 {{ import all; export none; }};
}}
"""


@asynccontextmanager
async def speaking(**settings):
    """A backend with the router on eth0 as its peer."""
    async with AsyncExitStack() as stack:
        links = await stack.enter_async_context(Monitor())
        wire = Wire(links)
        stack.callback(wire.close)
        backend = BgpBackend(LocalHost("node", PEERS | settings, links, wire))
        yield await stack.enter_async_context(backend)


@pytest_asyncio.fixture
async def bare(segment):
    """The node's end of the wire has its link-local address and no other."""
    node, own = segment.machines["node"], (f"{NODE[0]}/24", f"{NODE[1]}/64")
    for address in own:
        await run_on(node, "ip", "addr", "del", address, "dev", "eth0")
    yield
    for address in own:
        await run_on(node, "ip", "addr", "add", address, "dev", "eth0")


async def kernel_has(router, family, text):
    return text in await run_on(router, "ip", family, "route")


async def established(backend):
    await until(lambda: backend.peerings()[0].established, 15, "a session")


def start(bird, options=""):
    bird.start_as(BIRD.format(directory=bird.directory, ours=OURS, theirs=THEIRS, options=options))


async def test_router_on_an_interface_is_found_and_learns_both_families(bird, node):
    start(bird)
    async with speaking() as backend:
        await established(backend)
        await backend.announce(V4)
        await backend.announce(V6)
        await bird.wait_routes(str(V4.address), str(V6.address))
        (peering,) = backend.peerings()
        assert peering.peer == "unnumbered:eth0"


async def test_routes_of_both_families_go_by_the_link_local_address_where_the_wire_has_no_other(
    bird, router, node, bare
):
    start(bird)
    async with speaking() as backend:
        await established(backend)
        await backend.announce(V4)
        await backend.announce(V6)
        await bird.wait_routes(str(V4.address), str(V6.address))
        await until(lambda: kernel_has(router, "-4", "10.9.0.1 via inet6 fe80::"), 3)
        await until(lambda: kernel_has(router, "-6", "fd09::1 via fe80::"), 3)
        await backend.withdraw(V4)
        await bird.wait_routes(str(V6.address))


async def test_router_that_comes_later_is_found_by_what_it_advertises(bird, node):
    async with speaking() as backend:
        await until(lambda: "no router advertises itself on eth0" in backend.peerings()[0].reason, 5)
        start(bird)
        await established(backend)


async def test_unnumbered_peer_has_a_password_too(bird, node):
    start(bird, 'password "hush";')
    async with speaking(bgp_peers=f"unnumbered:eth0:{THEIRS}:hush") as backend:
        await established(backend)


async def test_router_of_frr_finds_us_and_is_found(router, node, bare, tmp_path):
    frr = UnnumberedFrr(router, tmp_path / "frr")
    frr.start_with()
    try:
        async with speaking(bgp_connection="both") as backend:
            await established(backend)
            await backend.announce(V4)
            await backend.announce(V6)
            await frr.wait_routes(str(V4.address), str(V6.address))
    finally:
        frr.kill()
