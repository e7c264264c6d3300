"""What the scale bench is asked to measure, and with how much."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from kubevip.demo.cluster import OPERATOR

MODES: Mapping[str, Mapping[str, str]] = {
    "common": {},
    "service": {"svc_election": "true"},
    "spread": {"svc_placement": "spread"},
}
PARTS = ("one", "first", "fleet", "rest", "create", "churn", "restart", "cold", "others")
TIMES = ("vip_leaseduration", "vip_renewdeadline", "vip_retryperiod")


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured, and with how much."""

    agents: int
    services: int
    others: int
    rest: float
    churn: float
    width: int
    created: int = 7
    mode: str = "spread"
    times: tuple[str, ...] = tuple(OPERATOR[name] for name in TIMES)
    """Those of ``TIMES``, in seconds."""
    parts: frozenset[str] = frozenset(PARTS)


SMALL = Plan(agents=5, services=500, others=500, rest=5.0, churn=20.0, width=1)
LARGE = Plan(agents=50, services=5000, others=5000, rest=20.0, churn=60.0, width=2)


def parse(description: str, arguments: Sequence[str] | None = None) -> tuple[Plan, bool, Path | None]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="5 agents, 500 Services, 20 s of churn")
    add("--real", action="store_true", help="on kube-apiserver and etcd instead of the built-in API server")
    add("--mode", choices=tuple(MODES), default=LARGE.mode)
    add("--agents", type=int)
    add("--services", type=int)
    add("--others", type=int, help="how many Services of type ClusterIP come in the end")
    add("--rest", type=float, help="seconds at rest")
    add("--churn", type=float, help="seconds of churn")
    add("--width", type=int, help="agents that are restarted at a time")
    add("--times", default="/".join(LARGE.times), help="of a Lease, in seconds, as 15/10/2")
    add("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    add("--logs", type=Path, help="where the agents' logs are left")
    given = parser.parse_args(arguments)
    parts = frozenset(given.parts.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"--parts: there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    times = tuple(given.times.split("/"))
    if len(times) != len(TIMES):
        parser.error(f"--times: {given.times!r} are not the three times of a Lease, such as 15/10/2")
    plan = attrs.evolve(SMALL if given.quick else LARGE, mode=given.mode, times=times, parts=parts)
    for name in ("agents", "services", "others", "rest", "churn", "width"):
        if (said := getattr(given, name)) is not None:
            plan = attrs.evolve(plan, **{name: said})
    return plan, given.real, given.logs
