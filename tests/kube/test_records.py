"""Records of who holds a Service's addresses: one request where that is allowed, and nothing over what is newer."""

import ipaddress

from kubevip.custody import HOLDER, Custody, Holder
from kubevip.kube.records import Records

ADDRESS = ipaddress.ip_address("10.0.0.5")


def record(service, node="node1"):
    return Custody(service["metadata"]["uid"], {ADDRESS: Holder(node, "t1")})


async def test_a_service_that_is_as_it_was_seen_gets_its_record(api):
    service = await api.create_service()
    found = await Records(api.admin).swap(api.service(), service["metadata"]["resourceVersion"], record(service))
    written = await api.get("services", "web")
    assert found.record == record(service)
    assert found.version == written["metadata"]["resourceVersion"]
    assert written["metadata"]["annotations"] == {HOLDER: str(record(service))}
    assert written["spec"] == service["spec"]


async def test_that_takes_one_request(emulator):
    service = await emulator.create_service()
    before = emulator.server.statistics()
    await Records(emulator.admin).swap(emulator.service(), service["metadata"]["resourceVersion"], record(service))
    after = emulator.server.statistics()
    assert (after.version - before.version, after.requests - before.requests) == (1, 1)


async def test_a_service_that_has_changed_meanwhile_is_left_alone(api):
    service = await api.create_service()
    await api.replace("services", {**service, "metadata": {**service["metadata"], "labels": {"new": "label"}}})
    changed = await api.get("services", "web")
    version = service["metadata"]["resourceVersion"]
    assert await Records(api.admin).swap(api.service(), version, record(service)) is None
    assert await api.get("services", "web") == changed


async def test_a_service_that_was_made_anew_is_left_alone(api):
    service = await api.create_service()
    await api.delete("services", "web")
    await api.create_service()
    version = service["metadata"]["resourceVersion"]
    assert await Records(api.admin).swap(api.service(), version, record(service)) is None
    assert HOLDER not in ((await api.get("services", "web"))["metadata"].get("annotations") or {})


async def test_with_kube_vips_rights_it_is_written_in_two_requests(api):
    service = await api.create_service()
    async with api.client() as client:
        records = Records(client)
        assert await records.swap(api.service(), service["metadata"]["resourceVersion"], record(service)) is None
        found = await records.write(await records.read(api.service()), record(service))
    assert found.record == record(service)


async def test_what_is_forbidden_is_not_tried_again(emulator):
    service = await emulator.create_service()
    async with emulator.client() as client:
        records = Records(client)
        version = service["metadata"]["resourceVersion"]
        await records.swap(emulator.service(), version, record(service))
        before = emulator.server.statistics()
        assert await records.swap(emulator.service(), version, record(service)) is None
        assert emulator.server.statistics().requests == before.requests
