"""Our speaker with BIRD, FRR and GoBGP: what they come to know, and what becomes of it."""

from ipaddress import IPv4Address

import attrs
import pytest
from kubevip_bgp import BgpBackend
from kubevip_bgp.neighbors import Neighbor

from kubevip.model import Vip
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.runtime.host import LocalHost
from tests.bgp_peers.conftest import announce, crash, wait_up, withdraw
from tests.bgp_peers.routers import ROUTER, THEIRS, Bird, GoBgp
from tests.waiting import until

pytestmark = pytest.mark.peer

V4, V6 = "10.9.0.1/32", "fd09::1/128"
VIP = Vip.parse("10.9.0.1", interface="eth0")
PEER = Neighbor(address=IPv4Address(ROUTER[0]), number=THEIRS)


async def test_router_learns_and_forgets_routes_of_both_families(daemon, node):
    daemon.start_with()
    speaker = await node.speak()
    announce(speaker, V4, V6)
    await daemon.wait_routes(V4, V6)
    withdraw(speaker, V4)
    await daemon.wait_routes(V6)
    withdraw(speaker, V6)
    await daemon.wait_routes()
    announce(speaker, V4)
    await daemon.wait_routes(V4)
    assert speaker.statistics()[0].flaps == 0


async def test_router_with_the_same_password_takes_our_routes(daemon, node):
    if isinstance(daemon, Bird):
        daemon.start_with('passive; password "hush";')
    else:
        daemon.start_with(password="hush")
    speaker = await node.speak(neighbor=attrs.evolve(PEER, password="hush"))
    announce(speaker, V4)
    await daemon.wait_routes(V4)


async def test_routes_are_back_after_the_router_was_started_anew(daemon, node):
    daemon.start_with()
    speaker = await node.speak()
    announce(speaker, V4, V6)
    await daemon.wait_routes(V4, V6)
    daemon.kill()
    daemon.start_with()
    await daemon.wait_routes(V4, V6, bound=20)
    await wait_up(speaker)
    assert speaker.statistics()[0].flaps == 1


async def test_new_route_never_resets_a_session(daemon, node):
    daemon.start_with()
    speaker = await node.speak()
    known = []
    for last in range(1, 6):
        new = [f"10.9.0.{last}/32", f"fd09::{last}/128"]
        known += new
        announce(speaker, *new)
        await daemon.wait_routes(*known)
    assert (speaker.established, speaker.statistics()[0].flaps) == (True, 0)


async def test_core_is_told_when_the_router_is_gone(daemon, segment, node):
    failed = []
    daemon.start_with()
    async with Monitor() as links:
        wire = Wire(links)
        host = LocalHost("node", {"bgp_peers": f"{ROUTER[0]}:{THEIRS}"}, links, wire, on_failure=failed.extend)
        async with BgpBackend(host) as backend:
            await until(lambda: backend.peerings()[0].established, 15, "a session")
            await backend.announce(VIP)
            await daemon.wait_routes("10.9.0.1/32")
            assert failed == []
            daemon.kill()
            await until(lambda: failed, 5)
            assert failed == [VIP]
        wire.close()


async def test_routes_are_gone_when_the_speaker_stops(daemon, node):
    daemon.start_with()
    speaker = await node.speak()
    announce(speaker, V4, V6)
    await daemon.wait_routes(V4, V6)
    await node.stack.aclose()
    await daemon.wait_routes(bound=2)


async def test_routes_stay_while_the_agent_is_started_anew(daemon, node):
    if isinstance(daemon, Bird):
        daemon.start_with("passive; graceful restart on;")
    else:
        daemon.start_with(graceful=True)
    # GoBGP takes no connection for 5 s after it has lost one.
    seconds = 20 if isinstance(daemon, GoBgp) else 6
    first = await node.speak(graceful_restart=seconds)
    announce(first, V4, V6, "10.9.0.2/32")
    await daemon.wait_routes(V4, V6, "10.9.0.2/32")
    crash(first)
    await until(lambda: not first.established, 2)
    assert await daemon.routes() == {V4, V6, "10.9.0.2/32"}
    second = await node.speak(graceful_restart=seconds)
    await wait_up(second, 15)
    assert await daemon.routes() == {V4, V6, "10.9.0.2/32"}
    announce(second, V4, V6)
    # What isn't announced again goes when the restart is over.
    await daemon.wait_routes(V4, V6, bound=10)
    assert second.statistics()[0].flaps == 0


async def test_thousands_of_routes_are_learnt_and_forgotten(daemon, node):
    if isinstance(daemon, Bird):
        daemon.start_with("passive;")
    else:
        daemon.start_with()
    speaker = await node.speak()
    await wait_up(speaker, 15)
    prefixes = [f"10.100.{number >> 8}.{number & 255}/32" for number in range(10_000)]
    announce(speaker, *prefixes)
    await daemon.wait_routes(*prefixes, bound=30)
    withdraw(speaker, *prefixes)
    await daemon.wait_routes(bound=30)
    assert speaker.statistics()[0].flaps == 0
