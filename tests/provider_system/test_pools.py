"""The ConfigMap while providers run, missing, wrong or edited; and what else is kept from being given out."""

import anyio
import pytest

from kubevip.errors import NotFound
from kubevip.provision.verdict import LABEL, LABELLED, RECORD
from kubevip.service import ADDRESSES
from tests.waiting import until

POOL = {"range_global": "10.0.0.5-10.0.0.9"}
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kubevip"
# An edit has to reach whoever waits within that many seconds.
SOON = 1.0


async def test_configmap_that_is_missing_is_named_and_not_created(site):
    async with site.provider():
        await site.add_service("web")
        told = await site.wait_event("web", "NoAddressPool")
        assert told == (
            "Error syncing load balancer: no address pools could be found: create the ConfigMap kube-system/kubevip "
            "with one of cidr-default, range-default, cidr-global, range-global"
        )
    with pytest.raises(NotFound):
        await site.read(CONFIG_MAP)


async def test_pending_services_are_served_within_a_second_of_the_configmap(emulator):
    async with emulator.provider():
        for number in range(5):
            await emulator.add_service(f"web{number}")
        for number in range(5):
            await emulator.wait_event(f"web{number}", "NoAddressPool")
        await emulator.configure(**POOL)
        with anyio.fail_after(SOON):
            for number in range(5):
                await emulator.wait_served(f"web{number}")


async def test_pending_services_are_served_within_a_second_of_an_edit(site):
    await site.configure(range_global="10.0.0.5-10.0.0.5")
    async with site.provider():
        await site.add_service("web")
        await site.wait_served("web", "10.0.0.5")
        await site.add_service("other")
        await site.wait_event("other", "AddressPoolExhausted")
        await site.configure(**POOL)
        await site.wait_served("other", "10.0.0.6", bound=SOON)


async def test_edit_moves_no_address(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        await emulator.configure(range_global="10.9.0.5-10.9.0.9")
        await emulator.add_service("next")
        await emulator.wait_served("next", "10.9.0.5")
        assert await emulator.address("web") == "10.0.0.5"
        await emulator.unconfigure()
        await emulator.add_service("last")
        await emulator.wait_event("last", "NoAddressPool")
        assert await emulator.address("web") == "10.0.0.5"
    emulator.ledger.check()


async def test_configmap_that_is_deleted_and_created_again_serves_again(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.unconfigure()
        await emulator.add_service("web")
        await emulator.wait_event("web", "NoAddressPool", "create the ConfigMap")
        await emulator.configure(**POOL)
        await emulator.wait_served("web", bound=SOON)


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("range-broken", "10.0.0.9-10.0.0.5", "range-broken: "),
        ("range-broken", "10.0.0.5-fd00::9", "range-broken: "),
        ("range-broken", "::ffff:10.0.0.5-10.0.0.9", "range-broken: "),
        ("cidr-broken", "10.0.0.0/33", "cidr-broken: "),
        ("cidr-broken", "10.0.0.01/32", "cidr-broken: "),
        ("cidr-broken", "", "cidr-broken: could not discover address: pool is not specified"),
        ("source-broken", "/../x", "source-broken: "),
        ("reserved", "nonsense", "reserved: "),
        ("search-order", "backwards", "search-order: "),
        ("ragne-global", "10.0.0.5-10.0.0.9", "did you mean range-global?"),
        ("cool-down", "-1", "cool-down: "),
    ],
)
async def test_wrong_key_is_told_of_the_configmap_and_hinders_nobody_else(emulator, key, text, told):
    await emulator.configure(**POOL, **{key: text})
    await emulator.add_namespaces("broken")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        assert told in await emulator.wait_event("kubevip", "InvalidPool", namespace="kube-system")


@pytest.mark.parametrize("text", ["10.0.0.9-10.0.0.5", "nonsense", ""])
async def test_service_of_a_broken_pool_is_told_what_is_wrong_with_it(emulator, text):
    await emulator.configure(**POOL, range_broken=text)
    await emulator.add_namespaces("broken")
    async with emulator.provider():
        await emulator.add_service("web", "broken")
        await emulator.wait_event("web", "NoAddressPool", "range-broken can't be used", namespace="broken")
        await emulator.configure(**POOL, range_broken="10.1.0.5-10.1.0.9")
        await emulator.wait_served("web", "10.1.0.5", "broken", bound=SOON)


async def test_pool_of_the_namespace_goes_before_the_global_one(emulator):
    await emulator.configure(cidr_global="10.0.0.0/24", range_mine="10.1.0.5-10.1.0.9")
    await emulator.add_namespaces("mine")
    async with emulator.provider():
        await emulator.add_service("web", "mine")
        await emulator.wait_served("web", "10.1.0.5", "mine")


async def test_overlapping_pools_give_no_address_twice(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.9", range_mine="10.0.0.4-10.0.0.6", cidr_other="10.0.0.0/29")
    await emulator.add_namespaces("mine", "other")
    async with emulator.provider():
        served = set()
        for number, namespace in enumerate(("default", "mine", "other", "mine", "other", "default")):
            await emulator.add_service(f"web{number}", namespace)
            served.add(await emulator.wait_served(f"web{number}", namespace=namespace))
        assert len(served) == 6
    emulator.ledger.check()


async def test_namespace_called_global_has_the_global_pool(emulator):
    await emulator.configure(**POOL)
    await emulator.add_namespaces("global")
    async with emulator.provider():
        await emulator.add_service("web", "global")
        await emulator.wait_served("web", "10.0.0.5", "global")
        await emulator.add_service("other")
        await emulator.wait_served("other", "10.0.0.6")


async def test_addresses_of_nodes_are_kept_free(site):
    await site.configure(**POOL)
    await site.add_node("node1", "10.0.0.5")
    await site.add_node("node2", "10.0.0.6", "not-an-address")
    async with site.provider():
        await site.add_service("web")
        await site.wait_served("web", "10.0.0.7")


async def test_address_of_a_node_that_comes_or_changes_is_kept_free_from_then_on(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.6")
    async with emulator.provider():
        await emulator.add_node("node1", "10.0.0.5")
        await emulator.add_node("node2", "10.0.0.6")
        # What is seen of the nodes is seen beside what is seen of Services.
        await anyio.sleep(0.2)
        await emulator.add_service("web")
        await emulator.wait_event("web", "AddressPoolExhausted")
        await emulator.set_node("node2", "10.0.0.66")
        await emulator.wait_served("web", "10.0.0.6", bound=SOON)


async def test_services_share_an_address_by_port_and_protocol(emulator):
    await emulator.configure(**POOL, allow_share_global="true")
    async with emulator.provider():
        await emulator.add_service("dns-tcp", ports=[{"port": 53, "protocol": "TCP"}])
        await emulator.wait_served("dns-tcp", "10.0.0.5")
        await emulator.add_service("dns-udp", ports=[{"port": 53, "protocol": "UDP"}])
        await emulator.wait_served("dns-udp", "10.0.0.5")
        await emulator.add_service("dns-tcp-too", ports=[{"port": 53, "protocol": "TCP"}])
        await emulator.wait_served("dns-tcp-too", "10.0.0.6")


async def test_service_of_kube_vip_cloud_provider_keeps_its_address(site):
    """It has the label, and the address in both places; what is ours comes to it, and nothing is moved."""
    await site.configure(**POOL)
    await site.add_service(
        "old",
        annotations={ADDRESSES: "10.0.0.5"},
        labels={LABEL: LABELLED},
        finalizers=["service.kubernetes.io/load-balancer-cleanup"],
        loadBalancerIP="10.0.0.5",
    )
    await site.add_service("new")
    async with site.provider():
        await site.wait_served("new", "10.0.0.6")
        await site.wait_served("old", "10.0.0.5")
        found = await site.service("old")
        assert found["metadata"]["annotations"][RECORD] == f"range-global 10.0.0.5 uid={found['metadata']['uid']}"


async def test_poison_of_kube_vip_cloud_provider_stops_nobody(emulator):
    """An empty annotation beside the label is what it has left where a pool was exhausted; then it served nobody."""
    await emulator.configure(**POOL)
    for name, text in (("empty", ""), ("blank", "10.0.0.7, "), ("wrong", "x")):
        await emulator.add_service(name, annotations={ADDRESSES: text}, labels={LABEL: LABELLED})
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web")
        await emulator.wait_served("empty")
        await emulator.wait_event("wrong", "AddressRefused")


async def test_pool_of_another_ipam_gives_and_takes_back(emulator):
    await emulator.configure(source_global="ranges 10.0.0.5-10.0.0.5")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        await emulator.add_service("next")
        await emulator.wait_event("next", "AddressPoolExhausted")
        await emulator.delete("web")
        await emulator.wait_served("next", "10.0.0.5")


async def test_pool_of_an_ipam_that_is_not_installed_is_named(emulator):
    await emulator.configure(source_global="infoblox net1", range_mine="10.0.0.5-10.0.0.9")
    await emulator.add_namespaces("mine")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_event("web", "SyncLoadBalancerFailed", "infoblox")
        await emulator.add_service("web", "mine")
        await emulator.wait_served("web", "10.0.0.5", "mine")


async def test_condition_says_why_there_is_no_address_and_when_that_is_over(site):
    async with site.provider():
        await site.add_service("web")

        async def condition():
            found = (await site.service("web"))["status"].get("conditions") or [{}]
            return found[0].get("reason")

        async def says(reason):
            return await condition() == reason

        await until(lambda: says("NoAddressPool"))
        await site.configure(**POOL)
        await until(lambda: says("AddressAssigned"))


async def test_configmap_of_ten_megabytes_is_refused_as_a_whole_with_its_size(emulator):
    text = ",".join(["10.0.0.5-10.0.0.9"] * 600_000)
    metadata = {"name": "kubevip", "namespace": "kube-system"}
    # No client could write it: the real server takes no more than 1 MiB, and etcd 1.5.
    emulator.server.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"range-global": text}}
    )
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_event("web", "NoAddressPool", bound=20)
        told = await emulator.wait_event("kubevip", "InvalidPool", namespace="kube-system")
        assert told == "data: 10800011 characters are more than Kubernetes stores in a ConfigMap (1048576)"
        await emulator.configure(**POOL)
        await emulator.wait_served("web")
