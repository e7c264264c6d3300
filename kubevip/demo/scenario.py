"""The demo's story: the control plane's address, a Service that shares it, and three ways to lose its holder."""

import asyncio
import itertools
import signal
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.to_thread
import attrs

from kubevip.demo.cluster import Cluster
from kubevip.demo.record import PATIENCE, HolderRecord, Outcome, ProbeRecord, only, outcome
from kubevip.demo.watch import recording, watch_holders
from kubevip.model import LeaseKey, ServiceKey

CONTROL_PLANE_LEASE = LeaseKey("kube-system", "plndr-cp-lock")
SERVICES_LEASE = LeaseKey("kube-system", "plndr-svcs-lock")
PROVIDER_LEASE = LeaseKey("kube-system", "kube-vip-cloud-controller")
SERVICE = ServiceKey("default", "web")
# How long anything may take, in seconds; after an expired Lease of 5 s there is some left.
BOUND = 15.0
# How long is watched after an event is over.
AFTERMATH = 0.5


@attrs.frozen(kw_only=True)
class Report:
    """What the demo has measured; times in milliseconds."""

    address: str
    assigned_ms: float
    reachable_ms: float
    service_holder: str
    control_plane_holder: str
    events: tuple[Outcome, ...]
    startup_ms: float
    rss_mib: float

    @property
    def well(self) -> bool:
        """True where each event ended with exactly one holder."""
        return all(event.target for event in self.events)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``demo --json`` prints."""
        return {
            "service": {
                "address": self.address,
                "holder": self.service_holder,
                "assigned_ms": self.assigned_ms,
                "reachable_ms": self.reachable_ms,
            },
            "control_plane": {"address": self.address, "holder": self.control_plane_holder},
            "events": [event.to_json() for event in self.events],
            "startup_ms": self.startup_ms,
            "rss_mib": self.rss_mib,
        }


@attrs.define(eq=False)
class Story:
    """Tells the story on a running cluster. *say* is given a sentence at each turn.

    *began* is when the last event was made to happen.
    """

    cluster: Cluster
    address: str
    say: Callable[[str], None]
    probes: ProbeRecord = attrs.field(init=False)
    holders: HolderRecord = attrs.field(init=False)
    began: float = attrs.field(default=0.0, init=False)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Probe the address and follow its holders."""
        cluster = self.cluster
        with (
            watch_holders(cluster.segment, cluster.nodes, ip_address(self.address), lambda: None) as self.holders,
            recording(cluster.start_probe(self.address)) as self.probes,
        ):
            yield

    async def tell(self) -> Report:
        """Play all of it."""
        startup = await self._start()
        memory = statistics.median(agent.rss_mib for agent in self.cluster.agents.values())
        assigned, reachable = await self._serve()
        service_holder = self._announcing_node()
        events = tuple([await event() for event in (self.planned, self.kill, self.power_off)])
        return Report(
            address=self.address,
            assigned_ms=_milliseconds(assigned),
            reachable_ms=_milliseconds(reachable),
            service_holder=service_holder,
            control_plane_holder=self.cluster.holder(CONTROL_PLANE_LEASE),
            events=events,
            startup_ms=_milliseconds(startup),
            rss_mib=round(memory, 1),
        )

    async def _start(self) -> float:
        cluster = self.cluster
        first = cluster.start_agent(cluster.nodes[0])
        await self.wait(lambda: cluster.stored("leases", CONTROL_PLANE_LEASE) is not None)
        startup = _now() - first.started
        for node in cluster.nodes[1:]:
            cluster.start_agent(node)
        cluster.start_provider()
        leases = (SERVICES_LEASE, PROVIDER_LEASE)
        await self.wait(lambda: only(self.holders.holders) != "" and all(map(cluster.holder, leases)))
        # All agents are to be idle when their memory is measured, and to follow when their leader goes.
        await anyio.sleep(1.5)
        holder = only(self.holders.holders)
        self.say(f"{holder} holds the control plane's address {self.address}, {_ms(startup)} after its start")
        return startup

    async def _serve(self) -> tuple[float, float]:
        cluster = self.cluster
        created = _now()
        await cluster.create_service(SERVICE.name)
        await self.wait(lambda: self._announcing_node() != "")
        assigned = _now() - created
        await self.wait(lambda: self.probes.first_answer_after(created + assigned) is not None)
        reachable = (self.probes.first_answer_after(created + assigned) or _now()) - created
        self.say(
            f"Service {SERVICE} gets the address too, from the pool: status after {_ms(assigned)}, "
            f"reached after {_ms(reachable)}, on {self._announcing_node()}"
        )
        return assigned, reachable

    def _announcing_node(self) -> str:
        service = self.cluster.stored("services", SERVICE) or {}
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        published = [entry.get("ip") for entry in ingress] == [self.address]
        host = service.get("metadata", {}).get("annotations", {}).get("kube-vip.io/vipHost", "")
        return str(host) if published else ""

    # The events

    async def planned(self) -> Outcome:
        """Stop the holder's agent as the kubelet does, and start it again."""

        async def stop(holder: str) -> None:
            agent = self.cluster.agents[holder]
            agent.tell(signal.SIGTERM)
            code = await agent.wait()
            if code != 0:
                self.say(f"the agent of {holder} exited with {code}")

        return await self.event("planned", "planned stop of {0}: SIGTERM to its agent", stop)

    async def kill(self) -> Outcome:
        """Kill the holder's agent; its kernel lives on, with the address."""

        async def kill(holder: str) -> None:
            self.cluster.agents[holder].tell(signal.SIGKILL)

        return await self.event("kill", "kill -9 of the agent on {0}", kill)

    async def power_off(self) -> Outcome:
        """Pull the holder's cable and stop its agent at the same instant."""

        async def cut(holder: str) -> None:
            await anyio.to_thread.run_sync(self.cluster.segment.unplug, holder)
            self.cluster.agents[holder].tell(signal.SIGKILL)

        async def restore(holder: str) -> None:
            await anyio.to_thread.run_sync(self.cluster.segment.plug, holder)

        return await self.event("power-off", "power-off of {0}: its link gone, its process stopped", cut, restore)

    async def event(
        self,
        name: str,
        text: str,
        happen: Callable[[str], Awaitable[None]],
        restore: Callable[[str], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Let something happen to the holder, wait for another one, and bring back the agent that is gone."""
        source = only(self.holders.holders)
        self.say(text.format(source))
        self.began = start = _now()
        await happen(source)
        await self.wait(lambda: only(self.holders.holders) not in ("", source) and self._answered_by_another(source))
        await anyio.sleep(AFTERMATH + PATIENCE)
        result = self.sum_up(name, start, source)
        if restore is not None:
            await restore(source)
        agent = self.cluster.agents[source]
        if agent.process.poll() is None:
            agent.tell(signal.SIGKILL)
        await agent.wait()
        self.cluster.start_agent(source)
        await anyio.sleep(1.5)
        return result

    def sum_up(self, name: str, start: float, source: str) -> Outcome:
        """Sum up an event that began at *start* and is over, and say so."""
        result = outcome(name, self.probes, self.holders, start=start, end=_now(), source=source)
        self.say(
            f"{result.target or 'nobody'} holds it: {result.gap_ms:g} ms without an answer, "
            f"{result.lost} of {result.sent} probes lost, {result.two_holders_ms:g} ms with two holders"
        )
        return result

    def _answered_by_another(self, source: str) -> bool:
        answer = self.probes.last_answer()
        return answer is not None and self.cluster.nodes[answer[1]] != source

    async def wait(self, condition: Callable[[], bool], bound: float = BOUND) -> bool:
        """Wait until *condition* holds, at most *bound* seconds; tell whether it does."""
        with anyio.move_on_after(bound):
            for _ in itertools.count():
                if condition():
                    return True
                await anyio.sleep(0.001)
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
