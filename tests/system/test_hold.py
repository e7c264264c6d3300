"""``kubevip.hold()`` in programs on two machines, and the example that is made of it."""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import anyio
import attrs
import pytest
import pytest_asyncio

from kubevip.demo.cluster import addresses
from kubevip.emulator import User, serve
from tests.kernel import addresses_on, in_thread
from tests.system.cluster import TestCluster, now
from tests.system.conftest import TOKENS
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "tcp_failover"
VIP = "172.31.0.60"
DURATION, DEADLINE, RETRY = 3, 2, 1
# What ``hold()`` needs, and nothing else. A new Lease has no name yet when the right to create it is looked for.
RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: failover}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [failover, stop, kill]
  verbs: [get, list, watch, update]
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: failover}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: failover}
subjects: [{kind: User, name: failover, apiGroup: rbac.authorization.k8s.io}]
"""
PROGRAM = f"""
import asyncio, json, signal, sys, kubevip

def tell(**what):
    print(json.dumps(what), flush=True)

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    timing = kubevip.Timing(duration={DURATION}, renew_deadline={DEADLINE}, retry_period={RETRY})
    address, lease = sys.argv[1:]
    tell(event="begins")
    try:
        async with kubevip.hold(address, interface="eth0", lease=lease, timing=timing) as term:
            tell(event="enters", token=term.token, holder=term.holder)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell(event="ends")

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(segment, tmp_path_factory):
    """Machines that are no nodes: nothing is known of them but a user with rights to one Lease."""
    directory = tmp_path_factory.mktemp("cluster")
    tokens = {**TOKENS, "failover-token": User("failover")}
    async with (
        serve(host="172.31.0.250", port=8080, tokens=tokens, rbac=True) as server,
        TestCluster.before(server, segment, directory) as cluster,
    ):
        await cluster.apply(RIGHTS)
        yield cluster


@pytest.fixture
def environment(cluster, tmp_path):
    """What a member finds in its environment: credentials, and that a warning is an error."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.server.kubeconfig("failover"))
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONWARNINGS": "error"}


@attrs.define(eq=False)
class Member:
    """A program on one machine, and what it says."""

    node: str
    process: subprocess.Popen
    _output: Path

    def lines(self):
        return self._output.read_text().splitlines()

    def told(self, event):
        """Return what the program told of its first *event*; ``None`` where it told nothing."""
        found = [line for line in map(json.loads, self.lines()) if line["event"] == event]
        return found[0] if found else None

    async def wait_told(self, event, bound=10.0):
        return await until(lambda: self.told(event), bound, f"{event} on {self.node}")

    async def stop(self):
        self.process.terminate()
        return await in_thread(self.process.wait, 10)


@pytest.fixture
def start(segment, environment, tmp_path):
    """Return a function that starts a Python program on a node; what runs at the end is killed."""
    with contextlib.ExitStack() as stack:

        def start(node, *arguments):
            path = tmp_path / node
            with path.open("wb") as output, segment.machines[node].entered():
                command = [sys.executable, *arguments]
                process = subprocess.Popen(command, stdout=output, cwd=EXAMPLE, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Member(node, process, path)

        yield start


async def pair(start, address, lease):
    """Start a member that has the address, and one that waits for it."""
    first = start("node1", "-c", PROGRAM, address, lease)
    await first.wait_told("enters")
    second = start("node2", "-c", PROGRAM, address, lease)
    await second.wait_told("begins")
    await anyio.sleep(1.5 * RETRY)
    assert second.told("enters") is None
    return first, second


async def test_member_that_is_stopped_is_succeeded_without_a_lost_probe(cluster, start):
    address = "172.31.0.61"
    first, second = await pair(start, address, "default/stop")
    with cluster.watching(address) as watch:
        assert await watch.wait_holder() == "node1"
        moment = now()
        assert await first.stop() == 0
        assert first.told("ends") is not None
        assert (await second.wait_told("enters"))["token"] > first.told("enters")["token"]
        assert await watch.wait_holder() == "node2"
        assert await watch.lost_since(moment) == 0
    left = await addresses_on(cluster.segment.machines["node1"])
    assert set(left) == {str(each.ip) for each in addresses(cluster.nodes)["node1"]}


async def test_member_that_is_killed_is_succeeded_when_its_lease_has_ended(cluster, start):
    address = "172.31.0.62"
    first, second = await pair(start, address, "default/kill")
    with cluster.watching(address) as watch:
        assert await watch.wait_holder() == "node1"
        moment = now()
        first.process.kill()
        assert (await second.wait_told("enters"))["token"] > first.told("enters")["token"]
        # The last renewal may be a retry period old.
        assert DURATION - RETRY - 0.5 < now() - moment < DURATION + 1.5
        assert await watch.wait_holder() == "node2"
        assert watch.with_several_since(moment) == 0


# The example


def commands():
    """Return the commands in the README of the example, without those on the host's own shell."""
    lines = (EXAMPLE / "README.md").read_text().splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("    ")]


async def answer(machine, address, port):
    """Return what the service tells a client of *address* from another machine; empty where it isn't reached."""

    def ask():
        with contextlib.suppress(OSError), machine.entered(), socket.create_connection((address, port), 2) as sock:
            return sock.makefile().read()
        return ""

    return await in_thread(ask)


async def test_example_answers_at_its_address_from_the_successor_too(cluster, start):
    ((python, *arguments),) = commands()
    assert python == "python"
    assert ip_address(arguments[1])
    arguments[1], port = VIP, int(arguments[-1])
    client = cluster.segment.machines["client"]
    first = start("node1", *arguments)
    await until(lambda: answer(client, VIP, port), 10, "an answer")
    greeting = first.lines()[0]
    assert greeting.startswith(f"node1 holds {VIP}, token ")
    token = int(greeting.split()[-1])
    assert await answer(client, VIP, port) == f"node1 leads, token {token}\n"
    second = start("node2", *arguments)
    await until(lambda: answer(client, cluster.address_of("node2"), port), 10, "an answer of the standby")
    assert await answer(client, cluster.address_of("node2"), port) == "node2 is a standby\n"
    assert await first.stop() == 0
    assert await answer(client, VIP, port) == f"node2 leads, token {token + 1}\n"
    assert second.lines() == [f"node2 holds {VIP}, token {token + 1}"]
