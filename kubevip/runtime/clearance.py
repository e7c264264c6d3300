"""Asks on the wire, before an address is first put on a link, whether another machine answers for it.

After a planned handover the last holder answers until it sees us, so nobody is asked then. Otherwise:

* Where a Lease has expired, its holder's kernel may be up to a second late: we wait until it is silent. Who
  goes on answering is the leftover of an agent that is no more, and its Lease is ours: the address is taken.
* Where no holder was known, whoever answers has the address by right, or by mistake: it might be the gateway.
  The address is not taken before it falls silent (RFC 5227: an address in use must not be used).
* After a restart within the Lease an address that is still on our link is simply kept.
* Somebody may have handed it over to one that never came to it, and so waits for whoever comes instead: until that
  is over nobody who answers is told of. Who is to be overruled is at once, and is told of when it is seen later on.
* Where more than one node may announce an address, as by routers, nobody is asked.

A conflict is reported with the MAC address of the other machine.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

import anyio
import attrs

from kubevip.election import Cause
from kubevip.model import Family, Vip
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.wire import LinkOf, ask

# The latest that a kernel removes an address whose lifetime has ended, with some slack (kubevip.fence).
PATIENCE = 1.0
# How soon is asked again, within that second and after it.
SOON, LATER = 0.05, 1.0


class Manner(enum.Enum):
    """What to do about a machine that goes on answering."""

    INSIST = "take the address nevertheless"
    YIELD = "leave the address to it"
    KEEP = "keep the address that was held already"


@attrs.frozen
class Conflict:
    """Another machine, with this MAC address, goes on answering for *vip*; *manner* is what follows."""

    vip: Vip
    mac: str
    manner: Manner


@attrs.define
class _Question:
    manner: Manner
    patience_ends: float
    due: float
    told: str = ""
    untold_until: float = 0.0


@attrs.define(eq=False)
class Clearance:
    """Which VIPs may be put on their links. *cleared* is called with those that now may, *contested* with conflicts.

    *ours* returns which of some VIPs are on our links already; *leads* tells whether a VIP is this node's by its Lease.
    Before it is, whoever answers may well be its holder.
    """

    _announcers: Mapping[Family, Announcer]
    _link_of: LinkOf
    _ours: Callable[[Collection[Vip]], Awaitable[Collection[Vip]]]
    _leads: Callable[[Vip], bool]
    _cleared: Callable[[Iterable[Vip]], None]
    _contested: Callable[[Collection[Conflict]], None]

    _clear: set[Vip] = attrs.field(factory=set, init=False)
    _questions: dict[Vip, _Question] = attrs.field(factory=dict, init=False)
    # Until when somebody may still wait for their successor.
    _adopting: dict[Vip, float] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def has(self, vip: Vip) -> bool:
        """Tell whether *vip* may be put on its link."""
        return vip in self._clear

    def lacking(self, vips: AbstractSet[Vip]) -> AbstractSet[Vip]:
        """Return those of *vips* that may not be put on their links, or not yet."""
        return vips - self._clear

    def contested(self) -> dict[Vip, str]:
        """Return the VIPs that are left to another machine, with its MAC address."""
        return {vip: question.told for vip, question in self._questions.items() if question.told}

    def rival(self, vip: Vip) -> str:
        """Return the MAC address of the machine that *vip* is left to; empty where it isn't."""
        question = self._questions.get(vip)
        return question.told if question is not None else ""

    def contest(self, vip: Vip, mac: str, pause: float) -> None:
        """Leave *vip* to the machine with this MAC address; ask after *pause* seconds whether it has fallen silent."""
        now = self._now()
        self._clear.discard(vip)
        self._questions[vip] = _Question(Manner.YIELD, now, now + pause, mac)
        self._wake.set()

    def come_by(
        self,
        vips: Collection[Vip],
        cause: Cause,
        of_strangers: Manner = Manner.YIELD,
        *,
        silent_by: float = 0.0,
        left_by: float = 0.0,
    ) -> None:
        """Ask for *vips* what is to be asked where this node comes by them for *cause*.

        *of_strangers* is what to do about whoever answers where no holder was known. *silent_by* and *left_by* are
        those of ``seek``.
        """
        if cause in (Cause.VACANT, Cause.MISSED):
            # Of a missed holder's addresses has been asked just now.
            self.grant(vips)
        elif cause is Cause.OURS:
            self.adopt(vips, left_by)
        else:
            self.seek(vips, Manner.INSIST if cause is Cause.EXPIRED else of_strangers, silent_by, left_by)

    def grant(self, vips: Iterable[Vip]) -> None:
        """Let *vips* be taken without asking."""
        for vip in vips:
            self._clear.add(vip)
            self._questions.pop(vip, None)
            self._adopting.pop(vip, None)

    def seek(self, vips: Iterable[Vip], manner: Manner, silent_by: float = 0.0, left_by: float = 0.0) -> None:
        """Ask for *vips* that are neither cleared nor being asked for.

        The kernel of their last holder may answer until *silent_by*, or a second from now on if that is later. One that
        had them before may wait for its successor until *left_by*, and is there at most a second longer.
        """
        now = self._now()
        if manner is not Manner.INSIST:
            silent_by = max(silent_by, left_by)
        for vip in vips:
            if vip in self._clear or vip in self._questions or vip in self._adopting:
                continue
            if not self._is_exclusive(vip):
                # Others may have it as well: there is nothing to ask.
                self._clear.add(vip)
                continue
            self._questions[vip] = _Question(
                manner, max(now, silent_by) + PATIENCE, now, untold_until=left_by + PATIENCE
            )
            self._wake.set()

    def _is_exclusive(self, vip: Vip) -> bool:
        announcer = self._announcers.get(vip.family)
        return announcer is None or announcer.backend.exclusive

    def adopt(self, vips: Iterable[Vip], left_by: float = 0.0) -> None:
        """Grant those of *vips* that are on our links already, and seek the others."""
        self._adopting.update((vip, left_by) for vip in vips if vip not in self._clear)
        self._wake.set()

    def forget(self, vips: Iterable[Vip]) -> None:
        """Let *vips* be asked for anew."""
        for vip in vips:
            self._clear.discard(vip)
            self._questions.pop(vip, None)
            self._adopting.pop(vip, None)

    async def run(self) -> None:
        """Ask, until cancelled."""
        while True:
            if self._adopting:
                await self._adopt()
            due = min((question.due for question in self._questions.values()), default=float("inf"))
            with anyio.move_on_after(due - self._now()):
                await self._wake.wait()
            self._wake.clear()
            await self._ask_all_due()

    async def _adopt(self) -> None:
        asked = tuple(self._adopting)
        present = frozenset(await self._ours(asked))
        still = {vip: self._adopting.pop(vip) for vip in asked if vip in self._adopting}
        found = [vip for vip in still if vip in present]
        self.grant(found)
        for vip, left_by in still.items():
            self.seek((vip,), Manner.YIELD, left_by=left_by)
        self._cleared(found)

    async def _ask_all_due(self) -> None:
        now = self._now()
        asked = {vip: question for vip, question in self._questions.items() if question.due <= now}
        if not asked:
            return
        answered = await ask(asked, self._announcers, self._link_of)
        still = {vip: question for vip, question in asked.items() if self._questions.get(vip) is question}
        conflicts = [self._judge(vip, question, answered[vip]) for vip, question in still.items() if vip in answered]
        over = [conflict.vip for conflict in conflicts if conflict and conflict.manner is Manner.INSIST]
        ready = [*(vip for vip in still if vip not in answered), *over]
        self.grant(ready)
        now = self._now()
        news = [conflict for conflict in conflicts if conflict and now >= still[conflict.vip].untold_until]
        if news:
            self._contested(news)
        self._cleared(ready)

    def _judge(self, vip: Vip, question: _Question, mac: str) -> Conflict | None:
        """Decide when to ask again; return the conflict when it is certain, and news."""
        now = self._now()
        patient = now < question.patience_ends
        question.due = now + (SOON if patient else LATER)
        if patient or question.told == mac or not self._leads(vip):
            return None
        question.told = mac
        return Conflict(vip, mac, question.manner)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
