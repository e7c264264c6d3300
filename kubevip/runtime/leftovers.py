"""VIPs that an agent left behind which is no more.

kube-vip's have no end. One of ours may have been killed while it handed over, so that its successor holds them already.
"""

import logging
from collections.abc import Collection

from kubevip.model import Vip
from kubevip.ports import Addresses

log = logging.getLogger(__name__)


async def remove_leftovers(addresses: Addresses, vips: Collection[Vip], *, keep: Collection[Vip]) -> None:
    """Remove *vips* from every link of this node where they are ours or have no end, but for the places in *keep*.

    What is preferred is no VIP but the node's own address.
    """
    found = await addresses.find({vip.address for vip in vips})
    leftovers = [
        presence.vip
        for presence in found
        if (presence.ours or presence.permanent) and not presence.preferred and presence.vip not in keep
    ]
    for vip in leftovers:
        reason = "whoever put it there is no more"
        log.warning("removing a leftover", extra={"vip": str(vip), "interface": vip.interface, "reason": reason})
    for vip, error in (await addresses.remove(leftovers)).items():
        log.error("can't remove a leftover", extra={"vip": str(vip), "interface": vip.interface, "reason": str(error)})
