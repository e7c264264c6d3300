"""What settings have to be to each other. A rule is skipped where a setting that it reads is wrong already."""

from collections.abc import Callable, Mapping

import attrs

from kubevip.config.sources import Given
from kubevip.config.table import Settings

_MODES = ("vip_arp", "bgp_enable", "vip_routingtable", "vip_wireguard")
_TIMING = ("vip_leaseduration", "vip_renewdeadline", "vip_retryperiod")
_JITTER = 1.2
_SHORTEST_LEASE = 3
_ARP_RATE_FLOOR = 0.5
_OLD_DEBUG = 5


@attrs.frozen
class Facts:
    """What a rule looks at: the settings, and what was written for them."""

    settings: Settings
    given: Mapping[str, Given]

    def shown(self, name: str) -> str:
        """Return the setting with its text as it was written, or its name with "not set"."""
        return str(self.given.get(name, f"{name} (not set)"))


@attrs.frozen
class Rule:
    """A sentence that *check* makes where the settings *reads* don't fit together."""

    reads: tuple[str, ...]
    check: Callable[[Facts], str | None]


def _modes(settings: Settings) -> list[str]:
    switches = (
        settings.arp.enable,
        settings.bgp.enable,
        settings.routing_table.enable,
        settings.wireguard.enable,
    )
    return [name for name, on in zip(_MODES, switches, strict=True) if on]


def _one_mode(facts: Facts) -> str | None:
    modes = _modes(facts.settings)
    if not modes:
        return f"{facts.shown('vip_arp')}: no mode is on; write vip_arp=true"
    if len(modes) > 1:
        return f"{', '.join(facts.shown(name) for name in modes)}: these exclude each other; leave one of them"
    return None


def _some_work(facts: Facts) -> str | None:
    if facts.settings.control_plane.enable or facts.settings.services.enable:
        return None
    return (
        f"{facts.shown('cp_enable')}, {facts.shown('svc_enable')}: there is nothing to do; "
        "write cp_enable=true, svc_enable=true or both"
    )


def _address_known(facts: Facts) -> str | None:
    control_plane = facts.settings.control_plane
    if not control_plane.enable or control_plane.address:
        return None
    return f"{facts.shown('cp_enable')} needs address; write address=<the control plane's IP address>"


def _no_names(facts: Facts) -> str | None:
    names = facts.settings.control_plane.address_names
    if not names or not facts.settings.control_plane.enable:
        return None
    return f"{facts.shown('address')}: {', '.join(names)}: DNS names are not there yet; write IP addresses"


def _automatic_prefix(facts: Facts) -> str | None:
    settings = facts.settings
    if not settings.node.prefixes.automatic or (settings.arp.enable and not settings.control_plane.address):
        return None
    return (
        f"{facts.shown('vip_subnet')}, {facts.shown('address')}: auto works in ARP mode without address only; "
        "write the prefix length, such as 32"
    )


def _timing(facts: Facts) -> str | None:
    election = facts.settings.election
    if election.duration > election.renew_deadline > _JITTER * election.retry_period:
        return None
    return (
        f"{_timing_shown(facts)}: the duration must be above the renew deadline, and that above "
        f"{_JITTER} retry periods; {_timing_example()}"
    )


def _lease_length(facts: Facts) -> str | None:
    if facts.settings.election.duration >= _SHORTEST_LEASE:
        return None
    return (
        f"{facts.shown('vip_leaseduration')}: write at least {_SHORTEST_LEASE}, because the kernel counts an "
        "address's lifetime in whole seconds and one of them is kept as a guard"
    )


def _timing_shown(facts: Facts) -> str:
    election = facts.settings.election
    values = (election.duration, election.renew_deadline, election.retry_period)
    parts = zip(_TIMING, values, strict=True)
    return ", ".join(
        facts.shown(name) if name in facts.given else f"{name}={value:g} (not set)" for name, value in parts
    )


def _timing_example() -> str:
    return "for example vip_leaseduration=15 vip_renewdeadline=10 vip_retryperiod=2"


def _ports_differ(facts: Facts) -> str | None:
    serving = facts.settings.serving
    if not serving.prometheus or serving.prometheus.port != serving.health_check_port:
        return None
    return f"{facts.shown('health_check_port')}: prometheus_server={serving.prometheus} has that port; write another"


def _quorum_is_heard(facts: Facts) -> str | None:
    election = facts.settings.election
    if election.on_api_loss != "quorum" or election.failover == "fast":
        return None
    return f"{facts.shown('vip_on_api_loss')} needs the heartbeats of vip_failover=fast; {facts.shown('vip_failover')}"


def _somebody_has_heartbeats(facts: Facts) -> str | None:
    if not _heartbeats_without_services(facts) or facts.settings.control_plane.enable:
        return None
    return (
        f"{facts.shown('vip_failover')}, {facts.shown('svc_election')}: there are no heartbeats for the Leases of "
        "single Services, and no other Lease; leave out one of both"
    )


def _services_have_no_heartbeats(facts: Facts) -> str | None:
    if not _heartbeats_without_services(facts) or not facts.settings.control_plane.enable:
        return None
    return (
        f"{facts.shown('vip_failover')} counts for the control plane's Lease alone: there are no heartbeats for the "
        f"Leases of single Services ({facts.shown('svc_election')}), whose times apply"
    )


def _heartbeats_without_services(facts: Facts) -> bool:
    settings = facts.settings
    own = settings.services.enable and settings.services.election
    return own and settings.election.failover == "fast" and not _routed_mode(settings)


def _every_service_elects(facts: Facts) -> str | None:
    services = facts.settings.services
    if not services.enable or not services.election or not services.election_on_demand:
        return None
    return (
        f"{facts.shown('per_service_election_on_demand')} has no effect: every Service has its own Lease by "
        f"{facts.shown('svc_election')}"
    )


def _peers_known(facts: Facts) -> str | None:
    bgp = facts.settings.bgp
    if not bgp.enable or bgp.peers or bgp.peer_address or bgp.annotation:
        return None
    return f"{facts.shown('bgp_enable')} needs a peer; write bgp_peers=<address>:<AS>"


def _one_source(facts: Facts) -> str | None:
    bgp = facts.settings.bgp
    if not bgp.enable or not bgp.annotation or not bgp.source_interface:
        return None
    named = facts.shown("bgp_sourceif")
    return f"{named}: with annotation, sessions start from the address in src-ip; leave out bgp_sourceif"


def _routed_mode(settings: Settings) -> str:
    """Name the mode if it is one where nodes are not on one segment; else return an empty text."""
    if settings.bgp.enable:
        return "BGP mode"
    return "routing-table mode" if settings.routing_table.enable else ""


def _no_heartbeats(facts: Facts) -> str | None:
    mode = _routed_mode(facts.settings)
    if not mode or facts.settings.election.failover == "off":
        return None
    return f"{facts.shown('vip_failover')} has no effect in {mode}: nobody can be asked on the wire for an address"


def _nobody_is_seen(facts: Facts) -> str | None:
    mode = _routed_mode(facts.settings)
    if not mode or facts.settings.election.on_api_loss == "fence":
        return None
    return f"{facts.shown('vip_on_api_loss')} has no effect in {mode}: nobody can be seen to have an address"


def _routes_never_elect(facts: Facts) -> str | None:
    if not facts.settings.routing_table.enable or not facts.settings.election.enabled:
        return None
    return f"{facts.shown('vip_leaderelection')} has no effect in routing-table mode: every node announces"


def _own_server_gates_no_election(facts: Facts) -> str | None:
    settings, name = facts.settings, "control_plane_health_check_address"
    elects = settings.arp.enable or (settings.bgp.enable and settings.election.enabled)
    if not settings.control_plane_health.url or not elects:
        return None
    return f"{facts.shown(name)} has no effect where the control plane's address has one holder; use vip_check_http"


def _arp_elects(facts: Facts) -> str | None:
    if not facts.settings.arp.enable or facts.settings.election.enabled:
        return None
    if "vip_leaderelection" not in facts.given:
        return None
    return f"{facts.shown('vip_leaderelection')} has no effect: ARP mode always elects"


def _spread_in_arp_mode(facts: Facts) -> str | None:
    services = facts.settings.services
    if not services.enable or services.placement != "spread" or facts.settings.arp.enable:
        return None
    return f"{facts.shown('svc_placement')} works in ARP mode; where routers spread the traffic, leave it out"


def _spread_or_election(facts: Facts) -> str | None:
    services = facts.settings.services
    if services.placement != "spread" or not (services.election or services.election_on_demand):
        return None
    shown = [facts.shown(name) for name in ("svc_election", "per_service_election_on_demand") if name in facts.given]
    return f"{facts.shown('svc_placement')} needs no election for each Service; leave out {', '.join(shown)}"


def _spread_fences(facts: Facts) -> str | None:
    settings = facts.settings
    if settings.election.on_api_loss == "fence" or settings.services.placement != "spread":
        return None
    if not settings.services.enable:
        return None
    return f"{facts.shown('vip_on_api_loss')}: with svc_placement=spread for the control plane's address alone"


def _nothing_is_spread(facts: Facts) -> str | None:
    if not facts.settings.services.enable or facts.settings.services.placement == "spread":
        return None
    shown = [facts.shown(name) for name in ("svc_weight", "svc_zone") if name in facts.given]
    return f"{', '.join(shown)}: no effect without svc_placement=spread" if shown else None


def _arp_floor(facts: Facts) -> str | None:
    given = facts.given.get("vip_arpRate")
    if given is None or int(given.text) / 1000 == facts.settings.arp.rate:
        return None
    return f"{given} is below 500: it counts as 3000"


def _old_debug(facts: Facts) -> str | None:
    if facts.settings.logging.level != _OLD_DEBUG:
        return None
    return f"{facts.shown('vip_loglevel')} logs errors only; write -4 for debug, which 5 was before kube-vip 0.8.10"


PROBLEMS = (
    Rule(_MODES, _one_mode),
    Rule(("cp_enable", "svc_enable"), _some_work),
    Rule(("cp_enable", "address"), _address_known),
    Rule(("cp_enable", "address"), _no_names),
    Rule(("vip_subnet", "vip_arp", "address"), _automatic_prefix),
    Rule(_TIMING, _timing),
    Rule(_TIMING, _lease_length),
    Rule(("prometheus_server", "health_check_port"), _ports_differ),
    Rule(("vip_on_api_loss", "vip_failover"), _quorum_is_heard),
    Rule(("svc_enable", "svc_placement", "vip_arp"), _spread_in_arp_mode),
    Rule(("svc_placement", "svc_election", "per_service_election_on_demand"), _spread_or_election),
    Rule(("bgp_enable", "bgp_peers", "bgp_peeraddress", "annotation"), _peers_known),
    Rule(("bgp_enable", "annotation", "bgp_sourceif"), _one_source),
    Rule(("svc_enable", "svc_election", "vip_failover", "cp_enable"), _somebody_has_heartbeats),
)
NOTICES = (
    Rule(("bgp_enable", "vip_routingtable", "vip_failover"), _no_heartbeats),
    Rule(("bgp_enable", "vip_routingtable", "vip_on_api_loss"), _nobody_is_seen),
    Rule(("vip_routingtable", "vip_leaderelection"), _routes_never_elect),
    Rule(("svc_enable", "svc_election", "vip_failover", "cp_enable"), _services_have_no_heartbeats),
    Rule(("svc_enable", "svc_election", "per_service_election_on_demand"), _every_service_elects),
    Rule(("control_plane_health_check_address", "vip_arp", "vip_leaderelection"), _own_server_gates_no_election),
    Rule(("vip_arp", "vip_leaderelection"), _arp_elects),
    Rule(("svc_enable", "svc_placement", "vip_on_api_loss"), _spread_fences),
    Rule(("svc_enable", "svc_placement", "svc_weight", "svc_zone"), _nothing_is_spread),
    Rule(("vip_arpRate",), _arp_floor),
    Rule(("vip_loglevel",), _old_debug),
)
