"""The example's own tests: its entry point, its side of the contract, and what it makes of NetBox's answers."""

import ipaddress
import itertools
import tomllib
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubevip.plugin import AddressTaken, Family, KubeVipError, NoFamily, PoolExhausted, PoolSource, Request
from kubevip.registry import SourceRegistry
from kubevip.testing import check_pool_source

HERE = Path(__file__).parent
API = "/api/ipam"


class SmallNetBox:
    """As much of NetBox 4's API as matters here, with its status codes and forms, on a port of this machine."""

    def __init__(self, *prefixes: str) -> None:
        self.prefixes = dict(enumerate(map(ipaddress.ip_network, prefixes), start=7))
        self.addresses: dict[int, dict[str, Any]] = {}
        self.numbers = itertools.count(1)
        self.settings = {"NETBOX_AUTHORIZATION": "Token secret"}

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self.authorize])
        application.add_routes(
            [
                web.get(f"{API}/prefixes/", self.list_prefixes),
                web.post(API + "/prefixes/{id}/available-ips/", self.take_available),
                web.get(f"{API}/ip-addresses/", self.list_addresses),
                web.post(f"{API}/ip-addresses/", self.add_address),
                web.delete(API + "/ip-addresses/{id}/", self.delete_address),
            ]
        )
        return application

    @web.middleware
    async def authorize(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Token secret":
            return web.json_response({"detail": "Invalid token"}, status=403)
        response: web.StreamResponse = await handler(request)
        return response

    async def list_prefixes(self, request: web.Request) -> web.Response:
        wanted = request.query["prefix"]
        return page({"id": number, "prefix": str(net)} for number, net in self.prefixes.items() if str(net) == wanted)

    async def take_available(self, request: web.Request) -> web.Response:
        net = self.prefixes[int(request.match_info["id"])]
        wish = await request.json()
        used = {ipaddress.ip_interface(each["address"]).ip for each in self.addresses.values()}
        free = next((host for host in net.hosts() if host not in used), None)
        if free is None:
            detail = "Insufficient resources are available to satisfy the request"
            return web.json_response({"detail": detail}, status=409)
        return self.created({**wish, "address": f"{free}/{net.prefixlen}"})

    async def list_addresses(self, request: web.Request) -> web.Response:
        return page(
            each for each in self.addresses.values() if all(fits(each, *want) for want in request.query.items())
        )

    async def add_address(self, request: web.Request) -> web.Response:
        wish = await request.json()
        address = ipaddress.ip_interface(wish["address"])
        if any(fits(each, "address", str(address.ip)) for each in self.addresses.values()):
            return web.json_response({"address": ["Duplicate IP address found in global table"]}, status=400)
        return self.created({**wish, "address": str(address)})

    async def delete_address(self, request: web.Request) -> web.Response:
        del self.addresses[int(request.match_info["id"])]
        return web.Response(status=204)

    def created(self, address: dict[str, Any]) -> web.Response:
        number = next(self.numbers)
        self.addresses[number] = {"id": number, **address}
        return web.json_response(self.addresses[number], status=201)


def page(results: Any) -> web.Response:
    found = list(results)
    return web.json_response({"count": len(found), "next": None, "previous": None, "results": found})


def fits(address: dict[str, Any], field: str, wanted: str) -> bool:
    ip = ipaddress.ip_interface(address["address"]).ip
    if field == "parent":
        return ip in ipaddress.ip_network(wanted)
    return str(ip) == wanted if field == "address" else bool(address[field] == wanted)


@pytest.fixture
async def netbox() -> AsyncIterator[SmallNetBox]:
    """A NetBox with two prefixes."""
    found = SmallNetBox("10.0.0.0/28", "fd00::/64")
    runner = web.AppRunner(found.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    found.settings["NETBOX_URL"] = f"http://{host}:{port}"
    yield found
    await runner.cleanup()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> SourceRegistry:
    """The entry points of this package, as they are when it is installed."""
    monkeypatch.syspath_prepend(str(HERE))
    points = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"]["kubevip.ipam"]
    return SourceRegistry([EntryPoint(name, value, "kubevip.ipam") for name, value in points.items()])


def source(registry: SourceRegistry, netbox: SmallNetBox, text: str = "10.0.0.0/28 staging") -> PoolSource:
    return registry["netbox"]("source-web", text, netbox.settings)


def request(name: str = "shop", family: Family | None = None) -> Request:
    return Request(key=f"web/{name}", namespace="web", family=family)


@pytest.mark.parametrize("text", ["10.0.0.0/28 staging", "fd00::/64 staging"])
async def test_keeps_the_contract(registry: SourceRegistry, netbox: SmallNetBox, text: str) -> None:
    await check_pool_source("netbox", text=text, registry=registry, settings=netbox.settings)
    assert not netbox.addresses


async def test_netbox_shows_who_has_an_address(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    async with source(registry, netbox) as pool:
        assert list(map(str, await pool.allocate(request()))) == ["10.0.0.1"]
    (shown,) = netbox.addresses.values()
    assert (shown["address"], shown["description"]) == ("10.0.0.1/28", "staging web/shop")


async def test_two_clusters_share_a_prefix(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    async with source(registry, netbox) as staging, source(registry, netbox, "10.0.0.0/28 live") as live:
        assert await staging.allocate(request()) != await live.allocate(request())
        await staging.release("web/shop")
        assert [each["description"] for each in netbox.addresses.values()] == ["live web/shop"]


async def test_an_address_of_somebody_else_is_not_taken_over(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    netbox.created({"address": "10.0.0.1/28", "description": "a printer"})
    async with source(registry, netbox) as pool:
        with pytest.raises(AddressTaken, match=r"10\.0\.0\.1 down for somebody else"):
            await pool.adopt("web/shop", [ipaddress.ip_address("10.0.0.1")])


async def test_a_full_prefix_is_told(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    async with source(registry, netbox) as pool:
        for number in range(14):
            await pool.allocate(request(f"shop-{number}"))
        with pytest.raises(PoolExhausted, match="409"):
            await pool.allocate(request())


async def test_a_family_that_the_prefix_lacks_is_told(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    async with source(registry, netbox) as pool:
        with pytest.raises(NoFamily, match="has IPv4 addresses alone"):
            await pool.allocate(request(family=Family.IPV6))


async def test_a_netbox_that_refuses_or_is_not_there_is_told(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    for change in ({"NETBOX_AUTHORIZATION": "Token wrong"}, {"NETBOX_URL": "http://127.0.0.1:9"}):
        async with registry["netbox"]("source-web", "10.0.0.0/28 staging", {**netbox.settings, **change}) as pool:
            with pytest.raises(KubeVipError, match="NetBox: "):
                await pool.allocate(request())


@pytest.mark.parametrize("text", ["", "10.0.0.0/28", "10.0.0.1/28 staging", "web staging"])
async def test_a_text_that_means_nothing_is_told(registry: SourceRegistry, netbox: SmallNetBox, text: str) -> None:
    with pytest.raises(KubeVipError, match="netbox needs PREFIX CLUSTER"):
        async with source(registry, netbox, text):
            pass


async def test_a_setting_that_lacks_is_told(registry: SourceRegistry, netbox: SmallNetBox) -> None:
    del netbox.settings["NETBOX_URL"]
    with pytest.raises(KubeVipError, match="NETBOX_URL"):
        async with source(registry, netbox):
            pass
