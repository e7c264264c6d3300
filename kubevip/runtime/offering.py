"""Gives up Leases for better nodes, and takes them back where there is none.

Whoever offers a Lease holds back for a moment when it is free, so that others go first; from then on also wherever
it is free or has expired. The pauses between offers grow, so that a fleet in which no node is better comes to rest.
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from kubevip.model import LeaseKey
from kubevip.runtime.keeper import Keeper

# How long a node that gave up a Lease leaves it to others: longer than a watch event takes, and a little less than
# the three seconds for which it keeps answering. Spread, so that of several the same one isn't always the last.
HOLD_BACK, SPREAD = 2.0, 0.5
# Pauses between offers of one Lease, in seconds: each is twice the one before it.
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0


class Campaign(Protocol):
    """A campaign for a Lease; ``kubevip.runtime.elector.Elector`` is one."""

    def offer(self, hold_back: float) -> None:
        """Release the Lease; take it again if nobody has done so within *hold_back* seconds."""

    def hold_back(self, seconds: float) -> None:
        """Leave a free Lease to others for so long."""


@attrs.define(eq=False)
class Offers:
    """The offers of one node. *campaigns* are those for the Leases that may be given up. Times are the loop's."""

    _keeper: Keeper
    _campaigns: Mapping[LeaseKey, Campaign]
    _random: Callable[[], float] = random.random
    _count: dict[LeaseKey, int] = attrs.field(factory=dict, init=False)
    _since_answer: dict[LeaseKey, int] = attrs.field(factory=dict, init=False)
    _next: dict[LeaseKey, float] = attrs.field(factory=dict, init=False)

    def may_make(self, lease: LeaseKey, now: float) -> bool:
        """Tell whether *lease* may be offered: it was not lately."""
        return lease in self._campaigns and now >= self._next.get(lease, -math.inf)

    def make(self, lease: LeaseKey, now: float) -> None:
        """Offer *lease*, which this node holds."""
        made = self._since_answer.get(lease, 0)
        self._since_answer[lease] = made + 1
        self._count[lease] = self._count.get(lease, 0) + 1
        self._next[lease] = now + min(FIRST_PAUSE * 2.0**made, LONGEST_PAUSE)
        self._keeper.expect_successor(lease)
        self._campaigns[lease].offer(HOLD_BACK + SPREAD * self._random())

    def end(self, lease: LeaseKey) -> None:
        """Nothing speaks against this node any more."""
        if self._since_answer.pop(lease, 0):
            self._next.pop(lease, None)
            if lease in self._campaigns:
                self._campaigns[lease].hold_back(0.0)

    def made(self) -> Mapping[LeaseKey, int]:
        """Return how often each Lease was offered since the start."""
        return dict(self._count)
