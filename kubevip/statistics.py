"""A snapshot of a whole agent, and what follows from it: is it alive, is it ready."""

from collections.abc import Collection, Iterable, Mapping

import attrs

from kubevip.backend import Peering, silence
from kubevip.controllers.annotated import AnnotationStatistics
from kubevip.controllers.health import HealthStatistics
from kubevip.controllers.services import ServicesStatistics
from kubevip.election import Standing
from kubevip.kube.reflector import ReflectorStatistics
from kubevip.model import LeaseKey
from kubevip.runtime.announcer import AnnouncerStatistics
from kubevip.runtime.elector import ElectorStatistics
from kubevip.runtime.guarding import GuardStatistics
from kubevip.runtime.keeper import KeeperStatistics
from kubevip.runtime.sender import PulseStatistics
from kubevip.runtime.verifying import VerifierStatistics
from kubevip.spread.assignment import SpreadStatistics

# A netlink request that takes longer than this many seconds will not come back: the process is better started anew.
STUCK_AFTER = 30.0


@attrs.frozen(kw_only=True)
class AgentStatistics:
    """What an agent knows of itself. *keeper* and *services* are ``None`` before they are there.

    *waiting* is what it waits for before it can begin; empty where it has begun. *unelected*: it holds addresses
    without an election. *own* are the Leases of single Services, whose names others may have in other namespaces.
    *peerings* are the machines that backends speak with. *annotations* are those of the node
    that say with whom, where they do.
    """

    node: str
    waiting: str
    electors: tuple[ElectorStatistics, ...]
    keeper: KeeperStatistics | None
    announcers: Mapping[str, AnnouncerStatistics]
    services: ServicesStatistics | None
    reflectors: Mapping[str, ReflectorStatistics]
    pulses: Mapping[LeaseKey, PulseStatistics] = attrs.field(factory=dict)
    health: HealthStatistics | None = None
    verification: VerifierStatistics | None = None
    conflicts: GuardStatistics | None = None
    unelected: bool = False
    own: Collection[LeaseKey] = ()
    peerings: tuple[Peering, ...] = ()
    spread: SpreadStatistics | None = None
    annotations: AnnotationStatistics | None = None

    def ailments(self) -> list[str]:
        """Say why the process has to be started anew; empty while it is alive."""
        if self.keeper is not None and self.keeper.busy > STUCK_AFTER:
            return [f"the kernel has not answered for {self.keeper.busy:.0f} s"]
        return []

    def obstacles(self) -> list[str]:
        """Say why the agent doesn't do all its work now; empty while it is ready."""
        found = self.ailments()
        if self.waiting:
            found.append(self.waiting)
        if self.annotations is not None and self.annotations.waiting:
            found.append(self.annotations.waiting)
        if self.keeper is None or not (self.electors or self.unelected):
            return [*found, "starting"]
        found += complaints(self.electors, self.reflectors)
        found += [f"{vip}: {reason}" for vip, reason in self.keeper.failing.items()]
        found += [f"{vip}: another machine ({mac}) answers for it" for vip, mac in self.keeper.contested.items()]
        found += silence(self.peerings)
        missing = self.keeper.wanted - self.keeper.announced
        if missing > 0:
            found.append(f"{missing} of {self.keeper.wanted} addresses are not announced yet")
        return found


def complaints(electors: Iterable[ElectorStatistics], reflectors: Mapping[str, ReflectorStatistics]) -> list[str]:
    """Say what is wrong with elections, and with what is followed."""
    found = []
    for elector in electors:
        if elector.last_error:
            found.append(f"Lease {elector.lease}: {elector.last_error}")
        elif elector.standing is Standing.UNKNOWN:
            found.append(f"Lease {elector.lease}: {elector.standing.value}")
    for name, reflector in reflectors.items():
        if not reflector.synced or reflector.last_error:
            found.append(f"{name}: {reflector.last_error or 'not listed yet'}")
    return found
