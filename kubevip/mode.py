"""What follows from the mode that the settings choose: by which backends addresses are announced, and how often."""

from collections.abc import Callable

from kubevip.config import Settings
from kubevip.lease import Timing
from kubevip.model import Vip

# The backends of BGP mode, and of routing-table mode.
BGP, ROUTES = ("bgp",), ("routes",)
# What svc_placement says where all nodes share the Services.
SPREAD = "spread"
# How often the routing table is looked at where that is set to 0, in seconds.
_LOOK_EVERY = 5.0


def timing(settings: Settings) -> Timing:
    """Return the times of all elections."""
    election = settings.election
    return Timing(
        duration=int(election.duration), renew_deadline=election.renew_deadline, retry_period=election.retry_period
    )


def longest_stay(settings: Settings) -> float:
    """Return for how many seconds the last holder of an address may answer for it beside its successor.

    In spread mode it stays from when the record that names its successor is sent, and that may take an attempt.
    """
    linger = settings.election.linger
    return linger + timing(settings).attempt_timeout if settings.services.placement == SPREAD else linger


def backend_names(settings: Settings) -> tuple[str, ...]:
    """Return the backends to choose from."""
    if settings.bgp.enable:
        return BGP
    return ROUTES if settings.routing_table.enable else settings.node.backends


def period(settings: Settings) -> float:
    """Return how often an address is announced again, in seconds."""
    if settings.routing_table.enable:
        return settings.balancer.interval or _LOOK_EVERY
    return settings.arp.rate


def attached(settings: Settings) -> Callable[[Vip], bool] | None:
    """Return what tells which addresses are put on links, ``None`` for all: routed ones of Services aren't."""
    routed = settings.bgp.enable or settings.routing_table.enable
    if not routed or (settings.bgp.enable and settings.bgp.attach):
        return None
    control_plane = settings.control_plane
    own = frozenset(control_plane.addresses if control_plane.enable else ())
    return lambda vip: vip.address in own
