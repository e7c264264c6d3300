"""BFD with BIRD: who is gone is known in a few intervals, long before the hold time."""

import socket
from ipaddress import IPv4Address, ip_address
from time import monotonic

import attrs
import pytest
from kubevip_bgp.neighbors import Detection, Neighbor

from tests.bgp_peers.conftest import announce, wait_up
from tests.bgp_peers.routers import NODE, ROUTER, THEIRS
from tests.waiting import until

pytestmark = pytest.mark.peer

V4 = "10.9.0.1/32"
DETECTION = Detection(receive=0.05, transmit=0.05, multiplier=3)
PEER = Neighbor(address=IPv4Address(ROUTER[0]), number=THEIRS, detection=DETECTION)
PROTOCOL = """\
protocol bfd {
    interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; };
}
"""


async def is_up(bird):
    return "Up" in await bird.tell("show bfd sessions")


async def both_up(bird, speaker):
    await wait_up(speaker)
    await until(lambda: is_up(bird), 10, "BFD of BIRD")
    (dog,) = speaker._watchdogs._by_address.values()
    await until(lambda: dog.detector.state.name == "UP", 5, "our BFD")
    await until(lambda: not dog.detector._polling, 5)
    return dog


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
async def test_router_that_is_stopped_is_given_up_after_three_intervals(bird, node, family):
    bird.start_with("passive; bfd on;", neighbor=NODE[family], local=ROUTER[family], bfd=PROTOCOL)
    speaker = await node.speak(neighbor=attrs.evolve(PEER, address=ip_address(ROUTER[family])))
    await both_up(bird, speaker)
    bird.process.send_signal(19)
    began = monotonic()
    await until(lambda: not speaker.established, 3)
    assert monotonic() - began < 0.6
    assert "BFD" in speaker.statistics()[0].reason
    bird.process.send_signal(18)
    await wait_up(speaker, 15)


async def test_router_withdraws_our_routes_when_it_hears_nothing(bird, node):
    bird.start_with("passive; bfd on;", bfd=PROTOCOL)
    speaker = await node.speak(neighbor=PEER)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    dog = await both_up(bird, speaker)
    fall_silent(dog)
    began = monotonic()
    await bird.wait_routes(bound=3)
    assert monotonic() - began < 0.6


def fall_silent(dog):
    """Let a watchdog send nothing any more."""
    dog._socket.close()


async def test_session_goes_on_with_a_router_that_has_no_bfd(bird, node):
    bird.start_with("passive;")
    speaker = await node.speak(neighbor=PEER)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    assert speaker.statistics()[0].flaps == 0


async def test_port_that_is_taken_costs_bfd_and_nothing_else(bird, node, caplog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 3784))
        bird.start_with("passive;")
        speaker = await node.speak(neighbor=PEER)
        announce(speaker, V4)
        await bird.wait_routes(V4)
    (record,) = [each for each in caplog.records if each.message == "no BFD with the peer"]
    assert record.reason == "BFD at UDP port 3784: Address already in use"
