"""Judges what those saw who talk to the addresses."""

import math
import operator
from collections.abc import Iterator

import attrs

from kubevip.model import IPAddress
from kubevip.testing.history import Tenure
from kubevip.testing.simulation.chronicle import Reached, Wrote
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults_node import Restart
from kubevip.testing.simulation.weather import START, without

# An address is announced every three seconds; whoever talks to it does so five times a second.
REACHED_WITHIN = 3.5
# For so long after a release a caller may still go to who released.
HANDED_OVER = 0.5
# So many seconds before its Lease has expired, at the latest, the kernel removes what waits for a successor.
FENCE = 0.9

_version = operator.attrgetter("version")


@attrs.frozen
class Callers:
    """A planned handover loses nothing, and whoever calls reaches the holder soon."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self.lost_handovers()
        yield from self.unreached()

    def lost_handovers(self) -> Iterator[Violation]:
        """In a planned handover that meets no fault nobody notices anything."""
        for lost in self.evidence.run.chronicle.all(Reached):
            if not lost.node and lost.address in self.evidence.addresses:
                released = self._released_lately(lost)
                if released is not None:
                    text = f"{lost.caller} doesn't reach {lost.address} while it is handed over"
                    yield self.evidence.violation(lost.time, "lost in a handover", text)

    def _released_lately(self, lost: Reached) -> Wrote | None:
        """Return the release of the Lease that *lost* came after, if there was one and no fault before and after it."""
        lease = self.evidence.lease(lost.address)
        for write in self.evidence.run.chronicle.all(Wrote):
            near = write.lease == lease and not write.holder and write.asked <= lost.time <= write.time + HANDED_OVER
            if near and self._is_only_stopped(write, lost.time) and lost.time < self._waited_until(write):
                return write
        return None

    def _waited_until(self, write: Wrote) -> float:
        """Return until when who asked for the release *write* has to wait for a successor, if none comes.

        Its address ends with its Lease; or at its deadline, if it doesn't know by then whether it has released.
        """
        grants = self.evidence.terms.grants.get((write.node, write.lease), [])
        last = max((grant for grant in grants if grant.version < write.version), key=_version, default=None)
        if last is None:
            return math.inf
        told = self.evidence.told_of(write)
        return last.expires - FENCE if told is not None and told < last.until else last.until

    def _is_only_stopped(self, write: Wrote, until: float) -> bool:
        """Tell whether nothing else happened than that the agent that released was asked to stop, or to hand over."""
        if write.asked < 1.0 + START:
            # Agents still begin.
            return False
        since = write.asked - START
        (*others, last) = [None, *self.evidence.weather.striking(self.evidence.run.scenario.nodes, since, until)]
        stopped = isinstance(last, Restart) and write.node in last.nodes and until < last.end
        return others == [None] and last is not None and (stopped or last.hands_over)

    def unreached(self) -> Iterator[Violation]:
        """Who talks to an address reaches its only holder soon, where nothing keeps it from telling where it is."""
        for reached, until in self._reaches():
            for tenure in self._alone(reached.address):
                since, end = max(reached.time, tenure.start), min(until, tenure.end)
                if reached.node == tenure.node or end - since <= REACHED_WITHIN:
                    continue
                for start, stop in self.evidence.weather.quiet_times(tenure.node, since, end):
                    if stop - start > REACHED_WITHIN:
                        where = f"{tenure.node} at {reached.address}"
                        text = f"{reached.caller} doesn't reach {where} for {stop - start:.3f} s"
                        yield self.evidence.violation(start + REACHED_WITHIN, "not reached", text)

    def _reaches(self) -> Iterator[tuple[Reached, float]]:
        """Yield whom each caller reached, and until when."""
        last: dict[tuple[str, IPAddress], Reached] = {}
        for event in self.evidence.run.chronicle.all(Reached):
            before = last.get((event.caller, event.address))
            if before is not None:
                yield before, event.time
            last[event.caller, event.address] = event
        for event in last.values():
            yield event, self.evidence.run.end

    def _alone(self, address: IPAddress) -> list[Tenure]:
        """Return the tenures of *address*, each without the times at which another node had it, too."""
        found = [tenure for tenure in self.evidence.tenures if tenure.address == address]
        return [
            attrs.evolve(tenure, start=start, end=end)
            for tenure in found
            for start, end in without(
                [(tenure.start, tenure.end)],
                [(other.start, other.end) for other in found if other.node != tenure.node],
            )
        ]
