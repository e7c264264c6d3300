"""A peer that does something wrong is named in the log, in a metric and in an Event; a good one beside it goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import attrs
import pytest
from kubevip_bgp import BgpBackend
from kubevip_bgp.capabilities import MULTIPROTOCOL, Capabilities
from kubevip_bgp.messages import KEEPALIVE, MARKER, Open, Stream, Update, encode
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi

from kubevip.controllers.peers import NodeTeller, Peers
from kubevip.metrics import metrics
from kubevip.model import Vip
from kubevip.plugin import NetworkError
from kubevip.statistics import AgentStatistics
from kubevip.testing import FakeHost, Segment
from tests.waiting import until

VIP, SIX = Vip.parse("10.0.0.201", interface="eth0"), Vip.parse("fd00::201", interface="eth0")
SAID = Open(
    number=65001,
    identifier=IPv4Address("10.0.0.2"),
    hold_time=3,
    capabilities=Capabilities(families=frozenset(Afi), four_octet_as=65001),
)
OTHER = Capabilities(four_octet_as=65009)
ONLY_VPN = attrs.evolve(SAID, capabilities=Capabilities(four_octet_as=65001, others=((MULTIPROTOCOL, b"\0\1\0\x80"),)))
# An UPDATE for 192.0.2.0/24 whose ORIGIN is 7, and the head of one of 5,000 bytes.
ROUTE = "40010107" + "40020602010000fde9" + "4003040a000001"
MALFORMED = MARKER + bytes.fromhex("002f02" + "0000" + "0014" + ROUTE + "18c00002")

OVERLONG = MARKER + (5000).to_bytes(2) + b"\2"
Behaviour = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """A router's side of one connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.stream, self.heard = Stream(), []

    async def hear(self):
        """Return the next message."""
        while not self.heard:
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionResetError
            self.stream.feed(data)
            self.heard += self.stream.messages()
        return self.heard.pop(0)

    def say(self, *data):
        self.writer.write(b"".join(data))

    async def agree(self, said=SAID):
        """Bring the session up."""
        await self.hear()
        self.say(encode(said), KEEPALIVE)
        await self.hear()

    async def last(self):
        """Keep the session up until the other side ends it."""
        while True:
            self.say(KEEPALIVE)
            if isinstance(await self.hear(), Notification):
                return


def opens_with(message: Open) -> Behaviour:
    async def behave(here: Conversation) -> None:
        await here.hear()
        here.say(encode(message))
        await here.last()

    return behave


def says(data: bytes, *, established: bool = False) -> Behaviour:
    async def behave(here: Conversation) -> None:
        if established:
            await here.agree()
        else:
            await here.hear()
        here.say(data)
        await here.last()

    return behave


async def be_good(here: Conversation) -> None:
    await here.agree()
    await here.last()


async def say_nothing(here: Conversation) -> None:
    while True:
        await here.hear()


async def go_silent(here: Conversation) -> None:
    await here.agree()
    await say_nothing(here)


@asynccontextmanager
async def router(behave: Behaviour, host: str = "127.0.0.1"):
    """A router that behaves so on each connection; give its port, and what it was told of routes."""
    told: list[Update] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        here = Conversation(reader, writer)
        hear = here.hear

        async def noting():
            message = await hear()
            if isinstance(message, Update):
                told.append(message)
            return message

        here.hear = noting
        try:
            await behave(here)
        except (ConnectionError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], told
    finally:
        server.close()
        for task in tasks:
            task.cancel()


class Noted:
    """The Events of the Node."""

    def __init__(self):
        self.told = []

    def normal(self, _key, _uid, reason, message, *, kind):
        self.told.append((kind, reason, message))

    warning = normal


def speaking(*ports):
    """A backend with a peer at each of *ports*."""
    peers = ",".join(f"127.0.0.{number}:65001:::{port}" for number, port in enumerate(ports, start=1))
    settings = {"bgp_peers": peers, "bgp_hold_time": "3", "bgp_keepalive_interval": "1"}
    return BgpBackend(FakeHost("here", Segment(), settings))


def samples(backend):
    """Return the names and labels of the metrics of peers."""
    facts = {"waiting": "", "electors": (), "keeper": None, "announcers": {}, "services": None, "reflectors": {}}
    told = metrics(AgentStatistics(node="n", peerings=tuple(backend.peerings()), **facts))
    return [(sample.name, sample.labels) for family in told for sample in family.samples if "peer" in sample.labels]


def metric(backend, name):
    """Return the values of a metric of peers, by the last of its labels."""
    facts = {"waiting": "", "electors": (), "keeper": None, "announcers": {}, "services": None, "reflectors": {}}
    told = metrics(AgentStatistics(node="n", peerings=tuple(backend.peerings()), **facts))
    found = [sample for family in told for sample in family.samples if sample.name == name]
    return {list(sample.labels.values())[-1]: sample.value for sample in found}


BAD = {
    "another AS": (
        opens_with(attrs.evolve(SAID, capabilities=OTHER)),
        "of AS 65009, not 65001",
    ),
    "hold time 1": (opens_with(attrs.evolve(SAID, hold_time=1)), "a hold time of 1 s, which has to be 0 or at least 3"),
    "hold time 2": (opens_with(attrs.evolve(SAID, hold_time=2)), "Unacceptable Hold Time (2/6)"),
    "identifier 0": (opens_with(attrs.evolve(SAID, identifier=IPv4Address(0))), "the BGP identifier 0.0.0.0"),
    "no common family": (opens_with(ONLY_VPN), "the peer speaks of no address family that we do"),
    "no BGP": (says(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "what arrives is not BGP"),
    "keeps silent": (say_nothing, "nothing was heard for the hold time"),
    "goes silent": (go_silent, "nothing was heard for the hold time"),
    "overlong message": (says(OVERLONG, established=True), "a message of type 2 with 5000 bytes"),
    "OPEN twice": (says(encode(SAID), established=True), "an OPEN (19); the peer was told: Finite State Machine Error"),
    "update before its time": (says(encode(Update())), "an UPDATE (27); the peer was told: Finite State Machine Error"),
    "shut down": (
        says(encode(Notification.shutdown("until noon")), established=True),
        "the peer says: Cease: Administrative Shutdown (6/2), it says 'until noon'",
    ),
}


@pytest.mark.parametrize(("behave", "reason"), BAD.values(), ids=BAD)
async def test_wrong_peer_is_named_everywhere_and_the_good_one_goes_on(behave, reason, caplog):
    noted = Noted()
    async with (
        router(behave) as (bad, _),
        router(be_good, "127.0.0.2") as (good, told),
        speaking(bad, good) as backend,
    ):
        peers = Peers(backend.peerings, NodeTeller("here", noted))
        await backend.announce(VIP)

        def seen():
            peers.look()
            return any(each[1] == "PeerLost" and reason in each[2] for each in noted.told)

        await until(seen, 8, reason)
        assert f"127.0.0.1:{bad}" in next(text for _kind, what, text in noted.told if what == "PeerLost")
        bad_ones = [labels["peer"] for name, labels in samples(backend) if name == "kubevip_peer_reason_info"]
        assert bad_ones == [f"127.0.0.1:{bad}"]
        lines = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [line for line in lines if line.peer == f"127.0.0.1:{bad}" and reason in line.reason]
        await until(lambda: [prefix for each in told for prefix in each.reached])
        assert (backend.peerings()[1].established, backend.peerings()[1].flaps) == (True, 0)


async def test_malformed_route_is_named_everywhere_and_the_session_goes_on(caplog):
    noted = Noted()
    async with router(says(MALFORMED, established=True)) as (port, _), speaking(port) as backend:
        await until(lambda: backend.peerings()[0].malformed)
        Peers(backend.peerings, NodeTeller("here", noted)).look()
        (peering,) = backend.peerings()
        assert (peering.established, peering.flaps, peering.complaint) == (True, 0, "ORIGIN 07")
        assert ("Node", "PeerMalformed", f"127.0.0.1:{port} has sent what can't be used: ORIGIN 07") in noted.told
        assert ("kubevip_peer_complaint_info", {"peer": peering.peer, "reason": "ORIGIN 07"}) in samples(backend)
        assert "a route of the peer is malformed" in caplog.messages


async def test_peer_with_a_hold_time_of_0_is_never_given_up():
    async def behave(here: Conversation) -> None:
        await here.agree(attrs.evolve(SAID, hold_time=0))
        await say_nothing(here)

    async with router(behave) as (port, _), speaking(port) as backend:
        await backend.announce(VIP)
        await asyncio.sleep(3.5)
        assert (backend.peerings()[0].established, backend.peerings()[0].flaps) == (True, 0)


async def test_address_of_a_family_that_is_not_negotiated_is_named_and_others_are_announced():
    only_ipv4 = attrs.evolve(SAID, capabilities=Capabilities(families=frozenset({Afi.IPV4}), four_octet_as=65001))

    async def behave(here: Conversation) -> None:
        await here.agree(only_ipv4)
        await here.last()

    noted = Noted()
    async with router(behave) as (port, told), speaking(port) as backend:
        with pytest.raises(NetworkError, match="no BGP session carries IPv6 routes: no router has agreed to it"):
            await backend.announce(SIX)
        Peers(backend.peerings, NodeTeller("here", noted)).look()
        assert noted.told == [
            ("Node", "PeerEstablished", f"127.0.0.1:{port} hears what this node announces, IPv4 alone")
        ]
        families = metric(backend, "kubevip_peer_family")
        assert families == {"IPv4": 1, "IPv6": 0}
        await backend.announce(VIP)
        await until(lambda: [prefix for each in told for prefix in each.reached])
        assert {str(prefix) for each in told for prefix in each.reached} == {"10.0.0.201/32"}


async def test_peer_that_signs_otherwise_is_asked_after_its_password_and_the_good_one_goes_on(monkeypatch, caplog):
    monkeypatch.setattr("kubevip_bgp.connection.CONNECT_TIMEOUT", 0.3)
    reason, noted = "no connection within 0.3 s; has the peer the same password?", Noted()
    async with router(be_good) as (bad, _), router(be_good, "127.0.0.2") as (good, told):
        peers = f"127.0.0.1:65001:hush::{bad},127.0.0.2:65001:::{good}"
        async with BgpBackend(FakeHost("here", Segment(), {"bgp_peers": peers})) as backend:
            await backend.announce(VIP)
            await until(lambda: backend.peerings()[0].reason == reason)
            Peers(backend.peerings, NodeTeller("here", noted)).look()
            assert ("Node", "PeerLost", f"127.0.0.1:{bad} hears nothing of this node: {reason}") in noted.told
            assert metric(backend, "kubevip_peer_reason_info") == {reason: 1}
            await until(lambda: [prefix for each in told for prefix in each.reached])
    assert "hush" not in caplog.text + str(noted.told)
