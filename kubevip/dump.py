"""The state of an agent as text, for people: what SIGUSR1 prints, under kube-vip's headings."""

from collections.abc import Iterable, Iterator, Mapping

from kubevip.backend import Link
from kubevip.statistics import AgentStatistics
from kubevip.version import __version__

_RULE = "=" * 80


def dump(given: Mapping[str, object], now: AgentStatistics, links: Iterable[Link]) -> str:
    """Return the text. *given* is what was written for each setting, by its name."""
    sections = {
        "BASIC CONFIGURATION": _basic(given, now),
        **({"BGP CONFIGURATION": _peerings(now)} if now.peerings else {}),
        "LEADER ELECTION CONFIGURATION": _elections(now),
        "HEALTH": _health(now),
        "ARP/NDP CONFIGURATION": _announcing(now),
        "SERVICES CONFIGURATION": _services(now),
        "NETWORK INTERFACES": _interfaces(links),
        "RUNTIME STATISTICS": _runtime(now),
    }
    lines = [_RULE]
    for title, section in sections.items():
        lines += ["", title, *(f"  {line}" for line in section)]
    return "\n".join([*lines, "", _RULE, ""])


def _basic(given: Mapping[str, object], now: AgentStatistics) -> Iterator[str]:
    yield f"version: {__version__}"
    yield f"node: {now.node}"
    for _name, value in sorted(given.items()):
        yield str(value)


def _elections(now: AgentStatistics) -> Iterator[str]:
    for elector in now.electors:
        holder = elector.holder or "nobody"
        yield f"{elector.lease}: {elector.standing.value}; holder {holder}; terms {elector.transitions}"
        if elector.last_error:
            yield f"{elector.lease}: {elector.last_error}"


def _health(now: AgentStatistics) -> Iterator[str]:
    if now.health is None:
        return
    for lease, fitness in now.health.fitness.items():
        why = "; ".join(text or ground.value for ground, text in fitness.unfit.items())
        yield f"{lease}: {f'not fit: {why}' if why else 'fit'}{', held as the last resort' * fitness.last_resort}"
        for reason, count in fitness.given_up.items():
            yield f"{lease}: given up {count} times: {reason}"
    for check in now.health.checks:
        health = {None: "no result yet", True: "healthy", False: "failing"}[check.healthy]
        yield f"check {check.name}: {health}; {check.failures} of {check.runs} failed; took {check.seconds:.3f} s"
        if check.last:
            yield f"check {check.name}: {check.last}"


def _announcing(now: AgentStatistics) -> Iterator[str]:
    for name, announcer in now.announcers.items():
        yield f"{name}: {announcer.announced} announced, {announcer.announcements} calls, {announcer.failures} failed"
    for trial in now.verification.trials if now.verification is not None else ():
        state = {True: "verified", False: "not verified", None: "can't be verified"}[trial.verified]
        place, witnesses = trial.place, trial.witnesses or "nobody"
        yield f"takeover on {place.interface} (IPv{place.family.value}, {place.lease}): {state}; asked: {witnesses}"
    for vip, macs in now.conflicts.rivals.items() if now.conflicts is not None else ():
        yield f"{vip}: claimed by {', '.join(macs)}"


def _peerings(now: AgentStatistics) -> Iterator[str]:
    for each in now.peerings:
        yield f"{each.peer}: {each.state}; {each.routes} addresses told; {each.flaps} sessions ended"
        if each.reason:
            yield f"{each.peer}: {each.reason}"
        if each.complaint:
            yield f"{each.peer}: {each.malformed} messages of no use, the last one: {each.complaint}"


def _services(now: AgentStatistics) -> Iterator[str]:
    if now.spread is not None:
        yield f"spread over {', '.join(now.spread.present) or 'nobody'}; {now.spread.own} addresses are this node's"
    if now.services is None:
        yield "off"
        return
    yield f"of type LoadBalancer: {now.services.seen}; to be served: {now.services.wanted}"
    yield f"without endpoints: {now.services.without_endpoints}; asking in vain: {now.services.in_vain}"
    for namespace, count in sorted(now.services.announced_by_namespace.items()):
        yield f"announced in {namespace}: {count}"


def _interfaces(links: Iterable[Link]) -> Iterator[str]:
    for link in links:
        yield f"{link.index}: {link.name} {'up' if link.up else 'down'} {link.mac.hex(':')}"


def _runtime(now: AgentStatistics) -> Iterator[str]:
    keeper = now.keeper
    if keeper is not None:
        yield f"addresses: {keeper.wanted} to be held, {keeper.held} held, {keeper.announced} announced"
        yield f"handed over now: {keeper.lingering}; put back: {keeper.healed}; conflicts: {keeper.conflicts}"
        for vip, reason in keeper.failing.items():
            yield f"{vip}: {reason}"
    for name, reflector in now.reflectors.items():
        yield f"watch of {name}: {reflector.lists} lists, {reflector.streams} streams, {reflector.failures} failures"
    obstacles = now.obstacles()
    yield f"ready: {'yes' if not obstacles else '; '.join(obstacles)}"
