"""A simulated node with a kubevip process on it: the real electors, keeper and backends, and a fake world."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio
import attrs

from kubevip.eligibility import Eligibility, Pauses
from kubevip.heartbeat import Opinion
from kubevip.lease import Timing
from kubevip.model import Family, IPAddress, LeaseKey, Vip
from kubevip.registry import Registry
from kubevip.rivalry import Policy, Rivalry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.asking import Store
from kubevip.runtime.elector import Elector
from kubevip.runtime.fitness import Fitness
from kubevip.runtime.guarding import Guard
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.offering import Offers
from kubevip.runtime.pulse import Pulse
from kubevip.runtime.reprieve import OnApiLoss, Reprieve
from kubevip.runtime.verifying import Verifier, Verify
from kubevip.runtime.voice import Voice
from kubevip.runtime.witnesses import Witnesses
from kubevip.testing.history import Tenure, tenures
from kubevip.testing.host import FakeHost
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from kubevip.testing.process import Process
from kubevip.testing.segment import Segment

LAYER_2: Mapping[Family, str] = {Family.IPV4: "arp", Family.IPV6: "ndp"}


@attrs.define(eq=False)
class Machine:
    """A node that campaigns and holds VIPs from ``start()`` until ``stop()``, in virtual time.

    What it puts together is what the agent puts together. Open it as a context manager: at the end it is gone
    without a trace, whatever state it is in. *wants* says which VIPs it holds by which Lease. With a *heartbeat*
    (seconds) it sends heartbeats; then it may ask *company* whether it is cut off. *preferences* are what
    ``Eligibility`` is told beside the node's name. With *gateways* it verifies its takeovers, and gives up where none
    answers. With a *policy* it watches for conflicts, and adds the MAC addresses to *told*.
    """

    node: str
    segment: Segment
    leases: Store
    wants: Mapping[Vip, LeaseKey]
    timing: Timing = attrs.field(factory=Timing, kw_only=True)
    linger: float = attrs.field(default=3.0, kw_only=True)
    backends: Mapping[Family, str] = attrs.field(default=LAYER_2, kw_only=True)
    registry: Registry = attrs.field(factory=Registry, kw_only=True)
    heartbeat: float | None = attrs.field(default=None, kw_only=True)
    on_api_loss: OnApiLoss = attrs.field(default=OnApiLoss.FENCE, kw_only=True)
    preferences: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    gateways: tuple[IPAddress, ...] = attrs.field(default=(), kw_only=True)

    company: tuple[Vip, ...] = attrs.field(default=(), kw_only=True)
    policy: Policy | None = attrs.field(default=None, kw_only=True)
    told: list[str] = attrs.field(factory=list, kw_only=True)

    host: FakeHost = attrs.field(init=False)
    process: Process = attrs.field(init=False)
    keeper: Keeper = attrs.field(init=False)
    announcers: dict[Family, Announcer] = attrs.field(factory=dict, init=False)
    electors: dict[LeaseKey, Elector] = attrs.field(factory=dict, init=False)
    pulses: list[Pulse] = attrs.field(factory=list, init=False)
    reprieves: list[Reprieve] = attrs.field(factory=list, init=False)
    fitness: dict[LeaseKey, Fitness] = attrs.field(factory=dict, init=False)
    _voices: dict[LeaseKey, Voice] = attrs.field(factory=dict, init=False)
    verifier: Verifier | None = attrs.field(default=None, init=False)
    guard: Guard | None = attrs.field(default=None, init=False)
    _tasks: asyncio.TaskGroup = attrs.field(factory=asyncio.TaskGroup, init=False)
    _running: "asyncio.Task[None] | None" = attrs.field(default=None, init=False)
    _stopping: asyncio.Event = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.host = FakeHost(self.node, self.segment)
        self._make()

    def _make(self) -> None:
        self.process, self._stopping = Process(self.node), asyncio.Event()
        self.announcers, self.electors, self.pulses, self.reprieves, self._voices = {}, {}, [], [], {}
        for family, name in self.backends.items():
            backend = self.registry[name](self.host)
            self.announcers[family] = Announcer(name, backend, backend.cadence)
        self.keeper = Keeper(self.host.addresses, self.host.links, self.announcers, self.timing, self.linger)
        for lease in dict.fromkeys(self.wants.values()):
            self.electors[lease] = elector = self._elector(lease)
            pauses = Pauses.of(self.timing, self.linger)
            eligibility = Eligibility(self.node, pauses, **self.preferences)
            self.fitness[lease] = Fitness(self.keeper, elector, self.leases, eligibility, voice=self._voice(lease))
        self.keeper.conflicting = lambda conflict: self.told.append(conflict.mac)
        if self.policy is not None:
            rivalry = Rivalry(self.policy, self.linger, self.timing.duration)
            self.guard = Guard(self.keeper, self.announcers, self.host.links, rivalry, self.timing.duration)
        if self.gateways:
            witnesses = Witnesses((), self.host.links, MemoryNeighbourhood({"eth0": self.gateways}))
            self.verifier = Verifier(
                *(self.keeper, self.announcers, self.host.links, witnesses, Offers(self.keeper, self.electors)),
                verify=Verify.RESIGN,
            )

    def _elector(self, lease: LeaseKey) -> Elector:
        if self.heartbeat is None:
            elector = Elector(lease, self.node, self.timing, self.leases, self.keeper)
            self._reprieve(elector, lambda: Opinion.UNKNOWN, self._voice(lease))
            return elector
        holds_on = self.on_api_loss is OnApiLoss.HOLD
        pulse = Pulse(self.host, self.keeper, self.announcers, self.keeper.governed_by, self.heartbeat, holds_on)
        elector = Elector(lease, self.node, self.timing, self.leases, pulse)
        pulse.attach(elector)
        pulse.witnesses = lambda: self.company
        self.pulses.append(pulse)
        self._voices[lease] = pulse.voice
        self._reprieve(elector, pulse.opinion, pulse.voice)
        return elector

    def _voice(self, lease: LeaseKey) -> Voice:
        return self._voices.setdefault(lease, Voice())

    def _reprieve(self, elector: Elector, opinion: Callable[[], Opinion], voice: Voice) -> None:
        if self.on_api_loss is not OnApiLoss.FENCE:
            self.reprieves.append(
                Reprieve(
                    *(elector, self.on_api_loss, self.announcers, self.host.links.get, self.keeper.governed_by),
                    *(opinion, voice),
                )
            )

    async def __aenter__(self) -> Self:
        """Start its process."""
        await self._tasks.__aenter__()
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End its process as if it had never been, without a word to anybody."""
        await self._bury()
        await self._tasks.__aexit__(None, None, None)

    # What happens to it

    def start(self) -> None:
        """Start its process, which holds *wants* from now on."""
        for vip, lease in self.wants.items():
            self.keeper.want(vip, lease)
        self._running = self.process.start(self._tasks, self._run)

    async def stop(self) -> None:
        """End its process as an agent ends on SIGTERM: with a handover."""
        assert self._running is not None
        self._stopping.set()
        await self._running

    async def restart(self) -> None:
        """Start a new process in the place of a killed or stopped one; what is on the links stays there."""
        await self._bury()
        self._make()
        self.start()

    async def _bury(self) -> None:
        if self._running is not None and not self._running.done():
            self.process.bury()
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            for announcer in self.announcers.values():
                await stack.enter_async_context(announcer.backend)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.keeper.run)
                if self.guard is not None:
                    tasks.start_soon(self.guard.run)
                if self.verifier is not None:
                    tasks.start_soon(self.verifier.run)
                for elector in self.electors.values():
                    tasks.start_soon(elector.run)
                for pulse in self.pulses:
                    tasks.start_soon(pulse.run)
                for reprieve in self.reprieves:
                    tasks.start_soon(reprieve.run)
                for fitness in self.fitness.values():
                    tasks.start_soon(fitness.run)
                    stack.callback(self.host.links.subscribe(fitness.link_changed))
                await self._stopping.wait()
                await self._leave()
                tasks.cancel_scope.cancel()
            await self.keeper.drop_all()

    async def _leave(self) -> None:
        with anyio.move_on_after(self.linger + self.timing.attempt_timeout):
            for lease, elector in self.electors.items():
                self.keeper.expect_successor(lease)
                elector.resign()
            for elector in self.electors.values():
                await elector.wait_ended()
            await self.keeper.wait_released()

    # What a test asks

    def leads(self, lease: LeaseKey) -> bool:
        """Tell whether it leads *lease* now, as far as it knows."""
        return self.electors[lease].term is not None

    def holds(self, vip: Vip) -> bool:
        """Tell whether *vip* is on its link now."""
        return vip in self.host.addresses.present()

    def tenures(self) -> list[Tenure]:
        """Return for which times it has held which addresses."""
        return tenures(self.node, self.host.addresses.changes)
