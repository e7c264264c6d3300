"""What has to be done so that the addresses held become the addresses wanted.

A plan depends on what is wanted and what is observed, never on what happened before: a crash or a lost event
heals with the next one.
"""

from collections.abc import Iterable, Mapping

import attrs

from kubevip import fence
from kubevip.model import Term, Vip

# A lifetime is renewed when that gains this much, in seconds; the kernel's clock ticks in whole seconds.
WORTHWHILE = 0.5


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
    """Put *vip* on its link for *lifetime* seconds (``None``: it is there for long enough), then announce it."""

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
    now: float,
) -> Plan:
    """Return the steps for *addresses* at *now*.

    *desired* says which VIPs this node is to hold, and by which term. Those in *keep* stay as they are: a
    planned handover keeps answering until its successor does. A term that has ended holds nothing.
    """
    kept = frozenset(keep)
    release: list[Vip] = []
    hold: list[Hold] = []
    for vip in addresses:
        term = desired.get(vip)
        if term is not None and now < term.until:
            step = _hold(vip, term, held.get(vip), now)
            if step is not None:
                hold.append(step)
        elif vip in held and vip not in kept:
            release.append(vip)
    return Plan(tuple(release), tuple(hold))


def _hold(vip: Vip, term: Term, held: Held | None, now: float) -> Hold | None:
    lifetime = fence.lifetime(term.expires - now)
    present = held is not None and held.ends is not None
    announce = not (present and held is not None and held.announced)
    if held is not None and held.ends is not None and now + lifetime < held.ends + WORTHWHILE:
        return Hold(vip, None, announce, term.until) if announce else None
    # A Lease that ends within the second isn't worth an address.
    return Hold(vip, lifetime, announce, term.until) if lifetime > 0 else None
