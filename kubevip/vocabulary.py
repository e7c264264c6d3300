"""The annotations of Services that mean something, and what is said of those that don't.

A name that is spelt wrong does nothing, so whoever wrote it has to hear of that. kube-vip's names are all known here:
what kubevip doesn't do of them is said where a Service is read (``kubevip.service``).
"""

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache

from kubevip.custody import GROUP, HOLDER, OF_SPREADING, ZONE

OURS, OF_KUBE_VIP = "kubevip.io/", "kube-vip.io/"
# What agents and providers write for themselves.
OWN = frozenset({HOLDER, OURS + "assigned", OURS + "claimed"})
_OF_KUBE_VIP = """
    active-endpoint active-endpoint-ipv6 allow-reconcile-without-endpoints ddns dhcp-broadcast egress
    egress-allowed-networks egress-denied-networks egress-destination-ports egress-detect-api-server egress-internal
    egress-ipv6 egress-nftables-table egress-no-internal-traffic egress-source-ports flush-conntrack
    forcePerServiceElection forwardUPNP hwaddr ignore ignore-service-security leaseName loadbalancerHostname
    loadbalancerIPs macvlanName requestedIP rp_filter serviceInterface serviceVLAN upnp-lease-duration vipHost
"""
KNOWN = OF_SPREADING | OWN | {OF_KUBE_VIP + name for name in _OF_KUBE_VIP.split()}
ZONE_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
ZONE_RIGHT = "write a name as in a label: letters, digits, -, _ and ., at most 63 characters"
# Annotations that have no effect where Services aren't spread.
OF_SPREAD_MODE = dict.fromkeys((GROUP, ZONE), "Services aren't spread here; svc_placement=spread does that")


def is_of_concern(name: str) -> bool:
    """Tell whether an annotation of that name has to be kept: it says something to us, or was meant to."""
    return name.startswith(OF_KUBE_VIP) or (name.startswith(OURS) and name not in OWN)


def objections(annotations: Mapping[str, str]) -> list[str]:
    """Return what is wrong with *annotations*, a sentence each, with what would be right."""
    told = [_unknown(name) for name in sorted(annotations) if name not in KNOWN and is_of_concern(name)]
    zone = annotations.get(ZONE, "")
    if zone and not re.fullmatch(ZONE_PATTERN, zone):
        told.append(f"annotation {ZONE}={zone!r} can be no node's zone: {ZONE_RIGHT}")
    return told


@lru_cache(maxsize=256)
def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(KNOWN - OWN), n=1, cutoff=0.7)
    return f"annotation {name} means nothing" + (f"; is {near[0]} meant?" if near else "")
