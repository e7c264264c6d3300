"""What Debian's tcpdump and arping, and the kernel of a foreign host, make of what an agent announces."""

import contextlib
import json
import re
import subprocess

import pytest
import pytest_asyncio

from kubevip.errors import NotFound
from kubevip.kube.resources import LEASES
from tests.kernel import run_on
from tests.system.cluster import CONTROL_PLANE
from tests.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

V4, V6 = "172.31.0.99", "fd31::99"
SETTINGS = {"address": f"{V4},{V6}", "vip_linger": "1", "vip_verify": "off"}
EVERYBODY = "ff:ff:ff:ff:ff:ff"
# The part of the burst that has to be out by then, in seconds after the first announcement.
BURST, OUT_BY = (0.0, 0.1, 0.3, 0.6), 1.0


async def start_all(cluster):
    """Let an agent run on each node, with an address of each family."""
    for node in cluster.nodes:
        if node not in cluster.agents or cluster.agents[node].process.poll() is not None:
            cluster.start_agent(node, extra=SETTINGS)
    for node in cluster.nodes:
        await cluster.wait_ready(node)


async def stop_all(cluster):
    """Stop all agents, and let nothing tell who had the addresses before."""
    for node in cluster.agents:
        await cluster.stop_agent(node)
    with contextlib.suppress(NotFound):
        await cluster.client.request("DELETE", LEASES.path(CONTROL_PLANE.namespace, CONTROL_PLANE.name))


@pytest_asyncio.fixture(loop_scope="module")
async def running(cluster):
    """Both agents run, one of them holds the addresses."""
    await start_all(cluster)
    return cluster


async def mac_of(machine):
    (link,) = json.loads(await run_on(machine, "ip", "-json", "link", "show", "eth0"))
    return link["address"]


@contextlib.contextmanager
def capturing(machine, program, directory, *expression):
    """Capture on *machine* meanwhile; yield a function that returns what tcpdump said of so far, a line a frame."""
    path = directory / "captured"
    # Root in a user namespace can't become another user, as tcpdump otherwise would.
    command = [program("tcpdump"), "-Z", "root", "-i", "eth0", "-l", "-n", "-e", "-tt", "-v", "--immediate-mode"]
    command += expression
    with path.open("wb") as file, machine.entered():
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE)
    try:
        assert process.stderr.readline().startswith(b"tcpdump: listening")
        yield lambda: re.sub(r"\n\s+", " ", path.read_text()).splitlines()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


async def test_tcpdump_sees_arp_ask_first_and_then_announce_in_both_forms(cluster, client, program, tmp_path):
    await stop_all(cluster)
    mac = await mac_of(cluster.segment.machines["node1"])
    asks = f"Request who-has {V4} tell 0.0.0.0"
    reply, request = f"Reply {V4} is-at {mac}", f"Request who-has {V4} ({EVERYBODY}) tell {V4}"
    with capturing(client, program, tmp_path, "arp", "host", V4) as lines:
        cluster.start_agent("node1", extra=SETTINGS)
        await until(lambda: sum(reply in line for line in lines()) >= len(BURST), 15, "the burst")
        captured = lines()
    assert all(f" {mac} > {EVERYBODY}, ethertype ARP" in line for line in captured)
    said = [next(text for text in (asks, reply, request) if text in line) for line in captured]
    assert said[:3] == [asks, reply, request]
    replies = [float(line.split()[0]) for line in captured if reply in line][: len(BURST)]
    assert [moment - replies[0] >= due - 0.01 for moment, due in zip(replies, BURST, strict=True)] == [True] * 4
    assert replies[-1] - replies[0] < OUT_BY


async def test_tcpdump_sees_an_advertisement_that_overrides_and_is_sound(cluster, client, program, tmp_path):
    await stop_all(cluster)
    mac = await mac_of(cluster.segment.machines["node1"])
    with capturing(client, program, tmp_path, "icmp6", "and", "ip6[40]", "==", "136") as lines:
        cluster.start_agent("node1", extra=SETTINGS)

        def ours():
            return [line for line in lines() if f"tgt is {V6}," in line]

        first = (await until(ours, 15, "an advertisement"))[0]
    assert f" {mac} > 33:33:00:00:00:01, ethertype IPv6" in first
    assert "hlim 255" in first
    assert "> ff02::1: [icmp6 sum ok] ICMP6, neighbor advertisement" in first
    assert "Flags [override]" in first
    assert f"destination link-address option (2), length 8 (1): {mac}" in first


@pytest.mark.parametrize(("flags", "code"), [(("-D",), 1), ((), 0)], ids=["duplicate", "who-has"])
async def test_arping_is_answered_by_the_holder_alone(running, client, program, flags, code):
    arping = program("arping")
    holder = await running.wait_held(V4)
    mac = await mac_of(running.segment.machines[holder])
    shown = await run_on(client, "sh", "-c", f"{arping} {' '.join(flags)} -c 2 -w 3 -I eth0 {V4}; echo code $?")
    assert set(re.findall(rf"reply from {V4} \[(\S+)\]", shown)) == {mac.upper()}
    assert f"code {code}\n" in shown


async def neighbour(machine, address):
    """Return the MAC address that the kernel of *machine* sends frames for *address* to."""
    (entry,) = json.loads(await run_on(machine, "ip", "-json", "neigh", "show", address, "dev", "eth0"))
    return entry.get("lladdr")


async def test_foreign_host_sends_to_the_successor_without_having_asked(running, client):
    source = await running.wait_held(V4)
    (target,) = set(running.nodes) - {source}
    before, after = [await mac_of(running.segment.machines[node]) for node in (source, target)]
    for address in (V4, V6):
        await run_on(client, "ping", "-c", "1", "-W", "2", address)
        assert await neighbour(client, address) == before
    await running.stop_agent(source)
    for address in (V4, V6):

        async def learnt(address=address):
            return await neighbour(client, address) == after

        await until(learnt, 2, f"{address} at {after}")
