"""Who else claims an address that we hold, and what follows. Pure: times are on the caller's clock.

RFC 5227 (section 2.4) calls every frame in which another machine has our address a conflict. Between holders of one
Lease that would be a false alarm with each handover: the last one answers until it sees us, and goes on asking from
the address meanwhile; one that was cut off may speak once more before it knows. So a sighting is certain when

* the Lease was confirmed as ours by a request that was made after it: it was no successor of ours, and
* where we have held the address for longer than any holder before us can: at once; else when the machine is seen
  again, a second later and when no last holder lingers any more. To see it, it is asked.

What RFC 4862 (section 5.4.3) and RFC 5227 (section 2.1.1) call probes are no claims: the kernel answers them, and
the other machine has to look for another address. Candidates of our own ask like that too.

Every address is asked for once after its last holder is gone, too: a Lease that was released is taken without asking.
"""

import enum
from collections.abc import Callable

import attrs

from kubevip.model import Vip

# RFC 5227, section 1.1 (DEFEND_INTERVAL): an address is defended at most once in so many seconds.
DEFEND_INTERVAL = 10.0
# A last holder's kernel removes an address up to this late.
LATE = 1.0
# Who is asked answers within so many seconds, and is asked so often.
ANSWER, QUESTIONS = 0.3, 3
# A machine that was not seen for so long claims the address no more. Meanwhile it is asked that often.
OVER_AFTER, ASK_EVERY = 30.0, 10.0
# Of so many machines that claim one address notice is taken.
MOST = 4


class Policy(enum.Enum):
    """What follows from a conflict."""

    ALARM = "alarm"
    DEFEND = "defend"
    YIELD = "yield"


class Act(enum.Enum):
    """What is to be done about a machine that claims an address."""

    ASK = "ask who has the address"
    TELL = "tell that there is a conflict"
    DEFEND = "announce the address"
    YIELD = "tell that there is a conflict, and let go of the address"
    OVER = "tell that the conflict is over"


@attrs.frozen
class Step:
    """*act* on *vip*, because of the machine with the link-layer address *mac*; empty for all."""

    act: Act
    vip: Vip
    mac: str = ""


@attrs.define
class _Case:
    first: float
    last: float
    certain_at: float
    due: float
    asked: int = 0
    told: bool = False
    defended: float = -DEFEND_INTERVAL


@attrs.define(eq=False)
class Rivalry:
    """The conflicts of one node. *linger* and *lease* are for how long a last holder, and a Lease, may stay."""

    policy: Policy
    linger: float
    lease: float
    _held: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _to_ask: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _cases: dict[Vip, dict[str, _Case]] = attrs.field(factory=dict, init=False)

    def held(self, vip: Vip, now: float) -> None:
        """From now on *vip* is held here."""
        if vip not in self._held:
            self._held[vip] = now
            self._to_ask[vip] = self._alone_at(vip)

    def ceased(self, vip: Vip) -> list[Step]:
        """It is held here no more; return which conflicts that ends."""
        self._held.pop(vip, None)
        self._to_ask.pop(vip, None)
        return [Step(Act.OVER, vip, mac) for mac, case in self._cases.pop(vip, {}).items() if case.told]

    def rivals(self) -> dict[Vip, list[str]]:
        """Return who claims what, as far as that is certain."""
        found = {vip: [mac for mac, case in cases.items() if case.told] for vip, cases in self._cases.items()}
        return {vip: macs for vip, macs in found.items() if macs}

    def seen(self, vip: Vip, mac: str, now: float) -> bool:
        """Another machine has claimed *vip*; tell whether that is news."""
        if vip not in self._held:
            return False
        cases = self._cases.setdefault(vip, {})
        case = cases.get(mac)
        if case is None and len(cases) == MOST:
            return False
        if case is None:
            certain_at = now if now >= self._settled_at(vip) else max(now + LATE, self._alone_at(vip))
            cases[mac] = _Case(now, now, certain_at, certain_at)
            return True
        news = not case.told and case.last < case.certain_at <= now
        case.last = now
        if self.policy is Policy.DEFEND and case.told and now - case.defended >= DEFEND_INTERVAL:
            news, case.due = True, now
        return news

    def _alone_at(self, vip: Vip) -> float:
        """When no last holder lingers any more, if nothing went wrong."""
        return self._held[vip] + self.linger + LATE

    def _settled_at(self, vip: Vip) -> float:
        """When no last holder has the address any more, whatever went wrong."""
        return self._held[vip] + max(self.linger, self.lease) + LATE

    def due(self) -> float:
        """Return when to ask for ``steps()`` again, though nothing is seen."""
        questions = min(self._to_ask.values(), default=float("inf"))
        cases = (case.due for cases in self._cases.values() for case in cases.values())
        return min(questions, min(cases, default=float("inf")))

    def steps(self, now: float, confirmed: Callable[[Vip], float]) -> list[Step]:
        """Return what is to be done. *confirmed* tells when the request was made that last showed a Lease as ours."""
        asked = [vip for vip, due in self._to_ask.items() if due <= now]
        for vip in asked:
            del self._to_ask[vip]
        found = [Step(Act.ASK, vip) for vip in asked]
        for vip, cases in list(self._cases.items()):
            for mac, case in list(cases.items()):
                if case.told:
                    found += self._follow(vip, mac, case, now)
                elif case.last >= case.certain_at:
                    found += self._judge(vip, mac, case, now, confirmed(vip))
                elif case.due <= now:
                    found += self._inquire(vip, mac, case, now)
        return found

    def _judge(self, vip: Vip, mac: str, case: _Case, now: float, confirmed: float) -> list[Step]:
        """It is another machine; it remains to be known whether the Lease is still ours."""
        if confirmed <= case.first:
            case.due = now + ANSWER
            return []
        case.told, case.due = True, now + ASK_EVERY
        if self.policy is Policy.YIELD:
            return [Step(Act.YIELD, vip, mac)]
        found = [Step(Act.TELL, vip, mac)]
        if self.policy is Policy.DEFEND:
            case.defended = now
            found.append(Step(Act.DEFEND, vip, mac))
        return found

    def _inquire(self, vip: Vip, mac: str, case: _Case, now: float) -> list[Step]:
        """It was seen once, and may have been a last holder: ask, and forget whoever doesn't answer."""
        if case.asked == QUESTIONS:
            del self._cases[vip][mac]
            return []
        case.asked += 1
        case.due = now + ANSWER
        return [Step(Act.ASK, vip, mac)]

    def _follow(self, vip: Vip, mac: str, case: _Case, now: float) -> list[Step]:
        if case.due > now:
            return []
        if now - case.last >= OVER_AFTER:
            del self._cases[vip][mac]
            return [Step(Act.OVER, vip, mac)]
        case.due = now + ASK_EVERY
        found = [Step(Act.ASK, vip, mac)]
        if self.policy is Policy.DEFEND and case.last > case.defended and now - case.defended >= DEFEND_INTERVAL:
            case.defended = now
            found.append(Step(Act.DEFEND, vip, mac))
        return found
