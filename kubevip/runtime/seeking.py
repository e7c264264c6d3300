"""Asks for neighbours when a link is back, for whom the kernel has asked in vain while it was down.

A kernel that has something to send to a neighbour whose place it doesn't know asks once a second. The first question is
lost with a link that is down, so after a loss of 50 ms the gateway, the API server or a client is reached only when
that second is over. An answer to a question of ours is as good as one to the kernel's, and lets go what waits.
"""

import contextlib
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final

import anyio
import attrs

from kubevip.errors import KubeVipError
from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Links, Neighbourhood
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.keeper import Keeper

# So many are asked for at most: on a link that was down for long each packet may have been for another one.
MOST: Final = 64


@attrs.define(eq=False)
class Seeker:
    """Asks on the interfaces of held VIPs, from ``run()`` until it is cancelled."""

    _keeper: Keeper
    _announcers: Mapping[Family, Announcer]
    _links: Links
    _neighbourhood: Neighbourhood

    _up: dict[str, bool] = attrs.field(factory=dict, init=False)
    _back: set[str] = attrs.field(factory=set, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.follow(self._changed)

    def _changed(self, vip: Vip) -> None:
        self._up.setdefault(vip.interface, self._is_up(vip.interface))

    def _link_changed(self, interface: str) -> None:
        if interface not in self._up:
            return
        before, self._up[interface] = self._up[interface], self._is_up(interface)
        if self._up[interface] and not before:
            self._back.add(interface)
            self._wake.set()

    def _is_up(self, interface: str) -> bool:
        try:
            return self._links.get(interface).up
        except KubeVipError:
            return False

    async def run(self) -> None:
        """Ask until cancelled."""
        unsubscribe = self._links.subscribe(self._link_changed)
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._back:
                    # An interface that is gone again has nobody who could be asked for.
                    with contextlib.suppress(KubeVipError):
                        await self._ask(self._back.pop())
        finally:
            unsubscribe()

    async def _ask(self, interface: str) -> None:
        for address in (await self._neighbourhood.sought(interface))[:MOST]:
            announcer, own = self._announcers.get(Family.of(address)), self._own(interface, address)
            if announcer is not None and own is not None:
                await announcer.backend.inquire(Vip(own, interface, Family.of(own).bits), address)

    def _own(self, interface: str, address: IPAddress) -> IPAddress | None:
        """Return the node's own address that is in the network of *address* on *interface*."""
        where, prefix_length = self._links.towards(address) or ("", 0)
        if where != interface:
            return None
        candidates = [own for own in self._links.get(interface).addresses if own.version == address.version]
        return next((own for own in candidates if address in ip_network((own, prefix_length), strict=False)), None)
