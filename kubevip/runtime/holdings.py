"""What is on the links and announced from this node: knows it, and changes it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import anyio
import attrs

from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Addresses
from kubevip.reconcile import Held, Hold
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.putting import Put, Putting
from kubevip.runtime.viplog import VipLog

# VIPs put on links in one go: small enough that the first one is announced while the last one is still to come.
CHUNK = 128
# Renewals in one go: with each, this process may have to wait for its own threads.
RENEWALS = 512


@attrs.frozen
class Outcome:
    """What became of VIPs that were to be held: those that *failed*, and those that are to be planned anew."""

    failed: dict[Vip, Exception] = attrs.field(factory=dict)
    late: set[Vip] = attrs.field(factory=set)


@attrs.define(eq=False)
class Holdings(Mapping[Vip, Held]):
    """The VIPs that are held here, or were left half done.

    *may_announce* tells whether announcing a VIP is still right; *tell* is called with each one that begins or
    ceases to be held and announced.
    """

    _addresses: Addresses
    _announcers: Mapping[Family, Announcer]
    _putting: Putting
    _log: VipLog
    _may_announce: Callable[[Vip], bool]
    _tell: Callable[[Vip], None]

    _held: dict[Vip, Held] = attrs.field(factory=dict, init=False)
    _announced: set[Vip] = attrs.field(factory=set, init=False)
    _refuted: set[Vip] = attrs.field(factory=set, init=False)
    # All that ever were: nearly always the two of host routes, so that a VIP is found by address and interface.
    _prefix_lengths: set[int] = attrs.field(factory=set, init=False)
    _empty: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __getitem__(self, vip: Vip) -> Held:
        return self._held[vip]

    def __iter__(self) -> Iterator[Vip]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def entries(self) -> Mapping[Vip, Held]:
        """The same, for those who look up thousands."""
        return self._held

    @property
    def announced(self) -> AbstractSet[Vip]:
        """Those that are on their links, and announced."""
        return self._announced

    def is_on_link(self, vip: Vip) -> bool:
        """Tell whether the address is on its link now."""
        held = self._held.get(vip)
        return held is not None and held.ends is not None

    def is_announced(self, vip: Vip) -> bool:
        """Tell whether it is on its link, and announced."""
        return vip in self._announced

    async def hold(self, steps: Sequence[Hold]) -> Outcome:
        """Put addresses and announce them, chunk by chunk: while the kernel has one, the one before is announced.

        Those that are held already, and only renewed, come last.
        """
        outcome = Outcome()
        new, known = [step for step in steps if step.announce], [step for step in steps if not step.announce]
        chunks = [*_chunks(new, CHUNK), *_chunks(known, RENEWALS)]
        puts = [await self._put(chunks[0], outcome)]
        for chunk in chunks[1:]:
            if puts[-1].late:
                # What comes after it would be later still.
                outcome.late.update(step.vip for step in chunk)
                continue
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._put_into, puts, chunk, outcome)
                await self._finish(puts[-1], outcome)
        await self._finish(puts[-1], outcome)
        return outcome

    async def _put_into(self, puts: list[Put], steps: Sequence[Hold], outcome: Outcome) -> None:
        puts.append(await self._put(steps, outcome))

    async def _put(self, steps: Sequence[Hold], outcome: Outcome) -> Put:
        put = await self._putting.put(steps)
        for vip, ends in put.ends.items():
            known = self._held.get(vip)
            self._held[vip] = held = Held(vip, ends, known is not None and known.announced)
            if known is None or known.ends is None:
                self._prefix_lengths.add(vip.prefix_length)
                self._count(held)
        outcome.late.update(put.late)
        return put

    def _count(self, held: Held) -> None:
        if held.announced and held.ends is not None:
            self._announced.add(held.vip)

    async def _finish(self, put: Put, outcome: Outcome) -> None:
        """Announce what is on its link."""
        outcome.failed.update(put.failed)
        due = [step.vip for step in put.steps if step.announce and step.vip not in put.failed]
        outcome.failed.update(await self._announce([vip for vip in due if self.is_on_link(vip)]))

    async def _announce(self, vips: Collection[Vip]) -> dict[Vip, Exception]:
        failed: dict[Vip, Exception] = {}
        # Putting the addresses took time: whoever lost its term meanwhile is released by the next pass.
        still = [vip for vip in vips if self._may_announce(vip)]
        self._refuted.difference_update(still)
        for family, announcer in self._announcers.items():
            failed |= await announcer.announce(vip for vip in still if vip.family is family)
        # What was refuted while others were still being announced is looked at again.
        announced = [vip for vip in still if vip not in failed and vip in self._held and vip not in self._refuted]
        for vip in announced:
            self._held[vip] = held = Held(vip, self._held[vip].ends, announced=True)
            self._count(held)
            self._tell(vip)
        self._log.write(logging.INFO, "holding", announced)
        return failed

    def announce_no_more(self, vips: Collection[Vip]) -> None:
        """Leave *vips* on their links without repeating that they are here."""
        for family, announcer in self._announcers.items():
            announcer.pause(vip for vip in vips if vip.family is family)
        for vip in vips:
            self._held[vip] = attrs.evolve(self._held[vip], announced=False)
            self._announced.discard(vip)
            self._tell(vip)

    def refute(self, vips: Collection[Vip]) -> list[Vip]:
        """Count *vips* as not announced, where they are held; return those that were."""
        self._refuted.update(vip for vip in vips if vip in self._held)
        wrong = [vip for vip in vips if self.is_announced(vip)]
        self.announce_no_more(wrong)
        return wrong

    async def release(self, vips: Collection[Vip]) -> Mapping[Vip, Exception]:
        """Withdraw *vips*, then take them off their links; return what failed, and why."""
        for family, announcer in self._announcers.items():
            await announcer.withdraw(vip for vip in vips if vip.family is family)
        self._refuted.difference_update(vips)
        self._announced.difference_update(vips)
        before = {vip: self._held.pop(vip) for vip in vips}
        failed = await self._addresses.remove(tuple(vips))
        for vip in vips:
            if vip in failed:
                self._held.setdefault(vip, attrs.evolve(before[vip], announced=False))
            self._tell(vip)
        self._log.write(logging.INFO, "released", [vip for vip in vips if vip not in failed])
        if not self._held:
            self._empty.set()
        return failed

    def lost(self, address: IPAddress, interface: str, now: float) -> Mapping[Vip, str]:
        """Note that *address* is gone from *interface* at *now*; return what was held by that, and why it is gone."""
        # Thousands may go at once: each is looked up, or that would take minutes.
        lengths = [length for length in self._prefix_lengths if length <= Family.of(address).bits]
        found = [vip for length in lengths if (vip := Vip(address, interface, length)) in self._held]
        gone = {vip: self._why_gone(self._held[vip], now) for vip in found}
        self.uncertain(found)
        return gone

    @staticmethod
    def _why_gone(held: Held, now: float) -> str:
        late = held.ends is not None and held.ends <= now
        return "its lifetime was over before it was renewed: this node is too busy" if late else "someone removed it"

    def uncertain(self, vips: Collection[Vip]) -> None:
        """Count *vips*, where held, neither as on their links nor as announced: they have to be put again."""
        for vip in vips:
            if vip in self._held:
                self._held[vip] = attrs.evolve(self._held[vip], ends=None, announced=False)
                self._announced.discard(vip)

    async def find(self, vips: Collection[Vip]) -> Collection[Vip]:
        """Return those of *vips* that are on their links, held by us or not."""
        found = await self._addresses.find({vip.address for vip in vips})
        return {presence.vip for presence in found}.intersection(vips)

    async def wait_empty(self) -> None:
        """Wait until nothing is held."""
        while self._held:
            self._empty.clear()
            await self._empty.wait()


def _chunks(steps: Sequence[Hold], size: int) -> list[Sequence[Hold]]:
    return [steps[at : at + size] for at in range(0, len(steps), size)]
