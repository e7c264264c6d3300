"""How long an address may live in the kernel: the fence that holds when this process does not.

Each VIP is put on its link with a finite lifetime that ends before anyone else may take its Lease. The
kernel counts in whole seconds and is late, never early, by three rules (``net/ipv4/devinet.c``
``check_lifetime``, ``net/ipv6/addrconf.c`` ``addrconf_verify_rtnl``):

* a check that was scheduled for the end of a lifetime runs up to 0.25 s later, on a full second;
* its timer is late by up to an eighth of its length (the timer wheel's granularity);
* two checks are at least a second apart, but each removes what has less than 0.25 s left.

So an address is gone at most 0.75 s late, and ``lifetime()`` leaves room for that. It would be gone a whole
second before its Lease ends, and that second would be an outage. **Pacing** halves it: two addresses on the
loopback interface, whose lifetimes end half a second before those of the VIPs. The check that removes one
of them removes no VIP, and holds the next check back for a second. Where a kernel does otherwise, the VIP
goes sooner, never later.
"""

import math

# Two checks are a second apart, and the earlier one spares what has 0.25 s left; with some slack for work queues.
LATEST_CHECK = 0.8
# A full second that is waited for, and the same slack.
ROUNDING = 0.28
# The timer wheel rounds up by at most one part in eight.
WHEEL = 1.127

# How long before a renewal the pacing addresses are set: their check has to run 0.25 s before the VIPs end, and
# may be late by the granularity of a timer of 4 s, 0.256 s at 250 ticks a second.
PACE_LEAD = 0.54


def lifetime(rest: float) -> int:
    """Return the longest lifetime in whole seconds that ends within *rest* seconds, however late the kernel is."""
    return max(0, math.floor(min(rest - LATEST_CHECK, (rest - ROUNDING) / WHEEL)))
