"""Judges whether each address, and each word about it, was covered by a Lease."""

from collections.abc import Iterator

import attrs

from kubevip.testing.simulation.chronicle import Announced
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.promises import EPSILON, Situation
from kubevip.testing.simulation.terms import coverage

# What an agent needs to be told that an address was removed.
NOTICE = 0.01


@attrs.frozen
class Coverage:
    """No address without a Lease, and no announcement without a term."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self.without_lease()
        yield from self.without_term()

    def without_lease(self) -> Iterator[Violation]:
        for tenure in self.evidence.tenures:
            situation = self.evidence.away(
                Situation.LEASELESS, Situation.LEASELESS_AWAY, tenure.node, tenure.start, tenure.end
            )
            self.evidence.judged[situation] += 1
            grants = self.evidence.terms.grants.get((tenure.node, self.evidence.lease(tenure.address)), [])
            covered = coverage(grants, self.evidence.allowed(situation) / self.evidence.rate(tenure.node))
            if not any(each.start - EPSILON <= tenure.start and tenure.end <= each.end + EPSILON for each in covered):
                ends = max((each.end for each in covered if each.start <= tenure.start), default=tenure.start)
                late = (
                    f"from {tenure.start:.6f} to {tenure.end:.6f} s, and its Lease ends at {ends:.6f} s at the latest"
                )
                yield self.evidence.violation(ends, "without a Lease", f"{tenure.node} has {tenure.address} {late}")

    def without_term(self) -> Iterator[Violation]:
        for announced in self.evidence.run.chronicle.all(Announced):
            if announced.address not in self.evidence.addresses:
                continue
            situation = self.evidence.away(
                Situation.TERMLESS, Situation.TERMLESS_AWAY, announced.node, announced.time, announced.time
            )
            self.evidence.judged[situation] += 1
            slack = self.evidence.allowed(situation) + EPSILON
            lease = self.evidence.lease(announced.address)
            if not self.evidence.terms.term_at(announced.node, lease, announced.time, slack):
                text = f"{announced.node} announces {announced.address} and has no term"
                yield self.evidence.violation(announced.time, "without a term", text)
            elif not self._holds(announced):
                text = f"{announced.node} announces {announced.address} and doesn't have it"
                yield self.evidence.violation(announced.time, "without an address", text)

    def _holds(self, announced: Announced) -> bool:
        return any(
            (tenure.node, tenure.address) == (announced.node, announced.address)
            and tenure.start <= announced.time <= tenure.end + NOTICE
            for tenure in self.evidence.tenures
        )
