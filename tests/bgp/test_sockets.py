"""Peers of the speaker on the loopback interface: pauses, collisions, silence, limits, and what is cut off."""

import asyncio
import socket
from ipaddress import IPv4Address, ip_network

import pytest
from kubevip_bgp.capabilities import Capabilities
from kubevip_bgp.messages import KEEPALIVE, Open, Stream, encode
from kubevip_bgp.neighbors import Detection, Neighbor
from kubevip_bgp.notification import Notification
from kubevip_bgp.peer import Peer
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.routes import Route
from kubevip_bgp.sockets import Source, dial
from kubevip_bgp.speaker import Identity, Speaker

from kubevip.plugin import NetworkError
from tests.waiting import until

LOOPBACK = IPv4Address("127.0.0.1")
SAID = Open(
    number=65001,
    identifier=IPv4Address("10.0.0.2"),
    hold_time=9,
    capabilities=Capabilities(families=frozenset(Afi), four_octet_as=65001),
)


class Router:
    """Accepts connections and hands them over; says nothing by itself."""

    def __init__(self):
        self.connections = asyncio.Queue()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.take, str(LOOPBACK), 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        while not self.connections.empty():
            self.connections.get_nowait()[1].close()

    def take(self, reader, writer):
        self.connections.put_nowait((reader, writer))

    async def next(self, bound=5):
        async with asyncio.timeout(bound):
            return await self.connections.get()


def speaker(port, detection=None, **identity):
    facts = {"number": 65000, "identifier": IPv4Address("10.0.0.1"), "hold_time": 3, "keepalive": 1} | identity
    neighbor = Neighbor(address=LOOPBACK, number=65001, port=port, detection=detection)
    return Speaker(Identity(**facts), [neighbor], Source(), lambda: {"lo": (LOOPBACK,)})


async def said(reader, bound=10):
    """Return the next message."""
    stream = Stream()
    async with asyncio.timeout(bound):
        head = await reader.readexactly(19)
        stream.feed(head + await reader.readexactly(int.from_bytes(head[16:18]) - 19))
    (message,) = stream.messages()
    return message


async def greet(reader, writer):
    """Bring a session up from the router's side."""
    assert isinstance(await said(reader), Open)
    writer.write(encode(SAID) + KEEPALIVE)
    await said(reader)


async def test_peer_that_accepts_and_never_speaks_is_told_and_left():
    async with Router() as router, speaker(router.port) as ours:
        reader, writer = await router.next()
        assert isinstance(await said(reader), Open)
        assert await said(reader) == Notification(4)
        assert "nothing was heard for the hold time" in ours.statistics()[0].reason
        writer.close()


async def test_what_is_no_bgp_is_answered_with_its_code_and_left():
    async with Router() as router, speaker(router.port) as ours:
        reader, writer = await router.next()
        await said(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await said(reader) == Notification(1, 1)
        assert "what arrives is not BGP" in ours.statistics()[0].reason
        writer.close()


async def test_pauses_between_attempts_grow(monkeypatch):
    pauses = []

    async def rest(self, seconds):
        pauses.append(seconds)
        if len(pauses) > 8:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    monkeypatch.setattr(Peer, "_rest", rest)
    with socket.socket() as sock:
        sock.bind((str(LOOPBACK), 0))
        async with speaker(sock.getsockname()[1]):
            await until(lambda: len(pauses) > 8)
    assert all(0.75 * full <= pause <= full for pause, full in zip(pauses, [1, 2, 4, 8, 16, 30, 30], strict=False))


async def test_session_that_ends_with_the_connection_is_begun_anew():
    async with Router() as router, speaker(router.port) as ours:
        ours.announce(ip_network("10.9.0.1/32"), Route())
        for _ in range(2):
            reader, writer = await router.next()
            await greet(reader, writer)
            update = await said(reader)
            assert update.reached == (ip_network("10.9.0.1/32"),)
            writer.close()
        await until(lambda: ours.statistics()[0].flaps == 2)
        assert ours.statistics()[0].reason == "the peer has closed the connection"


async def test_bfd_that_could_not_begin_does_so_with_the_next_session(monkeypatch, caplog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        monkeypatch.setattr("kubevip_bgp.watchdogs.NEAR_PORT", taken.getsockname()[1])
        async with Router() as router, speaker(router.port, detection=Detection()) as ours:
            for attempt in range(3):
                reader, writer = await router.next()
                await greet(reader, writer)
                await until(lambda: ours.established)
                assert ours._watchdogs.watches(ours._peers[0]) is (attempt == 2)
                if attempt == 1:
                    taken.close()
                writer.close()
                await until(lambda: not ours.established)
    assert caplog.messages.count("no BFD with the peer") == 1


async def test_stop_is_told_with_a_text():
    async with Router() as router:
        async with speaker(router.port) as ours:
            reader, writer = await router.next()
            await greet(reader, writer)
            await until(lambda: ours.established)
        messages = [await said(reader)]
        while not isinstance(messages[-1], Notification):
            messages.append(await said(reader))
        assert str(messages[-1]) == "Cease: Administrative Shutdown (6/2), it says 'kubevip stops'"
        writer.close()


async def test_second_connection_of_a_peer_that_is_up_is_refused():
    with socket.socket() as sock:
        sock.bind((str(LOOPBACK), 0))
        port = sock.getsockname()[1]
    neighbor = Neighbor(address=LOOPBACK, number=65001)
    identity = Identity(number=65000, identifier=IPv4Address("10.0.0.1"), connect=False, accept=True, port=port)
    async with Speaker(identity, [neighbor], Source(address=LOOPBACK), dict) as ours:
        first = await asyncio.open_connection(str(LOOPBACK), port)
        await greet(*first)
        await until(lambda: ours.established)
        second = await asyncio.open_connection(str(LOOPBACK), port)
        await said(second[0])
        second[1].write(encode(SAID))
        answers = [await said(second[0]) for _ in range(2)]
        assert Notification(6, 7) in answers
        assert ours.established
        for _reader, writer in (first, second):
            writer.close()


@pytest.mark.parametrize(
    ("facts", "source", "external", "ttl", "least"),
    [
        ({}, Source(), True, 1, 0),
        ({}, Source(), False, 64, 0),
        ({"multihop": True}, Source(), True, 50, 0),
        ({}, Source(ttl_security=True), True, 255, 255),
        ({"multihop": True}, Source(ttl_security=True), True, 50, 0),
    ],
)
def test_hops_are_limited_as_the_peer_is_near_or_far(facts, source, external, ttl, least):
    with dial(Neighbor(address=LOOPBACK, number=65001, **facts), source, external=external) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == ttl
        assert sock.getsockopt(socket.IPPROTO_IP, 21) == least


def test_unanswered_data_ends_the_connection_within_the_patience():
    with dial(Neighbor(address=LOOPBACK, number=65001), Source(patience=9), external=True) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, 18) == 9000


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Source(interface="none0"), r"sessions can't start from 'none0' \(bgp_sourceif\): there is no such interface"),
        (
            Source(address=IPv4Address("192.0.2.1")),
            r"sessions can't start from 192\.0\.2\.1 \(bgp_sourceip\): no interface of this node has that address",
        ),
    ],
)
def test_source_that_this_node_has_not_is_named(source, reason):
    with pytest.raises(NetworkError, match=reason):
        dial(Neighbor(address=LOOPBACK, number=65001), source, external=True)
