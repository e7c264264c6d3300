"""Judges a fleet without an election: every node that is well announces every address, and none that isn't wanted."""

from collections.abc import Iterator

import attrs

from kubevip.model import IPAddress
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults_stored import EndpointsGone
from kubevip.testing.simulation.promises import Situation


@attrs.frozen
class Routes:
    """Each node announces what it should, and withdraws what it shouldn't, whatever happens to the others."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        for node in self.evidence.run.scenario.nodes:
            for address in self.evidence.run.scenario.governing:
                yield from self._missing(node, address)

    def _missing(self, node: str, address: IPAddress) -> Iterator[Violation]:
        allowed = self.evidence.allowed(Situation.UNANNOUNCED)
        held = [each for each in self.evidence.tenures if (each.node, each.address) == (node, address)]
        at = 0.0
        self.evidence.judged[Situation.UNANNOUNCED] += 1
        for start, end in [*((each.start, each.end) for each in held), (self.evidence.run.end, self.evidence.run.end)]:
            for free, taken in self.evidence.weather.free_times(node, at, start):
                if taken - free > allowed:
                    text = f"{node} has no route to {address} for {taken - free:.3f} s, {allowed:.3f} s are allowed"
                    yield self.evidence.violation(free + allowed, "not announced", text)
            at = end


@attrs.frozen
class Served:
    """Who has no endpoint of a Service has no address of it, where that is asked for."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        for fault in self.evidence.run.scenario.faults:
            if isinstance(fault, EndpointsGone):
                yield from self._unserved(fault)

    def _unserved(self, fault: EndpointsGone) -> Iterator[Violation]:
        """Where no endpoint serves, no route leads."""
        scenario = self.evidence.run.scenario
        plan = next(service for service in scenario.services if service.name == fault.service)
        everywhere = scenario.manners.routed and set(fault.nodes) == set(scenario.nodes)
        by = fault.start + self.evidence.allowed(Situation.UNSERVED)
        near = list(self.evidence.weather.striking(scenario.nodes, fault.start - 4.0, by))
        if by > min(fault.end, self.evidence.run.end) or near != [fault] or not (plan.local or everywhere):
            return
        # In spread mode another Service may have it there.
        others = (service for service in scenario.services if service is not plan)
        own = set(plan.addresses).difference(*(service.addresses for service in others))
        for tenure in self.evidence.tenures:
            if tenure.address in own and tenure.node in fault.nodes and tenure.start < fault.start:
                self.evidence.judged[Situation.UNSERVED] += 1
                if tenure.end > by:
                    text = f"{tenure.node} announces {tenure.address}, and nothing serves it there"
                    yield self.evidence.violation(by, "announced in vain", text)
