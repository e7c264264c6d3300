"""The address when its holder goes: planned, killed, cut off; before the built-in API server and a real one."""

import signal

import anyio
import pytest
import pytest_asyncio

from tests.kernel import addresses_on, in_thread
from tests.system.cluster import CONTROL_PLANE, now
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

VIP = "172.31.0.99"
DURATION, DEADLINE = 5.0, 3.0


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(either):
    """A cluster with an agent on each node, all ready."""
    await either.start_all()
    await either.wait_held(VIP)
    return either


@pytest_asyncio.fixture(loop_scope="module")
async def watch(cluster):
    with cluster.watching(VIP) as watch:
        await watch.wait_holder()
        yield watch


async def test_planned_stop_loses_no_probe(cluster, watch):
    source, start = watch.holder, now()
    assert await cluster.stop_agent(source) == 0
    await watch.wait_holder(other_than=source)
    assert await watch.lost_since(start - 0.1) == 0
    left = await addresses_on(cluster.segment.machines[source])
    assert {each["interface"] for each in left.values()} == {"eth0"}
    assert set(left) == {cluster.address_of(source), f"fd31::{source[-1]}"}
    assert await cluster.holder_of(CONTROL_PLANE) == watch.holder


async def test_killed_holder_is_succeeded_when_its_lease_has_ended(cluster, watch):
    source, start = watch.holder, now()
    cluster.agents[source].tell(signal.SIGKILL)
    target = await watch.wait_holder(other_than=source)
    assert now() - start < DURATION + 2
    assert watch.with_several_since(start) == 0
    assert await cluster.holder_of(CONTROL_PLANE) == target
    # It was there until shortly before that.
    assert await watch.lost_since(start) < 1000 * DURATION / 2


async def test_holder_that_is_killed_and_started_again_keeps_the_address(cluster, watch):
    source, start = watch.holder, now()
    transitions = (await cluster.lease(CONTROL_PLANE))["spec"]["leaseTransitions"]
    cluster.agents[source].tell(signal.SIGKILL)
    await cluster.agents[source].wait()
    cluster.start_agent(source)
    # Longer than the kernel would have kept it.
    await anyio.sleep(DURATION)
    assert watch.holder == source
    assert await watch.lost_since(start) == 0
    assert (await cluster.lease(CONTROL_PLANE))["spec"]["leaseTransitions"] == transitions


async def test_address_goes_while_the_api_server_is_away_and_comes_back_with_it(cluster, watch):
    processes = {node: agent.process.pid for node, agent in cluster.agents.items()}
    start = now()
    await in_thread(cluster.segment.unplug, "api")
    await until(lambda: not watch.holders.holders, DEADLINE + 1.5)
    # A holder whose last renewal was just sent has its whole deadline.
    assert now() - start > DEADLINE - 1.5
    await anyio.sleep(1)
    assert not watch.holders.holders
    await in_thread(cluster.segment.plug, "api")
    await watch.wait_holder()
    await anyio.sleep(1)
    assert watch.with_several_since(start) == 0
    assert {
        node: agent.process.pid for node, agent in cluster.agents.items() if agent.process.poll() is None
    } == processes
