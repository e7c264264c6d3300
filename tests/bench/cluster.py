"""A cluster in namespaces for one measurement, and the loop around it."""

import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import anyio

from kubevip.demo.cluster import API, OPERATOR, Cluster, addresses
from kubevip.net.segment import Segment, become_root

Result = TypeVar("Result")
NODES = ("node1", "node2", "node3")


def on_cluster(
    measure: Callable[[Cluster], Awaitable[Result]],
    *,
    nodes: tuple[str, ...] = NODES,
    environment: Mapping[str, str] = OPERATOR,
) -> Result:
    """Run *measure* on a cluster of its own."""

    async def main() -> Result:
        async with Cluster.open(segment, Path(directory), environment=environment) as cluster:
            return await measure(cluster)

    with (
        Segment.of(addresses(nodes)) as segment,
        tempfile.TemporaryDirectory(prefix="kubevip-bench-") as directory,
        segment.machines[API].entered(),
    ):
        return anyio.run(main)


def begin() -> None:
    """Get ready to make clusters."""
    become_root()


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(f"  {text}", file=sys.stderr, flush=True)
