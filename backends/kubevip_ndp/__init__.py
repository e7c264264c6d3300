"""Announces IPv6 addresses on an Ethernet segment by unsolicited neighbour advertisements (RFC 4861)."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import ClassVar

from kubevip.plugin import Answer, Backend, Cadence, Family, IPAddress, Link, NetworkError, Sighting, Vip
from kubevip_ndp.packet import (
    ADVERTISEMENTS_ONLY,
    ETHERTYPE,
    Advertisement,
    Solicitation,
    advertisement,
    claims_to,
    inquiry,
    probe,
)

__all__ = ["NdpBackend"]


class NdpBackend(Backend):
    """Tells every machine of the segment that a VIP is at this node's MAC address, whatever it knew before."""

    families: ClassVar[frozenset[Family]] = frozenset({Family.IPV6})
    cadence: ClassVar[Cadence] = Cadence(burst=(0.1, 0.3, 0.6, 1.1, 2.2), period=3.0)

    async def announce(self, vip: Vip) -> None:
        """Send an unsolicited advertisement with the Override flag to all nodes.

        Its source is the link-local address of the interface, or the VIP where there is none.
        """
        if vip.address.is_link_local:
            # Such an address has its meaning on the link alone, and kube-vip doesn't announce it either.
            return
        link = self.host.link(vip.interface)
        mac = _ethernet(link)
        if mac:
            self.host.send(vip.interface, advertisement(vip.address, mac, link.link_local or vip.address))

    async def withdraw(self, vip: Vip) -> None:
        """Do nothing: the kernel stops to answer when the address goes."""

    async def probe(self, vip: Vip) -> None:
        """Solicit the address as duplicate address detection does (RFC 4862), which no machine learns from."""
        mac = _ethernet(self.host.link(vip.interface))
        if mac:
            self.host.send(vip.interface, probe(vip.address, mac))

    def sightings(self, interface: str, report: Callable[[Sighting], None]) -> AbstractContextManager[None]:
        """*report* the target of each neighbour advertisement that arrives.

        An answer to a probe goes to all nodes too, so it can't be told from an announcement.
        """

        def received(frame: bytes) -> None:
            seen = Advertisement.parse(frame)
            if seen is not None:
                report(Sighting(seen.target, seen.mac.hex(":"), announcing=True))

        return self.host.listen(interface, ETHERTYPE, received, bpf=ADVERTISEMENTS_ONLY)

    def claims(
        self, interface: str, addresses: Collection[IPAddress], report: Callable[[Sighting], None]
    ) -> AbstractContextManager[None]:
        """*report* the target of each advertisement, and the source of each solicitation, of *addresses*."""

        def received(frame: bytes) -> None:
            seen = Advertisement.parse(frame)
            asking = Solicitation.parse(frame) if seen is None else None
            if seen is not None:
                report(Sighting(seen.target, seen.mac.hex(":"), announcing=True))
            elif asking is not None and not asking.source.is_unspecified:
                report(Sighting(asking.source, asking.mac.hex(":"), announcing=False))

        return self.host.listen(interface, ETHERTYPE, received, bpf=claims_to(addresses))

    async def inquire(self, vip: Vip, witness: IPAddress) -> bool:
        """Solicit *witness* from the VIP, whom the witness learns."""
        mac = _ethernet(self.host.link(vip.interface)) if not vip.address.is_link_local else None
        if mac:
            self.host.send(vip.interface, inquiry(vip.address, mac, witness))
        return mac is not None

    def answers(self, interface: str, report: Callable[[Answer], None]) -> AbstractContextManager[None]:
        """*report* each advertisement that was sent to one who asked."""

        def received(frame: bytes) -> None:
            seen = Advertisement.parse(frame)
            if seen is not None and not seen.to.is_multicast:
                report(Answer(seen.target, seen.to, seen.mac.hex(":")))

        return self.host.listen(interface, ETHERTYPE, received, bpf=ADVERTISEMENTS_ONLY)


def _ethernet(link: Link) -> bytes | None:
    """Return the MAC address of *link*; ``None`` for a loopback, which has nobody to tell."""
    if link.loopback:
        return None
    if len(link.mac) != 6:
        raise NetworkError(f"{link.name} has no Ethernet address, so nothing can be announced on it by NDP")
    return link.mac
