"""The backend keeps the contract, with a peer on the loopback interface."""

import socket
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from kubevip_bgp import BgpBackend
from kubevip_bgp.agreement import Ended, Heard
from kubevip_bgp.messages import Update
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.peer import Peer
from kubevip_bgp.sockets import Source
from kubevip_bgp.speaker import Identity, Speaker

from kubevip.model import Vip
from kubevip.plugin import ConfigError, NetworkError
from kubevip.testing import FakeHost, Segment, check_backend
from tests.waiting import until

LOOPBACK = IPv4Address("127.0.0.1")
VIP, SIX = Vip.parse("10.0.0.201", interface="eth0"), Vip.parse("fd00::201", interface="eth0")


def free_port():
    with socket.socket() as sock:
        sock.bind((str(LOOPBACK), 0))
        return sock.getsockname()[1]


@asynccontextmanager
async def router(port, monkeypatch, **facts):
    """A speaker that listens on the loopback interface, and what it hears."""
    known = set()
    heard = Peer._happened

    def happened(self, connection, happening):
        if isinstance(happening, Heard) and self.local.number == 65001:
            note(happening.update)
        if isinstance(happening, Ended) and self.local.number == 65001:
            known.clear()
        heard(self, connection, happening)

    def note(update: Update):
        known.difference_update(update.unreached)
        known.update(update.reached)

    monkeypatch.setattr(Peer, "_happened", happened)
    identity = Identity(
        number=65001, identifier=IPv4Address("10.0.0.99"), accept=True, connect=False, port=port, **facts
    )
    neighbor = Neighbor(address=LOOPBACK, number=65000)
    async with Speaker(identity, [neighbor], Source(address=LOOPBACK), dict):
        yield known


def host(port, **settings):
    return FakeHost("here", Segment(), {"bgp_peers": f"127.0.0.1:65001:::{port}", **settings})


async def test_backend_keeps_the_contract(monkeypatch):
    port = free_port()
    async with router(port, monkeypatch) as known:
        await check_backend("bgp", settings=host(port).settings)
        await until(lambda: not known)


async def test_vip_is_a_host_route_whatever_its_prefix_length(monkeypatch):
    port = free_port()
    async with router(port, monkeypatch) as known, BgpBackend(host(port)) as backend:
        await backend.announce(Vip.parse("10.0.0.201/24", interface="eth0"))
        await until(lambda: known == {ip_network("10.0.0.201/32")})


async def test_address_that_is_announced_on_two_interfaces_goes_with_the_last(monkeypatch):
    port = free_port()
    other = Vip.parse("10.0.0.201", interface="eth1")
    async with router(port, monkeypatch) as known, BgpBackend(host(port)) as backend:
        await backend.announce(VIP)
        await backend.announce(other)
        await backend.withdraw(VIP)
        await backend.announce(SIX)
        await until(lambda: known >= {ip_network("10.0.0.201/32")})
        await backend.withdraw(other)
        await until(lambda: ip_network("10.0.0.201/32") not in known)


async def test_announcement_fails_while_nobody_hears_it_and_names_the_reason(monkeypatch):
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    port = free_port()
    async with BgpBackend(host(port)) as backend:
        with pytest.raises(NetworkError, match=rf"no BGP session: 127.0.0.1:{port}: no connection: Connection refused"):
            await backend.announce(VIP)
        (peering,) = backend.peerings()
        assert (peering.established, peering.state, peering.routes) == (False, "Idle", 0)


async def test_announcement_that_failed_reaches_the_router_when_it_comes(monkeypatch):
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    port = free_port()
    machine = host(port)
    async with BgpBackend(machine) as backend:
        with pytest.raises(NetworkError):
            await backend.announce(VIP)
        async with router(port, monkeypatch) as known:
            await until(lambda: known == {ip_network("10.0.0.201/32")})
            await until(lambda: backend.peerings()[0].established)
            # Whoever waits to try again needn't any more.
            assert machine.recoveries == 1
            await backend.announce(VIP)


async def test_core_is_told_what_nobody_hears_any_more_when_the_last_session_ends(monkeypatch):
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    port = free_port()
    machine = host(port)
    async with BgpBackend(machine) as backend:
        async with router(port, monkeypatch) as known:
            await backend.announce(VIP)
            await backend.announce(Vip.parse("10.0.0.202", interface="eth0"))
            await backend.withdraw(Vip.parse("10.0.0.202", interface="eth0"))
            await until(lambda: known == {ip_network("10.0.0.201/32")})
            assert machine.failures == []
        await until(lambda: machine.failures)
        assert machine.failures == [VIP]
        with pytest.raises(
            NetworkError, match=r"no BGP session: .*Administrative Shutdown \(6/2\), it says 'kubevip stops'"
        ):
            await backend.announce(VIP)


async def test_core_is_not_told_of_a_session_that_ends_while_another_one_goes_on(monkeypatch):
    port, other = free_port(), free_port()
    peers = f"127.0.0.1:65001:::{port},127.0.0.2:65002:::{other}"
    machine = host(port, bgp_peers=peers)
    second = Identity(number=65002, identifier=IPv4Address("10.0.0.98"), accept=True, connect=False, port=other)
    here = Source(address=IPv4Address("127.0.0.2"))
    async with router(port, monkeypatch), BgpBackend(machine) as backend:
        async with Speaker(second, [Neighbor(address=LOOPBACK, number=65000)], here, dict):
            await until(lambda: all(each.established for each in backend.peerings()))
            await backend.announce(VIP)
        await until(lambda: not backend.peerings()[1].established)
        assert backend.peerings()[0].established
        assert machine.failures == []


async def test_core_is_told_nothing_at_the_planned_end(monkeypatch):
    port = free_port()
    machine = host(port)
    async with router(port, monkeypatch):
        async with BgpBackend(machine) as backend:
            await backend.announce(VIP)
        assert machine.failures == []


async def test_what_failed_and_was_withdrawn_reaches_nobody(monkeypatch):
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    port = free_port()
    async with BgpBackend(host(port)) as backend:
        with pytest.raises(NetworkError):
            await backend.announce(VIP)
        await backend.withdraw(VIP)
        async with router(port, monkeypatch) as known:
            await until(lambda: backend.peerings()[0].established)
            assert backend.peerings()[0].routes == 0
            assert known == set()


async def test_address_of_a_family_that_no_session_carries_fails(monkeypatch):
    port = free_port()
    machine = host(port)
    machine.links.address("lo", "127.0.0.1/8")
    async with router(port, monkeypatch) as known, BgpBackend(machine) as backend:
        with pytest.raises(NetworkError, match="no BGP session carries IPv6 routes: this node has no IPv6 address"):
            await backend.announce(SIX)
        await backend.announce(VIP)
        await until(lambda: known == {ip_network("10.0.0.201/32")})


async def test_address_that_comes_later_than_the_session_is_the_next_hop_from_then_on(monkeypatch):
    port = free_port()
    machine = host(port)
    machine.links.address("lo", "127.0.0.1/8")
    async with router(port, monkeypatch) as known, BgpBackend(machine) as backend:
        with pytest.raises(NetworkError):
            await backend.announce(SIX)
        machine.links.address("lo", "127.0.0.1/8", "fd00::1/64")
        await backend.announce(SIX)
        await until(lambda: known == {ip_network("fd00::201/128")})
        assert (backend.peerings()[0].flaps, len(backend.peerings()[0].families)) == (0, 2)


async def test_wrong_peer_does_not_hinder_the_right_one(monkeypatch):
    port, wrong = free_port(), free_port()
    peers = f"127.0.0.2:65001:::{wrong},127.0.0.1:65001:::{port}"
    async with router(port, monkeypatch) as known, BgpBackend(host(port, bgp_peers=peers)) as backend:
        await backend.announce(VIP)
        await until(lambda: known == {ip_network("10.0.0.201/32")})
        assert [each.established for each in backend.peerings()] == [False, True]


@pytest.mark.parametrize(
    ("settings", "identifier"),
    [
        ({"bgp_routerid": "192.0.2.1"}, "192.0.2.1"),
        ({"bgp_sourceip": "127.0.0.1"}, "127.0.0.1"),
        ({}, "10.0.0.11"),
        ({"bgp_routerinterface": "eth0"}, "10.0.0.11"),
    ],
)
async def test_identifier_is_as_set_or_the_first_address(settings, identifier):
    backend = BgpBackend(host(free_port(), **settings))
    assert str(backend._identifier(backend._configuration)) == identifier


async def test_node_without_ipv4_has_an_identifier_of_its_name():
    machine = host(free_port())
    machine.links.address("eth0", "fd00::11/64")
    backend = BgpBackend(machine)
    found = backend._identifier(backend._configuration)
    assert found in ip_network("10.0.0.0/8")
    assert found == backend._identifier(backend._configuration)


async def test_interface_of_the_identifier_has_to_be_there():
    with pytest.raises(ConfigError, match="'eth7': there is no such interface; there are: eth0, lo"):
        async with BgpBackend(host(free_port(), bgp_routerinterface="eth7")):
            pass


def test_backend_without_a_peer_is_refused():
    with pytest.raises(ConfigError, match="BGP needs a peer"):
        BgpBackend(FakeHost("here", Segment(), {}))


def test_link_tells_the_nodes_own_addresses():
    machine = host(1)
    assert ip_address("10.0.0.11") in machine.link("eth0").addresses
    assert machine.interfaces() == ["eth0", "lo"]


def established(backend):
    return {each.peer: each.flaps for each in backend.peerings() if each.established}


async def test_peer_that_is_added_is_told_everything_and_the_others_keep_their_sessions(monkeypatch):
    ports, second = (free_port(), free_port()), IPv4Address("127.0.0.2")
    identity = Identity(number=65002, identifier=second, accept=True, connect=False, port=ports[1])
    async with (
        router(ports[0], monkeypatch) as known,
        Speaker(identity, [Neighbor(address=LOOPBACK, number=65000)], Source(address=second), dict),
        BgpBackend(host(ports[0])) as backend,
    ):
        await backend.announce(VIP)
        await until(lambda: known)
        await backend.reconfigure({"bgp_peers": f"127.0.0.1:65001:::{ports[0]},{second}:65002:::{ports[1]}"})
        await until(lambda: established(backend) == {f"127.0.0.1:{ports[0]}": 0, f"{second}:{ports[1]}": 0})
        assert [each.routes for each in backend.peerings()] == [1, 1]


async def test_peer_that_is_removed_is_told_so_and_the_others_keep_their_sessions(monkeypatch):
    port = free_port()
    machine = host(port)
    peers = f"{machine.settings['bgp_peers']},127.0.0.2:65002:::{free_port()}"
    async with router(port, monkeypatch) as known, BgpBackend(host(port, bgp_peers=peers)) as backend:
        await backend.announce(VIP)
        await until(lambda: known)
        await backend.reconfigure(machine.settings)
        assert established(backend) == {f"127.0.0.1:{port}": 0}
        assert len(backend.peerings()) == 1
        await backend.reconfigure({"bgp_peers": peers.partition(",")[2]})
        await until(lambda: not known)


async def test_peer_of_another_as_gets_a_new_session_with_all_routes(monkeypatch):
    port = free_port()
    machine = host(port, bgp_peers=f"127.0.0.1:65009:::{port}")
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    async with router(port, monkeypatch) as known, BgpBackend(machine) as backend:
        with pytest.raises(NetworkError):
            await backend.announce(VIP)
        await backend.reconfigure(host(port).settings)
        await until(lambda: known == {ip_network("10.0.0.201/32")})


async def test_other_number_of_this_node_begins_all_sessions_anew(monkeypatch):
    port = free_port()
    monkeypatch.setattr("kubevip_bgp.GRACE", 0.1)
    machine = host(port, bgp_as="65077")
    async with router(port, monkeypatch) as known, BgpBackend(machine) as backend:
        with pytest.raises(NetworkError):
            await backend.announce(VIP)
        await backend.reconfigure(host(port).settings)
        await until(lambda: known == {ip_network("10.0.0.201/32")})
        assert machine.recoveries >= 1


async def test_settings_that_can_not_be_used_leave_everything_as_it_is(monkeypatch):
    port = free_port()
    async with router(port, monkeypatch) as known, BgpBackend(host(port)) as backend:
        await backend.announce(VIP)
        await until(lambda: known)
        with pytest.raises(ConfigError):
            await backend.reconfigure({"bgp_peers": "10.0.0.9:0"})
        assert established(backend) == {f"127.0.0.1:{port}": 0}
        await backend.reconfigure(host(port).settings)
        assert established(backend) == {f"127.0.0.1:{port}": 0}
