"""Asks on the wire, before an address is first put on a link, whether another machine still answers for it.

After a planned handover the last holder answers until it sees us, so it isn't asked then. After an expired
Lease its kernel may be up to a second late: we wait until it is silent. Whoever goes on answering is a
conflict, which is reported; the address is taken nevertheless, as kube-vip takes it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping

import anyio
import attrs

from kubevip.model import Family, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.wire import LinkOf, ask

# The latest that a kernel removes an address whose lifetime has ended, with some slack (kubevip.fence).
PATIENCE = 1.0
ASK_AGAIN_AFTER = 0.05


@attrs.define(eq=False)
class Clearance:
    """Which VIPs may be put on their links. *cleared* is called with those that now may.

    *contested* is called with VIPs and the MAC addresses that went on answering for longer than any kernel.
    """

    _announcers: Mapping[Family, Announcer]
    _link_of: LinkOf
    _cleared: Callable[[Iterable[Vip]], None]
    _contested: Callable[[Mapping[Vip, str]], None]

    _clear: set[Vip] = attrs.field(factory=set, init=False)
    _asking: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def has(self, vip: Vip) -> bool:
        """Tell whether *vip* may be put on its link."""
        return vip in self._clear

    def grant(self, vips: Iterable[Vip]) -> None:
        """Let *vips* be taken without asking."""
        for vip in vips:
            self._clear.add(vip)
            self._asking.pop(vip, None)

    def seek(self, vips: Iterable[Vip]) -> None:
        """Ask for *vips* that are neither cleared nor being asked for."""
        patience_ends = asyncio.get_running_loop().time() + PATIENCE
        for vip in vips:
            if vip not in self._clear and vip not in self._asking:
                self._asking[vip] = patience_ends
                self._wake.set()

    def forget(self, vips: Iterable[Vip]) -> None:
        """Let *vips* be asked for anew."""
        for vip in vips:
            self._clear.discard(vip)
            self._asking.pop(vip, None)

    async def run(self) -> None:
        """Ask, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._asking:
                answered = await self._ask()
                if answered:
                    with contextlib.suppress(TimeoutError), anyio.fail_after(ASK_AGAIN_AFTER):
                        await self._wake.wait()

    async def _ask(self) -> Mapping[Vip, str]:
        asked = dict(self._asking)
        answered = await ask(asked, self._announcers, self._link_of)
        now = asyncio.get_running_loop().time()
        still = [vip for vip, patience_ends in asked.items() if self._asking.get(vip) == patience_ends]
        ready = [vip for vip in still if vip not in answered or now >= asked[vip]]
        self.grant(ready)
        contested = {vip: answered[vip] for vip in ready if vip in answered}
        if contested:
            self._contested(contested)
        self._cleared(ready)
        return answered
