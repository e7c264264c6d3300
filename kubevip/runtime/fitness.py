"""Acts for one Lease on what ``kubevip.eligibility`` says: gives it up, hands it over on request, asks for it.

A Lease is given up as at a planned stop: the address stays for its successor, and this node goes on as a candidate.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import anyio
import attrs

from kubevip.eligibility import Eligibility, Ground
from kubevip.errors import ApiError, LeaseConflict
from kubevip.lease import Claim, Record
from kubevip.ports import Asking
from kubevip.runtime.deadlink import DeadLink
from kubevip.runtime.elector import Elector
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.voice import Voice
from kubevip.succession import Request, Word

log = logging.getLogger(__name__)

# How often is looked at what nobody tells.
TICK = 1.0
# VIPs of which all have failed for so many seconds may do better elsewhere: several tries have failed by then.
AILING_FOR = 3.0
# And for so many seconds they aren't taken back, unless nobody else does: what failed once may fail again.
REST = 60.0
# A request to the holder is repeated in its term after this many seconds, and after this many where the Lease has
# just changed. One that was refused is repeated sooner, and later and later: who has just come is not heard yet.
ASK_AGAIN, ASK_SOON, ASK_REFUSED = 30.0, 0.2, 2.0
ANSWER_WITHIN = 5.0


@attrs.frozen
class FitnessStatistics:
    """A snapshot: *unfit* says what is against this node, empty where nothing is.

    *last_resort*: it holds the Lease nevertheless, because nobody else took it. *given_up* counts how often it gave
    the Lease up, by reason; *asked* how often it asked for it.
    """

    unfit: Mapping[Ground, str]
    last_resort: bool
    given_up: Mapping[str, int]
    asked: int


@attrs.define(eq=False)
class Fitness:
    """One node's fitness for the Lease of *elector*, from ``run()`` until it is cancelled.

    *hears* returns the names of the nodes that are heard now, ``None`` where nobody listens. *needs_link* is false
    where an interface that says it is down may work. *unheard* says why nobody would hear an announcement of this node.
    *voice* is that of its heartbeats.
    """

    _keeper: Keeper
    _elector: Elector
    _asking: Asking
    eligibility: Eligibility
    hears: Callable[[], Collection[str] | None] = lambda: None
    needs_link: bool = True
    unheard: Callable[[], str] = lambda: ""
    voice: Voice = attrs.field(factory=Voice)

    _dead_link: DeadLink = attrs.field(init=False)
    _answered: set[tuple[int, str]] = attrs.field(factory=set, init=False)
    _refused: Word | None = attrs.field(default=None, init=False)
    _unreadable: str = attrs.field(default="", init=False)
    _handed_over: int = attrs.field(default=-1, init=False)
    _ailing_since: float | None = attrs.field(default=None, init=False)
    _unheard_since: float | None = attrs.field(default=None, init=False)
    _ask_at: float = attrs.field(default=0.0, init=False)
    _asked_in: tuple[str, int] = attrs.field(default=("", 0), init=False)
    _last_asked: tuple[str, float] = attrs.field(default=("", 0.0), init=False)
    _patience: float = attrs.field(default=ASK_REFUSED, init=False)
    _asked: int = attrs.field(default=0, init=False)
    _given_up: Counter[str] = attrs.field(factory=Counter, init=False)
    _told: tuple[bool, bool] = attrs.field(default=(False, False), init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._dead_link = DeadLink(self._elector, self.look, self.voice)
        self._elector.deference = self.eligibility.deference
        self._elector.word = self._word
        self._elector.seen = self.look
        self._elector.releasing = self._releasing

    def report(self, ground: Ground, text: str | None, *, until: float = float("inf")) -> None:
        """Let *ground* count against this node until *until* (seconds on the loop's clock); ``None``: not any more."""
        now = self._now()
        before = self.eligibility.statistics(now)
        self.eligibility.report(ground, text, now, until=until)
        if self.eligibility.statistics(now) != before:
            self.look()
            self._elector.reconsider()

    def look(self) -> None:
        """Act on what is known now."""
        now, record = self._now(), self._elector.record
        leave = self.eligibility.should_leave(record, now)
        if record is not None and leave:
            self._leave(record, self.eligibility.grounds(now)[0].ground, self.eligibility.why(now))
        elif record is not None and record.request:
            self._heed(record)
        self._tell(now)
        if self.eligibility.asks(record, now) is not None:
            # Renewals are seen all the time, of hundreds of Leases; to ask for one is seldom due.
            self._wake.set()

    def _leave(self, record: Record, worst: Ground, why: str) -> None:
        if worst is Ground.LINK and not self._dead_link.reached:
            self._dead_link.begin()
        else:
            self._step_down(record, worst.word, why, reached=worst is not Ground.LINK)

    def _step_down(self, record: Record, reason: str, text: str, *, reached: bool) -> None:
        self._given_up[reason] += 1
        log.warning("giving up the Lease", extra={"lease": str(self._elector.lease), "reason": text})
        term = self._elector.term
        if reached and term is not None:
            self._handed_over = term.token
        self.eligibility.left(record)
        self._elector.step_down()

    def _releasing(self, under_way: bool) -> None:
        """Others may have the Lease from the moment at which its release is sent, whatever the link does meanwhile."""
        if under_way:
            self._keeper.expect_successor(self._elector.lease)
        else:
            self._keeper.remain(self._elector.lease)

    # Requests to this node

    def _heed(self, record: Record) -> None:
        if Request.parse(record.request) is None and record.request != self._unreadable:
            self._unreadable = record.request
            extra = {"lease": str(self._elector.lease), "reason": "its annotation can't be read"}
            log.warning("passing over a request to hand over", extra=extra)
        request = self.eligibility.wish(record)
        if request is None or (request.term, request.id) in self._answered or self._elector.term is None:
            return
        self._answered = {each for each in self._answered if each[0] == request.term} | {(request.term, request.id)}
        objection = self._objection(request)
        if objection:
            self._refuse(request, objection)
        else:
            whom = f"to {request.to}" if request.to else "to any other node"
            self._step_down(record, "asked", f"asked to hand over {whom}: {request.by}", reached=True)

    def _objection(self, request: Request) -> str:
        if request.to == self._elector.identity:
            return f"{request.to} is the holder"
        heard = self.hears()
        if heard and request.to and request.to not in heard:
            return f"{request.to} isn't heard; those that are: {', '.join(sorted(heard))}"
        return ""

    def _refuse(self, request: Request, why: str) -> None:
        extra = {"lease": str(self._elector.lease), "reason": why, "holder": request.to}
        log.warning("not handing over", extra=extra)
        self._refused = Word(request.holder, request.term, refused=request.id, why=why)
        self._elector.renew()

    def _word(self, claim: Claim, base: Record | None) -> str:
        """Say in the Lease what others should know of us as its holder."""
        if not claim.holder:
            return ""
        word = Word(claim.holder, claim.transitions)
        if self._refused is not None and self._refused.term == word.term:
            word = self._refused
        word = attrs.evolve(word, unfit=self.eligibility.why(self._now()))
        # What was said before in this term has to be taken back, nothing else needs to be said.
        said = base is not None and base.transitions == word.term and Word.of(base) is not None
        return str(word) if word.unfit or word.refused or said else ""

    # Driving

    async def run(self) -> None:
        """Look at what nobody tells, and ask for the Lease where that is due, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._dead_link.run)
            await self._look_on()

    async def _look_on(self) -> None:
        while True:
            now = self._now()
            self._look_at_links(now)
            self._look_at_peers(now)
            self._look_at_vips(now)
            self.look()
            self._wake.clear()
            due = await self._ask_if_due()
            with anyio.move_on_after(min(TICK, max(0.0, due - self._now()))):
                await self._wake.wait()

    def link_changed(self, _interface: str) -> None:
        """An interface has come, gone or changed."""
        self._look_at_links(self._now())

    def _look_at_links(self, now: float) -> None:
        if not self.needs_link:
            return
        if not self._keeper.carries(self._elector.lease):
            self.voice.cut()
            self.report(Ground.LINK, "")
        elif Ground.LINK in self.eligibility.statistics(now):
            term = self._elector.term
            if term is None or term.token != self._handed_over:
                # A release may not have arrived: then nothing has to move.
                self._elector.stay()
                self.eligibility.stays()
            self._dead_link.end()
            self.voice.mend()
            self.report(Ground.LINK, None)

    def _look_at_peers(self, now: float) -> None:
        """Whom nobody hears has no use for a Lease; a holder may be heard again before others would be."""
        text = self.unheard()
        if not text:
            self._unheard_since = None
            self.report(Ground.UNHEARD, None)
            return
        if self._unheard_since is None:
            self._unheard_since = now
        if self._elector.term is None or now - self._unheard_since >= AILING_FOR:
            self.report(Ground.UNHEARD, f"no peer hears this node: {text}")

    def _look_at_vips(self, now: float) -> None:
        """What can't be held here may be held elsewhere."""
        # Whom nobody hears can announce nothing, and may do so again as soon as somebody does.
        silent = self._unheard_since is not None or Ground.LINK in self.eligibility.statistics(now)
        text = "" if silent else self._keeper.ailing(self._elector.lease)
        if not text:
            self._ailing_since = None
        elif self._ailing_since is None:
            self._ailing_since = now
        elif now - self._ailing_since >= AILING_FOR:
            self.report(Ground.BACKEND, f"none of its addresses can be held: {text}", until=now + REST)
        fit = self.eligibility.fit(now)
        self.eligibility.expire(now)
        if fit != self.eligibility.fit(now):
            self._elector.reconsider()

    async def _ask_if_due(self) -> float:
        """Ask the holder for the Lease if it is time; return when it is."""
        record = self._elector.record
        found = self.eligibility.asks(record, self._now())
        if record is None or found is None or self._elector.holds_back:
            # Whoever would leave it to others when it is free has no use for it.
            return float("inf")
        due, why = found
        term = (record.holder, record.transitions)
        again = term == self._asked_in
        # In another term nothing was asked for yet.
        due = max(due, self._ask_again_at(record)) if again else due
        if due > self._now():
            return due
        request = Request(record.holder, record.transitions, self._elector.identity, secrets.token_hex(4), why)
        self._patience = min(2 * self._patience, ASK_AGAIN) if again else ASK_REFUSED
        self._asked_in, self._last_asked, self._ask_at = term, (request.id, self._now()), self._now() + ASK_AGAIN
        try:
            with anyio.fail_after(ANSWER_WITHIN):
                await self._asking.ask(self._elector.lease, str(request), record)
        except LeaseConflict:
            self._ask_at = self._now() + ASK_SOON
        except (ApiError, TimeoutError) as error:
            extra = {"lease": str(self._elector.lease), "reason": str(error) or "no answer"}
            log.warning("can't ask for the Lease", extra=extra)
        else:
            self._asked += 1
            extra = {"lease": str(self._elector.lease), "holder": record.holder, "reason": why}
            log.info("asking for the Lease", extra=extra)
        return self._ask_at

    def _ask_again_at(self, record: Record) -> float:
        """Return when to ask again in this term."""
        word, (last, at) = Word.of(record), self._last_asked
        return min(self._ask_at, at + self._patience) if word is not None and word.refused == last else self._ask_at

    # Telling

    def _tell(self, now: float) -> None:
        why = self.eligibility.why(now)
        told = (bool(why), bool(why) and self._is_last_resort())
        before, self._told = self._told, told
        extra = {"lease": str(self._elector.lease)}
        if told[1] and not before[1]:
            log.warning("holding as the last resort: nobody else takes the Lease: %s", why, extra=extra)
        elif told[0] and not before[0]:
            log.warning("not campaigning: %s", why, extra=extra)
        elif before[0] and not told[0]:
            log.info("fit again", extra=extra)

    def _is_last_resort(self) -> bool:
        term = self._elector.term
        return term is not None and self.eligibility.is_last_resort(term.token)

    def statistics(self) -> FitnessStatistics:
        """Return a snapshot."""
        return FitnessStatistics(
            unfit=self.eligibility.statistics(self._now()),
            last_resort=self._is_last_resort(),
            given_up=dict(self._given_up),
            asked=self._asked,
        )

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
