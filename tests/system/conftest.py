"""What the system tests share: machines on a segment, an API server among them, and agents as processes.

The tests of a module share one cluster, because an agent takes half a second to start. So they share an event
loop too, and this process stands on the machine of the API server while they run.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from blockbuster import BlockBuster

from kubevip.demo.cluster import API, addresses
from kubevip.emulator import User, serve
from kubevip.net.netns import Namespace
from kubevip.net.segment import Segment
from tests.kernel import pytest_collection_finish, require_namespaces
from tests.realapi import find_assets, serve_real
from tests.system.cluster import ACCOUNT, TestCluster

__all__ = ["pytest_collection_finish"]

TOKENS = {"admin-token": User("admin", ("system:masters",)), "agent-token": User(ACCOUNT)}
NODES = ("node1", "node2", "node3")


@pytest.fixture(autouse=True)
def tests_may_block(nothing_blocks_the_loop: BlockBuster) -> None:
    """The loop of these tests is theirs alone: what they test runs in other processes."""
    nothing_blocks_the_loop.deactivate()


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """Three nodes, a client and the API server's machine, on which this process is meanwhile."""
    require_namespaces()
    with Namespace.open("/proc/thread-self/ns/net") as home, Segment.of(addresses(NODES)) as segment:
        segment.machines[API].network.enter()
        try:
            yield segment
        finally:
            home.enter()


@pytest.fixture(scope="module")
def real_server(segment: Segment) -> Iterator[Any]:
    """A real kube-apiserver on the API server's machine; skips where there is none."""
    assets = find_assets()
    if assets is None:
        pytest.skip("no real kube-apiserver: KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    arguments = ("--bind-address=0.0.0.0", "--advertise-address=172.31.0.250")
    with serve_real(assets, users={ACCOUNT: ()}, arguments=arguments) as server:
        yield server


@contextlib.asynccontextmanager
async def before_the_emulator(segment: Segment, directory: Path) -> AsyncIterator[TestCluster]:
    async with (
        serve(host="172.31.0.250", port=8080, tokens=TOKENS, rbac=True) as server,
        TestCluster.before(server, segment, directory) as cluster,
    ):
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulated(segment: Segment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestCluster]:
    """A cluster before the built-in API server, without agents."""
    async with before_the_emulator(segment, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["emulator", pytest.param("real", marks=pytest.mark.real_api)])
def server_kind(request: pytest.FixtureRequest) -> Any:
    """The real server, where it is its turn."""
    return request.getfixturevalue("real_server") if request.param == "real" else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def either(
    server_kind: Any, segment: Segment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TestCluster]:
    """A cluster before the built-in API server, and then before a real one, without agents."""
    directory = tmp_path_factory.mktemp("cluster")
    if server_kind is None:
        async with before_the_emulator(segment, directory) as cluster:
            yield cluster
    else:
        async with TestCluster.before(server_kind, segment, directory) as cluster:
            yield cluster
