"""The real kubectl takes a node out of service, as operators do: the node hands over, and no packet is lost."""

import contextlib
import os

import anyio
import pytest
import pytest_asyncio

from kubevip.emulator import Certificate, serve
from tests.system.cluster import TestCluster, now
from tests.system.conftest import TOKENS

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl, pytest.mark.asyncio(loop_scope="module")]

VIP = "172.31.0.99"


@contextlib.asynccontextmanager
async def serving(real):
    """The real server, or the built-in one by TLS: kubectl sends no token without."""
    if real is not None:
        yield real
    else:
        certificate = Certificate.generate("172.31.0.250")
        async with serve(host="172.31.0.250", port=8443, tokens=TOKENS, rbac=True, tls=certificate) as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(server_kind, segment, tmp_path_factory):
    """A cluster that knows its nodes."""
    directory = tmp_path_factory.mktemp("cluster")
    async with serving(server_kind) as server, TestCluster.before(server, segment, directory) as cluster:
        for node in cluster.nodes:
            await cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        await cluster.start_all()
        await cluster.wait_held(VIP)
        yield cluster


@pytest.fixture
def kubectl(cluster, kubectl_path):
    """Run kubectl as the cluster's administrator; return what it prints."""

    async def run(*arguments):
        config = cluster._directory / "admin"
        environment = {"PATH": os.environ["PATH"], "HOME": str(cluster._directory), "KUBECONFIG": str(config)}
        with anyio.fail_after(30):
            done = await anyio.run_process([kubectl_path, *arguments], env=environment, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


async def test_a_drained_node_hands_over_and_no_probe_is_lost(cluster, kubectl):
    with cluster.watching(VIP) as watch:
        source, start = await watch.wait_holder(), now()
        said = await kubectl("drain", source, "--ignore-daemonsets", "--timeout=20s")
        assert f"node/{source} drained" in said
        target = await watch.wait_holder(3, other_than=source)
        await kubectl("uncordon", source)
        await anyio.sleep(1)
        assert await watch.lost_since(start - 0.1) == 0
        assert watch.holder == target
