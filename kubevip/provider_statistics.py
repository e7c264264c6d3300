"""A snapshot of a whole provider, and what follows from it: is it alive, is it ready."""

from collections.abc import Mapping

import attrs

from kubevip.kube.reflector import ReflectorStatistics
from kubevip.model import ServiceKey
from kubevip.provision.accounts import AccountsStatistics
from kubevip.runtime.elector import ElectorStatistics
from kubevip.source import Capacity
from kubevip.statistics import complaints


@attrs.frozen(kw_only=True)
class ProviderStatistics:
    """What a provider knows of itself at *time*. *accounts* is ``None`` while another replica works.

    *failing* says of Services that can't be written why that is so. *sources* is what other IPAMs have said last, by
    the pool's key.
    """

    name: str
    time: float
    electors: tuple[ElectorStatistics, ...]
    accounts: AccountsStatistics | None
    reflectors: Mapping[str, ReflectorStatistics]
    failing: Mapping[ServiceKey, str] = attrs.field(factory=dict)
    sources: Mapping[str, Capacity] = attrs.field(factory=dict)

    def ailments(self) -> list[str]:
        """Say why the process has to be started anew: nothing of it can get stuck."""
        return []

    def obstacles(self) -> list[str]:
        """Say why the provider doesn't do its work now; a replica that stands by is ready.

        Of Services that can't be written one stands for all that lack a right: others say more of the Service.
        """
        forbidden = sorted(reason for reason in self.failing.values() if "(403)" in reason)
        return [*complaints(self.electors, self.reflectors), *forbidden[:1]]
