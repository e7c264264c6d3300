"""What both sides of a session say of themselves and agree on, and what happens to it."""

from ipaddress import IPv4Address

import attrs

from kubevip_bgp.capabilities import Capabilities, GracefulRestart
from kubevip_bgp.messages import Open, Terms, Update
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi


@attrs.frozen(kw_only=True)
class Local:
    """What a peer is told of us, and what is expected of it. Times are in seconds; *hold_time* 0: for ever."""

    number: int
    identifier: IPv4Address
    peer_number: int
    hold_time: int = 30
    keepalive: float = 10.0
    families: frozenset[Afi] = frozenset(Afi)
    graceful_restart: GracefulRestart | None = None
    extended_message: bool = True
    extended_next_hop: bool = False

    @property
    def internal(self) -> bool:
        """Tell whether the peer is of our own AS."""
        return self.number == self.peer_number

    def capabilities(self) -> Capabilities:
        """Return what we can do."""
        return Capabilities(
            families=self.families,
            four_octet_as=self.number,
            route_refresh=True,
            extended_message=self.extended_message,
            extended_next_hop=self.extended_next_hop,
            graceful_restart=self.graceful_restart,
        )


@attrs.frozen(kw_only=True)
class Agreed:
    """What both sides have agreed on. *extended_next_hop*: IPv4 routes may go by an IPv6 address."""

    terms: Terms
    families: frozenset[Afi]
    hold_time: int
    keepalive: float
    peer: Open
    extended_next_hop: bool = False


@attrs.frozen
class Opened:
    """The peer has said who it is: now a collision with another connection can be decided."""

    peer: Open


@attrs.frozen
class Established:
    """Routes can be told from now on."""

    agreed: Agreed


@attrs.frozen
class Heard:
    """The peer told of routes."""

    update: Update


@attrs.frozen
class Ended:
    """The connection is over. *reason* is for people; *by_peer*: it sent the *notification*, otherwise we did."""

    reason: str
    notification: Notification | None = None
    by_peer: bool = False


Happening = Opened | Established | Heard | Ended


def keeps_own(local: Local, peer: Open) -> bool:
    """Tell which of two connections stays: ours, if our identifier is the higher one (RFC 4271 6.8, RFC 6286)."""
    return (local.identifier, local.number) > (peer.identifier, peer.number)
