"""What Prometheus reads, made from a snapshot when it asks. kube-vip's names where it has one, ours beside them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from kubevip.backend import Peering
from kubevip.controllers.annotated import AnnotationStatistics
from kubevip.controllers.health import HealthStatistics
from kubevip.election import Standing
from kubevip.kube.reflector import ReflectorStatistics
from kubevip.model import Family, LeaseKey
from kubevip.runtime.elector import ElectorStatistics
from kubevip.runtime.trial import Place
from kubevip.statistics import AgentStatistics
from kubevip.version import __version__

Name = Callable[[LeaseKey], str]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Snapshot:
    """Gives the metrics of one snapshot."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(snapshot: Iterable[Metric]) -> bytes:
    """Return the text that ``/metrics`` answers with: *snapshot*, and what is measured of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Snapshot(tuple(snapshot)))
    return generate_latest(registry)


def metrics(now: AgentStatistics) -> Iterator[Metric]:
    """Return the metrics of an agent."""
    yield gauge("kube_vip_build_info", "The version", ["version", "node"], [((__version__, now.node), 1)])
    label = partial(_name, frozenset(now.own))
    yield from elections(now.node, now.electors, label)
    yield from _addresses(now)
    yield from _services(now)
    yield from watches(now.reflectors)
    yield from _heartbeats(now)
    if now.health is not None:
        yield from _health(now.health, label)
    yield from _takeovers(now, label)
    yield from _conflicts(now)
    yield from _spread(now)
    yield from _peerings(now.peerings)
    if now.annotations is not None:
        yield from _annotations(now.annotations)


def _annotations(now: AnnotationStatistics) -> Iterator[Metric]:
    unknown, bad = ([((name,), 1) for name in names] for names in (now.unknown, now.bad))
    yield gauge("kubevip_node_annotation_unknown", "1 for each that means nothing here", ["annotation"], unknown)
    yield gauge("kubevip_node_annotation_invalid", "1 for each that can't be used", ["annotation"], bad)


def elections(
    node: str, electors: Iterable[ElectorStatistics], label: Name = lambda lease: lease.name
) -> Iterator[Metric]:
    """Return the metrics of elections."""
    leases = [(label(each.lease), each) for each in electors]
    leading = [((node, name), int(each.standing is Standing.LEADING)) for name, each in leases]
    yield gauge("kube_vip_is_leader", "Whether this node leads a Lease", ["node", "lease_name"], leading)
    terms = [((name,), each.transitions) for name, each in leases]
    yield counter("kube_vip_leader_election_transitions", "How often this node has come to lead", ["lease_name"], terms)
    renewals = [((name,), each.renewals) for name, each in leases]
    yield counter("kubevip_lease_renewals", "Successful renewals", ["lease_name"], renewals)
    reaffirmed = [((name,), int(each.reaffirmed)) for name, each in leases]
    help_text = "Whether this node leads on though it can't renew (vip_on_api_loss)"
    yield gauge("kubevip_lease_reaffirmed", help_text, ["lease_name"], reaffirmed)
    failures = [((name,), each.failures) for name, each in leases]
    yield counter("kubevip_lease_request_failures", "Requests for a Lease that failed", ["lease_name"], failures)


def _addresses(now: AgentStatistics) -> Iterator[Metric]:
    keeper = now.keeper
    if keeper is not None:
        states = {
            "wanted": keeper.wanted,
            "held": keeper.held,
            "announced": keeper.announced,
            "failing": len(keeper.failing),
            "lingering": keeper.lingering,
        }
        counts = [((state,), count) for state, count in states.items()]
        yield gauge("kubevip_addresses", "Virtual addresses of this node, by state", ["state"], counts)
        yield counter(
            "kubevip_addresses_healed", "Addresses put back after someone removed them", [], [((), keeper.healed)]
        )
        yield counter(
            "kubevip_address_conflicts", "Addresses that another machine answered for", [], [((), keeper.conflicts)]
        )
    sent = [((name,), each.announcements) for name, each in now.announcers.items()]
    yield counter("kubevip_announcements", "Announcements made", ["backend"], sent)
    failed = [((name,), each.failures) for name, each in now.announcers.items()]
    yield counter("kubevip_announcement_failures", "Announcements that failed", ["backend"], failed)


def _heartbeats(now: AgentStatistics) -> Iterator[Metric]:
    pulses = [((lease.name,), pulse) for lease, pulse in now.pulses.items()]
    texts = {
        "sent": "Heartbeats sent",
        "heard": "Heartbeats of others",
        "refused": "Frames that were no heartbeats, or not to be believed",
        "missed": "Holders whose Lease was taken because they were gone",
        "cut_off": "How often this node let go because it was cut off",
    }
    for name, help_text in texts.items():
        counts = [(labels, getattr(pulse, name)) for labels, pulse in pulses]
        yield counter(f"kubevip_heartbeats_{name}", help_text, ["lease_name"], counts)
    hears = [(labels, len(pulse.hears)) for labels, pulse in pulses]
    yield gauge("kubevip_heartbeats_peers", "Other nodes that are heard now", ["lease_name"], hears)
    deaf = [(labels, int(pulse.deaf)) for labels, pulse in pulses]
    help_text = "Whether the holder's heartbeats don't arrive here, so that the Lease's times apply"
    yield gauge("kubevip_heartbeats_deaf", help_text, ["lease_name"], deaf)


def _health(now: HealthStatistics, label: Name) -> Iterator[Metric]:
    fitness = [(label(lease), each) for lease, each in now.fitness.items()]
    eligible = [((name,), int(not each.unfit)) for name, each in fitness]
    yield gauge("kubevip_eligible", "Whether nothing is against this node", ["lease_name"], eligible)
    grounds = [((name, ground.word), 1) for name, each in fitness for ground in each.unfit]
    yield gauge("kubevip_ineligible_info", "What is against this node", ["lease_name", "reason"], grounds)
    held = [((name,), int(each.last_resort)) for name, each in fitness]
    yield gauge("kubevip_last_resort", "Whether it holds a Lease that no fit node took", ["lease_name"], held)
    given_up = [((name, reason), count) for name, each in fitness for reason, count in each.given_up.items()]
    yield counter("kubevip_leases_given_up", "Leases given up for others", ["lease_name", "reason"], given_up)
    asked = [((name,), each.asked) for name, each in fitness]
    yield counter("kubevip_leases_asked_for", "Requests to the holder of a Lease", ["lease_name"], asked)
    known = [((check.name,), int(check.healthy)) for check in now.checks if check.healthy is not None]
    yield gauge("kubevip_check_healthy", "Whether a check succeeds, by rise and fall", ["check"], known)
    for name, help_text in (("runs", "Runs of a check"), ("failures", "Runs of a check that failed")):
        counts = [((check.name,), getattr(check, name)) for check in now.checks]
        yield counter(f"kubevip_check_{name}", help_text, ["check"], counts)
    took = [((check.name,), check.seconds) for check in now.checks]
    yield gauge("kubevip_check_seconds", "How long the last run took", ["check"], took)


def _takeovers(now: AgentStatistics, label: Name) -> Iterator[Metric]:
    if now.verification is None:
        return
    found, labels = now.verification, ["lease_name", "interface", "family"]
    seconds = HistogramMetricFamily(
        "kubevip_takeover_verified_seconds",
        "From leadership to the first answer to a question that was asked from a virtual address",
        labels=labels,
    )
    for place, durations in found.durations.items():
        seconds.add_metric(_place(place, label), durations.buckets(), durations.total)
    yield seconds
    states = [(_place(each.place, label), int(not each.verified)) for each in found.trials if each.verified is not None]
    yield gauge("kubevip_takeover_unverified", "1 while witnesses are asked, and none has answered", labels, states)
    timeouts = [(_place(place, label), count) for place, count in found.timeouts.items()]
    yield counter("kubevip_takeover_timeouts", "Takeovers that no witness confirmed in time", labels, timeouts)
    given_up = [((label(lease),), count) for lease, count in found.resignations.items()]
    yield counter("kubevip_takeover_resignations", "Leases given up for it", ["lease_name"], given_up)


def _conflicts(now: AgentStatistics) -> Iterator[Metric]:
    found = now.conflicts
    if found is not None:
        yield counter("kubevip_conflicts", "Machines that claimed a held address", [], [((), found.conflicts)])
        yield counter("kubevip_conflicts_defended", "Announcements against them", [], [((), found.defended)])
        yield counter("kubevip_conflicts_yielded", "Addresses that were left to them", [], [((), found.yielded)])
    held = dict(found.rivals) if found is not None else {}
    left = {vip: [mac] for vip, mac in now.keeper.contested.items()} if now.keeper is not None else {}
    values = [((str(vip), mac, vip.interface), 1) for vip, macs in (held | left).items() for mac in macs]
    help_text = "1 while another machine claims an address of ours"
    yield gauge("kubevip_conflict_info", help_text, ["vip", "mac", "interface"], values)


def _spread(now: AgentStatistics) -> Iterator[Metric]:
    found = now.spread
    if found is not None:
        loads = [((node,), found.loads.get(node, 0)) for node in found.present]
        help_text = "Services by the node that holds them (svc_placement=spread)"
        yield gauge("kubevip_spread_services", help_text, ["node"], loads)
        yield gauge("kubevip_spread_own_addresses", "Addresses that records give to this node", [], [((), found.own)])
        moves = [((kind,), count) for kind, count in found.moves.items()]
        yield counter("kubevip_spread_moves", "Addresses taken and handed over, Leases taken away", ["kind"], moves)


def _name(own: Collection[LeaseKey], lease: LeaseKey) -> str:
    """Return what a Lease is called: by its name, as kube-vip does, unless others may have the same."""
    return str(lease) if lease in own else lease.name


def _place(place: Place, label: Name) -> tuple[str, str, str]:
    return label(place.lease), place.interface, f"IPv{place.family.value}"


def _peerings(peerings: Iterable[Peering]) -> Iterator[Metric]:
    known = tuple(peerings)
    if not known:
        return
    states = [((each.state, each.peer), 1) for each in known]
    yield gauge("kube_vip_manager_bgp_session_info", "The state of each session", ["state", "peer"], states)
    gauges = {"established": "Whether a peer hears what is announced", "routes": "Addresses that a peer was told"}
    for name, help_text in gauges.items():
        values = [((each.peer,), int(getattr(each, name))) for each in known]
        yield gauge(f"kubevip_peer_{name}", help_text, ["peer"], values)
    families = [
        ((each.peer, f"IPv{family.value}"), int(family in each.families))
        for each in known
        if each.established
        for family in Family
    ]
    yield gauge("kubevip_peer_family", "Whether a peer takes addresses of a family", ["peer", "family"], families)
    reasons = [((each.peer, each.reason), 1) for each in known if each.reason and not each.established]
    yield gauge("kubevip_peer_reason_info", "Why a peer hears nothing", ["peer", "reason"], reasons)
    complaints = [((each.peer, each.complaint), 1) for each in known if each.complaint]
    yield gauge("kubevip_peer_complaint_info", "Its last message of no use", ["peer", "reason"], complaints)
    counters = {"flaps": "Sessions that have ended", "malformed": "Messages of a peer that could not be used"}
    for name, help_text in counters.items():
        yield counter(
            f"kubevip_peer_{name}", help_text, ["peer"], [((each.peer,), getattr(each, name)) for each in known]
        )


def _services(now: AgentStatistics) -> Iterator[Metric]:
    if now.services is not None:
        by_namespace = [((namespace,), count) for namespace, count in now.services.announced_by_namespace.items()]
        yield gauge("kube_vip_active_services", "Services announced from here", ["namespace"], by_namespace)
        yield gauge(
            "kubevip_services",
            "Services of type LoadBalancer, by state",
            ["state"],
            [
                (("seen",), now.services.seen),
                (("wanted",), now.services.wanted),
                (("without_endpoints",), now.services.without_endpoints),
                (("in_vain",), now.services.in_vain),
            ],
        )


def watches(reflectors: Mapping[str, ReflectorStatistics]) -> Iterator[Metric]:
    """Return the metrics of what is followed."""
    reflector = reflectors.get("services")
    if reflector is not None:
        events = [((kind,), count) for kind, count in reflector.events.items()]
        yield counter("kube_vip_manager_all_services_events", "Events of the Service watch", ["type"], events)
    for name, help_text in (("lists", "Lists"), ("streams", "Watches"), ("failures", "Failures")):
        counts = [((resource,), getattr(each, name)) for resource, each in reflectors.items()]
        yield counter(f"kubevip_watch_{name}", f"{help_text} by resource", ["resource"], counts)


def gauge(
    name: str, help_text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """Return a gauge with a value for each combination of labels."""
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def counter(
    name: str, help_text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    """Return a counter with a value for each combination of labels."""
    family = CounterMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
