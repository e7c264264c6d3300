"""Leads for ever, with nobody to ask: for addresses that every node announces, as in BGP mode without an election."""

import asyncio

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
    is gone. *lease* is a name for them, no more.
    """

    lease: LeaseKey
    identity: str
    timing: Timing
    _follower: Follower

    _term: Term | None = attrs.field(default=None, init=False)
    _resigned: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    @property
    def term(self) -> Term | None:
        """The current term; ``None`` before ``run()`` and after ``resign()``."""
        return self._term

    async def run(self) -> None:
        """Begin a new term every retry period, until cancelled or resigned."""
        if not self._resigned.is_set():
            # Others announce the same addresses: nobody has to be asked for them.
            self._follower.campaigning(self.lease, Cause.VACANT)
        while not self._resigned.is_set():
            now = asyncio.get_running_loop().time()
            until, expires = now + self.timing.renew_deadline, now + self.timing.duration
            self._term = Term(self.lease, self.identity, 0, until, expires)
            self._follower.standing(self.lease, Standing.LEADING, self._term)
            with anyio.move_on_after(self.timing.retry_period):
                await self._resigned.wait()

    def resign(self) -> None:
        """Let go of all addresses at once: nobody takes them over, so nobody is waited for."""
        self._resigned.set()
        self._term = None
        self._follower.standing(self.lease, Standing.EXPIRED, None)

    async def wait_ended(self) -> None:
        """Wait until it has resigned."""
        await self._resigned.wait()
