"""Puts together the elections of Services that have Leases of their own (``kubevip.controllers.electing``)."""

import zlib
from collections.abc import Mapping

import anyio
import anyio.abc
import attrs

from kubevip.assembly import Parts
from kubevip.campaigns import Campaigns
from kubevip.claims import Claims, Fixed, Governance
from kubevip.config import Settings
from kubevip.controllers.electing import Electing
from kubevip.controllers.health import Health
from kubevip.governance import OfPrimary, Rules
from kubevip.lease import Timing
from kubevip.mode import SPREAD
from kubevip.model import LeaseKey
from kubevip.ports import LeaseStore
from kubevip.runtime.elector import Elector, Follower
from kubevip.runtime.reprieve import OnApiLoss, Reprieve
from kubevip.runtime.supervise import supervised
from kubevip.service import OF_OWN_LEASES
from kubevip.vocabulary import OF_SPREAD_MODE

# A node renews its Leases at so many times within a retry period, some with each.
BEATS = 20


def elects_per_service(settings: Settings) -> bool:
    """Tell whether Services may have Leases of their own."""
    services = settings.services
    return services.enable and (services.election or services.election_on_demand)


def unheeded(settings: Settings) -> Mapping[str, str]:
    """Return the annotations of Services that these settings leave without effect, with what is the case instead."""
    of_leases = {} if elects_per_service(settings) else OF_OWN_LEASES
    return of_leases if settings.services.placement == SPREAD else {**of_leases, **OF_SPREAD_MODE}


def common_leases(settings: Settings) -> frozenset[LeaseKey]:
    """Return the Leases that the settings name: none of them is a single Service's."""
    found = [settings.control_plane.lease] if settings.control_plane.enable else []
    return frozenset([*found, settings.services_lease] if settings.services.enable else found)


def claims(settings: Settings) -> Claims:
    """Return who knows which addresses are used, and which Lease governs each."""
    governance = _governance(settings)
    found = Claims(governance)
    if isinstance(governance, OfPrimary):
        governance.served = lambda key, address: any(vip.address == address for vip in found.of(key))
    return found


def _governance(settings: Settings) -> Governance:
    control_plane = settings.control_plane
    addresses = control_plane.addresses if control_plane.enable else ()
    governing = dict.fromkeys(addresses, control_plane.lease)
    common = settings.services_lease if settings.services.enable else None
    if common is None or not elects_per_service(settings):
        return Fixed(governing, common)
    return OfPrimary(Rules(common=common, every=settings.services.election, control_plane=governing))


def phase(lease: LeaseKey, period: float) -> float:
    """Return by how many seconds a node's campaign for *lease* renews after its common beat; always the same."""
    return zlib.crc32(str(lease).encode()) % BEATS / BEATS * period


@attrs.define(eq=False)
class OwnCampaigns:
    """Makes campaigns for Services' own Leases, as they are needed, among the *campaigns* of this node."""

    _settings: Settings
    _timing: Timing
    _campaigns: Campaigns
    _store: LeaseStore
    _parts: Parts
    _health: Health
    _tasks: anyio.abc.TaskGroup
    _scopes: dict[LeaseKey, anyio.CancelScope] = attrs.field(factory=dict, init=False)

    def electing(self) -> Electing:
        """Make what begins and ends them, and follows all elections of this node."""
        settings, timing = self._settings, self._timing
        routed = settings.bgp.enable or settings.routing_table.enable
        found = Electing(self._parts.keeper, self, common_leases(settings), grace=timing.duration, overlaps=not routed)
        self._campaigns.follower = found
        return found

    def begin(self, lease: LeaseKey, follower: Follower) -> Elector:
        """See ``Campaigning``."""
        timing = self._timing
        elector = Elector(
            lease,
            self._settings.node.name,
            timing,
            self._store,
            follower,
            phase=phase(lease, timing.retry_period),
        )
        self._campaigns.join(elector)
        self._health.watch(elector)
        manner = OnApiLoss(self._settings.election.on_api_loss)
        if manner is OnApiLoss.HOLD and not (self._settings.bgp.enable or self._settings.routing_table.enable):
            self._scopes[lease] = scope = anyio.CancelScope()
            self._tasks.start_soon(self._hold_on, elector, scope)
        return elector

    async def _hold_on(self, elector: Elector, scope: anyio.CancelScope) -> None:
        parts = self._parts
        reprieve = Reprieve(elector, OnApiLoss.HOLD, parts.announcers, parts.links.get, parts.keeper.governed_by)
        with scope:
            await supervised("holding on", reprieve.run)

    def end(self, lease: LeaseKey) -> None:
        """See ``Campaigning``."""
        self._campaigns.leave(lease)
        self._health.unwatch(lease)
        if lease in self._scopes:
            self._scopes.pop(lease).cancel()

    def elector(self, lease: LeaseKey) -> Elector | None:
        """See ``Campaigning``."""
        return self._campaigns.electors.get(lease)
