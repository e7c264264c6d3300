"""What is read of a cluster at once: from the API server, and from what kubectl wrote."""

import json

import pytest

from kubevip.config import Kubeconfig
from kubevip.emulator import Fault, User
from kubevip.errors import ApiUnavailable, ConfigError, Forbidden
from kubevip.kube.connect import connect
from kubevip.kube.survey import read_dump, survey
from kubevip.model import ObjectKey
from tests.ipam_cli.conftest import serving
from tests.ipam_cli.services import ips

CONFIG_MAP = ObjectKey("kube-system", "kubevip")


@pytest.fixture(autouse=True)
def files_are_read_while_connecting(nothing_blocks_the_loop):
    """Let credentials be read from files."""
    for function in nothing_blocks_the_loop.functions.values():
        function.can_block_in("kubevip/kube/connect.py", {"connect"})
        function.can_block_in("kubevip/kube/client.py", {"__aenter__"})


async def look(cluster):
    path = cluster.directory / "kubeconfig"
    async with await connect([Kubeconfig(paths=(path,), reason="the test's")]) as client:
        return await survey(client, CONFIG_MAP)


async def test_services_nodes_and_the_config_map_are_read(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("a", "10.0.0.1", "range-global")
    cluster.node("node1", "192.168.0.1", "fd00::1")
    seen = await look(cluster)
    assert {facts.key.name: facts.load_balancer_ip for facts in seen.services} == {"a": "10.0.0.1", "kubernetes": ""}
    assert seen.nodes == {"node1": ips("192.168.0.1", "fd00::1")}
    assert seen.data == {"range-global": "10.0.0.1-10.0.0.9"}
    assert seen.notices == ()


async def test_all_pages_are_read(cluster):
    for number in range(1100):
        cluster.service(f"s{number}")
    assert len((await look(cluster)).services) == 1101


async def test_a_list_that_expires_between_pages_is_begun_again(cluster):
    for number in range(600):
        cluster.service(f"s{number}")
    cluster.server.faults.add(Fault(action="status", status=410, verbs=("list",), resources=("services",), count=1))
    assert len((await look(cluster)).services) == 601


async def test_a_missing_config_map_is_none(cluster):
    assert (await look(cluster)).data is None


async def test_an_empty_config_map_is_there(cluster):
    cluster.pools()
    assert (await look(cluster)).data == {}


async def test_an_api_server_without_an_answer_is_an_error(cluster):
    cluster.server.faults.add(Fault(action="status", status=503, resources=("services",)))
    with pytest.raises(ApiUnavailable):
        await look(cluster)


RBAC = "rbac.authorization.k8s.io"


def grant(server, user, *resources):
    rules = [{"apiGroups": [""], "resources": list(resources), "verbs": ["get", "list"]}]
    kinds = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": "see"}}
    server.create({**kinds, "kind": "ClusterRole", "rules": rules})
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "see"}
    server.create({**kinds, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": subjects})


async def test_nodes_that_may_not_be_listed_are_a_notice(tmp_path):
    async with serving(tmp_path, user="bob", tokens={"b": User("bob")}, rbac=True) as cluster:
        grant(cluster.server, "bob", "services", "configmaps")
        cluster.node("node1", "10.0.0.1")
        seen = await look(cluster)
    assert seen.nodes == {}
    assert "the nodes' addresses aren't known" in seen.notices[0]


async def test_services_that_may_not_be_listed_are_an_error(tmp_path):
    async with serving(tmp_path, user="bob", tokens={"b": User("bob")}, rbac=True) as cluster:
        grant(cluster.server, "bob", "nodes", "configmaps")
        with pytest.raises(Forbidden, match="services"):
            await look(cluster)


# Dumps


def dump(*items, kind="List"):
    return json.dumps({"kind": kind, "items": items}).encode()


SERVICE = {"kind": "Service", "metadata": {"name": "a", "namespace": "default"}, "spec": {"type": "LoadBalancer"}}
NODE = {"kind": "Node", "metadata": {"name": "n"}, "status": {"addresses": [{"address": "10.0.0.1"}, {"address": "n"}]}}


def test_a_dump_has_services_and_nodes():
    seen = read_dump(dump(SERVICE, NODE, {"kind": "Secret"}))
    assert [str(facts.key) for facts in seen.services] == ["default/a"]
    assert seen.nodes == {"n": ips("10.0.0.1")}


def test_a_raw_list_of_the_api_server_will_do():
    service = {name: value for name, value in SERVICE.items() if name != "kind"}
    assert len(read_dump(dump(service, kind="ServiceList")).services) == 1


def test_one_service_that_cant_be_read_is_left_out_with_a_notice():
    broken = {**SERVICE, "metadata": {"name": "b", "namespace": "web"}, "spec": {"ports": "none"}}
    seen = read_dump(dump(SERVICE, broken))
    assert [facts.key.name for facts in seen.services] == ["a"]
    assert seen.notices[0].startswith("web/b of services can't be read, and is left out: ")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no list of objects in JSON"),
        (b"kind: List", "no list of objects in JSON"),
        (b"[]", "no list of objects in JSON"),
        (b"{}", "kubectl get services,nodes -A -o json"),
        (dump(), "no Service"),
        (dump(NODE), "no Service"),
        (b'{"items": [1]}', "no list of objects in JSON"),
        (b"\xff\xfe", "no list of objects in JSON"),
    ],
)
def test_what_is_no_dump_is_refused(content, why):
    with pytest.raises(ConfigError, match=why):
        read_dump(content)
