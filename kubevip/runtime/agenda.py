"""Which VIPs are to be looked at next: thousands of them a lot at a time, so that none waits for all the others.

A holder of thousands of addresses renews each of them about every second, which takes a good part of that second. A
Service that has just been made must not wait for the end of it; and while thousands are put on their links for the
first time, those that came first have to be renewed.
"""

import asyncio
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from itertools import islice

import attrs

from kubevip.model import Vip

# Renewals in one go: the kernel takes some ten milliseconds for these.
RENEWALS = 512
# New ones in one go: they are announced, logged and published, too.
ARRIVALS = 256
# The same while more renewals wait than fit in one go. A node that is short of time holds what it can renew: to take
# more would cost it others, which would be new again.
FEW = 32


@attrs.define(eq=False)
class Agenda:
    """VIPs that are to be looked at.

    *renewals* returns those of some VIPs that stay as they are, but for a renewal, and *arrivals* those that are to be
    put on their links. All others are looked at at once.
    """

    _renewals_among: Callable[[AbstractSet[Vip]], AbstractSet[Vip]]
    _arrivals_among: Callable[[AbstractSet[Vip]], AbstractSet[Vip]]

    _due: set[Vip] = attrs.field(factory=set, init=False)
    # In the order in which they came: if renewals are slower than they ought to be, all get their turn.
    _renewals: dict[Vip, None] = attrs.field(factory=dict, init=False)
    _arrivals: dict[Vip, None] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def add(self, vips: Iterable[Vip]) -> None:
        """Have *vips* looked at."""
        self._due.update(vips)
        if self._due:
            self._wake.set()

    def wake(self) -> None:
        """End the waiting, though there may be nothing to look at."""
        self._wake.set()

    def take(self) -> set[Vip]:
        """Return what to look at now; what is left comes with the next calls."""
        taken, self._due = self._due, set()
        if len(taken) > ARRIVALS or self._renewals or self._arrivals:
            taken = self._sort(taken)
            arrivals = ARRIVALS if len(self._renewals) <= RENEWALS else FEW
            taken.update(_pop(self._renewals, RENEWALS), _pop(self._arrivals, arrivals))
        if self._renewals or self._arrivals:
            self._wake.set()
        return taken

    def _sort(self, vips: set[Vip]) -> set[Vip]:
        """Put *vips* where they belong; return those that can't wait."""
        renewals = self._renewals_among(vips)
        others = vips - renewals
        arrivals = self._arrivals_among(others)
        for chosen, queue in ((renewals, self._renewals), (arrivals, self._arrivals)):
            for vip in queue.keys() & (vips - chosen):
                del queue[vip]
            queue.update(dict.fromkeys(chosen))
        return others - arrivals

    async def wait(self) -> None:
        """Wait until there is something to look at."""
        await self._wake.wait()

    def clear(self) -> None:
        """Begin to wait anew."""
        self._wake.clear()


def _pop(queue: dict[Vip, None], count: int) -> list[Vip]:
    popped = list(islice(queue, count))
    for vip in popped:
        del queue[vip]
    return popped
