"""``python -m kubevip emulator`` with the real kubectl: what ``manifest`` prints is what a cluster takes."""

import asyncio
import socket
import urllib.request

import pytest
import yaml

from tests.kernel import in_thread
from tests.waiting import until

SETTINGS = "--arp --interface eth0 --controlplane --services --address 172.31.0.99"


@pytest.fixture
async def kubeconfig(start, tmp_path):
    """Let the emulator run for the length of the test; it has to end well."""
    path = tmp_path / "kubeconfig"
    process = start("emulator", "--listen", "127.0.0.1:0", "--kubeconfig", str(path))
    await until(path.exists, 10, "the kubeconfig")
    yield path
    process.process.terminate()
    assert await process.wait() == 0
    assert process.err == ""


@pytest.fixture
def kubectl(kubectl_path, kubeconfig, tmp_path):
    """Return a function that runs the real kubectl, and returns what it prints."""

    async def kubectl(*arguments, stdin=""):
        process = await asyncio.create_subprocess_exec(
            kubectl_path,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)},
        )
        out, _ = await process.communicate(stdin.encode())
        assert process.returncode == 0, out.decode()
        return out.decode()

    return kubectl


async def test_kubeconfig_is_there_only_when_the_server_is_ready(kubeconfig):
    """The first attempt has to succeed, right after the file has appeared."""
    (cluster,) = yaml.safe_load(kubeconfig.read_text())["clusters"]
    with await in_thread(urllib.request.urlopen, f"{cluster['cluster']['server']}/readyz") as response:
        assert response.status == 200


async def test_port_that_is_taken_leaves_no_kubeconfig(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        code, ran = await start.run("emulator", "--listen", listen, "--kubeconfig", str(tmp_path / "kubeconfig"))
    assert code == 1
    assert ran.err.startswith("kubevip emulator: ")
    assert not (tmp_path / "kubeconfig").exists()


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("arguments", "created"),
    [
        (f"pod {SETTINGS}", ["pod/kube-vip"]),
        (f"daemonset --inCluster --taint {SETTINGS}", ["daemonset.apps/kube-vip-ds"]),
        (
            "rbac --events",
            [
                "serviceaccount/kube-vip",
                "clusterrole.rbac.authorization.k8s.io/system:kube-vip-role",
                "clusterrolebinding.rbac.authorization.k8s.io/system:kube-vip-binding",
            ],
        ),
    ],
    ids=["pod", "daemonset", "rbac"],
)
async def test_kubectl_applies_what_manifest_prints(start, kubectl, arguments, created):
    _, printed = await start.run("manifest", *arguments.split())
    assert await kubectl("apply", "-f", "-", stdin=printed.out) == "".join(f"{name} created\n" for name in created)
    # Nothing of it was dropped or changed.
    again = await kubectl("apply", "-f", "-", stdin=printed.out)
    assert again == "".join(f"{name} unchanged\n" for name in created)


@pytest.mark.kubectl
async def test_daemon_set_runs_as_the_account_that_the_rights_are_for(start, kubectl):
    for arguments in ("rbac", f"daemonset --inCluster {SETTINGS}"):
        _, printed = await start.run("manifest", *arguments.split())
        await kubectl("apply", "-f", "-", stdin=printed.out)
    account, subject = "{.spec.template.spec.serviceAccountName}", "{.subjects[*].name}"
    runs_as = await kubectl("get", "daemonset", "kube-vip-ds", "-n", "kube-system", "-o", f"jsonpath={account}")
    binding = "system:kube-vip-binding"
    assert runs_as == await kubectl("get", "clusterrolebinding", binding, "-o", f"jsonpath={subject}") == "kube-vip"
