"""Log lines about VIPs: one for each, or one for all where they are many."""

import itertools
import logging
from collections.abc import Callable, Collection

import attrs

from kubevip.model import LeaseKey, Vip

# A takeover must not wait for its log.
LOG_EACH = 8


@attrs.frozen
class VipLog:
    """Writes to *log*, with the interface and the Lease of each VIP."""

    _log: logging.Logger
    _lease: Callable[[Vip], LeaseKey | None]

    def write(self, level: int, doing: str, vips: Collection[Vip], **extra: str) -> None:
        """Write that something is done to *vips*, with *extra* fields."""
        if len(vips) > LOG_EACH:
            some = ", ".join(map(str, itertools.islice(vips, 3)))
            self._log.log(level, "%s %d addresses", doing, len(vips), extra={"vip": f"{some}, ...", **extra})
            return
        for vip in vips:
            # What was wanted by a Lease and is no more has none now.
            lease = self._lease(vip)
            described = {"vip": str(vip), "interface": vip.interface, **({"lease": str(lease)} if lease else {})}
            self._log.log(level, "%s the address", doing, extra={**described, **extra})
