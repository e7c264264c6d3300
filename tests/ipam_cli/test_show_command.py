"""``kubevip ipam show``, against an API server."""

import json

import yaml

from kubevip.emulator import Fault


async def test_pools_addresses_and_who_waits_are_shown(cluster):
    cluster.pools(cidr_default="10.0.0.8/30", cidr_six="fd00::/64", range_global="10.0.1.1-10.0.1.2")
    cluster.node("node1", "10.0.0.8", "192.168.0.1")
    cluster.service("web", "10.0.0.9", "cidr-default")
    cluster.service("mine", "10.9.9.9", "annotation")
    cluster.service("new")
    cluster.service("wrong", "10.0.0.01")
    ran = await cluster.ipam("show")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Pools of the ConfigMap kube-system/kubevip\n\n"
        "POOL          FAMILY  IN USE                        USED    FREE    SIZE\n"
        "cidr-default  IPv4    [##########..........]  50 %     2       2       4\n"
        "cidr-six      IPv6    [....................]   0 %     0  1.8e19  1.8e19\n"
        "range-global  IPv4    [....................]   0 %     0       2       2\n\n"
        "3 addresses are in use\n\n"
        "ADDRESS   OWNER         ORIGIN                  SHARED WITH\n"
        "10.0.0.8  node node1    node                    -\n"
        "10.0.0.9  default/web   cidr-default            -\n"
        "10.9.9.9  default/mine  annotation, in no pool  -\n\n"
        "2 Services wait for an address\n\n"
        "SERVICE        WHY\n"
        "default/new    10.0.0.10 is free for it: is the provider running?\n"
        "default/wrong  '10.0.0.01' is not an IP address: write it without leading zeros, 10.0.0.1\n"
    )


async def test_programs_get_all_of_it(cluster):
    cluster.pools(cidr_default="fd00::/64", rnge_global="x")
    cluster.service("a", "fd00::1", "cidr-default")
    cluster.service("b", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    ran = await cluster.ipam("show", "--output=json")
    found = json.loads(ran.out)
    assert (found["configMap"], found["found"]) == ("kube-system/kubevip", True)
    assert found["pools"] == [{"key": "cidr-default", "family": "IPv6", "size": 2**64, "used": 1, "free": 2**64 - 1}]
    assert found["addresses"] == [
        {"address": "fd00::1", "owner": "default/a", "origin": "cidr-default", "sharedWith": [], "outside": False}
    ]
    assert [each["service"] for each in found["waiting"]] == ["default/b"]
    assert [each["nearest"] for each in found["findings"]] == ["range-global"]
    assert yaml.safe_load((await cluster.ipam("show", "-o", "yaml")).out) == found


async def test_a_missing_config_map_is_told(cluster):
    cluster.service("a")
    ran = await cluster.ipam("show")
    assert ran.code == 0
    assert ran.out.startswith("There is no ConfigMap kube-system/kubevip, so there are no pools.\n")
    assert "create the ConfigMap kube-system/kubevip" in ran.out
    assert json.loads((await cluster.ipam("show", "-o", "json")).out)["found"] is False


async def test_the_config_map_may_be_another_one(cluster):
    ran = await cluster.ipam("show", "--namespace", "default", "--config-map", "pools")
    assert "There is no ConfigMap default/pools" in ran.out
    ran = await cluster.ipam("show", KUBEVIP_NAMESPACE="default", KUBEVIP_CONFIG_MAP="pools")
    assert "There is no ConfigMap default/pools" in ran.out


async def test_pools_that_cant_be_used_are_shown_with_the_reason(cluster):
    cluster.pools(range_default="10.0.0.1", source_web="acme x", cidr_global="0.0.0.0/32")
    out = (await cluster.ipam("show")).out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(("range-", "source-", "cidr-"))}
    assert "can't be used: unable to parse IP range [10.0.0.1]" in rows["range-default"]
    assert "the IPAM 'acme'" in rows["source-web"]
    assert "by DHCP" in rows["cidr-global"]


async def test_classes_are_the_providers(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("classed", loadBalancerClass="kube-vip.io/kube-vip-class")
    cluster.service("classless")

    async def waiting(*arguments, **environment):
        ran = await cluster.ipam("show", "-o", "json", *arguments, **environment)
        return [each["service"] for each in json.loads(ran.out)["waiting"]]

    assert await waiting() == ["default/classless"]
    assert await waiting(KUBEVIP_ENABLE_LOADBALANCERCLASS="true") == ["default/classed"]
    assert await waiting("--load-balancer-classes", "kube-vip.io/kube-vip-class") == [
        "default/classed",
        "default/classless",
    ]


async def test_nothing_is_written(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("new")
    version = cluster.server.store.version
    assert (await cluster.ipam("show")).code == 0
    assert cluster.server.store.version == version


async def test_an_api_server_that_refuses_exits_1_with_the_reason(cluster):
    cluster.server.faults.add(Fault(action="status", status=403, resources=("services",)))
    ran = await cluster.ipam("show")
    assert (ran.code, ran.out) == (1, "")
    assert "services" in ran.err


async def test_nodes_that_cant_be_seen_are_told_on_stderr(cluster):
    cluster.server.faults.add(Fault(action="status", status=403, resources=("nodes",)))
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    ran = await cluster.ipam("show")
    assert ran.code == 0
    assert "the nodes' addresses aren't known" in ran.err


async def test_no_api_server_exits_1(cluster):
    ran = await cluster.ipam("show", KUBECONFIG="missing")
    assert (ran.code, ran.out) == (1, "")
    assert "kubeconfig missing (KUBECONFIG names it): there is no such file" in ran.err
    ran = await cluster.ipam("show", "--master", "http://127.0.0.1:1", "--kubeconfig", "also-missing", KUBECONFIG="")
    assert ran.code == 1
    assert "also-missing" in ran.err


async def test_annotations_dont_steer_the_terminal(cluster):
    cluster.pools(range_global="10.0.0.1-10.0.0.9")
    cluster.service("a", "\x1b[31m10.0.0.5\n\n")
    ran = await cluster.ipam("show")
    assert ran.code == 0
    assert "\x1b" not in ran.out
