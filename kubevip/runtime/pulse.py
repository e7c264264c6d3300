"""Sends heartbeats for a Lease, and listens to those of others: a holder that is gone is known within a few of them.

A candidate that misses the holder asks on the wire for its addresses. As long as somebody answers, an agent has died
on a node that lives: nobody hurries, until the kernel lets the address go. When nobody does, it takes the Lease.

A holder that hears nobody any more may be the one that is cut off: it renews at once, and when that isn't answered
within a few heartbeats, it lets go of its addresses rather than wait for its deadline. So it has none when the cut
heals, though others have taken the Lease meanwhile.

A holder that can't renew says so with its heartbeats; the candidates find out whether they could, and say that with
theirs. See ``kubevip.runtime.reprieve``.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Set

import anyio
import attrs

from kubevip.backend import Host
from kubevip.election import Cause, Standing
from kubevip.errors import KubeVipError
from kubevip.heartbeat import (
    MISSED,
    Badge,
    Beat,
    Opinion,
    Reach,
    Role,
    Unreadable,
    Vigil,
    lease_id,
    lease_of,
    seal,
    unseal,
)
from kubevip.lease import Claim, Record
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.bell import Bell
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.hearing import Hearing
from kubevip.runtime.ownbadge import OwnBadge
from kubevip.runtime.voice import Voice, answer_within
from kubevip.runtime.wire import ask

log = logging.getLogger(__name__)

# Of many addresses of a Lease, so many are asked for: all have the same holder.
SAMPLE = 8
# How often nobody has to answer before the holder counts as gone. A question takes 15 ms.
SILENT = 3
# How soon is asked again while a kernel still answers.
AGAIN = 0.02
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
class Pulse:
    """The heartbeats of one node for one Lease, from ``run()`` until it is cancelled. It is the elector's follower.

    What the elector tells goes on to *follower*. *vips* returns the addresses that the Lease governs. *interval* is
    in seconds. One that *holds_on* doesn't let go because it is cut off. *witnesses* returns who proves, by answering,
    that it isn't this node that is cut off, where it hears no other candidate.
    """

    _host: Host
    _follower: Follower
    _announcers: Mapping[Family, Announcer]
    _vips: Callable[[LeaseKey], Collection[Vip]]
    interval: float
    holds_on: bool = False
    witnesses: Callable[[], Collection[Vip]] = lambda: ()

    voice: Voice = attrs.field(init=False)
    """When we were heard last, as the holder."""
    _elector: Elector = attrs.field(init=False)
    _term: Term | None = attrs.field(default=None, init=False)
    _badge: OwnBadge = attrs.field(init=False)
    _vigil: Vigil | None = attrs.field(default=None, init=False)
    _badge_text: str = attrs.field(default="", init=False)
    _hearing: Hearing = attrs.field(init=False)
    _governed: Collection[Vip] = attrs.field(default=(), init=False)
    _interfaces: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _sequence: int = attrs.field(factory=time.time_ns, init=False)
    _asked: float | None = attrs.field(default=None, init=False)
    _witnessed: float = attrs.field(default=-math.inf, init=False)
    _counts: dict[str, int] = attrs.field(factory=dict, init=False)
    # What a candidate has found out about the API server since its holder can't renew.
    _reach: Reach = attrs.field(default=Reach.UNKNOWN, init=False)
    _told_deaf: bool = attrs.field(default=False, init=False)
    _holder_asks: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _wake: Bell = attrs.field(factory=Bell, init=False)

    def __attrs_post_init__(self) -> None:
        self.voice = Voice(self._wake.ring)

    def attach(self, elector: Elector) -> None:
        """Serve *elector*, which has this pulse as its follower."""
        self._elector = elector
        self._badge = OwnBadge(self.interval)
        self._hearing = Hearing(self._host, elector.lease, self._received)
        elector.badge = self._write_badge

    # The elector's follower

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

    # Driving

    async def run(self) -> None:
        """Send and listen, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._find_out)
            await self._beat()

    async def _find_out(self) -> None:
        """While the holder can't renew, find out whether we reach the API server."""
        period = self._elector.timing.retry_period
        while True:
            await self._holder_asks.wait()
            self._holder_asks.clear()
            asked = self._now()
            answers = await self._elector.reaches(period / 2)
            self._reach = Reach.ANSWERS if answers else Reach.AWAY
            await anyio.sleep(asked + period - self._now())

    async def _beat(self) -> None:
        try:
            while True:
                self._follow_badge()
                # In step with the other Leases of this node: fewer wakings, here and where the frames arrive.
                due = self.interval * (math.floor(self._now() / self.interval + 0.01) + 1)
                if self._vigil is not None:
                    await self._keep(self._vigil)
                await self._wake.wait(due)
                late = self._now() - due
                if late > self.interval and self._vigil is not None:
                    # What arrived meanwhile has not been read yet.
                    self._vigil.excuse(self._now())
        finally:
            self._hearing.close()

    async def _keep(self, vigil: Vigil) -> None:
        """Do what is due with each beat."""
        interfaces = self._find_interfaces()
        self._hearing.listen(interfaces, vigil.badge.term)
        self._hearing.look()
        self._send(vigil, interfaces)
        if self._look(vigil):
            await self._ask_for(vigil)

    def _follow_badge(self) -> None:
        """Go by the badge in the Lease, if it is of its present holder."""
        record = self._elector.record
        text = record.badge if record else ""
        badge = Badge.parse(text) if text else None
        if record is None or badge is None or (badge.holder, badge.term) != (record.holder, record.transitions):
            self._vigil, self._badge_text = None, ""
            self._hearing.close()
        elif text != self._badge_text:
            self._vigil, self._badge_text = Vigil(badge, self._elector.identity, self._now()), text
            self._asked, self._told_deaf = None, False
            self.voice.begin()
        if self._vigil is None or self._vigil.badge.holder == self._elector.identity:
            self._elector.miss("")

    def _find_interfaces(self) -> Set[str]:
        governed = self._vips(self._elector.lease)
        if governed is not self._governed:
            self._governed, self._interfaces = governed, frozenset(vip.interface for vip in governed)
        return self._interfaces

    def _send(self, vigil: Vigil, interfaces: Set[str]) -> None:
        leading = self._term is not None
        if leading != (vigil.badge.holder == self._elector.identity):
            return
        self._sequence += 1
        role = Role.HOLDER if leading else Role.CANDIDATE
        lease, identity = self._elector.lease, self._elector.identity
        reach = self._reach
        if leading:
            reach = Reach.AWAY if self._elector.overdue else Reach.ANSWERS
        beat = Beat(lease, identity, role, vigil.badge.term, self._sequence, self.interval, reach)
        for name in interfaces:
            # A link that is down is told of elsewhere.
            with contextlib.suppress(KubeVipError):
                link = self._host.link(name)
                if leading and link.up:
                    self.voice.spoke(vigil.badge.interval)
                self._host.send(name, seal(beat, vigil.badge, link.mac))
                self._count("sent")

    def _received(self, frame: bytes, at: float) -> None:
        vigil = self._vigil
        if vigil is None:
            return
        try:
            if lease_of(frame) != lease_id(self._elector.lease):
                # Who else has heartbeats on this interface has ears for them.
                return
            beat = unseal(frame, self._elector.lease, vigil.badge)
        except Unreadable as error:
            self._refuse(str(error))
            return
        if beat.term > vigil.badge.term:
            self._succeeded(beat)
        elif vigil.heard(beat, at):
            self._count("heard")
            if beat.role is Role.HOLDER:
                self._elector.miss("")
                self._hear_of_api(beat.reach)
            self._asked = None

    def _hear_of_api(self, reach: Reach) -> None:
        if reach is Reach.AWAY:
            self._holder_asks.set()
        else:
            self._holder_asks.clear()
            self._reach = Reach.UNKNOWN

    def opinion(self) -> Opinion:
        """Tell what those who send heartbeats say of the API server, which we can't reach."""
        self._hearing.look()
        return self._vigil.opinion(self._now()) if self._vigil is not None else Opinion.UNKNOWN

    def _refuse(self, why: str) -> None:
        self._count("refused")
        if self._counts["refused"] == 1:
            log.warning("refused a heartbeat", extra={"lease": str(self._elector.lease), "reason": why})

    def _succeeded(self, beat: Beat) -> None:
        """A holder of a later term says so with our own key: whatever we were, we are it no more."""
        if beat.role is Role.HOLDER and self._term is not None:
            log.warning(
                "another node leads: letting go", extra={"lease": str(self._elector.lease), "holder": beat.sender}
            )
            self._elector.doubt()

    # Missing

    def _look(self, vigil: Vigil) -> bool:
        """Find out whom we miss; tell whether it is time to ask for the holder's addresses."""
        now = self._now()
        if vigil.is_deaf(now) and not self._told_deaf:
            self._told_deaf = True
            extra = {"lease": str(self._elector.lease), "holder": vigil.badge.holder}
            log.warning("the holder's heartbeats don't arrive here: the Lease's times apply", extra=extra)
        if self._term is not None:
            self._look_for_company(vigil, now)
            self._hearing.be_alert(self._asked is not None)
            return False
        self._excuse_if_cut(vigil, now)
        suspects = vigil.suspects_holder(now)
        self._hearing.be_alert(suspects)
        return suspects and bool(vigil.company(now) or self.witnesses())

    def _excuse_if_cut(self, vigil: Vigil, now: float) -> bool:
        """Whoever could not be heard by us is not missed; tell whether it was so."""
        if self.voice.could_hear():
            return False
        vigil.excuse(now)
        self._elector.miss("")
        return True

    def _is_connected(self, vigil: Vigil, now: float) -> bool:
        """Tell whether somebody but the holder was heard lately: then it isn't this node that is cut off."""
        return bool(vigil.company(now)) or now - self._witnessed <= MISSED * self.interval

    async def _ask_for(self, vigil: Vigil) -> None:
        """Ask for the holder's addresses until it is heard again, or nobody has answered often enough."""
        lease = self._elector.lease
        sample = sorted(self._vips(lease), key=lambda vip: vip.address.packed)[:SAMPLE]
        if not sample:
            return
        holder, silent, said = vigil.badge.holder, 0, False
        within = answer_within(self.interval)
        self._hearing.look()
        while self._vigil is vigil and self._term is None and vigil.suspects_holder(self._now()):
            asked = self._now()
            witnesses = () if vigil.company(asked) else tuple(self.witnesses())
            everybody = await ask([*sample, *witnesses], self._announcers, self._host.link, within=within)
            answered, now = {vip: everybody[vip] for vip in sample if vip in everybody}, self._now()
            if len(everybody) > len(answered):
                self._witnessed = now
            # Who takes the Lease up again meanwhile has a new key, and is not missed by the one before.
            self._follow_badge()
            stood_still = now - asked > within + 2 * self.interval
            if self._vigil is not vigil or stood_still or self._excuse_if_cut(vigil, now):
                # Or our link is down.
                return
            silent = 0 if answered else silent + 1
            enough = silent >= SILENT * (1 + vigil.rank(now))
            connected = self._is_connected(vigil, now)
            if enough and vigil.misses_holder(now) and connected:
                self._count("missed")
                log.warning(
                    "taking the Lease of a holder that is gone",
                    extra={"lease": str(lease), "holder": holder, "reason": Cause.MISSED.value},
                )
                self._elector.miss(holder)
                return
            if answered and not said:
                said = True
                extra = {"lease": str(lease), "holder": holder, "reason": "its kernel answers"}
                log.info("a holder is missed, and its addresses are there", extra=extra)
            self._send(vigil, self._find_interfaces())
            await anyio.sleep(AGAIN if answered else 0 if connected else self.interval)

    def _look_for_company(self, vigil: Vigil, now: float) -> None:
        """Find out whether we are cut off, when nobody of those who were there is heard."""
        if not vigil.is_alone(now) or self._term is None:
            self._asked = None
        elif self._asked is None:
            self._asked = self._term.expires
            self._elector.renew()
            asyncio.get_running_loop().call_later(ANSWERS_WITHIN * self.interval, self._give_up, vigil)

    def _give_up(self, vigil: Vigil) -> None:
        """Let go unless the renewal was answered, or somebody is heard again."""
        if self.holds_on:
            return
        self._hearing.look()
        if self._vigil is vigil and self._term is not None and self._asked == self._term.expires:
            self._count("cut_off")
            reason = "nobody is heard, and the API server doesn't answer"
            log.warning("letting go", extra={"lease": str(self._elector.lease), "reason": reason})
            self._elector.doubt()

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def statistics(self) -> PulseStatistics:
        """Return a snapshot."""
        now, vigil = self._now(), self._vigil
        lately = now - 3 * self.interval
        hears = [name for name, at in vigil.statistics().items() if at > lately] if vigil else []
        counts = {name: self._counts.get(name, 0) for name in ("sent", "heard", "refused", "missed", "cut_off")}
        return PulseStatistics(**counts, hears=hears, deaf=vigil is not None and vigil.is_deaf(now))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
