"""``kubevip ipam plan``, with an API server and with files, and whether it comes true."""

import json
import sys

import pytest
import yaml

from kubevip.emulator import BY_PLURAL
from tests.waiting import until

OLD = "range-global: 10.0.0.1-10.0.0.9\n"
NEW = "range-global: 10.0.1.1-10.0.1.9\n"


async def test_where_all_keep_what_they_have_it_exits_0(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("web", "10.0.0.1", "range-global")
    ran = await cluster.ipam("plan", "-f", "-", stdin="range-global: 10.0.0.1-10.0.0.99\n")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "SERVICE      OUTCOME  ADDRESS   ORIGIN        WHY\n"
        "default/web  keeps    10.0.0.1  range-global  -\n\n"
        "1 Service: 1 keeps what it has\n"
    )


async def test_where_one_is_left_outside_it_exits_2_and_says_for_how_long_it_stays(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("web", "10.0.0.1", "range-global")
    cluster.service("mine", "10.9.9.9", "annotation")
    cluster.service("new")
    ran = await cluster.ipam("plan", "-f", "-", stdin=NEW)
    assert (ran.code, ran.err) == (2, "")
    assert ran.out == (
        "SERVICE       OUTCOME  ADDRESS        ORIGIN        WHY\n"
        "default/web   outside  10.0.0.1       range-global  10.0.0.1 is in no pool for default any more; it stays "
        "until the Service is made anew\n"
        "default/new   gets     - -> 10.0.1.1  range-global  under the present ConfigMap it gets 10.0.0.2\n"
        "default/mine  keeps    10.9.9.9       annotation    -\n\n"
        "3 Services: 1 is left outside of every pool, 1 gets an address, 1 keeps what it has\n"
        "An address outside of every pool stays with its Service, through restarts too; a Service that is deleted and "
        "created again gets another one.\n"
    )


async def test_nodes_of_the_cluster_count(cluster):
    cluster.node("node1", "10.0.1.1")
    cluster.service("new")
    ran = await cluster.ipam("plan", "-f", "-", stdin=NEW)
    assert ran.code == 0
    assert "range-global (line 1): 10.0.1.1 of node node1 is not given out" in ran.out
    assert "- -> 10.0.1.2" in ran.out


async def test_nothing_is_written(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("new")
    version = cluster.server.store.version
    assert (await cluster.ipam("plan", "-f", "-", stdin=NEW)).code == 0
    assert cluster.server.store.version == version


async def test_no_answer_exits_1(cluster):
    ran = await cluster.ipam("plan", "-f", "-", stdin=NEW, KUBECONFIG="missing")
    assert (ran.code, ran.out) == (1, "")


# With files


@pytest.fixture
def offline(ipam, file):
    """Plan from files: a dump of Services, the old ConfigMap, the new one."""

    def run(services, old, new, *arguments):
        dump = file(json.dumps({"kind": "List", "items": services}), "dump.json")
        return ipam("plan", "--from", dump, "--old", file(old, "old.yaml"), "-f", file(new, "new.yaml"), *arguments)

    return run


def service(name, addresses="", origin=""):
    annotations = {"kube-vip.io/loadbalancerIPs": addresses, "kubevip.io/assigned": f"{origin} {addresses}"}
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations if addresses else {}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerIP": addresses.split(",")[0]},
    }


def test_a_dump_needs_no_api_server(offline):
    ran = offline([service("web", "10.0.0.1", "range-global")], OLD, OLD)
    assert (ran.code, "default/web  keeps" in ran.out) == (0, True)
    assert offline([service("web", "10.0.0.1", "range-global")], OLD, NEW).code == 2


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_all_of_it(offline, form, load):
    ran = offline([service("web", "10.0.0.1", "range-global"), service("new")], OLD, NEW, "-o", form)
    found = load(ran.out)
    assert (ran.code, found["configMap"]) == (2, "kube-system/kubevip")
    assert found["services"] == [
        {
            "service": "default/web",
            "outcome": "outside",
            "before": ["10.0.0.1"],
            "after": ["10.0.0.1"],
            "origin": "range-global",
            "why": "10.0.0.1 is in no pool for default any more; it stays until the Service is made anew",
        },
        {
            "service": "default/new",
            "outcome": "gets",
            "before": [],
            "after": ["10.0.1.1"],
            "origin": "range-global",
            "why": "under the present ConfigMap it gets 10.0.0.2",
        },
    ]
    assert found["summary"] == {"loses": 0, "changes": 0, "outside": 1, "pending": 0, "gets": 1, "keeps": 0}


@pytest.mark.parametrize(
    "new", ["range-global: 10.0.0.9-10.0.0.1\n", "range-global: 10.0.0.1-10.0.0.9\nsearch-order: 5\n"]
)
def test_errors_in_the_new_one_exit_1_and_come_before_the_plan(offline, new):
    ran = offline([service("web", "10.0.0.1", "range-global")], OLD, new)
    assert ran.code == 1
    assert ran.out.index("  error    ") < ran.out.index("default/web")


def test_networks_count_for_the_new_one(offline):
    ran = offline([service("web")], OLD, OLD, "--pod-cidr", "10.0.0.0/16")
    assert ran.code == 1
    assert "network of Pods" in ran.out


def test_notes_are_left_out_for_people(offline):
    ran = offline([service("web")], OLD, "cidr-global: 10.0.0.0/24\n")
    assert ran.out.startswith("SERVICE")


def test_without_services_there_is_nothing_to_plan(offline):
    cluster_ip = {"kind": "Service", "metadata": {"name": "a", "namespace": "b"}, "spec": {"type": "ClusterIP"}}
    ran = offline([cluster_ip], OLD, NEW)
    assert (ran.code, ran.out) == (0, "There are no Services to give addresses to.\n")


def test_of_several_config_maps_the_providers_is_meant(offline):
    maps = [f"kind: ConfigMap\nmetadata: {{name: {name}, namespace: kube-system}}\ndata:\n  {OLD}" for name in "ab"]
    assert "it has several ConfigMaps (kube-system/a, kube-system/b), and not one that is kube-system/kubevip" in (
        offline([service("web")], OLD, "---\n".join(maps)).err
    )
    ran = offline([service("web")], OLD, "---\n".join(maps), "--config-map", "a")
    assert (ran.code, ran.err) == (0, "")


def test_a_dump_without_the_old_config_map_is_refused(ipam, file):
    ran = ipam("plan", "--from", file("{}", "dump"), "-f", file(NEW))
    assert (ran.code, ran.out) == (1, "")
    assert "--from and --old belong together" in ran.err


def test_stdin_is_read_once(ipam):
    ran = ipam("plan", "--from", "-", "--old", "x", "-f", "-")
    assert ran.code == 1


@pytest.mark.parametrize("content", ["", "kind: List", "[]", "{}"])
def test_what_is_no_dump_exits_1_with_the_file(ipam, file, content):
    dump = file(content, "dump")
    ran = ipam("plan", "--from", dump, "--old", file(OLD, "old"), "-f", file(NEW))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"kubevip ipam: {dump}: this is no list of objects")


def test_a_new_one_that_cant_be_read_exits_1(ipam, tmp_path):
    ran = ipam("plan", "-f", tmp_path / "missing")
    assert (ran.code, ran.out) == (1, "")


# With the real programs


@pytest.mark.kubectl
async def test_what_kubectl_writes_is_read(cluster, kubectl_path):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("web", "10.0.0.1", "range-global")
    cluster.node("node1", "10.0.0.2")
    script = f"""
        {kubectl_path} get services,nodes -A -o json >dump.json
        {kubectl_path} get configmap -n kube-system kubevip -o yaml >old.yaml
        sed s/10.0.0.9/10.0.0.99/ old.yaml >new.yaml
        {sys.executable} -m kubevip ipam check old.yaml >checked
        {kubectl_path} get configmap -A -o json | {sys.executable} -m kubevip ipam check - >>checked
        {sys.executable} -m kubevip ipam plan --from dump.json --old old.yaml -f new.yaml --kubeconfig none
    """
    ran = await cluster.process("sh", "-e", "-c", script)
    assert (ran.code, ran.err) == (0, "")
    assert "default/web  keeps    10.0.0.1" in ran.out
    assert "10.0.0.2 of node node1 is not given out" in ran.out


async def test_what_is_planned_comes_true(cluster):
    """The provider itself, under both ConfigMaps: who has what then is what was planned before."""
    cluster.pools(range_global="10.0.0.1-10.0.0.2", range_web="10.0.5.1-10.0.5.9")
    for name in ("a", "b", "c", "d"):
        cluster.service(name)
    flags = ("--leader-elect=false", "--prometheusHTTPServer=off")
    provider = await cluster.start(sys.executable, "-m", "kubevip", "provider", *flags)
    shelf = BY_PLURAL["services"]

    def addresses():
        found = (cluster.server.store.get(shelf, ("default", name)).value for name in ("a", "b", "c", "d"))
        return [document["metadata"].get("annotations", {}).get("kube-vip.io/loadbalancerIPs") for document in found]

    try:
        await until(lambda: sum(map(bool, addresses())) == 2, 20, "two of four have an address")
        new = {"range-global": "10.0.0.2-10.0.0.3", "range-web": "10.0.5.1-10.0.5.9"}
        ran = await cluster.ipam("plan", "-f", "-", "-o", "json", stdin=json.dumps(new))
        planned = {each["service"]: (each["outcome"], each["after"]) for each in json.loads(ran.out)["services"]}
        config = cluster.server.store.get(BY_PLURAL["configmaps"], ("kube-system", "kubevip")).copy()
        await cluster.replace("configmaps", "kube-system", {**config, "data": new})
        await until(lambda: sum(map(bool, addresses())) == 3, 20, "three of four have an address")
    finally:
        provider.terminate()
        await provider.communicate()
    assert ran.code == 2
    assert sorted(outcome for outcome, _ in planned.values()) == ["gets", "keeps", "outside", "pending"]
    then = [[address] if address else [] for address in addresses()]
    assert [planned[f"default/{name}"][1] for name in ("a", "b", "c", "d")] == then
