"""What is written into Services, and at which rate."""

import asyncio
from ipaddress import IPv4Address
from typing import Any, cast

import anyio
import attrs

from kubevip.controllers.publishing import NAMES_A_SECOND, Publishing
from kubevip.controllers.services import Announcement, Services
from kubevip.model import ServiceKey
from kubevip.service import HOST, Ingress, ServiceView
from kubevip.testing import virtual

ADDRESS = IPv4Address("10.0.0.5")
KEYS = [ServiceKey("default", f"web-{number}") for number in range(200)]
FRESH = ServiceKey("default", "fresh")


@attrs.define(eq=False)
class Known:
    """Services that all have an address, published by another node; but one of them, which has none yet."""

    publish: Any = None
    written: dict[ServiceKey, float] = attrs.field(factory=dict)

    def announcement(self, key: ServiceKey) -> Announcement:
        ingress = () if key == FRESH and key not in self.written else (Ingress(str(ADDRESS)),)
        host = "here" if key in self.written else "elsewhere"
        view = ServiceView(key=key, annotations={HOST: host}, ingress=ingress)
        return Announcement(view, (ADDRESS,), lambda _address: True, "here")

    async def write(self, key: ServiceKey, *_what: object) -> bool:
        self.written[key] = asyncio.get_running_loop().time()
        return True


@attrs.define(eq=False)
class Writer:
    """Writes into what is known."""

    known: Known

    async def publish(self, key: ServiceKey, *what: object) -> bool:
        return await self.known.write(key, *what)


async def after(seconds: float, *keys: ServiceKey) -> Known:
    """Have *keys* published; return what has become of them."""
    known = Known()
    publishing = Publishing(cast("Services", known), Writer(known))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publishing.run)
        for key in keys:
            known.publish(key)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return known


@virtual
async def test_the_name_of_the_node_is_written_at_once_into_a_single_service() -> None:
    assert (await after(0.01, KEYS[0])).written.keys() == {KEYS[0]}


@virtual
async def test_the_name_of_the_node_is_written_into_many_services_at_a_steady_rate() -> None:
    assert abs(len((await after(1, *KEYS)).written) - NAMES_A_SECOND) <= 2


@virtual
async def test_all_of_them_get_it_in_the_end() -> None:
    assert (await after(2 + len(KEYS) / NAMES_A_SECOND, *KEYS)).written.keys() == set(KEYS)


@virtual
async def test_an_address_is_published_before_the_names() -> None:
    assert FRESH in (await after(0.01, *KEYS, FRESH)).written
