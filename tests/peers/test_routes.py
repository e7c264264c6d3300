"""Agents in routing-table mode, with BIRD on each node, which takes the addresses from the table."""

import re

import pytest
import pytest_asyncio

from kubevip.model import LeaseKey
from tests.bgp_peers.routers import Bird
from tests.kernel import addresses_on, run_on
from tests.peers.own_server import own_server
from tests.system.cluster import CONTROL_PLANE, SERVICES_LEASE
from tests.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

VIP, SIX, WEB, OTHER = "10.44.0.1", "fd44::1", "10.44.0.2", "10.44.0.3"
CONFIG = """\
router id {address};
protocol device {{}}
protocol kernel vip4 {{ kernel table 198; learn; scan time 60; ipv4 {{ import all; export none; }}; }}
protocol kernel vip6 {{ kernel table 198; learn; scan time 60; ipv6 {{ import all; export none; }}; }}
"""
ROUTES = {"vip_arp": "", "vip_routingtable": "true", "vip_leaderelection": "", "backend_health_check_interval": "1"}


class Daemon(Bird):
    """BIRD on a node, with the kernel's table 198 imported."""

    async def imported(self):
        shown = await self.tell("show route all")
        return dict(re.findall(r"^(?:1007-| )(\S+)/\d+ +(\w+)", shown, re.M))

    async def wait_imported(self, *addresses, bound=10.0):
        async def so():
            return set(await self.imported()) == set(addresses)

        await until(so, bound, f"BIRD on {self.machine.name} with {addresses}")


@pytest.fixture
def daemons(cluster, tmp_path):
    made = {}
    for node in cluster.nodes:
        made[node] = Daemon(cluster.segment.machines[node], tmp_path / node)
        made[node].start_as(CONFIG.format(address=cluster.address_of(node)))
    yield made
    for daemon in made.values():
        daemon.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def stopping(cluster):
    yield
    for node, agent in cluster.agents.items():
        if agent.process.poll() is None:
            await cluster.stop_agent(node)


async def start(cluster, **extra):
    for node in cluster.nodes:
        cluster.start_agent(node, extra={**ROUTES, **extra})
    for node in cluster.nodes:
        await cluster.wait_ready(node)


async def test_every_node_announces_without_an_election_until_it_stops(cluster, daemons, stopping):
    await start(cluster, address=f"{VIP},{SIX}")
    for node in cluster.nodes:
        await daemons[node].wait_imported(VIP, SIX)
        assert {VIP, SIX} <= set(await addresses_on(cluster.segment.machines[node]))
    assert [await cluster.holder_of(lease) for lease in (CONTROL_PLANE, SERVICES_LEASE)] == ["", ""]
    assert await cluster.stop_agent("node1") == 0
    await daemons["node1"].wait_imported(bound=3)
    await daemons["node2"].wait_imported(VIP, SIX)
    # What docs/routes.md lets BIRD tell the routers.
    ours = await daemons["node2"].tell("show route all where krt_source = 248")
    assert (f"{VIP}/32" in ours, f"{SIX}/128" in ours) == (True, True)
    assert "Kernel.source: 248" in ours


async def test_routes_of_services_follow_their_endpoints(cluster, daemons, stopping):
    await start(cluster, cp_enable="false")
    await cluster.add_service("web", WEB, endpoints=("node1",))
    for node in cluster.nodes:
        await daemons[node].wait_imported(WEB)
    await cluster.edit_service("web", lambda found: found["spec"].update(externalTrafficPolicy="Local"))
    await daemons["node2"].wait_imported()
    await daemons["node1"].wait_imported(WEB)
    # kube-proxy takes the traffic: the address is on no link.
    assert await cluster.holders(WEB) == []
    await cluster.set_endpoints("web")
    await daemons["node1"].wait_imported()
    await cluster.delete_service("web")


async def test_route_stays_until_the_last_endpoint_serves_no_more(cluster, daemons, stopping):
    await start(cluster, cp_enable="false")
    await cluster.add_service("rolling", WEB, endpoints=("node1",), externalTrafficPolicy="Local")
    await cluster.add_service("marker", OTHER, endpoints=("node2",), externalTrafficPolicy="Local")
    await daemons["node1"].wait_imported(WEB)
    await cluster.set_endpoints("rolling", "node1", ready=False, serving=True, terminating=True)
    # What comes behind it has been dealt with: so has it.
    await cluster.set_endpoints("marker", "node1")
    await daemons["node1"].wait_imported(WEB, OTHER)
    await cluster.set_endpoints("rolling", "node1", ready=False, serving=False, terminating=True)
    await daemons["node1"].wait_imported(OTHER, bound=2)
    await cluster.delete_service("rolling")
    await cluster.delete_service("marker")


async def test_route_that_somebody_removes_is_put_again(cluster, daemons, stopping):
    await start(cluster, address=VIP, svc_enable="false", vip_interface="lo")
    await daemons["node1"].wait_imported(VIP)
    machine = cluster.segment.machines["node1"]
    await run_on(machine, "ip", "route", "flush", "table", "198")

    async def back():
        return VIP in await run_on(machine, "ip", "route", "show", "table", "198", check=False)

    await until(back, 5)
    assert f"{VIP} dev lo proto 248" in await run_on(machine, "ip", "route", "show", "table", "198")
    await daemons["node1"].wait_imported(VIP)


async def test_control_plane_has_a_route_while_the_own_api_server_is_healthy(cluster, daemons, stopping, tmp_path):
    async with own_server(cluster.segment.machines["node1"], tmp_path) as (server, checked):
        cluster.start_agent("node1", extra={**ROUTES, **checked, "address": VIP, "svc_enable": "false"})
        await daemons["node1"].wait_imported(VIP)
        server.status = 503
        await daemons["node1"].wait_imported()
        server.status = 200
        await daemons["node1"].wait_imported(VIP)


async def test_blackhole_routes_are_imported_as_such(cluster, daemons, stopping):
    await start(cluster, address=VIP, svc_enable="false", vip_routingtabletype="6")
    await daemons["node1"].wait_imported(VIP)
    assert await daemons["node1"].imported() == {VIP: "blackhole"}


async def test_leftovers_of_a_killed_agent_go_after_the_next_start_and_foreign_routes_stay(cluster, daemons, stopping):
    machine = cluster.segment.machines["node1"]
    await run_on(machine, *["ip", "route", "add", "10.44.0.9", "dev", "eth0", "table", "198", "proto", "static"])
    cluster.start_agent("node1", extra={**ROUTES, "address": VIP, "svc_enable": "false"})
    await daemons["node1"].wait_imported(VIP, "10.44.0.9")
    cluster.agents["node1"].process.kill()
    cluster.agents["node1"].process.wait()
    settings = {"address": "10.44.0.3", "svc_enable": "false", "vip_cleanroutingtable": "true"}
    cluster.start_agent("node1", extra={**ROUTES, **settings})
    await daemons["node1"].wait_imported("10.44.0.3", "10.44.0.9", bound=20)
    assert await cluster.stop_agent("node1") == 0
    await daemons["node1"].wait_imported("10.44.0.9", bound=3)
    await run_on(machine, *["ip", "route", "del", "10.44.0.9", "table", "198"])


async def test_wrong_settings_end_the_agent_with_their_names(cluster, stopping):
    settings = {"address": VIP, "vip_cleanroutingtable": "true", "vip_routingprotocol": "4"}
    agent = cluster.start_agent("node1", extra={**ROUTES, **settings})
    assert await agent.wait() == 2
    await cluster.wait_logged("node1", "vip_cleanroutingtable, vip_routingprotocol='4'")


async def test_foreign_route_is_left_alone_and_the_log_says_why(cluster, daemons, stopping):
    machine = cluster.segment.machines["node1"]
    await run_on(machine, "ip", "route", "add", WEB, "dev", "eth0", "table", "198", "proto", "static")
    cluster.start_agent("node1", extra={**ROUTES, "cp_enable": "false"})
    await cluster.wait_ready("node1")
    await cluster.add_service("taken", WEB, endpoints=("node1",))
    reason = f"routing table 198 has a route to {WEB} that isn't of protocol 248; "
    await cluster.wait_logged("node1", "failed in holding", reason=reason)
    assert "static" in await run_on(machine, "ip", "route", "show", "table", "198")
    await cluster.delete_service("taken")
    await run_on(machine, "ip", "route", "del", WEB, "table", "198")


async def test_service_with_a_lease_of_its_own_has_its_route_on_its_holder_alone(cluster, daemons, stopping):
    await start(cluster, cp_enable="false", per_service_election_on_demand="true")
    await cluster.add_service("common", OTHER, endpoints=("node1",))
    await cluster.add_service("elected", WEB, endpoints=("node1",))
    for node in cluster.nodes:
        await daemons[node].wait_imported(OTHER, WEB)
    await cluster.annotate("elected", forcePerServiceElection="true")
    lease = LeaseKey("default", "kubevip-elected")
    holder = await until(lambda: cluster.holder_of(lease), 10)
    (other,) = {*cluster.nodes} - {holder}
    await daemons[other].wait_imported(OTHER)
    await daemons[holder].wait_imported(OTHER, WEB)
    await cluster.annotate("elected", forcePerServiceElection=None)
    await daemons[other].wait_imported(OTHER, WEB)
    await daemons[holder].wait_imported(OTHER, WEB)
    await cluster.delete_service("elected")
    await cluster.delete_service("common")
