"""What the owner of a Service is told of other machines that claim its addresses, and who tells it."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import attrs

from kubevip.claims import Claims, Fixed
from kubevip.controllers.ownership import Ownership
from kubevip.controllers.services import Services
from kubevip.model import IPAddress, ServiceKey
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.service import ADDRESSES, ClassFilter, Endpoints, ServiceView
from kubevip.testing import Segment, virtual
from tests.runtime.keeping import LEASE, OTHER_LEASE, VIP, VIP2, Keeping, keeping

KEY = ServiceKey("default", "web")
MAC, OTHER = "02:00:00:00:00:99", "02:00:00:00:00:98"
TOLD = "10.0.0.99 is announced by a, and claimed on eth0 by 02:00:00:00:00:99"


@attrs.define(eq=False)
class Told:
    """The node a, which holds the addresses of a Service, and what it told of it."""

    a: Keeping
    services: Services
    events: list[tuple[str, str]] = attrs.field(factory=list)
    published: list[ServiceKey] = attrs.field(factory=list)

    def normal(self, _key: ServiceKey, _uid: str, reason: str, message: str) -> None:
        self.events.append((reason, message))

    warning = normal

    def claim(self, manner: Manner = Manner.KEEP, mac: str = MAC) -> None:
        self.a.keeper.conflicting(Conflict(VIP, mac, manner))

    @property
    def conflict(self) -> str | None:
        found = self.services.announcement(KEY)
        return found.conflict if found is not None else None


@contextlib.asynccontextmanager
async def serving(
    segment: Segment, *, addresses: str = "10.0.0.99", governing: dict[IPAddress, object] | None = None
) -> AsyncIterator[Told]:
    async with keeping(segment) as a:
        ownership = Ownership(Claims(Fixed(governing or {}, LEASE)), a.keeper)
        made: list[Told] = []

        class Events:
            def normal(self, *said: object) -> None:
                made[0].normal(*said)

            warning = normal

        services = Services("a", ownership, ClassFilter(), lambda _address, _name: ("eth0", 32), Events(), lambda: True)
        made.append(Told(a, services))
        services.publish = made[0].published.append
        services.applied(ServiceView(key=KEY, annotations={ADDRESSES: addresses}))
        services.endpoints(KEY, Endpoints(1, 1))
        a.lead()
        await anyio.sleep(0.1)
        made[0].published.clear()
        made[0].events.clear()
        yield made[0]


@virtual
async def test_a_conflict_is_an_event_and_published(segment: Segment) -> None:
    async with serving(segment) as here:
        assert here.conflict == ""
        here.claim()
        assert here.conflict == TOLD
        assert here.published == [KEY]
        text = "announcing 10.0.0.99: a machine with the MAC address 02:00:00:00:00:99 claims it on eth0"
        assert here.events == [("AddressConflict", text)]


@virtual
async def test_its_end_is_an_event_and_published(segment: Segment) -> None:
    async with serving(segment) as here:
        here.claim()
        here.a.keeper.settled(VIP, MAC)
        assert here.conflict == ""
        assert here.published == [KEY, KEY]
        assert here.events[1] == ("AddressConflictOver", "nobody else on eth0 claims 10.0.0.99 any more")


@virtual
async def test_of_two_machines_both_are_named_until_the_last_one_is_gone(segment: Segment) -> None:
    async with serving(segment) as here:
        here.claim()
        here.claim(mac=OTHER)
        assert here.conflict is not None
        assert here.conflict.endswith(f"{OTHER}, {MAC}")
        here.a.keeper.settled(VIP, OTHER)
        assert here.conflict == TOLD
        assert [reason for reason, _text in here.events].count("AddressConflictOver") == 0


@virtual
async def test_an_address_that_is_left_to_another_machine_is_told_though_nothing_is_announced(
    segment: Segment,
) -> None:
    async with serving(segment) as here:
        here.a.keeper.yield_to(VIP, MAC, 60)
        here.claim(Manner.YIELD)
        await anyio.sleep(0.1)
        assert not here.a.announced(VIP)
        found = here.services.announcement(KEY)
        assert found is not None
        assert found.conflict == "10.0.0.99 is not announced by a, and claimed on eth0 by 02:00:00:00:00:99"
        assert found.host is None
        assert here.services.statistics().announced_by_namespace == {}


@virtual
async def test_a_node_that_holds_nothing_of_it_tells_nothing(segment: Segment) -> None:
    async with serving(segment) as here:
        here.claim()
        here.a.follow()
        await anyio.sleep(0.1)
        here.a.keeper.settled(VIP, MAC)
        assert here.services.announcement(KEY) is None


@virtual
async def test_of_two_holders_the_one_of_the_first_address_tells(segment: Segment) -> None:
    """Else each would end what the other one tells, for ever."""
    governing = {VIP2.address: OTHER_LEASE}
    async with serving(segment, addresses="10.0.0.98,10.0.0.99", governing=governing) as here:
        assert here.a.announced(VIP)
        assert not here.a.announced(VIP2)
        here.claim()
        found = here.services.announcement(KEY)
        assert found is not None
        assert found.conflict is None
