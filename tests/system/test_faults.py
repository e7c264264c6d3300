"""The agents when things go wrong around them: the API server, the Leases, their rights, the links, themselves."""

import signal

import anyio
import pytest
import pytest_asyncio
import yaml

from kubevip.errors import Conflict
from kubevip.kube.resources import LEASES
from tests.kernel import run_on
from tests.system.cluster import CONTROL_PLANE, DATA, SERVICES_LEASE, collection, now
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

VIP, SERVICE_VIP = "172.31.0.99", "172.31.7.1"


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(emulated):
    """A cluster with an agent on each node, all ready, and no fault."""
    emulated.server.faults.clear()
    await emulated.start_all()
    await emulated.wait_held(VIP)
    yield emulated
    emulated.server.faults.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def watch(cluster):
    with cluster.watching(VIP) as watch:
        await watch.wait_holder()
        yield watch


# The API server


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 500, "duration": 1.8},
        {"action": "status", "status": 429, "retry_after": 1, "duration": 1.2},
        {"action": "drop", "duration": 1.8},
        {"action": "lose-reply", "duration": 1.5},
        {"action": "cut-off", "duration": 1.2},
        {"action": "delay", "seconds": 0.8, "duration": 2.5},
        {"action": "cut-streams", "status": 410},
        {"action": "expire"},
    ],
    ids=lambda fault: f"{fault['action']} {fault.get('status', '')}".strip(),
)
async def test_address_stays_while_the_api_server_stumbles(cluster, watch, fault):
    holder, start = watch.holder, now()
    cluster.fault(**fault)
    if fault["action"] == "expire":
        cluster.fault("cut-streams")
    await anyio.sleep(fault.get("duration", 0.5) + 1.2)
    assert watch.holder == holder
    assert await watch.lost_since(start) == 0
    assert await cluster.holder_of(CONTROL_PLANE) == holder
    for node in cluster.nodes:
        await cluster.wait_ready(node)


async def test_status_that_could_not_be_written_is_written_later(cluster):
    cluster.fault("status", status=500, resources=("services/status",), count=2)
    await cluster.add_service("late", "172.31.7.2", endpoints=("node1",))
    assert await cluster.wait_published("late", "172.31.7.2") in cluster.nodes


async def test_service_that_came_and_went_during_a_cut_is_seen(cluster):
    await cluster.add_service("going", "172.31.7.3", endpoints=("node1",))
    await cluster.wait_held("172.31.7.3")
    refusal = cluster.fault("status", status=503, verbs=("watch",))
    cluster.fault("cut-streams")
    await cluster.delete_service("going")
    await cluster.add_service("coming", "172.31.7.4", endpoints=("node1",))
    cluster.fault("expire")
    cluster.server.faults.remove(refusal)
    await cluster.wait_held("172.31.7.4")
    await cluster.wait_released("172.31.7.3")


# Rights


async def test_missing_rights_are_named_and_healed_when_granted(cluster):
    """Without any, nobody can renew: the address goes, the processes stay."""
    *_, binding = yaml.safe_load_all((DATA / "kube-vip-rbac.yaml").read_text())
    holder = await cluster.wait_held(VIP)
    await cluster.delete(binding)
    right = 'cannot update resource "leases" in API group "coordination.k8s.io" in the namespace "kube-system"'
    await cluster.wait_logged(holder, "writing the Lease failed", reason=right)
    await cluster.wait_released(VIP, bound=5)
    assert right in (await cluster.ask(holder, "/readyz"))[1]
    assert (await cluster.ask(holder, "/healthz"))[0] == 200
    await cluster.create(binding)
    await cluster.wait_held(VIP)
    assert all(agent.process.poll() is None for agent in cluster.agents.values())


async def test_missing_right_on_services_leaves_the_control_plane_alone(cluster, watch):
    _, role, _ = yaml.safe_load_all((DATA / "kube-vip-rbac.yaml").read_text())
    fewer = [rule for rule in role["rules"] if "services" not in rule["resources"]]
    holder, start = watch.holder, now()
    path = f"{collection(role)}/{role['metadata']['name']}"
    await cluster.client.request("PUT", path, body={**role, "rules": fewer})
    cluster.fault("cut-streams", resources=("services",))
    right = 'cannot watch resource "services"'
    for node in cluster.nodes:
        await cluster.wait_logged(node, "watching services failed", reason=right)

    async def told():
        return right in (await cluster.ask(holder, "/readyz"))[1]

    await until(told)
    await anyio.sleep(1.5)
    assert watch.holder == holder
    assert await watch.lost_since(start) == 0
    await cluster.client.request("PUT", path, body=role)
    for node in cluster.nodes:
        await cluster.wait_ready(node, bound=30)


async def test_agent_without_rights_to_services_does_not_campaign_for_their_lease(cluster):
    """Whoever leads has to know what there is to hold."""
    _, role, _ = yaml.safe_load_all((DATA / "kube-vip-rbac.yaml").read_text())
    fewer = [rule for rule in role["rules"] if "services" not in rule["resources"]]
    path = f"{collection(role)}/{role['metadata']['name']}"
    for node in cluster.nodes:
        await cluster.stop_agent(node)
    await cluster.client.request("PUT", path, body={**role, "rules": fewer})
    for node in cluster.nodes:
        cluster.start_agent(node)
    await cluster.wait_held(VIP)
    await anyio.sleep(0.5)
    assert await cluster.holder_of(SERVICES_LEASE) == ""
    await cluster.client.request("PUT", path, body=role)

    async def led():
        return await cluster.holder_of(SERVICES_LEASE)

    await until(led)


# Leases that somebody edits


async def edit_holder(cluster, holder):
    """Write another holder into the Lease, as often as an agent is faster."""
    path = LEASES.path(CONTROL_PLANE.namespace, CONTROL_PLANE.name)

    async def edited():
        found = await cluster.lease(CONTROL_PLANE)
        found["spec"]["holderIdentity"] = holder
        try:
            await cluster.client.request("PUT", path, body=found)
        except Conflict:
            return False
        return True

    await until(edited)


async def blank(cluster):
    await edit_holder(cluster, "")


async def remove(cluster):
    await cluster.client.request("DELETE", LEASES.path(CONTROL_PLANE.namespace, CONTROL_PLANE.name))


@pytest.mark.parametrize("edit", [blank, remove])
async def test_lease_that_somebody_empties_has_one_holder_again(cluster, watch, edit):
    start = now()
    await edit(cluster)
    await anyio.sleep(1.5)
    holder = await watch.wait_holder()
    assert await cluster.holder_of(CONTROL_PLANE) == holder
    # Whoever takes it announces before the last holder lets go.
    assert await watch.lost_since(start) <= 20


async def test_lease_that_somebody_gives_to_another_node_is_left_at_once(cluster, watch):
    source = watch.holder
    target = next(node for node in cluster.nodes if node != source)
    start = now()
    await edit_holder(cluster, target)
    assert await watch.wait_holder(other_than=source, bound=2) == target
    assert await watch.lost_since(start) <= 200


# The process and its node


async def test_stopped_process_holds_nothing_and_follows_when_it_goes_on(cluster, watch):
    source, start = watch.holder, now()
    cluster.agents[source].tell(signal.SIGSTOP)
    try:
        target = await watch.wait_holder(other_than=source)
        await anyio.sleep(1)
    finally:
        cluster.agents[source].tell(signal.SIGCONT)
    await cluster.wait_logged(source, "not leading any more")
    await anyio.sleep(1.5)
    assert watch.holder == target
    assert watch.with_several_since(start) == 0
    await cluster.wait_ready(source)


async def test_process_that_is_stopped_for_a_moment_goes_on(cluster, watch):
    holder, start = watch.holder, now()
    for _ in range(3):
        cluster.agents[holder].tell(signal.SIGSTOP)
        await anyio.sleep(0.8)
        cluster.agents[holder].tell(signal.SIGCONT)
        await anyio.sleep(0.3)
    assert watch.holder == holder
    assert await watch.lost_since(start) == 0


async def test_holder_whose_link_goes_down_is_succeeded(cluster, watch):
    source, start = watch.holder, now()
    machine = cluster.segment.machines[source]
    await run_on(machine, "ip", "link", "set", "eth0", "down")
    target = await watch.wait_holder(other_than=source)
    await run_on(machine, "ip", "link", "set", "eth0", "up")
    await run_on(machine, "ip", "addr", "add", f"fd31::{source[-1]}/64", "dev", "eth0", "nodad")
    await cluster.wait_ready(source)
    await anyio.sleep(1.5)
    assert watch.holder == target
    assert watch.with_several_since(start) == 0
