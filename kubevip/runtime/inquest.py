"""Finds out, on the wire, whether a node that isn't heard any more is gone: then its Lease may be taken away.

A kernel that lives answers for all its addresses on a link, and says nothing of other links. So on each link, and for
each family, a few of what the node has there are asked for, whatever it has in all. As long as anybody answers on any
link, an agent has died, or isn't heard, on a node that lives: nobody hurries, until its kernel lets the addresses go.

Silence says something only of links that we are on. On each of them somebody else has to be heard, or a witness has to
answer; where a link is down or isn't here, others find out, or the Lease's times apply.

Of each single address is asked once more by whoever takes it, before it does, for as long as the Lease that was taken
away would have gone on (``kubevip.runtime.clearance``): so those that were not asked for here need no other proof.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping

import anyio
import attrs

from kubevip.backend import Host
from kubevip.errors import KubeVipError
from kubevip.heartbeat import MISSED
from kubevip.lookout import Lookout
from kubevip.model import Family, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.pulse import AGAIN, SAMPLE, SILENT
from kubevip.runtime.voice import answer_within
from kubevip.runtime.wire import ask

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Inquest:
    """Asks about one *node* at a time. *interval* is that of our own heartbeats, in seconds.

    *look* hears what has arrived; *had_by* returns what a node has; *witnesses* who proves, by answering, that it isn't
    this node that is cut off.
    """

    _host: Host
    _announcers: Mapping[Family, Announcer]
    _lookout: Lookout
    _look: Callable[[], None]
    _had_by: Callable[[str], Collection[Vip]]
    interval: float
    witnesses: Callable[[], Collection[Vip]] = tuple

    async def is_gone(self, node: str) -> bool:
        """Ask for what *node* has until that is known: it is gone, or it is heard again, or we can't tell."""
        badge, silent, told = self._lookout.badge(node), 0, False
        witnessed: dict[str, float] = {}
        within = answer_within(self.interval)
        while self._lookout.badge(node) == badge and self._is_suspected(node):
            sample = few_of_each(self._had_by(node))
            if not sample or not self._can_ask(sample):
                return False
            asked, rank = self._now(), self._lookout.rank(node, self._now())
            answered = await self._ask(sample, node, witnessed, within)
            now = self._now()
            if now - asked > within + 2 * self.interval:
                # We stood still ourselves.
                return False
            silent = 0 if answered else silent + 1
            connected = all(self._is_connected(vip.interface, node, witnessed, now) for vip in sample)
            enough = silent >= SILENT * (1 + rank) and self._lookout.misses(node, MISSED + rank, now)
            if enough and connected and self._lookout.badge(node) == badge:
                return True
            if answered and not told:
                told = True
                log.info("a node is missed, and its addresses are there", extra={"node": node})
            await anyio.sleep(AGAIN * (1 + rank) if answered else 0 if connected else self.interval)
            self._look()
        return False

    def _is_suspected(self, node: str) -> bool:
        now = self._now()
        return self._lookout.misses(node, MISSED - 1 + self._lookout.rank(node, now), now)

    async def _ask(
        self, sample: Collection[Vip], node: str, witnessed: dict[str, float], within: float
    ) -> Collection[Vip]:
        """Return for which of *sample* somebody has answered; note on which links a witness has."""
        now = self._now()
        alone = {vip.interface for vip in sample if not self._lookout.has_company(vip.interface, now, but=node)}
        witnesses = [vip for vip in self.witnesses() if vip.interface in alone]
        everybody = await ask([*sample, *witnesses], self._announcers, self._host.link, within=within)
        self._look()
        witnessed.update((vip.interface, self._now()) for vip in witnesses if vip in everybody)
        return [vip for vip in sample if vip in everybody]

    def _is_connected(self, link: str, node: str, witnessed: Mapping[str, float], now: float) -> bool:
        """Tell whether somebody but *node* was heard on *link* lately: then it isn't we who are cut off from it."""
        lately = now - witnessed.get(link, -math.inf) <= MISSED * self.interval
        return lately or self._lookout.has_company(link, now, but=node)

    def _can_ask(self, vips: Iterable[Vip]) -> bool:
        try:
            return all(self._host.link(name).up for name in {vip.interface for vip in vips})
        except KubeVipError:
            return False

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def few_of_each(vips: Iterable[Vip]) -> list[Vip]:
    """Return a few of *vips* for each link and family."""

    def place(vip: Vip) -> tuple[str, int]:
        return vip.interface, vip.address.version

    in_order = sorted(vips, key=lambda vip: (place(vip), vip.address.packed))
    return [vip for _place, group in itertools.groupby(in_order, place) for vip in itertools.islice(group, SAMPLE)]
