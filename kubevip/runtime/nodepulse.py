"""Heartbeats where each node has a Lease of its own: one for all that it has, on each link that it may be needed on.

A node that isn't heard any more, and for whose addresses nobody answers (``kubevip.runtime.inquest``), is told to be
gone: its Lease is taken away by an ordinary compare-and-swap before it expires, and its addresses go to others.

A node that hears nobody any more may be the one that is cut off: see ``kubevip.runtime.sender``.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Collection, Mapping, Set
from typing import Protocol

import anyio
import anyio.abc
import attrs

from kubevip.election import Cause
from kubevip.errors import KubeVipError
from kubevip.heartbeat import MISSED, Badge, Beat, Reach, Role, Unreadable, seal
from kubevip.lease import Record
from kubevip.lookout import Lookout
from kubevip.model import LeaseKey, Vip
from kubevip.runtime.elector import Elector
from kubevip.runtime.hearing import Ears
from kubevip.runtime.inquest import Inquest
from kubevip.runtime.sender import PulseStatistics, Sender
from kubevip.runtime.voice import Voice

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
class NodePulse(Sender):
    """The heartbeats of one node, from ``run()`` until it is cancelled. It is the follower of its own election.

    What the elector tells goes on to *follower*. *lease_of_node* names the Lease of a node. *interval* is in seconds.
    """

    _fleet: Fleet
    _lease_of_node: Callable[[str], LeaseKey]
    interval: float

    voice: Voice = attrs.field(init=False)
    """When we were heard last, on any link."""
    _spoken_by: str = attrs.field(default="", init=False)
    _lookout: Lookout = attrs.field(init=False)
    _ears: Ears = attrs.field(init=False)
    _inquest: Inquest = attrs.field(init=False)
    _inquiring: set[str] = attrs.field(factory=set, init=False)
    # Those that were heard last on links of ours that are down.
    _unheard: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _deaf: frozenset[str] = attrs.field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        self.voice = Voice(self._wake.ring)

    def attach(self, elector: Elector, witnesses: Callable[[], Collection[Vip]]) -> None:
        """Serve *elector*, which has this pulse as its follower. *witnesses* are those of ``Inquest``."""
        self._serve(elector, self.interval)
        self._lookout = Lookout(elector.identity, self._lease_of_node)
        self._ears = Ears(self._host, self._received)
        self._inquest = Inquest(
            *(self._host, self._announcers, self._lookout, self._ears.look, self._fleet.had_by, self.interval),
            witnesses=witnesses,
        )

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
        self._excuse(links)
        self._send(links)
        self._tell_of_the_deaf()
        self._look_for_company()
        if self._term is None:
            return
        now = self._now()
        for node in self._lookout.missed(MISSED - 1, now):
            late = self._lookout.misses(node, MISSED - 1 + self._lookout.rank(node, now), now)
            if late and node not in self._inquiring | self._unheard:
                self._inquiring.add(node)
                tasks.start_soon(self._inquire, node)

    def _excuse(self, links: Set[str]) -> None:
        """Whom we can't hear is not missed: nobody where all our links are down, else who was heard on those alone.

        Who hears only those no more may be cut off, as one who hears nobody is: that is not excused.
        """
        if not self.voice.could_hear():
            self._lookout.excuse(self._now())
        down = [name for name in links if not self._is_up(name)]
        before, self._unheard = self._unheard, self._lookout.heard_by(down) if down else frozenset()
        self._lookout.excuse_some(before - self._unheard, self._now())

    def _is_up(self, link: str) -> bool:
        try:
            return self._host.link(link).up
        except KubeVipError:
            return False

    def _send(self, links: Set[str]) -> None:
        """Send one heartbeat on each link: the same on all of them."""
        record = self._elector.record
        badge = Badge.parse(record.badge) if record is not None and record.badge else None
        if self._term is None or record is None or badge is None:
            return
        lease, identity = self._elector.lease, self._elector.identity
        if (badge.holder, badge.term) != (identity, record.transitions):
            return
        if record.badge != self._spoken_by:
            self._spoken_by = record.badge
            self.voice.begin()
        if any(map(self._is_up, links)):
            self.voice.spoke(badge.interval)
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
        self._suspect_ourselves(alone, self._is_still_alone)

    def _is_still_alone(self) -> bool:
        self._ears.look()
        return self._lookout.is_alone(self._now())

    def statistics(self) -> PulseStatistics:
        """Return a snapshot."""
        return self._told(self._lookout.lately(self._now()), bool(self._deaf))
