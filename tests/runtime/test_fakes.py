"""The fakes do what the real parts do: segment, hosts, links, Leases."""

import asyncio
import contextlib
import errno
import ipaddress
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from kubevip.errors import ApiUnavailable, LeaseConflict, LinkNotFound, NetworkError
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey
from kubevip.ports import Observation
from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, MemoryLinks, Process, Segment, virtual
from kubevip.testing.bpf import accepts
from kubevip.testing.frames import BROADCAST, Word, read

LEASE = LeaseKey("kube-system", "lock")
Plug = Callable[[str], FakeHost]
TEST_TYPE = 0x88B5


def frame(host: FakeHost, to: bytes = BROADCAST, text: bytes = b"hello") -> bytes:
    return to + host.link("eth0").mac + TEST_TYPE.to_bytes(2, "big") + text


class Heard:
    """Notes what a host hears, and when."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, heard: bytes) -> None:
        self.frames.append(heard[14:])


# The segment


@virtual
async def test_all_others_hear_a_broadcast_and_the_sender_does_not(plug: Plug) -> None:
    hosts, heard = [plug(name) for name in "abc"], [Heard() for _ in "abc"]
    with contextlib.ExitStack() as open_ears:
        for host, ear in zip(hosts, heard, strict=True):
            open_ears.enter_context(host.listen("eth0", TEST_TYPE, ear))
        hosts[0].send("eth0", frame(hosts[0]))
        await anyio.sleep(1)
    assert [each.frames for each in heard] == [[], [b"hello"], [b"hello"]]


@virtual
async def test_a_frame_for_one_is_heard_by_that_one_alone(plug: Plug) -> None:
    a, b, c = (plug(name) for name in "abc")
    for_b, for_c = Heard(), Heard()
    with b.listen("eth0", TEST_TYPE, for_b), c.listen("eth0", TEST_TYPE, for_c):
        a.send("eth0", frame(a, b.link("eth0").mac))
        await anyio.sleep(1)
    assert (for_b.frames, for_c.frames) == ([b"hello"], [])


@virtual
async def test_frames_arrive_late_and_in_order() -> None:
    segment = Segment(delay=0.5)
    a, b = FakeHost("a", segment), FakeHost("b", segment)
    heard = Heard()
    with b.listen("eth0", TEST_TYPE, heard):
        for number in range(20):
            a.send("eth0", frame(a, text=bytes([number])))
        await anyio.sleep(0.49)
        assert heard.frames == []
        await anyio.sleep(0.02)
    assert heard.frames == [bytes([number]) for number in range(20)]


@virtual
async def test_frames_get_lost_by_chance() -> None:
    chances = iter([0.1, 0.9, 0.1, 0.9])
    segment = Segment(loss=0.5, chance=lambda: next(chances))
    a, b = FakeHost("a", segment), FakeHost("b", segment)
    heard = Heard()
    with b.listen("eth0", TEST_TYPE, heard):
        for number in range(4):
            a.send("eth0", frame(a, text=bytes([number])))
        await anyio.sleep(1)
    assert heard.frames == [b"\1", b"\3"]


@virtual
async def test_who_is_cut_off_hears_nothing_until_it_is_let_in_again(plug: Plug) -> None:
    a, b, heard = plug("a"), plug("b"), Heard()
    with b.listen("eth0", TEST_TYPE, heard):
        for cut in (["b"], ["a"], []):
            a.segment.cut_off(*cut)
            a.send("eth0", frame(a, text=str(cut).encode()))
            await anyio.sleep(1)
    assert heard.frames == [b"[]"]


@virtual
async def test_a_listener_hears_only_its_kind_and_only_while_it_is_open(plug: Plug) -> None:
    a, b, heard = plug("a"), plug("b"), Heard()
    with b.listen("eth0", 0x1234, heard):
        a.send("eth0", frame(a))
        await anyio.sleep(1)
    with b.listen("eth0", TEST_TYPE, heard):
        a.send("eth0", frame(a))
    await anyio.sleep(1)
    assert heard.frames == []


@virtual
async def test_a_listener_hears_what_its_program_lets_through(plug: Plug) -> None:
    a, b, heard = plug("a"), plug("b"), Heard()
    only_x = ((0x30, 0, 0, 14), (0x15, 0, 1, ord("x")), (0x06, 0, 0, 1), (0x06, 0, 0, 0))
    with b.listen("eth0", TEST_TYPE, heard, bpf=only_x):
        for text in (b"x1", b"y1", b""):
            a.send("eth0", frame(a, text=text))
        await anyio.sleep(1)
    assert heard.frames == [b"x1"]


@virtual
async def test_sending_on_a_link_that_is_down_or_missing_is_an_error(plug: Plug) -> None:
    a = plug("a")
    with pytest.raises(LinkNotFound):
        a.send("eth9", frame(a))
    a.links.set_up("eth0", False)
    with pytest.raises(NetworkError, match="network is down") as caught:
        a.send("eth0", b"")
    assert caught.value.errno == errno.ENETDOWN


def test_a_program_that_does_not_end_or_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="without a return"):
        accepts(((0x30, 0, 0, 0),), bytes(60))
    with pytest.raises(ValueError, match="0x99"):
        accepts(((0x99, 0, 0, 0),), bytes(60))


# The kernel and its neighbours


@virtual
async def test_traffic_goes_to_whoever_answers_and_then_stays_there(plug: Plug) -> None:
    a, b, client = plug("a"), plug("b"), plug("client")
    vip = ipaddress.ip_address("10.0.0.99")
    assert client.reach(vip) == ""
    a.links.address("eth0", "10.0.0.99/24")
    assert client.reach(vip) == "a"
    a.links.address("eth0")
    b.links.address("eth0", "10.0.0.99/24")
    # Nobody has told the client: what it sends to a is lost.
    assert client.reach(vip) == ""


@virtual
async def test_a_frame_from_a_killed_process_is_not_sent(plug: Plug) -> None:
    a, process = plug("a"), Process("p")

    async def main() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            a.send("eth0", frame(a))

    async with asyncio.TaskGroup() as tasks:
        task = process.start(tasks, main)
        await anyio.sleep(1)
        process.kill()
        process.bury()
        task.cancel()
    assert a.segment.sent == []


def test_frames_that_say_nothing_of_addresses_are_not_read() -> None:
    cut_off, empty = bytes(12) + b"\x08\x06" + bytes(10), bytes(12) + b"\x86\xdd" + bytes(70)
    for garbage in (b"", bytes(13), bytes(60), cut_off, empty):
        assert read(garbage) is None


def test_an_arp_question_claims_its_sender_and_asks_for_its_target() -> None:
    body = bytes.fromhex("0001080006040001 020000000001 0a000001 000000000000 0a000002")
    assert read(BROADCAST + bytes(6) + b"\x08\x06" + body) == Word(
        bytes.fromhex("020000000001"), ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
    )


# Links


def test_links_tell_the_own_addresses_and_networks() -> None:
    links = MemoryLinks()
    links.add("eth0", networks=["10.0.0.11/24", "fd00::11/64", "fe80::11/64"])
    links.add("eth1", networks=["10.0.0.17/28"])
    assert links.own(ipaddress.ip_address("10.0.0.11")) == "eth0"
    assert links.own(ipaddress.ip_address("10.0.0.12")) is None
    assert links.towards(ipaddress.ip_address("10.0.0.20")) == ("eth1", 28)
    assert links.towards(ipaddress.ip_address("10.0.0.200")) == ("eth0", 24)
    assert links.towards(ipaddress.ip_address("fe80::1")) is None
    assert links.towards(ipaddress.ip_address("192.0.2.1")) is None
    assert links.get("eth0").link_local == ipaddress.ip_address("fe80::11")


@virtual
async def test_changes_of_links_are_told_until_one_unsubscribes() -> None:
    links, told = MemoryLinks(), []
    end = links.subscribe(told.append)
    links.add("eth0")
    links.set_up("eth0", False)
    links.rename("eth0", "eth1")
    links.remove("eth1")
    await anyio.lowlevel.checkpoint()
    end()
    links.add("eth2")
    await anyio.lowlevel.checkpoint()
    assert told == ["eth0", "eth0", "eth0", "eth1", "eth1"]


def test_a_missing_link_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(LinkNotFound, match="there is no interface 'eth9'; there are: lo"):
        MemoryLinks().get("eth9")


# Leases


@virtual
async def test_of_two_writes_on_one_version_the_first_wins(leases: MemoryLeases) -> None:
    made = await leases.write(LEASE, Claim("a", 15, 0, fresh=True), None)
    await leases.write(LEASE, Claim("b", 15, 1, fresh=True), made)
    with pytest.raises(LeaseConflict):
        await leases.write(LEASE, Claim("c", 15, 1, fresh=True), made)
    assert leases.holder(LEASE) == "b"


@virtual
async def test_a_lease_that_is_there_is_not_created_and_one_that_is_gone_not_updated(leases: MemoryLeases) -> None:
    made = await leases.write(LEASE, Claim("a", 15, 0, fresh=True), None)
    with pytest.raises(LeaseConflict):
        await leases.write(LEASE, Claim("b", 15, 0, fresh=True), None)
    leases.delete(LEASE)
    with pytest.raises(LeaseConflict):
        await leases.write(LEASE, Claim("a", 15, 0, fresh=False), made)


@virtual
async def test_the_watch_shows_the_present_state_and_every_change(leases: MemoryLeases) -> None:
    seen: list[Observation] = []
    leases.put(LEASE, Record("a", 15, 0))
    async with leases.watch(LEASE, seen.append):
        leases.put(LEASE, Record("b", 15, 1))
        leases.delete(LEASE)
        await anyio.lowlevel.checkpoint()
    assert [each.record.holder if each.record else None for each in seen] == ["a", "b", None]
    assert [int(each.version) for each in seen] == [1, 2, 3]


@virtual
async def test_a_cut_line_answers_nobody_and_shows_the_last_state_when_it_is_mended(leases: MemoryLeases) -> None:
    line, seen = FaultyLeases(leases), []
    async with line.watch(LEASE, seen.append):
        await anyio.lowlevel.checkpoint()
        line.cut()
        for holder in "abc":
            leases.put(LEASE, Record(holder, 15, 0))
        with anyio.move_on_after(60) as scope:
            await line.read(LEASE)
        assert scope.cancelled_caught
        assert len(seen) == 1
        line.mend()
        await anyio.sleep(0.1)
    assert [each.record.holder for each in seen[1:]] == ["c"]


@virtual
async def test_a_write_arrives_though_its_sender_has_given_up(leases: MemoryLeases) -> None:
    line = FaultyLeases(leases, latency=10, chance=lambda: 1.0)
    with anyio.move_on_after(1):
        await line.write(LEASE, Claim("a", 15, 0, fresh=True), None)
    assert leases.holder(LEASE) == ""
    await anyio.sleep(30)
    assert leases.holder(LEASE) == "a"


@virtual
async def test_errors_come_through_a_slow_line(leases: MemoryLeases) -> None:
    async def broken(_call: str, _lease: LeaseKey) -> None:
        raise ApiUnavailable("down")

    leases.before = broken
    with pytest.raises(ApiUnavailable):
        await FaultyLeases(leases, latency=1).read(LEASE)


@virtual
async def test_late_events_keep_their_order(leases: MemoryLeases) -> None:
    chances = iter([0.0, 0.9, 0.1, 0.5])
    line, seen = FaultyLeases(leases, lag=10, chance=lambda: next(chances)), []
    async with line.watch(LEASE, seen.append):
        await anyio.lowlevel.checkpoint()
        for holder in "abc":
            leases.put(LEASE, Record(holder, 15, 0))
        await anyio.sleep(60)
    assert [each.record.holder for each in seen[1:]] == ["a", "b", "c"]
