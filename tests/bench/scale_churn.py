"""Changes as a busy cluster makes them, at a steady rate: most are of no concern, the others move addresses."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import attrs
from scale_api import COLLECTIONS, Api
from scale_objects import ADDRESSES, address_of, endpoints, name_of, service, slice_
from scale_observers import Sightings, packed

# An effect that takes longer than this many seconds is none.
PATIENCE = 30.0


@attrs.define(eq=False)
class Pacer:
    """Lets writes through at a steady rate, however many want to."""

    rate: float
    _next: float = attrs.field(factory=time.monotonic, init=False)

    async def turn(self) -> None:
        """Wait for a turn."""
        self._next = max(self._next, time.monotonic() - 0.5) + 1 / self.rate
        await asyncio.sleep(self._next - time.monotonic())


@attrs.define(eq=False)
class Churn:
    """Edits, creations, deletions and changes of endpoints, each waited for until it shows on the wire."""

    api: Api
    sightings: Sightings
    nodes: Sequence[str]
    alive: list[int]
    """The numbers of the Services; whoever is at work on one takes it out."""
    spare: int
    """The first number, of Services and of addresses, that is free."""
    addresses: dict[int, str]
    """The addresses of those that have another one than in the beginning."""
    rate: float = 50.0
    seed: int = 1
    lags: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list), init=False)
    missing: list[str] = attrs.field(factory=list, init=False)
    writes: int = attrs.field(default=0, init=False)
    _pacer: Pacer = attrs.field(init=False)

    async def run(self, seconds: float) -> float:
        """Churn; return how many writes a second were made."""
        rng = random.Random(self.seed)
        self._pacer = Pacer(self.rate)
        began = time.monotonic()
        kinds: list[Callable[[int], Awaitable[None]]] = [
            *([self._label] * 6),
            *([self._roll] * 12),
            *([self._create] * 2),
            *([self._delete] * 2),
            *([self._move] * 2),
            *([self._empty] * 2),
        ]
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() - began < seconds:
                await self._pacer.turn()
                number = self.alive.pop(rng.randrange(len(self.alive)))
                tasks.create_task(self._do(rng.choice(kinds), number))
            written, took = self.writes, time.monotonic() - began
        return written / took

    def address(self, number: int) -> str:
        """Return the address that a Service has now."""
        return self.addresses.get(number, address_of(number))

    async def _do(self, change: Callable[[int], Awaitable[None]], number: int) -> None:
        await change(number)
        if change != self._delete:
            self.alive.append(number)

    async def _write(self, method: str, kind: str, name: str = "", body: object = None, *, first: bool = True) -> None:
        if not first:
            await self._pacer.turn()
        self.writes += 1
        await self.api.write(method, "/".join(filter(None, (COLLECTIONS[kind], name))), body)

    async def _label(self, number: int) -> None:
        labels = {"edited": f"{time.monotonic():.0f}"}
        await self._write("PATCH", "Service", name_of(number), {"metadata": {"labels": labels}})

    async def _roll(self, number: int) -> None:
        """Replace the Pods of a slice, as a rollout does."""
        await self._write("PATCH", "EndpointSlice", f"{name_of(number)}-a", self._endpoints(self.writes))

    async def _create(self, number: int) -> None:
        new, self.spare = self.spare, self.spare + 1
        await self._write("POST", "EndpointSlice", body=slice_(new, "a", self.nodes))
        await self._write("POST", "EndpointSlice", body=slice_(new, "b", self.nodes), first=False)
        await self._pacer.turn()
        began = self._expect(address_of(new))
        await self._write("POST", "Service", body=service(new))
        await self._announced("created", address_of(new), began)
        self.alive.append(new)

    async def _delete(self, number: int) -> None:
        began = time.monotonic()
        await self._write("DELETE", "Service", name_of(number))
        await self._removed("deleted", self.address(number), began)
        for which in "ab":
            await self._write("DELETE", "EndpointSlice", f"{name_of(number)}-{which}", first=False)

    async def _move(self, number: int) -> None:
        before, new = self.address(number), address_of(self.spare)
        self.spare += 1
        began = self._expect(new)
        await self._write("PATCH", "Service", name_of(number), {"metadata": {"annotations": {ADDRESSES: new}}})
        self.addresses[number] = new
        await self._announced("address edited", new, began)
        await self._removed("address edited", before, began)

    async def _empty(self, number: int) -> None:
        """Let the endpoints go, and come back."""
        for which in "ab":
            began = time.monotonic()
            name = f"{name_of(number)}-{which}"
            await self._write("PATCH", "EndpointSlice", name, {"endpoints": []}, first=which == "a")
        await self._removed("endpoints gone", self.address(number), began)
        await self._pacer.turn()
        began = self._expect(self.address(number))
        await self._write("PATCH", "EndpointSlice", f"{name_of(number)}-a", self._endpoints(number))
        await self._announced("endpoints back", self.address(number), began)
        await self._write("PATCH", "EndpointSlice", f"{name_of(number)}-b", self._endpoints(number), first=False)

    def _endpoints(self, number: int) -> dict[str, object]:
        return {"endpoints": endpoints(number, self.nodes)}

    def _expect(self, address: str) -> float:
        self.sightings.announced.pop(packed(address), None)
        return time.monotonic()

    async def _announced(self, kind: str, address: str, began: float) -> None:
        await self._seen(f"{kind}: announced", self.sightings.announced, address, began)

    async def _removed(self, kind: str, address: str, began: float) -> None:
        key = packed(address)
        if not self.sightings.holders.get(key) and self.sightings.removed.get(key, 0.0) < began:
            # A node without time to renew it had lost it before: there is nothing to withdraw.
            return
        await self._seen(f"{kind}: withdrawn", self.sightings.removed, address, began)

    async def _seen(self, kind: str, times: dict[bytes, float], address: str, began: float) -> None:
        key = packed(address)
        while times.get(key, 0.0) < began:
            if time.monotonic() - began > PATIENCE:
                self.missing.append(f"{kind}: {address}")
                return
            await asyncio.sleep(0.05)
        self.lags[kind].append(times[key] - began)
