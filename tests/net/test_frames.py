"""Frames on a real wire: what arrives at another machine, and what is heard of it."""

import asyncio
import contextlib
import errno
import os
import socket
import time

import anyio
import pytest

from kubevip.errors import LinkNotFound, NetworkError
from kubevip.model import Family
from kubevip.registry import Registry
from kubevip.runtime.host import LocalHost
from tests.kernel import in_thread, run_on
from tests.net.conftest import MAC, vip
from tests.net.test_addresses import run_without
from tests.waiting import until

pytestmark = pytest.mark.kernel

# An ethertype for experiments (IEEE 802.1), so that nobody else speaks it.
EXPERIMENT, OTHER = 0x88B5, 0x88B6
HEADER = bytes.fromhex("ffffffffffff" + "02000000000a")
FRAME = HEADER + EXPERIMENT.to_bytes(2, "big") + b"hello".ljust(46, b"\0")

GRATUITOUS_REPLY = "ffffffffffff 020000000001 0806  0001 0800 06 04 0002020000000001 0a090063  020000000001 0a090063"
GRATUITOUS_REQUEST = "ffffffffffff 020000000001 0806  0001 0800 06 04 0001020000000001 0a090063  ffffffffffff 0a090063"
ARP_PROBE = "ffffffffffff 020000000001 0806  0001 0800 06 04 0001020000000001 00000000  000000000000 0a090063"
# From fe80::ff:fe00:1 to ff02::1: Override, target fd09::99, the target's link-layer address.
ADVERTISEMENT = (
    "333300000001 020000000001 86dd  60000000 0020 3a ff"
    "fe80000000000000 000000fffe000001  ff02000000000000 0000000000000001"
    "88 00 597a 20000000  fd09000000000000 0000000000000099  02 01 020000000001"
)
SOLICITATION = (
    "3333ff000099 020000000001 86dd  60000000 0018 3a ff"
    "0000000000000000 0000000000000000  ff02000000000000 00000001ff000099"
    "87 00 7c6c 00000000  fd09000000000000 0000000000000099"
)


class Ear:
    """What arrives at a machine, taken by a plain packet socket."""

    def __init__(self, machine, ethertype, interface="eth0"):
        with machine.entered():
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            self.socket = socket.socket(socket.AF_PACKET, kind, socket.htons(ethertype))
            self.socket.bind((interface, ethertype))

    def close(self):
        self.socket.close()

    async def next(self):
        with anyio.fail_after(10):
            return await asyncio.get_running_loop().sock_recv(self.socket, 2048)


@pytest.fixture
def ear(peer):
    with contextlib.ExitStack() as stack:

        def listen(ethertype=EXPERIMENT):
            return stack.enter_context(contextlib.closing(Ear(peer, ethertype)))

        yield listen


def spaceless(text):
    return bytes.fromhex(text.replace(" ", ""))


# Golden bytes


async def backend(node, family, name):
    await run_on(node.machine, "ip", "link", "set", "eth0", "address", MAC)
    await until(lambda: node.monitor.get("eth0").mac.hex(":") == MAC)
    if family is Family.IPV6:
        await run_on(node.machine, "ip", "addr", "flush", "dev", "eth0", "scope", "link")
        await run_on(node.machine, "ip", "addr", "add", "fe80::ff:fe00:1/64", "dev", "eth0", "nodad")
        await until(lambda: str(node.monitor.get("eth0").link_local) == "fe80::ff:fe00:1")
    return Registry()[name](LocalHost("n1", {}, node.monitor, node.wire))


async def test_arp_announcement_arrives_as_reply_and_as_request(node, ear):
    arp = await backend(node, Family.IPV4, "arp")
    heard = ear(0x0806)
    await arp.announce(vip("10.9.0.99"))
    assert (await heard.next())[:42] == spaceless(GRATUITOUS_REPLY)
    assert (await heard.next())[:42] == spaceless(GRATUITOUS_REQUEST)


async def test_arp_probe_claims_nothing(node, ear):
    arp = await backend(node, Family.IPV4, "arp")
    heard = ear(0x0806)
    await arp.probe(vip("10.9.0.99"))
    assert (await heard.next())[:42] == spaceless(ARP_PROBE)


async def next_about(heard, start):
    """The next frame that begins like *start*: the kernels speak too."""
    while True:
        frame = await heard.next()
        if frame.startswith(start):
            return frame


async def test_neighbour_advertisement_arrives(node, ear):
    ndp = await backend(node, Family.IPV6, "ndp")
    heard = ear(0x86DD)
    await ndp.announce(vip("fd09::99"))
    golden = spaceless(ADVERTISEMENT)
    assert await next_about(heard, golden[:12]) == golden


async def test_neighbour_probe_claims_nothing(node, ear):
    ndp = await backend(node, Family.IPV6, "ndp")
    heard = ear(0x86DD)
    await ndp.probe(vip("fd09::99"))
    golden = spaceless(SOLICITATION)
    assert await next_about(heard, golden[:12]) == golden


async def test_neighbours_learn_from_an_announcement(node, peer):
    arp = await backend(node, Family.IPV4, "arp")
    await run_on(
        peer, "ip", "neigh", "replace", "10.9.0.99", "lladdr", "02:00:00:00:00:0f", "dev", "eth0", "nud", "stale"
    )
    await arp.announce(vip("10.9.0.99"))
    assert MAC in await run_on(peer, "ip", "neigh", "show", "10.9.0.99")


async def test_neighbours_learn_from_an_advertisement(node, peer):
    ndp = await backend(node, Family.IPV6, "ndp")
    await run_on(
        peer, "ip", "neigh", "replace", "fd09::99", "lladdr", "02:00:00:00:00:0f", "dev", "eth0", "nud", "stale"
    )
    await ndp.announce(vip("fd09::99"))
    assert MAC in await run_on(peer, "ip", "neigh", "show", "fd09::99")


async def test_neighbours_learn_nothing_from_a_probe(node, peer):
    arp = await backend(node, Family.IPV4, "arp")
    await run_on(
        peer, "ip", "neigh", "replace", "10.9.0.99", "lladdr", "02:00:00:00:00:0f", "dev", "eth0", "nud", "stale"
    )
    await arp.probe(vip("10.9.0.99"))
    assert MAC not in await run_on(peer, "ip", "neigh", "show", "10.9.0.99")


# Sending


async def test_frame_arrives_as_it_is(node, ear):
    heard = ear()
    node.wire.send("eth0", FRAME)
    assert await heard.next() == FRAME


async def test_socket_stays_open(node, ear):
    heard = ear()
    node.wire.send("eth0", FRAME)
    before = await in_thread(os.listdir, "/proc/self/fd")
    for _ in range(100):
        node.wire.send("eth0", FRAME)
    assert len(await in_thread(os.listdir, "/proc/self/fd")) == len(before)
    assert [await heard.next() for _ in range(101)] == [FRAME] * 101


async def test_link_that_is_down_is_told_and_works_again_when_up(node, ear):
    heard = ear()
    await run_on(node.machine, "ip", "link", "set", "eth0", "down")
    with pytest.raises(NetworkError, match="sending on eth0: network is down") as caught:
        node.wire.send("eth0", FRAME)
    assert caught.value.errno == errno.ENETDOWN
    await run_on(node.machine, "ip", "link", "set", "eth0", "up")
    await until(lambda: node.monitor.get("eth0").up)
    node.wire.send("eth0", FRAME)
    assert await heard.next() == FRAME


async def test_missing_link_is_told(node):
    with pytest.raises(LinkNotFound):
        node.wire.send("gone0", FRAME)


async def test_new_link_of_an_old_name_is_used(node):
    """As a bond or a VLAN that somebody makes anew."""
    seen = []
    for _ in range(2):
        await run_on(node.machine, "ip", "link", "add", "lan0", "up", "type", "veth", "peer", "name", "lan0-end")
        await run_on(node.machine, "ip", "link", "set", "lan0-end", "up")
        await until(lambda: "lan0" in node.monitor.names() and node.monitor.get("lan0").up)
        with contextlib.closing(Ear(node.machine, EXPERIMENT, "lan0-end")) as heard:
            node.wire.send("lan0", FRAME)
            assert await heard.next() == FRAME
        seen.append(node.monitor.get("lan0").index)
        await run_on(node.machine, "ip", "link", "del", "lan0")
        # Whether it has been told already or not: no frame may go without an error.
        with pytest.raises(NetworkError):
            node.wire.send("lan0", FRAME)
    assert len(set(seen)) == 2


# Listening


async def test_frames_of_the_ethertype_are_heard(node, mouth):
    heard = []
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        mouth(HEADER + OTHER.to_bytes(2, "big") + bytes(46))
        mouth(FRAME)
        await until(lambda: heard)
    assert heard == [FRAME]


async def test_only_what_the_program_accepts_is_heard(node, mouth):
    # ldb [14]; jeq 'h': accept, else reject.
    program = ((0x30, 0, 0, 14), (0x15, 0, 1, ord("h")), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))
    heard = []
    with node.wire.listen("eth0", EXPERIMENT, heard.append, bpf=program):
        mouth(FRAME.replace(b"hello", b"Hello"))
        mouth(FRAME)
        await until(lambda: heard)
    assert heard == [FRAME]


async def test_all_who_listen_hear(node, mouth):
    first, second = [], []
    with node.wire.listen("eth0", EXPERIMENT, first.append), node.wire.listen("eth0", EXPERIMENT, second.append):
        mouth(FRAME)
        await until(lambda: first and second)


async def test_what_came_before_is_not_heard(node, mouth):
    heard = []
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        mouth(FRAME)
        await until(lambda: heard)
    for _ in range(10):
        mouth(FRAME.replace(b"hello", b"early"))
    await anyio.sleep(0.02)
    heard.clear()
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        mouth(FRAME.replace(b"hello", b"later"))
        await until(lambda: heard)
    assert heard == [FRAME.replace(b"hello", b"later")]


async def test_own_frames_are_not_heard(node, mouth):
    heard = []
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        node.wire.send("eth0", FRAME.replace(b"hello", b"mine!"))
        mouth(FRAME)
        await until(lambda: heard)
    assert heard == [FRAME]


async def test_link_that_was_down_is_heard_again(node, mouth):
    heard = []
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        await run_on(node.machine, "ip", "link", "set", "eth0", "down")
        await run_on(node.machine, "ip", "link", "set", "eth0", "up")
        await until(lambda: node.monitor.get("eth0").up)
        await until(lambda: mouth(FRAME) and heard)


def say_often(mouth, count):
    """Send a burst, no faster than the kernel takes it: it drops more than a thousand (net.core.netdev_max_backlog)."""
    for number in range(count):
        mouth(FRAME)
        if number % 200 == 199:
            time.sleep(0.01)


async def test_burst_is_heard_whole_while_the_loop_goes_on(node, mouth, nothing_blocks_the_loop):
    """A successor that takes a thousand addresses sends two frames for each."""
    heard = []
    turns = 0
    with node.wire.listen("eth0", EXPERIMENT, heard.append):
        nothing_blocks_the_loop.deactivate()
        say_often(mouth, 2000)
        nothing_blocks_the_loop.activate()
        while len(heard) < 2000 and turns < 10_000:
            turns += 1
            await asyncio.sleep(0)
    assert len(heard) == 2000
    assert turns >= 2000 / 64


async def test_missing_link_is_not_listened_to(node):
    with pytest.raises(LinkNotFound), node.wire.listen("gone0", EXPERIMENT, print):
        pytest.fail("something was listened to")


async def test_missing_capability_is_named(segment):
    code = """
        import anyio
        from kubevip.errors import NetworkError
        from kubevip.net.frames import Wire
        from kubevip.net.monitor import Monitor

        async def main():
            async with Monitor() as monitor:
                try:
                    Wire(monitor).send("eth0", bytes(60))
                except NetworkError as error:
                    print(error)

        anyio.run(main)
    """
    assert await in_thread(run_without, 13, segment.machines["n1"], code) == (
        "opening a packet socket: operation not permitted; it needs the capability NET_RAW"
    )


def only(octet):
    """A filter for frames whose first octet of content is this one."""
    return ((0x30, 0, 0, 14), (0x15, 0, 1, octet), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))


async def test_filters_that_change_need_no_more_sockets_and_miss_nothing(node, mouth):
    """As those for held addresses do with each address that comes or goes."""
    heard = []
    wire = node.wire
    with contextlib.ExitStack() as last:
        last.enter_context(wire.listen("eth0", EXPERIMENT, heard.append, bpf=only(0)))
        for number in range(1, 50):
            with contextlib.ExitStack() as following:
                following.enter_context(wire.listen("eth0", EXPERIMENT, heard.append, bpf=only(number)))
                last.close()
                last = following.pop_all()
            mouth(HEADER + EXPERIMENT.to_bytes(2, "big") + bytes([number - 1]).ljust(46, b"\0"))
            mouth(HEADER + EXPERIMENT.to_bytes(2, "big") + bytes([number]).ljust(46, b"\0"))
            await until(lambda number=number: heard and heard[-1][14] == number)
        last.close()
    assert [frame[14] for frame in heard] == list(range(1, 50))
    assert len(wire._ears) == 2
