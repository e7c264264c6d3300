"""What a run is judged by: its chronicle, and what follows from it. And what a judgement is: a broken promise."""

from collections import Counter
from collections.abc import Sequence

import attrs

from kubevip.model import IPAddress, LeaseKey
from kubevip.testing.history import Tenure
from kubevip.testing.simulation.chronicle import Moved, Routed, Told, Wrote
from kubevip.testing.simulation.promises import Promises, Situation
from kubevip.testing.simulation.simulation import Run
from kubevip.testing.simulation.terms import Terms, terms_of
from kubevip.testing.simulation.weather import Weather

# How much of the chronicle a violation shows, before and after it, in seconds.
BEFORE, AFTER = 1.5, 0.2


@attrs.frozen
class Violation:
    """A promise that was broken at *time*; *around* is what happened then."""

    seed: int
    time: float
    kind: str
    text: str
    around: tuple[str, ...] = attrs.field(repr=False)

    def __str__(self) -> str:
        events = "\n".join(f"    {line}" for line in self.around)
        return f"seed {self.seed}: at {self.time:.6f} s: {self.kind}: {self.text}\n{events}"


@attrs.frozen
class Evidence:
    """What follows from *run*: who had which address when, who had which Lease, and which faults there were."""

    run: Run
    promises: Promises
    terms: Terms
    weather: Weather
    tenures: list[Tenure]
    addresses: tuple[IPAddress, ...] = ()
    """Those that are judged; *tenures* are of them."""
    judged: Counter[Situation] = attrs.field(factory=Counter)
    """How often each situation was met: what never was has not been judged."""

    @classmethod
    def of(cls, run: Run) -> "Evidence":
        """Gather it."""
        scenario, chronicle = run.scenario, run.chronicle
        moves: list[Moved | Routed] = list(chronicle.all(Routed if scenario.manners.routed else Moved))
        wanted = tuple(scenario.governing)
        held = [each for each in tenures(moves, run.end) if not scenario.manners.spread or each.address in wanted]
        return cls(run, Promises(scenario), terms_of(scenario, chronicle), Weather(scenario.faults), held, wanted)

    @property
    def of_shared(self) -> "Evidence":
        """What is known of the addresses that nodes share in spread mode."""
        scenario = self.run.scenario
        found = tenures(list(self.run.chronicle.all(Moved)), self.run.end)
        held = [each for each in found if each.address not in scenario.governing]
        promises = Promises(scenario, mode=scenario.mode_of_shared)
        return attrs.evolve(self, promises=promises, tenures=held, addresses=scenario.shared, judged=self.judged)

    def violation(self, time: float, kind: str, text: str) -> Violation:
        """Return a violation, with what happened around it."""
        around = self.run.chronicle.around(time - BEFORE, time + AFTER)
        return Violation(self.run.scenario.seed, time, kind, text, tuple(around))

    def lease(self, address: IPAddress) -> LeaseKey:
        """Return the Lease that governs *address*."""
        return self.run.scenario.governing[address]

    def told_of(self, release: Wrote) -> float | None:
        """Return when the node that released knew that it had; ``None`` where it never did."""
        return next(
            (
                told.time
                for told in self.run.chronicle.all(Told)
                if (told.node, told.life, told.lease) == (release.node, release.life, release.lease)
                and told.version >= release.version
            ),
            None,
        )

    def rate(self, node: str) -> float:
        """Return how fast the clock of *node* goes."""
        return self.run.scenario.clocks[self.run.scenario.nodes.index(node)].rate

    def away(self, plain: Situation, away: Situation, node: str, start: float, end: float) -> Situation:
        """Return *away* where *node* may have been without the API server between two times, else *plain*.

        Who was stalled has not reached it either, and goes on like one that couldn't.
        """
        hidden = self.weather.hides_api(node, start, end) or self.weather.stalls(node, start, end)
        return away if hidden else plain

    def allowed(self, situation: Situation) -> float:
        """Return for how many seconds *situation* may last."""
        return self.promises.allowed(situation)


def tenures(moves: Sequence[Moved | Routed], end: float) -> list[Tenure]:
    """Return who held which address, or had a route to it, when; what is held in the end is held until *end*."""
    since: dict[tuple[str, IPAddress], float] = {}
    found = []
    for move in moves:
        if move.present:
            since[move.node, move.address] = move.time
        else:
            found.append(Tenure(since.pop((move.node, move.address)), move.time, move.node, move.address))
    found += [Tenure(start, end, node, address) for (node, address), start in since.items()]
    return sorted(found)
