"""How long an address may live in the kernel: the fence that holds when this process does not.

Each VIP is put on its link with a finite lifetime that ends before anyone else may take its Lease. The
kernel counts in whole seconds and is late, never early, by three rules (``net/ipv4/devinet.c``
``check_lifetime``, ``net/ipv6/addrconf.c`` ``addrconf_verify_rtnl``):

* a check that was scheduled for the end of a lifetime runs up to 0.25 s later, on a full second;
* its timer is late by up to an eighth of its length (the timer wheel's granularity);
* two checks are at least a second apart, and each spares what has more than 0.02 s left.

``lifetime()`` leaves room for the first two, and for as much of the third as costs no outage. What is left: when
something else ends or is added on the node in the VIP's very last second, by whatever program, its check may hold
the VIP's back until ``OVERDUE`` after the Lease (1.06 s late were measured on Linux 6.18, hence 0.26 s after it).
A fence without that rest would take a whole second from each lifetime, and each dead agent would be an outage of
more than a second. So the successor does not rely on it alone: after a Lease that expired it asks on the wire who
answers, and waits for silence (``kubevip.runtime.clearance``).

Mostly an address would be gone most of a second before its Lease ends, and that would be an outage too.
**Pacing** halves it: two addresses on the loopback interface, whose lifetimes end half a second before those
of the VIPs. The check that removes one of them removes no VIP, and holds the next check back for a second.
"""

import math

# How late a check is: a full second that is waited for, the granularity of timers, and the time a renewal takes.
LATEST_CHECK = 0.8
# How long after its Lease an address may be there if a check ran within its last second: that holds the next one back
# for a second, whose timer is late by an eighth of that at most.
OVERDUE = 1.125 - LATEST_CHECK
# A full second that is waited for, and the same slack.
ROUNDING = 0.28
# The timer wheel rounds up by at most one part in eight.
WHEEL = 1.127

# How long before a renewal the pacing addresses are set: their check has to run before the VIPs end, waits for a
# full second if that is within 0.25 s, and is late by the granularity of its timer, 0.256 s for 4 s at 250 ticks.
PACE_LEAD = 0.54


# So many seconds before the last moment a lifetime is to be asked for.
SLACK = 0.05


def latest_start(lifetime: int, expires: float) -> float:
    """Return the last moment for a *lifetime* to begin that has to end by *expires*."""
    return expires - max(lifetime + LATEST_CHECK, WHEEL * lifetime + ROUNDING)


def lifetime(rest: float) -> int:
    """Return the longest lifetime in whole seconds that ends within *rest* seconds."""
    return max(0, math.floor(min(rest - LATEST_CHECK, (rest - ROUNDING) / WHEEL)))


def next_start(expires: float, now: float) -> float:
    """Return the next moment after *now* at which a lifetime in whole seconds can begin that ends as late as it may.

    Infinity where there is none before *expires*.
    """
    lifetime = math.ceil(expires - LATEST_CHECK - SLACK - now) - 1
    return expires - LATEST_CHECK - SLACK - lifetime if lifetime > 0 else math.inf
