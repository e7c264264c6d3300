"""Requests in Leases, cordoned Nodes, and which Lease governs an address: against the API, built-in and real."""

import ipaddress
import json
import logging

import anyio
import attrs
import pytest

from kubevip import succession
from kubevip.errors import LeaseConflict
from kubevip.kube import cordon as cordoning
from kubevip.kube.cordon import watch_cordon
from kubevip.kube.governing import Leases, unknown_node
from kubevip.kube.leases import KubeLeases
from kubevip.lease import Claim
from kubevip.model import LeaseKey
from tests.kube.conftest import NOBODY
from tests.waiting import until

NODE1 = Claim("node1", 5, 0, fresh=True)


@pytest.fixture
async def client(api):
    async with api.client() as client:
        yield client


@pytest.fixture
def leases(client):
    return KubeLeases(client)


# Requests and words


async def test_request_is_an_annotation_and_touches_nothing_else(api, leases):
    base = await leases.write(api.lease(), NODE1, None)
    before = await api.get("leases", "lock")
    asked = await leases.ask(api.lease(), "please", base)
    after = await api.get("leases", "lock")
    assert after["metadata"]["annotations"] == {succession.REQUEST: "please"}
    assert after["spec"] == before["spec"]
    assert (asked.request, asked.holder) == ("please", "node1")


async def test_renewal_leaves_a_request_alone_and_an_empty_one_removes_it(api, leases):
    base = await leases.ask(api.lease(), "please", await leases.write(api.lease(), NODE1, None))
    renewed = await leases.write(api.lease(), attrs.evolve(NODE1, fresh=False, word="hm"), base)
    assert (renewed.request, renewed.word) == ("please", "hm")
    await leases.ask(api.lease(), "", renewed)
    assert (await api.get("leases", "lock"))["metadata"]["annotations"] == {succession.WORD: "hm"}


async def test_request_on_what_has_changed_is_a_conflict(api, leases):
    base = await leases.write(api.lease(), NODE1, None)
    await leases.write(api.lease(), NODE1, base)
    with pytest.raises(LeaseConflict):
        await leases.ask(api.lease(), "please", base)


async def test_request_for_a_lease_that_is_gone_is_a_conflict(api, leases):
    base = await leases.write(api.lease(), NODE1, None)
    await api.admin.request("DELETE", api.path("leases", "lock"))
    with pytest.raises(LeaseConflict):
        await leases.ask(api.lease(), "please", base)


# Cordoned Nodes


@pytest.fixture
async def node(api):
    """The name of a Node of this test alone."""
    name = f"node-{api.namespace}"
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    await api.admin.request("POST", "/api/v1/nodes", body=manifest)
    yield name
    await api.admin.request("DELETE", f"/api/v1/nodes/{name}")


async def set_cordoned(api, name, cordoned):
    found = json.loads(await api.admin.request("GET", f"/api/v1/nodes/{name}"))
    found.setdefault("spec", {})["unschedulable"] = cordoned
    await api.admin.request("PUT", f"/api/v1/nodes/{name}", body=found)


async def test_each_change_of_the_own_node_is_told(api, client, node):
    told = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_cordon(client, node, told.append).run)
        await until(lambda: told == [False] or told == [], 2)
        await set_cordoned(api, node, True)
        await until(lambda: told[-1:] == [True])
        await set_cordoned(api, node, False)
        await until(lambda: told[-1:] == [False])
        tasks.cancel_scope.cancel()


async def test_node_that_is_not_there_is_not_cordoned(client):
    told = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_cordon(client, "no-such-node", told.append).run)
        await until(lambda: told == [False])
        tasks.cancel_scope.cancel()


async def test_without_the_right_there_is_one_warning(api, caplog, monkeypatch):
    monkeypatch.setattr("kubevip.kube.reflector.FIRST_PAUSE", 0.01)
    monkeypatch.setattr(cordoning, "LONGEST_PAUSE", 0.01)
    async with api.client(NOBODY) as client, anyio.create_task_group() as tasks:
        reflector = watch_cordon(client, "node1", lambda _cordoned: None)
        reflector._pause = 0.01
        tasks.start_soon(reflector.run)
        await until(lambda: reflector.statistics().failures > 3)
        tasks.cancel_scope.cancel()
    (warning,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert warning.getMessage() == "watching nodes failed"
    assert "nodes" in warning.reason


# Which Lease, which node


def governing(api, *addresses):
    return Leases(
        control_plane=LeaseKey("kube-system", "cp"),
        services=LeaseKey("kube-system", "svcs"),
        addresses=tuple(map(ipaddress.ip_address, addresses)),
    )


async def test_address_of_the_control_plane_has_its_lease(api, client):
    address = ipaddress.ip_address("10.9.0.1")
    assert (await governing(api, "fd00::1", "10.9.0.1").governing(client, address)).name == "cp"


async def test_address_that_the_api_server_is_reached_by_is_the_control_planes(api, client):
    address = ipaddress.ip_address("127.0.0.1")
    assert (await governing(api).governing(client, address)).name == "cp"


@pytest.mark.parametrize(
    ("annotations", "spec"),
    [
        ({"kube-vip.io/loadbalancerIPs": "10.9.0.2,fd00::2"}, {}),
        ({}, {"loadBalancerIP": "10.9.0.2"}),
        ({"kube-vip.io/loadbalancerIPs": "10.9.0.2"}, {"loadBalancerClass": "example.com/ours"}),
    ],
)
async def test_address_of_a_service_has_the_lease_of_services(api, client, annotations, spec):
    metadata = {"name": "web", "annotations": annotations}
    ports = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    await api.create("services", {"metadata": metadata, "spec": {**ports, **spec}})
    assert (await governing(api).governing(client, ipaddress.ip_address("10.9.0.2"))).name == "svcs"
    await api.admin.request("DELETE", api.path("services", "web"))


async def test_address_that_nobody_has_has_none(api, client):
    assert await governing(api).governing(client, ipaddress.ip_address("10.9.0.9")) is None


async def test_unknown_node_is_told_those_that_there_are(client, node):
    assert node in await unknown_node(client, "no-such-node")


async def test_known_node_is_none_that_is_unknown(client, node):
    assert await unknown_node(client, node) == []


async def test_whoever_may_not_look_finds_no_fault(api):
    async with api.client(NOBODY) as client:
        assert await unknown_node(client, "no-such-node") == []
