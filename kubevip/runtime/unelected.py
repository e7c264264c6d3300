"""Leads for ever, with nobody to ask: for addresses that every node announces, as in BGP mode without an election."""

import asyncio
import math

import anyio
import attrs

from kubevip.election import Cause, Standing
from kubevip.lease import Timing
from kubevip.model import LeaseKey, Term
from kubevip.runtime.elector import Follower


@attrs.define(eq=False)
class Unelected:
    """Stands in the place of an ``Elector`` where no Lease is kept, from ``run()`` until ``resign()``.

    Its terms are as long as those of a Lease would be, so the kernel still removes the addresses of an agent that
    is gone. *lease* is a name for them, no more. It leads nothing from ``suspend()`` until ``resume()``.
    """

    lease: LeaseKey
    identity: str
    timing: Timing
    _follower: Follower

    _term: Term | None = attrs.field(default=None, init=False)
    _suspended: bool = attrs.field(default=False, init=False)
    _resigned: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def term(self) -> Term | None:
        """The current term; ``None`` before ``run()``, while it is suspended, and after ``resign()``."""
        return self._term

    async def run(self) -> None:
        """Begin a new term every retry period, until cancelled or resigned."""
        while not self._resigned.is_set():
            self._wake.clear()
            if not self._suspended:
                self._lead()
            with anyio.move_on_after(math.inf if self._suspended else self.timing.retry_period):
                await self._wake.wait()

    def _lead(self) -> None:
        if self._term is None:
            # Others announce the same addresses: nobody has to be asked for them.
            self._follower.campaigning(self.lease, Cause.VACANT)
        now = asyncio.get_running_loop().time()
        until, expires = now + self.timing.renew_deadline, now + self.timing.duration
        self._term = Term(self.lease, self.identity, 0, until, expires)
        self._follower.standing(self.lease, Standing.LEADING, self._term)

    def suspend(self) -> None:
        """Let go of all addresses at once, until ``resume()``."""
        self._suspended = True
        if self._term is not None:
            self._end()

    def resume(self) -> None:
        """Lead again."""
        self._suspended = False
        self._wake.set()

    def resign(self) -> None:
        """Let go of all addresses at once: nobody takes them over, so nobody is waited for."""
        self._resigned.set()
        self._end()

    def _end(self) -> None:
        self._term = None
        self._wake.set()
        self._follower.standing(self.lease, Standing.EXPIRED, None)

    async def wait_ended(self) -> None:
        """Wait until it has resigned."""
        await self._resigned.wait()
