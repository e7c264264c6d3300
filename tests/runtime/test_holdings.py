"""What is known to be on the links of this node."""

import logging

import pytest

from kubevip.model import Family
from kubevip.ports import Addresses
from kubevip.reconcile import Hold
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.putting import Putting
from kubevip.runtime.viplog import VipLog
from kubevip.testing import FakeHost, Segment, virtual
from tests.runtime.keeping import VIP, now


async def holding(addresses: Addresses, host: FakeHost, lifetime: int) -> Holdings:
    log = VipLog(logging.getLogger(__name__), lambda _vip: None)
    held = Holdings(
        addresses, {}, Putting(addresses, host.links, set(Family)), log, lambda _vip: True, lambda _vip: None
    )
    await held.hold([Hold(VIP, lifetime, announce=False, until=now() + 60)])
    return held


@virtual
@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (3.9, "someone removed it"),
        (4.0, "its lifetime was over before it was renewed: this node is too busy"),
    ],
)
async def test_what_is_gone_is_gone_for_a_reason(segment: Segment, after: float, reason: str) -> None:
    host = FakeHost("a", segment)
    held = await holding(host.addresses, host, 4)
    assert held.lost(VIP.address, VIP.interface, now() + after) == {VIP: reason}
    assert not held.is_on_link(VIP)
