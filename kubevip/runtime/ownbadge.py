"""What a node says of its heartbeats in a Lease that it holds: its badge, with a key that is new with each term."""

import secrets

import attrs

from kubevip.heartbeat import Badge
from kubevip.lease import Claim, Record


@attrs.define(eq=False)
class OwnBadge:
    """Writes the badges of one node for one Lease. *interval* is in seconds."""

    interval: float
    _key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), init=False)

    def write(self, claim: Claim, base: Record | None, *, leading: bool) -> str:
        """Return what to write with *claim*: a new key for each term, and whenever we take the Lease up again.

        Whoever heard us by an earlier key would miss us before we know that the Lease is ours, and begin to send.
        """
        if not claim.holder:
            return ""
        before = Badge.parse(base.badge) if base else None
        if before is not None and (before.holder, before.term) == (claim.holder, claim.transitions):
            if leading and before.key == self._key and before.interval == self.interval:
                return base.badge if base else ""
            self._key = secrets.token_bytes(32)
            previous = before.previous
        else:
            self._key = secrets.token_bytes(32)
            previous = before.key if before and base and base.transitions == before.term else b""
        return str(Badge(claim.holder, claim.transitions, self.interval, self._key, previous))
