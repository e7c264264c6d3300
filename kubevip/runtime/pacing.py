"""Holds back the kernel's check of lifetimes, so that a VIP ends nearer to its Lease (``kubevip.fence``)."""

from collections.abc import Callable, Collection

import anyio
import attrs

from kubevip import fence
from kubevip.lease import Timing
from kubevip.model import Family
from kubevip.ports import Addresses


@attrs.define(eq=False)
class Pacer:
    """Sets the pacing addresses before each renewal. *families* returns those of the VIPs that are held now."""

    _addresses: Addresses
    _timing: Timing
    _families: Callable[[], Collection[Family]]

    async def run(self) -> None:
        """Pace until cancelled."""
        lifetime = fence.lifetime(self._timing.duration)
        turn = 0
        while True:
            beat = self._timing.beat_after(anyio.current_time())
            await anyio.sleep_until(beat - fence.PACE_LEAD)
            families = self._families()
            if families:
                turn = 1 - turn
                await self._addresses.pace(families, turn, lifetime)
            await anyio.sleep_until(beat)
