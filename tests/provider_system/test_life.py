"""From its creation to its end: what is written into a Service, by how many requests, and what is told of it."""

from collections import Counter

import pytest

from kubevip.provision.verdict import FINALIZER, LABEL, LABELLED, RECORD
from kubevip.service import ADDRESSES, INTERFACE
from tests.waiting import until

POOL = {"range_global": "10.0.0.5-10.0.0.9"}
OTHERS_FINALIZER = "example.com/wait"


async def until_idle(site):
    """Wait until the Events have been written, too: that of the last Service is written last."""
    await site.add_service("zz-last")
    await site.wait_event("zz-last", "EnsuredLoadBalancer")


def calls(requests):
    return Counter((each.verb, each.resource) for each in requests if each.resource != "leases")


async def test_address_comes_with_all_that_goes_with_it(site):
    await site.configure(**POOL, interface_global="eth1")
    async with site.provider():
        created = await site.add_service("web", labels={"app": "web"}, annotations={"note": "mine"})
        await site.wait_served("web", "10.0.0.5")
        found = await site.service("web")
        metadata = found["metadata"]
        assert metadata["labels"] == {"app": "web", LABEL: LABELLED}
        assert metadata["finalizers"] == [FINALIZER]
        assert metadata["annotations"] == {
            "note": "mine",
            ADDRESSES: "10.0.0.5",
            RECORD: f"range-global 10.0.0.5 uid={metadata['uid']} interface=eth1",
            INTERFACE: "eth1",
        }
        assert found["spec"] == {**created["spec"], "loadBalancerIP": "10.0.0.5"}
        assert found["status"] == {"loadBalancer": {}}


async def test_all_of_it_is_written_at_once(site):
    await site.configure(**POOL)
    async with site.provider():
        await site.add_service("web")
        await until_idle(site)
    site.ledger.check()
    assert site.ledger.versions("web") == 2


async def test_service_costs_an_update_and_an_event(emulator, requests):
    await emulator.configure(range_global="10.0.0.1-10.0.0.99")
    async with emulator.provider():
        await emulator.add_service("first")
        await emulator.wait_event("first", "EnsuredLoadBalancer")
        requests.clear()
        await emulator.add_services([f"web{number}" for number in range(50)])
        await until(lambda: len(emulator.ledger.served) == 51)
        await until_idle(emulator)
        assert calls(requests) == {("update", "services"): 51, ("create", "events"): 51}


async def test_start_lists_each_kind_once(emulator, requests):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await until_idle(emulator)
        listed = {each: count for each, count in calls(requests).items() if each[0] in ("list", "get")}
        assert listed == {("list", "services"): 1, ("list", "nodes"): 1, ("list", "configmaps"): 1}


async def test_service_that_has_all_costs_nothing(emulator, requests):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web")
        await until_idle(emulator)
    requests.clear()
    async with emulator.provider():
        await emulator.wait_leader()
        await emulator.add_service("new")
        await emulator.wait_event("new", "EnsuredLoadBalancer")
        names = {each.name for each in requests if each.verb == "update" and each.resource == "services"}
        assert names == {"new"}


async def test_event_names_address_pool_and_author(site):
    await site.configure(**POOL)
    async with site.provider():
        await site.add_service("web")
        assert await site.wait_event("web", "EnsuredLoadBalancer") == (
            "Ensured load balancer: 10.0.0.5 from range-global"
        )
        (event,) = (await site.read("/api/v1/namespaces/default/events"))["items"]
        assert event["source"]["component"] == event["reportingComponent"] == "kube-vip-cloud-provider"
        assert event["involvedObject"]["uid"] == (await site.service("web"))["metadata"]["uid"]
        assert event["type"] == "Normal"


@pytest.mark.parametrize("finalizers", [[], [OTHERS_FINALIZER]], ids=["alone", "with-others"])
async def test_deleted_service_waits_for_nobody_of_ours(site, finalizers):
    await site.configure(**POOL)
    async with site.provider():
        await site.add_service("web", finalizers=finalizers)
        await site.wait_served("web")
        await site.delete("web")
        if finalizers:

            async def released():
                return (await site.service("web"))["metadata"]["finalizers"] == finalizers

            await until(released)
            await site.edit("web", lambda found: found["metadata"].update(finalizers=[]))
        await site.wait_gone("web")


async def test_address_of_a_deleted_service_is_free_at_once_and_not_before(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider():
        await emulator.add_service("web", finalizers=[OTHERS_FINALIZER])
        await emulator.wait_served("web", "10.0.0.5")
        await emulator.delete("web")
        await emulator.add_service("next")
        await emulator.wait_event("next", "AddressPoolExhausted")
        await emulator.edit("web", lambda found: found["metadata"].update(finalizers=[]))
        await emulator.wait_gone("web")
        await emulator.wait_served("next", "10.0.0.5", bound=2)


async def test_service_deleted_while_no_provider_runs_is_let_go_later(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web")
    await emulator.delete("web")
    async with emulator.provider():
        await emulator.wait_gone("web")


async def test_pending_service_of_kube_vip_cloud_provider_can_be_deleted(emulator):
    """That one writes its finalizer before it looks for an address, and its label only with one."""
    await emulator.add_service("web", finalizers=[FINALIZER])
    await emulator.delete("web")
    async with emulator.provider():
        await emulator.wait_gone("web", bound=3)


async def test_pending_service_of_kube_vip_cloud_provider_can_change_its_type(emulator):
    await emulator.configure(range_default="10.0.0.5-10.0.0.5")
    await emulator.add_service("web", finalizers=[FINALIZER], type="ClusterIP", allocateLoadBalancerNodePorts=None)
    async with emulator.provider():

        async def released():
            return not (await emulator.service("web"))["metadata"].get("finalizers")

        await until(released, 3)


async def test_finalizer_of_somebody_elses_class_is_not_ours_to_take(emulator):
    await emulator.configure(**POOL)
    await emulator.add_service("theirs", finalizers=[FINALIZER], loadBalancerClass="example.com/other")
    await emulator.delete("theirs")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web")
        assert (await emulator.service("theirs"))["metadata"]["finalizers"] == [FINALIZER]


async def test_service_that_is_refused_an_address_can_be_deleted(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web", annotations={ADDRESSES: "nonsense"})
        await emulator.wait_event("web", "AddressRefused")
        await emulator.delete("web")
        await emulator.wait_gone("web")


async def test_service_can_be_deleted_and_created_anew_at_once(site):
    await site.configure(range_global="10.0.0.5-10.0.0.5")
    async with site.provider():
        for _ in range(5):
            await site.add_service("web")
            await site.wait_served("web", "10.0.0.5", bound=2)
            await site.delete("web")
            await site.wait_gone("web")


async def test_other_type_takes_everything_away_and_the_old_type_brings_it_back(site):
    await site.configure(range_global="10.0.0.5-10.0.0.5")
    async with site.provider():
        await site.add_service("web", labels={"app": "web"})
        await site.wait_served("web", "10.0.0.5")
        # The agent has said that it announces the address.
        await site.edit(
            "web", lambda found: found["status"].update(loadBalancer={"ingress": [{"ip": "10.0.0.5"}]}), sub="/status"
        )
        await site.edit("web", lambda found: found["spec"].update(type="ClusterIP"))
        await site.add_service("next")
        await site.wait_served("next", "10.0.0.5", bound=2)
        found = await site.service("web")
        assert found["metadata"]["labels"] == {"app": "web"}
        assert not found["metadata"].get("annotations")
        assert not found["metadata"].get("finalizers")
        assert "loadBalancerIP" not in found["spec"]
        assert found["status"] == {"loadBalancer": {}}
        await site.delete("next")
        await site.wait_gone("next")
        await site.edit("web", lambda found: found["spec"].update(type="LoadBalancer"))
        await site.wait_served("web", "10.0.0.5")


async def test_other_type_keeps_what_its_user_wrote(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web", annotations={ADDRESSES: "10.0.0.7"})
        await emulator.wait_served("web", "10.0.0.7")
        await emulator.edit("web", lambda found: found["spec"].update(type="NodePort"))

        async def cleared():
            return not (await emulator.service("web"))["metadata"].get("finalizers")

        await until(cleared)
        found = await emulator.service("web")
        assert found["metadata"]["annotations"] == {ADDRESSES: "10.0.0.7"}


async def test_what_others_write_meanwhile_stays(site):
    """An update is made from the whole object: nothing of it gets lost."""
    await site.configure(**POOL)
    async with site.provider():
        await site.add_service(
            "web",
            externalTrafficPolicy="Local",
            sessionAffinity="ClientIP",
            loadBalancerSourceRanges=["10.0.0.0/8"],
            ports=[{"name": "a", "port": 80, "appProtocol": "http"}, {"name": "b", "port": 53, "protocol": "UDP"}],
        )
        await site.wait_served("web")
        before = await site.service("web")
        await site.annotate("web", "10.0.0.9")
        await site.wait_served("web", "10.0.0.9")
        after = await site.service("web")
        assert after["spec"] == {**before["spec"], "loadBalancerIP": "10.0.0.9"}
        fields = {each["manager"] for each in after["metadata"].get("managedFields", ())}
        assert not fields or any(each.startswith("kubevip") for each in fields)
