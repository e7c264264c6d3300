"""``kubevip manifest``: the shape of kube-vip's manifests, from the same flags."""

import argparse
from typing import Any

import pytest
import yaml

from kubevip.cli.manifest import run
from kubevip.errors import ConfigError
from kubevip.manifest import Written, add_arguments, written
from kubevip.version import __version__

FLAGS = "--interface eth0 --vip 192.168.0.1 --arp --leaderElection --controlplane --services"


def parsed(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kubevip manifest", allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args(line.split())


def answer(line: str, **environ: str) -> Written:
    return written(parsed(line), environ)


def documents(line: str, **environ: str) -> list[Any]:
    return list(yaml.safe_load_all(answer(line, **environ).text))


def manifest(line: str, **environ: str) -> Any:
    (document,) = documents(line, **environ)
    return document


def container(line: str, **environ: str) -> Any:
    document = manifest(line, **environ)
    spec = document["spec"] if document["kind"] == "Pod" else document["spec"]["template"]["spec"]
    return spec["containers"][0]


GOLDEN_POD = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: kube-vip
  namespace: kube-system
spec:
  containers:
  - args:
    - manager
    env:
    - name: vip_arp
      value: "true"
    - name: port
      value: "6443"
    - name: vip_nodename
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: vip_interface
      value: eth0
    - name: vip_subnet
      value: "32"
    - name: cp_enable
      value: "true"
    - name: cp_namespace
      value: kube-system
    - name: svc_enable
      value: "true"
    - name: svc_leasename
      value: plndr-svcs-lock
    - name: vip_leaderelection
      value: "true"
    - name: vip_leasename
      value: plndr-cp-lock
    - name: vip_leaseduration
      value: "15"
    - name: vip_renewdeadline
      value: "10"
    - name: vip_retryperiod
      value: "2"
    - name: address
      value: 192.168.0.1
    - name: prometheus_server
      value: :2112
    image: kubevip:{__version__}
    imagePullPolicy: IfNotPresent
    name: kube-vip
    resources: {{}}
    securityContext:
      capabilities:
        add:
        - NET_ADMIN
        - NET_RAW
        drop:
        - ALL
    volumeMounts:
    - mountPath: /etc/kubernetes/admin.conf
      name: kubeconfig
  hostAliases:
  - hostnames:
    - kubernetes
    ip: 127.0.0.1
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/admin.conf
    name: kubeconfig
status: {{}}
"""


def test_a_pod_has_the_shape_of_kube_vips() -> None:
    assert answer(f"pod {FLAGS}").text == GOLDEN_POD


def test_a_daemon_set_runs_the_same_pod() -> None:
    daemon_set, pod = manifest(f"daemonset {FLAGS}"), manifest(f"pod {FLAGS}")
    labels = {"app.kubernetes.io/name": "kube-vip-ds", "app.kubernetes.io/version": __version__}
    assert daemon_set == {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"labels": labels, "name": "kube-vip-ds", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "kube-vip-ds"}},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
            "updateStrategy": {},
        },
    }


def test_in_the_cluster_the_account_takes_the_place_of_the_kubeconfig() -> None:
    spec = manifest(f"pod --inCluster {FLAGS}")["spec"]
    assert spec["serviceAccountName"] == "kube-vip"
    assert {"volumes", "hostAliases"}.isdisjoint(spec)
    assert "volumeMounts" not in spec["containers"][0]


def test_without_the_cluster_there_is_no_account() -> None:
    assert "serviceAccountName" not in manifest(f"pod --inCluster=false {FLAGS}")["spec"]


def test_another_kubeconfig_of_the_node_is_mounted_at_the_same_place() -> None:
    spec = manifest(f"pod {FLAGS} --k8sConfigPath /etc/kubernetes/super-admin.conf")["spec"]
    assert spec["volumes"] == [{"hostPath": {"path": "/etc/kubernetes/super-admin.conf"}, "name": "kubeconfig"}]
    assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/etc/kubernetes/admin.conf"
    assert "k8s_config_file" not in [entry["name"] for entry in spec["containers"][0]["env"]]


def test_taint_places_the_daemon_set_on_control_plane_nodes() -> None:
    spec = manifest(f"daemonset --taint {FLAGS}")["spec"]["template"]["spec"]
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    keys = [term["matchExpressions"] for term in required["nodeSelectorTerms"]]
    assert keys == [
        [{"key": "node-role.kubernetes.io/master", "operator": "Exists"}],
        [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
    ]
    assert spec["tolerations"] == [
        {"effect": "NoSchedule", "operator": "Exists"},
        {"effect": "NoExecute", "operator": "Exists"},
    ]


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("registry.example:5000/kubevip", f"registry.example:5000/kubevip:{__version__}"),
        ("kubevip:edge", "kubevip:edge"),
        ("kubevip@sha256:0", "kubevip@sha256:0"),
    ],
)
def test_an_image_without_a_tag_gets_this_version(image: str, full: str) -> None:
    assert container(f"pod --image {image} {FLAGS}")["image"] == full


def test_a_health_port_brings_probes() -> None:
    probed = container(f"pod {FLAGS} --healthCheckPort 8080")
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    assert (probed["livenessProbe"], probed["readinessProbe"]) == (probe, probe)


def test_no_variable_is_written_twice() -> None:
    names = [entry["name"] for entry in container(f"pod {FLAGS} --nodeName n1 --log 4 --linger 1")["env"]]
    assert len(names) == len(set(names))


def test_texts_that_yaml_would_take_for_something_else_are_quoted() -> None:
    values = [entry.get("value", "") for entry in container(f"pod {FLAGS} --log=-4")["env"]]
    assert all(isinstance(value, str) for value in values)


def test_the_environment_counts_as_it_does_for_the_agent() -> None:
    env = {entry["name"]: entry.get("value") for entry in container(f"pod {FLAGS}", vip_interface="eth9")["env"]}
    assert env["vip_interface"] == "eth9"


def test_the_namespace_of_services_is_that_of_the_manifest() -> None:
    assert manifest(f"pod {FLAGS}", svc_namespace="vips")["metadata"]["namespace"] == "vips"


def test_notices_come_with_the_manifest() -> None:
    assert answer(f"pod {FLAGS}").notices == ("--vip='192.168.0.1' still counts, but address is the name to use",)


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs address"):
        answer("pod --arp --controlplane")


def test_a_wrong_namespace_is_refused() -> None:
    with pytest.raises(ConfigError, match="svc_namespace='Vips': write a namespace"):
        answer("rbac", svc_namespace="Vips")


def rules(line: str) -> list[tuple[str, str, str]]:
    role = documents(line)[1]
    return [(*rule["apiGroups"], " ".join(rule["resources"]), " ".join(rule["verbs"])) for rule in role["rules"]]


KUBE_VIPS_RULES = [
    ("", "services/status", "update"),
    ("", "services endpoints", "list get watch update"),
    ("", "nodes", "list get watch update patch"),
    ("coordination.k8s.io", "leases", "list get watch update create"),
    ("discovery.k8s.io", "endpointslices", "list get watch update"),
    ("", "pods", "list"),
]


def test_the_rights_are_those_of_kube_vip() -> None:
    assert rules("rbac") == [*KUBE_VIPS_RULES, ("networking.k8s.io", "servicecidrs", "list get watch")]


def test_the_rights_are_bound_under_kube_vips_names() -> None:
    account, role, binding = documents("rbac")
    assert account["metadata"] == {"name": "kube-vip", "namespace": "kube-system"}
    assert (role["kind"], role["metadata"]) == ("ClusterRole", {"name": "system:kube-vip-role"})
    assert (binding["kind"], binding["metadata"]) == ("ClusterRoleBinding", {"name": "system:kube-vip-binding"})
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:kube-vip-role",
    }
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "kube-vip", "namespace": "kube-system"}]


def test_every_document_of_the_rights_is_set_apart() -> None:
    lines = answer("rbac").text.splitlines()
    assert lines[0] == "---"
    assert lines.count("---") == 3


def test_a_role_holds_in_one_namespace() -> None:
    _, role, binding = documents("rbac --role", svc_namespace="vips")
    assert (role["kind"], role["metadata"]) == ("Role", {"name": "kube-vip", "namespace": "vips"})
    assert (binding["kind"], binding["roleRef"]["kind"]) == ("RoleBinding", "Role")
    assert rules("rbac --role") == KUBE_VIPS_RULES


def test_a_cluster_role_may_be_bound_in_one_namespace() -> None:
    _, role, binding = documents("rbac --rolebinding")
    assert (role["kind"], binding["kind"]) == ("ClusterRole", "RoleBinding")


def test_events_are_a_right_to_be_asked_for() -> None:
    assert rules("rbac --events")[-1] == ("", "events", "create patch")


def test_the_command_prints_the_manifest_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parsed("rbac")) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (answer("rbac").text, "")


def test_the_command_tells_every_problem_on_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("cp_enabel", "true")
    assert run(parsed("pod --arp=x --port=y --services")) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "--arp='x': write true or false (1, t, T, TRUE, True, 0, f, F, FALSE and False are read too)",
        "--port='y': write a port from 1 to 65535",
        "cp_enabel is ignored: there is no setting of that name; is cp_enable meant?",
    ]


def test_the_command_tells_notices_beside_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parsed(f"pod {FLAGS}")) == 0
    printed = capsys.readouterr()
    assert printed.out == GOLDEN_POD
    assert printed.err == "--vip='192.168.0.1' still counts, but address is the name to use\n"


def test_a_wrong_switch_of_the_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("daemonset --taint=maybe")
    assert "'maybe': write true or false" in capsys.readouterr().err


def test_patches_are_a_right_to_be_asked_for() -> None:
    assert ("", "services", "patch") in rules("rbac --patches")
    assert ("", "services", "patch") not in rules("rbac")
