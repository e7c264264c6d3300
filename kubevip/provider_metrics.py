"""What Prometheus reads of a provider."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from kubevip.metrics import counter, elections, gauge, watches
from kubevip.provider_statistics import ProviderStatistics
from kubevip.source import Capacity
from kubevip.version import __version__


def provider_metrics(now: ProviderStatistics) -> Iterator[Metric]:
    """Return the metrics of a provider."""
    yield gauge("kube_vip_build_info", "The version", ["version", "node"], [((__version__, now.name), 1)])
    yield from elections(now.name, now.electors)
    yield from watches(now.reflectors)
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
        told = [((pool, ""), size) for pool, size in _of_sources(name, now.sources)]
        yield gauge(f"kubevip_pool_{name}", help_text, labels, [*zip(names, values, strict=True), *told])
    failures = [((reason,), count) for reason, count in accounts.failures.items()]
    yield counter("kubevip_assignment_failures", "Requests that could not be met", ["reason"], failures)
    yield gauge("kubevip_pending_services", "Services that wait for an address", [], [((), len(accounts.waiting))])
    oldest = max((now.time - since for since in accounts.waiting.values()), default=0.0)
    yield gauge("kubevip_oldest_pending_seconds", "For how long the first of them has waited", [], [((), oldest)])


def _of_sources(name: str, sources: Mapping[str, Capacity]) -> Iterator[tuple[str, int]]:
    """Return what other IPAMs say of their pools, of both families at once; not all know how large theirs are."""
    for pool, capacity in sources.items():
        if name == "used":
            yield pool, capacity.used
        elif capacity.size is not None:
            yield pool, capacity.size if name == "size" else capacity.size - capacity.used
