"""VIPs on real links: how the kernel shows them, what it refuses, and that nothing else on the link suffers."""

import asyncio
import socket
import subprocess
import sys
import textwrap
import time
from ipaddress import ip_address

import pytest

from kubevip.errors import LinkNotFound
from kubevip.model import Family
from kubevip.net.addresses import PACING
from tests.kernel import addresses_on, in_thread, run_on
from tests.net.conftest import opened, vip
from tests.waiting import until

pytestmark = pytest.mark.kernel

VIP4, VIP6 = vip("10.9.0.99"), vip("fd09::99")
BOTH = [VIP4, VIP6]


async def put(node, vips, lifetime=30):
    failed = await node.addresses.put([(each, lifetime) for each in vips], not_after=time.monotonic() + 10)
    assert not failed
    return failed


def nodad(each):
    return ["nodad"] if each.family is Family.IPV6 else []


# How the kernel shows them


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_address_has_an_end_and_is_nobodys_source(node, each):
    await put(node, [each])
    shown = (await addresses_on(node.machine))[str(each)]
    assert 28 <= shown["valid_life_time"] <= 30
    assert (shown["preferred_life_time"], shown["deprecated"], shown["dynamic"]) == (0, True, True)
    assert (shown["prefixlen"], shown["scope"], shown["noprefixroute"]) == (each.family.bits, "global", True)


async def test_ipv6_address_is_usable_at_once(node):
    await put(node, [VIP6])
    shown = (await addresses_on(node.machine))[str(VIP6)]
    assert shown["nodad"]
    assert not shown.get("tentative")


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_address_carries_our_mark(node, each):
    await put(node, [each])
    (found,) = await node.addresses.find([each.address])
    assert (found.vip, found.ours, found.permanent, found.preferred) == (each, True, False, False)


@pytest.mark.parametrize(("text", "prefix_length"), [("10.9.0.99/16", 16), ("fd09::99/64", 64)])
async def test_prefix_of_a_network_makes_no_route(node, text, prefix_length):
    before = [await run_on(node.machine, "ip", family, "route") for family in ("-4", "-6")]
    await put(node, [vip(text)])
    assert (await addresses_on(node.machine))[text.partition("/")[0]]["prefixlen"] == prefix_length
    assert [await run_on(node.machine, "ip", family, "route") for family in ("-4", "-6")] == before


@pytest.mark.parametrize(("to", "own"), [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")])
async def test_connections_start_from_the_nodes_own_address(node, to, own):
    await put(node, [VIP4, VIP6, vip("10.9.0.98/16"), vip("fd09::98/64")])
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with node.machine.entered(), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((to, 9))
        assert sock.getsockname()[0] == own


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_another_machine_reaches_it(node, peer, each):
    await put(node, [each])
    await run_on(peer, "ping", "-c", "1", "-W", "5", str(each))


async def test_loopback_has_host_scope_for_ipv4_alone(node):
    await put(node, [vip("10.9.0.99", "lo"), vip("fd09::99", "lo")])
    shown = await addresses_on(node.machine)
    assert [shown[address]["scope"] for address in ("10.9.0.99", "fd09::99")] == ["host", "global"]


async def test_loopback_can_have_global_scope(segment):
    async with opened(segment.machines["n1"], host_scope_on_loopback=False) as node:
        await put(node, [vip("10.9.0.99", "lo")])
        assert (await addresses_on(node.machine))["10.9.0.99"]["scope"] == "global"


# Extending and removing


@pytest.mark.parametrize("each", BOTH, ids=str)
@pytest.mark.parametrize("lifetime", [20, 60])
async def test_address_is_extended_or_shortened(node, each, lifetime):
    await put(node, [each], 40)
    await put(node, [each], lifetime)
    shown = (await addresses_on(node.machine))[str(each)]
    assert lifetime - 2 <= shown["valid_life_time"] <= lifetime


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_extending_is_no_change_to_whoever_watches(node, each):
    removed = []
    node.addresses.subscribe(lambda address, interface: removed.append(address))
    for lifetime in (30, 40, 20):
        await put(node, [each], lifetime)
    await node.addresses.remove([each])
    await until(lambda: removed == [each.address])


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_removed_address_is_gone(node, each):
    await put(node, [each])
    assert await node.addresses.remove([each]) == {}
    assert str(each) not in await addresses_on(node.machine)


@pytest.mark.parametrize("each", [*BOTH, vip("10.9.0.99", "gone0")], ids=str)
async def test_what_is_not_there_is_removed_already(node, each):
    assert await node.addresses.remove([each]) == {}


async def test_own_addresses_stay(node):
    await put(node, BOTH)
    await node.addresses.remove(BOTH)
    assert set(await addresses_on(node.machine)) == {"10.9.0.1", "fd09::1"}


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_whoever_watches_is_told_what_others_remove(node, each):
    removed = []
    node.addresses.subscribe(lambda address, interface: removed.append((address, interface)))
    await put(node, [each])
    await run_on(node.machine, "ip", "addr", "del", f"{each}/{each.prefix_length}", "dev", "eth0")
    await until(lambda: removed == [(each.address, "eth0")])


async def test_nobody_is_told_any_more_after_unsubscribing(node):
    removed = []
    end = node.addresses.subscribe(lambda address, interface: removed.append(address))
    second = []
    node.addresses.subscribe(lambda address, interface: second.append(address))
    end()
    await put(node, [VIP4])
    await node.addresses.remove([VIP4])
    await until(lambda: second)
    assert not removed


# Finding


async def test_what_others_put_is_told_from_ours(node):
    await run_on(node.machine, "ip", "addr", "add", "10.9.0.98/32", "dev", "lo", "preferred_lft", "0")
    await put(node, [vip("10.9.0.98")])
    found = await node.addresses.find([ip_address("10.9.0.98"), ip_address("10.9.0.1"), ip_address("10.9.0.50")])
    assert {(each.vip, each.ours, each.permanent, each.preferred) for each in found} == {
        (vip("10.9.0.98", "lo"), False, True, False),
        (vip("10.9.0.98"), True, False, False),
        (vip("10.9.0.1/16"), False, True, True),
    }


@pytest.mark.parametrize("each", BOTH, ids=str)
async def test_address_without_an_end_is_taken_over(node, each):
    """kube-vip's, which has the same prefix length: a successor gives it an end."""
    where = f"{each}/{each.prefix_length}"
    await run_on(node.machine, "ip", "addr", "add", where, "dev", "eth0", "preferred_lft", "0", *nodad(each))
    await put(node, [each])
    (found,) = await node.addresses.find([each.address])
    assert (found.ours, found.permanent) == (True, False)


# What is refused


async def test_missing_interface_fails_alone(node):
    lost = vip("10.9.0.98", "gone0")
    failed = await node.addresses.put([(lost, 30), (VIP4, 30)], not_after=time.monotonic() + 10)
    assert set(failed) == {lost}
    assert isinstance(failed[lost], LinkNotFound)
    assert "there is no interface 'gone0'; there are: eth0, lo" in str(failed[lost])
    assert str(VIP4) in await addresses_on(node.machine)


async def test_refusal_has_the_kernels_own_words(node):
    failed = await node.addresses.put([(VIP4, 0), (VIP6, 0)], not_after=time.monotonic() + 10)
    assert set(failed) == set(BOTH)
    for each, error in failed.items():
        assert str(error).startswith(f"putting {each} on eth0: ")
        assert "lifetime" in str(error)


async def test_ipv6_on_a_link_that_has_it_not_is_refused(node):
    await run_on(node.machine, "sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1")
    failed = await node.addresses.put([(VIP6, 30), (VIP4, 30)], not_after=time.monotonic() + 10)
    assert set(failed) == {VIP6}
    assert "IPv6" in str(failed[VIP6])


async def test_one_refusal_among_many_hits_its_own(node):
    vips = [vip(f"10.9.{number // 200}.{number % 200 + 3}") for number in range(300)]
    lifetimes = [(each, 0 if number in (5, 200) else 30) for number, each in enumerate(vips)]
    failed = await node.addresses.put(lifetimes, not_after=time.monotonic() + 10)
    assert set(failed) == {vips[5], vips[200]}
    assert len(await addresses_on(node.machine)) == 2 + 298


async def test_what_comes_too_late_is_not_put(node):
    failed = await node.addresses.put([(each, 30) for each in BOTH], not_after=time.monotonic())
    assert {each: str(error) for each, error in failed.items()} == {
        each: f"putting {each} on eth0: too late" for each in BOTH
    }
    assert set(await addresses_on(node.machine)) == {"10.9.0.1", "fd09::1"}


async def test_missing_capability_is_named(segment):
    code = """
        import anyio, ctypes, time
        from kubevip.model import Vip
        from kubevip.net.addresses import KernelAddresses
        from kubevip.net.monitor import Monitor

        async def main():
            vip = Vip.parse("10.9.0.99", interface="eth0")
            async with Monitor() as monitor, KernelAddresses(monitor) as addresses:
                failed = await addresses.put([(vip, 30)], not_after=time.monotonic() + 10)
                print(failed[vip])

        anyio.run(main)
    """
    assert await in_thread(run_without, 12, segment.machines["n1"], code) == (
        "putting 10.9.0.99 on eth0: operation not permitted; it needs the capability NET_ADMIN"
    )


def run_without(capability, machine, code):
    """Run *code* on *machine*, in a process of root that lacks a capability, by its number."""
    import ctypes

    libc = ctypes.CDLL(None)
    pr_capbset_drop = 24
    with machine.entered():
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=20,
            preexec_fn=lambda: libc.prctl(pr_capbset_drop, capability),
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Many


@pytest.mark.parametrize("family", list(Family))
async def test_thousand_addresses_come_and_go(node, family):
    pattern = "10.9.{}.{}" if family is Family.IPV4 else "fd09::{:x}:{:x}"
    vips = [vip(pattern.format(1 + number // 200, 1 + number % 200)) for number in range(1000)]
    start = time.monotonic()
    await put(node, vips)
    took = time.monotonic() - start
    assert len(await addresses_on(node.machine)) == 1002
    assert took < 2
    assert await node.addresses.remove(vips) == {}
    assert len(await addresses_on(node.machine)) == 2


async def test_loop_goes_on_while_the_kernel_works(node):
    vips = [vip(f"10.9.{1 + number // 200}.{1 + number % 200}") for number in range(2000)]
    loop = asyncio.get_running_loop()
    latest = 0.0

    async def tick():
        nonlocal latest
        while True:
            asked = loop.time()
            await asyncio.sleep(0.001)
            latest = max(latest, loop.time() - asked)

    ticking = asyncio.create_task(tick())
    await put(node, vips)
    ticking.cancel()
    assert latest < 0.25


# Pacing


async def test_pacing_addresses_are_on_the_loopback_for_a_while(node):
    await node.addresses.pace(list(Family), 0, 5)
    await node.addresses.pace(list(Family), 1, 5)
    shown = await addresses_on(node.machine)
    pacing = {str(address) for pair in PACING.values() for address in pair}
    assert pacing <= set(shown)
    assert {shown[address]["interface"] for address in pacing} == {"lo"}
    assert {shown[address]["preferred_life_time"] for address in pacing} == {0}
    await node.addresses.stop_pacing()
    assert not pacing & set(await addresses_on(node.machine))


async def test_pacing_addresses_of_one_family_alone(node):
    await node.addresses.pace([Family.IPV6], 0, 5)
    assert set(await addresses_on(node.machine)) == {"10.9.0.1", "fd09::1", "100::fb"}
