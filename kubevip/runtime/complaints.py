"""Tells what keeps VIPs from being held: each reason once, with all that it is the reason of."""

import logging
from collections.abc import Callable, Collection, Mapping

import attrs

from kubevip.model import Vip
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.runtime.retry import Retry
from kubevip.runtime.viplog import VipLog


@attrs.define(eq=False)
class Complaints:
    """*failing* is called with each VIP that begins to fail, *conflicting* with each that another machine has.

    *conflicts* is how many of these there have been.
    """

    _log: VipLog
    _retry: Retry[Vip]
    _failing: Callable[[Vip, str], None]
    _conflicting: Callable[[Conflict], None]
    conflicts: int = attrs.field(default=0, init=False)

    def failed(self, failed: Mapping[Vip, Exception], doing: str) -> None:
        """Have what *failed* tried again, and tell what is news."""
        news: dict[str, list[Vip]] = {}
        for vip, error in failed.items():
            if self._retry.after(vip, error):
                news.setdefault(str(error), []).append(vip)
                self._failing(vip, str(error))
        for text, vips in news.items():
            self._log.write(logging.ERROR, f"failed in {doing}", vips, reason=text)

    def contested(self, conflicts: Collection[Conflict]) -> None:
        """Tell that other machines answer for VIPs."""
        self.conflicts += len(conflicts)
        for conflict in conflicts:
            self._conflicting(conflict)
        for manner in Manner:
            vips = [conflict.vip for conflict in conflicts if conflict.manner is manner]
            macs = ", ".join(sorted({conflict.mac for conflict in conflicts if conflict.manner is manner}))
            doing = "taking" if manner is Manner.INSIST else "not taking"
            self._log.write(logging.ERROR, doing, vips, mac=macs, reason="another machine answers for it")
