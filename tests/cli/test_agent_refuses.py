"""Agents that can't begin: what they say, how they end, and that nothing has been touched then."""

import pytest

from tests.kernel import addresses_on, run_on

pytestmark = pytest.mark.kernel

GOOD = {"vip_arp": "true", "cp_enable": "true", "address": "172.31.0.99", "vip_interface": "eth0"}
API_SERVER = "172.31.0.250:8080"
KUBECONFIG = f"""
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: x, cluster: {{server: "http://{API_SERVER}"}}}}]
contexts: [{{name: x, context: {{cluster: x, user: x}}}}]
users: [{{name: x, user: {{}}}}]
"""


@pytest.fixture
def kubeconfig(tmp_path):
    """Credentials for an API server that isn't there."""
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return {"KUBECONFIG": str(path)}


async def test_all_bad_settings_are_told_at_once_and_nothing_is_touched(start, node, kubeconfig):
    before = await addresses_on(node)
    bad = {"vip_arp": "maybe", "vip_leaseduration": "2", "port": "99999", "address": "172.31.0", "vip_linger": "-1"}
    code, ran = await start.run("agent", machine=node, cp_enable="true", **bad, **kubeconfig)
    assert (code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert all(line.startswith("kubevip: ") for line in lines)
    for name, text in bad.items():
        assert any(f"{name}={text!r}" in line for line in lines), f"{name} in {lines}"
    assert await addresses_on(node) == before


async def test_misspelt_name_is_told_with_the_one_that_may_be_meant(start, node):
    code, ran = await start.run("agent", machine=node, vip_intreface="eth0", **GOOD)
    warnings = [line["message"] for line in ran.logged() if line["level"] == "warning"]
    assert code == 2
    assert warnings == ["vip_intreface is ignored: there is no setting of that name; is vip_interface meant?"]


async def test_misspelt_name_is_told_with_the_problem_that_it_may_be_the_cause_of(start, node):
    code, ran = await start.run("agent", machine=node, vip_arp="true", cp_enabel="true")
    assert code == 2
    assert "there is nothing to do; write cp_enable=true" in ran.err
    assert "kubevip: cp_enabel is ignored: there is no setting of that name; is cp_enable meant?\n" in ran.err


@pytest.mark.parametrize(
    "setting",
    [{"vip_wireguard": "true", "vip_arp": ""}, {"lb_enable": "true"}],
)
async def test_feature_that_is_not_there_is_refused_by_its_name(start, node, kubeconfig, setting):
    name = next(iter(setting))
    code, ran = await start.run("agent", machine=node, **GOOD | setting, **kubeconfig)
    assert (code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"kubevip: {name}='true': ")
    assert " is not there yet; " in line


async def refused(start, node, **settings):
    """Run an agent whose settings can be read, but not used; return its exit code and its last log line."""
    code, ran = await start.run("agent", machine=node, **GOOD | settings)
    line = ran.logged()[-1]
    assert line["level"] == "error"
    return code, line["message"]


async def test_without_credentials_all_places_are_told_where_some_were_looked_for(start, node, tmp_path):
    code, message = await refused(start, node)
    assert code == 2
    for place in ("/etc/kubernetes/admin.conf", str(tmp_path / ".kube" / "config"), "the Pod's ServiceAccount"):
        assert place in message


async def test_kubeconfig_that_is_named_has_to_be_there(start, node, tmp_path):
    code, message = await refused(start, node, KUBECONFIG=str(tmp_path / "none"))
    assert code == 2
    assert message == f"kubeconfig {tmp_path / 'none'} (KUBECONFIG names it): there is no such file"


async def test_interface_that_is_not_there_is_told_with_those_that_are(start, node, kubeconfig):
    before = await addresses_on(node)
    code, message = await refused(start, node, vip_interface="eht0", **kubeconfig)
    assert code == 1
    assert "eht0" in message
    assert "eth0, lo" in message
    assert await addresses_on(node) == before


async def test_without_a_default_route_an_interface_has_to_be_named(start, node, kubeconfig):
    assert await run_on(node, "ip", "route", "show", "default") == ""
    code, message = await refused(start, node, vip_interface="", **kubeconfig)
    assert code == 2
    assert message == "vip_interface is not set, and there is no default route to take its interface from"


async def test_backend_that_is_not_installed_is_told_with_those_that_are(start, node, kubeconfig):
    code, message = await refused(start, node, vip_backends="arp,carp", **kubeconfig)
    assert code == 2
    assert message.startswith("vip_backends=arp,carp: no backend 'carp' is installed; there are: arp, ")
