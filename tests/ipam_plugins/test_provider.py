"""The provider as it is, before the built-in API server, with addresses out of the example's NetBox."""

import contextlib
import importlib.util
import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import anyio
import attrs
import pytest
from aiohttp import web

import kubevip.provider
from kubevip.config import Kubeconfig
from kubevip.config.provider import load_provider
from kubevip.emulator import User, serve
from kubevip.errors import NotFound
from kubevip.kube.connect import connect
from kubevip.provider import Provider
from kubevip.registry import SourceRegistry
from kubevip.service import ADDRESSES
from tests.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_ipam"
SERVICES = "/api/v1/namespaces/web/services"
POINTS = [
    EntryPoint("netbox", "kubevip_netbox:NetBox", "kubevip.ipam"),
    EntryPoint("ranges", "kubevip.ranges:Ranges", "kubevip.ipam"),
]


@pytest.fixture(autouse=True)
def files_are_read_while_connecting(nothing_blocks_the_loop):
    for function in nothing_blocks_the_loop.functions.values():
        function.can_block_in("kubevip/kube/connect.py", {"connect"})
        function.can_block_in("kubevip/kube/client.py", {"__aenter__"})


def example_tests():
    spec = importlib.util.spec_from_file_location("example_of_netbox", EXAMPLE / "test_kubevip_netbox.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@attrs.define(eq=False)
class Site:
    """An API server, a NetBox, and what to do about them."""

    client: object
    netbox: object
    environ: dict

    async def create(self, name, **spec):
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
        await self.client.request("POST", SERVICES, body={"metadata": {"name": name}, "spec": spec})

    async def get(self, name):
        return json.loads(await self.client.request("GET", f"{SERVICES}/{name}"))

    async def address(self, name):
        return (await self.get(name))["metadata"].get("annotations", {}).get(ADDRESSES, "")

    async def is_gone(self, name):
        try:
            await self.get(name)
        except NotFound:
            return True
        return False

    def shown(self):
        """What NetBox shows: whose each address is."""
        return {each["address"]: each["description"] for each in self.netbox.addresses.values()}

    @contextlib.asynccontextmanager
    async def provider(self):
        settings, _notices = load_provider(self.environ, {"--prometheusHTTPServer": "off"})
        provider = Provider(settings, {**self.environ, **self.netbox.settings})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provider.run)
            yield
            provider.stop()


@pytest.fixture
async def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setattr(kubevip.provider, "SourceRegistry", lambda: SourceRegistry(POINTS))
    netbox = example_tests().SmallNetBox("10.0.0.0/29")
    runner = web.AppRunner(netbox.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    netbox.settings["NETBOX_URL"] = "http://{}:{}".format(*runner.addresses[0])
    kubeconfig = anyio.Path(tmp_path / "kubeconfig")
    async with serve(tokens={"admin": User("admin", ("system:masters",))}) as server:
        await kubeconfig.write_text(server.kubeconfig("admin"))
        async with await connect([Kubeconfig(paths=(Path(kubeconfig),), reason="the test's")]) as client:
            await client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": "web"}})
            config = {"metadata": {"name": "kubevip"}, "data": {"source-web": "netbox 10.0.0.0/29 staging"}}
            await client.request("POST", "/api/v1/namespaces/kube-system/configmaps", body=config)
            yield Site(client, netbox, {"KUBECONFIG": str(kubeconfig)})
    await runner.cleanup()


async def test_from_netbox_to_a_service_and_back(site):
    async with site.provider():
        await site.create("shop")
        assert await until(lambda: site.address("shop")) == "10.0.0.1"
        assert site.shown() == {"10.0.0.1/29": "staging web/shop"}
        await site.client.request("DELETE", f"{SERVICES}/shop")
        await until(lambda: site.is_gone("shop"))
        assert site.shown() == {}


async def test_a_type_change_gives_back(site):
    async with site.provider():
        await site.create("shop")
        await until(lambda: site.address("shop"))
        service = await site.get("shop")
        service["spec"]["type"] = "ClusterIP"
        await site.client.request("PUT", f"{SERVICES}/shop", body=service)
        await until(lambda: not site.shown())
        assert await site.address("shop") == ""


async def test_an_address_that_netbox_does_not_know_to_be_in_use_is_left_to_who_has_it(site):
    async with site.provider():
        await site.create("static", loadBalancerIP="10.0.0.1")
        await until(lambda: site.address("static"))
        await site.create("shop")
        assert await until(lambda: site.address("shop")) == "10.0.0.2"
        assert sorted(site.shown().values()) == ["staging web/shop", "staging web/static"]


async def test_a_restart_renumbers_nothing_and_tells_what_netbox_has_lost(site):
    async with site.provider():
        for name in ("shop", "blog"):
            await site.create(name)
        before = [await until(lambda name=name: site.address(name)) for name in ("shop", "blog")]
    site.netbox.addresses.clear()
    async with site.provider():
        await site.create("wiki")
        assert await until(lambda: site.address("wiki")) == "10.0.0.3"
        assert [await site.address(name) for name in ("shop", "blog")] == before
        assert len(site.shown()) == 3


async def test_exhaustion_is_told_on_the_service_and_healed_by_a_release(site):
    async def told():
        events = json.loads(await site.client.request("GET", "/api/v1/namespaces/web/events"))["items"]
        return next((each["message"] for each in events if each["involvedObject"]["name"] == "late"), "")

    async with site.provider():
        for number in range(6):
            await site.create(f"shop-{number}")
        for number in range(6):
            await until(lambda number=number: site.address(f"shop-{number}"))
        await site.create("late")
        assert (await until(told)).startswith("Error syncing load balancer: source-web: NetBox: 409")
        await site.client.request("DELETE", f"{SERVICES}/shop-3")
        assert await until(lambda: site.address("late"))
