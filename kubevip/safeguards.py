"""Puts together what looks after held addresses: is a takeover noticed, does anybody else claim them."""

from collections.abc import Callable, Collection, Mapping

import anyio.abc
import attrs

from kubevip.assembly import Parts
from kubevip.config.segment import Segment
from kubevip.lease import Timing
from kubevip.model import LeaseKey, Vip
from kubevip.rivalry import Policy, Rivalry
from kubevip.runtime.company import Company
from kubevip.runtime.elector import Elector
from kubevip.runtime.guarding import Guard, GuardStatistics
from kubevip.runtime.offering import Offers
from kubevip.runtime.seeking import Seeker
from kubevip.runtime.supervise import supervised
from kubevip.runtime.verifying import Verifier, VerifierStatistics, Verify
from kubevip.runtime.witnesses import Witnesses


@attrs.define(eq=False)
class Safeguards:
    """What looks after the addresses of *parts*, as *settings* say. *electors* may be filled later.

    *stay* is for how many seconds a last holder may answer for an address beside its successor.
    """

    _settings: Segment
    _parts: Parts
    _electors: Mapping[LeaseKey, Elector]
    _timing: Timing
    _stay: float
    _verifier: Verifier | None = attrs.field(default=None, init=False)
    _guard: Guard = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rivalry = Rivalry(Policy(self._settings.conflict), self._stay, self._timing.duration)
        parts = self._parts
        self._guard = Guard(parts.keeper, parts.announcers, parts.links, rivalry, self._timing.duration)

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Look after them until *tasks* are cancelled. Begin before the elections do."""
        parts, settings = self._parts, self._settings
        tasks.start_soon(supervised, "watching for conflicts", self._guard.run)
        verify = Verify(settings.verify)
        if verify is not Verify.OFF:
            offers = Offers(parts.keeper, self._electors)
            self._verifier = Verifier(
                *(parts.keeper, parts.announcers, parts.links, self._witnesses(), offers),
                verify=verify,
                timeout=settings.verify_timeout,
            )
            tasks.start_soon(supervised, "verifying takeovers", self._verifier.run)
            if parts.kernel.neighbourhood is not None:
                seeker = Seeker(parts.keeper, parts.announcers, parts.links, parts.kernel.neighbourhood)
                tasks.start_soon(supervised, "asking for neighbours", seeker.run)

    def company(self, vips: Callable[[], Collection[Vip]], tasks: anyio.abc.TaskGroup) -> Callable[[], Collection[Vip]]:
        """Return whom a candidate for *vips* may ask whether it is cut off, found out until *tasks* are cancelled.

        That is nobody where nothing is to be verified, and no witness is named.
        """
        settings = self._settings
        if Verify(settings.verify) is Verify.OFF and not settings.witnesses:
            return tuple
        company = Company(self._witnesses(), vips)
        tasks.start_soon(supervised, "looking for witnesses", company.run)
        return company.known

    def _witnesses(self) -> Witnesses:
        return Witnesses(self._settings.witnesses, self._parts.links, self._parts.kernel.neighbourhood)

    def conflicts(self) -> GuardStatistics:
        """Return a snapshot of who claims what is held here."""
        return self._guard.statistics()

    def verification(self) -> VerifierStatistics | None:
        """Return a snapshot of what is verified; ``None`` where nothing is."""
        return self._verifier.statistics() if self._verifier is not None else None
