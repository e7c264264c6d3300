"""What a real kernel says of gateways and neighbours."""

import asyncio
from ipaddress import ip_address

import pytest

from kubevip.errors import LinkNotFound
from kubevip.net import neighbourhood
from kubevip.net.neighbourhood import KernelNeighbourhood
from tests.kernel import run_on
from tests.waiting import until

pytestmark = pytest.mark.kernel


@pytest.fixture
def hood(node):
    return KernelNeighbourhood(node.monitor, node.machine.entered)


async def ip(node, words):
    await run_on(node.machine, "ip", *words.split())


async def test_gateways_are_those_of_the_routes_through_the_interface(node, hood):
    await ip(node, "link add lan1 up type veth peer name lan1-end")
    await ip(node, "link set lan1-end up")
    await ip(node, "addr add 10.8.0.1/16 dev lan1")
    await ip(node, "route add 10.77.0.0/16 via 10.9.0.250 dev eth0")
    await ip(node, "route add default via 10.9.0.254 dev eth0")
    await ip(node, "route add 10.78.0.0/16 via 10.8.0.254 dev lan1")
    await ip(node, "-6 route add default via fe80::1 dev eth0")
    assert list(await hood.gateways("eth0")) == [ip_address(text) for text in ("10.9.0.254", "fe80::1", "10.9.0.250")]
    assert list(await hood.gateways("lan1")) == [ip_address("10.8.0.254")]


async def test_routes_of_several_hops_and_of_another_family_count(node, hood):
    await ip(node, "route add default nexthop via 10.9.0.253 dev eth0 nexthop via 10.9.0.254 dev eth0")
    await ip(node, "route add 10.77.0.0/16 via inet6 fe80::9 dev eth0")
    assert set(await hood.gateways("eth0")) == {ip_address(text) for text in ("10.9.0.253", "10.9.0.254", "fe80::9")}


async def test_the_preferred_default_route_comes_first(node, hood):
    await ip(node, "route add default via 10.9.0.253 dev eth0 metric 200")
    await ip(node, "route add default via 10.9.0.254 dev eth0 metric 100")
    assert list(await hood.gateways("eth0")) == [ip_address("10.9.0.254"), ip_address("10.9.0.253")]


async def test_routes_of_other_tables_and_without_a_gateway_do_not_count(node, hood):
    await ip(node, "route add 10.77.0.0/16 via 10.9.0.250 dev eth0 table 100")
    await ip(node, "route add 10.78.0.0/16 dev eth0")
    await ip(node, "route add unreachable 10.79.0.0/16")
    assert list(await hood.gateways("eth0")) == []


async def test_neighbours_are_those_that_were_reached_lately(node, hood):
    await ip(node, "neigh add 10.9.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud failed")
    assert list(await hood.neighbours("eth0")) == []
    await run_on(node.machine, "ping", "-c", "1", "-W", "2", "10.9.0.2")
    await run_on(node.machine, "ping", "-c", "1", "-W", "2", "fd09::2")
    assert {ip_address("10.9.0.2"), ip_address("fd09::2")} <= set(await hood.neighbours("eth0"))
    assert ip_address("10.9.0.9") not in set(await hood.neighbours("eth0"))


async def test_whom_the_kernel_asks_for_in_vain_is_sought(node, hood):
    await ip(node, "neigh add 10.9.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud failed")
    await run_on(node.machine, "ping", "-c", "1", "-W", "2", "10.9.0.2")
    assert list(await hood.sought("eth0")) == []
    pings = [run_on(node.machine, "ping", "-c", "1", "-w", "1", address) for address in ("10.9.0.77", "fd09::77")]
    unanswered = asyncio.gather(*pings, return_exceptions=True)

    async def all_sought():
        return set(await hood.sought("eth0")) == {ip_address("10.9.0.77"), ip_address("fd09::77")}

    await until(all_sought, 2)
    await unanswered


async def test_an_interface_that_is_not_there_is_told(hood):
    with pytest.raises(LinkNotFound):
        await hood.gateways("eth9")


@pytest.mark.parametrize("parse", [neighbourhood.parse_route, neighbourhood.parse_neighbour])
def test_other_messages_are_passed_over(parse):
    assert parse(2, bytes(64)) is None
