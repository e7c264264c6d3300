"""Puts addresses on links, each for a lifetime that has to begin in time.

A lifetime is decided first and begins when the kernel gets to it, which may be seconds later: while another
process holds its lock, or after this one was stopped. One that would begin too late is not begun, and one that
did is told, to be put again at once.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence

import attrs

from kubevip.errors import NetworkError, TooLate
from kubevip.model import Family, Vip
from kubevip.ports import Addresses, Links
from kubevip.reconcile import Hold

# A kernel that takes longer than this, in seconds, will do so again.
NOTICEABLE = 0.02


@attrs.frozen
class Put:
    """What became of some steps. *ends* is when each address that was put is removed by the kernel.

    *late* ones are to be planned anew: their lifetimes did not fit any more.
    """

    steps: tuple[Hold, ...]
    ends: dict[Vip, float]
    failed: dict[Vip, Exception]
    late: tuple[Vip, ...]


@attrs.define(eq=False)
class Putting:
    """Puts addresses. *lag* is for how many seconds the kernel was busy with the last ones; 0 where that is little."""

    _addresses: Addresses
    _links: Links
    _families: Container[Family]
    lag: float = attrs.field(default=0.0, init=False)

    async def put(self, steps: Sequence[Hold]) -> Put:
        """Put what *steps* ask for on its links."""
        failed = self._refuse(step.vip for step in steps)
        wanted = [
            (step.vip, step.lifetime)
            for step in steps
            if step.lifetime is not None and not (failed and step.vip in failed)
        ]
        if not wanted:
            return Put(tuple(steps), {}, failed, ())
        not_after = min(step.until for step in steps)
        asked = self._now()
        refused = await self._addresses.put(wanted, not_after=not_after)
        finished = self._now()
        self.lag = finished - asked if finished - asked > NOTICEABLE else 0.0
        missed = tuple(vip for vip, error in refused.items() if isinstance(error, TooLate))
        failed |= {vip: error for vip, error in refused.items() if not isinstance(error, TooLate)}
        done = [(vip, lifetime) for vip, lifetime in wanted if vip not in refused] if refused else wanted
        if finished < not_after:
            return Put(tuple(steps), {vip: asked + lifetime for vip, lifetime in done}, failed, missed)
        # Where the kernel took so long that lifetimes may be too long, all are to be put again.
        return Put(tuple(steps), {vip: finished for vip, _lifetime in done}, failed, tuple(vip for vip, _ in wanted))

    def _refuse(self, vips: Iterable[Vip]) -> dict[Vip, Exception]:
        """Return those of *vips* that can't be held, with the reason."""
        return {vip: NetworkError(reason) for vip in vips if (reason := self._reason_against(vip)) is not None}

    def _reason_against(self, vip: Vip) -> str | None:
        if vip.family not in self._families:
            return f"no backend announces IPv{vip.family.value} addresses; name one in vip_backends"
        own = self._links.own(vip.address)
        # Removing it one day would cut the node off.
        return f"{vip} is this node's own address on {own}; choose another one" if own is not None else None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
