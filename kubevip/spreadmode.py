"""Puts spread mode together: this node's own Lease, the view of all others, and what acts on them."""

from collections.abc import Mapping
from functools import partial

import anyio.abc
import attrs

from kubevip.assembly import Parts
from kubevip.campaigns import Campaigns
from kubevip.config import Settings
from kubevip.controllers.draining import Draining
from kubevip.controllers.health import Health
from kubevip.controllers.services import Services
from kubevip.controllers.spread import Spread
from kubevip.kube.leases import KubeLeases
from kubevip.kube.nodeleases import NodeLeases, SeenTwice
from kubevip.kube.records import Records
from kubevip.lease import Timing
from kubevip.model import IPAddress, LeaseKey
from kubevip.ports import Api, is_up
from kubevip.runtime.elector import Elector
from kubevip.runtime.nodefitness import NodeFitness
from kubevip.runtime.nodepulse import NodePulse
from kubevip.runtime.supervise import supervised
from kubevip.safeguards import Safeguards


@attrs.frozen
class SpreadMode:
    """One node's part in spread mode, and the watch that it sees the others by."""

    spread: Spread
    leases: NodeLeases
    common: SeenTwice
    """The Leases that nodes share, such as that of the control plane."""

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        client: Api,
        leases: KubeLeases,
        parts: Parts,
        timing: Timing,
        governing: Mapping[IPAddress, LeaseKey],
    ) -> "SpreadMode":
        """Make it; nothing runs yet."""
        nodes = NodeLeases(client, leases, settings.services_lease.namespace)
        spread = Spread(
            settings.node.name,
            parts.keeper,
            nodes,
            Records(client),
            timing,
            governing,
            weight=settings.services.weight,
            zone=settings.services.zone,
        )
        return cls(spread, nodes, SeenTwice(client, leases.wall, nodes=nodes))

    def campaign(
        self,
        settings: Settings,
        campaigns: Campaigns,
        health: Health,
        parts: Parts,
        safeguards: Safeguards,
        tasks: anyio.abc.TaskGroup,
    ) -> LeaseKey:
        """Make the election for this node's Lease; return that Lease. What serves it runs in *tasks* from now on."""
        spread, lease = self.spread, self.spread.lease_of_node
        pulse = self._pulse(settings, parts) if settings.election.failover == "fast" else None
        elector = Elector(
            lease, spread.node, spread.timing, self.leases, pulse or spread, word=spread.word, seen=spread.look
        )
        if pulse is not None and spread.fleet is not None:
            pulse.attach(elector, safeguards.company(spread.fleet.places, tasks))
            tasks.start_soon(supervised, "sending heartbeats of the node", pulse.run)
        fitness = self._fitness(settings, parts, elector, pulse)
        spread.election, spread.unfit = elector, lambda: fitness.why
        spread.networks = lambda: parts.links.subnets(but=fitness.dead)
        health.watch_node(lease, fitness)
        campaigns.join(elector, pulse)
        return lease

    def _fitness(self, settings: Settings, parts: Parts, elector: Elector, pulse: NodePulse | None) -> NodeFitness:
        fleet, needs_link = self.spread.fleet, not settings.node.allow_interface_not_up
        carries = partial(is_up, parts.links)
        if pulse is None or fleet is None:
            return NodeFitness(parts.keeper, elector, carries, needs_link=needs_link)
        return NodeFitness(parts.keeper, elector, carries, lambda: fleet.links, pulse.voice, needs_link)

    def _pulse(self, settings: Settings, parts: Parts) -> NodePulse:
        fleet, interval = self.spread.open_fleet(), settings.election.heartbeat
        return NodePulse(parts.host, self.spread, parts.announcers, fleet, self.leases.of, interval)

    def start(self, services: Services, tasks: anyio.abc.TaskGroup) -> None:
        """Let it act, on what *services* knows."""
        self.spread.endpoints_of = services.endpoints_of
        tasks.start_soon(supervised, "spreading Services", self.spread.run)

    async def drain(self, linger: float) -> None:
        """Hand over what others can have, before this node's Lease is let go of; see ``Draining``."""
        await Draining(self.spread, linger).run()
