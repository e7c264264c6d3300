"""What a lost holder costs, kubevip beside keepalived: the same nodes, the same client, the same events, in one run.

``python tests/bench/contest.py [--runs N] [--only "NAME;..."] [--events "NAME;..."] [--json FILE] [--svg FILE]``; see
``make bench-failover``. keepalived takes part where it is installed.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
from cluster import begin, on_cluster, progress
from outages import Outages, as_json, summary, table
from picture import bars

from kubevip.demo.cluster import OPERATOR, Cluster
from kubevip.demo.record import PATIENCE, HolderRecord, Outcome, ProbeRecord, only, outcome
from kubevip.demo.watch import recording, watch_holders

VIP = "172.31.0.99"
# How long anything may take, and how long is watched after it.
BOUND, AFTERMATH = 20.0, 1.2
CONFIG = """\
global_defs {{
    vrrp_version 3
    vrrp_garp_master_refresh 10
}}
vrrp_instance one {{
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int {interval}
    virtual_ipaddress {{
        {address}/32
    }}
}}
"""


@attrs.define(eq=False)
class Kubevip:
    """Agents with some settings beside the operator's."""

    name: str
    extra: Mapping[str, str]
    cluster: Cluster = attrs.field(init=False)

    def start(self, node: str) -> None:
        self.cluster.start_agent(node, extra=self.extra)

    def tell(self, node: str, number: signal.Signals) -> None:
        self.cluster.agents[node].tell(number)

    async def wait(self, node: str) -> None:
        await self.cluster.agents[node].wait()


@attrs.define(eq=False)
class Keepalived:
    """keepalived with some advertisement interval, in seconds."""

    name: str
    interval: str
    cluster: Cluster = attrs.field(init=False)
    _running: "dict[str, subprocess.Popen[bytes]]" = attrs.field(factory=dict)

    def start(self, node: str) -> None:
        program = find_keepalived()
        assert program is not None
        directory = self.cluster._directory / f"{self.name}-{node}".replace(" ", "-")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        config = directory / "keepalived.conf"
        priority = 100 - self.cluster.nodes.index(node)
        config.write_text(CONFIG.format(priority=priority, interval=self.interval, address=VIP))
        command = [program, "--dont-fork", "--vrrp", "--log-console", "--use-file", str(config)]
        for kind in ("pid", "vrrp_pid"):
            command += [f"--{kind}", str(directory / kind)]
        with (directory / "log").open("wb") as log, self.cluster.segment.machines[node].entered():
            # A group of its own: it has a child that does the work.
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.cluster._processes.append(process)
        self._running[node] = process

    def tell(self, node: str, number: signal.Signals) -> None:
        os.killpg(self._running[node].pid, number)

    async def wait(self, node: str) -> None:
        await anyio.to_thread.run_sync(self._running[node].wait)
        # What it left on the link is taken away, as by whoever cleans up.
        with self.cluster.segment.machines[node].entered():
            subprocess.run(["ip", "addr", "del", f"{VIP}/32", "dev", "eth0"], capture_output=True, check=False)


def find_keepalived() -> str | None:
    return shutil.which("keepalived", path="/usr/sbin:/usr/bin:/sbin:/bin")


Contestant = Kubevip | Keepalived
CONTESTANTS: list[Contestant] = [
    Kubevip("kubevip", {}),
    Kubevip("kubevip, 100 ms", {"vip_failover": "fast", "vip_heartbeat": "100"}),
    Kubevip("kubevip, 10 ms", {"vip_failover": "fast", "vip_heartbeat": "10"}),
    Keepalived("keepalived, 1 s", "1"),
    Keepalived("keepalived, 0.1 s", "0.1"),
    Keepalived("keepalived, 0.01 s", "0.01"),
]


# Events: what happens to the holder, and what sets it right again.


async def unplug(contest: "Contest", node: str) -> None:
    await anyio.to_thread.run_sync(contest.cluster.segment.unplug, node)


async def plug(contest: "Contest", node: str) -> None:
    await anyio.to_thread.run_sync(contest.cluster.segment.plug, node)


async def planned(contest: "Contest", node: str) -> None:
    contest.contestant.tell(node, signal.SIGTERM)
    await contest.contestant.wait(node)


async def kill(contest: "Contest", node: str) -> None:
    contest.contestant.tell(node, signal.SIGKILL)


async def freeze(contest: "Contest", node: str) -> None:
    contest.contestant.tell(node, signal.SIGSTOP)


async def power_off(contest: "Contest", node: str) -> None:
    await unplug(contest, node)
    contest.contestant.tell(node, signal.SIGKILL)


async def partition(contest: "Contest", node: str) -> None:
    await unplug(contest, node)


async def flap(contest: "Contest", node: str) -> None:
    for _ in range(3):
        await unplug(contest, node)
        await anyio.sleep(0.05)
        await plug(contest, node)
        await anyio.sleep(0.15)


async def restart(contest: "Contest", node: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        contest.contestant.tell(node, signal.SIGKILL)
    await contest.contestant.wait(node)
    contest.contestant.start(node)


async def replug(contest: "Contest", node: str) -> None:
    await plug(contest, node)


async def replug_and_restart(contest: "Contest", node: str) -> None:
    # A machine without power has no address, and its link comes back empty.
    with contest.cluster.segment.machines[node].entered():
        subprocess.run(["ip", "addr", "del", f"{VIP}/32", "dev", "eth0"], capture_output=True, check=False)
    await plug(contest, node)
    await restart(contest, node)


Happening = Callable[["Contest", str], Awaitable[None]]
EVENTS: Mapping[str, tuple[Happening, Happening | None]] = {
    "planned": (planned, restart),
    "kill -9": (kill, restart),
    "SIGSTOP": (freeze, restart),
    "power-off": (power_off, replug_and_restart),
    "partition": (partition, replug),
    "flapping link": (flap, None),
}


@attrs.define(eq=False)
class Contest:
    """One contestant on the nodes."""

    contestant: Contestant
    cluster: Cluster
    events: tuple[str, ...] = tuple(EVENTS)
    holders: HolderRecord = attrs.field(init=False)
    probes: ProbeRecord = attrs.field(init=False)

    async def play(self, runs: int) -> dict[str, list[Outcome]]:
        """Play all events; return the outcomes of each."""
        self.contestant.cluster = self.cluster
        found: dict[str, list[Outcome]] = {}
        with (
            watch_holders(self.cluster.segment, self.cluster.nodes, ip_address(VIP), lambda: None) as self.holders,
            recording(self.cluster.start_probe(VIP)) as self.probes,
        ):
            for node in self.cluster.nodes:
                self.contestant.start(node)
            await self.settled()
            for name in self.events:
                happen, restore = EVENTS[name]
                found[name] = [await self.event(name, happen, restore) for _ in range(runs)]
                middle = statistics.median(each.gap_ms for each in found[name])
                two = statistics.median(each.two_holders_ms for each in found[name])
                progress(f"{self.contestant.name}: {name}: {middle:,.1f} ms, {two:,.1f} ms with two holders")
        return found

    async def settled(self) -> None:
        """Wait until one node has the address, the client hears it, and the others follow."""
        with anyio.move_on_after(BOUND):
            while not (only(self.holders.holders) and self.is_answered(time() - 0.05)):
                await anyio.sleep(0.01)
        await anyio.sleep(3)
        if not only(self.holders.holders):
            held = ", ".join(sorted(self.holders.holders)) or "nobody"
            raise RuntimeError(f"{self.contestant.name}: one node should hold {VIP} by now, and {held} does")

    def is_answered(self, since: float) -> bool:
        return self.probes.first_answer_after(since) is not None

    async def event(self, name: str, happen: Happening, restore: Happening | None) -> Outcome:
        source = only(self.holders.holders)
        start = time()
        await happen(self, source)
        # Over is what has an answer after all that happened; an address that never left had it all along.
        over = time()
        with anyio.move_on_after(BOUND):
            await anyio.sleep(0.3)
            while not (self.holders.holders and self.is_answered(over + 0.2)):
                await anyio.sleep(0.005)
            if name in ("kill -9", "SIGSTOP"):
                # keepalived's address stays where its process died; ours goes with its Lease.
                await anyio.sleep(max(0.0, start + 6 - time()))
        if restore is not None and name == "partition":
            await anyio.sleep(1.5)
            await restore(self, source)
        await anyio.sleep(AFTERMATH + PATIENCE)
        result = outcome(name, self.probes, self.holders, start=start, end=time(), source=source)
        if restore is not None and name != "partition":
            await restore(self, source)
        await self.settled()
        return result


def time() -> float:
    return asyncio.get_running_loop().time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="names of contestants, separated by semicolons")
    parser.add_argument("--events", default="", help="names of events, separated by semicolons")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    names = [each.name for each in CONTESTANTS]
    only, events = _named(parser, arguments.only, names), tuple(_named(parser, arguments.events, EVENTS))
    begin()
    chosen = [each for each in CONTESTANTS if each.name in only]
    if find_keepalived() is None:
        print("keepalived isn't installed, and takes no part", file=sys.stderr)
        chosen = [each for each in chosen if isinstance(each, Kubevip)]
    results: dict[str, dict[str, Outages]] = {}
    for contestant in chosen:

        def play(cluster: Cluster, contestant: Contestant = contestant) -> Awaitable[dict[str, list[Outcome]]]:
            return Contest(contestant, cluster, events).play(arguments.runs)

        environment = {**OPERATOR, "address": VIP, "svc_enable": "false"}
        results[contestant.name] = summary(on_cluster(play, environment=environment))
    print(table(results, events))
    if arguments.json:
        arguments.json.write_text(as_json(results))
    if arguments.svg:
        arguments.svg.write_text(bars(results, events))


def _named(parser: argparse.ArgumentParser, text: str, known: Collection[str]) -> list[str]:
    """Return those of *known* that *text* names, or all."""
    said = text.split(";") if text else list(known)
    if unknown := set(said) - set(known):
        parser.error(f"there is no {'; '.join(sorted(unknown))}; there are {'; '.join(known)}")
    return [each for each in known if each in said]


if __name__ == "__main__":
    main()
