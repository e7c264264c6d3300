"""Three nodes, a client and an API server in network namespaces: watch an address move, and what that costs.

Needs root, or a system that allows unprivileged user namespaces. It touches nothing outside of its namespaces.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

import anyio


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the demo."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on stdout")
    parser.add_argument("--logs", action="store_true", help="show the agents' log lines, on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Play the demo; return 1 if an event ended without exactly one holder, or the system doesn't allow it."""
    from kubevip.net.segment import Segment, become_root

    with contextlib.ExitStack() as stack:
        try:
            become_root()
            from kubevip.demo.cluster import API, addresses

            segment = stack.enter_context(Segment.of(addresses(("node1", "node2", "node3"))))
        except OSError as error:
            print(
                f"kubevip demo: this system doesn't allow network namespaces ({error}). Run it as root, or allow"
                " unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1 on Debian,"
                " kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu",
                file=sys.stderr,
            )
            return 1
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubevip-demo-")))
        segment.machines[API].network.enter()
        return anyio.run(_play, segment, directory, arguments.json, arguments.logs)


async def _play(segment: "object", directory: Path, as_json: bool, logs: bool) -> int:
    from kubevip.demo.cluster import OPERATOR, Cluster
    from kubevip.demo.scenario import Story
    from kubevip.demo.screen import Screen
    from kubevip.net.segment import Segment

    assert isinstance(segment, Segment)
    screen = Screen(sys.stderr if as_json else sys.stdout)
    screen.say("three nodes, a client and an API server, in network namespaces on one bridge")
    log = sys.stderr.buffer if logs else None
    async with Cluster.open(segment, directory, log=log) as cluster:
        story = Story(cluster, OPERATOR["address"], screen.say)
        async with story.watching(), anyio.create_task_group() as tasks:
            tasks.start_soon(screen.follow, story)
            report = await story.tell()
            tasks.cancel_scope.cancel()
    screen.table(report)
    if as_json:
        print(json.dumps(report.to_json()))
    return 0 if report.well else 1
