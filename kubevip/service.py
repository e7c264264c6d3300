"""What a Service asks of us, or the reason to ignore it. kube-vip's rules, without its surprises.

The order of the checks, the order in which addresses are looked for and the annotations are kube-vip's
(``pkg/services``); what it gets wrong silently is said here as a problem.
"""

import enum
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import attrs

from kubevip.custody import Custody
from kubevip.model import IPAddress, ServiceKey, Vip
from kubevip.vocabulary import OF_KUBE_VIP, objections

ADDRESSES = OF_KUBE_VIP + "loadbalancerIPs"
HOST = OF_KUBE_VIP + "vipHost"
IGNORE = OF_KUBE_VIP + "ignore"
LEASE_NAME = OF_KUBE_VIP + "leaseName"
FORCE_ELECTION = OF_KUBE_VIP + "forcePerServiceElection"
INTERFACE = OF_KUBE_VIP + "serviceInterface"
# A condition in the status of a Service: true while another machine claims one of its addresses.
CONFLICT = "kubevip.io/AddressConflict"
WITHOUT_ENDPOINTS = OF_KUBE_VIP + "allow-reconcile-without-endpoints"
# Annotations of kube-vip whose features are not there: a Service that uses one is served without it, and told so.
NOT_YET = {
    OF_KUBE_VIP + "serviceVLAN": "no VLAN interface is made",
    OF_KUBE_VIP + "egress": "connections of the Pods leave with the node's address",
    OF_KUBE_VIP + "ddns": "names are not resolved",
    OF_KUBE_VIP + "forwardUPNP": "no ports are forwarded",
}
# Annotations that have no effect where all Services share one Lease.
OF_OWN_LEASES = {
    LEASE_NAME: "Services share one Lease; svc_election=true gives each its own",
    FORCE_ELECTION: "Services share one Lease; per_service_election_on_demand=true gives this one its own",
}


class Reason(enum.Enum):
    """Why a Service is not served by this agent."""

    OTHER_TYPE = "its type is not LoadBalancer"
    DELETING = "it is being deleted"
    ANNOTATION = f"its annotation {IGNORE} says so"
    OTHER_CLASS = "its loadBalancerClass is another one"
    NO_CLASS = "it has no loadBalancerClass, and only Services of our class are served"
    NO_ADDRESS = "it has no address yet"
    BAD_ADDRESS = "none of its addresses can be used"
    BAD_LEASE = "its addresses can't have the Lease that it asks for"


class TrafficPolicy(enum.Enum):
    """Which endpoints of a Service external traffic goes to."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


@attrs.frozen(kw_only=True)
class ClassFilter:
    """Which classes of Services are ours: kube-vip's ``lb_class_*`` settings."""

    name: str = "kube-vip.io/kube-vip-class"
    only: bool = False
    legacy: bool = True

    def refuses(self, load_balancer_class: str | None) -> Reason | None:
        """Return why a Service of that class is not ours, or ``None``."""
        if load_balancer_class is None:
            accepted = not self.only if self.legacy else self.name == ""
            return None if accepted else Reason.NO_CLASS
        return None if load_balancer_class == self.name else Reason.OTHER_CLASS


@attrs.frozen
class Ingress:
    """One entry of ``status.loadBalancer.ingress``; *ports* are pairs of number and protocol."""

    ip: str = ""
    hostname: str = ""
    ports: tuple[tuple[int, str], ...] = ()


@attrs.frozen
class Ignored:
    """A Service that is not served. *detail* names what is wrong, where something is."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value


@attrs.frozen
class Wanted:
    """A Service that asks to be served at *vips*. *problems* are what it asks for in vain, a sentence each."""

    vips: tuple[Vip, ...]
    policy: TrafficPolicy
    needs_endpoints: bool
    problems: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ServiceView:
    """What matters of a Service. *conflict* is what its status says of other machines that claim its addresses.

    *created* is its creationTimestamp, whose texts sort as their times do; *version* is its resourceVersion. *record*
    says who has its addresses, in spread mode.
    """

    key: ServiceKey
    uid: str = ""
    type: str = "LoadBalancer"
    load_balancer_class: str | None = None
    load_balancer_ip: str = ""
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    ports: tuple[tuple[int, str], ...] = ()
    policy: TrafficPolicy = TrafficPolicy.CLUSTER
    ingress: tuple[Ingress, ...] = ()
    deleting: bool = False
    conflict: str = ""
    created: str = ""
    version: str = attrs.field(default="", eq=False)
    record: Custody | None = None

    def wants(
        self,
        classes: ClassFilter,
        place: Callable[[IPAddress, str], tuple[str, int]],
        unheeded: Mapping[str, str] = OF_OWN_LEASES,
    ) -> Wanted | Ignored:
        """Say what the Service asks for.

        *place* returns interface and prefix length for an address and the annotated name of an interface,
        which may be empty, for the default, or ``auto``. *unheeded* are annotations that this agent's settings leave
        without effect, with what is the case instead.
        """
        reason = self._refused(classes)
        if reason is not None:
            return Ignored(reason)
        texts = self._addresses()
        if not texts:
            return Ignored(Reason.NO_ADDRESS)
        addresses, problems = parse_addresses(texts)
        if not addresses:
            return Ignored(Reason.BAD_ADDRESS, "; ".join(problems))
        annotated = self.annotations.get(INTERFACE, "").strip()
        vips = tuple(Vip(address, *place(address, annotated)) for address in addresses)
        return Wanted(vips, self.policy, self._needs_endpoints(), (*problems, *self._unsupported(unheeded)))

    def _refused(self, classes: ClassFilter) -> Reason | None:
        if self.type != "LoadBalancer":
            return Reason.OTHER_TYPE
        if self.deleting:
            return Reason.DELETING
        if self.annotations.get(IGNORE) == "true":
            return Reason.ANNOTATION
        return classes.refuses(self.load_balancer_class)

    def _addresses(self) -> Sequence[str]:
        """Return the texts of its addresses, where it has any: the annotation, the status, the spec.

        A ``spec.loadBalancerIP`` that differs from the status of its family is an edit, and wins.
        """
        if ADDRESSES in self.annotations:
            return [text for text in map(str.strip, self.annotations[ADDRESSES].split(",")) if text]
        status = [entry.ip or entry.hostname for entry in self.ingress if entry.ip or entry.hostname]
        asked = _parse(self.load_balancer_ip)
        if asked is not None:
            published = [_parse(text) for text in status]
            if any(each is not None and each.version == asked.version and each != asked for each in published):
                return [self.load_balancer_ip]
        return status or ([self.load_balancer_ip] if self.load_balancer_ip else [])

    def _needs_endpoints(self) -> bool:
        without = self.annotations.get(WITHOUT_ENDPOINTS, "").lower() == "true"
        return not (without and self.policy is TrafficPolicy.CLUSTER)

    def _unsupported(self, unheeded: Mapping[str, str]) -> list[str]:
        found = {f"annotation {name} has no effect yet: {instead}": name for name, instead in NOT_YET.items()}
        found |= {f"annotation {name} has no effect: {instead}": name for name, instead in unheeded.items()}
        vain = [
            text
            for text, name in found.items()
            if name in self.annotations and self.annotations[name].strip().lower() not in ("", "false")
        ]
        return vain + objections(self.annotations)

    def published(self, addresses: Sequence[IPAddress], announced: Callable[[IPAddress], bool]) -> tuple[Ingress, ...]:
        """Return what the status has to list, in the order of *addresses*: those announced here, with our ports.

        An address that is announced by another node stays as that node has published it.
        """
        # kube-vip writes an address as its Service spells it.
        known = {str(_parse(entry.ip)): entry for entry in self.ingress}
        entries = [
            Ingress(ip=str(address), ports=self.ports) if announced(address) else known.get(str(address))
            for address in addresses
        ]
        return tuple(entry for entry in entries if entry is not None)


@attrs.frozen
class Endpoints:
    """How many endpoints of a Service take traffic: anywhere, and on this node.

    *nodes* are those with such endpoints, where somebody has to know.
    """

    anywhere: int = 0
    here: int = 0
    nodes: frozenset[str] = frozenset()

    def suffice(self, wanted: Wanted) -> bool:
        """Tell whether a Service may be announced from this node."""
        if not wanted.needs_endpoints:
            return True
        return self.here > 0 if wanted.policy is TrafficPolicy.LOCAL else self.anywhere > 0

    def __add__(self, other: "Endpoints") -> "Endpoints":
        return Endpoints(self.anywhere + other.anywhere, self.here + other.here, self.nodes | other.nodes)


def parse_addresses(texts: Sequence[str]) -> tuple[list[IPAddress], list[str]]:
    """Sort *texts* into usable addresses, each once, and a problem for each that isn't."""
    addresses: dict[IPAddress, Literal[True]] = {}
    problems: list[str] = []
    for text in texts:
        address = _parse(text)
        problem = _problem(text, address)
        if problem is None and address is not None:
            addresses[address] = True
        elif problem is not None:
            problems.append(problem)
    return list(addresses), problems


def _parse(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _problem(text: str, address: IPAddress | None) -> str | None:
    if address is None:
        return f"{text!r} is not an IP address such as 10.0.0.5 or fd00::5 (names are not resolved yet)"
    if address.is_unspecified:
        return f"{text} asks for an address by DHCP, which is not there yet; write an address"
    if address.is_multicast or address.is_loopback or (isinstance(address, ipaddress.IPv6Address) and address.scope_id):
        return f"{text} is not an address that a Service can have; write a unicast address of your network"
    return None
