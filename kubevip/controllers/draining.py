"""Hands over what a stopping node has in spread mode while its Lease still protects it.

Each address has a successor of its own, and each needs a write: hundreds of them may take longer than an address may
stay without a Lease. So a node that stops says first, in its Lease, that it shouldn't have anything any more, and
hands over as a cordoned one does. Whatever is left when that doesn't get on goes with the Lease.
"""

import asyncio
import logging

import anyio
import attrs

from kubevip.controllers.spread import Spread

log = logging.getLogger(__name__)

# So many seconds are enough for thousands of addresses, and leave some of the 30 that Kubernetes gives a Pod to end.
LONGEST = 20.0
# How often it is looked whether all is done, in seconds.
LOOK = 0.05


@attrs.define(eq=False)
class Draining:
    """The end of this node's part. After *linger* seconds in which nothing was handed over it is given up."""

    _spread: Spread
    _linger: float

    async def run(self) -> None:
        """Hand over until nobody is there to have more."""
        if self._linger <= 0 or not self._spread.holds():
            return
        self._spread.depart()
        with anyio.move_on_after(LONGEST):
            await self._wait()

    async def _wait(self) -> None:
        left, since = self._spread.holds(), self._now()
        while left and not (self._spread.departs() and not self._spread.has_heirs()):
            await anyio.sleep(LOOK)
            now, left_now = self._now(), self._spread.holds()
            if left_now < left:
                left, since = left_now, now
            elif now - since > self._linger:
                log.warning("stopping though not all has been handed over", extra={"vips": left})
                return

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
