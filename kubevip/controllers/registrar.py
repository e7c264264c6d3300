"""Carries out what spread mode decides: writes records into Services, takes silent Leases away, reads Leases.

Each write is a compare-and-swap, and is worth nothing any more where it was overtaken: so what is known is looked at
again before each request, and what an answer shows is told at once.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

import attrs

from kubevip.custody import Custody, Facts
from kubevip.kube.nodeleases import NodeLeases
from kubevip.kube.records import Found, Records
from kubevip.lease import RELEASED_DURATION, Claim, Record
from kubevip.spread.charges import Bury, Look, Step, Write
from kubevip.spread.roster import Roster
from kubevip.spread.spreading import Spreading

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Registrar:
    """What one node writes. *changed* is called before a record leaves that gives something away.

    It counts how many addresses were *taken* and *handed_over*, and how many Leases taken away, in ``moves``.
    """

    _leases: NodeLeases
    _records: Records
    _spreading: Spreading
    _changed: Callable[[], None]
    _moves: dict[str, int] = attrs.field(factory=lambda: {"taken": 0, "handed_over": 0, "buried": 0}, init=False)

    @property
    def moves(self) -> Mapping[str, int]:
        """How many addresses and Leases have changed hands by it."""
        return dict(self._moves)

    async def carry_out(self, step: Step) -> None:
        """Do *step*, unless it isn't wanted any more.

        :raises Conflict: if somebody else was first.
        :raises ApiError: if there is no answer, or another one; ``NotFound`` where the object is gone.
        """
        match step:
            case Write():
                await self._write(step)
            case Bury(node, base):
                await self._bury(node, base)
            case Look(node):
                await self._look(node)

    @property
    def _roster(self) -> Roster:
        return self._spreading.roster

    async def _look(self, node: str) -> None:
        asked = self._now()
        self._roster.read(node, await self._leases.read(self._leases.of(node)), asked, self._now())
        self._spreading.changed(node)

    async def _write(self, write: Write) -> None:
        version, record = self._spreading.version_for(write), Custody(write.uid, write.held)
        if not version:
            return
        if write.giving:
            self._spreading.handing_over(write)
            self._changed()
        swapped = await self._records.swap(write.key, version, record)
        if swapped is not None:
            self._written(write, swapped)
            return
        found = await self._records.read(write.key)
        self._spreading.recorded(write.key, found.uid, found.record, found.version, self._now())
        if found.version == self._spreading.version_for(write):
            self._written(write, await self._records.write(found, record))

    def _written(self, write: Write, found: Found) -> None:
        self._spreading.recorded(write.key, found.uid, found.record, found.version, self._now())
        self._count(write)

    def _count(self, write: Write) -> None:
        service = str(write.key)
        for address, holder in write.held.items():
            before = write.expected.holder(address) if write.expected is not None else None
            if before == holder:
                continue
            vip = str(address)
            if address in write.giving:
                self._moves["handed_over"] += 1
                log.info("handed over", extra={"vip": vip, "service": service, "holder": holder.node})
            elif holder.node == self._spreading.node:
                self._moves["taken"] += 1
                log.info("taken", extra={"vip": vip, "service": service, "from": before.node if before else ""})

    async def _bury(self, node: str, base: Record) -> None:
        facts = Facts.parse(base.word)
        word = str(Facts(term=facts.term)) if facts is not None else ""
        claim = Claim("", RELEASED_DURATION, base.transitions, fresh=True, word=word)
        what = "is gone" if self._roster.misses(node) else "has not renewed its Lease"
        record = await self._leases.write(self._leases.of(node), claim, base)
        self._moves["buried"] += 1
        log.warning("a node %s: others take its addresses", what, extra={"node": node})
        self._roster.saw(node, record, record.version, self._now())
        self._spreading.changed(node)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
