"""What becomes of the Lease of a node whose links are down.

Where the API server is reached some other way, the Lease is released, and others have the addresses within moments.
Where it isn't, a release may still arrive, when the link is back or after that; from the moment at which it is sent
the addresses must not answer until the API server says that the Lease is ours. A link that flaps would cost that each
time. So something harmless is asked first, and the Lease is released when that is answered.

Meanwhile Lease and addresses stay as they are. An interface that is down answers nobody, and nobody else can have the
Lease: not before it expires, and our term ends before that; and with heartbeats not before we are missed, and our term
ends before that, too, because it is known here when we were heard last. A link that is back by then goes on as before.
One that is late finds no address, and the Lease has to be renewed first.
"""

import asyncio
import logging
from collections.abc import Callable

import anyio
import attrs

from kubevip.runtime.elector import Elector
from kubevip.runtime.voice import Voice

log = logging.getLogger(__name__)

# So many seconds after one question the next one is asked.
PAUSE = 1.0


@attrs.define(eq=False)
class DeadLink:
    """Keeps the Lease of *elector* while the links of its addresses are down, from ``run()`` until it is cancelled.

    *reached* is called when the API server turns out to be reached nevertheless. *voice* knows when others may miss us.
    """

    _elector: Elector
    _on_reached: Callable[[], None]
    voice: Voice = attrs.field(factory=Voice)

    reached: bool = attrs.field(default=False, init=False)
    """Whether the API server has answered since the links are down."""
    _down: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _question: anyio.CancelScope | None = attrs.field(default=None, init=False)
    _end_of_term: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def begin(self) -> None:
        """The links are down, and the Lease is ours."""
        if self._down.is_set():
            return
        self._down.set()
        log.info("keeping the Lease unless the API server is reached", extra={"lease": str(self._elector.lease)})
        if self._elector.reaffirmed:
            # By no Lease, but because nobody else was seen: now nobody can be.
            self._elector.doubt()
        self._look_out()

    def _look_out(self) -> None:
        """Let go when others may miss us, unless they hear us by another link by then."""
        loop, until = asyncio.get_running_loop(), self.voice.unmissed_until
        if not self.voice.is_cut:
            return
        if until <= loop.time():
            self._give_up()
        elif until < float("inf"):
            self._end_of_term = loop.call_at(until, self._look_out)

    def end(self) -> None:
        """A link is up again."""
        if not self._down.is_set():
            return
        late = self.voice.is_cut and self.voice.unmissed_until <= asyncio.get_running_loop().time()
        self._stop()
        if late:
            self._give_up()
        self._elector.renew_anew()

    def _stop(self) -> None:
        self._down.clear()
        self.reached = False
        if self._question is not None:
            self._question.cancel()
        if self._end_of_term is not None:
            self._end_of_term.cancel()
            self._end_of_term = None

    def _is_ours(self) -> bool:
        record = self._elector.record
        return record is not None and record.holder == self._elector.identity

    def _give_up(self) -> None:
        if self._elector.term is not None:
            extra = {"lease": str(self._elector.lease), "reason": "the link is down, and others may have missed us"}
            log.warning("letting go", extra=extra)
            self._elector.doubt()

    async def run(self) -> None:
        """Ask the API server while the links are down, until cancelled."""
        try:
            while True:
                await self._down.wait()
                if not self._is_ours():
                    self._stop()
                    continue
                with anyio.CancelScope() as self._question:
                    if not self.reached and await self._elector.reaches(self._elector.timing.attempt_timeout):
                        self.reached = True
                        self._on_reached()
                    await anyio.sleep(PAUSE)
        finally:
            self._stop()
