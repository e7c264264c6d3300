"""Which VIPs are to be looked at next: what has changed at once, mere renewals lot by lot.

A holder of thousands of addresses renews each of them about every second, which takes a good part of that second. A
Service that has just been made must not wait for the end of it.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

import attrs

from kubevip.model import Vip

# Renewals in one go: the kernel takes some ten milliseconds for these.
LOT = 512


@attrs.define(eq=False)
class Agenda:
    """VIPs that are to be looked at. *is_routine* tells those that stay as they are, but for a renewal."""

    _is_routine: Callable[[Vip], bool]

    _due: set[Vip] = attrs.field(factory=set, init=False)
    # In the order in which they came: if renewals are slower than they ought to be, all get their turn.
    _later: dict[Vip, None] = attrs.field(factory=dict, init=False)
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
        """Return what to look at now, to be asked for the rest after that."""
        due, self._due = self._due, set()
        if len(due) + len(self._later) <= LOT:
            due.update(self._later)
            self._later.clear()
            return due
        urgent = set()
        for vip in due:
            if self._is_routine(vip):
                self._later[vip] = None
            else:
                self._later.pop(vip, None)
                urgent.add(vip)
        lot = tuple(islice(self._later, LOT))
        for vip in lot:
            del self._later[vip]
        if self._later:
            self._wake.set()
        return urgent.union(lot)

    async def wait(self) -> None:
        """Wait until there is something to look at."""
        await self._wake.wait()

    def clear(self) -> None:
        """Begin to wait anew."""
        self._wake.clear()
