"""Judges spread mode: one holder for each address, and nobody has one without a record and a term."""

from collections.abc import Iterator

import attrs

from kubevip.kube.nodeleases import PREFIX
from kubevip.model import LeaseKey
from kubevip.testing.history import Tenure
from kubevip.testing.simulation.checks_lease import NOTICE
from kubevip.testing.simulation.checks_overlap import Overlaps
from kubevip.testing.simulation.chronicle import Announced, Wrote
from kubevip.testing.simulation.custodies import Custodies, Custody
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.promises import EPSILON, Situation
from kubevip.testing.simulation.scenario import NAMESPACE
from kubevip.testing.simulation.terms import coverage
from kubevip.testing.simulation.weather import without

# What is needed to remove an address after the last reason to keep it, in seconds.
_REMOVAL = 0.5


def lease_of(node: str) -> LeaseKey:
    """Return the Lease of a node."""
    return LeaseKey(NAMESPACE, PREFIX + node)


@attrs.frozen
class SharedOverlaps(Overlaps):
    """At most one node has an address. A handover is planned where the old holder, or its last word, names the new."""

    custodies: Custodies

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self.two_holders()
        yield from self._overwritten()

    def _overwritten(self) -> Iterator[Violation]:
        """Nobody but its node ends what a record says, as long as the Lease of its node says the same."""
        for before, after in self.custodies.moves():
            self.evidence.judged[Situation.OVERWRITTEN] += 1
            by_another = before.ended_by not in ("", before.node) and before.end == after.start
            if by_another and not self.custodies.is_over(before.node, before.term, after.start):
                text = f"{before.ended_by} gives {before.address} to {after.node}, and {before.node} is in its term"
                yield self.evidence.violation(after.start, "taken from a living node", text)

    def _back_at(self, earlier: Tenure, later: Tenure) -> float:
        again = (
            custody.start
            for custody in self.custodies.of_address(later.address)
            if custody.node == earlier.node and later.start < custody.start < min(earlier.end, later.end)
        )
        return max(again, default=later.start)

    def _was_planned(self, earlier: Tenure, later: Tenure) -> bool:
        return self._judge(earlier, later)[0] in (Situation.PLANNED, Situation.PLANNED_STRUCK)

    def _judge(self, earlier: Tenure, later: Tenure) -> tuple[Situation, float]:
        last = self.custodies.last_of(earlier.node, later.address, later.start)
        released = self.custodies.release(earlier.node, last.term, later.start) if last is not None else None
        if last is not None and last.given and last.end <= later.start:
            return self._handover(earlier, later, last.asked, later.start)
        if released is not None:
            told = self._told(earlier.node, released.time)
            return self._handover(earlier, later, released.asked, told if told is not None else later.start)
        situation = self._unplanned(earlier, later)
        return situation, self.evidence.allowed(situation)

    def _handover(self, earlier: Tenure, later: Tenure, since: float, known: float) -> tuple[Situation, float]:
        """A handover may take until the old holder knows of it, and a bit."""
        end = max(later.start, known) + self.evidence.allowed(Situation.PLANNED)
        if self.evidence.weather.is_smooth((earlier.node, later.node), since, end):
            return Situation.PLANNED, end - later.start
        return Situation.PLANNED_STRUCK, self.evidence.allowed(Situation.PLANNED_STRUCK)

    def _told(self, node: str, released: float) -> float | None:
        """Return when *node* knew that its Lease was released; ``None`` where it never did."""
        writes = self.evidence.run.chronicle.all(Wrote)
        return self.evidence.told_of(
            next(each for each in writes if (each.lease, each.time) == (lease_of(node), released))
        )


@attrs.frozen
class SharedCoverage:
    """No address without a record and a Lease, and no announcement without a term in which a record names its node."""

    evidence: Evidence
    custodies: Custodies

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        for tenure in self.evidence.tenures:
            yield from self._without_lease(tenure)
            yield from self._without_record(tenure)
        for announced in self.evidence.run.chronicle.all(Announced):
            if announced.address not in self.evidence.run.scenario.governing:
                yield from self._without_term(announced)

    def _without_lease(self, tenure: Tenure) -> Iterator[Violation]:
        self.evidence.judged[Situation.LEASELESS] += 1
        grants = self.evidence.terms.grants.get((tenure.node, lease_of(tenure.node)), [])
        covered = coverage(grants, self.evidence.allowed(Situation.LEASELESS) / self.evidence.rate(tenure.node))
        if not any(each.start - EPSILON <= tenure.start and tenure.end <= each.end + EPSILON for each in covered):
            ends = max((each.end for each in covered if each.start <= tenure.start), default=tenure.start)
            late = f"from {tenure.start:.6f} to {tenure.end:.6f} s, and its Lease ends at {ends:.6f} s at the latest"
            yield self.evidence.violation(ends, "without a Lease", f"{tenure.node} has {tenure.address} {late}")

    def _without_record(self, tenure: Tenure) -> Iterator[Violation]:
        self.evidence.judged[Situation.UNRECORDED] += 1
        named = [
            (custody.start, self._kept_until(custody) + EPSILON)
            for custody in self.custodies.of_address(tenure.address)
            if custody.node == tenure.node
        ]
        for start, end in without([(tenure.start, tenure.end)], named):
            if end - start > EPSILON:
                text = f"{tenure.node} has {tenure.address} until {end:.6f} s, and no record names it"
                yield self.evidence.violation(start, "without a record", text)

    def _kept_until(self, custody: Custody) -> float:
        """Return how long an address may stay that isn't its node's any more.

        For a successor it stays; whoever must be told first is told as late as its API server lets it be. Where an
        agent or kernel fails, or a Lease has ended, the Lease bounds that.
        """
        scenario, weather = self.evidence.run.scenario, self.evidence.weather
        longest = max(scenario.linger, self.evidence.allowed(Situation.UNFIT)) + _REMOVAL
        since = custody.end - scenario.timing.duration
        near = weather.striking((custody.node,), since, custody.end + longest)
        calm = all(fault.hands_over for fault in near)
        away = weather.hides_api(custody.node, since, custody.end + longest)
        return custody.end + longest if calm and not away else float("inf")

    def _without_term(self, announced: Announced) -> Iterator[Violation]:
        self.evidence.judged[Situation.TERMLESS] += 1
        node, slack = announced.node, self.evidence.allowed(Situation.TERMLESS) + EPSILON
        what = f"{node} announces {announced.address}"
        if not self.evidence.terms.term_at(node, lease_of(node), announced.time, slack):
            yield self.evidence.violation(announced.time, "without a term", f"{what} and has no term")
        elif not self._is_named(announced):
            yield self.evidence.violation(announced.time, "without a term", f"{what} and no record names it")
        elif not self._holds(announced):
            yield self.evidence.violation(announced.time, "without an address", f"{what} and doesn't have it")

    def _is_named(self, announced: Announced) -> bool:
        """Tell whether a record names the node, or did until somebody ended that whom its node had to hear of first."""
        last = self.custodies.last_of(announced.node, announced.address, announced.time)
        if last is None:
            return False
        return announced.time <= (last.end if last.given else self._kept_until(last)) + EPSILON

    def _holds(self, announced: Announced) -> bool:
        return any(
            (tenure.node, tenure.address) == (announced.node, announced.address)
            and tenure.start <= announced.time <= tenure.end + NOTICE
            for tenure in self.evidence.tenures
        )
