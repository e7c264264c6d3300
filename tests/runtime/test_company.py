"""Whom a lone candidate may ask whether it is cut off."""

import ipaddress

import anyio

from kubevip.model import Vip
from kubevip.runtime.company import LATER, SOON, Company
from kubevip.runtime.witnesses import Witnesses
from kubevip.testing import FakeHost, MemoryNeighbourhood, Segment, virtual

VIPS = [Vip.parse(text, interface="eth0") for text in ("10.0.0.99", "10.0.0.98", "fd00::99")]
GATEWAY, ROUTER, NEIGHBOUR = (ipaddress.ip_address(text) for text in ("10.0.0.1", "fe80::1", "10.0.0.2"))


async def known(hood: MemoryNeighbourhood, seconds: float, *later: Vip) -> list[Vip]:
    host, vips = FakeHost("a", Segment()), list(VIPS) if not later else []
    company = Company(Witnesses((), host.links, hood), lambda: vips)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(company.run)
        await anyio.sleep(0.1)
        vips.extend(later)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return list(company.known())


@virtual
async def test_the_gateways_of_both_families_are_known() -> None:
    hood = MemoryNeighbourhood(routes={"eth0": (GATEWAY, ROUTER)})
    assert await known(hood, 0) == [Vip(GATEWAY, "eth0"), Vip(ROUTER, "eth0")]


@virtual
async def test_a_neighbour_may_be_the_holder_and_is_not_asked() -> None:
    assert await known(MemoryNeighbourhood(reachable={"eth0": (NEIGHBOUR,)}), LATER) == []


@virtual
async def test_addresses_that_come_later_bring_their_witnesses() -> None:
    hood = MemoryNeighbourhood(routes={"eth0": (GATEWAY,)})
    assert await known(hood, SOON, VIPS[0]) == [Vip(GATEWAY, "eth0")]
