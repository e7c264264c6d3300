"""What the tests with other programs share: two nodes, a client, and a rival that has nothing to do with kubevip."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_interface

import pytest
import pytest_asyncio
from blockbuster import BlockBuster

from kubevip.demo.cluster import API, addresses
from kubevip.net.netns import Namespace
from kubevip.net.segment import Machine, Segment
from tests.kernel import pytest_collection_finish, require_namespaces
from tests.system.cluster import TestCluster
from tests.system.conftest import before_the_emulator

__all__ = ["pytest_collection_finish"]

MACHINES = {
    **addresses(("node1", "node2")),
    "rival": (ip_interface("172.31.0.77/16"), ip_interface("fd31::77/64")),
}


@pytest.fixture(autouse=True)
def tests_may_block(nothing_blocks_the_loop: BlockBuster) -> None:
    """The loop of these tests is theirs alone: what they test runs in other processes."""
    nothing_blocks_the_loop.deactivate()


@pytest.fixture(scope="module")
def program() -> Callable[[str], str]:
    """Return a function that finds a program, and skips where it isn't installed."""

    def find(name: str) -> str:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if found is None:
            pytest.skip(f"no {name}: install Debian's package of it")
        return found

    return find


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """The machines; this process is on that of the API server meanwhile."""
    require_namespaces()
    with Namespace.open("/proc/thread-self/ns/net") as home, Segment.of(MACHINES) as segment:
        segment.machines[API].network.enter()
        try:
            yield segment
        finally:
            home.enter()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(segment: Segment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestCluster]:
    """A cluster of two nodes before the built-in API server, without agents."""
    async with before_the_emulator(segment, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(segment: Segment) -> Machine:
    """A machine that uses the addresses."""
    return segment.machines["client"]
