"""Judges whether nodes that should have an address get it, and others let go; and that nothing moves for nothing."""

from collections.abc import Iterator

import attrs

from kubevip.model import IPAddress
from kubevip.testing.history import Tenure
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_fitness import CheckFails, Cordoned, HandoverAsked
from kubevip.testing.simulation.promises import EPSILON, Situation
from kubevip.testing.simulation.weather import BACK_OFF, START, without

# All was well for so many seconds: nobody remembers anything else.
_WELL = 4.0


@attrs.frozen
class Fitness:
    """Whoever is unfit hands over to who is fit, whoever is asked hands over, and nobody does so without a reason."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        for fault in self.evidence.run.scenario.faults:
            if isinstance(fault, Cordoned | CheckFails):
                yield from self.kept_by_unfit(fault)
            elif isinstance(fault, HandoverAsked):
                yield from self._kept_though_asked(fault)
        yield from self._not_preferred()
        yield from self._moved_for_nothing()

    def kept_by_unfit(self, fault: Fault) -> Iterator[Violation]:
        """Yield what a node has some time after *fault* made it unfit, and others weren't."""
        noticed = self.evidence.run.scenario.manners.noticed if isinstance(fault, CheckFails) else 0.0
        at = fault.start + noticed + self.evidence.allowed(Situation.UNFIT)
        others = set(self.evidence.run.scenario.nodes) - set(fault.nodes)
        if not others or at > fault.end or not self._is_alone(fault, at):
            return
        for tenure in self._held_at(fault.start):
            if tenure.node in fault.nodes:
                self.evidence.judged[Situation.UNFIT] += 1
                if any(each.node in fault.nodes for each in self._held_at(at, tenure.address)):
                    text = f"{tenure.node} has {tenure.address} {at - fault.start:.3f} s after this: {fault}"
                    yield self.evidence.violation(at, "held by an unfit node", text)

    def _kept_though_asked(self, fault: HandoverAsked) -> Iterator[Violation]:
        at = fault.start + self.evidence.allowed(Situation.ASKED)
        if self.evidence.run.scenario.claimant not in ("", fault.to) or not self._is_alone(fault, at):
            return
        for tenure in self._held_at(fault.start):
            if self.evidence.lease(tenure.address) != fault.lease or fault.to == tenure.node:
                continue
            self.evidence.judged[Situation.ASKED] += 1
            holders = [each.node for each in self._held_at(at, tenure.address)]
            passed_by = bool(fault.to) and self.evidence.promises.named_goes_first and holders != [fault.to]
            if tenure.node in holders or passed_by:
                text = (
                    f"{tenure.address} is held by {', '.join(holders) or 'nobody'} {at - fault.start:.3f} s after this"
                )
                yield self.evidence.violation(at, "not handed over", f"{text}: {fault}")

    def _not_preferred(self) -> Iterator[Violation]:
        scenario, first = self.evidence.run.scenario, self.evidence.run.scenario.first_choice
        if not first:
            return
        # Where the API server is slow, another preferred node may ask first, and be asked then.
        steps = len(scenario.manners.preferred)
        delay = steps * (scenario.manners.failback or 0.0) + self.evidence.allowed(Situation.PREFERRED)
        for start, end in self._calm_times():
            if end - start <= delay + EPSILON:
                continue
            for address in scenario.governing:
                self.evidence.judged[Situation.PREFERRED] += 1
                holders = [each.node for each in self._held_at(start + delay, address)]
                if holders != [first]:
                    text = f"{address} is held by {', '.join(holders) or 'nobody'}, and {first} is preferred"
                    yield self.evidence.violation(start + delay, "not failed back", text)

    def _moved_for_nothing(self) -> Iterator[Violation]:
        scenario = self.evidence.run.scenario
        if scenario.manners.failback is not None:
            return
        for start, end in self._calm_times():
            self.evidence.judged[Situation.PEACE] += 1
            for tenure in self.evidence.tenures:
                if start + self.evidence.allowed(Situation.UNFIT) < tenure.start < end:
                    text = f"{tenure.node} takes {tenure.address}, and nothing has happened lately"
                    yield self.evidence.violation(tenure.start, "moved for nothing", text)

    # What there was

    def _is_alone(self, fault: Fault, until: float) -> bool:
        """Tell whether nothing else has happened for some time before *fault*, and until then."""
        scenario = self.evidence.run.scenario
        others = [other for other in scenario.faults if other is not fault]
        return (
            fault.start > _WELL
            and until < self.evidence.run.end
            and not any(other.start <= until and fault.start <= self._over(other) for other in others)
            and bool(self._calm_before(fault))
        )

    def _calm_before(self, fault: Fault) -> bool:
        return all(
            len(self._held_at(fault.start - moment, address)) == 1
            for address in self.evidence.addresses
            for moment in (0.0, _WELL / 2)
        )

    def _over(self, fault: Fault) -> float:
        """When nobody waits any more because of *fault*."""
        back_off = BACK_OFF * fault.duration if fault.delays else 0.0
        grave = fault.delays or fault.strikes_agent or fault.loses_frames
        return fault.end + back_off + START + (self.evidence.promises.takeover if grave else 0.0)

    def _calm_times(self) -> list[tuple[float, float]]:
        """Return when nothing was wrong, nor had been just before."""
        faults = self.evidence.run.scenario.faults
        begun = 1.0 + START + self.evidence.promises.takeover
        return without([(begun, self.evidence.run.end)], [(fault.start, self._over(fault)) for fault in faults])

    def _held_at(self, time: float, address: IPAddress | None = None) -> list[Tenure]:
        return [
            tenure
            for tenure in self.evidence.tenures
            if tenure.start <= time < tenure.end and address in (None, tenure.address)
        ]
