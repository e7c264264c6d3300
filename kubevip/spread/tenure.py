"""What is known of one address in spread mode: by whose word who has it, and how this node came by it. Pure."""

import math

import attrs

from kubevip.custody import Holder
from kubevip.election import Cause
from kubevip.model import IPAddress, ServiceKey
from kubevip.spread.charges import Charge
from kubevip.spread.roster import Fate

_CAUSES = {Fate.LEFT: Cause.VACANT, Fate.BURIED: Cause.EXPIRED}


@attrs.define(weakref_slot=False)
class Tenure:
    """Who says who has an address, whom that names, what has become of that, and until when it is sure."""

    authority: ServiceKey
    holder: Holder | None = None
    fate: Fate | None = None
    until: float = math.inf

    @property
    def free(self) -> bool:
        """Whether nobody has it."""
        return self.fate is None or self.fate.over

    @property
    def cause(self) -> Cause:
        """How a node that takes it comes by it."""
        return _CAUSES.get(self.fate, Cause.ABSENT) if self.fate is not None else Cause.ABSENT


def turn_of(charge: Charge, address: IPAddress) -> int:
    """Return the turn that the record of a Service says of *address*; -1 where it says nothing."""
    found = charge.record.holder(address) if charge.record is not None else None
    return found.turn if found is not None else -1


def cause_of(now: Tenure, before: Tenure | None) -> Cause:
    """Tell how a node has come by an address that it hasn't asked for.

    Where it was seen to be handed over, its last holder waits for us. Any other record may be an old one.
    """
    if before is None or before.holder is None or now.holder is None or now.authority != before.authority:
        return Cause.OURS
    handed_over = before.holder.node == now.holder.source and before.holder.turn < now.holder.turn
    return Cause.VACANT if handed_over else Cause.OURS
