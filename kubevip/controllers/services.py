"""From Services and their endpoints to claims on addresses, and from announced addresses to their status."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import attrs

from kubevip.claims import User
from kubevip.controllers.ownership import Ownership
from kubevip.model import IPAddress, ServiceKey, Vip
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.service import OF_OWN_LEASES, ClassFilter, Endpoints, Ignored, Reason, ServiceView, TrafficPolicy, Wanted

log = logging.getLogger(__name__)

# Reasons that a user didn't ask for: they are worth an Event.
_COMPLAINTS = (Reason.BAD_ADDRESS, Reason.BAD_LEASE)


class EventSink(Protocol):
    """Where Events about Services go; ``kubevip.kube.events.Events`` is one."""

    def normal(self, key: ServiceKey, uid: str, reason: str, message: str) -> None:
        """Note that something went as it should."""

    def warning(self, key: ServiceKey, uid: str, reason: str, message: str) -> None:
        """Note that something is wrong."""


@attrs.frozen
class ServicesStatistics:
    """A snapshot of the Services of type LoadBalancer: seen, asking to be served, and served from here.

    *in_vain* counts those that ask for something, too, that they don't get.
    """

    seen: int
    wanted: int
    without_endpoints: int
    in_vain: int
    announced_by_namespace: Mapping[str, int]


@attrs.define(eq=False)
class Services:
    """Knows the Services, and claims the addresses of those that are to be served.

    Every agent does so, whoever leads: so a successor knows all that it takes over. *speaks* tells whether
    this agent is the one that tells about a Service whose address nobody holds yet. Where every node announces,
    none of them is named as the host: *names_host* is false. *unheeded* is what ``ServiceView.wants`` is told.
    """

    node: str
    _ownership: Ownership
    _classes: ClassFilter
    _place: Callable[[IPAddress, str], tuple[str, int]]
    _events: EventSink
    _speaks: Callable[[], bool]
    _names_host: bool = True
    _unheeded: Mapping[str, str] = OF_OWN_LEASES
    publish: Callable[[ServiceKey], None] = lambda _key: None

    _views: dict[ServiceKey, ServiceView] = attrs.field(factory=dict, init=False)
    _endpoints: dict[ServiceKey, Endpoints] = attrs.field(factory=dict, init=False)
    _outcome: dict[ServiceKey, Wanted | Ignored] = attrs.field(factory=dict, init=False)
    _waiting: dict[ServiceKey, TrafficPolicy] = attrs.field(factory=dict, init=False)
    _level: int = attrs.field(default=logging.DEBUG, init=False)

    def __attrs_post_init__(self) -> None:
        self._ownership.watch(self)

    # What the API tells

    def applied(self, view: ServiceView) -> None:
        """The Service is there, and is like *view*."""
        known = self._views.get(view.key)
        if view.type != "LoadBalancer" and known is None:
            # Most Services of a cluster are of no concern: nothing is kept of them.
            return
        if known == view:
            return
        # One key for all that is kept of a Service, and there are thousands.
        view = attrs.evolve(view, key=known.key) if known is not None else view
        self._views[view.key] = view
        self._evaluate(view.key)
        if view.type != "LoadBalancer":
            self._forget(view.key)

    def deleted(self, key: ServiceKey) -> None:
        """There is no such Service any more."""
        if key in self._views:
            self._ownership.serve(key, None, (), ())
            self._forget(key)
            log.info("the Service is gone", extra={"service": str(key)})

    def retain(self, keys: Collection[ServiceKey]) -> None:
        """Of those known, only these Services are there.

        Until this is told for the first time, all Services are news, and a line for each would say little.
        """
        for key in self._views.keys() - set(keys):
            self.deleted(key)
        if self._level != logging.INFO:
            self._level = logging.INFO
            wanted = sum(1 for outcome in self._outcome.values() if isinstance(outcome, Wanted))
            log.info("know the Services", extra={"load_balancers": len(self._views), "to_be_served": wanted})

    def endpoints(self, key: ServiceKey, endpoints: Endpoints) -> None:
        """The Service has these endpoints."""
        if self._endpoints.get(key, Endpoints()) == endpoints:
            return
        if endpoints == Endpoints():
            self._endpoints.pop(key, None)
        else:
            self._endpoints[key] = endpoints
        if key in self._views:
            self._evaluate(key)

    def endpoints_of(self, key: ServiceKey) -> Endpoints:
        """Return the endpoints of a Service."""
        return self._endpoints.get(key, Endpoints())

    # What follows

    def _evaluate(self, key: ServiceKey) -> None:
        view = self._views[key]
        outcome, known = self._weigh(view), self._outcome.get(key)
        if known == outcome:
            # It is what others keep parts of.
            outcome = known
        else:
            self._outcome[key] = outcome
            self._tell(view, outcome)
        endpoints = self._endpoints.get(key, Endpoints())
        if isinstance(outcome, Ignored):
            self._waiting.pop(key, None)
            self._ownership.serve(key, view, (), ())
        elif endpoints.suffice(outcome):
            self._waiting.pop(key, None)
            self._ownership.serve(key, view, outcome.vips, outcome.vips)
            self.publish(key)
        else:
            self._wait_for_endpoints(view, outcome)
            elsewhere = endpoints.anywhere > 0
            self._ownership.serve(key, view, outcome.vips if elsewhere else (), (), elsewhere=elsewhere)

    def _weigh(self, view: ServiceView) -> Wanted | Ignored:
        outcome = view.wants(self._classes, self._place, self._unheeded)
        objection = self._ownership.objection(view) if isinstance(outcome, Wanted) else ""
        return Ignored(Reason.BAD_LEASE, objection) if objection else outcome

    @property
    def _quiet(self) -> bool:
        """True while a line is not worth its making: thousands of Services are told at the start."""
        return not log.isEnabledFor(self._level)

    def _tell(self, view: ServiceView, outcome: Wanted | Ignored) -> None:
        if self._quiet and isinstance(outcome, Wanted) and not outcome.problems:
            return
        extra = {"service": str(view.key)}
        if isinstance(outcome, Ignored):
            log.log(self._level, "not serving the Service", extra={**extra, "reason": str(outcome)})
            if outcome.reason in _COMPLAINTS and self._speaks():
                self._events.warning(view.key, view.uid, "NotServed", str(outcome))
            return
        vips = ", ".join(map(str, outcome.vips))
        log.log(
            self._level,
            "the Service asks for addresses",
            extra={**extra, "vip": vips, "policy": outcome.policy.value},
        )
        for problem in outcome.problems:
            log.warning("the Service asks in vain", extra={**extra, "reason": problem})
            if self._speaks():
                self._events.warning(view.key, view.uid, "NotSupported", problem)

    def _wait_for_endpoints(self, view: ServiceView, outcome: Wanted) -> None:
        if self._waiting.get(view.key) is outcome.policy:
            return
        self._waiting[view.key] = outcome.policy
        if self._quiet and not self._speaks():
            return
        local = outcome.policy is TrafficPolicy.LOCAL
        where = f"node {self.node} has no ready endpoint" if local else "there is no ready endpoint"
        reason = f"{where} (externalTrafficPolicy {outcome.policy.value})"
        log.log(self._level, "not announcing the Service", extra={"service": str(view.key), "reason": reason})
        if self._speaks():
            self._events.normal(view.key, view.uid, "NoEndpoints", f"not announced: {reason}")

    def _forget(self, key: ServiceKey) -> None:
        for known in (self._views, self._outcome, self._waiting):
            known.pop(key, None)

    # What the keeper tells

    def changed(self, user: User, vip: Vip) -> None:
        """A VIP of *user* begins or ceases to be announced here."""
        view = self._views.get(user) if isinstance(user, ServiceKey) else None
        if view is None:
            return
        self.publish(view.key)
        if self._ownership.announced(vip.address):
            text = f"announcing {vip} from node {self.node} on {vip.interface}"
            self._events.normal(view.key, view.uid, "Announced", text)

    def conflicting(self, user: User, conflict: Conflict) -> None:
        """Another machine answers for a VIP of *user*."""
        view = self._views.get(user) if isinstance(user, ServiceKey) else None
        if view is not None:
            doing = "not announcing" if conflict.manner is Manner.YIELD else "announcing"
            verb = "claims it" if conflict.manner is Manner.KEEP else "answers for it"
            text = f"{doing} {conflict.vip}: a machine with the MAC address {conflict.mac} {verb}"
            self._events.warning(view.key, view.uid, "AddressConflict", f"{text} on {conflict.vip.interface}")
            self.publish(view.key)

    def settled(self, user: User, vip: Vip) -> None:
        """No other machine claims a VIP of *user* any more, or it is another node's to tell."""
        view = self._views.get(user) if isinstance(user, ServiceKey) else None
        if view is not None and self._ownership.announced(vip.address):
            text = f"nobody else on {vip.interface} claims {vip} any more"
            self._events.normal(view.key, view.uid, "AddressConflictOver", text)
            self.publish(view.key)

    def failing(self, user: User, vip: Vip, reason: str) -> None:
        """A VIP of *user* can't be held here now."""
        view = self._views.get(user) if isinstance(user, ServiceKey) else None
        if view is not None:
            self._events.warning(view.key, view.uid, "NotAnnounced", f"node {self.node} can't hold {vip}: {reason}")

    # What is to be published

    def announcement(self, key: ServiceKey) -> "Announcement | None":
        """Return what is to be written into the Service; ``None`` where nothing of it is announced here."""
        view, outcome = self._views.get(key), self._outcome.get(key)
        if view is None or not isinstance(outcome, Wanted):
            return None
        addresses = tuple(vip.address for vip in outcome.vips)
        conflict = self._conflicts(outcome.vips)
        if not conflict and not any(self._ownership.announced(address) for address in addresses):
            return None
        # Where the addresses of a Service have two holders, the one of its first address names itself.
        host = self.node if self._names_host and self._ownership.announced(addresses[0]) else None
        return Announcement(view, addresses, self._ownership.announced, host, conflict)

    def _conflicts(self, vips: Sequence[Vip]) -> str | None:
        """Say who else claims them. That is for the holder of the first one to tell, or two would contradict."""
        first = vips[0].address
        if not self._ownership.announced(first) and not self._ownership.rivals(first):
            return None
        return "; ".join(text for vip in vips if (text := self._conflict(vip)))

    def _is_announced(self, key: ServiceKey) -> bool:
        outcome = self._outcome.get(key)
        return isinstance(outcome, Wanted) and any(self._ownership.announced(vip.address) for vip in outcome.vips)

    def _conflict(self, vip: Vip) -> str:
        macs = ", ".join(self._ownership.rivals(vip.address))
        doing = "announced" if self._ownership.announced(vip.address) else "not announced"
        return f"{vip} is {doing} by {self.node}, and claimed on {vip.interface} by {macs}" if macs else ""

    def statistics(self) -> ServicesStatistics:
        """Return a snapshot."""
        wanted = [outcome for outcome in self._outcome.values() if isinstance(outcome, Wanted)]
        in_vain = sum(1 for outcome in wanted if outcome.problems)
        announced = Counter(key.namespace for key in self._views if self._is_announced(key))
        return ServicesStatistics(len(self._views), len(wanted), len(self._waiting), in_vain, dict(announced))


@attrs.frozen
class Announcement:
    """What is true of a Service that is announced here, at least in part, or whose addresses others claim.

    *conflict* says who; it is empty where nobody does, ``None`` where it is another node's to tell.
    """

    view: ServiceView
    addresses: tuple[IPAddress, ...]
    announced: Callable[[IPAddress], bool]
    host: str | None
    conflict: str | None = None
