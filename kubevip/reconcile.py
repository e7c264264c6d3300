"""What has to be done so that the addresses held become the addresses wanted.

A plan depends on what is wanted and what is observed, never on what happened before: a crash or a lost event
heals with the next one.
"""

from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType

import attrs

from kubevip import fence
from kubevip.model import Family, Term, Vip

# A lifetime is renewed when that gains this much, in seconds; the kernel's clock ticks in whole seconds.
WORTHWHILE = 0.5
# The same where it is dear: about every second renewal.
WORTHWHILE_IF_DEAR = 1.5
# The same where no renewal follows.
WORTHWHILE_AT_LAST = 0.1


@attrs.frozen
class Held:
    """What is known of one address that is ours.

    *ends* is when the kernel removes it, on the monotonic clock; ``None`` where it isn't on its link now.
    """

    vip: Vip
    ends: float | None
    announced: bool


@attrs.frozen
class Hold:
    """Put *vip* on its link for *lifetime* seconds (``None``: it is there for long enough), then announce it.

    After *until* the term is over, or the lifetime would not end within its Lease any more.
    """

    vip: Vip
    lifetime: int | None
    announce: bool
    until: float


@attrs.frozen
class Plan:
    """Ordered steps: first everything in *release* is withdrawn and removed, then *hold* is held."""

    release: tuple[Vip, ...] = ()
    hold: tuple[Hold, ...] = ()


def plan(
    addresses: Iterable[Vip],
    *,
    desired: Mapping[Vip, Term],
    held: Mapping[Vip, Held],
    keep: Iterable[Vip] = (),
    last: Mapping[Vip, Term] = MappingProxyType({}),
    dear: Container[Family] = (),
    lag: float = 0.0,
    now: float,
) -> Plan:
    """Return the steps for *addresses* at *now*.

    *desired* says which VIPs this node is to hold, and by which term. Those in *keep* stay as they are: a
    planned handover keeps answering until its successor does. *last* are the terms of those that are handed over, or
    will be: no renewal follows, so their lifetimes are to end as late as these allow. A term that has ended holds
    nothing. The lifetimes of families in *dear* are renewed half as often. *lag* is how many seconds the kernel will
    take.
    """
    kept = frozenset(keep)
    release: list[Vip] = []
    hold: list[Hold] = []
    # Thousands go by the same term.
    lifetimes: dict[float, int] = {}
    for vip in addresses:
        term = desired.get(vip)
        if term is not None and now < term.until:
            worthwhile = WORTHWHILE_IF_DEAR if vip.family in dear else WORTHWHILE
            if vip in last:
                worthwhile = WORTHWHILE_AT_LAST
            if term.expires not in lifetimes:
                lifetimes[term.expires] = _lifetime(term.expires - now, lag)
            step = _hold(vip, term, held.get(vip), lifetimes[term.expires], worthwhile, now)
            if step is not None:
                hold.append(step)
        elif vip in held and vip not in kept:
            release.append(vip)
        elif vip in held and vip in last:
            hold += _stretch(held[vip], last[vip], lag, now)
    return Plan(tuple(release), tuple(hold))


def _lifetime(rest: float, lag: float) -> int:
    # A kernel that took longer than there is time may be quick again, and only a try can tell: half the time is for it.
    return fence.lifetime(rest - lag) or (fence.lifetime(rest) + 1) // 2


def _hold(vip: Vip, term: Term, held: Held | None, lifetime: int, worthwhile: float, now: float) -> Hold | None:
    present = held is not None and held.ends is not None
    announce = not (present and held is not None and held.announced)
    if (
        held is not None
        and held.ends is not None
        and not (_runs_out(held.ends, lifetime, worthwhile, now) or _outlives(held.ends, term))
    ):
        return Hold(vip, None, announce, term.until) if announce else None
    if lifetime <= 0:
        # A Lease that ends so soon isn't worth an address.
        return None
    return Hold(vip, lifetime, announce, min(term.until, fence.latest_start(lifetime, term.expires)))


def _stretch(held: Held, term: Term, lag: float, now: float) -> list[Hold]:
    """Let an address that waits for its successor do so for as long as *term*, which was the last one, allows."""
    lifetime = fence.lifetime(term.expires - now - lag)
    if lifetime <= 0 or held.ends is None or not now < held.ends <= now + lifetime - WORTHWHILE_AT_LAST:
        return []
    return [Hold(held.vip, lifetime, announce=False, until=fence.latest_start(lifetime, term.expires))]


def _runs_out(ends: float, lifetime: int, worthwhile: float, now: float) -> bool:
    """Tell whether an address that ends at *ends* is to get *lifetime* seconds anew."""
    gain = now + lifetime - ends
    return gain >= worthwhile or (gain > 0 and ends - now < lifetime / 2)


def _outlives(ends: float, term: Term) -> bool:
    """Tell whether an address that ends at *ends* does so too late for *term*.

    It was put there by a longer one: this node led on by its own word, until a renewal of before was answered.
    """
    return ends > term.expires - fence.LATEST_CHECK
