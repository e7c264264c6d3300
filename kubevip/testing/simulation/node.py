"""A node of a simulation: a machine, its way to the API server, its clocks, and one agent process after another."""

import asyncio
import datetime
import functools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import attrs

from kubevip.agent import Agent
from kubevip.config import InCluster, Kubeconfig, Settings
from kubevip.model import LeaseKey
from kubevip.ports import Api
from kubevip.registry import Registry
from kubevip.statistics import AgentStatistics
from kubevip.surroundings import Surroundings
from kubevip.testing.process import Clock, Process, universal_time
from kubevip.testing.simulation.chronicle import Chronicle, Contested, Lived
from kubevip.testing.simulation.client import SimulatedClient
from kubevip.testing.simulation.line import Line
from kubevip.testing.simulation.machine import Machine

# What hangs does so for so many seconds.
LONG = 3600.0
_BEGAN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@functools.cache
def _registry() -> Registry:
    """Finding what is installed takes longer than all that an agent does in a second."""
    return Registry()


async def _keep_quiet(_leases: Sequence[LeaseKey]) -> None:
    """There is no Pod here whose namespace could be another one."""


@attrs.define(eq=False)
class Node:
    """A node whose agent goes by *settings*. *clock* is its monotonic clock, *date_off* how wrong its time of day is.

    Its processes run in *tasks*. *check* says how its check goes: well where that is empty, else it "fails" or "hangs".
    """

    machine: Machine
    line: Line
    clock: Clock
    settings: Settings
    chronicle: Chronicle
    tasks: asyncio.TaskGroup
    date_off: float = 0.0
    check: str = ""
    life: int = attrs.field(default=0, init=False)
    process: Process | None = attrs.field(default=None, init=False)
    agent: Agent | None = attrs.field(default=None, init=False)
    errors: list[str] = attrs.field(factory=list, init=False)
    _running: dict[Process, "asyncio.Task[None]"] = attrs.field(factory=dict, init=False)
    _asked_to_stop: bool = attrs.field(default=False, init=False)
    _contested: tuple[int, int, int, int, int] = attrs.field(default=(0, 0, 0, 0, 0), init=False)

    @property
    def name(self) -> str:
        """Its name, and its identity in elections."""
        return self.machine.node

    @property
    def lives(self) -> bool:
        """Whether an agent runs here, or is stalled."""
        return self.process is not None and not self.process.dead

    # What happens to it

    def start(self) -> None:
        """Start an agent."""
        self.life += 1
        self._asked_to_stop = False
        self.process = Process(f"{self.name}/{self.life}", self.clock)
        self._note(Lived.BEGINS)
        process, life = self.process, self.life
        self._running[process] = process.start(self.tasks, lambda: self._run(process, life))

    async def _run(self, process: Process, life: int) -> None:
        self.agent = agent = Agent(self.settings, {}, self._surroundings(life))
        try:
            await agent.run()
        except Exception as error:
            why = f"{type(error).__name__}: {_first(error)}"
        else:
            why = ""
        if process.dead:
            return
        self.note_conflicts()
        if why or not self._asked_to_stop:
            self.errors.append(f"process {life} of {self.name} has ended by itself: {why or 'without an error'}")
        self._note(Lived.ENDED, why)
        self.process = self.agent = None

    def _surroundings(self, life: int) -> Surroundings:
        async def connect(
            candidates: Sequence[Kubeconfig | InCluster],
        ) -> AbstractAsyncContextManager[Api]:
            return SimulatedClient(self.name, life, self.line, self.chronicle)

        return Surroundings(
            connect=connect,
            kernel=self.machine.kernel,
            warn=_keep_quiet,
            wall=self.date,
            registry=_registry,
            probes=lambda fitness: {"command": self._probe} if fitness.command else {},
        )

    async def _probe(self) -> str:
        if self.check == "hangs":
            await asyncio.sleep(LONG)
        return "exit 1" if self.check else ""

    def date(self) -> datetime.datetime:
        """Return the time of day, as its clock has it."""
        return _BEGAN + datetime.timedelta(seconds=universal_time() + self.date_off)

    def ask_to_stop(self) -> None:
        """Have the agent end in order (SIGTERM)."""
        if self.agent is not None and self.lives:
            self._asked_to_stop = True
            self._note(Lived.STOPS)
            self.agent.stop()

    def kill(self) -> None:
        """Kill the agent (SIGKILL)."""
        if self.process is not None and self.lives:
            self.note_conflicts()
            self._note(Lived.KILLED)
            self.process.kill()
            self.line.hang_up()
            self.process = self.agent = None

    def stall(self) -> None:
        """Let the agent do nothing (SIGSTOP)."""
        if self.process is not None and self.lives:
            self._note(Lived.STALLS)
            self.process.stop()

    def resume(self) -> None:
        """Let the agent go on (SIGCONT)."""
        if self.process is not None and self.lives and self.process.stopped:
            self._note(Lived.RESUMES)
            self.process.resume()

    async def bury(self) -> None:
        """End all processes that ever ran here, without a trace."""
        if self.process is not None:
            self.process.kill()
        running = [task for process, task in self._running.items() if not task.done()]
        for process in self._running:
            process.bury()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _note(self, what: str, why: str = "") -> None:
        self.chronicle.add(Lived(universal_time(), self.name, self.life, what, why))

    # What it says of itself

    def note_conflicts(self) -> None:
        """Write down what its agent has told of other machines, if that is anything new."""
        statistics = self.statistics()
        if statistics is None or statistics.conflicts is None:
            return
        found, met = statistics.conflicts, statistics.keeper.conflicts if statistics.keeper else 0
        counts = (self.life, found.conflicts, found.defended, found.yielded, met)
        if (found.conflicts or met) and counts != self._contested:
            self._contested = counts
            self.chronicle.add(Contested(universal_time(), self.name, *counts))

    def statistics(self) -> AgentStatistics | None:
        """Return what its agent knows of itself; ``None`` where none runs."""
        if self.agent is None or self.process is None:
            return None
        return self.process.within(self.agent.statistics)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
