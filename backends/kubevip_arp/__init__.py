"""Announces IPv4 addresses on an Ethernet segment by gratuitous ARP (RFC 826, RFC 5227)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar

from kubevip.plugin import Backend, Cadence, Family, Link, NetworkError, Sighting, Vip
from kubevip_arp.packet import ETHERTYPE, Arp, announcement, probe, question

__all__ = ["ArpBackend"]


class ArpBackend(Backend):
    """Tells every machine of the segment, in both forms that exist, that a VIP is at this node's MAC address.

    Some machines take a gratuitous reply only, others a request only. The burst spans the second for which
    Linux keeps a neighbour entry that it has just learnt (``locktime``, where the frame isn't taken as gratuitous).
    """

    families: ClassVar[frozenset[Family]] = frozenset({Family.IPV4})
    cadence: ClassVar[Cadence] = Cadence(burst=(0.1, 0.3, 0.6, 1.1, 2.2), period=3.0)

    async def announce(self, vip: Vip) -> None:
        """Send the reply and the request form."""
        mac = self._mac(vip)
        if mac:
            self.host.send(vip.interface, announcement(vip.address, mac))
            self.host.send(vip.interface, question(vip.address, mac))

    async def withdraw(self, vip: Vip) -> None:
        """Do nothing: ARP has no word for it, and the kernel stops to answer when the address goes."""

    async def probe(self, vip: Vip) -> None:
        """Ask who has the address, in the form that no machine learns from (RFC 5227)."""
        mac = self._mac(vip)
        if mac:
            self.host.send(vip.interface, probe(vip.address, mac))

    def sightings(self, interface: str, report: Callable[[Sighting], None]) -> AbstractContextManager[None]:
        """*report* the sender of each ARP frame that arrives."""

        def received(frame: bytes) -> None:
            seen = Arp.parse(frame)
            if seen is not None and not seen.sender.is_unspecified:
                report(Sighting(seen.sender, seen.mac.hex(":"), announcing=seen.sender == seen.target))

        return self.host.listen(interface, ETHERTYPE, received)

    def _mac(self, vip: Vip) -> bytes | None:
        return _ethernet(self.host.link(vip.interface))


def _ethernet(link: Link) -> bytes | None:
    """Return the MAC address of *link*; ``None`` for a loopback, which has nobody to tell."""
    if link.loopback:
        return None
    if len(link.mac) != 6:
        raise NetworkError(f"{link.name} has no Ethernet address, so nothing can be announced on it by ARP")
    return link.mac
