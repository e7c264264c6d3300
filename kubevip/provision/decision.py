"""What is to be done about a Service, and what is to be told of it. Pure."""

from collections.abc import Mapping

import attrs

from kubevip.errors import IpamError, KubeVipError, NoFamily, NoPool, PoolExhausted
from kubevip.ipam import Pool
from kubevip.model import IPAddress
from kubevip.provision.edits import Edits
from kubevip.provision.verdict import LONGEST_MESSAGE, Condition, Facts

REFUSED = "AddressRefused"
_REASONS: Mapping[type[IpamError], str] = {
    NoFamily: "NoAddressFamily",
    NoPool: "NoAddressPool",
    PoolExhausted: "AddressPoolExhausted",
}


@attrs.frozen
class Note:
    """An Event about a Service."""

    warning: bool
    reason: str
    message: str


@attrs.frozen(kw_only=True)
class Decision:
    """What to do about a Service, as of *facts*.

    *addresses* are those that it has when *edits* are written. *waiting* says why it has none; empty where it has.
    *source* is another IPAM's pool that has to be asked; tell ``Accounts.granted()``. *condition* has to be written,
    where it isn't ``None``.
    """

    facts: Facts
    edits: Edits = attrs.field(factory=Edits)
    addresses: tuple[IPAddress, ...] = ()
    notes: tuple[Note, ...] = ()
    waiting: str = ""
    source: Pool | None = None
    condition: Condition | None = None


def reason_of(error: KubeVipError) -> str:
    """Return the word by which Events, conditions and metrics name a failure."""
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "SyncLoadBalancerFailed")


def failing(facts: Facts, reason: str, text: str) -> Decision:
    """Return the decision on a Service that can't be served now."""
    note = Note(True, reason, f"Error syncing load balancer: {text}")
    return Decision(facts=facts, notes=(note,), waiting=text, condition=news(facts, False, reason, text))


def refusing(facts: Facts, text: str, edits: Edits) -> Decision:
    """Return the decision on a Service whose user has written what can't be."""
    notes, condition = (Note(True, REFUSED, text),), news(facts, False, REFUSED, text)
    return Decision(facts=facts, edits=edits, notes=notes, waiting=text, condition=condition)


def news(facts: Facts, status: bool, reason: str, message: str) -> Condition | None:
    """Return the condition, unless it is there already."""
    wanted = Condition(status, reason, message[:LONGEST_MESSAGE])
    return None if facts.condition == wanted else wanted
