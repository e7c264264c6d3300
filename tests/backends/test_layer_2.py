"""The bundled backends on a simulated segment: what they send, on what links, and what they see of others."""

import ast
import ipaddress
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from kubevip_arp import ArpBackend
from kubevip_arp.packet import Arp, announcement, question
from kubevip_ndp import NdpBackend
from kubevip_ndp.packet import Advertisement

from kubevip.backend import Answer, Backend, Cadence, Sighting
from kubevip.errors import LinkNotFound, NetworkError
from kubevip.model import Family, Vip
from kubevip.registry import Registry
from kubevip.testing import FakeHost, check_backend, virtual

VIP = {"arp": Vip.parse("10.0.0.99", interface="eth0"), "ndp": Vip.parse("fd00::99", interface="eth0")}
both = pytest.mark.parametrize("name", ["arp", "ndp"])
Plug = Callable[[str], FakeHost]


@both
@virtual
async def test_it_keeps_the_contract(name: str) -> None:
    await check_backend(name)


@both
def test_it_announces_one_family_and_alone(name: str) -> None:
    backend = Registry()[name]
    assert backend.families == {Family.IPV4 if name == "arp" else Family.IPV6}
    assert backend.exclusive


@both
def test_its_burst_spans_the_second_for_which_linux_keeps_a_fresh_entry(name: str) -> None:
    cadence = Registry()[name].cadence
    assert isinstance(cadence, Cadence)
    assert cadence.burst[-1] > 1
    assert cadence.period == 3.0


@virtual
async def test_arp_announces_in_both_forms(plug: Plug) -> None:
    host = plug("a")
    await ArpBackend(host).announce(VIP["arp"])
    mac = host.link("eth0").mac
    assert [sent.frame for sent in host.segment.sent] == [
        announcement(VIP["arp"].address, mac),
        question(VIP["arp"].address, mac),
    ]


@virtual
async def test_ndp_announces_from_the_link_local_address(plug: Plug) -> None:
    host = plug("a")
    await NdpBackend(host).announce(VIP["ndp"])
    (sent,) = host.segment.sent
    assert sent.frame[22:38] == host.link("eth0").link_local.packed
    assert Advertisement.parse(sent.frame) == Advertisement(VIP["ndp"].address, host.link("eth0").mac)


@virtual
async def test_ndp_announces_from_the_vip_where_there_is_no_link_local_address(plug: Plug) -> None:
    host = plug("a")
    host.links.address("eth0", "fd00::11/64")
    await NdpBackend(host).announce(VIP["ndp"])
    assert host.segment.sent[0].frame[22:38] == VIP["ndp"].address.packed


@virtual
async def test_ndp_does_not_announce_link_local_addresses(plug: Plug) -> None:
    host = plug("a")
    await NdpBackend(host).announce(Vip.parse("fe80::99", interface="eth0"))
    assert host.segment.sent == []


@both
@virtual
async def test_on_the_loopback_nobody_is_told(name: str, plug: Plug) -> None:
    host, vip = plug("a"), Vip(VIP[name].address, "lo")
    backend = Registry()[name](host)
    for verb in (backend.announce, backend.probe, backend.withdraw):
        await verb(vip)
    assert host.segment.sent == []


@both
@virtual
async def test_a_link_without_a_mac_address_is_refused_by_name(name: str, plug: Plug) -> None:
    host = plug("a")
    host.links.add("wg0", mac=b"")
    with pytest.raises(
        NetworkError, match=f"wg0 has no Ethernet address, so nothing can be announced on it by {name.upper()}"
    ):
        await Registry()[name](host).announce(Vip(VIP[name].address, "wg0"))


@both
@virtual
async def test_a_missing_link_is_told(name: str, plug: Plug) -> None:
    with pytest.raises(LinkNotFound):
        await Registry()[name](plug("a")).announce(Vip(VIP[name].address, "eth9"))


@both
@virtual
async def test_clients_believe_the_one_who_announced_last(name: str, plug: Plug) -> None:
    a, b, client = plug("a"), plug("b"), plug("client")
    vip = VIP[name]
    for host in (a, b):
        await host.addresses.put([(vip, 60)], not_after=1)
        await Registry()[name](host).announce(vip)
        client.reach(vip.address)
        await _frames_arrive()
        assert client.reach(vip.address) == host.node


@both
@virtual
async def test_it_sees_others_announce(name: str, plug: Plug) -> None:
    seen = await _sightings(name, plug, lambda other: other.announce(VIP[name]))
    assert set(seen) == {Sighting(VIP[name].address, "02:00:00:00:00:0c", announcing=True)}


@both
@virtual
async def test_it_sees_the_holders_answer_to_a_probe(name: str, plug: Plug) -> None:
    a, b = plug("a"), plug("b")
    await b.addresses.put([(VIP[name], 60)], not_after=1)
    seen: list[Sighting] = []
    backend = Registry()[name](a)
    with backend.sightings("eth0", seen.append):
        await backend.probe(VIP[name])
        await _frames_arrive()
    assert [(each.address, each.mac) for each in seen] == [(VIP[name].address, "02:00:00:00:00:0c")]


@both
@virtual
async def test_a_probe_of_another_is_no_claim(name: str, plug: Plug) -> None:
    assert await _sightings(name, plug, lambda other: other.probe(VIP[name])) == []


@virtual
async def test_an_answer_to_an_arp_probe_is_told_from_an_announcement(plug: Plug) -> None:
    a, b = plug("a"), plug("b")
    await b.addresses.put([(VIP["arp"], 60)], not_after=1)
    seen: list[Sighting] = []
    backend = ArpBackend(a)
    with backend.sightings("eth0", seen.append):
        await backend.probe(VIP["arp"])
        await _frames_arrive()
    assert [each.announcing for each in seen] == [False]


@virtual
async def test_an_ordinary_arp_question_claims_the_address_of_the_one_who_asks(plug: Plug) -> None:
    a, b = plug("a"), plug("b")
    seen: list[Sighting] = []
    with ArpBackend(a).sightings("eth0", seen.append):
        mac = b.link("eth0").mac
        frame = bytearray(question(VIP["arp"].address, mac))
        frame[38:42] = ipaddress.ip_address("10.0.0.1").packed
        assert Arp.parse(bytes(frame)) is not None
        b.send("eth0", bytes(frame))
        await _frames_arrive()
    assert seen == [Sighting(VIP["arp"].address, mac.hex(":"), announcing=False)]


WITNESS = {"arp": ipaddress.ip_address("10.0.0.12"), "ndp": ipaddress.ip_address("fd00::12")}


@both
@virtual
async def test_a_witness_that_is_asked_from_a_vip_answers_and_learns_its_place(name: str, plug: Plug) -> None:
    a, b = plug("a"), plug("b")
    b.neighbours[VIP[name].address] = b"it was elsewhere"
    heard: list[Answer] = []
    backend = Registry()[name](a)
    with backend.answers("eth0", heard.append):
        assert await backend.inquire(VIP[name], WITNESS[name])
        await _frames_arrive()
    assert heard == [Answer(WITNESS[name], VIP[name].address, "02:00:00:00:00:0c")]
    assert b.neighbours[VIP[name].address] == a.link("eth0").mac


@both
@virtual
async def test_on_the_loopback_no_witness_is_asked(name: str, plug: Plug) -> None:
    host = plug("a")
    assert not await Registry()[name](host).inquire(Vip(VIP[name].address, "lo"), WITNESS[name])
    assert host.segment.sent == []


@both
@virtual
async def test_it_sees_claims_to_what_is_watched_and_to_nothing_else(name: str, plug: Plug) -> None:
    a, b = plug("a"), plug("b")
    other = Vip(VIP[name].address + 7, "eth0")
    seen: list[Sighting] = []
    theirs = Registry()[name](b)
    with Registry()[name](a).claims("eth0", {VIP[name].address}, seen.append):
        await theirs.announce(other)
        await theirs.inquire(other, WITNESS[name])
        await theirs.probe(VIP[name])
        await _frames_arrive()
        assert seen == []
        await theirs.inquire(VIP[name], WITNESS[name] + 20)
        await _frames_arrive()
        assert seen == [Sighting(VIP[name].address, "02:00:00:00:00:0c", announcing=False)]
        await theirs.announce(VIP[name])
        await _frames_arrive()
    assert Sighting(VIP[name].address, "02:00:00:00:00:0c", announcing=True) in seen


async def _sightings(name: str, plug: Plug, act: Callable[[Backend], object]) -> list[Sighting]:
    a, b = plug("a"), plug("b")
    seen: list[Sighting] = []
    with Registry()[name](a).sightings("eth0", seen.append):
        await act(Registry()[name](b))
        await _frames_arrive()
    return seen


async def _frames_arrive() -> None:
    await anyio.sleep(0.01)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("package", ["kubevip_arp", "kubevip_ndp"])
def test_it_imports_nothing_of_ours_but_the_plugin_facade(package: str) -> None:
    directory = Path(__file__).parents[2] / "backends" / package
    ours = {name for path in directory.rglob("*.py") for name in _imports(path) if name.startswith("kubevip.")}
    assert ours == {"kubevip.plugin"}
