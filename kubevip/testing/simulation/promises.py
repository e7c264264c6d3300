"""What kubevip promises: how long two may hold an address, and how long none may.

``TABLE`` says it for each mode; ``Promises`` makes seconds of it, for one scenario. Another mode is another row, and
``Scenario.mode`` tells which row counts. The same table is in docs/simulation.md, for people.
"""

import enum
from collections.abc import Mapping

import attrs

from kubevip.testing.simulation.scenario import Scenario

# What is promised stands here once more, apart from what keeps it: a wrong number there is to be found.
# How late a kernel is at worst after the Lease (kubevip.fence), in seconds.
OVERDUE = 0.325
# What the old holder needs to see the new one, to let what was sent before arrive, and to remove the address.
HANDOVER = 0.05
# Three heartbeats are missed, one may have been sent just before, one is waited for, one is for another try. Besides:
# six questions on the wire of 15 ms each, and 50 ms for the kernel and for who is late.
MISSED_BESIDES = 0.14

# Whose addresses failed is unfit for so long (kubevip.runtime.fitness); without a last resort nobody else may be left.
REST = 60.0
# Between two tries to take a Lease pass up to so many retry periods (client-go).
LONGEST_PAUSE = 2.2
# How long the wire is asked while somebody answers who is no holder any more.
PATIENCE = 1.0
# The longest pauses of what asks again after failures: a reflector with its jitter, the keeper.
REFLECTOR, KEEPER = 45.0, 30.0
# Rounding of times, which are sums of others.
EPSILON = 1e-6
# A link or an agent that has just come up needs so long until it takes part.
START = 1.0


class Situation(enum.Enum):
    """When something is promised."""

    TERMS = "two have terms of one Lease"
    PLANNED = "two hold an address: a planned handover"
    PLANNED_STRUCK = "two hold an address: a planned handover, and frames, agent or kernel of one of them fail"
    UNPLANNED = "two hold an address: an unplanned takeover"
    UNHEARD = "two hold an address: an unplanned takeover, and frames get lost between them"
    BACK = "two hold an address, and both are reached: an unplanned takeover, and only links were down"
    LEASELESS = "an address is on a link, and its Lease has expired"
    TERMLESS = "an address is announced without a term"
    UNPLANNED_AWAY = "two hold an address: an unplanned takeover, and the API server is away for the last holder"
    STRUCK_AWAY = "two hold an address: an unplanned takeover, the API server is away, and agent or kernel fail"
    UNHEARD_AWAY = "two hold an address: an unplanned takeover, the API server is away, and frames get lost"
    LEASELESS_AWAY = "an address is on a link, its Lease has expired, and the API server is away for its holder"
    TERMLESS_AWAY = "an address is announced without a term, and the API server is away for its holder"
    OUTAGE = "nobody holds an address: the API server is away for all, and nothing else is wrong"
    UNFIT = "a node holds an address after it was cordoned, or was found unfit, and another one is fit"
    ASKED = "a node holds an address after it was asked to hand it over, or another one than was asked for gets it"
    PREFERRED = "another node than the preferred one holds an address, after vip_failback_delay"
    PEACE = "an address moves, and nothing has happened"
    UNVERIFIED = "a node keeps a Lease that it took, no witness answers, and vip_verify_timeout is over"
    UNTOLD = "another machine claims an address, and its holder has not told or defended"
    YIELDED = "another machine claims an address, and its holder has not yielded"
    CLAIMED = "nobody holds an address that another machine claims, and that was not to be yielded"
    MADE_UP = "a holder tells of another machine, and there is none"
    UNANNOUNCED = "a node that is well does not announce an address (without election)"
    UNSERVED = "a node holds an address that nothing serves there any more (externalTrafficPolicy Local)"
    UNRECORDED = "a node holds an address, and no record has named it in its present term"
    OVERWRITTEN = "a record is overwritten by another node, and the term that it names is not over"
    UPROOTED = "an address leaves a node to which nothing has happened, and nobody has asked for it"
    BURDENED = "a node has more than its share and a fifth, or less than five sixths of it, after a rebalance"
    NEEDLESS = "a rebalance moves more Services than it takes to bring all nodes within their bounds"
    RESTLESS = "agents write anything but one renewal for each node and retry period, and nothing has happened"
    MISSED = "nobody else holds an address: its holder's machine falls silent, two others are well"


class Bound(enum.Enum):
    """For how long it may be."""

    NEVER = "0 ms"
    HANDOVER = "50 ms"
    OVERDUE = "325 ms"
    LEASE = "the Lease's duration and 325 ms"
    HEARTBEATS = "6 heartbeats, 140 ms and 6 ways to the API server"
    MOVE = "4 retry periods and 2 s"
    TAKEOVER = "see below"
    ANY = "not promised"


# What only the mode promises in which nodes share the Services.
OF_SPREAD = (
    Situation.UNRECORDED,
    Situation.OVERWRITTEN,
    Situation.UPROOTED,
    Situation.BURDENED,
    Situation.NEEDLESS,
    Situation.RESTLESS,
)
_OFF = {
    Situation.TERMS: Bound.NEVER,
    Situation.PLANNED: Bound.HANDOVER,
    Situation.PLANNED_STRUCK: Bound.LEASE,
    Situation.UNPLANNED: Bound.NEVER,
    Situation.UNHEARD: Bound.OVERDUE,
    Situation.BACK: Bound.NEVER,
    Situation.LEASELESS: Bound.OVERDUE,
    Situation.TERMLESS: Bound.NEVER,
    Situation.UNPLANNED_AWAY: Bound.NEVER,
    Situation.STRUCK_AWAY: Bound.NEVER,
    Situation.UNHEARD_AWAY: Bound.OVERDUE,
    Situation.LEASELESS_AWAY: Bound.OVERDUE,
    Situation.TERMLESS_AWAY: Bound.NEVER,
    Situation.OUTAGE: Bound.ANY,
    Situation.MISSED: Bound.TAKEOVER,
    Situation.UNFIT: Bound.MOVE,
    Situation.ASKED: Bound.MOVE,
    Situation.PREFERRED: Bound.MOVE,
    Situation.PEACE: Bound.NEVER,
    Situation.UNVERIFIED: Bound.MOVE,
    Situation.UNTOLD: Bound.MOVE,
    Situation.YIELDED: Bound.MOVE,
    Situation.CLAIMED: Bound.NEVER,
    Situation.MADE_UP: Bound.NEVER,
    Situation.UNANNOUNCED: Bound.ANY,
    Situation.UNSERVED: Bound.MOVE,
    **dict.fromkeys(OF_SPREAD, Bound.ANY),
}
# With heartbeats a Lease is taken before it expires, by who finds nobody on the wire: that decides, not the clock.
_FAST = _OFF | {
    Situation.TERMS: Bound.ANY,
    Situation.UNHEARD: Bound.LEASE,
    Situation.UNHEARD_AWAY: Bound.LEASE,
    Situation.MISSED: Bound.HEARTBEATS,
}
# Who holds on without the API server has no Lease, and can't know of another one by it.
_HOLDING_ON = {
    Situation.UNPLANNED_AWAY: Bound.HANDOVER,
    # A killed agent's address ends with its lifetime in the kernel.
    Situation.STRUCK_AWAY: Bound.LEASE,
    Situation.UNHEARD_AWAY: Bound.ANY,
    Situation.BACK: Bound.HANDOVER,
    Situation.LEASELESS_AWAY: Bound.ANY,
    Situation.TERMLESS_AWAY: Bound.ANY,
    Situation.OUTAGE: Bound.NEVER,
    # Without a Lease it can't be told from a machine that claims the address for itself.
    Situation.MADE_UP: Bound.ANY,
}
# Every node holds every address: nobody is waited for, and nobody moves.
_ROUTED = dict.fromkeys(Situation, Bound.ANY) | {
    Situation.OUTAGE: Bound.NEVER,
    Situation.UNANNOUNCED: Bound.MOVE,
    Situation.UNSERVED: Bound.MOVE,
}
# Each node has a Lease, and each address is one node's by a record.
_SPREAD = (
    _OFF
    | dict.fromkeys(OF_SPREAD, Bound.NEVER)
    | dict.fromkeys((Situation.PREFERRED, Situation.UNVERIFIED, Situation.UNTOLD), Bound.ANY)
    | dict.fromkeys((Situation.YIELDED, Situation.CLAIMED), Bound.ANY)
)
# The Lease of a node that nobody hears or finds is taken away before its kernel lets the addresses go.
_SPREAD_FAST = _SPREAD | {Situation.UNHEARD: Bound.LEASE, Situation.UNHEARD_AWAY: Bound.LEASE}
TABLE: Mapping[str, Mapping[Situation, Bound]] = {
    "off": _OFF,
    "fast": _FAST,
    "off, hold": _OFF | _HOLDING_ON,
    "fast, hold": _FAST | _HOLDING_ON,
    "fast, quorum": _FAST | _HOLDING_ON,
    "routed": _ROUTED,
    "spread": _SPREAD,
    "spread, fast": _SPREAD_FAST,
}


@attrs.frozen
class Promises:
    """The promises for one scenario; those of *mode*, if that isn't the scenario's own."""

    _scenario: Scenario
    mode: str = attrs.field(default="", kw_only=True)

    def allowed(self, situation: Situation) -> float:
        """Return for how many seconds *situation* may last; infinity where nothing is promised."""
        return {
            Bound.NEVER: 0.0,
            Bound.HANDOVER: HANDOVER,
            Bound.OVERDUE: OVERDUE,
            Bound.LEASE: self._scenario.timing.duration + OVERDUE,
            Bound.HEARTBEATS: 6 * self._scenario.heartbeat + MISSED_BESIDES + 6 * self._scenario.latency,
            Bound.MOVE: 4 * self._scenario.timing.retry_period + 2.0,
            Bound.TAKEOVER: self.takeover,
            Bound.ANY: float("inf"),
        }[TABLE[self.mode or self._scenario.mode][situation]]

    @property
    def named_goes_first(self) -> bool:
        """Whether who was asked for gets an address before all others.

        They leave it half a retry period, or half a second: not enough where news and writes take longer than that.
        """
        return 2 * self._scenario.latency <= min(self._scenario.timing.retry_period, 1.0) / 2

    @property
    def takeover(self) -> float:
        """How long nobody may hold an address while one node is well, and nobody else stands in its way.

        The Lease has to expire; the write may meet another one and be made again; the wire is asked until the kernel
        of the last holder is silent.
        """
        timing = self._scenario.timing
        pause = timing.retry_period * LONGEST_PAUSE
        asking = timing.attempt_timeout + 4 * self._scenario.latency
        return timing.duration + 2 * pause + asking + PATIENCE + START + self._deference

    @property
    def _deference(self) -> float:
        """How long who is unfit, or not answered, leaves a Lease to others before it takes it."""
        manners, timing = self._scenario.manners, self._scenario.timing
        longest = max(LONGEST_PAUSE * timing.retry_period, self._scenario.linger) + START
        if not manners.last_resort:
            longest += REST
        return longest if manners.about_fitness or manners.about_witnesses else 0.0

    @property
    def recovery(self) -> float:
        """How long after all faults everything is as it should be, at the latest.

        Whoever failed for long asks again late: a reflector after half a minute and half as much again, the keeper
        after half a minute.
        """
        longest = max((fault.duration for fault in self._scenario.faults), default=0.0)
        back_off = min(REFLECTOR, 3 * longest) + min(KEEPER, 2 * longest)
        return self.takeover + back_off + 2 * START
