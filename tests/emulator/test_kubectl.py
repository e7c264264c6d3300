"""The real kubectl, as operators use it, against the emulator with TLS, users and roles."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from kubevip.emulator import BY_PLURAL, User, serve

pytestmark = pytest.mark.kubectl

OPERATOR = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: agent, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:agent-role"}
rules:
- apiGroups: ["coordination.k8s.io"]
  resources: [leases]
  verbs: [get, create, update]
---
kind: ClusterRoleBinding
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: "system:agent-binding"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:agent-role"}
subjects: [{kind: ServiceAccount, name: agent, namespace: kube-system}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {creationTimestamp: null, name: agent, namespace: kube-system}
spec:
  selector: {matchLabels: {name: agent}}
  template:
    metadata: {creationTimestamp: null, labels: {name: agent}}
    spec:
      containers: [{name: agent, image: "agent:1", env: [{name: a, value: "1"}], resources: {}}]
      hostNetwork: true
  updateStrategy: {}
status: {currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: pools, namespace: kube-system}
data: {range-global: 172.31.0.99-172.31.0.99}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""


class Kubectl:
    def __init__(self, path, kubeconfig, home, server):
        self.path, self.server = path, server
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home)}

    async def start(self, *arguments, **environment):
        return await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, **environment},
        )

    async def result(self, *arguments, stdin="", **environment):
        process = await self.start(*arguments, **environment)
        out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, *arguments, stdin="", **environment):
        code, out, err = await self.result(*arguments, stdin=stdin, **environment)
        assert code == 0, err
        return out

    async def get(self, *arguments):
        return json.loads(await self("get", *arguments, "-o", "json"))


@pytest.fixture
async def kubectl(kubectl_path, certificate, tmp_path):
    tokens = {"secret": User("admin", ("system:masters",)), "agent": User.service_account("kube-system", "agent")}
    async with serve(tokens=tokens, rbac=True, tls=certificate) as server:
        kubeconfig = tmp_path / "kubeconfig"
        await asyncio.to_thread(kubeconfig.write_text, server.kubeconfig("admin"))
        yield Kubectl(kubectl_path, kubeconfig, tmp_path, server)


def table(text):
    return [line.split() for line in text.splitlines()]


async def test_get_shows_a_table(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    head, *rows = table(await kubectl("get", "svc", "web"))
    assert head == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert rows[0][:4] == ["web", "LoadBalancer", "10.96.0.2", "<pending>"]


async def test_get_wide_shows_more(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    head, row = table(await kubectl("get", "svc", "web", "-o", "wide"))
    assert (head[-1], row[-1]) == ("SELECTOR", "app=web")


async def test_get_yaml_and_jsonpath(kubectl):
    assert "kind: Namespace" in await kubectl("get", "ns", "default", "-o", "yaml")
    assert await kubectl("get", "ns", "default", "-o", "jsonpath={.status.phase}") == "Active"


async def test_get_of_several_kinds_in_all_namespaces(kubectl):
    out = await kubectl("get", "ns,svc,ep,endpointslices,nodes,cm,secrets,leases,events,ds,deploy,pods,all", "-A")
    assert "service/kubernetes" in out


async def test_get_by_selectors(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    assert "web" in await kubectl("get", "svc", "-l", "app in (web)")
    assert "web" in await kubectl("get", "svc", "--field-selector", "spec.type=LoadBalancer")
    assert "web" not in await kubectl("get", "svc", "-l", "app!=web")


async def test_get_watch_shows_changes(kubectl):
    process = await kubectl.start("get", "svc", "-w", "--no-headers")
    assert b"kubernetes" in await process.stdout.readline()
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    assert b"<pending>" in await process.stdout.readline()
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    await kubectl("patch", "svc", "web", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    assert b"192.0.2.7" in await process.stdout.readline()
    process.terminate()
    await process.wait()


async def test_apply_of_an_operators_manifests_twice(kubectl):
    first = await kubectl("apply", "-f", "-", stdin=OPERATOR)
    assert first.count(" created") == 5
    second = await kubectl("apply", "-f", "-", stdin=OPERATOR)
    assert second.count(" unchanged") + second.count(" configured") == 5
    assert "configmap/pools unchanged" in second


async def test_apply_of_a_changed_manifest(kubectl):
    await kubectl("apply", "-f", "-", stdin=OPERATOR)
    out = await kubectl("apply", "-f", "-", stdin=OPERATOR.replace("agent:1", "agent:2"))
    assert "daemonset.apps/agent configured" in out
    found = await kubectl.get("ds", "agent", "-n", "kube-system")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("agent:2", [{"name": "a", "value": "1"}])


async def test_apply_removes_what_is_gone_from_the_manifest(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("apply", "-f", "-", stdin=SERVICE.replace("labels: {app: web}", "labels: {tier: front}"))
    assert (await kubectl.get("svc", "web"))["metadata"]["labels"] == {"tier": "front"}


async def test_apply_refuses_unknown_fields(kubectl):
    code, _, err = await kubectl.result("apply", "-f", "-", stdin=SERVICE.replace("selector", "selecter"))
    assert code == 1
    assert 'unknown field "spec.selecter"' in err


async def test_apply_server_side(kubectl):
    out = await kubectl("apply", "--server-side", "-f", "-", stdin=SERVICE)
    assert "service/web serverside-applied" in out
    await kubectl("apply", "--server-side", "-f", "-", stdin=SERVICE.replace("8080", "9090"))
    assert (await kubectl.get("svc", "web"))["spec"]["ports"][0]["targetPort"] == 9090


async def test_create_of_a_file_and_again(kubectl):
    assert "service/web created" in await kubectl("create", "-f", "-", stdin=SERVICE)
    code, _, err = await kubectl.result("create", "-f", "-", stdin=SERVICE)
    assert code == 1
    assert '(AlreadyExists): error when creating "STDIN": services "web" already exists' in err


async def test_create_commands_speak_protobuf(kubectl):
    await kubectl("create", "namespace", "n")
    await kubectl("create", "service", "loadbalancer", "s", "--tcp=80:8080", "-n", "n")
    await kubectl("create", "configmap", "c", "--from-literal=k=v", "-n", "n")
    await kubectl("create", "secret", "generic", "s", "--from-literal=k=v", "-n", "n")
    await kubectl("create", "serviceaccount", "a", "-n", "n")
    await kubectl("create", "role", "r", "--verb=get", "--resource=leases", "-n", "n")
    await kubectl("create", "rolebinding", "b", "--role=r", "--serviceaccount=n:a", "-n", "n")
    await kubectl("create", "clusterrole", "cr", "--verb=get", "--resource=nodes")
    service = await kubectl.get("svc", "s", "-n", "n")
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["ports"][0] | {"nodePort": 0} == {
        "name": "80-8080",
        "port": 80,
        "protocol": "TCP",
        "targetPort": 8080,
        "nodePort": 0,
    }
    assert (await kubectl.get("cm", "c", "-n", "n"))["data"] == {"k": "v"}
    assert (await kubectl.get("secret", "s", "-n", "n"))["data"] == {"k": "dg=="}
    (subject,) = (await kubectl.get("rolebinding", "b", "-n", "n"))["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "a", "namespace": "n"}


async def test_expose_makes_a_service(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("expose", "service", "web", "--name=again", "--port=81", "--type=LoadBalancer")
    assert (await kubectl.get("svc", "again"))["spec"]["ports"][0]["port"] == 81


async def test_edit(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    out = await kubectl("edit", "svc", "web", KUBE_EDITOR="sed -i s/targetPort:.8080/targetPort:\\ 9090/")
    assert "service/web edited" in out
    assert (await kubectl.get("svc", "web"))["spec"]["ports"][0]["targetPort"] == 9090


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", {"spec": {"ports": [{"port": 80, "targetPort": 7}]}}),
        ("merge", {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 7}]}}),
        ("json", [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 7}]),
    ],
)
async def test_patch(kubectl, kind, patch):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("patch", "svc", "web", f"--type={kind}", "-p", json.dumps(patch))
    assert (await kubectl.get("svc", "web"))["spec"]["ports"][0]["targetPort"] == 7


async def test_label_and_annotate(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("label", "svc", "web", "tier=front", "app-")
    await kubectl("annotate", "svc", "web", "kube-vip.io/loadbalancerIPs=192.0.2.7")
    metadata = (await kubectl.get("svc", "web"))["metadata"]
    assert metadata["labels"] == {"tier": "front"}
    assert metadata["annotations"]["kube-vip.io/loadbalancerIPs"] == "192.0.2.7"


async def test_replace(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("replace", "-f", "-", stdin=SERVICE.replace("port: 80,", "port: 81,"))
    assert (await kubectl.get("svc", "web"))["spec"]["ports"][0]["port"] == 81


async def test_delete_waits_for_finalizers(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("patch", "svc", "web", "--type=merge", "-p", '{"metadata":{"finalizers":["a.io/b"]}}')
    process = await kubectl.start("delete", "svc", "web")
    assert b'service "web" deleted' in await process.stdout.readline()
    store, key = kubectl.server.store, ("default", "web")
    assert "deletionTimestamp" in store.get(BY_PLURAL["services"], key).value["metadata"]
    assert process.returncode is None
    await kubectl("patch", "svc", "web", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert await process.wait() == 0
    assert store.get(BY_PLURAL["services"], key) is None


async def test_delete_of_all(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    await kubectl("delete", "svc", "--all")
    assert "No resources found" in (await kubectl.result("get", "svc"))[2]


async def test_delete_of_a_namespace_takes_all_in_it(kubectl):
    await kubectl("create", "namespace", "n")
    await kubectl("apply", "-n", "n", "-f", "-", stdin=SERVICE)
    assert 'namespace "n" deleted' in await kubectl("delete", "namespace", "n")
    assert (await kubectl.result("get", "ns", "n"))[0] == 1
    assert kubectl.server.store.get(BY_PLURAL["services"], ("n", "web")) is None


async def test_wait_for_a_field(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    path = "--for=jsonpath={.status.loadBalancer.ingress[0].ip}"
    process = await kubectl.start("wait", path, "svc/web", "--timeout=20s")
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    await kubectl("patch", "svc", "web", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    assert b"condition met" in await process.stdout.readline()
    assert await process.wait() == 0


async def test_wait_for_deletion(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    process = await kubectl.start("wait", "--for=delete", "svc/web", "--timeout=20s")
    await kubectl("delete", "svc", "web")
    assert await process.wait() == 0


async def test_describe(kubectl):
    await kubectl("apply", "-f", "-", stdin=SERVICE)
    assert "LoadBalancer" in await kubectl("describe", "svc", "web")


async def test_auth_can_i(kubectl):
    await kubectl("apply", "-f", "-", stdin=OPERATOR)
    assert await kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    agent = "--as=system:serviceaccount:kube-system:agent"
    assert await kubectl("auth", "can-i", "update", "leases.coordination.k8s.io", agent) == "yes\n"
    assert (await kubectl.result("auth", "can-i", "delete", "leases.coordination.k8s.io", agent))[1] == "no\n"
    assert "admin" in await kubectl("auth", "whoami")


async def test_agent_works_within_its_rights(kubectl):
    await kubectl("apply", "-f", "-", stdin=OPERATOR)
    config = Path(kubectl.environment["KUBECONFIG"])
    text = kubectl.server.kubeconfig("system:serviceaccount:kube-system:agent")
    await asyncio.to_thread(config.write_text, text)
    code, _, err = await kubectl.result("get", "leases", "-n", "kube-system")
    assert code == 1
    assert (
        'leases.coordination.k8s.io is forbidden: User "system:serviceaccount:kube-system:agent" cannot list resource '
        '"leases" in API group "coordination.k8s.io" in the namespace "kube-system"'
    ) in err
    code, _, err = await kubectl.result("get", "lease", "l", "-n", "kube-system")
    assert 'leases.coordination.k8s.io "l" not found' in err


async def test_version_and_api_resources(kubectl):
    assert "Server Version: v1.35.0-kubevip-emulator" in await kubectl("version")
    assert "endpointslices" in await kubectl("api-resources")


async def test_get_raw(kubectl):
    assert await kubectl("get", "--raw", "/readyz") == "ok"
