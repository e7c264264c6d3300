"""Sends heartbeats for a Lease, and listens to those of others: a holder that is gone is known within a few of them.

A candidate that misses the holder asks on the wire for its addresses. As long as somebody answers, an agent has died
on a node that lives: nobody hurries, until the kernel lets the address go. When nobody does, it takes the Lease.

A holder that can't renew says so with its heartbeats; the candidates find out whether they could, and say that with
theirs. See ``kubevip.runtime.reprieve``. What a holder does that hears nobody: ``kubevip.runtime.sender``.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Collection, Set
from functools import partial

import anyio
import attrs

from kubevip.election import Cause
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
from kubevip.model import LeaseKey, Vip
from kubevip.runtime.elector import Elector
from kubevip.runtime.hearing import Hearing
from kubevip.runtime.sender import PulseStatistics, Sender
from kubevip.runtime.voice import Voice, answer_within
from kubevip.runtime.wire import ask

log = logging.getLogger(__name__)

# Of many addresses of a Lease, so many are asked for: all have the same holder.
SAMPLE = 8
# How often nobody has to answer before the holder counts as gone. A question takes 15 ms.
SILENT = 3
# How soon is asked again while a kernel still answers.
AGAIN = 0.02


@attrs.define(eq=False)
class Pulse(Sender):
    """The heartbeats of one node for one Lease, from ``run()`` until it is cancelled. It is the elector's follower.

    What the elector tells goes on to *follower*. *vips* returns the addresses that the Lease governs. *interval* is
    in seconds. One that *holds_on* doesn't let go because it is cut off. *witnesses* returns who proves, by answering,
    that it isn't this node that is cut off, where it hears no other candidate.
    """

    _vips: Callable[[LeaseKey], Collection[Vip]]
    interval: float
    holds_on: bool = False
    witnesses: Callable[[], Collection[Vip]] = lambda: ()

    voice: Voice = attrs.field(init=False)
    """When we were heard last, as the holder."""
    _vigil: Vigil | None = attrs.field(default=None, init=False)
    _badge_text: str = attrs.field(default="", init=False)
    _hearing: Hearing = attrs.field(init=False)
    _governed: Collection[Vip] = attrs.field(default=(), init=False)
    _interfaces: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _witnessed: float = attrs.field(default=-math.inf, init=False)
    # What a candidate has found out about the API server since its holder can't renew.
    _reach: Reach = attrs.field(default=Reach.UNKNOWN, init=False)
    _told_deaf: bool = attrs.field(default=False, init=False)
    _holder_asks: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.voice = Voice(self._wake.ring)

    def attach(self, elector: Elector) -> None:
        """Serve *elector*, which has this pulse as its follower."""
        self._serve(elector, self.interval)
        self._hearing = Hearing(self._host, elector.lease, self._received)

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
                self._counts["sent"] += 1

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
            self._counts["heard"] += 1
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
            # Who has read our release sends nothing to us any more, and we may be the last to know of it.
            alone = vigil.is_alone(now) and not self._elector.release_unanswered
            self._suspect_ourselves(alone, partial(self._is_still_alone, vigil))
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
                self._counts["missed"] += 1
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

    def _is_still_alone(self, vigil: Vigil) -> bool:
        self._hearing.look()
        return self._vigil is vigil and not self.holds_on

    def statistics(self) -> PulseStatistics:
        """Return a snapshot."""
        now, vigil = self._now(), self._vigil
        lately = now - 3 * self.interval
        hears = [name for name, at in vigil.statistics().items() if at > lately] if vigil else []
        return self._told(hears, vigil is not None and vigil.is_deaf(now))
