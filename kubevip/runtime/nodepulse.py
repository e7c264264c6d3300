"""Heartbeats where each node has a Lease of its own: one for all that it has, on each link that it may be needed on.

A node that isn't heard any more, and for whose addresses nobody answers (``kubevip.runtime.inquest``), is told to be
gone: its Lease is taken away by an ordinary compare-and-swap before it expires, and its addresses go to others.

A node that hears nobody any more may be the one that is cut off: it renews at once, and when that isn't answered within
a few heartbeats, it lets go of everything rather than wait for its deadline (see ``kubevip.runtime.pulse``).
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Set
from typing import Protocol

import anyio
import anyio.abc
import attrs

from kubevip.backend import Host
from kubevip.election import Cause, Standing
from kubevip.errors import KubeVipError
from kubevip.heartbeat import MISSED, Badge, Beat, Reach, Role, Unreadable, seal
from kubevip.lease import Claim, Record
from kubevip.lookout import Lookout
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.bell import Bell
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.hearing import Ears
from kubevip.runtime.inquest import Inquest
from kubevip.runtime.ownbadge import OwnBadge
from kubevip.runtime.pulse import ANSWERS_WITHIN, PulseStatistics

log = logging.getLogger(__name__)


class Fleet(Protocol):
    """What is known of all nodes; ``kubevip.controllers.fleet.Fleet`` is one."""

    @property
    def links(self) -> Set[str]:
        """The interfaces on which addresses of Services may be."""

    def records(self) -> Mapping[str, Record]:
        """Return the Leases that nodes hold, by their nodes."""

    def had_by(self, node: str) -> Collection[Vip]:
        """Return what *node* has by its present term, where this node would have it."""

    def miss(self, node: str, record: Record) -> None:
        """*node*, whose Lease is still *record*, is gone: that may be taken away."""

    def hear(self, node: str) -> None:
        """*node* is heard."""

    def be_alone(self, alone: bool) -> None:
        """Nobody of those who were heard is any more, or somebody is again."""


@attrs.define(eq=False)
class NodePulse:
    """The heartbeats of one node, from ``run()`` until it is cancelled. It is the follower of its own election.

    What the elector tells goes on to *follower*. *lease_of_node* names the Lease of a node. *interval* is in seconds.
    """

    _host: Host
    _follower: Follower
    _announcers: Mapping[Family, Announcer]
    _fleet: Fleet
    _lease_of_node: Callable[[str], LeaseKey]
    interval: float

    _elector: Elector = attrs.field(init=False)
    _lookout: Lookout = attrs.field(init=False)
    _ears: Ears = attrs.field(init=False)
    _inquest: Inquest = attrs.field(init=False)
    _badge: OwnBadge = attrs.field(init=False)
    _term: Term | None = attrs.field(default=None, init=False)
    _sequence: int = attrs.field(factory=time.time_ns, init=False)
    _asked: float | None = attrs.field(default=None, init=False)
    _inquiring: set[str] = attrs.field(factory=set, init=False)
    _deaf: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _counts: Counter[str] = attrs.field(factory=Counter, init=False)
    _wake: Bell = attrs.field(factory=Bell, init=False)

    def attach(self, elector: Elector, witnesses: Callable[[], Collection[Vip]]) -> None:
        """Serve *elector*, which has this pulse as its follower. *witnesses* are those of ``Inquest``."""
        self._elector = elector
        self._lookout = Lookout(elector.identity, self._lease_of_node)
        self._ears = Ears(self._host, self._received)
        self._inquest = Inquest(
            *(self._host, self._announcers, self._lookout, self._ears.look, self._fleet.had_by, self.interval),
            witnesses=witnesses,
        )
        self._badge = OwnBadge(self.interval)
        elector.badge = self._write_badge

    # The elector's follower

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """See ``Follower``."""
        self._follower.campaigning(lease, cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """See ``Follower``."""
        lapsed = term is None and self._term is not None
        if (term is None) != (self._term is None):
            self._wake.ring()
        self._term = term
        self._follower.standing(lease, standing, term)
        if lapsed:
            # We fall silent, so others may take the Lease away: an answer that is still under way doesn't undo that.
            self._elector.doubt()

    def _write_badge(self, claim: Claim, base: Record | None) -> str:
        return self._badge.write(claim, base, leading=self._term is not None)

    # Driving

    async def run(self) -> None:
        """Send and listen, until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    # In step with all that this node does often: fewer wakings, here and where the frames arrive.
                    due = self.interval * (math.floor(self._now() / self.interval + 0.01) + 1)
                    self._beat(tasks)
                    await self._wake.wait(due)
                    if self._now() - due > self.interval:
                        # What arrived meanwhile has not been read yet.
                        self._lookout.excuse(self._now())
        finally:
            self._ears.close()
            self._inquiring.clear()

    def _beat(self, tasks: anyio.abc.TaskGroup) -> None:
        """Do what is due with each beat."""
        links = self._fleet.links
        self._lookout.follow(self._fleet.records(), self._now())
        self._ears.listen(links)
        self._ears.look()
        self._send(links)
        self._tell_of_the_deaf()
        self._look_for_company()
        if self._term is None:
            return
        now = self._now()
        for node in self._lookout.missed(MISSED - 1, now):
            late = self._lookout.misses(node, MISSED - 1 + self._lookout.rank(node, now), now)
            if late and node not in self._inquiring:
                self._inquiring.add(node)
                tasks.start_soon(self._inquire, node)

    def _send(self, links: Set[str]) -> None:
        """Send one heartbeat on each link: the same on all of them."""
        record = self._elector.record
        badge = Badge.parse(record.badge) if record is not None and record.badge else None
        if self._term is None or record is None or badge is None:
            return
        lease, identity = self._elector.lease, self._elector.identity
        if (badge.holder, badge.term) != (identity, record.transitions):
            return
        self._sequence += 1
        reach = Reach.AWAY if self._elector.overdue else Reach.ANSWERS
        beat = Beat(lease, identity, Role.HOLDER, badge.term, self._sequence, self.interval, reach)
        for name in links:
            # A link that is down is told of elsewhere.
            with contextlib.suppress(KubeVipError):
                self._host.send(name, seal(beat, badge, self._host.link(name).mac))
                self._counts["sent"] += 1

    def _received(self, frame: bytes, link: str, at: float) -> None:
        try:
            node = self._lookout.hear(frame, link, at)
        except Unreadable as error:
            self._refuse(str(error))
            return
        if node:
            self._counts["heard"] += 1
            self._asked = None
            self._fleet.hear(node)

    def _refuse(self, why: str) -> None:
        self._counts["refused"] += 1
        if self._counts["refused"] == 1:
            log.warning("refused a heartbeat", extra={"lease": str(self._elector.lease), "reason": why})

    def _tell_of_the_deaf(self) -> None:
        deaf = frozenset(self._lookout.deaf_to(self._now()))
        for node in sorted(deaf - self._deaf):
            extra = {"lease": str(self._lease_of_node(node)), "holder": node}
            log.warning("the holder's heartbeats don't arrive here: the Lease's times apply", extra=extra)
        self._deaf = deaf

    # Missing

    async def _inquire(self, node: str) -> None:
        try:
            record = self._fleet.records().get(node)
            if record is None or not await self._inquest.is_gone(node) or self._term is None:
                return
            newest = self._fleet.records().get(node)
            if newest is not None:
                self._counts["missed"] += 1
                extra = {"node": node, "lease": str(self._lease_of_node(node)), "reason": Cause.MISSED.value}
                log.warning("taking the Lease of a node away", extra=extra)
                self._fleet.miss(node, newest)
        finally:
            self._inquiring.discard(node)

    # Being missed

    def _look_for_company(self) -> None:
        """Find out whether we are cut off, when nobody of those who were there is heard."""
        alone = self._lookout.is_alone(self._now())
        self._fleet.be_alone(alone)
        if not alone or self._term is None:
            self._asked = None
        elif self._asked is None:
            self._asked = self._term.expires
            self._elector.renew()
            asyncio.get_running_loop().call_later(ANSWERS_WITHIN * self.interval, self._give_up)

    def _give_up(self) -> None:
        """Let go unless the renewal was answered, or somebody is heard again."""
        self._ears.look()
        if self._term is not None and self._asked == self._term.expires:
            self._counts["cut_off"] += 1
            reason = "nobody is heard, and the API server doesn't answer"
            log.warning("letting go", extra={"lease": str(self._elector.lease), "reason": reason})
            self._elector.doubt()

    def statistics(self) -> PulseStatistics:
        """Return a snapshot."""
        counts = {name: self._counts[name] for name in ("sent", "heard", "refused", "missed", "cut_off")}
        return PulseStatistics(**counts, hears=self._lookout.lately(self._now()), deaf=bool(self._deaf))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
