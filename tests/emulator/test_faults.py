"""Each fault does what it says, over HTTP, to whom it is meant for."""

import asyncio
import time

import aiohttp
import pytest

from kubevip.emulator import Fault
from kubevip.errors import ConfigError

FAULTS = "/kubevip.emulator/faults"
CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)


@pytest.fixture
async def maps(client):
    for name in ("a", "b"):
        await client.create("configmaps", {"metadata": {"name": name}, "data": {"k": "0"}})
    return client


async def drain(events):
    return [event async for event in events]


def seen(events):
    return [event["object"]["metadata"]["name"] for event in events]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"action": "status"}, "status: None is no error"),
        ({"action": "status", "status": 200}, "status: 200 is no error"),
        ({"action": "delay"}, "seconds: 0.0 is no delay"),
        ({"action": "stale"}, "give either seconds or versions"),
        ({"action": "stale", "seconds": 1, "versions": 1}, "give either seconds or versions"),
        ({"action": "drop", "probability": 0}, "probability: 0"),
        ({"action": "drop", "probability": 1.5}, "probability: 1.5"),
        ({"action": "drop", "count": 0}, "count: 0"),
        ({"action": "drop", "resources": ("service",)}, "resources: 'service' is not served"),
        ({"action": "cut-off", "count": 1}, "cut-off: it can't have a count"),
    ],
)
def test_fault_that_makes_no_sense_is_refused(fault, text):
    with pytest.raises(ConfigError, match=text):
        Fault(**fault)


async def test_status_is_answered_as_often_as_said(emulator, maps):
    emulator.faults.add(Fault(action="status", status=503, verbs=("get",), count=2))
    codes = [(await maps.get("configmaps", "a")).status for _ in range(3)]
    assert codes == [503, 503, 200]


@pytest.mark.parametrize(
    ("code", "reason"), [(409, "Conflict"), (410, "Expired"), (500, "InternalError"), (504, "Timeout")]
)
async def test_status_has_its_reason(emulator, maps, code, reason):
    emulator.faults.add(Fault(action="status", status=code))
    answer = await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    assert (answer.status, answer.body["reason"]) == (code, reason)
    emulator.faults.clear()
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "0"}


async def test_injected_conflict_reads_like_a_true_one(emulator, maps):
    emulator.faults.add(Fault(action="status", status=409))
    answer = await maps.replace("configmaps", "a", {"metadata": {"name": "a"}})
    assert answer.message.startswith('Operation cannot be fulfilled on configmaps "a": the object has been modified')


async def test_too_many_requests_is_text_with_a_time_to_wait(emulator, maps):
    emulator.faults.add(Fault(action="status", status=429, retry_after=1.5))
    answer = await maps.get("configmaps")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.body.startswith("Too many requests")


@pytest.mark.parametrize(
    ("selector", "hit"),
    [
        ({}, True),
        ({"verbs": ("get",)}, True),
        ({"verbs": ("list",)}, False),
        ({"resources": ("configmaps",)}, True),
        ({"resources": ("configmaps/status",)}, False),
        ({"names": ("a",)}, True),
        ({"names": ("b",)}, False),
        ({"namespaces": ("default",)}, False),
        ({"users": ("admin",)}, True),
        ({"users": ("bob",)}, False),
        ({"clients": ("127.0.0.1",)}, True),
        ({"clients": ("127.0.0.2",)}, False),
    ],
)
async def test_fault_selects_its_requests(emulator, maps, selector, hit):
    emulator.faults.add(Fault(action="status", status=500, **selector))
    assert (await maps.get("configmaps", "a")).status == (500 if hit else 200)


async def test_fault_of_a_subresource(emulator, client):
    await client.create("services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    emulator.faults.add(Fault(action="status", status=500, resources=("services/status",)))
    assert (await client.patch("services", "s", {}, "status")).status == 500
    assert (await client.patch("services", "s", {})).status == 200


async def test_delay_holds_the_answer_back(emulator, maps):
    loop = asyncio.get_running_loop()
    emulator.faults.add(Fault(action="delay", seconds=0.2, names=("a",)))
    start = loop.time()
    await maps.get("configmaps", "a")
    assert loop.time() - start >= 0.2


async def test_drop_cuts_before_the_write(emulator, maps):
    emulator.faults.add(Fault(action="drop", verbs=("patch",), count=1))
    with pytest.raises(CUT):
        await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "0"}


async def test_lost_reply_cuts_after_the_write(emulator, maps):
    emulator.faults.add(Fault(action="lose-reply", verbs=("patch",), count=1))
    with pytest.raises(CUT):
        await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "1"}


async def test_streams_are_cut(emulator, maps):
    async with maps.watch("configmaps") as events, maps.watch("leases") as others:
        await anext(events)
        emulator.faults.add(Fault(action="cut-streams", resources=("configmaps",)))
        with pytest.raises((*CUT, aiohttp.ClientConnectionError)):
            await drain(events)
        await maps.create("leases", {"metadata": {"name": "l"}})
        assert seen([await anext(others)]) == ["l"]
    assert not emulator.faults.active()


async def test_streams_can_be_ended_by_an_error(emulator, maps):
    start = (await maps.get("configmaps")).version
    async with maps.watch("configmaps", resourceVersion=start) as events:
        emulator.faults.add(Fault(action="cut-streams", status=410))
        found = [event async for event in events]
    assert [event["type"] for event in found] == ["ERROR"]
    assert (found[0]["object"]["code"], found[0]["object"]["reason"]) == (410, "Expired")


async def test_history_expires(emulator, maps):
    old = (await maps.get("configmaps")).version
    await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    emulator.faults.add(Fault(action="expire", resources=("configmaps",)))
    async with maps.watch("configmaps", resourceVersion=old) as events:
        found = [event async for event in events]
    assert [event["type"] for event in found] == ["ERROR"]
    assert found[0]["object"]["reason"] == "Expired"
    assert found[0]["object"]["message"].startswith("too old resource version")


async def test_expired_history_does_not_trouble_a_stream_that_is_up_to_date(emulator, maps):
    start = (await maps.get("configmaps")).version
    async with maps.watch("configmaps", resourceVersion=start) as events:
        emulator.faults.add(Fault(action="expire"))
        await maps.delete("configmaps", "a")
        assert (await anext(events))["type"] == "DELETED"


async def test_stale_reads_show_versions_ago(emulator, maps):
    await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    number = emulator.faults.add(Fault(action="stale", versions=1))
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "0"}
    (item, _) = (await maps.get("configmaps")).body["items"]
    assert item["data"] == {"k": "0"}
    emulator.faults.remove(number)
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "1"}


async def test_stale_list_has_the_version_that_it_shows(emulator, maps):
    old = await maps.get("configmaps")
    await maps.delete("configmaps", "a")
    emulator.faults.add(Fault(action="stale", versions=1))
    answer = await maps.get("configmaps")
    assert (answer.version, answer.body["items"]) == (old.version, old.body["items"])


async def test_write_after_a_stale_read_is_a_conflict(emulator, maps):
    await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    emulator.faults.add(Fault(action="stale", versions=1))
    old = await maps.get("configmaps", "a")
    assert (await maps.replace("configmaps", "a", {**old.body, "data": {"k": "2"}})).status == 409


async def test_stale_server_does_not_pretend_to_be_newer(emulator, maps):
    new = await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    emulator.faults.add(Fault(action="stale", versions=1))
    for name in ("", "a"):
        answer = await maps.get("configmaps", name, resourceVersion=new.version)
        assert (answer.status, answer.body["reason"]) == (504, "Timeout")


async def test_one_read_may_be_stale(emulator, maps):
    await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    emulator.faults.add(Fault(action="stale", versions=1, count=1))
    texts = [(await maps.get("configmaps", "a")).body["data"]["k"] for _ in range(2)]
    assert texts == ["0", "1"]


async def test_stranger_is_cut_off_like_anybody(emulator, maps):
    emulator.faults.add(Fault(action="cut-off", clients=("127.0.0.1",), hang=False))
    maps.token = "nonsense"
    with pytest.raises(CUT):
        await maps.get("configmaps", "a")


async def test_stale_reads_are_for_who_is_selected(emulator, maps):
    await maps.patch("configmaps", "a", {"data": {"k": "1"}})
    emulator.faults.add(Fault(action="stale", versions=1, users=("bob",)))
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "1"}


async def test_stale_reads_show_seconds_ago(emulator, maps):
    emulator.faults.add(Fault(action="stale", seconds=60))
    assert (await maps.get("configmaps", "a")).status == 404


async def test_stale_stream_lags(emulator, maps):
    loop = asyncio.get_running_loop()
    start = (await maps.get("configmaps")).version
    emulator.faults.add(Fault(action="stale", seconds=0.3, verbs=("watch",)))
    async with maps.watch("configmaps", resourceVersion=start) as events:
        await maps.delete("configmaps", "a")
        written = loop.time()
        assert seen([await anext(events)]) == ["a"]
        assert loop.time() - written >= 0.25


async def test_stale_stream_lags_by_versions(emulator, maps):
    start = (await maps.get("configmaps")).version
    emulator.faults.add(Fault(action="stale", versions=1, verbs=("watch",)))
    async with maps.watch("configmaps", resourceVersion=start) as events:
        await maps.delete("configmaps", "a")
        await maps.delete("configmaps", "b")
        assert seen([await anext(events)]) == ["a"]
        emulator.faults.clear()
        assert seen([await anext(events)]) == ["b"]


async def test_cut_off_client_gets_no_answer_until_it_is_back(emulator, maps):
    number = emulator.faults.add(Fault(action="cut-off", users=("admin",)))
    request = asyncio.ensure_future(maps.get("configmaps", "a"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(request), 0.1)
    emulator.faults.remove(number)
    assert (await request).status == 200


async def test_cut_off_ends_by_itself(emulator, maps):
    loop = asyncio.get_running_loop()
    emulator.faults.add(Fault(action="cut-off", duration=0.2))
    start = loop.time()
    assert (await maps.get("configmaps", "a")).status == 200
    assert loop.time() - start >= 0.2
    assert not emulator.faults.active()


async def test_write_of_a_cut_off_client_is_not_done(emulator, maps):
    emulator.faults.add(Fault(action="cut-off", users=("admin",), verbs=("patch",)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(maps.patch("configmaps", "a", {"data": {"k": "1"}}), 0.1)
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "0"}
    emulator.faults.clear()
    assert (await maps.get("configmaps", "a")).body["data"] == {"k": "0"}


async def test_others_are_not_cut_off(emulator, maps):
    emulator.faults.add(Fault(action="cut-off", users=("bob",)))
    assert (await maps.get("configmaps", "a")).status == 200


async def test_stream_of_a_cut_off_client_goes_silent_and_catches_up(emulator, maps):
    start = (await maps.get("configmaps")).version
    async with maps.watch("configmaps", resourceVersion=start) as events:
        number = emulator.faults.add(Fault(action="cut-off", users=("admin",), verbs=("watch",)))
        await maps.delete("configmaps", "a")
        event = asyncio.ensure_future(anext(events))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(event), 0.1)
        emulator.faults.remove(number)
        assert seen([await event]) == ["a"]


async def test_silent_stream_does_not_end_when_its_time_is_up(emulator, maps):
    start = (await maps.get("configmaps")).version
    async with maps.watch("configmaps", resourceVersion=start, timeoutSeconds="1") as events:
        number = emulator.faults.add(Fault(action="cut-off", verbs=("watch",)))
        end, busy = asyncio.ensure_future(anext(events, None)), time.process_time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(end), 1.5)
        assert time.process_time() - busy < 0.25, "the silent stream must sleep"
        emulator.faults.remove(number)
        assert await end is None


async def test_cut_off_client_can_be_disconnected(emulator, maps):
    async with maps.watch("configmaps") as events:
        await anext(events)
        emulator.faults.add(Fault(action="cut-off", hang=False))
        with pytest.raises((*CUT, aiohttp.ClientConnectionError)):
            await drain(events)
        with pytest.raises(CUT):
            await maps.get("configmaps", "a")


async def test_chance_repeats_with_the_seed(emulator, maps):
    emulator.faults.add(Fault(action="status", status=500, probability=0.5))
    codes = [(await maps.get("configmaps", "a")).status for _ in range(40)]
    assert 5 < codes.count(500) < 35


async def test_faults_are_administered_over_http(maps):
    added = await maps.call("POST", FAULTS, {"action": "status", "status": 500, "names": ["a"], "count": 5})
    assert added.status == 201
    assert (await maps.get("configmaps", "a")).status == 500
    (found,) = (await maps.call("GET", FAULTS)).body["faults"]
    assert (found["id"], found["action"], found["names"]) == (added.body["id"], "status", ["a"])
    await maps.call("DELETE", f"{FAULTS}/{added.body['id']}")
    assert (await maps.get("configmaps", "a")).status == 200
    assert (await maps.call("DELETE", f"{FAULTS}/{added.body['id']}")).status == 404


async def test_all_faults_are_taken_back_together(maps):
    for _ in range(2):
        await maps.call("POST", FAULTS, {"action": "drop", "names": ["a"]})
    assert (await maps.call("DELETE", FAULTS)).body["faults"] == []
    assert (await maps.get("configmaps", "a")).status == 200


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"action": "explode"}, "Invalid enum value 'explode'"),
        ({"action": "drop", "bogus": 1}, "fault: bogus is unknown"),
        ([], "is unknown; an object with some of"),
        ({"action": "status"}, "status: None is no error"),
        (b"nope", "JSON is malformed"),
    ],
)
async def test_fault_that_cannot_be_read_is_a_bad_request(client, document, text):
    answer = await client.call("POST", FAULTS, document)
    assert answer.status == 400
    assert text in answer.message


async def test_faults_need_the_rights_of_an_administrator(client):
    client.token = "bob-token"
    answer = await client.call("GET", FAULTS)
    assert answer.status == 403
    assert 'User "bob" cannot get path "/kubevip.emulator/faults"' in answer.message


async def test_administration_is_not_struck_by_faults(emulator, client):
    emulator.faults.add(Fault(action="drop"))
    assert (await client.call("DELETE", FAULTS)).status == 200
