"""The free addresses of one pool and family, in the order in which they are given out.

First fit: ascending the lowest free address, descending the highest. What was never given out is behind a
cursor, what came back is in a heap; both are looked through lazily, against what is in use by now. So each call
costs O(log n), averaged over the calls. Others may take addresses past this list and give them back, again and
again, so the heap is tidied when it has doubled.
"""

from collections.abc import Container
from heapq import heapify, heappop, heappush

from kubevip.ipam.blocks import Blocks

# So many more than there were are put into the heap before it is tidied.
_SOME = 64


class FreeList:
    """Finds free addresses of *blocks*: those whose places aren't in *taken*, which belongs to others."""

    __slots__ = ("_blocks", "_freed", "_most", "_next", "_runs", "_step", "_stop", "_taken")

    def __init__(self, blocks: Blocks, taken: Container[int], *, descending: bool = False) -> None:
        self._blocks = blocks
        self._taken = taken
        self._step = -1 if descending else 1
        self._runs = blocks.runs(descending=descending)
        self._freed: list[int] = []
        self._most = _SOME
        # At the end of a run only when there is no other one.
        self._next = self._stop = 0
        self._enter_next_run()

    def first(self) -> int | None:
        """Return the place of the first free address, or ``None`` if there is none. It stays free until it is taken."""
        taken, step, freed = self._taken, self._step, self._freed
        while freed:
            place = freed[0] * step
            if place not in taken:
                return place
            heappop(freed)
        place, stop = self._next, self._stop
        while True:
            if place == stop:
                self._next = place
                if not self._enter_next_run():
                    return None
                place, stop = self._next, self._stop
            if place not in taken:
                self._next = place
                return place
            place += step

    def _enter_next_run(self) -> bool:
        run = next(self._runs, None)
        if run is not None:
            ascending = self._step > 0
            self._next, self._stop = (run.first, run.last + 1) if ascending else (run.last, run.first - 1)
        return run is not None

    def give_back(self, place: int) -> None:
        """Note that the address at *place* is free again, if it belongs to this pool."""
        if (place - self._next) * self._step < 0 and place in self._blocks:
            heappush(self._freed, place * self._step)
            if len(self._freed) > self._most:
                self._tidy()

    def _tidy(self) -> None:
        """Leave out what somebody has by now, and what is there twice."""
        self._freed = list({ordered for ordered in self._freed if ordered * self._step not in self._taken})
        heapify(self._freed)
        self._most = 2 * len(self._freed) + _SOME
