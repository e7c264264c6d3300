"""Verifies takeovers: after the announcement it asks a witness from a VIP, until an answer comes.

An answer proves that our frames reach the segment, that those of others reach us, and that the witness has learnt
where the VIP is. While there is none, the question and the announcement are repeated with growing pauses.

Where that is asked for (``Verify.RESIGN``), a holder whom no reliable witness answers in time gives up the Lease,
for a node whose uplink is alive. Whoever gave it up holds back for a moment when it is free again, so that others
go first; when none of them wants it, it is taken again and kept: the witness is dead, not the uplink. Then it is
offered anew after a pause that grows up to an hour, in case there is a better node meanwhile. In all of this the
address goes from the link only when a successor is seen, or when nobody has come within ``vip_linger``.
"""

import asyncio
import enum
import logging
import math
from collections.abc import Collection, Mapping

import anyio
import attrs

from kubevip.errors import KubeVipError
from kubevip.model import Family, IPAddress, LeaseKey, Vip
from kubevip.ports import Links
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.durations import Durations
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.offering import Offers
from kubevip.runtime.trial import AT_ONCE, Place, Trial
from kubevip.runtime.witnesses import Found, Witnesses

log = logging.getLogger(__name__)

# Up to this round an announcer's own burst repeats the announcements.
BURST = 5
# Whom to ask is looked up again from this round on: a route may have come meanwhile.
LOOK_AGAIN = 4
# What was verified once has so many seconds to be verified again.
ASK_ANEW = 2.0
# How often it is looked whether there is anybody to ask, in seconds.
NOBODY_PAUSE = 60.0


class Verify(enum.Enum):
    """What follows from a takeover that nobody confirms."""

    OFF = "off"
    WARN = "warn"
    RESIGN = "resign"


@attrs.frozen
class TrialStatistics:
    """A snapshot of one takeover. *verified* is ``None`` where there is nobody to ask."""

    place: Place
    verified: bool | None
    witnesses: str
    overdue: bool


@attrs.frozen
class VerifierStatistics:
    """A snapshot: the takeovers of now; those that took longer than they may, Leases given up, and times so far."""

    trials: tuple[TrialStatistics, ...]
    timeouts: Mapping[Place, int]
    resignations: Mapping[LeaseKey, int]
    durations: Mapping[Place, Durations]


@attrs.define(eq=False)
class Verifier:
    """Verifies the takeovers of *keeper*, from ``run()`` until it is cancelled. *timeout* is in seconds."""

    _keeper: Keeper
    _announcers: Mapping[Family, Announcer]
    _links: Links
    _witnesses: Witnesses
    _offers: Offers
    verify: Verify = Verify.WARN
    timeout: float = 10.0

    _dirty: dict[Vip, None] = attrs.field(factory=dict, init=False)
    _places: dict[Vip, Place] = attrs.field(factory=dict, init=False)
    _trials: dict[Place, Trial] = attrs.field(factory=dict, init=False)
    _late: list[Trial] = attrs.field(factory=list, init=False)
    _mute: set[tuple[str, Family]] = attrs.field(factory=set, init=False)
    _timeouts: dict[Place, int] = attrs.field(factory=dict, init=False)
    _durations: dict[Place, Durations] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.follow(self._changed)

    # What happens

    def _changed(self, vip: Vip) -> None:
        self._dirty[vip] = None
        self._wake.set()

    def _link_changed(self, interface: str) -> None:
        """Verify anew what is held there: the cable may be in another switch now."""
        for place, trial in self._trials.items():
            if place.interface == interface and trial.verified:
                self._begin_anew(trial)

    def _begin_anew(self, trial: Trial) -> None:
        trial.close()
        self._trials[trial.place] = fresh = self._trial(trial.place, takeover=False)
        fresh.vips.update(trial.vips)
        self._wake.set()

    def _trial(self, place: Place, began: float | None = None, *, takeover: bool = True) -> Trial:
        now = self._now()
        began = now if began is None else began
        return Trial(place, self._announcers[place.family], self._answered, began, now, takeover)

    # Driving

    async def run(self) -> None:
        """Verify until cancelled."""
        unsubscribe = self._links.subscribe(self._link_changed)
        try:
            while True:
                self._look_at_changes()
                await self._repeat_late()
                for trial in [trial for trial in self._trials.values() if self._is_due(trial)]:
                    await self._ask(trial)
                due = min((trial.due for trial in self._trials.values() if not trial.verified), default=math.inf)
                with anyio.move_on_after(due - self._now()):
                    await self._wake.wait()
                self._wake.clear()
        finally:
            unsubscribe()
            for trial in self._trials.values():
                trial.close()

    def _look_at_changes(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for vip in dirty:
            announced, place = self._keeper.term_of(vip) is not None, self._places.get(vip)
            if announced and place is None:
                self._add(vip)
            elif not announced and place is not None:
                self._drop(vip, place)

    def _add(self, vip: Vip) -> None:
        lease = self._keeper.lease_of(vip)
        if lease is None or vip.family not in self._announcers or self._is_loopback(vip.interface):
            return
        self._places[vip] = place = Place(lease, vip.interface, vip.family)
        if place not in self._trials:
            self._trials[place] = self._trial(place, self._keeper.wanted_since(vip))
        self._trials[place].vips[vip] = None

    def _drop(self, vip: Vip, place: Place) -> None:
        del self._places[vip]
        trial = self._trials[place]
        trial.vips.pop(vip, None)
        if not trial.vips:
            trial.close()
            del self._trials[place]

    def _is_loopback(self, interface: str) -> bool:
        try:
            return self._links.get(interface).loopback
        except KubeVipError:
            return False

    # Asking

    def _is_due(self, trial: Trial) -> bool:
        return not trial.verified and trial.due <= self._now()

    async def _ask(self, trial: Trial) -> None:
        if trial.rounds == 0 or trial.rounds >= LOOK_AGAIN:
            trial.found = await self._find(trial)
        if not self._is_due(trial) or self._trials.get(trial.place) is not trial:
            return
        sample = [vip for vip in trial.sample if self._keeper.may_announce(vip)]
        if not sample:
            # A question from an address claims it, and may draw to us what is for its next holder already.
            trial.due = self._now() + ASK_ANEW
            return
        pairs = self._witnesses.pairs(sample, trial.found, AT_ONCE)
        able = not pairs or await trial.ask(pairs, self._now())
        if not pairs or not able:
            self._tell_mute(trial, able)
            return
        if trial.rounds > BURST:
            await self._announcers[trial.place.family].repeat(tuple(trial.vips))
        self._look_at_clock(trial)

    async def _find(self, trial: Trial) -> Found:
        held: Collection[IPAddress] = {vip.address for vip in self._places}
        try:
            return await self._witnesses.find(trial.place.interface, trial.place.family, held)
        except KubeVipError as error:
            trial.trouble = str(error)
            return trial.found

    def _tell_mute(self, trial: Trial, able: bool) -> None:
        """Nothing can be learnt here: say so once, and let nothing follow from it."""
        place = trial.place
        trial.first_asked, trial.due = None, self._now() + NOBODY_PAUSE
        if (place.interface, place.family) in self._mute:
            return
        self._mute.add((place.interface, place.family))
        nobody = "there is no gateway and no neighbour to ask; name some address in vip_witnesses"
        reason = nobody if able else f"backend {self._announcers[place.family].name!r} can't ask"
        log.info("takeovers can't be verified", extra={**_described(place), "reason": trial.trouble or reason})

    def _look_at_clock(self, trial: Trial) -> None:
        late = trial.first_asked is not None and self._now() >= trial.first_asked + self.timeout
        if not late:
            if trial.first_asked is not None and not trial.overdue:
                trial.due = min(trial.due, trial.first_asked + self.timeout)
            return
        if not trial.overdue:
            trial.overdue = True
            self._timeouts[trial.place] = self._timeouts.get(trial.place, 0) + 1
            reason = self._reason(trial)
            log.warning("no witness answers", extra={**_described(trial.place), **reason})
        if self.verify is Verify.RESIGN and trial.found.reliable:
            self._consider_resigning(trial)

    def _reason(self, trial: Trial) -> dict[str, str]:
        try:
            up = self._links.get(trial.place.interface).up
        except KubeVipError:
            up = True
        silent = f"silent for {self.timeout:g} s: the uplink is dead, or all of them are"
        return {
            "witness": str(trial.found),
            "source": trial.found.source.value,
            "reason": trial.trouble or (silent if up else "the interface is down"),
        }

    # Giving up

    def _consider_resigning(self, trial: Trial) -> None:
        lease, now = trial.place.lease, self._now()
        if self._offers.may_make(lease, now) and self._holds(trial) and not self._works(trial):
            extra = {**_described(trial.place), **self._reason(trial)}
            log.warning("giving up the Lease; if nobody else takes it, it is kept", extra=extra)
            self._offers.make(lease, now)

    def _holds(self, trial: Trial) -> bool:
        return any(self._keeper.term_of(vip) is not None for vip in trial.vips)

    def _works(self, trial: Trial) -> bool:
        """Tell whether something is heard on the interface of *trial*, whatever its family or Lease.

        What was heard before this trial began proves nothing any more: it is asked for anew.
        """
        others = [each for each in self._trials.values() if each.place.interface == trial.place.interface]
        began = trial.first_asked or 0.0
        stale = [each for each in others if each.verified and each.answered_at < began]
        for each in stale:
            self._begin_anew(each)
        if stale:
            trial.due = min(trial.due, self._now() + ASK_ANEW)
        return bool(stale) or any(each.verified for each in others)

    # Being answered

    def _answered(self, trial: Trial) -> None:
        """Called at once, from a listener."""
        trial.answered_at = self._now()
        place, seconds = trial.place, self._now() - trial.began
        if trial.takeover:
            self._durations.setdefault(place, Durations()).note(seconds)
        answer = trial.answer
        witness = f"{answer.witness} ({answer.mac})" if answer else ""
        log.info("verified", extra={**_described(place), "witness": witness, "seconds": f"{seconds:.3f}"})
        self._mute.discard((place.interface, place.family))
        self._late.append(trial)
        self._offers.end(place.lease)
        self._wake.set()

    async def _repeat_late(self) -> None:
        """End what was answered. Who was not heard for long is believed sooner by announcing all at once."""
        while self._late:
            trial = self._late.pop()
            trial.close()
            if trial.rounds > BURST:
                await self._announcers[trial.place.family].repeat(tuple(trial.vips))

    def statistics(self) -> VerifierStatistics:
        """Return a snapshot."""
        trials = tuple(
            TrialStatistics(
                place, trial.verified if trial.verified or trial.pending else None, str(trial.found), trial.overdue
            )
            for place, trial in sorted(self._trials.items())
        )
        return VerifierStatistics(trials, dict(self._timeouts), self._offers.made(), dict(self._durations))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _described(place: Place) -> dict[str, str]:
    return {"lease": str(place.lease), "interface": place.interface, "family": f"IPv{place.family.value}"}
