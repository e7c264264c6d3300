"""Health and handovers in a whole cluster: the address leaves an unfit node, the command moves it, nothing is lost."""

import json
import os
import sys

import anyio
import attrs
import pytest
import pytest_asyncio
from pyroute2 import IPRoute

from kubevip.succession import REQUEST, Request
from tests.kernel import in_thread
from tests.system.cluster import CONTROL_PLANE, now
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

VIP, SERVICE = "172.31.0.99", "172.31.0.77"
DURATION = 5.0


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """A directory with a file for each healthy node."""
    return tmp_path_factory.mktemp("healthy")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prepared(emulated, signs):
    """A cluster whose agents are healthy while there is a file of their node's name."""
    for node in emulated.nodes:
        (signs / node).touch()
        manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
        await emulated.client.request("POST", "/api/v1/nodes", body=manifest)
    checks = {
        "vip_check_command": f"sh -c 'test -e {signs}/$(hostname) || {{ echo no sign of health >&2; exit 3; }}'",
        "vip_check_interval": "0.2",
        "vip_check_fall": "2",
        "vip_check_rise": "2",
    }
    emulated._environment = {**emulated._environment, **checks}
    return emulated


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(prepared, signs):
    """The cluster with all nodes healthy and ready, and none cordoned."""
    for node in prepared.nodes:
        (signs / node).touch()
        await cordon(prepared, node, False)
    await prepared.start_all()
    await until(lambda: settled(prepared), 10, "all eligible")
    await prepared.wait_held(VIP)
    return prepared


async def settled(cluster):
    return all([await metric(cluster, node, "kubevip_eligible") == 1 for node in cluster.nodes])


@pytest_asyncio.fixture(loop_scope="module")
async def watch(cluster):
    with cluster.watching(VIP) as watch:
        await watch.wait_holder()
        yield watch


async def cordon(cluster, node, cordoned):
    path = f"/api/v1/nodes/{node}"
    found = json.loads(await cluster.client.request("GET", path))
    found["spec"] = {"unschedulable": True} if cordoned else {}
    await cluster.client.request("PUT", path, body=found)


async def metric(cluster, node, name, lease="plndr-cp-lock"):
    _status, text = await cluster.ask(node, "/metrics")
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{") and lease in line]
    return float(lines[0].rpartition(" ")[2]) if lines else None


@attrs.frozen
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


@pytest.fixture
def handover(prepared):
    """Return a function that runs ``kubevip handover`` on the API server's machine."""

    async def run(*arguments, user="admin"):
        environment = {**os.environ, "KUBECONFIG": str(prepared._directory / user.replace(":", "-"))}
        command = [sys.executable, "-m", "kubevip", "handover", *arguments]
        done = await anyio.run_process(command, env=environment, check=False)
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


async def test_a_failing_check_moves_the_address_and_loses_no_probe(cluster, watch, signs):
    source, start = watch.holder, now()
    (signs / source).unlink()
    await watch.wait_holder(3, other_than=source)
    assert await watch.lost_since(start - 0.1) == 0
    line = await cluster.wait_logged(source, "not campaigning: check command failed 2 times: exit 3: no sign of health")
    assert line["lease"] == str(CONTROL_PLANE)
    assert await metric(cluster, source, "kubevip_eligible") == 0


async def test_when_all_are_unhealthy_one_holds_it_and_loses_no_probe(cluster, watch, signs):
    start = now()
    for node in cluster.nodes:
        (signs / node).unlink()
    await until(lambda: held_as_the_last_resort(cluster), 10, "a last resort")
    await anyio.sleep(2)
    assert await watch.lost_since(start - 0.1) == 0
    assert watch.holder == await cluster.holder_of(CONTROL_PLANE)
    healthy = next(node for node in cluster.nodes if node != watch.holder)
    (signs / healthy).touch()
    assert await watch.wait_holder(5, other_than=watch.holder) == healthy
    assert await watch.lost_since(start - 0.1) == 0


async def held_as_the_last_resort(cluster):
    holder = await cluster.holder_of(CONTROL_PLANE)
    return holder and await metric(cluster, holder, "kubevip_last_resort") == 1


async def test_cordoning_the_holder_moves_the_address_and_loses_no_probe(cluster, watch):
    source, start = watch.holder, now()
    await cordon(cluster, source, True)
    await watch.wait_holder(2, other_than=source)
    assert await watch.lost_since(start - 0.1) == 0
    await cordon(cluster, source, False)
    await anyio.sleep(1)
    assert watch.holder != source


async def test_the_command_moves_the_address_to_each_node_and_loses_no_probe(cluster, watch, handover):
    start = now()
    for target in (*cluster.nodes, *cluster.nodes):
        source = watch.holder
        said = await handover(VIP, "--to", target, "--output", "json", "--address", VIP)
        assert said.code == 0, said.err
        expected = ("already", target) if source == target else ("moved", target)
        assert (said.document["result"], said.document["holder"]) == expected
        assert said.document["seconds"] < 1
        await until(lambda target=target: watch.holder == target, 2, f"{VIP} on {target}")
    assert await watch.lost_since(start - 0.1) == 0


async def test_without_a_node_the_command_moves_it_to_another_one(cluster, watch, handover):
    source = watch.holder
    said = await handover(str(CONTROL_PLANE))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{CONTROL_PLANE}: {source} has handed over to ")
    assert await watch.wait_holder(2, other_than=source) in said.out


async def test_the_address_by_which_the_api_server_is_reached_is_the_control_planes(cluster, watch, handover):
    said = await handover("172.31.0.250", "-o", "json")
    assert (said.code, said.document["lease"]) == (0, str(CONTROL_PLANE))


async def test_the_agents_own_account_may_ask_too(cluster, watch, handover):
    source = watch.holder
    said = await handover(VIP, "--address", VIP, user="system:serviceaccount:kube-system:kube-vip")
    assert said.code == 0, said.err
    assert f"{source} has handed over" in said.out


async def test_the_address_of_a_service_moves_with_the_lease_of_all_services(cluster, handover):
    await cluster.add_service("web", SERVICE, endpoints=cluster.nodes)
    try:
        source = await cluster.wait_held(SERVICE)
        target = next(node for node in cluster.nodes if node != source)
        control_plane = await cluster.holder_of(CONTROL_PLANE)
        said = await handover(SERVICE, "--to", target, "-o", "json")
        assert (said.code, said.document["lease"]) == (0, "kube-system/plndr-svcs-lock")
        await until(lambda: held_by(cluster, SERVICE, target), 5, f"{SERVICE} on {target}")
        assert await cluster.holder_of(CONTROL_PLANE) == control_plane
    finally:
        await cluster.delete_service("web")


async def held_by(cluster, address, node):
    return await cluster.holders(address) == [node]


async def test_a_node_whose_agent_is_away_does_not_get_it_and_no_probe_is_lost(cluster, watch, handover):
    source = watch.holder
    target = next(node for node in cluster.nodes if node != source)
    await cluster.stop_agent(target)
    start = now()
    said = await handover(VIP, "--to", target, "--address", VIP)
    assert said.code == 1
    assert f"{target} did not take it" in said.err
    await anyio.sleep(0.5)
    assert watch.holder not in (source, target)
    assert await watch.lost_since(start) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((VIP, "--address", VIP, "--to", "node9"), "there is no node 'node9'; there are: node1, node2, node3"),
        (("10.9.9.9",), "nobody knows 10.9.9.9: no LoadBalancer Service has it"),
        (("10.9.9",), "'10.9.9' is neither an IP address nor the NAMESPACE/NAME of a Lease"),
        (("kube-system/UPPER",), "'kube-system/UPPER' is neither an IP address nor the NAMESPACE/NAME"),
        (("kube-system/nothing",), "there is no Lease kube-system/nothing"),
        ((VIP, "--leaseName", "A B"), "--leaseName='A B': write the Lease's name"),
        ((VIP, "--to", "a b"), "--to='a b': write the Kubernetes node's name"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(cluster, handover, arguments, sentence):
    before = await cluster.holder_of(CONTROL_PLANE)
    said = await handover(*arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert await cluster.holder_of(CONTROL_PLANE) == before


async def test_a_holder_that_knows_no_requests_is_told_and_the_request_withdrawn(cluster, handover):
    lease = attrs.evolve(CONTROL_PLANE, name="foreign")
    await cluster.give_lease(lease, "some-kube-vip")
    said = await handover(str(lease), "--timeout", "0.5", "-o", "json")
    assert said.code == 1
    assert (said.document["result"], said.document["holder"]) == ("unanswered", "some-kube-vip")
    assert "kube-vip knows no requests" in said.document["reason"]
    assert REQUEST not in ((await cluster.lease(lease))["metadata"].get("annotations") or {})


async def test_annotations_that_are_no_requests_change_nothing(cluster, watch):
    source, start = watch.holder, now()
    for text in ("", "please", "[]", '{"from":1}', str(Request(source, 999, "node1")), str(Request("x", 0))):
        found = await cluster.lease(CONTROL_PLANE)
        found["metadata"].setdefault("annotations", {})[REQUEST] = text
        found["metadata"].pop("resourceVersion")
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{CONTROL_PLANE.name}"
        found["metadata"]["resourceVersion"] = (await cluster.lease(CONTROL_PLANE))["metadata"]["resourceVersion"]
        await cluster.client.request("PUT", path, body=found)
        await anyio.sleep(0.3)
    assert watch.holder == source
    assert await watch.lost_since(start) == 0


# A link of its own for the addresses, as where the nodes' own addresses are in another network

LINK = "vip0"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def linked(prepared):
    """The agents, started anew with the addresses on a link beside the one that leads to the API server."""
    for node in prepared.nodes:
        if node in prepared.agents:
            await prepared.stop_agent(node)
        await in_thread(add_link, prepared.segment.machines[node])
    before, prepared._environment = prepared._environment, {**prepared._environment, "vip_interface": LINK}
    await prepared.start_all()
    yield prepared
    for node in prepared.nodes:
        await prepared.stop_agent(node)
    prepared._environment = before


def add_link(machine):
    with machine.entered(), IPRoute() as kernel:
        (lower,) = kernel.link_lookup(ifname="eth0")
        kernel.link("add", ifname=LINK, kind="macvlan", link=lower, macvlan_mode="bridge")
        kernel.link("set", index=kernel.link_lookup(ifname=LINK)[0], state="up")


def set_link(machine, state):
    with machine.entered(), IPRoute() as kernel:
        kernel.link("set", index=kernel.link_lookup(ifname=LINK)[0], state=state)


async def test_a_link_that_goes_down_moves_the_address_long_before_the_lease_would_expire(linked, signs):
    for node in linked.nodes:
        (signs / node).touch()
    with linked.watching(VIP) as watch:
        source = await watch.wait_holder()
        start = now()
        await in_thread(set_link, linked.segment.machines[source], "down")
        await watch.wait_holder(2, other_than=source)
        assert now() - start < 1.5
        assert await watch.lost_since(start) < 1000 * DURATION / 4
        line = await linked.wait_logged(source, "giving up the Lease", reason="the link is down")
        assert line["lease"] == str(CONTROL_PLANE)
        target = watch.holder
        await in_thread(set_link, linked.segment.machines[source], "up")
        await anyio.sleep(1)
        assert watch.holder == target
        assert watch.with_several_since(start) == 0
