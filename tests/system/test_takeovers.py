"""Agents as processes that verify takeovers and watch for conflicts, with the operator's rights."""

import json
import re

import pytest
import pytest_asyncio

from tests.kernel import run_on
from tests.system.cluster import SERVICES_LEASE
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

CONDITION = "kubevip.io/AddressConflict"
GATEWAY, NOBODY = "172.31.0.251", "172.31.0.222"
# A short Lease, after which no earlier holder can be meant.
SETTINGS = {"vip_leaseduration": "4", "vip_renewdeadline": "3", "vip_retryperiod": "1", "vip_linger": "0.5"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(emulated):
    """One agent that holds Services, verified by the client, which stands for a gateway."""
    await emulated.give_lease(SERVICES_LEASE, "node1")
    await run_on(emulated.segment.machines["client"], "ip", "addr", "add", f"{GATEWAY}/16", "dev", "eth0")
    emulated.start_agent("node1", extra={**SETTINGS, "vip_verify": "warn", "vip_witnesses": GATEWAY})
    await emulated.wait_ready("node1")
    yield emulated


async def metrics(cluster, node="node1"):
    """Return the samples of an agent by name and labels."""
    _status, text = await cluster.ask(node, "/metrics")
    return {name: float(value) for name, value in re.findall(r"^(kubevip_[^ ]+) (\S+)$", text, re.M)}


async def sample(cluster, start, node="node1"):
    found = {name: value for name, value in (await metrics(cluster, node)).items() if name.startswith(start)}
    return found or None


async def mac_of(machine):
    (link,) = json.loads(await run_on(machine, "ip", "-json", "link", "show", "eth0"))
    return link["address"]


async def condition(cluster, name):
    status = (await cluster.service(name))["status"]
    return next((each for each in status.get("conditions", []) if each["type"] == CONDITION), None)


async def test_takeover_is_measured_and_told(cluster):
    await cluster.add_service("verified", "172.31.7.1", endpoints=("node1",))
    await cluster.wait_published("verified", "172.31.7.1")
    line = await cluster.wait_logged("node1", "verified", lease="plndr-svcs-lock", witness=GATEWAY)
    assert await mac_of(cluster.segment.machines["client"]) in line["witness"]
    labels = '{family="IPv4",interface="eth0",lease_name="plndr-svcs-lock"}'
    found = await metrics(cluster)
    assert found[f"kubevip_takeover_verified_seconds_count{labels}"] == 1
    assert found[f"kubevip_takeover_unverified{labels}"] == 0
    (neighbour,) = json.loads(
        await run_on(cluster.segment.machines["client"], "ip", "-json", "neigh", "show", "172.31.7.1")
    )
    assert neighbour["lladdr"] == await mac_of(cluster.segment.machines["node1"])


async def test_foreign_machine_is_a_condition_a_metric_and_a_log_line_until_it_is_gone(cluster):
    client = cluster.segment.machines["client"]
    address, mac = "172.31.7.2", await mac_of(client)
    await cluster.add_service("contested", address, endpoints=("node1",))
    await cluster.wait_published("contested", address)
    assert await condition(cluster, "contested") is None
    await run_on(client, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
    await run_on(client, "arping", "-A", "-c", "1", "-I", "eth0", address, check=False)
    label = f'kubevip_conflict_info{{interface="eth0",mac="{mac}",vip="{address}"}}'
    await until(lambda: sample(cluster, label), 15, "the gauge")
    await cluster.wait_logged("node1", "address conflict", vip=address, mac=mac)

    async def told():
        return await condition(cluster, "contested")

    found = await until(told, 10, "the condition")
    assert (found["status"], found["reason"]) == ("True", "ClaimedByAnotherMachine")
    assert found["message"] == f"{address} is announced by node1, and claimed on eth0 by {mac}"
    assert (await metrics(cluster))["kubevip_conflicts_total"] == 1
    assert (await cluster.ask("node1", "/readyz"))[0] == 200
    await run_on(client, "ip", "addr", "del", f"{address}/32", "dev", "eth0")

    async def over():
        found = await condition(cluster, "contested")
        return found["status"] == "False"

    await until(over, 60, "the end of the conflict")
    assert await sample(cluster, "kubevip_conflict_info") is None


async def test_yielded_address_is_left_to_the_other_machine_and_told_at_readyz(cluster):
    client = cluster.segment.machines["client"]
    await cluster.stop_agent("node1")
    cluster.start_agent("node3", extra={**SETTINGS, "vip_conflict": "yield"})
    address, mac = "172.31.7.3", await mac_of(client)
    await cluster.add_service("yielded", address, endpoints=("node3",))
    await cluster.wait_published("yielded", address)
    await run_on(client, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
    await run_on(client, "arping", "-A", "-c", "2", "-I", "eth0", address, check=False)

    async def left():
        return address not in await cluster.holders(address) and not await cluster.holders(address)

    await until(left, 20, "the address on no node")
    _status, said = await cluster.ask("node3", "/readyz")
    assert f"{address}: another machine ({mac}) answers for it" in said

    async def told():
        found = await condition(cluster, "yielded")
        return found and found["message"]

    message = await until(told, 10, "the condition")
    assert message == f"{address} is not announced by node3, and claimed on eth0 by {mac}"
    await run_on(client, "ip", "addr", "del", f"{address}/32", "dev", "eth0")
    assert await cluster.wait_held(address, bound=20) == "node3"


async def test_gateways_that_do_not_answer_leave_one_holder_and_are_named(cluster):
    for node in ("node1", "node2", "node3"):
        if node in cluster.agents and cluster.agents[node].process.poll() is None:
            await cluster.stop_agent(node)
        extra = {**SETTINGS, "vip_verify": "resign", "vip_verify_timeout": "2", "vip_witnesses": NOBODY}
        cluster.start_agent(node, extra=extra)
    address = "172.31.7.1"
    await cluster.wait_held(address, bound=15)
    with cluster.watching(address) as watch:

        async def all_gave_up():
            return all("giving up the Lease" in " ".join(cluster.messages(node)) for node in cluster.nodes)

        await until(all_gave_up, 60, "each node once")
        line = await cluster.wait_logged("node1", "no witness answers", witness=NOBODY)
        assert line["source"] == "vip_witnesses"
        await until(lambda: watch.holder, 15, "a holder")
    for node in cluster.nodes:
        assert cluster.agents[node].process.poll() is None
    found = [await sample(cluster, "kubevip_takeover_resignations_total", node) for node in cluster.nodes]
    assert all(found)
