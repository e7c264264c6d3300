"""What all have in common who send heartbeats for a Lease, whether it is one of many candidates or a node's own.

They stand between the elector and its follower, because heartbeats begin and end with a term, and say in the Lease by
which key they are sent.

A holder that hears nobody any more may be the one that is cut off: it renews at once, and when that isn't answered
within a few heartbeats, it lets go of its addresses rather than wait for its deadline. So it has none when the cut
heals, though others have taken the Lease meanwhile.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import attrs

from kubevip.backend import Host
from kubevip.election import Cause, Standing
from kubevip.lease import Claim, Record
from kubevip.model import Family, LeaseKey, Term
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.bell import Bell
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.ownbadge import OwnBadge

log = logging.getLogger(__name__)

# A cut-off holder gives the API server so many intervals to answer.
ANSWERS_WITHIN = 2


@attrs.frozen
class PulseStatistics:
    """A snapshot: heartbeats sent, heard and refused; *missed* counts holders that were missed, *cut_off* ourselves.

    *hears* are those heard lately. A *deaf* node doesn't hear a holder that says to send heartbeats.
    """

    sent: int
    heard: int
    refused: int
    missed: int
    cut_off: int
    hears: Collection[str]
    deaf: bool = False


@attrs.define(eq=False)
class Sender:
    """The follower of an elector. What that tells goes on to *follower*."""

    _host: Host
    _follower: Follower
    _announcers: Mapping[Family, Announcer]

    _elector: Elector = attrs.field(init=False)
    _badge: OwnBadge = attrs.field(init=False)
    _term: Term | None = attrs.field(default=None, init=False)
    _sequence: int = attrs.field(factory=time.time_ns, init=False)
    _counts: Counter[str] = attrs.field(factory=Counter, init=False)
    _wake: Bell = attrs.field(factory=Bell, init=False)
    # Until when the term went when we began to find out whether we are cut off.
    _asked: float | None = attrs.field(default=None, init=False)

    def _serve(self, elector: Elector, interval: float) -> None:
        """Say in the Lease of *elector* by which key heartbeats are sent, and how often, in seconds."""
        self._elector, self._badge = elector, OwnBadge(interval)
        elector.badge = self._write_badge

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """See ``Follower``."""
        self._follower.campaigning(lease, cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """See ``Follower``."""
        lapsed = term is None and self._term is not None
        if (term is None) != (self._term is None):
            self._wake.ring()
        self._term = term
        self._follower.standing(lease, standing, term)
        if lapsed:
            # We fall silent, so others may take the Lease: an answer that is still under way doesn't bring it back.
            self._elector.doubt()

    def _write_badge(self, claim: Claim, base: Record | None) -> str:
        return self._badge.write(claim, base, leading=self._term is not None)

    def _suspect_ourselves(self, alone: bool, still_alone: Callable[[], bool]) -> None:
        """Find out whether we are cut off, where we lead and are *alone*; *still_alone* is asked before we let go."""
        if not alone or self._term is None:
            self._asked = None
        elif self._asked is None:
            self._asked = self._term.expires
            self._elector.renew()
            asyncio.get_running_loop().call_later(ANSWERS_WITHIN * self._badge.interval, self._give_up, still_alone)

    def _give_up(self, still_alone: Callable[[], bool]) -> None:
        """Let go unless the renewal was answered, or somebody is heard again."""
        if still_alone() and self._term is not None and self._asked == self._term.expires:
            self._counts["cut_off"] += 1
            reason = "nobody is heard, and the API server doesn't answer"
            log.warning("letting go", extra={"lease": str(self._elector.lease), "reason": reason})
            self._elector.doubt()

    def _refuse(self, why: str) -> None:
        self._counts["refused"] += 1
        if self._counts["refused"] == 1:
            log.warning("refused a heartbeat", extra={"lease": str(self._elector.lease), "reason": why})

    def _told(self, hears: Collection[str], deaf: bool) -> PulseStatistics:
        counts = {name: self._counts[name] for name in ("sent", "heard", "refused", "missed", "cut_off")}
        return PulseStatistics(**counts, hears=hears, deaf=deaf)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
