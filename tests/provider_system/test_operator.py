"""The operator's setup to the letter, and the scenarios of kube-vip-cloud-provider's own end-to-end tests."""

import pytest

from kubevip.emulator.rbac import Authorizer
from kubevip.manifest import ProviderManifests
from tests.provider_system.objects import ACCOUNT, POOLS

# The ConfigMap of the end-to-end tests; there is no global pool.
EXAMPLE = {
    "allow-share-global": "true",
    "cidr-default": "192.168.0.200/29",
    "cidr-plunder": "192.168.0.210/29",
    "allow-share-plunder": "false",
    "cidr-testing": "192.168.0.220/29",
}
FIRST = {"default": "192.168.0.200", "testing": "192.168.0.216", "plunder": "192.168.0.208"}
ENABLE, NAME = "KUBEVIP_ENABLE_LOADBALANCERCLASS", "KUBEVIP_CUSTOM_LOADBALANCERCLASS_NAME"
USUAL, CUSTOM = "kube-vip.io/kube-vip-class", "kube-vip.io/custom-vip-class"
# By what the Deployment says in its environment: which class its Services have to have.
MODES = [
    pytest.param({}, None, id="E1"),
    pytest.param({ENABLE: "true"}, USUAL, id="E2"),
    pytest.param({ENABLE: "true", NAME: CUSTOM}, CUSTOM, id="E4"),
]
OTHERS = [
    pytest.param({ENABLE: "true"}, None, USUAL, id="E3"),
    pytest.param({ENABLE: "true", NAME: CUSTOM}, None, CUSTOM, id="E5"),
    pytest.param({ENABLE: "true", NAME: CUSTOM}, USUAL, CUSTOM, id="usual-beside-custom"),
    pytest.param({}, USUAL, None, id="class-beside-classless"),
]


def of_class(name):
    return {} if name is None else {"loadBalancerClass": name}


def is_untouched(service):
    metadata = service["metadata"]
    return not (metadata.get("finalizers") or metadata.get("labels") or metadata.get("annotations"))


async def test_operators_service_gets_the_one_address_of_his_pool(site):
    await site.apply(POOLS)
    await site.add_service("web")
    async with site.provider():
        await site.wait_served("web", "172.31.0.99")


async def test_operators_deployment_as_a_process_does_so_too(site):
    await site.apply(POOLS)
    await site.add_service("web")
    provider = site.start()
    await site.wait_served("web", "172.31.0.99")
    assert await provider.stop() == 0
    assert await site.holder() == ""


async def test_second_service_is_told_that_the_operators_pool_is_exhausted(site):
    await site.apply(POOLS)
    async with site.provider():
        await site.add_service("web")
        await site.wait_served("web", "172.31.0.99")
        await site.add_service("other")
        told = await site.wait_event("other", "AddressPoolExhausted")
        assert "range-global [172.31.0.99/32]" in told
        await site.delete("web")
        await site.wait_served("other", "172.31.0.99")


async def test_control_plane_has_the_same_address_as_the_operators_service(site):
    """His control plane's VIP is in his pool, and a node tells it among its addresses."""
    await site.apply(POOLS)
    await site.add_node("node1", "172.31.0.1", "172.31.0.99")
    await site.add_service("web", annotations={"kube-vip.io/loadbalancerIPs": "172.31.0.99"})
    async with site.provider():
        await site.wait_served("web", "172.31.0.99")


@pytest.mark.parametrize(("environment", "name"), MODES)
async def test_services_of_each_namespace_get_the_first_address_of_its_pool(site, environment, name):
    await site.configure(**EXAMPLE)
    await site.add_namespaces("testing", "plunder", "elsewhere")
    async with site.provider(**environment):
        await site.add_service("test1", "elsewhere", **of_class(name))
        for namespace, address in FIRST.items():
            await site.add_service(f"test-{namespace}", namespace, **of_class(name))
            await site.wait_served(f"test-{namespace}", address, namespace)
        told = await site.wait_event("test1", "NoAddressPool", namespace="elsewhere")
        assert "cidr-elsewhere, range-elsewhere, cidr-global, range-global" in told
        assert await site.address("test1", "elsewhere") == ""
        for namespace in FIRST:
            await site.delete(f"test-{namespace}", namespace)
            await site.wait_gone(f"test-{namespace}", namespace)
        await site.delete("test1", "elsewhere")
        await site.wait_gone("test1", "elsewhere")


@pytest.mark.parametrize(("environment", "name", "served"), OTHERS)
async def test_services_of_others_are_left_alone(site, environment, name, served):
    await site.configure(**EXAMPLE)
    await site.add_namespaces("testing", "plunder")
    async with site.provider(**environment):
        for namespace in FIRST:
            await site.add_service("test1", namespace, **of_class(name))
        # Created last, so the others have been seen by the time that it is served.
        await site.add_service("ours", **of_class(served))
        await site.wait_served("ours", FIRST["default"])
        for namespace in FIRST:
            assert is_untouched(await site.service("test1", namespace))
            await site.delete("test1", namespace)
            await site.wait_gone("test1", namespace)


async def test_one_process_serves_classless_services_and_several_classes(site):
    await site.configure(cidr_global="192.168.0.200/29")
    async with site.provider(f"--load-balancer-classes={USUAL},{CUSTOM}"):
        for number, name in enumerate((None, USUAL, CUSTOM)):
            await site.add_service(f"web{number}", **of_class(name))
            await site.wait_served(f"web{number}", f"192.168.0.20{number}")
        await site.add_service("foreign", **of_class("example.com/other"))
        await site.add_service("last")
        await site.wait_served("last", "192.168.0.203")
        assert is_untouched(await site.service("foreign"))


async def test_two_modes_in_two_processes_share_one_account(site):
    """As operators do it with kube-vip-cloud-provider, which can't serve both in one process."""
    await site.configure(cidr_global="192.168.0.200/29")
    async with (
        site.provider(),
        site.provider("--leader-elect-resource-name=class-mode", **{ENABLE: "true"}),
    ):
        await site.add_service("web")
        first = await site.wait_served("web")
        await site.add_service("classy", **of_class(USUAL))
        assert first != await site.wait_served("classy")


async def test_pool_of_another_configmap_is_named_by_the_environment(site):
    await site.add_namespaces("pools")
    await site.configure("addresses", "pools", range_global="10.0.0.5-10.0.0.9")
    async with site.provider(KUBEVIP_NAMESPACE="pools", KUBEVIP_CONFIG_MAP="addresses"):
        await site.add_service("web")
        await site.wait_served("web", "10.0.0.5")


@pytest.fixture
def refusals(monkeypatch):
    """All that the account was refused."""
    found = set()
    allows = Authorizer.allows

    def noting(authorizer, user, action):
        allowed = allows(authorizer, user, action)
        if not allowed and user.name == ACCOUNT:
            found.add((action.verb, action.resource))
        return allowed

    monkeypatch.setattr(Authorizer, "allows", noting)
    return found


async def live_a_life(site):
    """Have everything done that a provider may have to do."""
    await site.configure(range_global="10.0.0.5-10.0.0.6,fd00::5-fd00::6")
    await site.add_node("node1", "10.0.0.5")
    async with site.provider():
        await site.add_service("web")
        await site.wait_served("web", "10.0.0.6")
        await site.wait_event("web", "EnsuredLoadBalancer")
        await site.edit("web", lambda found: found["spec"].update(type="ClusterIP"))
        await site.add_service("other")
        await site.wait_served("other", "10.0.0.6")
        await site.delete("other")
        await site.wait_gone("other")
    assert await site.holder() == ""


async def test_operators_role_lacks_nothing_but_to_watch_the_lease(emulator, refusals):
    await live_a_life(emulator)
    assert refusals == {("watch", "leases")}


async def test_our_own_role_lacks_nothing(emulator, refusals):
    for manifest in ProviderManifests(image="any").manifests():
        await emulator.create(manifest)
    await live_a_life(emulator)
    assert not refusals
