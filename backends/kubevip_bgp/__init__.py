"""Announces addresses to routers by BGP (RFC 4271): a speaker of our own, for nodes that announce and never forward."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import ClassVar, Self

import attrs

from kubevip.plugin import Backend, ConfigError, Family, Host, NetworkError, Peering, Vip
from kubevip_bgp.configuration import Configuration, read_configuration
from kubevip_bgp.discovery import Discovery
from kubevip_bgp.fsm import State
from kubevip_bgp.hops import Interfaces
from kubevip_bgp.prefixes import Afi, Prefix
from kubevip_bgp.sockets import Source
from kubevip_bgp.speaker import Identity, Speaker

__all__ = ["BgpBackend"]

# After its start the sessions are given so many seconds to come about, before an announcement fails for want of one.
GRACE = 3.0
# What was sent may stay unanswered for the hold time, or where there is none for this, in seconds.
PATIENCE = 30.0


class BgpBackend(Backend):
    """Tells routers that VIPs are reached by way of this node: each as a host route, whatever its prefix length.

    Several nodes may announce one address: the routers spread the traffic over them. An announcement that no
    router can hear fails, so that nobody believes in it; it reaches the first router that comes all the same.
    """

    exclusive: ClassVar[bool] = False

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._configuration = read_configuration(host.settings)
        self._announced: dict[Prefix, set[Vip]] = {}
        self._stack = AsyncExitStack()
        self._changed = asyncio.Event()
        self._patient_until = 0.0
        self._taken: set[Afi] = set()
        self._speaker: Speaker | None = None

    async def __aenter__(self) -> Self:
        """Open the sessions; they come about in their own time."""
        await self._open()
        return self

    async def _open(self) -> None:
        """Begin to speak, and tell what is announced already."""
        configuration = self._configuration
        speaker = Speaker(
            Identity(
                number=configuration.number,
                identifier=self._identifier(configuration),
                hold_time=configuration.hold_time,
                keepalive=configuration.keepalive,
                graceful_restart=configuration.graceful_restart,
                connect=configuration.connect,
                accept=configuration.accept,
            ),
            configuration.neighbors,
            Source(
                address=configuration.source_address,
                interface=configuration.source_interface,
                ttl_security=configuration.ttl_security,
                patience=configuration.hold_time or PATIENCE,
            ),
            self._interfaces,
            self._wake,
        )
        for prefix in self._announced:
            speaker.announce(prefix, configuration.route)
        self._speaker = await self._stack.enter_async_context(speaker)
        unnumbered = [neighbor.interface for neighbor in configuration.neighbors if neighbor.interface]
        await self._stack.enter_async_context(Discovery(self.host, unnumbered, speaker.meet))
        self._patient_until = self.host.now() + GRACE

    async def __aexit__(self, *exc: object) -> None:
        """Tell the routers that we go, and close the sessions."""
        self._speaker = None
        await self._stack.aclose()

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Go by *settings*: a peer that is as it was keeps its session, unless this node is another one to all."""
        before, after = self._configuration, read_configuration(settings)
        self._identifier(after)
        self._configuration = after
        if self._speaker is not None and attrs.evolve(after, neighbors=before.neighbors) == before:
            await self._speaker.turn_to(after.neighbors)
        elif self._speaker is None or after != before:
            await self.__aexit__()
            await self._open()
        self._wake()

    async def announce(self, vip: Vip) -> None:
        """Tell all routers of *vip*.

        :raises NetworkError: if no session with any of them carries it; it names the reasons.
        """
        speaker = self._opened()
        prefix = host_route(vip)
        self._announced.setdefault(prefix, set()).add(vip)
        speaker.announce(prefix, self._configuration.route)
        if not speaker.established:
            await self._wait_established(speaker)
        if not speaker.takes(Afi.of(prefix)):
            speaker.look_again(Afi.of(prefix))
        if not speaker.takes(Afi.of(prefix)):
            raise NetworkError(f"no BGP session carries IPv{vip.family.value} routes: {self._missing(vip.family)}")

    def _missing(self, family: Family) -> str:
        """Say what routes of *family* lack, where there is a session."""
        if not self._opened().agreed(Afi.IPV4 if family is Family.IPV4 else Afi.IPV6):
            return "no router has agreed to it"
        return f"this node has no IPv{family.value} address for the next hop; add one, or set mpbgp_nexthop"

    async def withdraw(self, vip: Vip) -> None:
        """Take *vip* back from all routers, unless it is announced on another interface, too."""
        prefix = host_route(vip)
        users = self._announced.get(prefix, set())
        users.discard(vip)
        if not users:
            self._announced.pop(prefix, None)
            self._opened().withdraw(prefix)

    def peerings(self) -> Sequence[Peering]:
        """Return the session with each router as it is now."""
        if self._speaker is None:
            return ()
        return [
            Peering(
                peer=each.name,
                state=each.state.value,
                established=each.state is State.ESTABLISHED,
                reason=each.reason,
                families=tuple(Family(4 if family is Afi.IPV4 else 6) for family in each.families),
                routes=each.told,
                flaps=each.flaps,
                malformed=each.malformed,
                complaint=each.complaint,
            )
            for each in self._speaker.statistics()
        ]

    def _opened(self) -> Speaker:
        if self._speaker is None:
            raise NetworkError("the backend is not open")
        return self._speaker

    async def _wait_established(self, speaker: Speaker) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._patient_until - self.host.now())):
                while not speaker.established:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            states = "; ".join(
                f"{each.peer}: {each.reason or f'no answer yet ({each.state})'}" for each in self.peerings()
            )
            raise NetworkError(f"there is no BGP session: {states}") from None

    def _wake(self) -> None:
        """A session has come about, or has ended: what no router hears any more is announced in vain."""
        self._changed.set()
        if self._speaker is None:
            return
        taken = {family for family in Afi if self._speaker.takes(family)}
        lost, self._taken = self._taken - taken, taken
        if lost:
            self.host.failed(
                [vip for prefix, vips in self._announced.items() if Afi.of(prefix) in lost for vip in vips]
            )
        if self._speaker.established:
            self.host.recovered()

    def _interfaces(self) -> Interfaces:
        return {name: self.host.link(name).addresses for name in self.host.interfaces()}

    def _identifier(self, configuration: Configuration) -> IPv4Address:
        """Return the router id: as it is set, or the first IPv4 address that fits, or a number made of the name."""
        if configuration.router_id is not None:
            return configuration.router_id
        if isinstance(configuration.source_address, IPv4Address) and not configuration.router_interface:
            return configuration.source_address
        interfaces = self._interfaces()
        wanted = configuration.router_interface
        if wanted and wanted not in interfaces:
            known = ", ".join(sorted(interfaces))
            raise ConfigError([f"bgp_routerinterface={wanted!r}: there is no such interface; there are: {known}"])
        chosen = [interfaces[wanted]] if wanted else list(interfaces.values())
        found = [address for addresses in chosen for address in addresses if isinstance(address, IPv4Address)]
        usable = [address for address in found if not address.is_loopback]
        if wanted and not usable:
            raise ConfigError([f"bgp_routerinterface={wanted!r} has no IPv4 address; set bgp_routerid"])
        return usable[0] if usable else _number_of(self.host.node)


def host_route(vip: Vip) -> Prefix:
    """Return the prefix that is announced for *vip*: its address alone."""
    address = vip.address
    return IPv4Network((address, 32)) if isinstance(address, IPv4Address) else IPv6Network((address, 128))


def _number_of(node: str) -> IPv4Address:
    """Return an identifier of a node that has no IPv4 address, from its name; never 0.0.0.0 or above 223."""
    return IPv4Address(0x0A000000 | int.from_bytes(hashlib.sha256(node.encode()).digest()[:3]))
