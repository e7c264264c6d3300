"""Judges whether an address that is wanted was held, by anybody."""

from collections.abc import Iterator

import attrs

from kubevip.model import IPAddress
from kubevip.testing.history import Tenure, gaps
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut, ApiRefusing
from kubevip.testing.simulation.promises import Situation

# All was well for so many seconds: everybody has heard the holder, and no earlier fault has left anything.
_WELL = 4.0


@attrs.frozen
class Absences:
    """Whenever one node is well for long enough, somebody has each address."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self.without_holder()
        yield from self.missed_late()
        yield from self.let_go_for_nothing()

    def without_holder(self) -> Iterator[Violation]:
        """Nobody holds an address though one node was well for long enough to take it."""
        for address in self.evidence.addresses:
            for start, end in gaps(self.evidence.tenures, address, start=0.0, end=self.evidence.run.end):
                yield from self._gap(address, start, end)

    def _gap(self, address: IPAddress, start: float, end: float) -> Iterator[Violation]:
        again = self.evidence.run.scenario.timing.duration * self.evidence.weather.agents_struck(start, end)
        allowed = self.evidence.promises.takeover + again
        for node in self.evidence.run.scenario.nodes:
            for free, taken in self.evidence.weather.free_times(node, start, end):
                if taken - free > allowed:
                    text = (
                        f"nobody has {address} for {taken - free:.3f} s, {allowed:.3f} s are allowed: {node} was well"
                    )
                    yield self.evidence.violation(free + allowed, "without a holder", text)

    def missed_late(self) -> Iterator[Violation]:
        """The machine of a holder falls silent, and nothing else happens: two others are enough to take its place.

        Leases of single Services have no heartbeats, and of a Service that is local there may be nobody to take it.
        """
        if self.evidence.run.scenario.manners.own_leases:
            return
        allowed = self.evidence.allowed(Situation.MISSED)
        for fault in self.evidence.run.scenario.faults:
            if fault.silences and len(fault.nodes) == 1 and self._is_alone(fault, allowed):
                for tenure in self.evidence.tenures:
                    if tenure.node in fault.nodes and tenure.start + _WELL < fault.start <= tenure.end:
                        yield from self._successor_late(tenure, fault.start, allowed)

    def _is_alone(self, fault: Fault, allowed: float) -> bool:
        scenario = self.evidence.run.scenario
        since, until = fault.start - _WELL, min(fault.start + allowed, self.evidence.run.end)
        near = list(self.evidence.weather.striking(scenario.nodes, since, until))
        return since > 0 and near == [fault] and until < fault.end and len(scenario.nodes) > 2

    def _successor_late(self, tenure: Tenure, silent: float, allowed: float) -> Iterator[Violation]:
        others = [
            other.start
            for other in self.evidence.tenures
            if other.address == tenure.address and other.node != tenure.node and other.end > silent
        ]
        self.evidence.judged[Situation.MISSED] += 1
        taken = min(others, default=self.evidence.run.end) - silent
        if taken > allowed:
            text = f"{tenure.node} falls silent, and nobody else has {tenure.address} for {taken:.3f} s"
            yield self.evidence.violation(silent + allowed, "missed late", f"{text}, {allowed:.3f} s are allowed")

    def let_go_for_nothing(self) -> Iterator[Violation]:
        """The API server is away for all, and nothing else happens: a mode may promise that nobody lets go."""
        allowed = self.evidence.allowed(Situation.OUTAGE)
        scenario = self.evidence.run.scenario
        for fault in scenario.faults:
            if isinstance(fault, ApiCut | ApiRefusing) and set(fault.nodes) == set(scenario.nodes):
                near = list(self.evidence.weather.striking(scenario.nodes, fault.start - _WELL, fault.end))
                if near == [fault] and fault.start > _WELL:
                    yield from self._unheld(fault, allowed)

    def _unheld(self, fault: Fault, allowed: float) -> Iterator[Violation]:
        for address in self.evidence.run.scenario.governing:
            self.evidence.judged[Situation.OUTAGE] += 1
            for start, end in gaps(self.evidence.tenures, address, start=fault.start, end=fault.end):
                if end - start > allowed:
                    text = f"nobody has {address} for {end - start:.3f} s, and only the API server was away"
                    yield self.evidence.violation(start, "let go for nothing", text)
