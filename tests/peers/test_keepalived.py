"""Side by side with Debian's keepalived: on one address, and each with its own."""

import contextlib
import json
import subprocess

import pytest

from tests.kernel import addresses_on, in_thread, run_on
from tests.system.cluster import CONTROL_PLANE, now
from tests.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

SHARED, OURS, THEIRS = "172.31.0.99", "172.31.0.98", "172.31.0.88"
CONFIG = """\
global_defs {{
    vrrp_version 3
}}
vrrp_instance one {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {address}/32
    }}
}}
"""


@contextlib.contextmanager
def keepalived(machine, program, directory, address, *, owner):
    """Run keepalived on *machine*; the *owner* takes the address at once, others wait for it to be free."""
    directory.mkdir()
    config = directory / "keepalived.conf"
    state, priority = ("MASTER", 255) if owner else ("BACKUP", 100)
    config.write_text(CONFIG.format(address=address, state=state, priority=priority))
    command = [program("keepalived"), "--dont-fork", "--vrrp", "--log-console", "--use-file", str(config)]
    for kind in ("pid", "vrrp_pid"):
        command += [f"--{kind}", str(directory / kind)]
    with (directory / "log").open("wb") as log, machine.entered():
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


async def has(machine, address):
    return address in await addresses_on(machine)


async def mac_of(machine):
    (link,) = json.loads(await run_on(machine, "ip", "-json", "link", "show", "eth0"))
    return link["address"]


async def test_address_that_a_keepalived_holds_is_left_to_it_until_it_ends(cluster, program, tmp_path):
    rival = cluster.segment.machines["rival"]
    with keepalived(rival, program, tmp_path / "rival", SHARED, owner=True) as process:
        await until(lambda: has(rival, SHARED), 10, "keepalived with the address")
        cluster.start_agent("node1", extra={"address": SHARED, "vip_linger": "0"})
        line = await cluster.wait_logged("node1", "not taking", mac=await mac_of(rival))
        assert SHARED in line["vip"]
        assert line["reason"] == "another machine answers for it"
        assert await cluster.holder_of(CONTROL_PLANE) == "node1"
        assert await cluster.holders(SHARED) == []
        assert (await cluster.ask("node1", "/readyz"))[0] == 503
        process.terminate()
        await in_thread(process.wait, 10)
        assert await cluster.wait_held(SHARED, bound=3) == "node1"
    assert not await has(rival, SHARED)
    await cluster.wait_ready("node1")
    assert await cluster.stop_agent("node1") == 0


async def test_planned_stop_costs_kubevip_no_probe_and_keepalived_some(cluster, program, tmp_path):
    source, target = (cluster.segment.machines[node] for node in ("node1", "node2"))
    for node in cluster.nodes:
        cluster.start_agent(node, extra={"address": OURS})
    with (
        keepalived(source, program, tmp_path / "node1", THEIRS, owner=True) as process,
        keepalived(target, program, tmp_path / "node2", THEIRS, owner=False),
        cluster.watching(THEIRS) as theirs,
        cluster.watching(OURS) as ours,
    ):
        for node in cluster.nodes:
            await cluster.wait_ready(node)
        holder = await ours.wait_holder()
        assert await theirs.wait_holder() == "node1"
        start = now()
        process.terminate()
        assert await theirs.wait_holder(other_than="node1") == "node2"
        assert await cluster.stop_agent(holder) == 0
        assert await ours.wait_holder(other_than=holder) in cluster.nodes
        # Whoever hears that the owner goes waits for its skew time, 0.6 s at the usual priority (RFC 9568).
        assert await theirs.lost_since(start) > 100
        assert await ours.lost_since(start) == 0
