"""Who is asked, to learn whether the network has noticed a takeover.

Those named by the operator; else the gateways of the interface, which everything from afar comes through; else
whoever was reachable a moment ago. Of the first two an answer is to be expected, so their silence says something
of us. A neighbour may have gone: perhaps it was the last holder.
"""

import enum
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import attrs

from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Links, Neighbourhood

# So many are asked. One answer is enough.
MOST = 3


class Source(enum.Enum):
    """How a witness was found."""

    SETTING = "vip_witnesses"
    GATEWAYS = "gateways"
    NEIGHBOURS = "neighbours"
    NOBODY = "nobody"


@attrs.frozen
class Found:
    """Some witnesses, best first."""

    addresses: tuple[IPAddress, ...]
    source: Source

    @property
    def reliable(self) -> bool:
        """Whether their silence says that it is we who are cut off."""
        return self.source in (Source.SETTING, Source.GATEWAYS)

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses))


@attrs.define(eq=False)
class Witnesses:
    """Finds witnesses. *neighbourhood* is what the kernel knows, ``None`` where it can't be asked."""

    given: Sequence[IPAddress]
    _links: Links
    _neighbourhood: Neighbourhood | None

    async def find(self, interface: str, family: Family, but: Collection[IPAddress] = ()) -> Found:
        """Return witnesses of *family* on *interface*, none of them in *but* or this node's own."""
        for source, look in self._sources().items():
            suitable = self._suitable(await look(interface), interface, family, but)
            if suitable:
                return Found(suitable[:MOST], source)
        return Found((), Source.NOBODY)

    def _sources(self) -> dict[Source, Callable[[str], Awaitable[Sequence[IPAddress]]]]:
        found: dict[Source, Callable[[str], Awaitable[Sequence[IPAddress]]]] = {Source.SETTING: self._given}
        if self._neighbourhood is not None:
            found[Source.GATEWAYS] = self._neighbourhood.gateways
            found[Source.NEIGHBOURS] = self._neighbourhood.neighbours
        return found

    async def _given(self, _interface: str) -> Sequence[IPAddress]:
        return self.given

    def _suitable(
        self, addresses: Iterable[IPAddress], interface: str, family: Family, but: Collection[IPAddress]
    ) -> tuple[IPAddress, ...]:
        def is_here(address: IPAddress) -> bool:
            # A link-local address, and one of a network that the node has no part in, may be anywhere.
            return (self._links.towards(address) or (interface, 0))[0] == interface

        return tuple(
            address
            for address in dict.fromkeys(addresses)
            if Family.of(address) is family
            and address not in but
            and self._links.own(address) is None
            and is_here(address)
        )

    def pairs(self, vips: Iterable[Vip], found: Found, most: int) -> list[tuple[Vip, IPAddress]]:
        """Return who is asked from where: first what is in one network, since others may not be answered."""
        near = {address: self._links.towards(address) for address in found.addresses}
        every = [(vip, address) for vip in vips for address in found.addresses]
        return sorted(every, key=lambda pair: self._links.towards(pair[0].address) != near[pair[1]])[:most]
