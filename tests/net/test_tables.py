"""Routes to single addresses, put into real routing tables."""

import json
from ipaddress import ip_address

import pytest

from kubevip.errors import LinkNotFound, NetworkError
from kubevip.net.tables import KernelRoutes
from kubevip.plugin import Route
from tests.kernel import run_on

pytestmark = pytest.mark.kernel

TABLE, OURS, THEIRS = 198, 248, 4
BOTH = pytest.mark.parametrize("text", ["10.44.0.1", "fd44::1"])


@pytest.fixture
async def tables(node):
    async with KernelRoutes(node.monitor, node.machine.entered) as tables:
        yield tables


def route(text, *, interface="eth0", table=TABLE, protocol=OURS, kind=1):
    return Route(address=ip_address(text), table=table, protocol=protocol, kind=kind, interface=interface)


async def shown(node, text, table=TABLE):
    """Return what ``ip`` shows of the routes to an address."""
    family = "-6" if ":" in text else "-4"
    command = ("ip", "-json", "-details", family, "route", "show", "table", str(table), text)
    return json.loads(await run_on(node.machine, *command, check=False) or "[]")


@BOTH
@pytest.mark.parametrize("table", [198, 70000])
async def test_route_is_in_its_table_as_it_was_asked_for(tables, node, text, table):
    await tables.put(route(text, table=table))
    (found,) = await shown(node, text, table)
    assert (found["dst"], found["dev"], found["type"], found["protocol"]) == (text, "eth0", "unicast", "248")
    assert list(await tables.of(table, OURS)) == [route(text, table=table)]


@BOTH
async def test_other_tables_and_protocols_are_not_told(tables, text):
    await tables.put(route(text))
    assert list(await tables.of(TABLE + 1, OURS)) == []
    assert list(await tables.of(TABLE, OURS + 1)) == []


@BOTH
@pytest.mark.parametrize(("kind", "name"), [(6, "blackhole"), (7, "unreachable"), (8, "prohibit")])
async def test_route_that_leads_nowhere_has_no_interface(tables, node, text, kind, name):
    await tables.put(route(text, interface="", kind=kind))
    (found,) = await shown(node, text)
    assert found["type"] == name
    assert list(await tables.of(TABLE, OURS)) == [route(text, interface="", kind=kind)]


@BOTH
async def test_local_route_is_taken(tables, node, text):
    await tables.put(route(text, interface="lo", kind=2))
    (found,) = await shown(node, text)
    assert (found["type"], found["dev"]) == ("local", "lo")


@BOTH
async def test_route_is_put_again_in_the_place_of_its_own(tables, node, text):
    await tables.put(route(text))
    await tables.put(route(text))
    await tables.put(route(text, interface="lo"))
    (found,) = await shown(node, text)
    assert found["dev"] == "lo"


@BOTH
async def test_route_of_another_protocol_is_neither_replaced_nor_removed(tables, node, text):
    family = "-6" if ":" in text else "-4"
    add = f"ip {family} route add {text} dev lo table {TABLE} proto {THEIRS}"
    await run_on(node.machine, *add.split())
    with pytest.raises(NetworkError, match=f"table 198 has a route to {text} that isn't of protocol 248"):
        await tables.put(route(text))
    await tables.remove(route(text))
    (found,) = await shown(node, text)
    assert (found["dev"], found["protocol"]) == ("lo", "static")


@BOTH
async def test_removed_route_is_gone_and_may_be_removed_again(tables, node, text):
    await tables.remove(route(text))
    await tables.put(route(text))
    for _again in range(2):
        await tables.remove(route(text))
        assert await shown(node, text) == []


async def test_network_routes_of_our_protocol_are_not_told(tables, node):
    await run_on(node.machine, *f"ip route add 10.45.0.0/24 dev eth0 table {TABLE} proto {OURS}".split())
    assert list(await tables.of(TABLE, OURS)) == []


async def test_interface_that_is_not_there_is_named(tables):
    with pytest.raises(LinkNotFound, match="eth7"):
        await tables.put(route("10.44.0.1", interface="eth7"))


async def test_interface_that_is_down_is_named_with_the_reason(tables, node):
    await run_on(node.machine, "ip", "link", "set", "eth0", "down")
    with pytest.raises(NetworkError, match=r"putting the route to 10\.44\.0\.1 by eth0 in table 198 .*: .*not up|down"):
        await tables.put(route("10.44.0.1"))
