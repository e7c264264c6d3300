"""Puts together what looks after held addresses: is a takeover noticed, does anybody else claim them."""

from collections.abc import Mapping

import anyio.abc
import attrs

from kubevip.assembly import Parts
from kubevip.config.segment import Segment
from kubevip.election import Timing
from kubevip.model import LeaseKey
from kubevip.rivalry import Policy, Rivalry
from kubevip.runtime.elector import Elector
from kubevip.runtime.guarding import Guard, GuardStatistics
from kubevip.runtime.supervise import supervised
from kubevip.runtime.verifying import Verifier, VerifierStatistics, Verify
from kubevip.runtime.witnesses import Witnesses


@attrs.define(eq=False)
class Safeguards:
    """What looks after the addresses of *parts*, as *settings* say. *electors* may be filled later."""

    _settings: Segment
    _parts: Parts
    _electors: Mapping[LeaseKey, Elector]
    _timing: Timing
    _linger: float
    _verifier: Verifier | None = attrs.field(default=None, init=False)
    _guard: Guard = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rivalry = Rivalry(Policy(self._settings.conflict), self._linger, self._timing.duration)
        parts = self._parts
        self._guard = Guard(parts.keeper, parts.announcers, parts.links, rivalry, self._timing.duration)

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Look after them until *tasks* are cancelled. Begin before the elections do."""
        parts, settings = self._parts, self._settings
        tasks.start_soon(supervised, "watching for conflicts", self._guard.run)
        verify = Verify(settings.verify)
        if verify is not Verify.OFF:
            witnesses = Witnesses(settings.witnesses, parts.links, parts.kernel.neighbourhood)
            self._verifier = Verifier(
                *(parts.keeper, parts.announcers, parts.links, witnesses, self._electors),
                verify=verify,
                timeout=settings.verify_timeout,
            )
            tasks.start_soon(supervised, "verifying takeovers", self._verifier.run)

    def conflicts(self) -> GuardStatistics:
        """Return a snapshot of who claims what is held here."""
        return self._guard.statistics()

    def verification(self) -> VerifierStatistics | None:
        """Return a snapshot of what is verified; ``None`` where nothing is."""
        return self._verifier.statistics() if self._verifier is not None else None
