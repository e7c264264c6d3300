"""Puts together what decides, for each Lease, whether this node holds its addresses: elections and what serves them."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial

import anyio.abc
import attrs

from kubevip.assembly import Parts
from kubevip.config import Settings
from kubevip.controllers.health import Health
from kubevip.heartbeat import Opinion
from kubevip.lease import Timing
from kubevip.model import LeaseKey
from kubevip.ports import LeaseStore
from kubevip.runtime.elector import Elector, ElectorStatistics, Follower
from kubevip.runtime.nodepulse import NodePulse
from kubevip.runtime.pulse import Pulse
from kubevip.runtime.reprieve import OnApiLoss, Reprieve
from kubevip.runtime.sender import PulseStatistics
from kubevip.runtime.supervise import supervised
from kubevip.runtime.unelected import Unelected
from kubevip.runtime.voice import Voice
from kubevip.safeguards import Safeguards

Campaign = Elector | Unelected


@attrs.define(eq=False)
class Campaigns:
    """The campaigns of one node, by Lease. *electors* are those that others take part in."""

    _settings: Settings
    _timing: Timing
    follower: Follower | None = None
    """Who is told of all elections in place of the keeper, and tells that."""
    electors: dict[LeaseKey, Elector] = attrs.field(factory=dict, init=False)
    _all: dict[LeaseKey, Campaign] = attrs.field(factory=dict, init=False)
    _pulses: dict[LeaseKey, Pulse | NodePulse] = attrs.field(factory=dict, init=False)
    _voices: dict[LeaseKey, Voice] = attrs.field(factory=dict, init=False)

    def __getitem__(self, lease: LeaseKey) -> Campaign:
        """Return the campaign for *lease*."""
        return self._all[lease]

    def __iter__(self) -> Iterator[LeaseKey]:
        return iter(self._all)

    def add(
        self,
        lease: LeaseKey,
        store: LeaseStore,
        parts: Parts,
        health: Health,
        safeguards: Safeguards,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        """Make the campaign for *lease*; whoever wants it runs it. What serves it runs in *tasks* from now on."""
        follower = self.follower or parts.keeper
        if self._elects(lease):
            self._all[lease] = self.electors[lease] = elector = self._elector(lease, store, parts, safeguards, tasks)
            health.watch(elector, hears=partial(self._heard, lease), voice=self._voices.get(lease))
        else:
            self._all[lease] = unelected = Unelected(lease, self._settings.node.name, self._timing, follower)
            if self._settings.control_plane.enable and lease == self._settings.control_plane.lease:
                health.gate(unelected)

    def join(self, elector: Elector, pulse: NodePulse | None = None) -> None:
        """Count *elector* among the campaigns, as long as it campaigns, and its *pulse* among the heartbeats."""
        self._all[elector.lease] = self.electors[elector.lease] = elector
        if pulse is not None:
            self._pulses[elector.lease] = pulse

    def leave(self, lease: LeaseKey) -> None:
        """Count the campaign for *lease* no more: it has ended."""
        self._all.pop(lease, None)
        self.electors.pop(lease, None)

    def _elects(self, lease: LeaseKey) -> bool:
        """Tell whether addresses have one holder.

        By routes every node announces; by BGP too, but for a control plane that elects.
        """
        settings = self._settings
        if settings.routing_table.enable:
            return False
        if not settings.bgp.enable:
            return True
        return settings.election.enabled and settings.control_plane.enable and lease == settings.control_plane.lease

    def _elector(
        self, lease: LeaseKey, store: LeaseStore, parts: Parts, safeguards: Safeguards, tasks: anyio.abc.TaskGroup
    ) -> Elector:
        """Make the elector of a Lease, with heartbeats and a reprieve where they are asked for, and are of use."""
        node, election = self._settings.node.name, self._settings.election
        follower = self.follower or parts.keeper
        if self._settings.bgp.enable:
            return Elector(lease, node, self._timing, store, follower)
        manner, governed = OnApiLoss(election.on_api_loss), parts.keeper.governed_by
        if election.failover == "off":
            elector = Elector(lease, node, self._timing, store, follower)
            opinion, self._voices[lease] = _no_opinion, Voice()
        else:
            holds_on = manner is OnApiLoss.HOLD
            pulse = Pulse(parts.host, follower, parts.announcers, governed, election.heartbeat, holds_on)
            pulse.witnesses = safeguards.company(partial(governed, lease), tasks)
            elector = Elector(lease, node, self._timing, store, pulse)
            pulse.attach(elector)
            self._pulses[lease] = pulse
            tasks.start_soon(supervised, "sending heartbeats", pulse.run)
            opinion, self._voices[lease] = pulse.opinion, pulse.voice
        voice = self._voices[lease]
        reprieve = Reprieve(elector, manner, parts.announcers, parts.links.get, governed, opinion, voice)
        if manner is not OnApiLoss.FENCE:
            tasks.start_soon(supervised, "holding on", reprieve.run)
        return elector

    def _heard(self, lease: LeaseKey) -> Collection[str] | None:
        pulse = self._pulses.get(lease)
        return pulse.statistics().hears if pulse else None

    async def resign(self, parts: Parts) -> None:
        """Release all Leases at once, and wait until each address is let go of, when its successor is seen."""
        parts.keeper.expect_successor(*self._all)
        for campaign in tuple(self._all.values()):
            campaign.resign()
        async with anyio.create_task_group() as tasks:
            for campaign in tuple(self._all.values()):
                tasks.start_soon(campaign.wait_ended)
            tasks.start_soon(parts.keeper.wait_released)

    @property
    def unelected(self) -> bool:
        """Whether there are addresses that every node holds."""
        return len(self._all) > len(self.electors)

    def statistics(self) -> tuple[ElectorStatistics, ...]:
        """Return a snapshot of each election."""
        return tuple(elector.statistics() for elector in self.electors.values())

    def pulses(self) -> Mapping[LeaseKey, PulseStatistics]:
        """Return a snapshot of the heartbeats for each Lease."""
        return {lease: pulse.statistics() for lease, pulse in self._pulses.items()}


def _no_opinion() -> Opinion:
    """Nobody is heard who could have one."""
    return Opinion.UNKNOWN
