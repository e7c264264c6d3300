"""Agents in BGP mode, with BIRD as the router: which node announces what, and what becomes of it."""

import asyncio
import json
import re

import pytest
import pytest_asyncio

from kubevip.demo.record import PATIENCE
from kubevip.demo.watch import recording
from kubevip.errors import Conflict
from kubevip.model import LeaseKey
from tests.bgp_peers.routers import Bird
from tests.kernel import addresses_on, run_on
from tests.peers.own_server import own_server
from tests.system.cluster import CONTROL_PLANE, now
from tests.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

ROUTER, VIP, WEB, OTHER = "172.31.0.77", "10.44.0.1", "10.44.0.2", "10.44.0.3"
PEER = """\
protocol bgp {name} {{
    local {router} as 65001; neighbor {address} as 65000; passive; {options}
    ipv4 {{ import all; export none; add paths off; }};
}}
"""
HEAD = """\
router id 172.31.0.77;
protocol device {{}}
protocol kernel {{ merge paths on; ipv4 {{ import none; export all; }}; }}
"""
BGP = {"vip_arp": "", "bgp_enable": "true", "bgp_peers": f"{ROUTER}:65001", "vip_leaderelection": ""}


class Router(Bird):
    """BIRD with a peer for each node."""

    def start_for(self, cluster, options=""):
        peers = [
            PEER.format(name=node, router=ROUTER, address=cluster.address_of(node), options=options)
            for node in cluster.nodes
        ]
        self.start_as(HEAD.format() + "".join(peers))

    async def via(self, address):
        """Return the nodes that have announced *address*."""
        shown = await self.tell(f"show route {address}/32 all")
        return sorted(re.findall(r"\[(node\d) ", shown))

    async def wait_via(self, address, *nodes, bound=10.0):
        async def so():
            return await self.via(address) == sorted(nodes)

        await until(so, bound, f"{address} by {nodes}")


@pytest.fixture
def router(cluster, tmp_path):
    daemon = Router(cluster.segment.machines["rival"], tmp_path / "bird")
    daemon.start_for(cluster)
    yield daemon
    daemon.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def stopping(cluster):
    yield
    for node, agent in cluster.agents.items():
        if agent.process.poll() is None:
            await cluster.stop_agent(node)


async def test_every_node_announces_without_an_election(cluster, router, stopping):
    for node in cluster.nodes:
        cluster.start_agent(node, extra={**BGP, "address": VIP})
    await router.wait_via(VIP, "node1", "node2")
    for node in cluster.nodes:
        await cluster.wait_ready(node)
        assert VIP in await addresses_on(cluster.segment.machines[node])
    _status, metrics = await cluster.ask("node1", "/metrics")
    assert f'kube_vip_manager_bgp_session_info{{peer="{ROUTER}:179",state="Established"}} 1.0' in metrics
    assert await cluster.stop_agent("node1") == 0
    await router.wait_via(VIP, "node2", bound=2)


async def start(cluster, **extra):
    for node in cluster.nodes:
        cluster.start_agent(node, extra={**BGP, **extra})
    for node in cluster.nodes:
        await cluster.wait_ready(node)


async def test_services_are_announced_by_the_nodes_that_serve_them(cluster, router, stopping):
    await start(cluster, cp_enable="false")
    await cluster.add_service("web", WEB, endpoints=("node1",))
    await router.wait_via(WEB, "node1", "node2")
    await cluster.edit_service("web", lambda found: found["spec"].update(externalTrafficPolicy="Local"))
    await router.wait_via(WEB, "node1")
    await cluster.set_endpoints("web", "node2")
    await router.wait_via(WEB, "node2")
    await cluster.set_endpoints("web")
    await router.wait_via(WEB)
    await cluster.set_endpoints("web", "node1", "node2")
    await router.wait_via(WEB, "node1", "node2")
    await until(lambda: is_published(cluster, "web", WEB), 5)
    # kube-proxy takes the traffic; no node claims to be the one.
    assert await cluster.holders(WEB) == []
    assert (await cluster.published("web"))[1] == ""
    await cluster.delete_service("web")
    await router.wait_via(WEB)


async def test_route_stays_until_the_last_endpoint_serves_no_more(cluster, router, stopping):
    await start(cluster, cp_enable="false")
    await cluster.add_service("rolling", WEB, endpoints=("node1",), externalTrafficPolicy="Local")
    await cluster.add_service("marker", OTHER, endpoints=("node2",), externalTrafficPolicy="Local")
    await router.wait_via(WEB, "node1")
    await cluster.set_endpoints("rolling", "node1", ready=False, serving=True, terminating=True)
    # What comes behind it has been dealt with: so has it.
    await cluster.set_endpoints("marker", "node1")
    await router.wait_via(OTHER, "node1")
    assert await router.via(WEB) == ["node1"]
    await cluster.set_endpoints("rolling", "node1", ready=False, serving=False, terminating=True)
    await router.wait_via(WEB, bound=2)
    await cluster.delete_service("rolling")
    await cluster.delete_service("marker")


async def is_published(cluster, name, address):
    return (await cluster.published(name))[0] == [address]


async def test_addresses_of_services_are_put_on_links_where_that_is_asked_for(cluster, router, stopping):
    await start(cluster, cp_enable="false", bgp_attach_ip_to_interface="true")
    await cluster.add_service("attached", WEB, endpoints=("node1",))
    await router.wait_via(WEB, "node1", "node2")
    assert await cluster.holders(WEB) == ["node1", "node2"]
    await cluster.delete_service("attached")
    await router.wait_via(WEB)
    await cluster.wait_released(WEB)


async def test_control_plane_is_announced_while_the_own_api_server_is_healthy(cluster, router, stopping, tmp_path):
    async with own_server(cluster.segment.machines["node1"], tmp_path) as (server, checked):
        server.status = 500
        extra = {**BGP, **checked, "address": VIP}
        cluster.start_agent("node1", extra=extra)
        cluster.start_agent("node2", extra={**BGP, "address": VIP})
        await cluster.add_service("beside", WEB, endpoints=("node1",))
        await router.wait_via(WEB, "node1", "node2")
        await until(lambda: server.asked > 1, 5)
        # It has never been healthy: nothing is announced, and the address is on no link.
        await router.wait_via(VIP, "node2")
        assert VIP not in await addresses_on(cluster.segment.machines["node1"])
        server.status = 200
        await router.wait_via(VIP, "node1", "node2", bound=3)
        server.status, failed = 503, server.failed
        await router.wait_via(VIP, "node2", bound=5)
        assert server.failed - failed >= 3
        await cluster.wait_logged("node1", "a check fails", check="control-plane", reason="HTTP 503")
        assert 'kubevip_check_healthy{check="control-plane"} 0.0' in (await cluster.ask("node1", "/metrics"))[1]
        # A check of the control plane says nothing of Services.
        await router.wait_via(WEB, "node1", "node2")
        server.status = 200
        await router.wait_via(VIP, "node1", "node2", bound=3)
        await cluster.delete_service("beside")


async def test_elected_control_plane_is_announced_by_its_holder_alone(cluster, router, stopping):
    await start(cluster, address=VIP, svc_enable="false", vip_leaderelection="true")
    holder = await until(lambda: only(router, VIP), 10)
    assert await cluster.holder_of(CONTROL_PLANE) == holder
    assert await cluster.stop_agent(holder) == 0
    (other,) = set(cluster.nodes) - {holder}
    await router.wait_via(VIP, other)


async def test_elected_holder_that_no_router_hears_hands_over(cluster, router, stopping):
    await start(cluster, address=VIP, svc_enable="false", vip_leaderelection="true")
    holder = await until(lambda: only(router, VIP), 10)
    (other,) = set(cluster.nodes) - {holder}
    await router.tell(f'disable {holder} "maintenance"')
    await router.wait_via(VIP, other, bound=12)
    assert await cluster.holder_of(CONTROL_PLANE) == other
    await cluster.wait_logged(holder, "giving up the Lease", reason="it says 'maintenance'")
    assert 'reason="unheard"} 1.0' in (await cluster.ask(holder, "/metrics"))[1]
    # A candidate that is heard again is a candidate, and takes nothing back by itself.
    await router.tell(f"enable {holder}")
    await cluster.wait_ready(holder)
    assert await cluster.holder_of(CONTROL_PLANE) == other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def events_allowed(cluster):
    """What ``kubevip manifest rbac --events`` adds to the rights of kube-vip."""
    group, name = "rbac.authorization.k8s.io", "writes-events"
    rules = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]
    role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "kube-vip", "namespace": "kube-system"}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
    for manifest in (role, binding):
        await cluster.create({"apiVersion": f"{group}/v1", **manifest})


async def test_node_that_no_router_hears_is_not_said_to_announce_a_service(cluster, router, stopping, events_allowed):
    await start(cluster, cp_enable="false")
    await cluster.add_service("heard", WEB, endpoints=("node1",))
    await router.wait_via(WEB, "node1", "node2")
    await until(lambda: is_published(cluster, "heard", WEB), 5)
    await until(lambda: serves(cluster, "node1", 1), 5)
    await router.tell('disable node1 "maintenance"')
    await until(lambda: serves(cluster, "node1", 0), 5)
    assert (await cluster.ask("node1", "/readyz"))[0] == 503
    text = "Administrative Shutdown (6/2), it says 'maintenance'"
    assert text in (await cluster.ask("node1", "/metrics"))[1]
    await until(lambda: has_event(cluster, "default", "heard", "NotAnnounced", text), 5)
    await until(lambda: has_event(cluster, "default", "node1", "PeerLost", text), 5)
    # The other node goes on, and the address is reached by it.
    assert await serves(cluster, "node2", 1)
    assert await is_published(cluster, "heard", WEB)
    await router.tell("enable node1")
    await until(lambda: serves(cluster, "node1", 1), 10)
    await until(lambda: has_event(cluster, "default", "node1", "PeerEstablished", ROUTER), 5)
    await cluster.delete_service("heard")


async def serves(cluster, node, count):
    told = (await cluster.ask(node, "/metrics"))[1]
    found = re.search(r'kube_vip_active_services{namespace="default"} (\d+)', told)
    return (int(found[1]) if found else 0) == count


async def told_by(cluster, node, text):
    return text in (await cluster.ask(node, "/readyz"))[1]


async def has_event(cluster, namespace, name, reason, text):
    events = json.loads(await cluster.client.request("GET", f"/api/v1/namespaces/{namespace}/events"))["items"]
    about = [each for each in events if each["involvedObject"]["name"] == name and each["reason"] == reason]
    return any(text in each["message"] for each in about)


async def only(router, address):
    found = await router.via(address)
    return found[0] if len(found) == 1 else ""


async def test_killed_agent_takes_its_routes_with_it_at_once(cluster, router, stopping):
    await start(cluster, address=VIP, svc_enable="false")
    await router.wait_via(VIP, "node1", "node2")
    cluster.agents["node1"].process.kill()
    await router.wait_via(VIP, "node2", bound=2)


async def test_forwarding_goes_on_while_a_killed_agent_comes_again(cluster, router, stopping):
    router.kill()
    router.start_for(cluster, "graceful restart on;")
    extra = {**BGP, "address": VIP, "svc_enable": "false", "bgp_graceful_restart": "20"}
    cluster.start_agent("node1", extra=extra)
    await cluster.wait_ready("node1")
    await router.wait_via(VIP, "node1")
    cluster.agents["node1"].process.kill()
    cluster.agents["node1"].process.wait()
    seen = []

    async def back():
        seen.append((await router.via(VIP), VIP in await addresses_on(cluster.segment.machines["node1"])))
        return any(message.startswith("the BGP session") for message in cluster.messages("node1")[lines:])

    lines = len(cluster.messages("node1"))
    cluster.start_agent("node1", extra=extra)
    await until(back, 10)
    await cluster.wait_ready("node1")
    await router.wait_via(VIP, "node1")
    assert set(map(str, seen)) == {str((["node1"], True))}


@pytest_asyncio.fixture(loop_scope="module")
async def by_the_router(cluster, client):
    """The client reaches the control plane's address by way of the router."""
    rival = cluster.segment.machines["rival"]
    await run_on(rival, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for place in ("all", "eth0"):
        await run_on(rival, "sysctl", "-qw", f"net.ipv4.conf.{place}.send_redirects=0")
    await run_on(client, "ip", "route", "add", VIP, "via", ROUTER)
    yield
    await run_on(client, "ip", "route", "del", VIP, "via", ROUTER)


async def test_no_probe_is_lost_while_a_killed_agent_comes_again(cluster, router, stopping, by_the_router):
    router.kill()
    router.start_for(cluster, "graceful restart on;")
    # The address stays for the rest of its lease: on a busy machine a start may take seconds.
    lease = {"vip_leaseduration": "15", "vip_renewdeadline": "10", "vip_retryperiod": "2"}
    extra = {**BGP, **lease, "address": VIP, "svc_enable": "false", "bgp_graceful_restart": "15"}
    cluster.start_agent("node1", extra=extra)
    await cluster.wait_ready("node1")
    await router.wait_via(VIP, "node1")
    with recording(cluster.start_probe(VIP)) as probes:
        began = now()
        await until(lambda: probes.first_answer_after(began), 5, "an answer by way of the router")
        began = now()
        cluster.agents["node1"].process.kill()
        cluster.agents["node1"].process.wait()
        cluster.start_agent("node1", extra=extra)
        await cluster.wait_ready("node1")
        # The router forgets what isn't announced again when the agent says that this was all.
        await cluster.wait_logged("node1", "the BGP session is established")
        await asyncio.sleep(9)
        end = now()
        await asyncio.sleep(PATIENCE)
        sent, lost = probes.count(began, end)
        assert (sent > 1000, lost) == (True, 0)
        # Without a restart that was agreed on, the router forgets the route with the session, and so does a probe.
        cluster.agents["node1"].process.kill()
        router.kill()
        router.start_for(cluster)
        began = now()
        await asyncio.sleep(0.5)
        assert probes.count(began + 0.2, began + 0.4)[1] > 0


async def test_node_without_a_router_is_not_ready_and_says_why(cluster, stopping, tmp_path):
    cluster.start_agent("node1", extra={**BGP, "address": VIP})
    await cluster.add_service("lonely", WEB, endpoints=("node1",))

    async def told():
        status, text = await cluster.ask("node1", "/readyz")
        return status == 503 and f"{ROUTER}:179: no connection: Connection refused" in text

    await until(told, 15)
    await cluster.wait_logged("node1", "no BGP session", peer=ROUTER, reason="no connection: Connection refused")
    await cluster.wait_logged("node1", "failed in holding", reason="there is no BGP session")
    # The announcement has failed for so long that its next turn is seconds away.
    daemon = Router(cluster.segment.machines["rival"], tmp_path / "late")
    daemon.start_for(cluster)
    try:
        await daemon.wait_via(WEB, "node1", bound=40)
        await until(lambda: is_published(cluster, "lonely", WEB), 1)
    finally:
        daemon.kill()
    await cluster.delete_service("lonely")


async def test_wrong_peer_ends_the_agent_with_its_name_and_without_its_password(cluster, stopping):
    agent = cluster.start_agent("node1", extra={**BGP, "address": VIP, "bgp_peers": "10.0.0.9:0:hush"})
    assert await agent.wait() == 2
    line = await cluster.wait_logged("node1", "bgp_peers: peer 1, 10.0.0.9: AS '0'")
    assert "hush" not in str(line)


async def test_peers_come_from_annotations_of_the_node_when_they_are_complete(
    cluster, router, stopping, events_allowed
):
    ours = {"node-asn": "65000", "src-ip": cluster.address_of("node1"), "peer-asn": "65001"}
    annotations = {f"example.com/{name}": text for name, text in ours.items()} | {"example.com/peer": "x"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1", "annotations": annotations}}
    await cluster.client.request("POST", "/api/v1/nodes", body=node)
    settings = {**BGP, "bgp_peers": "", "annotation": "example.com", "address": VIP, "svc_enable": "false"}
    cluster.start_agent("node1", extra=settings)
    await cluster.wait_logged("node1", "waiting for the node's annotations", reason="example.com/peer-ip is missing")
    await until(lambda: told_by(cluster, "node1", "example.com/peer-ip is missing"), 3, "told by /readyz")
    annotations["example.com/peer-ip"] = ROUTER
    await cluster.client.request("PUT", "/api/v1/nodes/node1", body=node)
    await router.wait_via(VIP, "node1")
    await cluster.wait_ready("node1")
    await cluster.wait_logged("node1", "an annotation of the node means nothing here", annotation="example.com/peer")
    _status, metrics = await cluster.ask("node1", "/metrics")
    assert 'kubevip_node_annotation_unknown{annotation="example.com/peer"} 1.0' in metrics
    for reason, text in (
        ("AnnotationUnknown", "example.com/peer means"),
        ("AnnotationsIncomplete", "peer-ip is missing"),
    ):
        await until(lambda reason=reason, text=text: has_event(cluster, "default", "node1", reason, text), 5)


async def test_bad_annotation_is_told_and_its_peer_is_spoken_with_once_it_is_corrected(
    cluster, router, stopping, events_allowed
):
    ours = {"node-asn": "65000", "src-ip": cluster.address_of("node1"), "peer-asn": "65001", "peer-ip": "router"}
    annotations = {f"example.com/{name}": text for name, text in ours.items()}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1", "annotations": annotations}}
    await put_node(cluster, node)
    settings = {**BGP, "bgp_peers": "", "annotation": "example.com", "address": VIP, "svc_enable": "false"}
    cluster.start_agent("node1", extra=settings)
    await until(lambda: told_by(cluster, "node1", "example.com/peer-ip is 'router'; write an IP address"), 10)
    _status, metrics = await cluster.ask("node1", "/metrics")
    assert 'kubevip_node_annotation_invalid{annotation="example.com/peer-ip"} 1.0' in metrics
    annotations["example.com/peer-ip"] = ROUTER
    await put_node(cluster, node)
    await router.wait_via(VIP, "node1")
    annotations["example.com/peer-asn"] = "AS65001"
    await put_node(cluster, node)
    reason = "annotation example.com/peer-asn is 'AS65001'"
    await cluster.wait_logged("node1", "an annotation of the node can't be used", reason=reason)
    await until(lambda: has_event(cluster, "default", "node1", "AnnotationInvalid", "example.com/peer-asn"), 5)
    await router.wait_via(VIP, "node1")
    annotations |= {"example.com/peer-asn": "65001", "example.com/bgp-peers-1-peer-ip": "192.0.2.9"}
    await put_node(cluster, node)
    await cluster.wait_logged("node1", "no BGP session", peer="192.0.2.9:179")
    await router.wait_via(VIP, "node1")


async def put_node(cluster, node):
    try:
        await cluster.client.request("POST", "/api/v1/nodes", body=node)
    except Conflict:
        await cluster.client.request("PUT", f"/api/v1/nodes/{node['metadata']['name']}", body=node)


async def test_agent_that_waits_for_annotations_can_be_stopped(cluster, stopping):
    cluster.start_agent("node2", extra={**BGP, "bgp_peers": "", "annotation": "example.com", "address": VIP})
    await cluster.wait_logged("node2", "waiting for the node's annotations")
    assert await cluster.stop_agent("node2") == 0


async def test_service_with_a_lease_of_its_own_is_announced_by_its_holder_alone(cluster, router, stopping):
    await start(cluster, cp_enable="false", svc_election="true")
    await cluster.add_service("elected", WEB, endpoints=("node1", "node2"))
    holder = await until(lambda: only(router, WEB), 10)
    assert await cluster.holder_of(LeaseKey("default", "kubevip-elected")) == holder
    await until(lambda: is_published(cluster, "elected", WEB), 5)
    assert (await cluster.published("elected"))[1] == holder
    (other,) = {*cluster.nodes} - {holder}
    await cluster.edit_service("elected", lambda found: found["spec"].update(externalTrafficPolicy="Local"))
    await cluster.set_endpoints("elected", other)
    await router.wait_via(WEB, other, bound=5)
    assert await cluster.stop_agent(other) == 0
    await router.wait_via(WEB, bound=5)
    await cluster.delete_service("elected")
