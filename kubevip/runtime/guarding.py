"""Watches the addresses that are held here for other machines that claim them (RFC 5227, RFC 4862).

The kernel keeps back every frame but those about addresses that are held, so a busy segment costs nothing. What is
passed on: each ARP frame from such an address, each advertisement of one, each solicitation from one. A switch brings
us what is sent to all, and what is sent to us; a machine that only answers others is not seen before it is asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import anyio
import attrs

from kubevip.backend import Sighting
from kubevip.errors import KubeVipError
from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Links
from kubevip.rivalry import Act, Policy, Rivalry, Step
from kubevip.runtime.announcer import CHUNK, PATIENCE, Announcer, attempt
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.runtime.keeper import Keeper

log = logging.getLogger(__name__)

# A takeover brings addresses by the hundred: the filters follow when there are no more, or so much later.
GATHER = 0.2
# Pauses in seconds before an address that was left to another machine is tried again: each is twice the last one.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Whoever had no conflict for so long begins anew with the shortest one.
FORGET_AFTER = 600.0
# Between chunks of questions, in seconds.
BREATH = 0.05

_Segment = tuple[str, Family]


@attrs.frozen(eq=False)
class _Ear:
    """What is listened to: claims to *addresses*, on the interface that has *index* now."""

    addresses: frozenset[IPAddress]
    index: int
    listener: contextlib.ExitStack


@attrs.frozen
class GuardStatistics:
    """A snapshot: who claims which address that is held here, and how many conflicts there were."""

    rivals: Mapping[Vip, list[str]]
    conflicts: int
    defended: int
    yielded: int


@attrs.define(eq=False)
class Guard:
    """Guards the addresses of *keeper*, from ``run()`` until it is cancelled. *duration* is that of its Leases."""

    _keeper: Keeper
    _announcers: Mapping[Family, Announcer]
    _links: Links
    _rivalry: Rivalry
    _duration: float

    _dirty: dict[Vip, None] = attrs.field(factory=dict, init=False)
    _watched: dict[tuple[IPAddress, str], Vip] = attrs.field(factory=dict, init=False)
    _ears: dict[_Segment, _Ear] = attrs.field(factory=dict, init=False)
    _listen_at: float = attrs.field(default=float("inf"), init=False)
    _own: frozenset[str] | None = attrs.field(default=None, init=False)
    _deaf: set[_Segment] = attrs.field(factory=set, init=False)
    _yields: dict[Vip, tuple[int, float]] = attrs.field(factory=dict, init=False)
    _counts: dict[Act, int] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.follow(self._changed)

    def _changed(self, vip: Vip) -> None:
        self._dirty[vip] = None
        self._wake.set()

    def _link_changed(self, interface: str) -> None:
        # It is read when it is needed: nodes have hundreds of interfaces, which come and go with their Pods.
        self._own = None
        if any(interface == name for _address, name in self._watched):
            # A link of the same name may be another one, which nobody listens on.
            self._listen_at = min(self._listen_at, self._now() + GATHER)
            self._wake.set()

    def _is_ours(self, mac: str) -> bool:
        if self._own is None:
            self._own = frozenset(self._links.get(name).mac.hex(":") for name in self._links.names())
        return mac in self._own

    # Driving

    async def run(self) -> None:
        """Guard until cancelled."""
        unsubscribe = self._links.subscribe(self._link_changed)
        try:
            while True:
                self._look_at_changes()
                if self._listen_at <= self._now():
                    self._listen()
                await self._carry_out(self._rivalry.steps(self._now(), self._confirmed))
                until = min(self._listen_at, self._rivalry.due())
                with anyio.move_on_after(until - self._now()):
                    await self._wake.wait()
                self._wake.clear()
        finally:
            unsubscribe()
            for ear in self._ears.values():
                ear.listener.close()

    def _look_at_changes(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for vip in dirty:
            if self._keeper.term_of(vip) is not None:
                self._rivalry.held(vip, self._now())
                self._watched[vip.address, vip.interface] = vip
            else:
                self._watched.pop((vip.address, vip.interface), None)
                for step in self._rivalry.ceased(vip):
                    self._end(step, "it is held here no more")
        if dirty:
            self._listen_at = min(self._listen_at, self._now() + GATHER)

    def _confirmed(self, vip: Vip) -> float:
        """Return when the request was made by which the Lease of *vip* was last known to be ours."""
        term = self._keeper.term_of(vip)
        return term.expires - self._duration if term is not None else float("-inf")

    # Listening

    def _listen(self) -> None:
        """Watch what is held now: first the new filters, then without the old ones, so that nothing is missed."""
        self._listen_at = float("inf")
        wanted: dict[_Segment, set[IPAddress]] = {}
        for address, interface in self._watched:
            wanted.setdefault((interface, Family.of(address)), set()).add(address)
        for segment in self._ears.keys() - wanted.keys():
            self._ears.pop(segment).listener.close()
        for segment, found in wanted.items():
            before, index, addresses = self._ears.get(segment), self._index(segment[0]), frozenset(found)
            if before is not None and (before.addresses, before.index) == (addresses, index):
                continue
            listener = self._open(segment, addresses)
            if before is not None:
                self._ears.pop(segment).listener.close()
            if listener is not None:
                self._ears[segment] = _Ear(addresses, index, listener)

    def _index(self, interface: str) -> int:
        try:
            return self._links.get(interface).index
        except KubeVipError:
            return 0

    def _open(self, segment: _Segment, addresses: frozenset[IPAddress]) -> contextlib.ExitStack | None:
        interface, family = segment
        announcer = self._announcers.get(family)
        if announcer is None:
            return None

        def seen(sighting: Sighting) -> None:
            self._seen(interface, sighting)

        listener = contextlib.ExitStack()
        try:
            listener.enter_context(announcer.backend.claims(interface, addresses, seen))
        except KubeVipError:
            # Announcing fails too, and says why; when the link is there, we are told.
            return None
        except Exception as error:
            if segment not in self._deaf:
                self._deaf.add(segment)
                extra = {"interface": interface, "backend": announcer.name, "reason": repr(error)}
                log.warning("can't see who else claims addresses", extra=extra)
            return None
        return listener

    def _seen(self, interface: str, sighting: Sighting) -> None:
        vip = self._watched.get((sighting.address, interface))
        if vip is None or self._is_ours(sighting.mac):
            return
        if self._rivalry.seen(vip, sighting.mac, self._now()):
            self._wake.set()

    # Acting

    async def _carry_out(self, steps: list[Step]) -> None:
        ask = list(dict.fromkeys(step.vip for step in steps if step.act is Act.ASK))
        for step in steps:
            self._counts[step.act] = self._counts.get(step.act, 0) + 1
            match step.act:
                case Act.TELL:
                    self._tell(step, Manner.KEEP)
                case Act.YIELD:
                    self._yield(step)
                case Act.DEFEND:
                    await self._announcers[step.vip.family].repeat((step.vip,))
                case Act.OVER:
                    self._end(step, "the other machine is silent")
                case Act.ASK:
                    pass
        for at in range(0, len(ask), CHUNK):
            if at:
                await anyio.sleep(BREATH)
            with anyio.move_on_after(PATIENCE):
                for vip in ask[at : at + CHUNK]:
                    # Who can't be asked is seen when it speaks.
                    await attempt(self._announcers[vip.family].backend.probe, vip)

    def _tell(self, step: Step, manner: Manner) -> None:
        doing = "leaving the address to another machine" if manner is Manner.YIELD else "another machine claims it"
        extra = {**_described(step), "policy": self._rivalry.policy.value}
        log.error("address conflict: %s", doing, extra=extra)
        self._keeper.conflicting(Conflict(step.vip, step.mac, manner))

    def _yield(self, step: Step) -> None:
        now = self._now()
        count, last = self._yields.get(step.vip, (0, now))
        count = 0 if now - last > FORGET_AFTER else count
        self._yields[step.vip] = (count + 1, now)
        self._keeper.yield_to(step.vip, step.mac, min(FIRST_PAUSE * 2.0**count, LONGEST_PAUSE))
        self._tell(step, Manner.YIELD)

    def _end(self, step: Step, why: str) -> None:
        if self._rivalry.policy is not Policy.YIELD:
            log.info("the address conflict is over", extra={**_described(step), "reason": why})
            self._keeper.settled(step.vip, step.mac)

    def statistics(self) -> GuardStatistics:
        """Return a snapshot."""
        told, defended, yielded = (self._counts.get(act, 0) for act in (Act.TELL, Act.DEFEND, Act.YIELD))
        return GuardStatistics(self._rivalry.rivals(), told + yielded, defended, yielded)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _described(step: Step) -> dict[str, str]:
    return {"vip": str(step.vip), "interface": step.vip.interface, "mac": step.mac}
