"""What gates the elections of an agent, put together from its settings: checks, links, the Node, preference."""

from collections.abc import Callable, Collection, Mapping, Sequence

import anyio
import attrs

from kubevip.config import Settings
from kubevip.eligibility import Eligibility, Ground, Pauses, Streak
from kubevip.kube.cordon import SchedulableNode, watch_cordon
from kubevip.kube.reflector import Reflector
from kubevip.lease import Timing
from kubevip.model import LeaseKey
from kubevip.ports import Api, Asking, Links
from kubevip.runtime.checking import Check, CheckStatistics, Probe, Web
from kubevip.runtime.elector import Elector
from kubevip.runtime.fitness import Fitness, FitnessStatistics
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import supervised
from kubevip.runtime.unelected import Unelected

# What the check of this node's own API server is called.
OWN_SERVER = "control-plane"


@attrs.frozen
class HealthStatistics:
    """A snapshot: the fitness of this node by Lease, and its checks."""

    fitness: Mapping[LeaseKey, FitnessStatistics]
    checks: Sequence[CheckStatistics]


@attrs.define(eq=False)
class Health:
    """Gates the elections that it is given by ``watch``, while ``run()`` goes on. *probes* are its checks, by name."""

    _settings: Settings
    _client: Api
    _asking: Asking
    _keeper: Keeper
    _links: Links
    _timing: Timing
    _probes: Mapping[str, Probe]

    _fitness: dict[LeaseKey, Fitness] = attrs.field(factory=dict, init=False)
    _checks: list[Check] = attrs.field(factory=list, init=False)
    _own_server: Check | None = attrs.field(default=None, init=False)
    _node: Reflector[SchedulableNode] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        fitness = self._settings.fitness
        for name, probe in self._probes.items():
            self._add_check(name, probe)
        if fitness.leave_cordoned:
            self._node = watch_cordon(self._client, self._settings.node.name, self._cordoned)

    def _add_check(self, name: str, probe: Probe) -> None:
        fitness = self._settings.fitness
        streak = Streak(fitness.rise, fitness.fall)
        self._checks.append(Check(name, probe, fitness.interval, fitness.timeout, streak, self._checked))

    def watch(self, elector: Elector, *, hears: Callable[[], Collection[str] | None] = lambda: None) -> None:
        """Gate the election of *elector*, before it runs. *hears* is what ``Fitness`` wants."""
        settings, election = self._settings.fitness, self._settings.election
        eligibility = Eligibility(
            elector.identity,
            Pauses.of(self._timing, election.linger),
            preferred=settings.preferred,
            last_resort=settings.last_resort,
            failback=settings.delay,
        )
        needs_link = not self._settings.node.allow_interface_not_up
        self._fitness[elector.lease] = Fitness(
            self._keeper, elector, self._asking, eligibility, hears=hears, needs_link=needs_link
        )
        if self._gates(elector.lease):
            for check in self._checks:
                eligibility.report(Ground.UNCHECKED, check.complaint, 0.0)

    def gate(self, campaign: Unelected) -> None:
        """Let *campaign*, before it runs, lead only while this node's own API server is healthy, if that is checked.

        As kube-vip does it: nothing before the first success, which is the status 200; one success is enough later.
        """
        wanted = self._settings.control_plane_health
        if not wanted.url:
            return

        def changed() -> None:
            if check.complaint is None:
                campaign.resume()
            else:
                campaign.suspend()

        probe = Web(wanted.url, healthy=(200,), verifies=True, authorities=wanted.ca)
        streak = Streak(rise=1, fall=wanted.failures)
        self._own_server = check = Check(OWN_SERVER, probe, wanted.period, wanted.timeout, streak, changed)
        campaign.suspend()

    def _gates(self, lease: LeaseKey) -> bool:
        """Tell whether the checks gate *lease*. One that governs both is gated by what is for either."""
        settings = self._settings
        gated = {
            "controlplane": [settings.control_plane.lease],
            "services": [settings.services_lease],
        }.get(settings.fitness.gates, [lease])
        return lease in gated

    def _checked(self) -> None:
        pending = [check.complaint for check in self._checks if not check.has_result]
        failing = [text for check in self._checks if check.has_result and (text := check.complaint) is not None]
        for lease, fitness in self._fitness.items():
            if self._gates(lease):
                fitness.report(Ground.CHECK, "; ".join(failing) if failing else None)
                fitness.report(Ground.UNCHECKED, pending[0] if pending else None)

    def _cordoned(self, cordoned: bool) -> None:
        for fitness in self._fitness.values():
            fitness.report(Ground.CORDONED, "" if cordoned else None)

    async def run(self) -> None:
        """Look at all of it until cancelled."""
        unsubscribe = self._links.subscribe(self._link_changed)
        try:
            async with anyio.create_task_group() as tasks:
                for check in self._all_checks():
                    tasks.start_soon(supervised, f"check {check.name}", check.run)
                for fitness in self._fitness.values():
                    tasks.start_soon(supervised, "looking after fitness", fitness.run)
                if self._node is not None:
                    tasks.start_soon(self._node.run)
        finally:
            unsubscribe()

    def _all_checks(self) -> list[Check]:
        return [*self._checks, *([self._own_server] if self._own_server is not None else [])]

    def _link_changed(self, interface: str) -> None:
        for fitness in self._fitness.values():
            fitness.link_changed(interface)

    def statistics(self) -> HealthStatistics:
        """Return a snapshot."""
        return HealthStatistics(
            {lease: fitness.statistics() for lease, fitness in self._fitness.items()},
            [check.statistics() for check in self._all_checks()],
        )
