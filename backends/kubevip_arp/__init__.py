"""Announces IPv4 addresses on an Ethernet segment by gratuitous ARP (RFC 826, RFC 5227)."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import ClassVar

from kubevip.plugin import Answer, Backend, Cadence, Family, IPAddress, Link, NetworkError, Sighting, Vip
from kubevip_arp.packet import (
    ETHERTYPE,
    REPLIES_TO_US,
    REPLY,
    Arp,
    announcement,
    claims_to,
    inquiry,
    probe,
    question,
)

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
        return self.host.listen(interface, ETHERTYPE, _reporting(report))

    def claims(
        self, interface: str, addresses: Collection[IPAddress], report: Callable[[Sighting], None]
    ) -> AbstractContextManager[None]:
        """*report* the sender of each ARP frame that arrives from one of *addresses*."""
        return self.host.listen(interface, ETHERTYPE, _reporting(report), bpf=claims_to(addresses))

    async def inquire(self, vip: Vip, witness: IPAddress) -> bool:
        """Ask who has the address of *witness*, with the VIP as the sender, whom the witness learns."""
        mac = self._mac(vip)
        if mac:
            self.host.send(vip.interface, inquiry(vip.address, mac, witness))
        return mac is not None

    def answers(self, interface: str, report: Callable[[Answer], None]) -> AbstractContextManager[None]:
        """*report* each ARP reply to this machine."""

        def received(frame: bytes) -> None:
            seen = Arp.parse(frame)
            if seen is not None and seen.operation == REPLY:
                report(Answer(seen.sender, seen.target, seen.mac.hex(":")))

        return self.host.listen(interface, ETHERTYPE, received, bpf=REPLIES_TO_US)

    def _mac(self, vip: Vip) -> bytes | None:
        return _ethernet(self.host.link(vip.interface))


def _reporting(report: Callable[[Sighting], None]) -> Callable[[bytes], None]:
    def received(frame: bytes) -> None:
        seen = Arp.parse(frame)
        if seen is not None and not seen.sender.is_unspecified:
            report(Sighting(seen.sender, seen.mac.hex(":"), announcing=seen.sender == seen.target))

    return received


def _ethernet(link: Link) -> bytes | None:
    """Return the MAC address of *link*; ``None`` for a loopback, which has nobody to tell."""
    if link.loopback:
        return None
    if len(link.mac) != 6:
        raise NetworkError(f"{link.name} has no Ethernet address, so nothing can be announced on it by ARP")
    return link.mac
