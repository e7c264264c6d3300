"""What Prometheus reads, made from a snapshot when it asks. kube-vip's names where it has one, ours beside them."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kubevip.backend import Peering
from kubevip.election import Standing
from kubevip.kube.reflector import ReflectorStatistics
from kubevip.runtime.elector import ElectorStatistics
from kubevip.statistics import AgentStatistics, ProviderStatistics
from kubevip.version import __version__

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
    yield _gauge("kube_vip_build_info", "The version", ["version", "node"], [((__version__, now.node), 1)])
    yield from _elections(now.node, now.electors)
    yield from _addresses(now)
    yield from _services(now)
    yield from _watches(now.reflectors)
    yield from _heartbeats(now)
    yield from _peerings(now.peerings)


def provider_metrics(now: ProviderStatistics) -> Iterator[Metric]:
    """Return the metrics of a provider."""
    yield _gauge("kube_vip_build_info", "The version", ["version", "node"], [((__version__, now.name), 1)])
    yield from _elections(now.name, now.electors)
    yield from _watches(now.reflectors)
    if now.accounts is None:
        return
    accounts, labels = now.accounts, ["pool", "family"]
    sizes = {
        "size": ("Addresses of a pool", [each.size for each in accounts.pools]),
        "used": ("Addresses of a pool that are in use", [each.used for each in accounts.pools]),
        "free": ("Addresses of a pool that are free", [each.free for each in accounts.pools]),
    }
    names = [(each.pool, f"IPv{each.family.value}") for each in accounts.pools]
    for name, (help_text, values) in sizes.items():
        yield _gauge(f"kubevip_pool_{name}", help_text, labels, zip(names, values, strict=True))
    failures = [((reason,), count) for reason, count in accounts.failures.items()]
    yield _counter("kubevip_assignment_failures", "Requests that could not be met", ["reason"], failures)
    yield _gauge("kubevip_pending_services", "Services that wait for an address", [], [((), len(accounts.waiting))])
    oldest = max((now.time - since for since in accounts.waiting.values()), default=0.0)
    yield _gauge("kubevip_oldest_pending_seconds", "For how long the first of them has waited", [], [((), oldest)])


def _elections(node: str, electors: Iterable[ElectorStatistics]) -> Iterator[Metric]:
    leases = [(str(each.lease.name), each) for each in electors]
    leading = [((node, name), int(each.standing is Standing.LEADING)) for name, each in leases]
    yield _gauge("kube_vip_is_leader", "Whether this node leads a Lease", ["node", "lease_name"], leading)
    terms = [((name,), each.transitions) for name, each in leases]
    yield _counter(
        "kube_vip_leader_election_transitions", "How often this node has come to lead", ["lease_name"], terms
    )
    renewals = [((name,), each.renewals) for name, each in leases]
    yield _counter("kubevip_lease_renewals", "Successful renewals", ["lease_name"], renewals)
    failures = [((name,), each.failures) for name, each in leases]
    yield _counter("kubevip_lease_request_failures", "Requests for a Lease that failed", ["lease_name"], failures)


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
        yield _gauge("kubevip_addresses", "Virtual addresses of this node, by state", ["state"], counts)
        yield _counter(
            "kubevip_addresses_healed", "Addresses put back after someone removed them", [], [((), keeper.healed)]
        )
        yield _counter(
            "kubevip_address_conflicts", "Addresses that another machine answered for", [], [((), keeper.conflicts)]
        )
    sent = [((name,), each.announcements) for name, each in now.announcers.items()]
    yield _counter("kubevip_announcements", "Announcements made", ["backend"], sent)
    failed = [((name,), each.failures) for name, each in now.announcers.items()]
    yield _counter("kubevip_announcement_failures", "Announcements that failed", ["backend"], failed)


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
        yield _counter(f"kubevip_heartbeats_{name}", help_text, ["lease_name"], counts)
    hears = [(labels, len(pulse.hears)) for labels, pulse in pulses]
    yield _gauge("kubevip_heartbeats_peers", "Other nodes that are heard now", ["lease_name"], hears)


def _peerings(peerings: Iterable[Peering]) -> Iterator[Metric]:
    known = tuple(peerings)
    if not known:
        return
    states = [((each.state, each.peer), 1) for each in known]
    yield _gauge("kube_vip_manager_bgp_session_info", "The state of each session", ["state", "peer"], states)
    gauges = {"established": "Whether a peer hears what is announced", "routes": "Addresses that a peer was told"}
    for name, help_text in gauges.items():
        values = [((each.peer,), int(getattr(each, name))) for each in known]
        yield _gauge(f"kubevip_peer_{name}", help_text, ["peer"], values)
    counters = {"flaps": "Sessions that have ended", "malformed": "Messages of a peer that could not be used"}
    for name, help_text in counters.items():
        yield _counter(
            f"kubevip_peer_{name}", help_text, ["peer"], [((each.peer,), getattr(each, name)) for each in known]
        )


def _services(now: AgentStatistics) -> Iterator[Metric]:
    if now.services is not None:
        by_namespace = [((namespace,), count) for namespace, count in now.services.announced_by_namespace.items()]
        yield _gauge("kube_vip_active_services", "Services announced from here", ["namespace"], by_namespace)
        yield _gauge(
            "kubevip_services",
            "Services of type LoadBalancer, by state",
            ["state"],
            [
                (("seen",), now.services.seen),
                (("wanted",), now.services.wanted),
                (("without_endpoints",), now.services.without_endpoints),
            ],
        )


def _watches(reflectors: Mapping[str, ReflectorStatistics]) -> Iterator[Metric]:
    reflector = reflectors.get("services")
    if reflector is not None:
        events = [((kind,), count) for kind, count in reflector.events.items()]
        yield _counter("kube_vip_manager_all_services_events", "Events of the Service watch", ["type"], events)
    for name, help_text in (("lists", "Lists"), ("streams", "Watches"), ("failures", "Failures")):
        counts = [((resource,), getattr(each, name)) for resource, each in reflectors.items()]
        yield _counter(f"kubevip_watch_{name}", f"{help_text} by resource", ["resource"], counts)


def _gauge(
    name: str, help_text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _counter(
    name: str, help_text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
