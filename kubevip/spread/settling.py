"""How much a node takes while its fleet is starting: the first one must not take what is meant for all. Pure.

What is held stays where it is, so whoever comes first would have everything for good. Where most Services have no
holder when a node's term begins, its fleet is starting. It takes no more than its part then, of all nodes that are
known to have been there before, until all of those are back; until nobody has come for a while; and not for long. Of
a fleet that starts for the first time nothing is known: a node waits that while before it takes anything.
"""

import math

import attrs

from kubevip.spread.roster import Roster

# So many seconds after the last node nobody is waited for any more; and after so many in all in any case.
QUIET, LONGEST = 1.0, 5.0


@attrs.define(eq=False)
class Settling:
    """The start of *node* among those of *roster*."""

    node: str
    roster: Roster

    _began: float = attrs.field(default=math.inf, init=False)
    _first: bool = attrs.field(default=False, init=False)
    _over: bool = attrs.field(default=True, init=False)

    def begin(self, now: float, *, free: int, total: int) -> None:
        """A term of this node begins, while so many Services of *total* are *free*."""
        own = self.roster.record(self.node)
        self._began, self._over = now, 2 * free <= total
        # Its Lease has never had another holder, not even none.
        self._first = own is None or own.transitions == 0

    def end(self, now: float) -> float:
        """Return when it ends if no other node comes; it has ended where that isn't after *now*."""
        if not self._over:
            known = self.roster.known()
            until = min(max(self._began, self.roster.arrived) + QUIET, self._began + LONGEST)
            complete = not self._first and len(self.roster.present(now)) >= known
            if not complete and now < until:
                return until
            self._over = True
        return -math.inf

    def part(self, total: int) -> int:
        """Return how many Services of *total* this node may have until then."""
        return 0 if self._first else total // max(1, self.roster.known())
