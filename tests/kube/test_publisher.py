"""What is written into Services: one update with addresses and holder, and only where something changes."""

import attrs
import pytest

from kubevip.errors import ApiUnavailable, Conflict, Forbidden
from kubevip.kube.publisher import ATTEMPTS, Publisher, present_ingress, to_json
from kubevip.service import CONFLICT, HOST, Ingress, ServiceView
from tests.kube.conftest import NOBODY

PORTS = ((80, "TCP"),)
HERE = (Ingress("10.0.0.5", ports=PORTS),)


@pytest.fixture
async def publisher(api):
    async with api.client() as client:
        yield Publisher(client)


def always(*ingress):
    return lambda _present: ingress


def listed(service):
    return [entry["ip"] for entry in service["status"]["loadBalancer"].get("ingress", [])]


async def test_addresses_and_holder_are_written(api, publisher):
    await api.create_service()
    assert await publisher.publish(api.service(), always(*HERE), "node1")
    found = await api.get("services", "web")
    assert found["metadata"]["annotations"] == {HOST: "node1"}
    assert found["status"]["loadBalancer"]["ingress"] == [
        {"ip": "10.0.0.5", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]}
    ]


async def test_one_update_carries_both(emulator):
    await emulator.create_service()
    before = emulator.server.statistics()
    await Publisher(emulator.admin).publish(emulator.service(), always(*HERE), "node1")
    after = emulator.server.statistics()
    assert (after.version - before.version, after.requests - before.requests) == (1, 2)


async def test_nothing_is_written_where_nothing_changes(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1")
    before = await api.get("services", "web")
    assert not await publisher.publish(api.service(), lambda present: present, "node1")
    assert not await publisher.publish(api.service(), always(*HERE), "node1")
    assert await api.get("services", "web") == before


async def test_other_holder_is_a_change(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1")
    assert await publisher.publish(api.service(), always(*HERE), "node2")
    assert (await api.get("services", "web"))["metadata"]["annotations"][HOST] == "node2"


async def test_holder_is_left_alone_without_one(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1")
    assert await publisher.publish(api.service(), always(Ingress("10.0.0.6")), None)
    found = await api.get("services", "web")
    assert found["metadata"]["annotations"] == {HOST: "node1"}
    assert listed(found) == ["10.0.0.6"]


async def test_what_others_wrote_survives(api, publisher):
    metadata = {
        "name": "web",
        "labels": {"team": "net"},
        "annotations": {"note": "mine"},
        "finalizers": ["example.com/keep"],
    }
    spec = {"type": "LoadBalancer", "ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}}
    before = await api.create("services", {"metadata": metadata, "spec": spec})
    await publisher.publish(api.service(), always(*HERE), "node1")
    found = await api.get("services", "web")
    assert found["metadata"]["annotations"] == {"note": "mine", HOST: "node1"}
    assert (found["metadata"]["labels"], found["metadata"]["finalizers"]) == ({"team": "net"}, ["example.com/keep"])
    assert found["spec"] == before["spec"]


async def test_address_that_another_node_published_stays(api, publisher):
    await api.create_service()
    there = Ingress("fd00::5", ports=PORTS)
    await publisher.publish(api.service(), always(there), "node2")
    view = ServiceView(key=api.service(), ports=PORTS)
    both = [HERE[0].ip, there.ip]

    def merge(present):
        return attrs.evolve(view, ingress=present).published(both, lambda address: address == HERE[0].ip)

    await publisher.publish(api.service(), merge, "node1")
    assert present_ingress(await api.get("services", "web")) == (HERE[0], there)


async def test_merge_is_given_what_is_listed(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), None)
    seen = []
    await publisher.publish(api.service(), lambda present: seen.append(present) or present, None)
    assert seen == [HERE]


async def test_list_can_be_emptied(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1")
    assert await publisher.publish(api.service(), always(), None)
    assert listed(await api.get("services", "web")) == []


async def test_service_that_is_gone_is_left_alone(api, publisher):
    assert not await publisher.publish(api.service("gone"), always(*HERE), "node1")


async def test_service_that_goes_meanwhile_is_left_alone(emulator):
    await emulator.create_service()
    emulator.fault("status", status=404, verbs=("update",))
    assert not await Publisher(emulator.admin).publish(emulator.service(), always(*HERE), "node1")


async def test_service_of_another_type_is_left_alone(api, publisher):
    before = await api.create_service(type="ClusterIP")
    assert not await publisher.publish(api.service(), always(*HERE), "node1")
    assert await api.get("services", "web") == before


async def test_update_that_was_overtaken_is_made_again(emulator):
    await emulator.create_service()
    emulator.fault("status", status=409, verbs=("update",), count=ATTEMPTS - 1)
    assert await Publisher(emulator.admin).publish(emulator.service(), always(*HERE), "node1")
    assert listed(await emulator.get("services", "web")) == ["10.0.0.5"]


async def test_update_that_is_overtaken_for_ever_is_given_up(emulator):
    await emulator.create_service()
    emulator.fault("status", status=409, verbs=("update",))
    with pytest.raises(Conflict):
        await Publisher(emulator.admin).publish(emulator.service(), always(*HERE), "node1")


@pytest.mark.parametrize("verb", ["get", "update"])
async def test_server_that_fails_is_unavailable(emulator, verb):
    await emulator.create_service()
    emulator.fault("status", status=500, verbs=(verb,))
    with pytest.raises(ApiUnavailable):
        await Publisher(emulator.admin).publish(emulator.service(), always(*HERE), "node1")


async def test_missing_right_is_named(api):
    await api.create_service()
    async with api.client(NOBODY) as client:
        with pytest.raises(Forbidden, match='cannot get resource "services"'):
            await Publisher(client).publish(api.service(), always(*HERE), "node1")


def test_host_name_is_written_as_one():
    assert to_json(Ingress(hostname="lb.example.com")) == {"hostname": "lb.example.com"}


def test_no_ports_are_written_where_there_are_none():
    assert to_json(Ingress("10.0.0.5")) == {"ip": "10.0.0.5"}


@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"loadBalancer": {"ingress": None}}}])
def test_nothing_listed_is_empty(status):
    assert present_ingress(status) == ()


def condition(service):
    return next((each for each in service["status"].get("conditions", []) if each["type"] == CONFLICT), None)


async def test_conflict_is_a_condition_until_it_is_over(api, publisher):
    await api.create_service()
    assert await publisher.publish(api.service(), always(*HERE), "node1", "10.0.0.5 is claimed by 02:00:00:00:00:99")
    found = condition(await api.get("services", "web"))
    assert (found["status"], found["reason"]) == ("True", "ClaimedByAnotherMachine")
    assert found["message"] == "10.0.0.5 is claimed by 02:00:00:00:00:99"
    assert found["lastTransitionTime"]
    assert await publisher.publish(api.service(), always(*HERE), "node1", "")
    found = condition(await api.get("services", "web"))
    assert (found["status"], found["reason"], found["message"]) == ("False", "NobodyElseClaimsIt", "")


async def test_conflict_that_is_told_already_is_not_written_again(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed")
    before = await api.get("services", "web")
    assert not await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed")
    assert await api.get("services", "web") == before


async def test_without_a_conflict_there_is_no_condition(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1", "")
    assert condition(await api.get("services", "web")) is None


async def test_conditions_of_others_stay(api, publisher):
    await api.create_service()
    service = await api.get("services", "web")
    theirs = {
        "type": "example.com/Theirs",
        "status": "True",
        "reason": "Because",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    service["status"]["conditions"] = [theirs]
    await api.replace("services", service, "status")
    await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed")
    await publisher.publish(api.service(), always(*HERE), "node1", "")
    assert theirs in (await api.get("services", "web"))["status"]["conditions"]


async def test_time_of_the_transition_stays_while_only_the_words_change(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed by one")
    service = await api.get("services", "web")
    condition(service)["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    await api.replace("services", service, "status")
    await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed by two")
    found = condition(await api.get("services", "web"))
    assert (found["message"], found["lastTransitionTime"]) == ("it is claimed by two", "2026-01-01T00:00:00Z")


async def test_conflict_that_is_for_another_node_to_tell_stays(api, publisher):
    await api.create_service()
    await publisher.publish(api.service(), always(*HERE), "node1", "it is claimed")
    assert await publisher.publish(api.service(), always(*HERE), "node2", None)
    assert condition(await api.get("services", "web"))["message"] == "it is claimed"
