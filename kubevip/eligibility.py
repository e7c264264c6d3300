"""Whether this node should have a Lease, and how long it leaves a free one to others. Pure: no clock, no I/O.

A node is unfit for a Lease on *grounds*: its link is down, a check fails, it is cordoned. From them follows what an
election has to know: whether to give up what it holds (once: if nobody else takes it, it takes it back as the *last
resort* and stays), and with which *deference* it treats a Lease that may be taken. Fit nodes come first, in the order
of their preference, then cordoned ones, then those with a failing check; a node whose link is down never.

All that is a matter of waiting, so it costs no message: whoever doesn't know these rules, such as kube-vip, is
merely one more who doesn't wait.
"""

import enum
import math
from collections.abc import Mapping, Sequence

import attrs

from kubevip.lease import Record, Timing
from kubevip.succession import Request, Word

# client-go's candidates ask at least this many retry periods apart, so a node that waits longer comes after them.
_OF_CLIENT_GO = 2.3
# A departing holder's address goes after its linger: taken back this many seconds before, it never does.
_BEFORE_IT_GOES = 0.5


class Ground(enum.Enum):
    """Why a node is unfit."""

    CORDONED = "the node is cordoned"
    UNCHECKED = "a check has no result yet"
    CHECK = "a check fails"
    BACKEND = "the addresses can't be held"
    UNHEARD = "no peer hears what this node announces"
    LINK = "the link is down"

    @property
    def severity(self) -> int:
        """How bad it is; with the same severity nodes are equal. At 3 there is no last resort."""
        return {Ground.CORDONED: 1, Ground.LINK: 3}.get(self, 2)

    @property
    def word(self) -> str:
        """One word for it, for metrics."""
        return self.name.lower()


@attrs.frozen
class Unfit:
    """One ground, what is known of it, and until when it counts."""

    ground: Ground
    text: str
    until: float = math.inf

    def __str__(self) -> str:
        return self.text or self.ground.value


@attrs.frozen
class Pauses:
    """How many seconds whoever defers leaves a free Lease to others.

    *turn* is given to each who goes first, and to a successor who was named. *patience* is what an unfit node gives
    to all others.
    """

    turn: float
    patience: float

    @classmethod
    def of(cls, timing: Timing, linger: float) -> "Pauses":
        """Choose them so that the address of a departing holder is still there when nobody has taken the Lease."""
        turn = min(timing.retry_period, 1.0) / 2
        return cls(turn, max(min(_OF_CLIENT_GO * timing.retry_period, linger - _BEFORE_IT_GOES), 4 * turn))


@attrs.define
class Streak:
    """Turns the results of a check into health, as keepalived does: *fall* failures in a row, *rise* successes.

    The first result counts by itself: a node that starts is what it is.
    """

    rise: int
    fall: int
    healthy: bool | None = attrs.field(default=None, init=False)
    length: int = attrs.field(default=0, init=False)
    _last: bool | None = attrs.field(default=None, init=False)

    def add(self, well: bool) -> bool:
        """Note a result; tell whether that has changed the health."""
        self.length = self.length + 1 if well is self._last else 1
        self._last = well
        before = self.healthy
        if before is None or self.length >= (self.rise if well else self.fall):
            self.healthy = well
        return self.healthy is not before


@attrs.define(eq=False)
class Eligibility:
    """One node's fitness for one Lease. *preferred* names nodes in their order; others come after them.

    *failback* is for how many seconds a preferred node has to be fit before it asks for the Lease, ``None`` for never.
    """

    node: str
    pauses: Pauses
    preferred: Sequence[str] = ()
    last_resort: bool = True
    failback: float | None = None

    _unfit: dict[Ground, Unfit] = attrs.field(factory=dict, init=False)
    _fit_since: float = attrs.field(default=-math.inf, init=False)
    _offered: int = attrs.field(default=0, init=False)
    _left: int | None = attrs.field(default=None, init=False)
    _term: tuple[str, int] = attrs.field(default=("", -1), init=False)
    _term_since: float = attrs.field(default=-math.inf, init=False)
    _word: str = attrs.field(default="", init=False)
    _word_since: float = attrs.field(default=-math.inf, init=False)

    # What is known

    def report(self, ground: Ground, text: str | None, now: float, *, until: float = math.inf) -> None:
        """Let *ground* count until *until*, with *text* to say more; ``None`` is that it doesn't."""
        fit = self.fit(now)
        if text is None:
            self._unfit.pop(ground, None)
        else:
            self._unfit[ground] = Unfit(ground, text, until)
        if not fit and self.fit(now):
            self._fit_since = now

    def expire(self, now: float) -> None:
        """Drop grounds that don't count any more."""
        for each in list(self._unfit.values()):
            if each.until <= now:
                self.report(each.ground, None, now)

    def fit(self, now: float) -> bool:
        """Tell whether nothing is against this node."""
        return not self.grounds(now)

    def grounds(self, now: float) -> list[Unfit]:
        """Return what is against this node, the worst first."""
        found = [each for each in self._unfit.values() if now < each.until]
        return sorted(found, key=lambda each: -each.ground.severity)

    def why(self, now: float) -> str:
        """Return what is known to be against it as text; empty where nothing is."""
        return "; ".join(str(each) for each in self.grounds(now) if each.ground is not Ground.UNCHECKED)

    @property
    def _severity(self) -> int:
        return max((each.ground.severity for each in self._unfit.values()), default=0)

    def is_last_resort(self, token: int) -> bool:
        """Tell whether this node has the Lease in the term *token* only because nobody else took it."""
        return bool(self._unfit) and self._offered > 0 and token != self._left

    # What follows for a holder

    def should_leave(self, record: Record | None, now: float) -> bool:
        """Tell whether the Lease, which is ours, has to be given up now for the sake of fitness."""
        self.expire(now)
        ours = record is not None and record.holder == self.node
        if not ours:
            # Whatever this node takes in this state, it takes as the last resort.
            self._offered = self._severity
            return False
        if not self._unfit:
            self._offered = 0
        grave = [each for each in self._unfit.values() if each.ground is not Ground.UNCHECKED]
        return bool(grave) and max(each.ground.severity for each in grave) > self._offered

    def left(self, record: Record) -> None:
        """The Lease is being given up as *record* shows it."""
        self._left = record.transitions
        self._offered = self._severity

    def stays(self) -> None:
        """The Lease is not given up after all."""
        self._left, self._offered = None, 0

    def wish(self, record: Record | None) -> Request | None:
        """Return the request to this node, the holder, that *record* carries."""
        found = Request.of(record)
        held = record is not None and record.holder == self.node
        return found if held and found is not None and found.holder == self.node else None

    # What follows for a candidate

    def deference(self, record: Record | None) -> float:
        """Return for how many seconds this node leaves a Lease that may be taken to others; ``inf`` is for ever."""
        severity, pauses = self._severity, self.pauses
        been_holder = record is not None and record.vacant and record.transitions == self._left
        if severity == 3 or (severity == 2 and not self.last_resort):
            return math.inf
        if severity:
            step = pauses.turn / 2
            return pauses.patience + step * (1 if severity == 2 else -1) - (step if been_holder else 0)
        request = Request.of(record)
        if request is None:
            return max(self.order(self.node), 2 * pauses.turn if been_holder else 0)
        if request.holder == self.node:
            return pauses.patience
        if request.to and request.to != self.node:
            return pauses.turn + self.order(self.node)
        return 0.0 if request.to else self.order(self.node)

    def order(self, node: str) -> float:
        """Return for how many seconds *node* lets preferred nodes go first."""
        if not self.preferred:
            return 0.0
        return self._rank(node) * min(self.pauses.turn, 2 * self.pauses.turn / len(self.preferred))

    def _rank(self, node: str) -> int:
        return self.preferred.index(node) if node in self.preferred else len(self.preferred)

    def asks(self, record: Record | None, now: float) -> tuple[float, str] | None:
        """Return from when on this node should ask the holder for the Lease, and why; ``None`` where it shouldn't."""
        if record is None or record.holder in ("", self.node) or self._unfit:
            return None
        self._follow(record, now)
        if self._is_asked_for_another(record):
            return None
        word = Word.of(record)
        if word is not None and word.unfit:
            return max(self._fit_since, self._word_since) + self.order(self.node), f"its holder isn't fit: {word.unfit}"
        if self.failback is None or self._rank(self.node) >= self._rank(record.holder):
            return None
        # The most preferred asks first, or the addresses would go to it by way of all others.
        since = max(self._fit_since, self._term_since) + self.order(self.node)
        return since + self.failback, "this node is preferred"

    def _is_asked_for_another(self, record: Record) -> bool:
        """Tell whether *record* asks its holder, who has not refused, to hand over to a node that is as good as we are.

        To ask as well would only keep it from doing so: each request is a write, and its release has to follow that.
        """
        request, word = Request.of(record), Word.of(record)
        if request is None or request.to in ("", self.node) or (word is not None and word.refused == request.id):
            return False
        return self._rank(request.to) <= self._rank(self.node)

    def _follow(self, record: Record, now: float) -> None:
        term = (record.holder, record.transitions)
        if term != self._term:
            self._term, self._term_since = term, now
        if record.word != self._word:
            self._word, self._word_since = record.word, now

    def statistics(self, now: float) -> Mapping[Ground, str]:
        """Return what is against this node."""
        return {each.ground: str(each) for each in self.grounds(now)}
