"""Thousands of Services, and a fleet of agents on one API server: its start, its rest, churn, a rolling restart.

``python tests/bench/scale.py [--quick] [--real] [--mode common|service|spread] [--agents N] [--services N] ...``.
Every agent is a process on a machine of its own; lags are from the sending of a write to the frame at the client, or
to the kernel's word that the address is gone. Five to eight minutes; ``--quick`` takes one.
"""

import asyncio
import contextlib
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import attrs
from cluster import progress
from figures import Figure, hand_over, spread
from scale_api import WRITES, Api, ApiServer, built_in, real
from scale_churn import Churn
from scale_fleet import Fleet, cpu_seconds, echoing, probing, rss_mib, until
from scale_objects import address_of, cluster, others, service, slice_
from scale_observers import Renewals, Sightings, packed, renewals, sighting
from scale_plan import MODES, TIMES, Plan, parse

from kubevip.demo.cluster import API, OPERATOR, addresses
from kubevip.net.segment import Segment, become_root

KIBI = 1024
# With fewer Services, what else a process takes hides what they take.
MANY = 2000
# A renewal is missed when a Lease was not renewed for so many periods.
LATE = 2
STARTS_WITHIN, SETTLES_WITHIN = 240.0, 300.0


@attrs.define(eq=False)
class Bench:
    """One run."""

    plan: Plan
    server: ApiServer
    fleet: Fleet
    api: Api
    sightings: Sightings
    leases: Renewals
    figures: list[Figure] = attrs.field(factory=list, init=False)
    _alive: list[int] = attrs.field(factory=list, init=False)
    _addresses: dict[int, str] = attrs.field(factory=dict, init=False)
    _spare: int = attrs.field(default=0, init=False)
    _baseline: float = attrs.field(default=0.0, init=False)

    def tell(self, what: str, asked: str, measured: str) -> None:
        """Note a figure."""
        self.figures.append(Figure(f"{self.plan.mode}: {what}", asked, measured))
        progress(f"{what}: {measured}")

    async def run(self) -> None:
        """Measure all parts that are asked for."""
        plan = self.plan
        if "one" in plan.parts:
            await self.one()
        began = time.monotonic()
        made = await self.api.create_all(cluster(range(1, plan.services + 1), self.fleet.nodes))
        self._alive, self._spare = list(range(1, plan.services + 1)), plan.services + 1
        progress(f"{made:,} objects made in {time.monotonic() - began:.0f} s")
        steps = {
            "first": self.first,
            "fleet": self.all_others,
            "rest": self.rest,
            "create": self.create,
            "churn": self.churn,
            "restart": self.restart,
            "cold": self.cold,
            "others": self.unconcerned,
        }
        for name, step in steps.items():
            if name in plan.parts:
                try:
                    await step()
                except Exception as error:
                    # What can't be measured on a busy machine must not cost all the rest.
                    self.tell(f"{name}: not measured", "", repr(error))

    # Parts

    async def one(self) -> None:
        """Measure a fleet with a single Service, to compare with, and the memory of an agent that knows nothing."""
        await self.api.create_all(cluster([0], self.fleet.nodes))
        await self.fleet.start_all(self.fleet.nodes, STARTS_WITHIN)
        await self._announced(1)
        await self._quiet()
        await asyncio.sleep(3)
        self._baseline = statistics.median(rss_mib(agent.pid) for agent in self.fleet.agents.values())
        await self._steady("1 Service")
        await self.fleet.stop(self.fleet.nodes)

    async def first(self) -> None:
        """Start one agent alone."""
        count = self.plan.services
        self.sightings.forget()
        node = self.fleet.nodes[0]
        began = time.monotonic()
        took = await self.fleet.start_all([node], STARTS_WITHIN)
        agent = self.fleet.agents[node]
        cpu = cpu_seconds(agent.pid)
        await self._announced(count)
        announced = time.monotonic() - began
        await self._quiet()
        self.tell(
            f"one agent alone with {count:,} Services: process start to all known, all announced, all published",
            "",
            f"{took:.1f} s, {announced:.1f} s, {time.monotonic() - began:.1f} s (CPU until known {cpu:.1f} s)",
        )

    async def all_others(self) -> None:
        """Start the others at once."""
        if self.plan.mode == "spread":
            # What one node holds alone it keeps: nothing moves without need.
            await self.fleet.stop(tuple(self.fleet.agents))
        nodes = [node for node in self.fleet.nodes if node not in self.fleet.agents]
        cpu = self._server_cpu()
        took = await self.fleet.start_all(nodes, STARTS_WITHIN)
        await self._announced(self.plan.services)
        await self._quiet()
        used = self._server_cpu() - cpu
        self.tell(f"{len(nodes)} more agents started at once: until all know the Services", "", f"{took:.1f} s")
        self.tell("the same: CPU of the API server", "", f"{used:.1f} s")
        await asyncio.sleep(5)
        self.tell("the same: addresses of a node", "", spread(self._loads(), "", 0))
        memory = [rss_mib(agent.pid) for agent in self.fleet.agents.values()]
        self.tell("RSS of an agent", "", spread(memory, "MiB", 1))
        if self._baseline and self.plan.services >= MANY:
            each = [(rss - self._baseline) * KIBI / self.plan.services for rss in memory]
            self.tell("the same, above that of an agent with 1 Service: a Service", "<= 6 KiB", spread(each, "KiB", 1))

    async def rest(self) -> None:
        """Measure what a fleet costs while nothing happens."""
        await self._steady(f"{self.plan.services:,} Services")

    async def create(self) -> None:
        """Create Services one by one."""
        lags = []
        for _ in range(self.plan.created):
            number, self._spare = self._spare, self._spare + 1
            for which in "ab":
                await self.api.create(slice_(number, which, self.fleet.nodes))
            await asyncio.sleep(0.7)
            key = packed(address_of(number))
            self.sightings.announced.pop(key, None)
            began = time.monotonic()
            await self.api.create(service(number))
            await until(partial(self.sightings.was_announced, key), 30, "a Service", every=0.01)
            lags.append(1000 * (self.sightings.announced[key] - began))
            self._alive.append(number)
        what = f"one Service created while {self.plan.services:,} exist: to the first frame"
        self.tell(what, "<= 250 ms", spread(lags, "ms"))

    async def churn(self) -> None:
        """Change things all the time."""
        self.leases.forget()
        churn = Churn(self.api, self.sightings, self.fleet.nodes, self._alive, self._spare, self._addresses)
        async with self._measured() as seen:
            rate = await churn.run(self.plan.churn)
        self._spare = churn.spare
        what = f"churn of {rate:.0f} writes/s for {self.plan.churn:.0f} s"
        for kind, lags in sorted(churn.lags.items()):
            ordered = sorted(1000 * lag for lag in lags)
            late = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
            texts = f"{statistics.median(ordered):,.0f} / {late:,.0f} / {ordered[-1]:,.0f} ms (n={len(ordered)})"
            self.tell(f"{what}: {kind}, p50 / p99 / max", "", texts)
        self.tell(f"{what}: effects that were not seen", "0", f"{len(churn.missing)} {' '.join(churn.missing[:3])}")
        late_ones = self.leases.late(LATE * float(self.plan.times[-1]))
        self.tell(
            f"{what}: Leases with a missed renewal; that changed hands",
            "0; 0",
            f"{len(late_ones)}; {self.leases.changes}",
        )
        self._tell_costs(what, seen)

    async def restart(self) -> None:
        """Restart the agents, a few at a time, as a DaemonSet does."""
        numbers = self._alive[:: max(1, len(self._alive) // 20)][:20]
        sample = [self._addresses.get(number, address_of(number)) for number in numbers]
        self.sightings.forget()
        self.leases.forget()
        nodes, width = self.fleet.nodes, self.plan.width
        began = time.monotonic()
        async with self._measured() as seen, probing(self.fleet.segment, sample, 0.02) as found:
            for at in range(0, len(nodes), width):
                await self.fleet.stop(nodes[at : at + width])
                await self.fleet.start_all(nodes[at : at + width], STARTS_WITHIN)
            took = time.monotonic() - began
            await asyncio.sleep(3)
        what = f"rolling restart, {width} at a time"
        self.tell(what, "", f"{took:.0f} s")
        silences = [1000 * each for each in found.silences.values()]
        self.tell(f"{what}: longest silence of an address, sample of {len(sample)}", "", spread(silences, "ms"))
        lost = sum(found.lost.values())
        self.tell(f"{what}: probes lost", "", f"{lost:,} of {found.sent * len(sample):,}")
        shared = sorted(self.sightings.shared.values())
        longest = f"{len(shared):,} addresses, {1000 * shared[-1]:,.0f} ms at most" if shared else "none"
        self.tell(f"{what}: on two links while handed over (make before break)", "", longest)
        self._tell_costs(what, seen)

    async def cold(self) -> None:
        """Start the whole fleet at once, after all of it was gone."""
        await self.fleet.stop(self.fleet.nodes, signal.SIGKILL)
        await until(lambda: self.sightings.held == 0, 60, "the kernels remove what nobody renews")
        self.sightings.forget()
        cpu = self._server_cpu()
        began = time.monotonic()
        took = await self.fleet.start_all(self.fleet.nodes, STARTS_WITHIN)
        await self._announced(len(self._alive))
        announced = time.monotonic() - began
        self.tell(
            f"cold start of {self.plan.agents} agents at once: all know {len(self._alive):,} Services, all announced",
            "",
            f"{took:.1f} s, {announced:.1f} s (CPU of the API server {self._server_cpu() - cpu:.1f} s)",
        )
        memory = [rss_mib(pid) for pid in self.server.pids.values()]
        self.tell(f"RSS of the API server ({self.server.name})", "", f"{sum(memory):,.0f} MiB")

    async def unconcerned(self) -> None:
        """Measure what Services cost that are no load balancers."""
        await self.fleet.stop(tuple(self.fleet.agents))
        before = await self._alone()
        await self.api.create_all(others(self.plan.others, 2, self.fleet.nodes))
        after = await self._alone()
        self.tell(
            f"one agent alone: {self.plan.others:,} ClusterIP Services with two slices each, beside all that is there",
            "next to nothing",
            f"+{(after[0] - before[0]) * KIBI / self.plan.others:.2f} KiB each, "
            f"+{after[1] - before[1]:.2f} s CPU at the start (of {after[1]:.1f})",
        )

    # What they have in common

    async def _alone(self) -> tuple[float, float]:
        node = self.fleet.nodes[0]
        await self.fleet.start_all([node], STARTS_WITHIN)
        pid = self.fleet.agents[node].pid
        cpu = cpu_seconds(pid)
        await self._announced(len(self._alive))
        await asyncio.sleep(3)
        rss = rss_mib(pid)
        await self.fleet.stop([node], signal.SIGKILL)
        await until(lambda: self.sightings.held == 0, 60, "the kernel removes what nobody renews")
        return rss, cpu

    def _loads(self) -> list[int]:
        found = Counter(node for nodes in self.sightings.holders.values() for node in nodes)
        return [found[node] for node in self.fleet.nodes]

    async def _announced(self, count: int) -> None:
        await until(lambda: self.sightings.held >= count, SETTLES_WITHIN, f"{count:,} addresses on links")

    async def _quiet(self) -> None:
        """Wait until nothing is published any more."""
        before = (await self.api.tally())["PUT", "services/status"]
        async with asyncio.timeout(SETTLES_WITHIN):
            while True:
                await asyncio.sleep(2)
                now = (await self.api.tally())["PUT", "services/status"]
                if now == before:
                    return
                before = now

    def _server_cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.server.pids.values())

    async def _steady(self, what: str) -> None:
        async with self._measured() as seen:
            await asyncio.sleep(self.plan.rest)
        agents, asked = self.plan.agents, "<= 1 a node" if self.plan.mode == "spread" else ""
        writes, requests = seen.writes / seen.seconds, seen.requests / seen.seconds
        self.tell(
            f"at rest, {what} on {agents} nodes: API writes a second, a node",
            asked,
            f"{writes:.1f} /s, {writes / agents:.2f} a node",
        )
        self.tell(f"at rest, {what}: all API requests", "", f"{requests:.1f} /s")
        self._tell_costs(f"at rest, {what}", seen)

    def _tell_costs(self, what: str, seen: "Cost") -> None:
        agents = seen.agents
        if agents:
            usual, most, total = statistics.median(agents), max(agents), sum(agents)
            self.tell(
                f"{what}: CPU of an agent; of all; of the API server",
                "",
                f"{usual:.1f} % (max {most:.1f}); {total:.0f} %; {seen.server:.0f} %",
            )
        top = ", ".join(f"{verb} {resource} {count:,}" for (verb, resource), count in seen.counts.most_common(6))
        self.tell(f"{what}: API writes of agents in all; requests", "", f"{seen.writes:,}; {top}")

    @contextlib.asynccontextmanager
    async def _measured(self) -> AsyncIterator["Cost"]:
        cost = Cost()
        pids = {agent.pid: cpu_seconds(agent.pid) for agent in self.fleet.agents.values()}
        before, written, server, began = await self.api.tally(), self.api.written, self._server_cpu(), time.monotonic()
        yield cost
        cost.seconds = time.monotonic() - began
        cost.counts = (await self.api.tally()) - before
        cost.counts.pop(("GET", ""), None)
        cost.requests = sum(cost.counts.values())
        cost.writes = sum(count for (verb, _), count in cost.counts.items() if verb in WRITES)
        cost.writes -= self.api.written - written
        cost.server = 100 * (self._server_cpu() - server) / cost.seconds
        still = [agent.pid for agent in self.fleet.agents.values() if agent.pid in pids]
        cost.agents = [100 * (cpu_seconds(pid) - pids[pid]) / cost.seconds for pid in still]


@attrs.define
class Cost:
    """What a span of time has cost: requests, writes of agents, and processor time in per cent of one."""

    seconds: float = 0.0
    requests: int = 0
    writes: int = 0
    counts: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    agents: list[float] = attrs.field(factory=list)
    server: float = 0.0


async def measure(plan: Plan, server: ApiServer, segment: Segment, directory: Path) -> list[Figure]:
    """Run all parts against *server*."""
    nodes = tuple(name for name in segment.machines if name.startswith("node"))
    environment = {**OPERATOR, **dict(zip(TIMES, plan.times, strict=True)), "cp_enable": "false", **MODES[plan.mode]}
    for name in ("address", "vip_cidr", "vipSubnet"):
        environment.pop(name)
    fleet = Fleet(segment, nodes, server, directory, environment)
    async with Api.open(server) as api:
        if "etcd" in server.pids:
            await api.grant()
        async with renewals(api) as leases:
            with sighting(segment, nodes) as sightings, echoing(segment, nodes), fleet.ending():
                bench = Bench(plan, server, fleet, api, sightings, leases)
                try:
                    await bench.run()
                finally:
                    for text, count in sorted(fleet.complaints().items(), key=lambda each: -each[1])[:10]:
                        progress(f"logged {count:,} times: {text}")
                    if sightings.overruns:
                        progress(f"events lost by the observer: {sightings.overruns}")
                return bench.figures


def main() -> None:
    """Measure, and hand over the figures."""
    plan, on_real, logs = parse(__doc__)
    become_root()
    nodes = [f"node{number:02}" for number in range(1, plan.agents + 1)]
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(Segment.of(addresses(nodes)))
        directory = logs or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubevip-bench-")))
        directory.mkdir(exist_ok=True)
        stack.enter_context(segment.machines[API].entered())
        server = stack.enter_context(real(directory) if on_real else built_in(directory))
        times = "/".join(plan.times)
        progress(f"{plan.agents} agents, {plan.services:,} Services, {plan.mode}, {times} s, API server {server.name}")
        hand_over(asyncio.run(measure(plan, server, segment, directory)))


if __name__ == "__main__":
    main()
