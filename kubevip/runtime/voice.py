"""When others have heard a node last, and whether it can hear them: who misses whom follows from both.

Before three heartbeats are missed nobody takes the Lease of a holder. And a candidate whose own link is down hears
nobody: that says nothing of the holder.
"""

import asyncio
import math
from collections.abc import Callable

import attrs

from kubevip.heartbeat import MISSED
from kubevip.runtime.wire import ANSWER_WITHIN

# However short the interval, a kernel is given so many seconds to answer.
SHORTEST_ANSWER = 0.005
# Of the time that others wait before they miss us, this part is counted on: their clocks go by others' quartzes.
_COUNTED_ON = 0.99
# The kernel tells of a link that is down some time later: what was sent in these seconds may not have been heard.
TOLD_WITHIN = 0.03


def answer_within(interval: float) -> float:
    """Return how many seconds whoever misses a holder gives its kernel to answer, with heartbeats of *interval*."""
    return min(ANSWER_WITHIN, max(SHORTEST_ANSWER, interval / 2))


@attrs.define(eq=False)
class Voice:
    """What a node says to live by. One that sends no heartbeats has none: then nobody would miss them.

    *speak* sends a heartbeat at once. Times are seconds on the loop's clock.
    """

    speak: Callable[[], None] = lambda: None
    _spoke_at: float = attrs.field(default=math.inf, init=False)
    _interval: float = attrs.field(default=0.0, init=False)
    _carried: bool = attrs.field(default=True, init=False)
    _was_cut: bool = attrs.field(default=False, init=False)

    def begin(self) -> None:
        """Nobody has been heard yet in this term: who never was can't be missed."""
        self._spoke_at = math.inf

    def spoke(self, interval: float) -> None:
        """Say now that a heartbeat is sent, of those that come each *interval*, on a link that is up."""
        self._spoke_at, self._interval = self._now(), interval

    def cut(self) -> None:
        """Our links are down."""
        if self._carried and self._spoke_at < math.inf:
            late = TOLD_WITHIN - (self._now() - self._spoke_at)
            self._spoke_at -= max(0, math.ceil(late / self._interval)) * self._interval
        self._carried, self._was_cut = False, True

    def mend(self) -> None:
        """A link is up again, so that we are heard as soon as we speak."""
        self._carried = True
        self.speak()

    @property
    def is_cut(self) -> bool:
        """Whether our links are down, as far as that counts."""
        return not self._carried

    def could_hear(self) -> bool:
        """Tell whether a link was up ever since this was asked last."""
        could, self._was_cut = not self._was_cut, not self._carried
        return could

    @property
    def unmissed_until(self) -> float:
        """Until when nobody can take our Lease because of our silence, whatever gets through.

        Who misses a holder takes its Lease when nobody has answered his last question. So a link that is back by then
        has prevented it.
        """
        return self._spoke_at + _COUNTED_ON * MISSED * self._interval - answer_within(self._interval)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
