"""What the provider owes to a Service: an address, an account of the one that it has, or a way out.

A Service says in two places which address it has: an annotation, which may list several, and
``spec.loadBalancerIP``, the first of them. The provider keeps both equal, and in an annotation of its own the
*record* of what they were, and where from. So it sees what a user has edited since, also after a restart.
"""

import enum
import functools
from collections.abc import Collection, Mapping

import attrs

from kubevip.errors import ConfigError
from kubevip.ipam import DHCP_MARKER, FamilyPolicy, Request, read_address
from kubevip.model import Family, IPAddress, ServiceKey
from kubevip.service import ADDRESSES

LABEL, LABELLED = "implementation", "kube-vip"
# Written by early versions of kube-vip-cloud-provider.
OLD_LABEL = "ipam-address"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
# "<origin> <address>,<address> uid=<uid>": a key of the ConfigMap, or one of the origins below. See ``Record``.
RECORD = "kubevip.io/assigned"
# "<provider> <address>,<address>": see ``Claim``.
CLAIM = "kubevip.io/claimed"
# The type of our condition in the status. It is written where something went wrong, and when that is over.
CONDITION = "kubevip.io/AddressAssigned"
# What the API server takes as the message of a condition, in characters.
LONGEST_MESSAGE = 32768


class Origin(enum.StrEnum):
    """Where the user has written an address that comes from no pool."""

    ANNOTATION = "annotation"
    SPEC = "spec"


@attrs.frozen
class Condition:
    """The state of a Service's ``status.conditions`` of our type: whether it has an address, and why not."""

    status: bool
    reason: str
    message: str


@attrs.frozen(kw_only=True)
class Facts:
    """What matters of a Service."""

    key: ServiceKey
    uid: str = ""
    version: str = ""
    type: str = "LoadBalancer"
    load_balancer_class: str | None = None
    load_balancer_ip: str = ""
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    finalizers: tuple[str, ...] = ()
    ports: frozenset[tuple[int, str]] = frozenset()
    local: bool = False
    selector: tuple[tuple[str, str], ...] = ()
    families: tuple[Family, ...] = ()
    policy: FamilyPolicy = FamilyPolicy.SINGLE
    ingress: tuple[str, ...] = ()
    deleting: bool = False
    condition: Condition | None = None

    @property
    def request(self) -> Request:
        """What it asks of the IPAM."""
        return Request(
            key=str(self.key),
            namespace=self.key.namespace,
            policy=self.policy,
            family=self.families[0] if self.families else None,
            ports=self.ports,
            local=self.local,
            selector=self.selector,
        )

    def precedes(self, other: "Facts") -> bool:
        """Tell whether it is older than *other*: resource versions of one resource can be compared, as numbers."""
        texts = (self.version, other.version)
        return all(text.isdecimal() for text in texts) and int(self.version) < int(other.version)

    @property
    def is_marked(self) -> bool:
        """Whether a provider has had to do with it."""
        return self.labels.get(LABEL) == LABELLED or RECORD in self.annotations or CLAIM in self.annotations


@attrs.frozen(kw_only=True)
class Classes:
    """Which Services are ours: those without a class, and those of *names*."""

    classless: bool = True
    names: frozenset[str] = frozenset()

    def include(self, name: str | None) -> bool:
        """Tell whether a Service of class *name* is ours."""
        return self.classless if name is None else name in self.names


@attrs.frozen
class Record:
    """What a Service had when the provider last wrote it.

    *uid* is that Service's: whoever copies a manifest copies the record, too. *interface* is what the provider wrote
    into the Service as such. Either may be empty.
    """

    origin: str
    addresses: tuple[IPAddress, ...]
    uid: str = ""
    interface: str = ""

    @classmethod
    @functools.lru_cache(maxsize=256)  # it is looked at several times in a row
    def parse(cls, text: str) -> "Record | None":
        """Read it; what somebody else has made of it is none."""
        origin, listed, *rest = (*text.split(" "), "")
        more = dict(field.partition("=")[::2] for field in rest)
        try:
            addresses = read_addresses(listed)
        except ConfigError:
            return None
        return cls(origin, addresses, more.get("uid", ""), more.get("interface", "")) if origin else None

    def __str__(self) -> str:
        more = {"uid": self.uid, "interface": self.interface}
        return " ".join([self.origin, join(self.addresses), *(f"{name}={text}" for name, text in more.items() if text)])

    @property
    def is_static(self) -> bool:
        """Whether the addresses are a user's."""
        return self.origin in (Origin.ANNOTATION, Origin.SPEC)


@attrs.frozen
class Foreign:
    """Not ours to serve. *addresses* are in use by it nevertheless."""

    addresses: tuple[IPAddress, ...] = ()


@attrs.frozen
class Leaving:
    """Not ours any more, or being deleted: what was written for it has to go; until then it has *addresses*."""

    addresses: tuple[IPAddress, ...] = ()


@attrs.frozen
class Has:
    """It has *addresses*, from *origin*; ``""`` is whatever pool they are of.

    *settled* is what it had in the account before: a user's edit has to be free, what was there stays. What is from
    a pool and not settled was copied from another Service; it is kept if it can be.
    """

    addresses: tuple[IPAddress, ...]
    origin: str
    settled: bool


@attrs.frozen
class Lacks:
    """It has no address and wants one from a pool."""


@attrs.frozen
class Wrong:
    """What is written can't be used, because of *problems*; *addresses* are those that count as in use."""

    problems: tuple[str, ...]
    addresses: tuple[IPAddress, ...] = ()


Verdict = Foreign | Leaving | Has | Lacks | Wrong


def examine(facts: Facts, classes: Classes) -> Verdict:
    """Say what a Service has, or lacks."""
    if facts.type != "LoadBalancer" and not facts.is_marked and not _is_held(facts, classes):
        return Foreign()
    if facts.deleting:
        return Leaving(_all_addresses(facts)) if _is_held(facts, classes) else Foreign(_all_addresses(facts))
    if facts.type != "LoadBalancer":
        return Leaving(_all_addresses(facts))
    if not classes.include(facts.load_balancer_class):
        # Its marks are those of the provider that serves this class: a class can't be changed.
        return Foreign(_all_addresses(facts))
    text, spec = facts.annotations.get(ADDRESSES, "").strip(), facts.load_balancer_ip.strip()
    try:
        written, wish = read_addresses(text) if text else (), read_addresses(spec) if spec else ()
    except ConfigError as error:
        return Wrong(error.problems, _all_addresses(facts))
    if len(wish) > 1:
        problem = f"spec.loadBalancerIP {spec!r} is more than one address: write them into {ADDRESSES}"
        return Wrong((problem,), _all_addresses(facts))
    record = record_of(facts)
    if record is None:
        return _first_seen(facts, written, wish) if _stranger_of(facts) is None else _copied(facts, written, wish)
    return _compared(record, written, wish)


def _first_seen(facts: Facts, written: tuple[IPAddress, ...], wish: tuple[IPAddress, ...]) -> Verdict:
    if written:
        # What kube-vip-cloud-provider has assigned it has labelled; it labels what users wrote, too.
        assigned = facts.labels.get(LABEL) == LABELLED and wish == written[:1]
        return Has(written, "" if assigned else Origin.ANNOTATION, facts.labels.get(LABEL) == LABELLED)
    return Has(wish, Origin.SPEC, settled=False) if wish else Lacks()


def _copied(facts: Facts, written: tuple[IPAddress, ...], wish: tuple[IPAddress, ...]) -> Verdict:
    """Judge a copy: of a Service that is still there, or of one that is gone and is made anew."""
    record = _stranger_of(facts)
    if record is None or record.is_static or (written and written != record.addresses):
        origin = Origin.ANNOTATION if written else Origin.SPEC
        return Has(written or wish, origin, settled=False) if written or wish else Lacks()
    if wish and wish != record.addresses[:1]:
        return Has(wish, Origin.SPEC, settled=False)
    return Has(written or wish, record.origin, settled=False) if written or wish else Lacks()


def _compared(record: Record, written: tuple[IPAddress, ...], wish: tuple[IPAddress, ...]) -> Verdict:
    """Tell what was edited since the record was made: the annotation goes before the spec, as with kube-vip."""
    known = record.addresses
    if written and written != known:
        return Has(written, Origin.ANNOTATION, settled=False)
    if wish and wish != known[:1]:
        return Has(_with(known, wish[0]), Origin.SPEC, settled=False)
    gone = {Origin.ANNOTATION: not written, Origin.SPEC: not wish}
    if all(gone.values()) or (record.is_static and gone[Origin(record.origin)]):
        return Lacks()
    return Has(known, record.origin, settled=True)


def _with(known: tuple[IPAddress, ...], wish: IPAddress) -> tuple[IPAddress, ...]:
    """Return *wish*, and what is known of the other family."""
    return (wish, *(address for address in known if address.version != wish.version and address != DHCP_MARKER))


def _is_held(facts: Facts, classes: Classes) -> bool:
    """Tell whether a provider keeps it from being deleted: that it is marked may have been edited away."""
    return FINALIZER in facts.finalizers and (facts.is_marked or classes.include(facts.load_balancer_class))


def _all_addresses(facts: Facts) -> tuple[IPAddress, ...]:
    """Return whatever can be read: it counts as in use."""
    records = (record for record in (record_of(facts), claim_of(facts)) if record is not None)
    listed = _readable(facts.annotations.get(ADDRESSES, ""), facts.load_balancer_ip, *facts.ingress)
    more = (address for record in records for address in record.addresses if not address.is_unspecified)
    return tuple(dict.fromkeys((*listed, *more)))


def written(facts: Facts) -> tuple[IPAddress, ...]:
    """Return what a Service says to have, as far as it can be read: until it says something else, that is served."""
    return _readable(facts.annotations.get(ADDRESSES, ""), facts.load_balancer_ip)


def _readable(*lists: str) -> tuple[IPAddress, ...]:
    texts = (text for listed in lists for text in listed.split(","))
    found: dict[IPAddress, None] = {}
    for text in map(str.strip, texts):
        try:
            found[read_address(text)] = None
        except ValueError:
            continue
    return tuple(address for address in found if not address.is_unspecified)


def record_of(facts: Facts) -> Record | None:
    """Return what the provider has written down about it, and not about another Service."""
    record = Record.parse(facts.annotations.get(RECORD, ""))
    return record if record is not None and record.uid in ("", facts.uid) else None


def _stranger_of(facts: Facts) -> Record | None:
    """Return what was written down about another Service, of whose manifest this one is a copy."""
    record = Record.parse(facts.annotations.get(RECORD, ""))
    return record if record is not None and record.uid not in ("", facts.uid) else None


def claim_of(facts: Facts) -> Record | None:
    """Return who claims which addresses for it; the provider stands as origin."""
    return Record.parse(facts.annotations.get(CLAIM, ""))


def check_static(facts: Facts, addresses: Collection[IPAddress]) -> tuple[str, ...]:
    """Return what is wrong with addresses that a user wrote, a sentence each."""
    problems = [
        f"{address} can't be the address of a Service: write a unicast address of your network"
        for address in addresses
        if address.is_multicast or address.is_loopback or (address.is_unspecified and address != DHCP_MARKER)
    ]
    if facts.families and facts.policy is FamilyPolicy.SINGLE:
        problems += [
            f"{address} is an IPv{address.version} address, and the Service is for IPv{facts.families[0].value} alone"
            for address in addresses
            if address != DHCP_MARKER and Family.of(address) is not facts.families[0]
        ]
    return tuple(problems)


def unwanted(facts: Facts, addresses: Collection[IPAddress]) -> tuple[IPAddress, ...]:
    """Return those *addresses*, assigned from a pool, that the Service's families don't call for any more."""
    if facts.policy is not FamilyPolicy.SINGLE or len(addresses) < 2:
        return ()
    family = facts.families[0] if facts.families else Family.of(next(iter(addresses)))
    keeps = [address for address in addresses if Family.of(address) is family][:1]
    return tuple(address for address in addresses if address not in keeps) if keeps else ()


def read_addresses(text: str) -> tuple[IPAddress, ...]:
    """Read a list of addresses, each once.

    :raises ConfigError: naming each that is none.
    """
    found: dict[IPAddress, None] = {}
    problems = []
    for element in map(str.strip, text.split(",")):
        try:
            found[read_address(element)] = None
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def join(addresses: Collection[IPAddress]) -> str:
    """Write addresses as the annotation lists them."""
    return ",".join(map(str, addresses))
