"""Services as their owners see them, before the built-in API server and a real one.

The control plane's Lease is node1's and that of the Services node2's: so it shows which of them governs what.
"""

import itertools

import anyio
import pytest
import pytest_asyncio

from tests.kernel import run_on
from tests.system.cluster import CONTROL_PLANE, SERVICES_LEASE
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

VIP = "172.31.0.99"
_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(either):
    """A cluster whose agents run."""
    await either.give_lease(CONTROL_PLANE, "node1")
    await either.give_lease(SERVICES_LEASE, "node2")
    # What the agents of the cluster before had, on the same nodes, ends by itself.
    await either.wait_released(VIP)
    for node in either.nodes:
        either.start_agent(node)
    await either.wait_held(VIP)
    await until(lambda: "leading" in either.messages("node2"))
    yield either


@pytest.fixture
def name():
    return f"web{next(_numbers)}"


@pytest.fixture
def address():
    return f"172.31.7.{next(_numbers)}"


async def test_each_lease_has_the_holder_that_it_had(cluster):
    assert await cluster.holder_of(CONTROL_PLANE) == "node1"
    assert await cluster.holder_of(SERVICES_LEASE) == "node2"
    assert await cluster.holders(VIP) == ["node1"]


async def test_new_service_is_announced_and_published(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    assert await cluster.wait_published(name, address) == "node2"
    assert await cluster.holders(address) == ["node2"]
    assert (await cluster.service(name))["status"]["loadBalancer"]["ingress"] == [
        {"ip": address, "ipMode": "VIP", "ports": [{"port": 7000, "protocol": "UDP"}]}
    ]
    await run_on(cluster.segment.machines["client"], "ping", "-c", "1", "-W", "2", address)


async def test_deleted_service_is_released(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_held(address)
    await cluster.delete_service(name)
    await cluster.wait_released(address, bound=2)


async def test_service_without_an_address_is_left_alone(cluster, name):
    await cluster.add_service(name, endpoints=("node1",))
    await cluster.wait_logged("node2", "not serving the Service", service=name, reason="it has no address yet")
    assert await cluster.published(name) == ([], "")


async def test_address_in_the_spec_is_served(cluster, name, address):
    def ask(found):
        found["spec"]["loadBalancerIP"] = address
        found["metadata"]["annotations"] = {}

    await cluster.add_service(name, endpoints=("node1",))
    await cluster.edit_service(name, ask)
    await cluster.wait_published(name, address)


# Edits


async def test_edited_address_takes_the_place_of_the_former(cluster, name, address):
    other = address.replace("172.31.7", "172.31.8")
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)
    await cluster.annotate(name, loadbalancerIPs=other)
    await cluster.wait_published(name, other)
    await cluster.wait_released(address, bound=2)
    assert await cluster.holders(other) == ["node2"]


async def test_edited_ports_are_published(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)

    def edit(found):
        found["spec"]["ports"] = [{"port": 80, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}]

    await cluster.edit_service(name, edit)

    async def listed():
        (entry,) = (await cluster.service(name))["status"]["loadBalancer"]["ingress"]
        return entry["ports"] == [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]

    await until(listed)


async def test_service_that_is_no_load_balancer_any_more_is_released(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)

    def edit(found):
        found["spec"]["type"] = "ClusterIP"

    await cluster.edit_service(name, edit)
    await cluster.wait_released(address, bound=2)


async def test_service_that_becomes_a_load_balancer_is_announced(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",), type="ClusterIP")

    def edit(found):
        found["spec"]["type"] = "LoadBalancer"

    await cluster.edit_service(name, edit)
    await cluster.wait_published(name, address)


async def test_ignored_service_is_released_and_taken_up_again(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)
    await cluster.annotate(name, ignore="true")
    await cluster.wait_released(address, bound=2)
    await cluster.annotate(name, ignore=None)
    await cluster.wait_held(address, bound=2)


@pytest.mark.parametrize(("of_class", "served"), [("kube-vip.io/kube-vip-class", True), ("other.io/class", False)])
async def test_class_decides(cluster, name, address, of_class, served):
    await cluster.add_service(name, address, endpoints=("node1",), loadBalancerClass=of_class)
    if served:
        await cluster.wait_published(name, address)
    else:
        await cluster.wait_logged("node2", "not serving the Service", service=name, reason="loadBalancerClass")
        assert await cluster.holders(address) == []


async def test_overwritten_holder_is_corrected(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)
    await cluster.annotate(name, vipHost="somebody")

    async def corrected():
        return await cluster.published(name) == ([address], "node2")

    await until(corrected, bound=2)


async def test_overwritten_status_is_corrected(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)

    def overwrite(found):
        found["status"] = {"loadBalancer": {}}

    await cluster.edit_service(name, overwrite, "status")
    await cluster.wait_published(name, address, bound=2)


# Endpoints


async def test_address_comes_and_goes_with_the_endpoints(cluster, name, address):
    await cluster.add_service(name, address)
    await cluster.wait_logged("node2", "not announcing the Service", service=name, reason="there is no ready endpoint")
    assert await cluster.holders(address) == []
    await cluster.set_endpoints(name, "node1", "node3")
    await cluster.wait_held(address, bound=2)
    await cluster.set_endpoints(name)
    await cluster.wait_released(address, bound=2)


async def test_endpoints_elsewhere_do_for_the_policy_cluster(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1", "node3"), externalTrafficPolicy="Cluster")
    assert await cluster.wait_published(name, address) == "node2"


async def test_endpoints_elsewhere_do_not_do_for_the_policy_local(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1", "node3"), externalTrafficPolicy="Local")
    reason = "node node2 has no ready endpoint"
    await cluster.wait_logged("node2", "not announcing the Service", service=name, reason=reason)
    assert await cluster.holders(address) == []
    await cluster.set_endpoints(name, "node1", "node2")
    assert await cluster.wait_published(name, address) == "node2"


async def test_policy_that_is_edited_counts_at_once(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_held(address)

    def edit(found):
        found["spec"]["externalTrafficPolicy"] = "Local"

    await cluster.edit_service(name, edit)
    await cluster.wait_released(address, bound=2)


async def test_service_may_do_without_endpoints(cluster, name, address):
    await cluster.add_service(name, address)
    await cluster.annotate(name, **{"allow-reconcile-without-endpoints": "true"})
    await cluster.wait_published(name, address)


# Several addresses, several users


async def test_both_families_of_a_service_are_served(cluster, name, address):
    second = f"fd31::7:{address.rpartition('.')[2]}"
    await cluster.add_service(name, address, second, endpoints=("node1",))
    assert await cluster.wait_published(name, address, second) == "node2"
    for each in (address, second):
        assert await cluster.holders(each) == ["node2"]
        await run_on(cluster.segment.machines["client"], "ping", "-c", "1", "-W", "2", each)


async def test_bad_address_does_not_keep_back_the_good_one(cluster, name, address):
    await cluster.add_service(name, "none.example", address, endpoints=("node1",))
    await cluster.wait_published(name, address)
    await cluster.wait_logged("node2", "the Service asks in vain", service=name, reason="none.example")


async def test_shared_address_stays_until_its_last_service_goes(cluster, name, address):
    other = f"{name}-too"
    for each, port in ((name, 7000), (other, 7001)):
        ports = [{"port": port, "protocol": "UDP"}]
        await cluster.add_service(each, address, endpoints=("node1",), ports=ports)
        await cluster.wait_published(each, address)
    await cluster.delete_service(name)
    await anyio.sleep(0.2)
    assert await cluster.holders(address) == ["node2"]
    await cluster.delete_service(other)
    await cluster.wait_released(address, bound=2)


async def test_service_at_the_control_planes_address_is_served_by_the_control_planes_holder(cluster, name):
    await cluster.add_service(name, VIP, endpoints=("node1",))
    assert await cluster.wait_published(name, VIP) == "node1"
    await cluster.delete_service(name)
    await anyio.sleep(0.2)
    assert await cluster.holders(VIP) == ["node1"]


async def test_dual_stack_service_may_have_two_holders(cluster, name):
    """The control plane's address and another one: each holder publishes its own, and leaves the other's."""
    second = f"fd31::9:{next(_numbers)}"
    await cluster.add_service(name, VIP, second, endpoints=("node1",))
    assert await cluster.wait_published(name, VIP, second) == "node1"
    assert await cluster.holders(second) == ["node2"]
    await cluster.delete_service(name)
    await cluster.wait_released(second, bound=2)


# Silence


async def test_nothing_is_written_while_nothing_changes(cluster, name, address):
    await cluster.add_service(name, address, endpoints=("node1",))
    await cluster.wait_published(name, address)
    await anyio.sleep(0.3)
    before = await cluster.service(name)
    await anyio.sleep(2)
    assert await cluster.service(name) == before
