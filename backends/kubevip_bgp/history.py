"""What became of the sessions with one peer: why there is none, and how often."""

import logging

import attrs

from kubevip_bgp.agreement import Ended
from kubevip_bgp.fsm import State
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.reading import Finding

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class PeerStatistics:
    """A snapshot of one peer: its state, why the last session or attempt ended, and counts from the start.

    *families* are those that it takes routes of now. *flaps* are sessions that were established and ended; *malformed*
    counts routes with wrong attributes, of which *complaint* tells the last one.
    """

    name: str
    state: State
    reason: str
    told: int
    flaps: int
    attempts: int
    malformed: int
    complaint: str = ""
    families: tuple[Afi, ...] = ()


@attrs.define(eq=False)
class History:
    """Remembers and logs it, for the peer *name*; while it is *closing* nothing is worth a warning."""

    name: str
    flaps: int = attrs.field(default=0, init=False)
    attempts: int = attrs.field(default=0, init=False)
    closing: bool = attrs.field(default=False, init=False)
    _reason: str = attrs.field(default="", init=False)
    _last_words: str = attrs.field(default="", init=False)
    _malformed: int = attrs.field(default=0, init=False)
    _complaint: str = attrs.field(default="", init=False)

    def begin(self) -> None:
        """A session is established."""
        self._reason = self._last_words = ""

    def end(self, ended: Ended) -> None:
        """A session, or an attempt, has ended. A peer that only shuts the door now has said before why it does."""
        reason = ended.reason
        if ended.by_peer:
            self._last_words = reason
        elif ended.notification is not None:
            self._last_words = ""
        elif self._last_words:
            reason = f"{reason}; before that {self._last_words}"
        self.miss(reason)

    def miss(self, reason: str) -> None:
        """Log why there is no session; the same reason again is no news."""
        level = logging.DEBUG if reason == self._reason or self.closing else logging.WARNING
        self._reason = reason
        log.log(level, "no BGP session", extra={"peer": self.name, "reason": reason})

    def complain(self, findings: tuple[Finding, ...]) -> None:
        """Log what is wrong with a route; the same again is no news, since a router may have many such routes."""
        for finding in findings:
            self._malformed += 1
            level = logging.DEBUG if finding.reason == self._complaint else logging.WARNING
            self._complaint = finding.reason
            log.log(level, "a route of the peer is malformed", extra={"peer": self.name, "reason": finding.reason})

    def statistics(self, *, state: State, told: int, families: tuple[Afi, ...] = ()) -> PeerStatistics:
        """Return a snapshot, of a peer in *state* that was *told* so many routes, of *families*."""
        return PeerStatistics(
            name=self.name,
            state=state,
            reason=self._reason,
            told=told,
            flaps=self.flaps,
            attempts=self.attempts,
            malformed=self._malformed,
            complaint=self._complaint,
            families=families,
        )
