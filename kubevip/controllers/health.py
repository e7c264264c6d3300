"""What gates the elections of an agent, put together from its settings: checks, links, the Node, preference."""

from collections.abc import Callable, Collection, Mapping, Sequence

import anyio
import anyio.abc
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
from kubevip.runtime.nodefitness import NodeFitness
from kubevip.runtime.supervise import supervised
from kubevip.runtime.unelected import Unelected
from kubevip.runtime.voice import Voice

# What the check of this node's own API server is called.
OWN_SERVER = "control-plane"


@attrs.frozen
class HealthStatistics:
    """A snapshot: the fitness of this node by Lease, and its checks."""

    fitness: Mapping[LeaseKey, FitnessStatistics]
    checks: Sequence[CheckStatistics]


@attrs.define(eq=False)
class Health:
    """Gates the elections that it is given by ``watch``, while ``run()`` goes on.

    *probes* are its checks, by name; *unheard* is what ``Fitness`` wants.
    """

    _settings: Settings
    _client: Api
    _asking: Asking
    _keeper: Keeper
    _links: Links
    _timing: Timing
    _probes: Mapping[str, Probe]
    _unheard: Callable[[], str] = lambda: ""

    _fitness: dict[LeaseKey, Fitness | NodeFitness] = attrs.field(factory=dict, init=False)
    _checks: list[Check] = attrs.field(factory=list, init=False)
    _own_server: Check | None = attrs.field(default=None, init=False)
    _cordoned_now: bool = attrs.field(default=False, init=False)
    _tasks: anyio.abc.TaskGroup | None = attrs.field(default=None, init=False)
    _scopes: dict[LeaseKey, anyio.CancelScope] = attrs.field(factory=dict, init=False)
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

    def watch(
        self,
        elector: Elector,
        *,
        hears: Callable[[], Collection[str] | None] = lambda: None,
        voice: Voice | None = None,
    ) -> None:
        """Gate the election of *elector*, before it runs. *hears* and *voice* are what ``Fitness`` wants."""
        settings, election = self._settings.fitness, self._settings.election
        eligibility = Eligibility(
            elector.identity,
            Pauses.of(self._timing, election.linger),
            preferred=settings.preferred,
            last_resort=settings.last_resort,
            failback=settings.delay,
        )
        needs_link = not self._settings.node.allow_interface_not_up
        self._fitness[elector.lease] = fitness = Fitness(
            self._keeper,
            elector,
            self._asking,
            eligibility,
            hears=hears,
            needs_link=needs_link,
            unheard=self._unheard,
            voice=voice or Voice(),
        )
        for ground, text in self._known(elector.lease).items():
            eligibility.report(ground, text, 0.0)
        if self._tasks is not None:
            self._attend(elector.lease, fitness, self._tasks)

    def unwatch(self, lease: LeaseKey) -> None:
        """Gate the election for *lease* no more: it has ended."""
        self._fitness.pop(lease, None)
        scope = self._scopes.pop(lease, None)
        if scope is not None:
            scope.cancel()

    def _attend(self, lease: LeaseKey, fitness: Fitness | NodeFitness, tasks: anyio.abc.TaskGroup) -> None:
        self._scopes[lease] = scope = anyio.CancelScope()

        async def attend() -> None:
            with scope:
                await supervised("looking after fitness", fitness.run)

        tasks.start_soon(attend)

    def watch_node(self, lease: LeaseKey, fitness: NodeFitness) -> None:
        """Let *fitness* of this node, of which its own *lease* tells, be what is found here."""
        self._fitness[lease] = fitness
        for check in self._checks if self._gates(lease) else ():
            fitness.report(Ground.UNCHECKED, check.complaint)

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
        """Tell whether the checks gate *lease*. One that governs both is gated by what is for either.

        Whatever isn't the control plane's is of Services: some have Leases of their own.
        """
        settings = self._settings
        if settings.fitness.gates == "controlplane":
            return lease == settings.control_plane.lease
        if settings.fitness.gates == "services":
            return lease == settings.services_lease or lease != settings.control_plane.lease
        return True

    def _known(self, lease: LeaseKey) -> dict[Ground, str | None]:
        """Return what counts against this node, or doesn't, for *lease*."""
        found: dict[Ground, str | None] = {Ground.CORDONED: "" if self._cordoned_now else None}
        if self._gates(lease):
            pending = [check.complaint for check in self._checks if not check.has_result]
            failing = [text for check in self._checks if check.has_result and (text := check.complaint) is not None]
            found[Ground.CHECK] = "; ".join(failing) if failing else None
            found[Ground.UNCHECKED] = pending[0] if pending else None
        return found

    def _checked(self) -> None:
        for lease, fitness in self._fitness.items():
            for ground, text in self._known(lease).items():
                if ground is not Ground.CORDONED:
                    fitness.report(ground, text)

    def _cordoned(self, cordoned: bool) -> None:
        self._cordoned_now = cordoned
        for fitness in self._fitness.values():
            fitness.report(Ground.CORDONED, "" if cordoned else None)

    async def run(self) -> None:
        """Look at all of it until cancelled."""
        unsubscribe = self._links.subscribe(self._link_changed)
        try:
            async with anyio.create_task_group() as tasks:
                for check in self._all_checks():
                    tasks.start_soon(supervised, f"check {check.name}", check.run)
                self._tasks = tasks
                for lease, fitness in self._fitness.items():
                    self._attend(lease, fitness, tasks)
                if self._node is not None:
                    tasks.start_soon(self._node.run)
        finally:
            self._tasks = None
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
