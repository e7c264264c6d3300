"""The free addresses of one pool and family, in the order in which they are given out.

First fit: ascending the lowest free address, descending the highest. What was never given out is behind a
cursor. What came back is in a heap while there is little of it, and in a sorted list else, from the end of which it
is taken. All are looked through lazily, against what is in use by now. So each call costs O(log n), averaged over
the calls. Others may take addresses past this list and give them back, again and again, so what is there for nothing
is left out when the list has doubled.
"""

from collections.abc import Container
from heapq import heappop, heappush

from kubevip.ipam.blocks import Blocks

# A heap of that many, or one in so many of what is in the list, goes over into the list.
_SOME, _SHARE = 64, 8


class FreeList:
    """Finds free addresses of *blocks*: those whose places aren't in *taken*, which belongs to others."""

    __slots__ = ("_blocks", "_freed", "_most", "_next", "_runs", "_sorted", "_step", "_stop", "_taken")

    def __init__(self, blocks: Blocks, taken: Container[int], *, descending: bool = False) -> None:
        self._blocks = blocks
        self._taken = taken
        self._step = -1 if descending else 1
        self._runs = blocks.runs(descending=descending)
        # Both hold places by their order; the next one is the first of the heap, or the last of the list.
        self._freed: list[int] = []
        self._sorted: list[int] = []
        self._most = _SOME
        # At the end of a run only when there is no other one.
        self._next = self._stop = 0
        self._enter_next_run()

    def take(self) -> int | None:
        """Return what ``first()`` does, for a caller who takes it at once."""
        ordered, freed = self._sorted, self._freed
        if ordered:
            if not freed or ordered[-1] < freed[0]:
                place = ordered[-1] * self._step
                if place not in self._taken:
                    del ordered[-1]
                    return place
        elif not freed:
            place = self._next
            if place != self._stop and place not in self._taken:
                self._next = place + self._step
                return place
        return self.first()

    def first(self) -> int | None:
        """Return the place of the first free address, or ``None`` if there is none. It stays free until it is taken."""
        taken, step, ordered, freed = self._taken, self._step, self._sorted, self._freed
        while ordered:
            place = ordered[-1] * step
            if place not in taken:
                if freed and freed[0] < ordered[-1]:
                    break
                return place
            ordered.pop()
        while freed:
            place = freed[0] * step
            if place not in taken:
                return min(freed[0], ordered[-1]) * step if ordered else place
            heappop(freed)
        if ordered:
            return ordered[-1] * step
        return self._first_fresh()

    def _first_fresh(self) -> int | None:
        taken, step = self._taken, self._step
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
            if len(self._freed) > _SOME + len(self._sorted) // _SHARE:
                self._sort()

    def _sort(self) -> None:
        """Take the heap over into the list."""
        self._sorted += self._freed
        self._freed.clear()
        if len(self._sorted) > self._most:
            # Leave out what somebody has by now, and what is there twice.
            self._sorted = list({ordered for ordered in self._sorted if ordered * self._step not in self._taken})
            self._most = 2 * len(self._sorted) + _SOME
        self._sorted.sort(reverse=True)
