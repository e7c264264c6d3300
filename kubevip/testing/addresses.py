"""The addresses on a simulated node's links: the in-memory twin of ``kubevip.ports.Addresses``.

It does what a Linux kernel does. Lifetimes are whole seconds; an address whose lifetime has ended is removed
late, never early; it is gone at its time even while the process that put it there is stopped.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Collection, Mapping, Sequence

import anyio
import anyio.lowlevel
import attrs

from kubevip.errors import LinkNotFound, NetworkError, TooLate
from kubevip.model import Family, IPAddress, Vip
from kubevip.ports import Presence
from kubevip.testing.links import MemoryLinks
from kubevip.testing.process import Listener, effectless, universal_time

# The latest that Linux removes an address whose lifetime has ended (kubevip.fence).
LATEST = 1.1


@attrs.frozen
class Change:
    """At *time* (seconds of the world) *vip* came or went; *why* is a word: put, removed, expired, ..."""

    time: float
    vip: Vip
    present: bool
    why: str


@attrs.frozen
class Pacing:
    """One call of ``pace()``."""

    time: float
    families: frozenset[Family]
    turn: int
    lifetime: int


@attrs.define
class _Entry:
    vip: Vip
    ends: float
    timer: asyncio.TimerHandle


@attrs.define(eq=False)
class MemoryAddresses:
    """The VIPs on the links of one node.

    *late* is asked how many seconds after the end of a lifetime the kernel removes an address: the latest
    possible, unless told otherwise. *delay* is how long each request waits for its turn, *locked* how long it
    then waits in the kernel for others, when its time has been looked at. *failure* is called with ``"put"``
    or ``"remove"`` and a VIP, and returns the error that the kernel refuses it with, or ``None``. *changed* is
    called with each change.
    """

    _links: MemoryLinks
    late: Callable[[], float] = lambda: LATEST
    delay: float = 0.0
    locked: float = 0.0
    failure: Callable[[str, Vip], NetworkError | None] = lambda _verb, _vip: None
    changed: Callable[[Change], None] = lambda _change: None

    changes: list[Change] = attrs.field(factory=list, init=False)
    pacings: list[Pacing] = attrs.field(factory=list, init=False)
    _entries: dict[tuple[IPAddress, int], _Entry] = attrs.field(factory=dict, init=False)
    _subscribers: list[Listener] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._links.on_down = self._link_down

    # The port

    async def put(self, vips: Sequence[tuple[Vip, int]], *, not_after: float) -> Mapping[Vip, NetworkError]:
        """Put each VIP on its link; see ``kubevip.ports.Addresses``."""
        await self._request()
        errors = {vip: self._refusal("put", vip, not_after) for vip, _lifetime in vips}
        await self._wait_for_lock()
        for vip, lifetime in vips:
            if errors[vip] is None:
                self._put(vip, lifetime)
        return {vip: error for vip, error in errors.items() if error is not None and not effectless()}

    async def remove(self, vips: Sequence[Vip]) -> Mapping[Vip, NetworkError]:
        """Remove each VIP from its link; see ``kubevip.ports.Addresses``."""
        await self._request()
        failed: dict[Vip, NetworkError] = {}
        for vip in vips:
            error = self.failure("remove", vip)
            if error is None and not effectless():
                self._remove_named(vip, "removed")
            elif error is not None:
                failed[vip] = error
        return failed

    async def find(self, addresses: Collection[IPAddress]) -> Sequence[Presence]:
        """Return where *addresses* are on links of this node; see ``kubevip.ports.Addresses``."""
        await self._request()
        ours = [Presence(entry.vip, ours=True, permanent=False, preferred=False) for entry in self._entries.values()]
        own = [
            Presence(Vip(network.ip, name, network.network.prefixlen), ours=False, permanent=True, preferred=True)
            for name, networks in self._links.networks().items()
            for network in networks
        ]
        return [presence for presence in (*ours, *own) if presence.vip.address in addresses]

    async def pace(self, families: Collection[Family], turn: int, lifetime: int) -> None:
        """Note the call in *pacings*."""
        await anyio.lowlevel.checkpoint()
        self.pacings.append(Pacing(universal_time(), frozenset(families), turn, lifetime))

    async def stop_pacing(self) -> None:
        """Do nothing: only the calls of ``pace()`` are kept."""

    def subscribe(self, removed: Callable[[IPAddress, str], None]) -> Callable[[], None]:
        """Call *removed* with each address that goes; see ``kubevip.ports.Addresses``."""
        listener = Listener(removed)
        self._subscribers.append(listener)
        return lambda: self._subscribers.remove(listener)

    # What a test asks and does

    def present(self) -> frozenset[Vip]:
        """Return the VIPs that are on links now."""
        return frozenset(entry.vip for entry in self._entries.values())

    def has(self, address: IPAddress) -> bool:
        """Tell whether *address* is on a link now."""
        return any(known == address for known, _index in self._entries)

    def ends(self, vip: Vip) -> float | None:
        """Return when the lifetime of *vip* ends, in seconds on the loop's clock; ``None`` where it isn't there."""
        return next((entry.ends for entry in self._entries.values() if entry.vip == vip), None)

    def delete(self, vip: Vip) -> None:
        """Remove *vip* by hand, as an operator would."""
        self._remove_named(vip, "deleted")

    # The kernel

    async def _request(self) -> None:
        """Take the time of a request. Like one in a thread, it comes to its end though the caller is cancelled."""
        await anyio.lowlevel.checkpoint()
        with anyio.CancelScope(shield=True):
            if self.delay > 0:
                await anyio.sleep(self.delay)

    async def _wait_for_lock(self) -> None:
        with anyio.CancelScope(shield=True):
            if self.locked > 0:
                await anyio.sleep(self.locked)

    def _refusal(self, verb: str, vip: Vip, not_after: float) -> NetworkError | None:
        try:
            self._links.get(vip.interface)
        except LinkNotFound as error:
            return error
        if self._now() >= not_after:
            return TooLate(f"putting {vip} on {vip.interface}: too late")
        return self.failure(verb, vip)

    def _put(self, vip: Vip, lifetime: int) -> None:
        if effectless():
            return
        place = (vip.address, self._links.get(vip.interface).index)
        before = self._entries.get(place)
        if before is not None:
            before.timer.cancel()
        ends = self._now() + lifetime
        timer = asyncio.get_running_loop().call_at(
            ends + self.late(), self._remove, *place, "expired", context=contextvars.Context()
        )
        self._entries[place] = _Entry(vip, ends, timer)
        if before is None:
            self._note(Change(universal_time(), vip, True, "put"))

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self.changed(change)

    def _remove(self, address: IPAddress, index: int, why: str) -> None:
        entry = self._entries.pop((address, index), None)
        if entry is None:
            return
        entry.timer.cancel()
        self._note(Change(universal_time(), entry.vip, False, why))
        for listener in tuple(self._subscribers):
            listener.tell(address, self._links.name_of(index) or entry.vip.interface)

    def _remove_named(self, vip: Vip, why: str) -> None:
        with contextlib.suppress(LinkNotFound):
            self._remove(vip.address, self._links.get(vip.interface).index, why)

    def _link_down(self, index: int, gone: bool) -> None:
        """Remove what the kernel removes: all of an interface that goes away, the IPv6 ones of one that goes down."""
        for address, where in tuple(self._entries):
            if where == index and (gone or Family.of(address) is Family.IPV6):
                self._remove(address, index, "link")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
