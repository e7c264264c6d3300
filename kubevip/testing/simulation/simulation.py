"""Runs a scenario: whole agents in virtual time, troubles, calm, and what came of it."""

import asyncio
import random
from collections.abc import Iterator

import anyio
import attrs

from kubevip.model import IPAddress
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from kubevip.testing.process import universal_time
from kubevip.testing.segment import Medium
from kubevip.testing.simulation.caller import Caller
from kubevip.testing.simulation.chronicle import Chronicle, Troubled
from kubevip.testing.simulation.errands import Errands
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.line import Line
from kubevip.testing.simulation.machine import Machine
from kubevip.testing.simulation.node import Node
from kubevip.testing.simulation.recording import Recorder
from kubevip.testing.simulation.scenario import Scenario
from kubevip.testing.simulation.segments import FIRST, SECOND, Segments
from kubevip.testing.simulation.server import ApiServer
from kubevip.testing.simulation.strangers import Intruder, Witness
from kubevip.testing.simulation.switch import Switch
from kubevip.testing.simulation.world import World
from kubevip.testing.virtual import Livelock, run_virtual

# How often a caller talks to each address, in seconds.
TALKS_EVERY = 0.2
# All has to be well for so long that it counts as settled.
STEADY = 4.0
_LOOK_EVERY = 0.5


@attrs.frozen(kw_only=True)
class Run:
    """What came of a scenario. *end* is when it was ended; *errors* is what went wrong beyond what was recorded."""

    scenario: Scenario
    chronicle: Chronicle
    end: float
    errors: tuple[str, ...]


@attrs.define(eq=False)
class Simulation:
    """One run of a scenario: until all is well after its faults, or for *patience* seconds after them."""

    scenario: Scenario
    patience: float
    chronicle: Chronicle = attrs.field(factory=Chronicle, init=False)

    def run_to_end(self) -> Run:
        """Run it, in virtual time. A run in which time stands still ends there."""
        try:
            return run_virtual(self._run, seed=self.scenario.seed)
        except Livelock as error:
            end = max((event.time for event in self.chronicle.events), default=0.0)
            return Run(scenario=self.scenario, chronicle=self.chronicle, end=end, errors=(str(error),))

    async def _run(self) -> Run:
        async with asyncio.TaskGroup() as tasks:
            world = self.build(tasks)
            if self.scenario.manners.about_fitness or self.scenario.manners.spread:
                world.create_nodes()
            for service in self.scenario.services:
                world.create_service(service.name)
            others = [tasks.create_task(self._begin(node)) for node in world.nodes.values()]
            others += [tasks.create_task(self._suffer(world, *each)) for each in enumerate(self.scenario.faults)]
            wanted = self.scenario.wanted
            others += [tasks.create_task(caller.run(caller.near(wanted), TALKS_EVERY)) for caller in world.callers]
            await anyio.sleep_until(self.scenario.calm)
            await self._settle(world)
            end = universal_time()
            for node in world.nodes.values():
                node.note_conflicts()
            self.chronicle.close()
            errors = self._complaints(world)
            world.errands.stop()
            for task in others:
                task.cancel()
            for node in world.nodes.values():
                await node.bury()
        return Run(scenario=self.scenario, chronicle=self.chronicle, end=end, errors=tuple(errors))

    def build(self, tasks: asyncio.TaskGroup) -> World:
        """Return the world of the scenario, in which nothing happens yet; what it does by itself it does in *tasks*."""
        scenario = self.scenario
        server = ApiServer(self._chance("server"), self.chronicle)
        if scenario.manners.spread:
            server.recorder = Recorder(server.store, self.chronicle)
        segments = self._segments()
        switch = segments.switches[FIRST]
        witnesses = self._witnesses(switch)
        known = tuple(address for witness in witnesses for address in witness.own)
        nodes = {}
        for name, clock in zip(scenario.nodes, scenario.clocks, strict=True):
            chance, wide = self._chance(f"kernel {name}"), name in scenario.manners.wide
            machine = Machine(name, segments, chronicle=self.chronicle, chance=chance, wide=wide)
            if name in scenario.manners.narrow:
                machine.be_narrow()
            line = Line(server, self._chance(f"line {name}"), scenario.latency)
            if known and not scenario.manners.named:
                machine.neighbourhood = MemoryNeighbourhood(routes={FIRST: known})
            nodes[name] = Node(machine, line, clock, scenario.settings(name, known), self.chronicle, tasks)
        return World(
            chronicle=self.chronicle,
            chance=self._chance("world"),
            segments=segments,
            server=server,
            nodes=nodes,
            callers=self._callers(segments),
            witnesses=witnesses,
            intruder=Intruder("intruder", self._apart(switch, scenario.manners.about_conflicts)),
            services={service.name: service for service in scenario.services},
            errands=Errands(server, self.chronicle, tasks, self._chance("operator")),
        )

    def _segments(self) -> Segments:
        first = Switch(self._chance("switch"))
        if not self.scenario.manners.wide:
            return Segments({FIRST: first})
        return Segments({FIRST: first, SECOND: Switch(self._chance("second switch"), numbers=first.numbers)})

    def _callers(self, segments: Segments) -> list[Caller]:
        """Return the callers, all of them on each segment."""
        return [
            Caller(
                f"caller{number}{f' on {link}' * (link != FIRST)}",
                *(switch, self.chronicle, self._chance(f"caller {number}{link * (link != FIRST)}"), confirms, link),
            )
            for link, switch in segments.switches.items()
            for number, confirms in enumerate(self.scenario.callers, start=1)
        ]

    def _witnesses(self, switch: Switch) -> list[Witness]:
        count = self.scenario.manners.witnesses
        return [Witness(f"witness{number}", switch) for number in range(1, count + 1)]

    @staticmethod
    def _apart(switch: Switch, wanted: bool) -> Medium:
        """Return *switch*, or one that nobody else is plugged to."""
        return switch if wanted else Switch(random.Random(0))

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{what} {self.scenario.seed}")

    # What happens

    async def _begin(self, node: Node) -> None:
        await anyio.sleep(random.random())
        if node.life == 0 and node.machine.has_power:
            node.start()

    async def _suffer(self, world: World, number: int, fault: Fault) -> None:
        await anyio.sleep_until(fault.start)
        self._note(number, fault, True)
        fault.strike(world)
        await anyio.sleep_until(fault.end)
        self._note(number, fault, False)
        fault.heal(world)

    def _note(self, number: int, fault: Fault, begins: bool) -> None:
        self.chronicle.add(Troubled(universal_time(), number, str(fault), begins))

    async def _settle(self, world: World) -> None:
        """Wait until all has been well for a while."""
        since: float | None = None
        while universal_time() < self.scenario.calm + self.patience:
            await anyio.sleep(_LOOK_EVERY)
            if self._complaints(world):
                since = None
            elif since is None:
                since = universal_time()
            elif universal_time() - since > STEADY:
                return

    def _complaints(self, world: World) -> list[str]:
        """Say what is not as it has to be now."""
        found = [error for node in world.nodes.values() for error in node.errors]
        for node in world.nodes.values():
            statistics = node.statistics()
            found += (
                [f"{node.name}: {each}" for each in statistics.obstacles()]
                if statistics
                else [f"{node.name}: no agent runs"]
            )
        misplaced = self._misrouted if self.scenario.manners.routed else self._misplaced
        found += [complaint for address in self.scenario.governing for complaint in misplaced(world, address)]
        found += [complaint for address in self.scenario.shared for complaint in self._unshared(world, address)]
        for service in self.scenario.services:
            listed = world.ingress(service.name)
            if listed != [str(address) for address in service.addresses]:
                found.append(f"Service {service.name} lists {listed}")
        return found

    def _misplaced(self, world: World, address: IPAddress) -> Iterator[str]:
        lease = self.scenario.governing[address]
        holders = [name for name, node in world.nodes.items() if node.machine.addresses.has(address)]
        if holders != [world.server.holder(lease)]:
            held = f"{address} is held by {', '.join(holders) or 'nobody'}"
            yield f"{held}, and {lease.name} by {world.server.holder(lease)}"
        for caller in world.callers:
            if caller.near((address,)) and caller.talk(address) not in holders:
                yield f"{caller.node} doesn't reach {address}"
        first = self.scenario.first_choice
        if first and holders != [first]:
            yield f"{address} is held by {', '.join(holders) or 'nobody'}, and {first} is preferred"

    @staticmethod
    def _unshared(world: World, address: IPAddress) -> Iterator[str]:
        holders = [name for name, node in world.nodes.items() if node.machine.addresses.has(address)]
        if len(holders) != 1:
            yield f"{address} is held by {', '.join(holders) or 'nobody'}"
        for caller in world.callers:
            if caller.near((address,)) and caller.talk(address) not in holders:
                yield f"{caller.node} doesn't reach {address}"

    @staticmethod
    def _misrouted(world: World, address: IPAddress) -> Iterator[str]:
        for name, node in world.nodes.items():
            if address not in [route.address for route in node.machine.tables.all()]:
                yield f"{name} has no route to {address}"
