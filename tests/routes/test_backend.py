"""The backend keeps the contract, and its routes in the table."""

from ipaddress import ip_address

import kubevip_routes
import pytest
from kubevip_routes import RoutesBackend

from kubevip.model import Vip
from kubevip.plugin import NetworkError, Route
from kubevip.testing import FakeHost, Segment, check_backend
from tests.waiting import until

VIP, SIX = Vip.parse("10.0.0.201/24", interface="eth0"), Vip.parse("fd00::201", interface="eth0")
OLD = ip_address("10.0.0.77")


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(kubevip_routes, "FRESH", 0.0)
    monkeypatch.setattr(kubevip_routes, "SETTLE", 0.05)


def host(**settings):
    return FakeHost("here", Segment(), settings)


def route(vip, **facts):
    return Route(**{"address": vip.address, "table": 198, "protocol": 248, "interface": vip.interface} | facts)


async def left_over(machine, **facts):
    found = Route(**{"address": OLD, "table": 198, "protocol": 248, "interface": "eth0"} | facts)
    await machine.put_route(found)
    return found


@pytest.mark.parametrize("clean", ["", "true"])
async def test_backend_keeps_the_contract(clean):
    await check_backend("routes", settings={"vip_cleanroutingtable": clean})


async def test_vip_is_a_route_to_its_address_alone_until_it_is_withdrawn():
    machine = host()
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        await backend.announce(SIX)
        assert machine.tables.all() == [route(VIP), route(SIX)]
        await backend.withdraw(VIP)
        assert machine.tables.all() == [route(SIX)]


async def test_settings_say_what_the_route_looks_like():
    machine = host(vip_routingtableid="70000", vip_routingtabletype="2", vip_routingprotocol="99")
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        assert machine.tables.all() == [route(VIP, table=70000, kind=2, protocol=99)]


async def test_route_that_leads_nowhere_has_no_interface():
    machine = host(vip_routingtabletype="6")
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        assert machine.tables.all() == [route(VIP, kind=6, interface="")]


async def test_announcing_again_leaves_the_route_that_is_there_and_puts_the_one_that_is_gone():
    machine = host()
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        await backend.announce(VIP)
        assert len(machine.tables.puts) == 1
        machine.tables.delete(VIP.address, 198)
        await backend.announce(VIP)
        assert machine.tables.all() == [route(VIP)]


async def test_route_of_an_earlier_run_is_taken_over_without_touching_it():
    machine = host(vip_cleanroutingtable="true")
    await left_over(machine, address=VIP.address)
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        assert len(machine.tables.puts) == 1
        await until(lambda: machine.tables.looks > 1)
        assert machine.tables.all() == [route(VIP)]


async def test_route_of_another_type_from_an_earlier_run_is_replaced():
    machine = host()
    await left_over(machine, address=VIP.address, kind=6, interface="")
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        assert machine.tables.all() == [route(VIP)]


async def test_one_look_at_the_table_is_enough_for_all_that_is_announced_in_a_go(monkeypatch):
    monkeypatch.setattr(kubevip_routes, "FRESH", 60.0)
    machine = host()
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        await backend.announce(SIX)
        assert machine.tables.looks == 1


async def test_address_on_two_interfaces_keeps_a_route_until_both_are_withdrawn():
    machine = host()
    machine.links.add("eth1")
    other = Vip.parse("10.0.0.201/24", interface="eth1")
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        await backend.announce(other)
        assert machine.tables.all() == [route(VIP)]
        await backend.withdraw(VIP)
        assert machine.tables.all() == [route(other)]
        await backend.withdraw(other)
        assert machine.tables.all() == []


async def test_foreign_route_fails_the_announcement_and_stays():
    machine = host()
    foreign = await left_over(machine, address=VIP.address, protocol=4)
    async with RoutesBackend(machine) as backend:
        with pytest.raises(NetworkError, match="another protocol's route"):
            await backend.announce(VIP)
        await backend.withdraw(VIP)
    assert machine.tables.all() == [foreign]


async def test_without_clean_up_leftovers_stay_and_only_ours_go_at_the_end():
    machine = host()
    old = await left_over(machine)
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
    assert machine.tables.all() == [old]


async def test_clean_up_removes_leftovers_of_the_protocol_in_the_table_and_no_others():
    machine = host(vip_cleanroutingtable="true")
    await left_over(machine)
    others = [
        await left_over(machine, table=199),
        await left_over(machine, address=ip_address("10.0.0.78"), protocol=4),
    ]
    async with RoutesBackend(machine) as backend:
        assert len(machine.tables.all()) == 3
        await backend.announce(VIP)
        await until(lambda: machine.tables.all() == [*others, route(VIP)])


async def test_clean_up_is_tried_again_when_it_failed():
    machine = host(vip_cleanroutingtable="true")
    await left_over(machine)
    async with RoutesBackend(machine):
        machine.tables.failure = NetworkError("no buffer space available")
        await until(lambda: machine.tables.failures > 0)
        machine.tables.failure = None
        await until(lambda: machine.tables.all() == [])


async def test_clean_up_at_the_end_removes_what_is_left_over_at_once():
    machine = host(vip_cleanroutingtable="true")
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        await left_over(machine)
    assert machine.tables.all() == []


async def test_failure_at_the_end_is_logged(caplog):
    machine = host()
    async with RoutesBackend(machine) as backend:
        await backend.announce(VIP)
        machine.tables.failure = NetworkError("no buffer space available")
    assert [record.message for record in caplog.records] == ["routes are left behind"]
