"""What the kernel tells of addresses and links, and what has to be looked at because of that.

Somebody else may remove an address that is to be here, and a link that goes takes its addresses with it. So nothing of
what was put on a link is taken for granted: it is looked at again, and put back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import attrs

from kubevip.model import IPAddress, Vip
from kubevip.ports import Addresses, Links
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.mandates import Mandates
from kubevip.runtime.viplog import VipLog

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Healing:
    """Calls *look_at* with VIPs that may have gone. *healed* is how many were to be here and had been removed."""

    _addresses: Addresses
    _links: Links
    _mandates: Mandates
    _held: Holdings
    _log: VipLog
    _look_at: Callable[[Iterable[Vip]], None]
    healed: int = attrs.field(default=0, init=False)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Heed what the kernel tells, for as long as the context lasts."""
        unsubscribe = (self._addresses.subscribe(self._removed), self._links.subscribe(self._link_changed))
        try:
            yield
        finally:
            for end in unsubscribe:
                end()

    def _removed(self, address: IPAddress, interface: str) -> None:
        gone = self._held.lost(address, interface, asyncio.get_running_loop().time())
        for vip, reason in gone.items():
            if self._mandates.term(vip) is not None:
                self.healed += 1
                self._log.write(logging.WARNING, "putting back", (vip,), reason=reason)
        self._look_at(gone)

    def _link_changed(self, name: str) -> None:
        vips = [vip for vip in self._mandates.all() if vip.interface == name]
        self._held.uncertain(vips)
        if vips:
            log.info("the interface has changed", extra={"interface": name})
        self._look_at(vips)
