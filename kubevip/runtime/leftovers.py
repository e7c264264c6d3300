"""VIPs that an agent left behind which is no more.

kube-vip's have no end. One of ours may have been killed while it handed over, so that its successor holds them already.
"""

import logging
from collections.abc import Collection, Iterable

import attrs

from kubevip.model import LeaseKey, Vip
from kubevip.ports import Addresses
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.mandates import Mandates

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Leftovers:
    """Knows for which Leases there may be some on this node's links, and removes them when it is known who leads."""

    _addresses: Addresses
    _mandates: Mandates
    _held: Holdings
    _known: set[LeaseKey] = attrs.field(factory=set, init=False)
    _doubtful: set[LeaseKey] = attrs.field(factory=set, init=False)
    _strays: set[Vip] = attrs.field(factory=set, init=False)

    def knows(self, lease: LeaseKey) -> bool:
        """Tell whether it was ever known who leads *lease*."""
        return lease in self._known

    def learn(self, lease: LeaseKey) -> bool:
        """It is known who leads *lease*; tell whether that is news."""
        if lease in self._known:
            return False
        self._known.add(lease)
        self._doubtful.add(lease)
        return True

    def doubt(self, lease: LeaseKey) -> None:
        """Look again: who gave it up at once has not come to hold what an agent before it did."""
        self._doubtful.add(lease)

    def stray(self, vips: Iterable[Vip]) -> None:
        """Remove *vips* where they are not held: other nodes are to have them."""
        self._strays.update(vips)

    def forget(self, lease: LeaseKey) -> None:
        """Drop what is known of *lease*; what it may have left is removed nevertheless."""
        self._known.discard(lease)
        if lease in self._doubtful:
            self._doubtful.discard(lease)
            self._strays.update(self._mandates.governed_by(lease))

    async def remove(self) -> None:
        """Remove what another agent left on our links."""
        if self._strays:
            strays, self._strays = self._strays, set()
            await _remove_leftovers(self._addresses, [vip for vip in strays if vip not in self._held], keep=())
        while self._doubtful:
            lease = self._doubtful.pop()
            vips = self._mandates.governed_by(lease)
            keep = vips if self._mandates.leads(lease) else [vip for vip in vips if vip in self._held]
            await _remove_leftovers(self._addresses, vips, keep=keep)


async def _remove_leftovers(addresses: Addresses, vips: Collection[Vip], *, keep: Collection[Vip]) -> None:
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
