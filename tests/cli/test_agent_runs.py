"""Agents that work: what they wait for, what they tell over HTTP and by signals, and how they end."""

import contextlib
import json
import re
import signal
import socket

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubevip.emulator import BY_PLURAL, serve
from tests.kernel import addresses_on, run_on
from tests.waiting import until

pytestmark = pytest.mark.kernel

VIP, NODE, API_SERVER = "172.31.0.99", "172.31.0.1", "172.31.0.250"
SETTINGS = {
    "vip_arp": "true",
    "vip_interface": "eth0",
    "cp_enable": "true",
    "svc_enable": "true",
    "cp_namespace": "kube-system",
    "address": VIP,
    "vip_leaseduration": "5",
    "vip_renewdeadline": "3",
    "vip_retryperiod": "1",
    "vip_linger": "0",
}
LEASES = ("plndr-cp-lock", "plndr-svcs-lock")


@pytest.fixture
async def server(segment):
    """An API server that lets everybody do everything."""
    async with serve(host=API_SERVER, port=8080) as server:
        yield server


@pytest.fixture
def begin(start, node, tmp_path, server):
    """Return a function that starts an agent and waits until it is ready."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig())

    async def begin(**settings):
        agent = start("manager", machine=node, KUBECONFIG=str(kubeconfig), **SETTINGS | settings)
        await agent.wait_logged("holding")
        return agent

    return begin


async def get(path, port=2112):
    """Ask an agent; return status, content type and body, or 0 where nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{NODE}:{port}{path}") as response:
            return response.status, response.headers["Content-Type"], await response.text()
    except aiohttp.ClientConnectionError:
        return 0, "", ""


async def until_served(path, port=2112):
    """Ask an agent until somebody answers: it serves from the start, but not before everything else."""

    async def answer():
        found = await get(path, port)
        return found if found[0] else None

    return await until(answer, 5, f"an answer to {path}")


async def wait_ready():
    async def ready():
        return (await get("/readyz"))[0] == 200

    await until(ready, 10, "the agent is ready")


def holder(server, lease):
    stored = server.store.get(BY_PLURAL["leases"], ("kube-system", lease))
    return stored.value["spec"]["holderIdentity"] if stored else None


# Waiting


async def test_api_server_that_is_away_at_the_start_is_waited_for(start, node, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    async with serve(host=API_SERVER, port=8080) as server:
        kubeconfig.write_text(server.kubeconfig())
    agent = start("agent", machine=node, KUBECONFIG=str(kubeconfig), **SETTINGS)
    line = await agent.wait_logged("reading the Lease failed")
    assert API_SERVER in line["reason"]
    status, _, told = await until_served("/readyz")
    assert status == 503
    assert "Lease kube-system/plndr-cp-lock: " in told
    assert (await get("/healthz"))[0] == 200
    assert VIP not in await addresses_on(node)
    async with serve(host=API_SERVER, port=8080) as server:
        await agent.wait_logged("holding")
        await wait_ready()
        assert [holder(server, lease) for lease in LEASES] == ["node1", "node1"]
        agent.process.terminate()
        assert await agent.wait() == 0


async def test_agent_that_has_never_reached_the_api_server_ends_when_told(start, node, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    async with serve(host=API_SERVER, port=8080) as server:
        kubeconfig.write_text(server.kubeconfig())
    agent = start("agent", machine=node, KUBECONFIG=str(kubeconfig), **SETTINGS)
    await agent.wait_logged("reading the Lease failed")
    agent.process.terminate()
    assert await agent.wait(3) == 0


async def test_interface_that_is_down_is_waited_for_and_told(start, node, server, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig())
    settings = SETTINGS | {"vip_interface": "spare", "svc_enable": "false"}
    await run_on(node, "ip", "link", "add", "spare", "type", "veth", "peer", "name", "other")
    await run_on(node, "ip", "link", "set", "other", "up")
    try:
        agent = start("agent", machine=node, KUBECONFIG=str(kubeconfig), **settings)
        assert (await agent.wait_logged("waiting for the interface to come up"))["interface"] == "spare"
        status, _, told = await until_served("/readyz")
        assert (status, told.splitlines()[0]) == (503, "interface spare is not up")
        assert (await get("/healthz"))[0] == 200
        assert holder(server, LEASES[0]) is None
        await run_on(node, "ip", "link", "set", "spare", "up")
        await agent.wait_logged("the interface is up")
        await agent.wait_logged("holding")
        assert (await addresses_on(node))[VIP]["interface"] == "spare"
        await wait_ready()
        agent.process.terminate()
        assert await agent.wait() == 0
    finally:
        await run_on(node, "ip", "link", "del", "spare")


# Ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_releases_all_and_ends_with_0(begin, node, server, number):
    before = await addresses_on(node)
    agent = await begin()
    await until(lambda: holder(server, LEASES[1]) == "node1")
    agent.process.send_signal(number)
    assert await agent.wait(5) == 0
    assert agent.logged()[-1]["message"] == "stopped"
    assert [holder(server, lease) for lease in LEASES] == ["", ""]
    assert await addresses_on(node) == before


async def test_second_sigterm_does_not_wait_for_a_successor(begin, node, server):
    agent = await begin(vip_linger="30")
    agent.process.terminate()
    await until(lambda: [holder(server, lease) for lease in LEASES] == ["", ""])
    assert VIP in await addresses_on(node)
    assert agent.process.poll() is None
    agent.process.terminate()
    assert await agent.wait(3) == 0
    assert VIP not in await addresses_on(node)


# Telling


async def test_sigusr1_prints_settings_and_state_and_changes_nothing(begin, node):
    agent = await begin()
    await wait_ready()
    agent.process.send_signal(signal.SIGUSR1)
    await until(lambda: "ready: " in agent.out, 5, "the dump")
    for text in (
        "node: node1",
        f"address='{VIP}'",
        "kube-system/plndr-cp-lock: this node leads; holder node1; terms 1",
        "addresses: 1 to be held, 1 held, 1 announced",
        "eth0 up ",
        "ready: yes",
    ):
        assert re.search(rf"^  .*{re.escape(text)}", agent.out, re.MULTILINE), f"{text} in {agent.out}"
    assert agent.process.poll() is None
    assert VIP in await addresses_on(node)


async def test_log_is_a_json_object_a_line_where_it_is_no_terminal(begin):
    agent = await begin()
    assert agent.out == ""
    for line in agent.err.splitlines():
        assert list(json.loads(line))[:3] == ["time", "level", "message"]


async def test_metrics_are_what_prometheus_reads(begin, server):
    await begin()
    await wait_ready()
    await until(lambda: holder(server, LEASES[1]) == "node1")
    status, content_type, text = await get("/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert "unknown" not in {family.type for family in families.values()}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert len(samples) == len([line for line in text.splitlines() if not line.startswith("#")])
    assert all(family.documentation for family in families.values())
    for lease in LEASES:
        assert samples["kube_vip_is_leader", "node1", lease] == 1
        assert samples["kube_vip_leader_election_transitions_total", lease] == 1
    assert samples["kubevip_addresses", "held"] == samples["kubevip_addresses", "announced"] == 1
    assert samples["kubevip_announcements_total", "arp"] >= 1


async def test_health_and_readiness_are_told_on_a_port_of_their_own_too(begin):
    await begin(health_check_port="8080", prometheus_server="")
    await wait_ready()
    await until_served("/healthz", 8080)
    for port in (2112, 8080):
        for path in ("/healthz", "/readyz"):
            status, _, text = await get(path, port)
            assert (status, text) == (200, "ok\n")


async def test_metrics_can_be_off(begin):
    await begin(prometheus_server="off", health_check_port="8080")
    assert (await until_served("/healthz", 8080))[0] == 200
    assert await get("/metrics") == (0, "", "")


async def test_port_that_is_taken_keeps_no_address_from_being_held(begin, node):
    with contextlib.ExitStack() as stack:
        with node.entered():
            taken = stack.enter_context(socket.create_server(("", 2112)))
        agent = await begin()
        line = await agent.wait_logged("not serving metrics and health")
        assert line["listen"] == ":2112"
        assert "address already in use" in line["reason"]
        assert VIP in await addresses_on(node)
        assert taken.fileno() > 0
