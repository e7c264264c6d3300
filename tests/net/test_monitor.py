"""What the monitor knows of links and of the node's own addresses, as they change."""

import logging
import socket
import subprocess
from ipaddress import ip_address

import pytest

from kubevip.errors import LinkNotFound
from kubevip.model import Family
from kubevip.net.addresses import PACING
from tests.kernel import in_thread, run_on
from tests.net.conftest import MAC, opened, vip
from tests.waiting import until

pytestmark = pytest.mark.kernel


async def ip(node, *words):
    await run_on(node.machine, "ip", *words)


async def add_link(node, name, *options):
    """Make a link; its other end is on the same machine."""
    await ip(node, "link", "add", name, *options, "type", "veth", "peer", "name", f"{name}-end")


@pytest.fixture
def told(node):
    names = []
    node.monitor.subscribe(names.append)
    return names


# Links


async def test_links_are_known_from_the_start(node):
    eth0, lo = node.monitor.get("eth0"), node.monitor.get("lo")
    assert (eth0.name, eth0.up, eth0.loopback, len(eth0.mac)) == ("eth0", True, False, 6)
    assert (lo.name, lo.up, lo.loopback, lo.index) == ("lo", True, True, 1)
    assert node.monitor.names() == ["eth0", "lo"]


async def test_missing_link_is_told_with_those_that_are_there(node):
    with pytest.raises(LinkNotFound, match="there is no interface 'eth1'; there are: eth0, lo"):
        node.monitor.get("eth1")


async def test_new_link_is_told(node, told):
    await add_link(node, "lan0", "address", MAC)
    await until(lambda: "lan0" in told)
    assert node.monitor.get("lan0").mac == bytes.fromhex("020000000001")
    assert not node.monitor.get("lan0").up


async def test_link_that_comes_up_is_told(node, told):
    await add_link(node, "lan0")
    await until(lambda: "lan0" in node.monitor.names())
    told.clear()
    await ip(node, "link", "set", "lan0", "up")
    await ip(node, "link", "set", "lan0-end", "up")
    await until(lambda: node.monitor.get("lan0").up)
    assert "lan0" in told


async def test_link_that_goes_is_told(node, told):
    await add_link(node, "lan0")
    await until(lambda: "lan0" in node.monitor.names())
    told.clear()
    await ip(node, "link", "del", "lan0")
    await until(lambda: "lan0" not in node.monitor.names())
    assert told.count("lan0") == 1


async def test_renamed_link_is_told_by_both_names(node, told):
    await add_link(node, "lan0")
    await until(lambda: "lan0" in node.monitor.names())
    told.clear()
    await ip(node, "link", "set", "lan0", "name", "wan0")
    await until(lambda: "wan0" in node.monitor.names())
    assert "lan0" not in node.monitor.names()
    assert {"lan0", "wan0"} <= set(told)


async def test_link_that_is_set_down_is_not_up(node, told):
    await ip(node, "link", "set", "eth0", "down")
    await until(lambda: not node.monitor.get("eth0").up)
    await ip(node, "link", "set", "eth0", "up")
    await until(lambda: node.monitor.get("eth0").up)
    assert "eth0" in told


async def test_link_without_a_carrier_is_not_up(node, segment):
    await in_thread(segment.unplug, "n1")
    await until(lambda: not node.monitor.get("eth0").up)
    await in_thread(segment.plug, "n1")
    await until(lambda: node.monitor.get("eth0").up)


async def test_link_that_is_made_up_is_not_so_before_it_has_a_carrier(node):
    """The kernel says UNKNOWN of its state at first, and drops what is sent."""
    found = []
    node.monitor.subscribe(lambda name: found.append(name == "lan0" and node.monitor.get(name).up))
    await add_link(node, "lan0", "up")
    await until(lambda: "lan0" in node.monitor.names())
    assert not any(found)
    await ip(node, "link", "set", "lan0-end", "up")
    await until(lambda: node.monitor.get("lan0").up)


async def test_new_link_of_an_old_name_is_another_one(node):
    await add_link(node, "lan0")
    await until(lambda: "lan0" in node.monitor.names())
    before = node.monitor.get("lan0").index
    await ip(node, "link", "del", "lan0")
    await add_link(node, "lan0")
    await until(lambda: "lan0" in node.monitor.names() and node.monitor.get("lan0").index != before)


async def test_link_local_address_is_known_when_it_comes(node):
    found = await until(lambda: node.monitor.get("eth0").link_local)
    assert found.is_link_local


async def test_changes_are_told_no_more_after_unsubscribing(node, told):
    other = []
    node.monitor.subscribe(other.append)()
    await add_link(node, "lan0")
    await until(lambda: told)
    assert not other


# The node's own addresses


async def test_own_addresses_are_known_from_the_start(node):
    assert node.monitor.own(ip_address("10.9.0.1")) == "eth0"
    assert node.monitor.own(ip_address("fd09::1")) == "eth0"
    assert node.monitor.own(ip_address("10.9.0.50")) is None


async def test_own_address_of_a_host_prefix_is_known_from_the_start(segment):
    await run_on(segment.machines["n1"], "ip", "addr", "add", "10.9.0.77/32", "dev", "lo")
    async with opened(segment.machines["n1"]) as node:
        assert node.monitor.own(ip_address("10.9.0.77")) == "lo"


@pytest.mark.parametrize("text", ["192.168.7.1/24", "fd07::1/64"])
async def test_own_address_is_known_when_it_comes_and_goes(node, text):
    address = ip_address(text.partition("/")[0])
    await ip(node, "addr", "add", text, "dev", "eth0")
    await until(lambda: node.monitor.own(address) == "eth0")
    await ip(node, "addr", "del", text, "dev", "eth0")
    await until(lambda: node.monitor.own(address) is None)


async def test_own_addresses_go_with_their_link(node):
    await add_link(node, "lan0")
    await ip(node, "addr", "add", "192.168.7.1/24", "dev", "lan0")
    await until(lambda: node.monitor.own(ip_address("192.168.7.1")) == "lan0")
    await ip(node, "link", "del", "lan0")
    await until(lambda: node.monitor.own(ip_address("192.168.7.1")) is None)


async def test_vip_is_no_own_address(node):
    await node.addresses.put([(vip("10.9.0.99/16"), 30), (vip("fd09::99/64"), 30)], not_after=float("inf"))
    await ip(node, "addr", "add", "192.168.7.1/24", "dev", "eth0")
    await until(lambda: node.monitor.own(ip_address("192.168.7.1")))
    assert node.monitor.own(ip_address("10.9.0.99")) is None
    assert node.monitor.own(ip_address("fd09::99")) is None


async def test_vip_of_another_agent_is_no_own_address(segment):
    """kube-vip's: without an end, and never preferred."""
    where = ("dev", "eth0", "preferred_lft", "0")
    await run_on(segment.machines["n1"], "ip", "addr", "add", "10.9.0.99/32", *where)
    async with opened(segment.machines["n1"]) as node:
        assert node.monitor.own(ip_address("10.9.0.99")) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.9.200.5", ("eth0", 16)),
        ("10.9.5.7", ("lan0", 24)),
        ("10.10.0.1", None),
        ("fd09::77", ("eth0", 64)),
        ("fd10::1", None),
        ("fe80::77", None),
    ],
)
async def test_network_of_an_address_is_the_narrowest(node, text, found):
    await add_link(node, "lan0")
    await ip(node, "addr", "add", "10.9.5.1/24", "dev", "lan0")
    await until(lambda: node.monitor.own(ip_address("10.9.5.1")))
    assert node.monitor.towards(ip_address(text)) == found


async def test_pacing_addresses_are_no_own_addresses(node):
    await node.addresses.pace(list(Family), 0, 30)
    await ip(node, "addr", "add", "192.168.7.1/24", "dev", "eth0")
    await until(lambda: node.monitor.own(ip_address("192.168.7.1")))
    assert not [pair for pair in PACING.values() if node.monitor.own(pair[0])]


# More events than can be kept


def change_behind_its_back(node, vips):
    """Remove *vips* and add a link while the loop stands still, by more events than the socket keeps."""
    node.monitor._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    commands = [
        *(f"addr del {each}/{each.prefix_length} dev eth0" for each in vips),
        "link add late0 type bridge",
        "addr add 192.168.7.1/24 dev eth0",
    ]
    with node.machine.entered():
        subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, timeout=20)


async def test_what_was_missed_is_told_after_an_overflow(node, told, caplog, nothing_blocks_the_loop):
    nothing_blocks_the_loop.deactivate()
    vips = [vip(f"10.9.1.{number}") for number in range(1, 201)]
    removed = []
    node.addresses.subscribe(lambda address, interface: removed.append((address, interface)))
    await node.addresses.put([(each, 60) for each in vips], not_after=float("inf"))
    change_behind_its_back(node, vips[:150])
    await until(lambda: len(set(removed)) == 150)
    assert {address for address, _interface in removed} == {each.address for each in vips[:150]}
    assert "late0" in node.monitor.names()
    assert "late0" in told
    assert node.monitor.own(ip_address("192.168.7.1")) == "eth0"
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "more network events than the socket could keep" in record.getMessage()


async def test_events_are_told_again_after_an_overflow(node, told, nothing_blocks_the_loop):
    nothing_blocks_the_loop.deactivate()
    vips = [vip(f"10.9.1.{number}") for number in range(1, 201)]
    await node.addresses.put([(each, 60) for each in vips], not_after=float("inf"))
    change_behind_its_back(node, vips)
    await until(lambda: "late0" in told)
    told.clear()
    await ip(node, "link", "del", "late0")
    await until(lambda: told == ["late0"])
