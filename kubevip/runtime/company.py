"""Witnesses for a candidate that hears no other one: where they answer, it isn't this node that is cut off.

In a fleet of two there is nobody beside the holder. A gateway that answers is as good as a third node, for this. Only
those count that were named, or that routes lead to: a neighbour may be the holder itself.

Asked is from no address (RFC 5227, RFC 4861): a candidate has nothing that it might claim.
"""

from collections.abc import Callable, Collection

import anyio
import attrs

from kubevip.errors import KubeVipError
from kubevip.model import Vip
from kubevip.runtime.witnesses import Witnesses

# How often it is looked up who could be asked, in seconds: at first, and later. Asking the kernel costs more than a
# second's heartbeats, and many networks have no gateway.
SOON, LATER = 2.0, 30.0


@attrs.define(eq=False)
class Company:
    """Whom to ask on the interfaces of some addresses, which *vips* returns. Up to date while ``run()`` runs."""

    _witnesses: Witnesses
    _vips: Callable[[], Collection[Vip]]
    _known: tuple[Vip, ...] = attrs.field(default=(), init=False)

    def known(self) -> Collection[Vip]:
        """Return the witnesses, each with the interface that it is asked on."""
        return self._known

    async def run(self) -> None:
        """Look up who there is, until cancelled."""
        pause = SOON / 2
        while True:
            found: dict[Vip, None] = {}
            asked = sorted({(vip.interface, vip.family) for vip in self._vips()})
            for interface, family in asked:
                try:
                    witnesses = await self._witnesses.find(interface, family)
                except KubeVipError:
                    # The interface is gone: nobody is there to be asked.
                    continue
                if witnesses.reliable:
                    found |= {Vip(address, interface): None for address in witnesses.addresses}
            self._known = tuple(found)
            pause = LATER if found else min(2 * pause, LATER) if asked else SOON
            await anyio.sleep(pause)
