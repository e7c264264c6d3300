"""Judges how nodes share the Services in spread mode: nothing moves without a reason, and loads are within bounds."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from kubevip.testing.history import Tenure
from kubevip.testing.simulation.checks_absence import Absences
from kubevip.testing.simulation.checks_callers import HANDED_OVER
from kubevip.testing.simulation.checks_fitness import Fitness
from kubevip.testing.simulation.chronicle import Reached, Wrote
from kubevip.testing.simulation.custodies import Custodies, Custody
from kubevip.testing.simulation.errands import OPERATOR
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_fitness import CardRefuses, CheckFails, Cordoned
from kubevip.testing.simulation.faults_node import RefusingKernel, SlowKernel
from kubevip.testing.simulation.faults_spread import Errand, OfService, PassOn, Rebalance, ServiceChanged
from kubevip.testing.simulation.faults_stored import EndpointsGone, ServiceGone
from kubevip.testing.simulation.faults_strangers import WitnessesCut, WitnessesOff
from kubevip.testing.simulation.promises import REST, Situation
from kubevip.testing.simulation.recording import Evened, Recorded, Termed
from kubevip.testing.simulation.weather import BACK_OFF, START, without

# A node has at most its share and a fifth of it; after a rebalance it has at least five sixths of it.
_FIFTH = 1.2
# Agents have begun, and each address has a holder that all know.
_BEGUN = 4.0


@attrs.frozen
class Shares:
    """What is held stays, what is asked for is done, and a fleet at rest is at rest."""

    evidence: Evidence
    custodies: Custodies

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from Absences(self.evidence).without_holder()
        yield from self._uprooted()
        yield from self._unfit()
        yield from self._not_passed_on()
        yield from self._restless()
        for evened in self.evidence.run.chronicle.all(Evened):
            yield from self._uneven(evened)

    # Nothing moves without a reason

    def _uprooted(self) -> Iterator[Violation]:
        for before, after in self.custodies.moves():
            self.evidence.judged[Situation.UPROOTED] += 1
            explained = any(self._explains(fault, before) for fault in self.evidence.run.scenario.faults)
            if not explained and not self._is_too_narrow(before):
                text = f"{before.address} goes from {before.node} to {after.node}, and nothing has happened there"
                yield self.evidence.violation(before.end, "moved for nothing", text)

    def _is_too_narrow(self, custody: Custody) -> bool:
        """Tell whether its node had it only because nobody else was there whose links are in its networks."""
        plans, related = self.evidence.run.scenario.services, self._related(custody)
        wide = any(address.version == 6 for plan in plans if plan.name in related for address in plan.addresses)
        return wide and custody.node in self.evidence.run.scenario.manners.narrow

    def _explains(self, fault: Fault, custody: Custody) -> bool:
        if not fault.start <= custody.end <= self._over(fault):
            return False
        if isinstance(fault, OfService | ServiceGone | EndpointsGone):
            return bool(self._meant(fault) & self._related(custody))
        if isinstance(fault, Rebalance):
            return True
        if isinstance(fault, PassOn):
            return custody.address == fault.address or bool(self._users(fault.address) & self._related(custody))
        if fault.loses_frames and self.evidence.run.scenario.failover == "fast":
            # Whoever hears a node no more, and gets no answer, takes its Lease away, wherever the frames got lost.
            return True
        resigns = self.evidence.run.scenario.manners.verify == "resign"
        unanswered = resigns and isinstance(fault, WitnessesCut | WitnessesOff)
        grave = unanswered or fault.delays or fault.strikes_agent or fault.unfits or fault.hands_over or fault.silences
        return grave and (not fault.nodes or custody.node in fault.nodes)

    def _over(self, fault: Fault) -> float:
        """When nothing happens any more because of *fault*."""
        if isinstance(fault, Errand):
            return fault.end
        # Who couldn't hold or announce anything for a while is left alone for some time.
        rest = REST if isinstance(fault, CardRefuses | RefusingKernel | SlowKernel) else 0.0
        return fault.end + BACK_OFF * fault.duration * fault.delays + START + self.evidence.promises.takeover + rest

    @staticmethod
    def _meant(fault: Fault) -> frozenset[str]:
        if isinstance(fault, OfService):
            return frozenset(fault.services)
        assert isinstance(fault, ServiceGone | EndpointsGone)
        return frozenset({fault.service})

    def _related(self, custody: Custody) -> frozenset[str]:
        """Return the Services that share an address with those that use the one of *custody*, however far."""
        plans = [*self.evidence.run.scenario.services]
        plans += [fault.plan for fault in self.evidence.run.scenario.faults if isinstance(fault, ServiceChanged)]
        found, size = set(custody.services) | self._users(custody.address), -1
        while len(found) > size:
            size = len(found)
            addresses = {address for plan in plans if plan.name in found for address in plan.addresses}
            found |= {plan.name for plan in plans if addresses & set(plan.addresses)}
        return frozenset(found)

    def _users(self, address: object) -> frozenset[str]:
        return frozenset(plan.name for plan in self.evidence.run.scenario.services if address in plan.addresses)

    # What is asked for is done

    def _unfit(self) -> Iterator[Violation]:
        of_nodes = Fitness(self.evidence)
        for fault in self.evidence.run.scenario.faults:
            if isinstance(fault, Cordoned | CheckFails):
                yield from of_nodes.kept_by_unfit(fault)

    def _not_passed_on(self) -> Iterator[Violation]:
        """Whom an operator names gets the address, where that may have it."""
        for fault in self.evidence.run.scenario.faults:
            at = fault.start + self.evidence.allowed(Situation.ASKED)
            if not isinstance(fault, PassOn) or not self.evidence.run.scenario.manners.simple:
                continue
            if fault.to in self.evidence.run.scenario.manners.narrow or not self._is_alone(fault, at):
                continue
            holders = [each.node for each in self._held_at(at) if each.address == fault.address]
            if not any(each.address == fault.address for each in self._held_at(fault.start)):
                continue
            self.evidence.judged[Situation.ASKED] += 1
            if holders != [fault.to]:
                text = (
                    f"{fault.address} is held by {', '.join(holders) or 'nobody'} {at - fault.start:.3f} s after this"
                )
                yield self.evidence.violation(at, "not handed over", f"{text}: {fault}")

    def _is_alone(self, fault: Fault, until: float) -> bool:
        others = [other for other in self.evidence.run.scenario.faults if other is not fault]
        begun = fault.start > _BEGUN + self.evidence.promises.takeover and until < self.evidence.run.end
        return begun and not any(each.start <= until and fault.start <= self._over(each) for each in others)

    def _held_at(self, time: float) -> list[Tenure]:
        return [tenure for tenure in self.evidence.tenures if tenure.start <= time < tenure.end]

    # A fleet at rest

    def _restless(self) -> Iterator[Violation]:
        scenario = self.evidence.run.scenario
        begun = _BEGUN + self.evidence.promises.takeover
        quiet = without([(begun, self.evidence.run.end)], [(f.start, self._over(f)) for f in scenario.faults])
        for start, end in quiet:
            self.evidence.judged[Situation.RESTLESS] += 1
            for event in self.evidence.run.chronicle.all(Recorded):
                if start < event.time < end and event.writer not in ("", OPERATOR):
                    yield self.evidence.violation(event.time, "written for nothing", str(event))
            yield from self._renewals(start, end)

    def _renewals(self, start: float, end: float) -> Iterator[Violation]:
        scenario = self.evidence.run.scenario
        writes = [each for each in self.evidence.run.chronicle.all(Wrote) if start < each.time < end]
        counts = Counter((each.node, each.lease) for each in writes if each.lease not in scenario.governing.values())
        for (node, lease), count in sorted(counts.items()):
            most = (end - start) * self.evidence.rate(node) / scenario.timing.retry_period + 2
            if count > most or len([each for each in counts if each[0] == node]) > 1:
                text = f"{node} writes {lease.name} {count} times from {start:.3f} to {end:.3f} s"
                yield self.evidence.violation(end, "written for nothing", text)

    # Bounds

    def _uneven(self, evened: Evened) -> Iterator[Violation]:
        """A rebalance that met nothing else brings all nodes within their bounds, and moves no more than it takes."""
        fault = next(each for each in self.evidence.run.scenario.faults if each.start == evened.asked)
        if not self._is_alone(fault, evened.time):
            return
        self.evidence.judged[Situation.BURDENED] += 1
        if evened.stuck or (evened.left and evened.most is None):
            yield self.evidence.violation(evened.time, "not balanced", str(evened))
        if not self.evidence.run.scenario.manners.simple:
            return
        self.evidence.judged[Situation.NEEDLESS] += 1
        needed = self._needed(dict(evened.before))
        if evened.moves > (needed if evened.most is None else min(needed, evened.most)):
            text = f"{needed} moves would do: {evened}"
            yield self.evidence.violation(evened.time, "moved for nothing", text)
        if evened.most is None and self._needed(self._loads(evened.time)):
            loads = ", ".join(f"{node} {count}" for node, count in sorted(self._loads(evened.time).items()))
            yield self.evidence.violation(evened.time, "not balanced", f"after it: {loads}")

    def _loads(self, time: float) -> Counter[str]:
        """Return how many Services each node has: each has its first address for itself here."""
        found = Counter(dict.fromkeys(self._present(time), 0))
        for plan in self.evidence.run.scenario.services:
            custodies = self.custodies.of_address(plan.addresses[0])
            found.update(each.node for each in custodies if each.start <= time < each.end)
        return found

    def _present(self, time: float) -> Iterable[str]:
        said: dict[str, Termed] = {
            each.node: each for each in self.evidence.run.chronicle.all(Termed) if each.time <= time
        }
        return [node for node, last in said.items() if last.holder]

    def _needed(self, loads: dict[str, int] | Counter[str]) -> int:
        """Return how many moves it takes at least until each node is within its bounds."""
        scenario = self.evidence.run.scenario
        weights = scenario.manners.weights or (1.0,) * len(scenario.nodes)
        weight = {node: each for node, each in zip(scenario.nodes, weights, strict=True) if node in loads}
        share = {node: sum(loads.values()) * each / sum(weight.values()) for node, each in weight.items()}
        over = sum(
            max(0, loads[node] - max(math.ceil(each), math.floor(_FIFTH * each))) for node, each in share.items()
        )
        under = sum(max(0, math.floor(each / _FIFTH) - loads[node]) for node, each in share.items())
        return max(over, under)


@attrs.frozen
class SharedCallers:
    """Who calls an address loses nothing while it is handed over, and nothing else is wrong."""

    evidence: Evidence
    custodies: Custodies

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        for lost in self.evidence.run.chronicle.all(Reached):
            if lost.node or lost.address not in self.evidence.addresses:
                continue
            given = (
                each
                for each in self.custodies.of_address(lost.address)
                if each.given and each.end <= lost.time <= each.end + HANDED_OVER
            )
            if any(self._is_smooth(each, lost.time) for each in given):
                text = f"{lost.caller} doesn't reach {lost.address} while it is handed over"
                yield self.evidence.violation(lost.time, "lost in a handover", text)

    def _is_smooth(self, given: Custody, until: float) -> bool:
        """Tell whether nothing is wrong but what has a node hand over."""
        since, nodes = given.asked - 2 * START, self.evidence.run.scenario.nodes
        near = list(self.evidence.weather.striking(nodes, since, until))
        return since > _BEGUN and all(fault.hands_over and not fault.delays for fault in near)
