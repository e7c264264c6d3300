"""Events: written where that is allowed, each once, and never at the cost of anything else."""

import contextlib
import logging

import anyio
import pytest

from kubevip.kube import events as events_module
from kubevip.kube.events import BACKLOG, Events
from tests.waiting import until


@contextlib.asynccontextmanager
async def writing(client):
    events = Events(client, "node1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(events.run)
        yield events
        tasks.cancel_scope.cancel()


async def wait_written(api, count):
    async def written():
        found = await api.list("events")
        return found if len(found) >= count else None

    return await until(written)


async def test_event_says_who_noted_what_of_which_service(api):
    made = await api.create_service()
    async with writing(api.admin) as events:
        events.warning(api.service(), made["metadata"]["uid"], "AddressConflict", "somebody answers for 10.0.0.5")
        (found,) = await wait_written(api, 1)
    assert found["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": api.namespace,
        "name": "web",
        "uid": made["metadata"]["uid"],
    }
    assert (found["type"], found["reason"]) == ("Warning", "AddressConflict")
    assert found["message"] == "somebody answers for 10.0.0.5"
    assert (found["source"], found["count"]) == ({"component": "kubevip", "host": "node1"}, 1)
    assert found["firstTimestamp"] == found["lastTimestamp"]


async def test_event_of_a_long_name_is_accepted(api):
    name = "x" * 63
    async with writing(api.admin) as events:
        events.normal(api.service(name), "", "Announced", "announcing")
        (found,) = await wait_written(api, 1)
    assert found["involvedObject"]["name"] == name


async def test_same_event_is_written_once(emulator):
    async with writing(emulator.admin) as events:
        for _ in range(5):
            events.normal(emulator.service(), "", "Announced", "announcing 10.0.0.5")
        events.normal(emulator.service(), "", "Announced", "announcing 10.0.0.6")
        await wait_written(emulator, 2)
    assert len(await emulator.list("events")) == 2


async def test_same_event_is_written_again_later(emulator, monkeypatch):
    monkeypatch.setattr(events_module, "REPEAT_AFTER", 0.1)
    async with writing(emulator.admin) as events:
        events.normal(emulator.service(), "", "Announced", "announcing")
        await wait_written(emulator, 1)
        await anyio.sleep(0.1)
        events.normal(emulator.service(), "", "Announced", "announcing")
        await wait_written(emulator, 2)


async def test_who_may_not_write_asks_once(api, caplog):
    caplog.set_level(logging.INFO, "kubevip")
    async with api.client() as client:
        events = Events(client, "node1")
        events.normal(api.service(), "", "Announced", "one")
        events.normal(api.service(), "", "Announced", "two")
        with anyio.fail_after(10):
            await events.run()
        events.normal(api.service(), "", "Announced", "three")
    (record,) = [each for each in caplog.records if "writing no Events" in each.message]
    assert 'cannot create resource "events"' in record.reason
    assert await api.list("events") == []


async def test_refusal_is_one_request(emulator):
    async with emulator.client() as client:
        events = Events(client, "node1")
        before = emulator.server.statistics().requests
        for number in range(10):
            events.normal(emulator.service(), "", "Announced", str(number))
        with anyio.fail_after(10):
            await events.run()
        assert emulator.server.statistics().requests - before == 1


async def test_namespace_that_is_being_deleted_is_no_reason_to_stop(api):
    """The API server refuses new objects there with a 403 too."""
    ended = f"{api.namespace}-ended"
    path = f"/api/v1/namespaces/{ended}"
    body = {"metadata": {"name": ended, "finalizers": ["example.com/keep"]}}
    await api.admin.request("POST", "/api/v1/namespaces", body=body)
    await api.admin.request("DELETE", path)
    async with writing(api.admin) as events:
        events.normal(type(api.service())(ended, "web"), "", "NoEndpoints", "not announced")
        events.normal(api.service(), "", "Announced", "announcing")
        await wait_written(api, 1)


@pytest.mark.parametrize("status", [409, 422, 500, 503])
async def test_event_that_can_not_be_written_does_not_keep_back_the_next(emulator, status):
    emulator.fault("status", status=status, verbs=("create",), resources=("events",), count=1)
    async with writing(emulator.admin) as events:
        events.normal(emulator.service(), "", "Announced", "lost")
        events.normal(emulator.service(), "", "Announced", "written")
        (found,) = await wait_written(emulator, 1)
    assert found["message"] == "written"


async def test_oldest_are_dropped_where_there_are_too_many(emulator):
    events = Events(emulator.admin, "node1")
    for number in range(BACKLOG + 10):
        events.normal(emulator.service(), "", "Announced", str(number))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(events.run)
        found = await wait_written(emulator, BACKLOG)
        tasks.cancel_scope.cancel()
    assert {each["message"] for each in found} == {str(number) for number in range(10, BACKLOG + 10)}
