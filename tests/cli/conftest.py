"""What the tests of the commands share: processes, a machine for agents, and the API server's machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from kubevip.demo.cluster import API, addresses
from kubevip.net.netns import Namespace
from kubevip.net.segment import Machine, Segment
from tests.cli.processes import Starter
from tests.kernel import pytest_collection_finish, require_namespaces

__all__ = ["pytest_collection_finish"]

NODE = "node1"


@pytest.fixture(autouse=True)
def tests_may_block(nothing_blocks_the_loop: BlockBuster) -> None:
    """The loop of these tests is theirs alone: what they test runs in other processes."""
    nothing_blocks_the_loop.deactivate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Return what starts commands."""
    with Starter.ending(tmp_path) as starter:
        yield starter


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """A node and the API server's machine, on which this process is meanwhile."""
    require_namespaces()
    with Namespace.open("/proc/thread-self/ns/net") as home, Segment.of(addresses((NODE,))) as segment:
        segment.machines[API].network.enter()
        try:
            yield segment
        finally:
            home.enter()


@pytest.fixture
def node(segment: Segment) -> Machine:
    """The machine that agents run on, at 172.31.0.1."""
    return segment.machines[NODE]
