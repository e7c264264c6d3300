"""Addresses that are announced, and are on no link: kube-proxy takes their traffic, wherever it arrives."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs

from kubevip.errors import NetworkError, TooLate
from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Addresses, Presence


@attrs.define(eq=False)
class Detached:
    """Keeps addresses away from links, as ``kubevip.ports.Addresses``: only those that are *attached* are put there.

    The kernel removes nothing that isn't there. So what guards an address like that is the session that it is
    announced by: it ends with the process, or when its peer hears nothing for the hold time.
    """

    _addresses: Addresses
    _attached: Callable[[Vip], bool]

    async def put(self, vips: Sequence[tuple[Vip, int]], *, not_after: float) -> Mapping[Vip, NetworkError]:
        """Put those that are attached; of the others only the time is looked at."""
        late = asyncio.get_running_loop().time() >= not_after
        away = [vip for vip, _lifetime in vips if not self._attached(vip)]
        failed: dict[Vip, NetworkError] = {vip: TooLate(f"{vip}: its time has passed") for vip in away if late}
        attached = [(vip, lifetime) for vip, lifetime in vips if self._attached(vip)]
        return failed | dict(await self._addresses.put(attached, not_after=not_after) if attached else {})

    async def remove(self, vips: Sequence[Vip]) -> Mapping[Vip, NetworkError]:
        """Remove those that are attached."""
        attached = [vip for vip in vips if self._attached(vip)]
        return await self._addresses.remove(attached) if attached else {}

    async def find(self, addresses: Collection[IPAddress]) -> Sequence[Presence]:
        """Return where addresses are; an earlier agent may have attached them all."""
        return await self._addresses.find(addresses)

    async def pace(self, families: Collection[Family], turn: int, lifetime: int) -> None:
        """Set the pacing addresses."""
        await self._addresses.pace(families, turn, lifetime)

    async def stop_pacing(self) -> None:
        """Remove the pacing addresses."""
        await self._addresses.stop_pacing()

    def subscribe(self, removed: Callable[[IPAddress, str], None]) -> Callable[[], None]:
        """Call *removed* whenever an address goes."""
        return self._addresses.subscribe(removed)
