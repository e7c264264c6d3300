"""Judges whether two had what one is to have: the term of a Lease, an address."""

from collections.abc import Iterator

import attrs

from kubevip.model import LeaseKey
from kubevip.testing.history import Tenure
from kubevip.testing.simulation.chronicle import Wrote
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_node import LinkDown, OnlyLinkDown
from kubevip.testing.simulation.promises import EPSILON, Situation
from kubevip.testing.simulation.segments import segment_of
from kubevip.testing.simulation.weather import without


@attrs.frozen
class Overlaps:
    """At most one has a term, and at most one an address, with the tolerance of the mode."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self.two_leaders()
        yield from self.two_holders()

    def two_leaders(self) -> Iterator[Violation]:
        places = sorted(self.evidence.terms.terms)
        for number, (node, lease) in enumerate(places):
            for other, same in places[number + 1 :]:
                if same == lease:
                    yield from self._both_lead(lease, node, other)

    def _both_lead(self, lease: LeaseKey, node: str, other: str) -> Iterator[Violation]:
        self.evidence.judged[Situation.TERMS] += 1
        for one in self.evidence.terms.terms[node, lease]:
            for two in self.evidence.terms.terms[other, lease]:
                start, end = max(one.start, two.start), min(one.end, two.end)
                if end - start > self.evidence.allowed(Situation.TERMS) + EPSILON:
                    text = f"{node} and {other} both lead {lease.name} for {1000 * (end - start):.3f} ms"
                    yield self.evidence.violation(start, "two leaders", text)

    def two_holders(self) -> Iterator[Violation]:
        """Two must not hold an address, or not for longer than the way from one to the other allows."""
        for address in dict.fromkeys(tenure.address for tenure in self.evidence.tenures):
            held = [tenure for tenure in self.evidence.tenures if tenure.address == address]
            for number, later in enumerate(held):
                before = {tenure.node: tenure for tenure in held[:number] if tenure.node != later.node}
                for earlier in before.values():
                    yield from self._succession(earlier, later)

    def _succession(self, earlier: Tenure, later: Tenure) -> Iterator[Violation]:
        situation, allowed = self._judge(earlier, later)
        # Where it went back meanwhile, that is another handover, and its time begins anew.
        allowed += self._back_at(earlier, later) - later.start
        self.evidence.judged[situation] += 1
        overlap = earlier.overlap(later)
        if overlap > allowed + EPSILON:
            planned = situation in (Situation.PLANNED, Situation.PLANNED_STRUCK)
            text = (
                f"{earlier.node} and {later.node} both hold {later.address} for {1000 * overlap:.3f} ms;"
                f" {'planned' if planned else 'unplanned'}, so {1000 * allowed:.0f} ms are allowed"
            )
            yield self.evidence.violation(later.start, "two holders", text)
        elif not self._was_planned(earlier, later):
            yield from self._both_back(earlier, later)

    def _was_planned(self, earlier: Tenure, later: Tenure) -> bool:
        return self._release(earlier, later) is not None

    def _both_back(self, earlier: Tenure, later: Tenure) -> Iterator[Violation]:
        """A node knows when its own link is down: where nothing else kept frames back, two must not be reached."""
        end = min(earlier.end, later.end)
        down = self._only_links_down(earlier, later, end)
        if not down:
            return
        self.evidence.judged[Situation.BACK] += 1
        reached = without(
            [(later.start, end)] if later.start < end else [], [(fault.start, fault.end) for fault in down]
        )
        both = sum(until - since for since, until in reached)
        if both > self.evidence.allowed(Situation.BACK) + EPSILON:
            text = (
                f"{earlier.node} and {later.node} both hold {later.address} and are reached for {1000 * both:.3f} ms,"
                f" and only links were down"
            )
            yield self.evidence.violation(reached[0][0], "two holders", text)

    def _only_links_down(self, earlier: Tenure, later: Tenure, end: float) -> list[Fault]:
        """Return the links that were down lately; none if there was something else that could be to blame."""
        since = later.start - self.evidence.run.scenario.timing.duration - 1.0
        link = segment_of(later.address)
        struck = list(self.evidence.weather.striking((earlier.node, later.node), since, end))
        links = (LinkDown, OnlyLinkDown)
        down: list[Fault] = [fault for fault in struck if isinstance(fault, links) and fault.loses_on(link)]
        return down if all(fault.hides_api for fault in struck if fault not in down) else []

    def _back_at(self, earlier: Tenure, later: Tenure) -> float:
        """Return when the earlier holder took the Lease again while both held; where it didn't, when both began to."""
        return max(
            (
                write.time
                for write in self.evidence.run.chronicle.all(Wrote)
                if write.lease == self.evidence.lease(later.address)
                and (write.holder == earlier.node != write.before)
                and later.start < write.time < min(earlier.end, later.end)
            ),
            default=later.start,
        )

    def _judge(self, earlier: Tenure, later: Tenure) -> tuple[Situation, float]:
        """Return what the way from one holder to the other was, and for how long both may hold."""
        release = self._release(earlier, later)
        if release is not None:
            return self._planned(earlier, later, release)
        if self._came_late(later):
            return Situation.PLANNED_STRUCK, self.evidence.allowed(Situation.PLANNED_STRUCK)
        situation = self._unplanned(earlier, later)
        return situation, self.evidence.allowed(situation)

    def _unplanned(self, earlier: Tenure, later: Tenure) -> Situation:
        weather, both = self.evidence.weather, (earlier.node, later.node)
        lease = self.evidence.run.scenario.timing.duration
        since = later.start - lease - 1.0
        away = weather.hides_api(earlier.node, since, later.start)
        heard = weather.carries(both, later.start - 2.0, later.start, segment_of(later.address))
        if not away:
            return Situation.UNPLANNED if heard else Situation.UNHEARD
        if not heard:
            return Situation.UNHEARD_AWAY
        struck = weather.striking(both, since, later.start + self.evidence.allowed(Situation.PLANNED))
        alone = all(fault.hides_api for fault in struck)
        return Situation.UNPLANNED_AWAY if alone else Situation.STRUCK_AWAY

    def _planned(self, earlier: Tenure, later: Tenure, release: Wrote) -> tuple[Situation, float]:
        """A handover may take until the old holder knows that it has released, and a bit."""
        told = self.evidence.told_of(release)
        if told is not None:
            end = max(later.start, told) + self.evidence.allowed(Situation.PLANNED)
            if self.evidence.weather.is_smooth((earlier.node, later.node), release.asked, end):
                return Situation.PLANNED, end - later.start
        return Situation.PLANNED_STRUCK, self.evidence.allowed(Situation.PLANNED_STRUCK)

    def _came_late(self, later: Tenure) -> bool:
        """Tell whether the address came onto the later holder's link after it had been handed over already.

        A kernel that takes its time puts what it was asked for before.
        """
        slow = any(
            fault.delays for fault in self.evidence.weather.striking((later.node,), later.start - 1.0, later.start)
        )
        return slow and self._release(later, later) is not None

    def _release(self, earlier: Tenure, later: Tenure) -> Wrote | None:
        """Return how the earlier holder gave up its Lease for the later one; ``None`` where it did not."""
        writes = [
            write
            for write in self.evidence.run.chronicle.all(Wrote)
            if write.lease == self.evidence.lease(later.address) and write.time <= later.start
        ]
        # Who asks the holder for a Lease writes it, too, and leaves the holder in it.
        own = (write for write in reversed(writes) if write.node == earlier.node and write.holder in ("", write.node))
        last = next(own, None)
        return last if last is not None and not last.holder else None
