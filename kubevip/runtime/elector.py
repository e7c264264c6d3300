"""Campaigns for one Lease: asks ``election.Candidate`` what to do and does it against a LeaseStore."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol

import anyio
import attrs

from kubevip.election import Candidate, Cause, Read, Standing, Wait, Write
from kubevip.errors import Conflict
from kubevip.lease import Claim, Record, Timing
from kubevip.model import LeaseKey, Term
from kubevip.ports import LeaseStore, Observation
from kubevip.runtime.bell import Bell

log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who acts on an election. The calls come from the event loop and must not block."""

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """A write is on its way by which this node may come to lead."""

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """Where this node stands now; *term* while it leads, a new one with each renewal."""


@attrs.frozen
class ElectorStatistics:
    """A snapshot: *term* is ``None`` while this node doesn't lead, *holder* empty where nobody is known to.

    *reaffirmed* says that it leads on though it can't renew.
    """

    lease: LeaseKey
    standing: Standing
    holder: str
    term: Term | None
    transitions: int
    renewals: int
    failures: int
    last_error: str
    reaffirmed: bool = False


@attrs.define(eq=False)
class Elector:
    """One node's campaign for one Lease, from ``run()`` until it is cancelled or has resigned.

    It tells its followers of each change at once, also while a request hangs: when the Lease is seen in
    other hands, and when the deadline passes.
    """

    lease: LeaseKey
    identity: str
    timing: Timing
    _store: LeaseStore
    _follower: Follower
    badge: Callable[[Claim, Record | None], str] = lambda _claim, _base: ""
    """What to write into the Lease of our heartbeats with a claim to what it was before; empty for nothing."""
    word: Callable[[Claim, Record | None], str] = lambda _claim, _base: ""
    """What to write into it of ourselves as its holder; empty for nothing."""
    deference: Callable[[Record | None], float] = lambda _record: 0.0
    """For how many seconds a Lease that may be taken is left to others; see ``election.Candidate``."""
    seen: Callable[[], None] = lambda: None
    """Called whenever more is known of the Lease."""
    releasing: Callable[[bool], None] = lambda _under_way: None
    """Called with true before a release is sent: others may have the Lease from then on. With false once it is ours
    by a later write, which no release that is still on its way can overtake."""
    phase: float = 0.0
    """By how many seconds it renews after the common beat; see ``lease.Timing.beat_after``."""

    _candidate: Candidate = attrs.field(init=False)
    _wake: Bell = attrs.field(factory=Bell, init=False)
    _told: tuple[Standing, Term | None] = attrs.field(default=(Standing.UNKNOWN, None), init=False)
    _deadline: asyncio.TimerHandle | None = attrs.field(default=None, init=False)
    _release_sent: bool = attrs.field(default=False, init=False)
    _opposed: Record | None = attrs.field(default=None, init=False)
    _attempt: anyio.CancelScope | None = attrs.field(default=None, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _ended: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _renewals: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _terms: int = attrs.field(default=0, init=False)
    _last_error: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._candidate = Candidate(self.lease, self.identity, self.timing, phase=self.phase)
        self._candidate.deference = lambda record: self.deference(record)

    @property
    def term(self) -> Term | None:
        """The current term; ``None`` where this node doesn't lead now."""
        return self._candidate.term(self._now())

    @property
    def standing(self) -> Standing:
        """Where this node stands now."""
        return self._candidate.standing(self._now())

    @property
    def record(self) -> Record | None:
        """The Lease as last seen; ``None`` where it is absent or not seen yet."""
        return self._candidate.record

    @property
    def overdue(self) -> bool:
        """Whether this node leads, and should have renewed by now."""
        return self._candidate.overdue(self._now())

    @property
    def reaffirmed(self) -> bool:
        """Whether this node leads on though it can't renew."""
        return self._candidate.reaffirmed(self._now())

    @property
    def release_unanswered(self) -> bool:
        """Whether a release was sent, and it isn't known what became of it: others may have the Lease by now."""
        return self._release_sent

    def reaffirm(self) -> None:
        """Lead on as after a renewal, though there was none: who calls this knows that nobody else leads."""
        self._candidate.reaffirm(self._now())
        self._tell()

    async def reaches(self, within: float) -> bool:
        """Tell whether the API server answers for this Lease within so many seconds."""
        try:
            with anyio.fail_after(within):
                await self._store.read(self.lease)
        except Exception:
            return False
        return True

    def miss(self, holder: str) -> None:
        """Take the Lease from *holder* at once, though it has not expired; with an empty name, wait as usual.

        That is only right where nobody answers for what the Lease protects.
        """
        if holder == self._candidate.missed:
            # It is told with each heartbeat.
            return
        self._candidate.miss(holder, self._now())
        self._wake.ring()

    def doubt(self) -> None:
        """Stop leading at once: others may have taken the Lease. A write asked for later begins anew."""
        self._candidate.doubt(self._now())
        self._tell()
        self._wake.ring()

    def renew(self) -> None:
        """Renew now, if we lead, to learn whether we still do."""
        self._candidate.hurry_renewal()
        self._wake.ring()

    def renew_anew(self) -> None:
        """Renew now, and wait no longer for what is asked already: it may have been lost on its way."""
        if self._attempt is not None:
            self._attempt.deadline = -math.inf
        self.renew()

    def step_down(self) -> None:
        """Release the Lease if we have it, and go on as a candidate: *deference* says how soon it may be ours again.

        A follower that is to hand over has to be told before.
        """
        self._candidate.step_down()
        self._wake.ring()

    def stay(self) -> None:
        """Don't step down after all, if there is still time. No follower may have been told to hand over.

        A release that isn't answered yet is not waited for: whether we have the Lease is asked at once.
        """
        self._candidate.stay()
        if self._release_sent:
            self.renew_anew()
        self._wake.ring()

    def offer(self, hold_back: float) -> None:
        """Step down, and take the Lease again if nobody else has done so within *hold_back* seconds."""
        self._candidate.hold_back(hold_back)
        self.step_down()

    @property
    def holds_back(self) -> bool:
        """Whether this node leaves a free Lease to others for a while."""
        return self._candidate.holds_back

    def hold_back(self, seconds: float) -> None:
        """From now on take a Lease only *seconds* after others might have: they are better holders."""
        self._candidate.hold_back(seconds)
        self._wake.ring()

    def reconsider(self) -> None:
        """Look anew at what to do: *deference* has changed."""
        self._wake.ring()

    def resign(self) -> None:
        """Release the Lease if we have it; ``run()`` returns when that is done, or at once where it never began."""
        self._candidate.resign()
        self._wake.ring()
        if not self._running:
            self._ended.set()

    async def wait_ended(self) -> None:
        """Wait until ``run()`` has ended."""
        await self._ended.wait()

    def statistics(self) -> ElectorStatistics:
        """Return a snapshot."""
        now = self._now()
        record = self._candidate.record
        return ElectorStatistics(
            self.lease,
            self._candidate.standing(now),
            record.holder if record else "",
            self._candidate.term(now),
            self._terms,
            self._renewals,
            self._failures,
            self._last_error,
            self._candidate.reaffirmed(now),
        )

    async def run(self) -> None:
        """Campaign until cancelled, or until ``resign()`` has come to its end."""
        if self._ended.is_set():
            return
        self._running = True
        try:
            async with self._store.watch(self.lease, self._observe):
                while not self._candidate.resigned:
                    await self._step()
                    self._tell()
                    self.seen()
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            self._ended.set()

    async def _step(self) -> None:
        match self._candidate.next(self._now()):
            case Wait(until):
                await self._wake.wait(until)
            case Read():
                await self._read()
            case Write() as write:
                await self._write(write)

    async def _read(self) -> None:
        asked = self._now()
        try:
            with anyio.fail_after(self.timing.attempt_timeout) as self._attempt:
                record = await self._store.read(self.lease)
        except Exception as error:
            # Whatever a store raises, nothing is known of the Lease; the campaign goes on.
            self._failed(asked, error, "reading the Lease")
        else:
            self._candidate.read(record, self._now())
            self._answered()
        finally:
            self._attempt = None

    async def _write(self, write: Write) -> None:
        asked = self._now()
        if write.cause is Cause.RELEASE:
            self._release_sent = True
            self.releasing(True)
        elif write.cause is not Cause.RENEWAL:
            self._opposed = write.base
            self._follower.campaigning(self.lease, write.cause)
        try:
            with anyio.fail_after(self.timing.attempt_timeout) as self._attempt:
                claim = attrs.evolve(
                    write.claim, badge=self.badge(write.claim, write.base), word=self.word(write.claim, write.base)
                )
                record = await self._store.write(self.lease, claim, write.base)
        except Conflict:
            self._candidate.lost_race(self._now())
            self._answered()
        except Exception as error:
            self._failed(asked, error, "writing the Lease")
        else:
            self._candidate.wrote(record, asked, self._now())
            self._answered()
            self._succeeded(write.cause)
        finally:
            self._attempt = None

    def _observe(self, observation: Observation) -> None:
        twin = self._candidate.twin
        self._candidate.saw(observation.record, observation.version, self._now())
        if self._candidate.twin and not twin:
            log.error(
                "another process campaigns under our name: every node needs a vip_nodename of its own",
                extra={"lease": str(self.lease), "identity": self.identity},
            )
        # A follower asks for nothing while it sees the leader's renewals.
        self._answered()
        self._wake.ring()
        self._tell()
        self.seen()

    def _failed(self, asked: float, error: Exception, doing: str) -> None:
        self._failures += 1
        given_up = self._attempt is not None and self._attempt.deadline == -math.inf
        if isinstance(error, TimeoutError):
            text = "no answer yet" if given_up else f"no answer within {self.timing.attempt_timeout:g} s"
        else:
            text = str(error) or repr(error)
        if text != self._last_error:
            log.warning("%s failed", doing, extra={"lease": str(self.lease), "reason": text})
        self._last_error = text
        self._candidate.no_answer(asked, self._now())
        if given_up:
            self._candidate.ask_at_once()

    def _answered(self) -> None:
        if self._last_error:
            log.info("the API server answers again", extra={"lease": str(self.lease)})
        self._last_error = ""

    def _succeeded(self, cause: Cause) -> None:
        if self._release_sent:
            self._release_sent = False
            if cause is not Cause.RELEASE:
                self.releasing(False)
        if cause is Cause.RENEWAL:
            self._renewals += 1
        elif cause is Cause.RELEASE:
            log.info("released the Lease", extra={"lease": str(self.lease)})
        else:
            self._terms += 1
            log.info("leading", extra={"lease": str(self.lease), "reason": cause.value})

    def _tell(self) -> None:
        now = self._now()
        standing, term = self._candidate.standing(now), self._candidate.term(now)
        if (standing, term) == self._told and not self._has_lost(standing):
            return
        before, self._told = self._told[0], (standing, term)
        if before is Standing.LEADING and standing is not Standing.LEADING:
            self._log_loss(standing)
        self._arm(term)
        self._follower.standing(self.lease, standing, term)

    def _has_lost(self, standing: Standing) -> bool:
        """Tell once if the Lease that we have campaigned for has another holder, or its old one again.

        Where we stand is the same as before, but what was asked on the wire meanwhile is of no use any more.
        """
        record, opposed = self._candidate.record, self._opposed
        if opposed is None or record is None or standing is not Standing.FOLLOWING or record.says_the_same(opposed):
            return False
        self._opposed = None
        return True

    def _log_loss(self, standing: Standing) -> None:
        record = self._candidate.record
        log.log(
            logging.INFO if standing is Standing.VACANT else logging.WARNING,
            "not leading any more",
            extra={
                "lease": str(self.lease),
                "reason": standing.value,
                "holder": record.holder if record else "",
            },
        )

    def _arm(self, term: Term | None) -> None:
        """Tell the end of a term when it comes, whatever the requests do meanwhile."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if term is not None:
            self._deadline = asyncio.get_running_loop().call_at(term.until, self._tell)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
