"""Services that have Leases of their own, as the agent that serves them sees them: what is refused, told and moved."""

import contextlib
from collections.abc import AsyncIterator, Mapping

import attrs

from kubevip.claims import Claims
from kubevip.controllers.ownership import Ownership
from kubevip.controllers.services import Services
from kubevip.governance import OfPrimary, Rules, own_lease
from kubevip.model import LeaseKey, ServiceKey, Vip
from kubevip.service import (
    ADDRESSES,
    FORCE_ELECTION,
    LEASE_NAME,
    ClassFilter,
    Endpoints,
    ServiceView,
    TrafficPolicy,
)
from kubevip.testing import Segment, virtual
from tests.controllers.electorate import COMMON
from tests.runtime.keeping import Keeping, keeping

WEB, DNS = ServiceKey("shop", "web"), ServiceKey("shop", "dns")
VIP = Vip.parse("10.0.0.99", interface="eth0")
SHARED = {LEASE_NAME: "ours"}


@attrs.define(eq=False)
class Told:
    """An agent's Services, what they had written, and what was asked of those who hold addresses."""

    a: Keeping
    services: Services = attrs.field(init=False)
    events: list[tuple[ServiceKey, str, str]] = attrs.field(factory=list)
    asked: list[tuple[str, Vip, LeaseKey | None]] = attrs.field(factory=list)

    def normal(self, key: ServiceKey, _uid: str, reason: str, message: str) -> None:
        self.events.append((key, reason, message))

    warning = normal

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        self.asked.append(("want", vip, lease))

    def unwant(self, vip: Vip) -> None:
        self.asked.append(("unwant", vip, None))

    def hand_over(self, vip: Vip) -> None:
        self.asked.append(("hand over", vip, None))

    def apply(
        self,
        key: ServiceKey,
        annotations: Mapping[str, str] | None = None,
        policy: TrafficPolicy = TrafficPolicy.CLUSTER,
        created: str = "2026-01-01T00:00:00Z",
    ) -> None:
        texts = {ADDRESSES: str(VIP), **(annotations or {})}
        self.services.applied(ServiceView(key=key, annotations=texts, policy=policy, created=created))


@contextlib.asynccontextmanager
async def serving(segment: Segment, *, every: bool = True) -> AsyncIterator[Told]:
    async with keeping(segment) as a:
        told = Told(a)
        governance = OfPrimary(Rules(common=COMMON, every=every))
        claims = Claims(governance)
        governance.served = lambda key, address: any(vip.address == address for vip in claims.of(key))
        told.services = Services(
            "a",
            Ownership(claims, a.keeper, told),
            ClassFilter(),
            lambda _address, _name: ("eth0", 32),
            told,
            lambda: True,
            unheeded={},
        )
        yield told


@virtual
async def test_a_service_is_wanted_by_its_own_lease(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB)
        here.services.endpoints(WEB, Endpoints(1, 1))
        assert here.asked == [("want", VIP, own_lease(WEB))]


@virtual
async def test_a_local_service_with_a_shared_lease_is_skipped_and_its_owner_told(segment: Segment) -> None:
    async with serving(segment) as here:
        here.services.endpoints(WEB, Endpoints(1, 1))
        here.apply(WEB, SHARED, TrafficPolicy.LOCAL)
        assert here.asked == []
        ((key, reason, message),) = here.events
        assert (key, reason) == (WEB, "NotServed")
        assert "kube-vip.io/leaseName=ours needs externalTrafficPolicy Cluster" in message


@virtual
async def test_others_of_that_lease_are_served(segment: Segment) -> None:
    async with serving(segment) as here:
        for key in (WEB, DNS):
            here.services.endpoints(key, Endpoints(1, 1))
        here.apply(WEB, SHARED, TrafficPolicy.LOCAL)
        here.apply(DNS, SHARED)
        assert here.asked == [("want", VIP, LeaseKey("shop", "ours"))]


@virtual
async def test_a_policy_that_does_not_fit_any_more_takes_the_address_away(segment: Segment) -> None:
    async with serving(segment) as here:
        here.services.endpoints(WEB, Endpoints(1, 1))
        here.apply(WEB, SHARED)
        here.apply(WEB, SHARED, TrafficPolicy.LOCAL)
        here.apply(WEB, SHARED)
        assert [verb for verb, _vip, _lease in here.asked] == ["want", "unwant", "want"]


@virtual
async def test_another_name_moves_the_address_without_a_break(segment: Segment) -> None:
    async with serving(segment) as here:
        here.services.endpoints(WEB, Endpoints(1, 1))
        here.apply(WEB)
        here.apply(WEB, SHARED)
        assert here.asked == [("want", VIP, own_lease(WEB)), ("want", VIP, LeaseKey("shop", "ours"))]


@virtual
async def test_on_demand_the_annotation_moves_a_service_to_its_own_lease_and_back(segment: Segment) -> None:
    async with serving(segment, every=False) as here:
        here.services.endpoints(WEB, Endpoints(1, 1))
        here.apply(WEB)
        here.apply(WEB, {FORCE_ELECTION: "true"})
        here.apply(WEB)
        assert [lease for _verb, _vip, lease in here.asked] == [COMMON, own_lease(WEB), COMMON]


@virtual
async def test_the_last_local_endpoint_goes_while_others_have_one(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB, policy=TrafficPolicy.LOCAL)
        here.services.endpoints(WEB, Endpoints(2, 1))
        here.services.endpoints(WEB, Endpoints(1, 0))
        assert here.asked[1:] == [("hand over", VIP, None)]


@virtual
async def test_the_last_endpoint_of_all_goes(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB, policy=TrafficPolicy.LOCAL)
        here.services.endpoints(WEB, Endpoints(1, 1))
        here.services.endpoints(WEB, Endpoints())
        assert here.asked[1:] == [("unwant", VIP, None)]


@virtual
async def test_a_primary_without_any_endpoint_does_not_keep_the_address_from_others(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB)
        here.apply(DNS, created="2026-01-01T00:00:01Z")
        here.services.endpoints(DNS, Endpoints(1, 1))
        here.services.endpoints(WEB, Endpoints(1, 1))
        assert [lease for _verb, _vip, lease in here.asked] == [own_lease(DNS), own_lease(WEB)]


@virtual
async def test_a_node_that_can_not_serve_the_primary_does_not_hold_its_address_for_others(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB, policy=TrafficPolicy.LOCAL)
        here.services.endpoints(WEB, Endpoints(1, 0))
        here.apply(DNS, created="2026-01-01T00:00:01Z")
        here.services.endpoints(DNS, Endpoints(1, 1))
        assert here.asked == []
