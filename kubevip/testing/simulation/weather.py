"""Which faults struck whom when: what may be excused by them, and what may not."""

from collections.abc import Collection, Iterable, Iterator

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_node import Restart, Stall

# Whoever failed for some time asks again after up to three times as long (kubevip.kube.reflector, its jitter).
BACK_OFF = 3.0
# An agent that has just been started, or goes on after it was stalled, needs so many seconds to take part.
START = 1.5


@attrs.frozen
class Weather:
    """The faults of a run."""

    faults: tuple[Fault, ...]

    def is_smooth(self, nodes: Collection[str], start: float, end: float) -> bool:
        """Tell whether nothing strikes one of *nodes* between two times, but what has it hand over, as a stop does."""
        return all(
            fault.hands_over or (isinstance(fault, Restart) and fault.start <= start and end <= fault.end)
            for fault in self.striking(nodes, start, end)
        )

    def carries(self, nodes: Collection[str], start: float, end: float, link: str) -> bool:
        """Tell whether no frame of *nodes* on *link* gets lost between two times because of a fault."""
        return not any(fault.loses_on(link) for fault in self.striking(nodes, start, end))

    def hides_api(self, node: str, start: float, end: float) -> bool:
        """Tell whether *node* may have been without the API server at any time between two times."""
        return any(
            fault.hides_api
            and (not fault.nodes or node in fault.nodes)
            and fault.start <= end
            and start <= fault.end + BACK_OFF * fault.duration + START
            for fault in self.faults
        )

    def stalls(self, node: str, start: float, end: float) -> bool:
        """Tell whether the agent of *node* stood still at any time between two times, or had just done so."""
        return any(
            isinstance(fault, Stall) and node in fault.nodes and fault.start <= end and start <= fault.end + START
            for fault in self.faults
        )

    def striking(self, nodes: Collection[str], start: float, end: float) -> Iterator[Fault]:
        """Yield the faults that strike one of *nodes* between two times."""
        for fault in self.faults:
            here = not fault.nodes or not set(fault.nodes).isdisjoint(nodes)
            if here and fault.start <= end and start <= fault.end:
                yield fault

    def agents_struck(self, start: float, end: float) -> int:
        """Return how often an agent was struck between two times."""
        return sum(len(fault.nodes) for fault in self.faults if fault.strikes_agent and start <= fault.start <= end)

    def free_times(self, node: str, start: float, end: float) -> list[tuple[float, float]]:
        """Return when between two times nothing kept *node* from taking an address."""
        return without([(start, end)], self._hindrances(node))

    def quiet_times(self, node: str, start: float, end: float) -> list[tuple[float, float]]:
        """Return when between two times no fault struck *node*, and no frame got lost because of one."""
        struck = [
            (fault.start, fault.end)
            for fault in self.faults
            if fault.loses_frames or fault.misleads or not fault.nodes or node in fault.nodes
        ]
        return without([(start, end)], struck)

    def _hindrances(self, node: str) -> Iterator[tuple[float, float]]:
        # Each agent begins within the first second.
        yield 0.0, 1.0 + START
        for fault in self.faults:
            if fault.delays:
                yield fault.start, fault.end + BACK_OFF * fault.duration + START
            elif (fault.strikes_agent or fault.unfits) and node in fault.nodes:
                yield fault.start, fault.end + START


def without(times: Iterable[tuple[float, float]], taken: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return what is left of *times*, pairs of beginning and end, where those of *taken* are left out."""
    left = list(times)
    for start, end in taken:
        left = [
            part
            for since, until in left
            for part in ((since, min(until, start)), (max(since, end), until))
            if part[0] < part[1]
        ]
    return left
