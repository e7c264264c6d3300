"""What a holder does when it can't renew its Lease: by default it lets go at its deadline, as kube-vip does (*fence*).

If the API server is away for all, nobody can take the Lease, and letting go is an outage for nothing. A node can't
tell by itself whether it is so. Hence two other ways, each with a price (docs/failover.md has the table):

* *hold*: go on until somebody else is seen to have the address, on the wire or by its heartbeats.
* *quorum*: go on while most of those who send heartbeats are heard, and none of them reaches the API server. When that
  is no longer so, it ends; where somebody reaches the API server again, after one more try to renew.

Meanwhile renewals are tried as ever, and addresses have lifetimes as ever: the kernel removes them when we die.
"""

import contextlib
import enum
import logging
import math
from collections.abc import Callable, Collection, Mapping

import anyio
import attrs

from kubevip.backend import Sighting
from kubevip.heartbeat import Opinion
from kubevip.model import Family, LeaseKey, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.elector import Elector
from kubevip.runtime.voice import Voice
from kubevip.runtime.wire import LinkOf, ask, watching

log = logging.getLogger(__name__)

# Of many addresses of a Lease, so many are asked for: all have the same holder.
SAMPLE = 8
# How often in a retry period is looked whether to go on.
LOOKS = 4


class OnApiLoss(enum.StrEnum):
    """What a holder does that can't renew."""

    FENCE = "fence"
    HOLD = "hold"
    QUORUM = "quorum"


@attrs.define(eq=False)
class Reprieve:
    """Lets the leader of one Lease go on, from ``run()`` until it is cancelled.

    *opinion* tells what the others say of the API server; it counts for *quorum*. *voice* knows whether our links are
    down: then nobody can tell whether somebody else has the address.
    """

    _elector: Elector
    _manner: OnApiLoss
    _announcers: Mapping[Family, Announcer]
    _link_of: LinkOf
    _vips: Callable[[LeaseKey], Collection[Vip]]
    _opinion: Callable[[], Opinion] = lambda: Opinion.UNKNOWN
    _voice: Voice = attrs.field(factory=Voice)
    _watch: contextlib.ExitStack | None = attrs.field(default=None, init=False)
    _seen: str = attrs.field(default="", init=False)
    _told: str = attrs.field(default="", init=False)
    # Until when we try to renew, since somebody else reaches the API server.
    _try_until: float = attrs.field(default=math.inf, init=False)

    async def run(self) -> None:
        """Look whether to go on, until cancelled."""
        pause = self._elector.timing.retry_period / LOOKS
        try:
            while True:
                if self._elector.overdue:
                    await self._look()
                else:
                    self._end()
                await anyio.sleep(pause)
        finally:
            self._end()

    async def _look(self) -> None:
        why_not = await self._why_not()
        if not self._elector.overdue:
            return
        if not why_not:
            self._tell("", "going on though the Lease can't be renewed")
            self._elector.reaffirm()
        elif self._elector.reaffirmed:
            self._let_go(why_not)
        else:
            self._tell(why_not, "the Lease can't be renewed; letting go at its deadline unless that changes")

    async def _why_not(self) -> str:
        """Say why not to go on; empty if there is no reason."""
        if self._voice.is_cut:
            return "the link is down"
        if self._manner is OnApiLoss.QUORUM:
            return self._ask_the_others()
        return await self._ask_on_the_wire()

    def _ask_the_others(self) -> str:
        opinion, now = self._opinion(), anyio.current_time()
        if opinion is not Opinion.ANSWERS:
            self._try_until = math.inf
            return "" if opinion is Opinion.AWAY else opinion.value
        self._elector.renew()
        self._try_until = min(self._try_until, now + self._elector.timing.attempt_timeout)
        return "" if self._elector.reaffirmed and now < self._try_until else opinion.value

    async def _ask_on_the_wire(self) -> str:
        vips = self._vips(self._elector.lease)
        if self._watch is None:
            self._seen, self._watch = "", contextlib.ExitStack()
            self._watch.enter_context(watching(vips, self._announcers, self._link_of, self._somebody_claims))
        sample = sorted(vips, key=lambda vip: vip.address.packed)[:SAMPLE]
        answered = await ask(sample, self._announcers, self._link_of)
        if answered:
            vip, mac = next(iter(answered.items()))
            return f"{mac} answers for {vip.address}"
        return self._seen

    def _somebody_claims(self, vip: Vip, sighting: Sighting) -> None:
        """Let go in the moment in which another machine is seen to have one of our addresses."""
        self._seen = f"{sighting.mac} claims {vip.address}"
        if self._elector.reaffirmed:
            self._let_go(self._seen)

    def _let_go(self, reason: str) -> None:
        self._told = reason
        log.warning("letting go", extra={"lease": str(self._elector.lease), "reason": reason})
        self._elector.doubt()

    def _tell(self, reason: str, text: str) -> None:
        if self._told != (reason or text):
            self._told = reason or text
            extra = {"lease": str(self._elector.lease), "reason": reason or f"vip_on_api_loss={self._manner}"}
            log.warning(text, extra=extra)

    def _end(self) -> None:
        self._told, self._try_until = "", math.inf
        if self._watch is not None:
            self._watch.close()
            self._watch = None
