"""One node's side of a Lease election, without a clock, a network or a task.

The rules are those of client-go's ``tools/leaderelection`` and its LeaseLock, so that kube-vip's and
kubevip's agents can campaign for the same Lease:

* a Lease that names nobody, or us, may be taken at once;
* one that names somebody else may be taken when its record has not changed for the duration that it
  states, counted from when *this* node saw the change; the times in the record are never compared;
* each write carries the version that the decision was made on, so of several candidates one wins.

What differs is only ever more careful or sooner: observations come from a watch instead of polling, the
deadline counts from the moment that a request was *sent*, and leadership ends with the event that shows
the Lease in other hands.

A driver asks ``next(now)`` what to do, does it, and reports what came of it with ``saw``, ``wrote``,
``lost_race`` or ``no_answer``. All times are seconds on one monotonic clock.
"""

import enum
import math
import random
from collections.abc import Callable

import attrs

from kubevip.lease import JITTER_FACTOR, RELEASED_DURATION, Claim, Record, Timing, older
from kubevip.model import LeaseKey, Term

# So many retry periods after its last renewal a leader counts as unable to renew: the next one is due within 1.1.
OVERDUE_PERIODS = 1.5


class Cause(enum.Enum):
    """Why a Lease may be taken now."""

    ABSENT = "there is no such Lease"
    VACANT = "nobody holds it"
    OURS = "it names this node"
    EXPIRED = "its holder has not renewed it"
    MISSED = "its holder is heard no more, and nobody answers for its addresses"
    RENEWAL = "we lead"
    RELEASE = "we give it up"


@attrs.frozen
class Read:
    """Ask for the Lease now."""


@attrs.frozen
class Write:
    """Write *claim*: an update of *base*, or a creation where *base* is ``None``."""

    claim: Claim
    base: Record | None
    cause: Cause


@attrs.frozen
class Wait:
    """Nothing to do before *until*, unless something is seen sooner."""

    until: float


class Standing(enum.Enum):
    """Where a candidate stands; what it held follows from this."""

    UNKNOWN = "nothing is known for certain yet"
    LEADING = "this node leads"
    FOLLOWING = "another node leads"
    VACANT = "nobody leads"
    EXPIRED = "this node could not renew in time"


@attrs.define(eq=False)
class Candidate:
    """One node in the election for one Lease.

    It starts out knowing nothing. ``resign()`` makes it give up the Lease, if it has it, and campaign no
    more; ``step_down()`` makes it give it up once. *deference* returns for how many seconds it leaves a Lease that
    may be taken to others, from the record on; ``inf`` is for ever. It renews *phase* seconds after the common beat.
    """

    lease: LeaseKey
    identity: str
    timing: Timing
    _random: Callable[[], float] = random.random
    deference: Callable[[Record | None], float] = lambda _record: 0.0
    phase: float = 0.0

    _known: bool = attrs.field(default=False, init=False)
    _record: Record | None = attrs.field(default=None, init=False)
    _version: str = attrs.field(default="", init=False)
    _observed_at: float = attrs.field(default=-math.inf, init=False)
    _granted: float | None = attrs.field(default=None, init=False)
    _reaffirmed: float = attrs.field(default=-math.inf, init=False)
    _not_before: float = attrs.field(default=-math.inf, init=False)
    _writing: bool = attrs.field(default=False, init=False)
    _base_version: str = attrs.field(default="", init=False)
    _unsure: bool = attrs.field(default=False, init=False)
    _twin: bool = attrs.field(default=False, init=False)
    _races_lost: int = attrs.field(default=0, init=False)
    _resigned: bool = attrs.field(default=False, init=False)
    _stepping_down: bool = attrs.field(default=False, init=False)
    _staying: bool = attrs.field(default=False, init=False)
    _missed: str = attrs.field(default="", init=False)
    _missed_at: float = attrs.field(default=-math.inf, init=False)
    _renewal_wanted: bool = attrs.field(default=False, init=False)
    _doubted: float = attrs.field(default=-math.inf, init=False)
    _hold_back: float = attrs.field(default=0.0, init=False)

    # What it knows

    @property
    def record(self) -> Record | None:
        """The Lease as last seen; ``None`` where it is absent or not seen yet."""
        return self._record

    @property
    def missed(self) -> str:
        """The holder that is missed; empty where none is."""
        return self._missed

    @property
    def twin(self) -> bool:
        """True while another process is seen to write the Lease under our name."""
        return self._twin

    def leading(self, now: float) -> bool:
        """Tell whether this node may act as the holder at *now*."""
        return self._granted is not None and now < max(self._granted, self._reaffirmed) + self.timing.renew_deadline

    def overdue(self, now: float) -> bool:
        """Tell whether this node leads, and should have renewed by *now*.

        Not while it gives the Lease up and others write it meanwhile: the API server answers then, and a term that is
        made longer would outlive the release.
        """
        if self._races_lost and (self._resigned or self._stepping_down):
            return False
        return self._leads_since(OVERDUE_PERIODS * self.timing.retry_period, now)

    def reaffirmed(self, now: float) -> bool:
        """Tell whether this node leads by its own word: by the Lease alone its deadline would be over."""
        return self._leads_since(self.timing.renew_deadline, now)

    def _leads_since(self, seconds: float, now: float) -> bool:
        """Tell whether this node leads, and its last renewal was asked for so many seconds ago, or longer."""
        return self._granted is not None and self.leading(now) and now >= self._granted + seconds

    def term(self, now: float) -> Term | None:
        """Return the current term, or ``None`` where this node doesn't lead at *now*."""
        if not self.leading(now):
            return None
        assert self._granted is not None
        assert self._record is not None
        since = max(self._granted, self._reaffirmed)
        return Term(
            self.lease,
            self.identity,
            self._record.transitions,
            until=since + self.timing.renew_deadline,
            expires=since + self.timing.duration,
        )

    def standing(self, now: float) -> Standing:
        """Tell where this node stands at *now*."""
        if self.leading(now):
            return Standing.LEADING
        if self._granted is not None:
            # Whatever the Lease says now, what we held by it has to go.
            return Standing.EXPIRED
        if not self._known:
            return Standing.UNKNOWN
        if self._record is None or self._record.vacant:
            return Standing.VACANT
        if self._ours(self._record):
            # It is an earlier process's, or comes of a write of ours that isn't answered yet.
            return Standing.UNKNOWN
        return Standing.FOLLOWING

    @property
    def stepping_down(self) -> bool:
        """True while the Lease may be given up: a successor may have it already, and is waited for."""
        return self._stepping_down or self._staying

    @property
    def resigned(self) -> bool:
        """True once the Lease is given up for good: nothing is left to do."""
        return self._resigned and not self._may_be_ours

    @property
    def _may_be_ours(self) -> bool:
        if self._writing or self._unsure or self._granted is not None:
            return True
        return self._record is not None and self._ours(self._record)

    def _ours(self, record: Record) -> bool:
        return record.holder == self.identity and not self._twin

    # What to do

    def next(self, now: float) -> Read | Write | Wait:
        """Return what to do at *now*: one step, whose outcome is to be reported before the next is asked for."""
        if now < self._not_before:
            return Wait(self._not_before)
        self._stepping_down = self._stepping_down and self._may_be_ours
        leaving = self._resigned or self._stepping_down
        if not self._known or ((leaving or self._staying) and self._unsure):
            return Read()
        step = self._give_up() if leaving else self._hold_or_campaign(now)
        self._writing = isinstance(step, Write)
        self._base_version = step.base.version if isinstance(step, Write) and step.base is not None else ""
        self._renewal_wanted = False
        return step

    def _give_up(self) -> Write | Wait:
        if self._record is None or not self._ours(self._record):
            return Wait(math.inf)
        claim = Claim("", RELEASED_DURATION, self._record.transitions, fresh=True)
        return Write(claim, self._record, Cause.RELEASE)

    def _hold_or_campaign(self, now: float) -> Write | Wait:
        if self.leading(now):
            assert self._granted is not None
            due = -math.inf if self._renewal_wanted else self.timing.beat_after(self._granted - self.phase) + self.phase
            return Wait(due) if now < due else self._claim(Cause.RENEWAL)
        if self._record is not None and self._ours(self._record):
            return self._claim(Cause.OURS)
        cause, since = self._opening()
        at = since + self.deference(self._record)
        return Wait(at) if now < at else self._claim(cause)

    def _opening(self) -> tuple[Cause, float]:
        """Tell why and from when on the Lease may be taken from whoever has it."""
        if self._record is None:
            return Cause.ABSENT, self._observed_at + self._hold_back
        if self._record.vacant:
            return Cause.VACANT, self._observed_at + self._hold_back
        if self._record.holder == self._missed:
            return Cause.MISSED, self._missed_at
        # A Lease that states no duration is given ours: client-go would take it at once, which isn't safer.
        return Cause.EXPIRED, self._observed_at + (self._record.duration or self.timing.duration) + self._hold_back

    def _claim(self, cause: Cause) -> Write:
        record = self._record
        if record is None:
            return Write(Claim(self.identity, self.timing.duration, 0, fresh=True), None, cause)
        ours = self._ours(record)
        transitions = record.transitions if ours else record.transitions + 1
        return Write(Claim(self.identity, self.timing.duration, transitions, fresh=not ours), record, cause)

    # What came of it

    def saw(self, record: Record | None, version: str, now: float) -> None:
        """Report what the watch showed at *version*; ``None`` is a deleted Lease.

        An event older than what is known already is passed over: a watch lags behind our own writes.
        """
        if older(version, self._version):
            return
        self._known = self._known or version != self._version
        self._learn(record, version, now)

    def read(self, record: Record | None, now: float) -> None:
        """Report the answer to a ``Read``, which has to be a consistent one; ``None`` is an absent Lease."""
        self._known = True
        # Whatever was seen before, this is how it is: versions go back where a backup was restored.
        self._version = ""
        self._learn(record, record.version if record else "", now)
        self._unsure = self._staying = False

    def _learn(self, record: Record | None, version: str, now: float) -> None:
        if not self._continues(record):
            self._observed_at = now
            self._not_before = -math.inf
            self._twin = self._written_by_twin(record)
            # Whoever was missed is there again, or somebody else has taken its place.
            self._missed = ""
        elif self._observed_at == -math.inf:
            # There never was a Lease, as far as we know.
            self._observed_at = now
        self._record = record
        self._version = version or self._version
        if record is None or not self._ours(record):
            self._granted, self._reaffirmed = None, -math.inf
            if not self._writing:
                # Whatever became of a write that was never answered, it has been overtaken.
                self._unsure = False
        if self.standing(now) is Standing.FOLLOWING:
            self._races_lost = 0

    def _continues(self, record: Record | None) -> bool:
        if record is None or self._record is None:
            return record is self._record
        return record.says_the_same(self._record)

    def _written_by_twin(self, record: Record | None) -> bool:
        """Two nodes of one name would both lead; the one that sees the other's writing steps back."""
        if record is None or record.holder != self.identity or self._writing or self._unsure:
            return False
        renewed = self._record is not None and record.renewed != self._record.renewed
        return renewed and (self._twin or self._granted is not None)

    def wrote(self, record: Record, asked: float, now: float) -> None:
        """Report that the write asked for at *asked* succeeded and left *record*.

        Where the watch has shown what came after it, that counts, and nothing is granted. Neither is it where the term
        was given up since the request: the Lease says that it is ours, and has to be taken anew.
        """
        self._writing = self._unsure = self._staying = False
        if older(record.version, self._version):
            return
        self._known = True
        self._twin = False
        self._record = record
        self._version = record.version
        self._observed_at = now
        self._races_lost = 0
        self._not_before = -math.inf
        self._granted = asked if record.holder == self.identity and asked >= self._doubted else None
        self._reaffirmed = -math.inf

    def lost_race(self, now: float) -> None:
        """Report that somebody else wrote first: the Lease has to be read again, unless the watch has shown it.

        The first time at once; if it goes on so, in the usual rhythm. It may have been we who wrote: a request
        whose connection breaks is sent again, and the second one finds the Lease as the first one left it.
        """
        self._writing = False
        self._known = older(self._base_version, self._version)
        self._unsure = not self._known
        self._races_lost += 1
        if self._races_lost > 1 and not self.leading(now):
            self._not_before = now + self._pause()

    def no_answer(self, asked: float, now: float) -> None:
        """Report that a request sent at *asked* has failed, or that nothing is known of it."""
        self._unsure = self._unsure or self._writing
        self._writing = False
        if self.leading(now):
            # A leader has until its deadline: it asks in the rhythm of its renewals, counted from the request.
            self._not_before = max(now, asked + self.timing.retry_period)
        else:
            self._not_before = now + self._pause()

    def miss(self, holder: str, now: float) -> None:
        """Take the Lease from *holder*, if it has it, as from *now* on; with an empty name, wait as usual."""
        if holder != self._missed:
            self._missed, self._missed_at = holder, now

    def hurry_renewal(self) -> None:
        """Renew with the next step, if we lead."""
        self._renewal_wanted = True

    def reaffirm(self, now: float) -> None:
        """Lead on as after a renewal at *now*, though there was none: who calls this knows that nobody else leads.

        It ends with the first that is seen of another holder, and with ``doubt()``.
        """
        if self.leading(now):
            self._reaffirmed = now

    def doubt(self, now: float) -> None:
        """Count our own term as over at *now*: others may have taken the Lease. A write asked for later begins anew."""
        self._doubted, self._reaffirmed = now, -math.inf
        if self._granted is not None:
            self._granted = min(self._granted, now - self.timing.renew_deadline)

    @property
    def holds_back(self) -> bool:
        """Whether others are left a Lease that may be taken: they are better holders."""
        return self._hold_back > 0

    def hold_back(self, seconds: float) -> None:
        """Take a Lease only *seconds* after others might have: they are better holders."""
        self._hold_back = seconds

    def resign(self) -> None:
        """Give up the Lease with the next step, and campaign no more."""
        self._resigned = True
        self._not_before = -math.inf

    def step_down(self) -> None:
        """Give up the Lease with the next step, if it is ours or may be; go on as a candidate, with *deference*."""
        self._stepping_down = True
        self._not_before = -math.inf

    def stay(self) -> None:
        """Don't step down after all. What has been released is released: if nobody knows, that is asked first."""
        self._staying = self._staying or self._stepping_down
        self._stepping_down = False

    def ask_at_once(self) -> None:
        """Wait no longer before the next step."""
        self._not_before = -math.inf

    def _pause(self) -> float:
        return self.timing.retry_period * (1 + JITTER_FACTOR * self._random())
