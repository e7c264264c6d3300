"""How long an address may live in the kernel: the fence that holds when this process does not.

Each VIP is put on its link with a finite lifetime that ends before anyone else may take its Lease. The
kernel counts in whole seconds and is late, never early, by three rules (``net/ipv4/devinet.c``
``check_lifetime``, ``net/ipv6/addrconf.c`` ``addrconf_verify_rtnl``):

* a check that was scheduled for the end of a lifetime runs up to 0.25 s later, on a full second;
* its timer is late by up to an eighth of its length (the timer wheel's granularity);
* two checks are at least a second apart, and each spares what has more than 0.02 s left. Whatever else ends
  or is added on the node brings a check about, so one may come right before a VIP's end at any time.

So an address may be gone 1.1 s late (1.06 s were measured on Linux 6.18), and ``lifetime()`` leaves room for
that. Mostly it would be gone a whole second before its Lease ends, and that second would be an outage.
**Pacing** halves it: two addresses on the loopback interface, whose lifetimes end half a second before those
of the VIPs. The check that removes one of them removes no VIP, and holds the next check back for a second.
"""

import math

# Two checks are a second apart, the earlier one spares what has 0.02 s left, and the later one's timer is late by an
# eighth of that second at most; with some slack for work queues.
LATEST_CHECK = 1.12
# A full second that is waited for, and the same slack.
ROUNDING = 0.28
# The timer wheel rounds up by at most one part in eight.
WHEEL = 1.127

# How long before a renewal the pacing addresses are set: their check has to run before the VIPs end, waits for a
# full second if that is within 0.25 s, and is late by the granularity of its timer, 0.256 s for 4 s at 250 ticks.
PACE_LEAD = 0.54


def latest_start(lifetime: int, expires: float) -> float:
    """Return the last moment for a *lifetime* to begin that has to end by *expires*, however late the kernel is."""
    return expires - max(lifetime + LATEST_CHECK, WHEEL * lifetime + ROUNDING)


def lifetime(rest: float) -> int:
    """Return the longest lifetime in whole seconds that ends within *rest* seconds, however late the kernel is."""
    return max(0, math.floor(min(rest - LATEST_CHECK, (rest - ROUNDING) / WHEEL)))
