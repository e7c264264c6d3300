"""Make before break: a VIP whose Lease was released stays until its successor is seen to announce it."""

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

import anyio
import attrs

from kubevip.backend import Sighting
from kubevip.model import Family, IPAddress, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.wire import LinkOf, listening

# A successor's broadcast reaches everybody at about the time that it reaches us; what was sent before has to arrive.
SETTLE = 0.02


@attrs.define(eq=False)
class Handover:
    """The VIPs that are being handed over. *ended* is called with those that need not stay any longer."""

    _announcers: Mapping[Family, Announcer]
    _link_of: LinkOf
    _ended: Callable[[Iterable[Vip]], None]

    _until: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _superseded: set[Vip] = attrs.field(factory=set, init=False)
    _watched: dict[tuple[IPAddress, str], Vip] = attrs.field(factory=dict, init=False)
    # One listener on a link for all: hundreds would each read every frame.
    _ears: dict[tuple[Family, str], contextlib.ExitStack] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def count(self) -> int:
        """How many VIPs stay for their successor now."""
        return len(self._until)

    def lingering(self) -> AbstractSet[Vip]:
        """Return the VIPs that stay for their successor now."""
        return self._until.keys()

    def watch(self, vips: Collection[Vip]) -> None:
        """Look out for successors from now on, before anybody can succeed."""
        for vip in vips:
            self._watched[vip.address, vip.interface] = vip
        for family, interface in sorted({(vip.family, vip.interface) for vip in vips} - self._ears.keys()):
            ear = self._ears[family, interface] = contextlib.ExitStack()
            heard = functools.partial(self._heard, interface)
            ear.enter_context(listening(family, interface, self._announcers, self._link_of, heard))

    def expects(self, vips: Iterable[Vip]) -> bool:
        """Tell whether somebody looks out for successors of *vips*."""
        return any(self._watched.get((vip.address, vip.interface)) == vip for vip in vips)

    def begin(self, vips: Collection[Vip], until: float) -> None:
        """Keep *vips* until they are superseded, at most until *until* (seconds on the loop's clock)."""
        self.watch(vips)
        for vip in vips:
            self._until[vip] = self._now() + SETTLE if vip in self._superseded else until
        self._wake.set()

    def forget(self, vips: Iterable[Vip]) -> None:
        """Hand *vips* over no more: they are ours again, or unwanted."""
        gone = set(vips)
        for vip in gone:
            self._until.pop(vip, None)
        self._superseded -= gone
        for vip in gone:
            if self._watched.get((vip.address, vip.interface)) == vip:
                del self._watched[vip.address, vip.interface]
        if self._ears:
            needed = {(vip.family, vip.interface) for vip in self._watched.values()}
            for link in self._ears.keys() - needed:
                self._ears.pop(link).close()

    async def run(self) -> None:
        """Let go what need not stay any longer, until cancelled."""
        try:
            while True:
                self._let_go()
                with anyio.move_on_after(min(self._until.values(), default=math.inf) - self._now()):
                    await self._wake.wait()
                self._wake.clear()
        finally:
            self.forget(tuple(self._watched.values()))

    def _let_go(self) -> None:
        now = self._now()
        over = [vip for vip, until in self._until.items() if until <= now]
        if over:
            self.forget(over)
            self._ended(over)

    def _heard(self, interface: str, sighting: Sighting) -> None:
        vip = self._watched.get((sighting.address, interface))
        if vip is None or not sighting.announcing or vip in self._superseded:
            return
        self._superseded.add(vip)
        if vip in self._until:
            self._until[vip] = min(self._until[vip], self._now() + SETTLE)
            self._wake.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
