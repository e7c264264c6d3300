"""Which Lease governs an address, as ``kubevip handover`` finds it."""

import ipaddress

import pytest

from kubevip.kube.governing import Leases
from kubevip.model import LeaseKey
from tests.kube.conftest import Api

CONTROL_PLANE, SERVICES = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
WEB, OTHER = "10.0.0.101", "10.0.0.102"
FORCED = {"kube-vip.io/forcePerServiceElection": "true"}


async def add(api: Api, name: str, annotations: dict[str, str] | None = None, **spec: object) -> None:
    texts = {"kube-vip.io/loadbalancerIPs": WEB, **(annotations or {})}
    document = {"metadata": {"name": name, "annotations": texts}, "spec": {"type": "LoadBalancer", **spec}}
    document["spec"]["ports"] = [{"port": 80}]
    await api.create("services", document)


async def governing(api: Api, address: str = WEB, **told: bool) -> LeaseKey | None:
    leases = Leases(control_plane=CONTROL_PLANE, services=SERVICES, **told)
    return await leases.governing(api.admin, ipaddress.ip_address(address))


async def test_by_default_it_is_the_lease_of_all_services(emulator: Api) -> None:
    await add(emulator, "web")
    assert await governing(emulator) == SERVICES
    assert await governing(emulator, OTHER) is None


async def test_it_is_the_services_own(emulator: Api) -> None:
    await add(emulator, "web")
    assert await governing(emulator, own=True) == emulator.lease("kubevip-web")
    assert await governing(emulator, OTHER, own=True) is None


async def test_of_several_it_is_the_primarys(emulator: Api) -> None:
    await add(emulator, "b")
    await add(emulator, "a")
    found = await governing(emulator, own=True)
    created = [(each["metadata"]["creationTimestamp"], each["metadata"]["name"]) for each in await all_of(emulator)]
    assert found == emulator.lease(f"kubevip-{min(created)[1]}")


async def all_of(api: Api) -> list[dict[str, dict[str, str]]]:
    return [each for each in await api.list("services") if each["metadata"]["name"] in ("a", "b")]


async def test_it_is_the_one_that_is_named(emulator: Api) -> None:
    await add(emulator, "web", {"kube-vip.io/leaseName": "infra/ours"})
    assert await governing(emulator, own=True) == LeaseKey("infra", "ours")


async def test_a_service_that_is_not_served_governs_nothing(emulator: Api) -> None:
    await add(emulator, "web", {"kube-vip.io/leaseName": "ours"}, externalTrafficPolicy="Local")
    assert await governing(emulator, own=True) is None


@pytest.mark.parametrize(("annotations", "own"), [({}, False), (FORCED, True)])
async def test_on_demand_the_annotation_decides(emulator: Api, annotations: dict[str, str], own: bool) -> None:
    await add(emulator, "web", annotations)
    expected = emulator.lease("kubevip-web") if own else SERVICES
    assert await governing(emulator, on_demand=True) == expected
