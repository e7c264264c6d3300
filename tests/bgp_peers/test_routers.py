"""Our speaker with BIRD, FRR and GoBGP: what they come to know, and what becomes of it."""

from ipaddress import IPv4Address

import attrs
import pytest
from kubevip_bgp.neighbors import Neighbor

from tests.bgp_peers.conftest import announce, wait_up, withdraw
from tests.bgp_peers.routers import ROUTER, THEIRS, Bird

pytestmark = pytest.mark.peer

V4, V6 = "10.9.0.1/32", "fd09::1/128"
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


async def test_routes_are_gone_when_the_speaker_stops(daemon, node):
    daemon.start_with()
    speaker = await node.speak()
    announce(speaker, V4, V6)
    await daemon.wait_routes(V4, V6)
    await node.stack.aclose()
    await daemon.wait_routes(bound=2)
