"""How long something took, as counts in buckets: what Prometheus calls a histogram."""

import bisect
import itertools

import attrs

# In seconds: from what a good switch needs, over what is noticed, to what was not noticed by anybody for long.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@attrs.define(eq=False)
class Durations:
    """Counts durations in seconds."""

    _counts: list[int] = attrs.field(factory=lambda: [0] * (len(BUCKETS) + 1), init=False)
    total: float = attrs.field(default=0.0, init=False)

    def note(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the upper bound of each bucket as Prometheus writes it, and how many took at most so long."""
        bounds = [*map(str, BUCKETS), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, itertools.accumulate(self._counts), strict=True)]
