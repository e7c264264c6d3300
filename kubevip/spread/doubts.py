"""What a node does about terms of other nodes that may be over. Pure.

Where only a Lease can tell, it is read. A Lease that has fallen silent is taken away, which ends its term for all. That
is done by one candidate after the other, in an order that all know, since each of them sees the silence at once.
"""

import math
from collections.abc import Iterable

import attrs

from kubevip.placement import Item, Placement
from kubevip.spread.assignment import best_first
from kubevip.spread.charges import Bury, Look
from kubevip.spread.roster import Fate, Roster
from kubevip.spread.tenure import Tenure

# Candidates for taking a silent Lease away go one after the other, so many seconds apart.
TURN = 0.05
DOUBTFUL = frozenset({Fate.SILENT, Fate.UNSURE})


@attrs.frozen
class Doubts:
    """How *node* finds out about terms, by what its *roster* knows of their nodes."""

    node: str
    roster: Roster

    def steps(self, tenures: Iterable[Tenure], placement: Placement, now: float) -> tuple[list[Look | Bury], float]:
        """Return what to find out about the doubtful ones of *tenures*, and when to ask for more, in seconds.

        The order of the candidates follows from *placement*.
        """
        steps: list[Look | Bury] = []
        again = math.inf
        for node, fates in sorted(_by_node(tenures).items()):
            record = self.roster.record(node)
            due = self.roster.ends(node) + TURN * self._rank(node, placement)
            if Fate.UNSURE in fates or record is None:
                steps.append(Look(node))
            elif now >= due:
                steps.append(Bury(node, record))
            else:
                again = min(again, due)
        return steps, again

    def _rank(self, node: str, placement: Placement) -> int:
        grave = Item(key=f"Lease of {node}")
        names = [each.name for each in best_first(grave, placement.nodes.values()) if each.name != node]
        return names.index(self.node) if self.node in names else len(names)


def _by_node(tenures: Iterable[Tenure]) -> dict[str, set[Fate]]:
    """Return the doubtful fates of what each node is said to have."""
    found: dict[str, set[Fate]] = {}
    for tenure in tenures:
        if tenure.holder is not None and tenure.fate in DOUBTFUL:
            found.setdefault(tenure.holder.node, set()).add(tenure.fate)
    return found
