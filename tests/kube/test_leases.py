"""Leases in the API: written as client-go writes them, swapped only where nobody else wrote, seen as they change."""

import contextlib
import datetime
import re

import anyio
import attrs
import pytest
from aiohttp import web

from kubevip.errors import ApiUnavailable, Forbidden, LeaseConflict
from kubevip.kube.leases import KubeLeases, micro_time, to_body, to_record
from kubevip.kube.resources import RawLease
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey
from tests.kube.conftest import NOBODY
from tests.waiting import until

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NODE1 = Claim("node1", 5, 0, fresh=True)
RENEWAL = Claim("node1", 5, 0, fresh=False)
NODE2 = Claim("node2", 5, 1, fresh=True)
RELEASE = Claim("", 1, 1, fresh=True)


@pytest.fixture
async def leases(api):
    async with api.client() as client:
        yield KubeLeases(client)


async def lease_of(api):
    return (await api.get("leases", "lock"))["spec"]


# Reading and writing


async def test_lease_that_is_not_there_is_none(api, leases):
    assert await leases.read(api.lease()) is None


async def test_first_lease_is_made_as_client_go_makes_it(api, leases):
    await leases.write(api.lease(), NODE1, None)
    spec = await lease_of(api)
    assert MICRO_TIME.fullmatch(spec["renewTime"])
    assert spec == {
        "holderIdentity": "node1",
        "leaseDurationSeconds": 5,
        "acquireTime": spec["renewTime"],
        "renewTime": spec["renewTime"],
        "leaseTransitions": 0,
    }


async def test_times_are_of_now(api, leases):
    before = datetime.datetime.now(datetime.UTC)
    await leases.write(api.lease(), NODE1, None)
    written = datetime.datetime.fromisoformat((await lease_of(api))["renewTime"])
    assert before <= written <= datetime.datetime.now(datetime.UTC)


async def test_renewal_changes_the_time_of_renewal_alone(api, leases):
    record = await leases.write(api.lease(), NODE1, None)
    first = await lease_of(api)
    await leases.write(api.lease(), RENEWAL, record)
    second = await lease_of(api)
    assert second["renewTime"] > first["renewTime"]
    assert {**second, "renewTime": first["renewTime"]} == first


async def test_takeover_counts_and_acquires(api, leases):
    record = await leases.write(api.lease(), NODE1, None)
    record = await leases.write(api.lease(), NODE2, record)
    spec = await lease_of(api)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("node2", 1)
    assert spec["acquireTime"] == spec["renewTime"]
    assert (record.holder, record.transitions) == ("node2", 1)


async def test_release_is_written_as_client_go_writes_it(api, leases):
    record = await leases.write(api.lease(), NODE1, None)
    record = await leases.write(api.lease(), NODE2, record)
    record = await leases.write(api.lease(), RELEASE, record)
    spec = await lease_of(api)
    assert spec == {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": spec["renewTime"],
        "renewTime": spec["renewTime"],
        "leaseTransitions": 1,
    }
    assert record.vacant


async def test_record_is_what_is_stored(api, leases):
    written = await leases.write(api.lease(), NODE1, None)
    read = await leases.read(api.lease())
    assert read == written
    assert (read.holder, read.duration, read.transitions) == ("node1", 5.0, 0)
    assert read.version == (await api.get("leases", "lock"))["metadata"]["resourceVersion"]


async def test_lease_that_is_there_already_is_not_made(api, leases):
    await leases.write(api.lease(), NODE1, None)
    with pytest.raises(LeaseConflict) as caught:
        await leases.write(api.lease(), NODE2, None)
    assert caught.value.status == 409
    assert (await lease_of(api))["holderIdentity"] == "node1"


async def test_lease_that_somebody_else_wrote_is_not_written(api, leases):
    old = await leases.write(api.lease(), NODE1, None)
    await leases.write(api.lease(), RENEWAL, old)
    with pytest.raises(LeaseConflict):
        await leases.write(api.lease(), NODE2, old)
    assert (await lease_of(api))["holderIdentity"] == "node1"


async def test_deleted_lease_is_not_written(api, leases):
    old = await leases.write(api.lease(), NODE1, None)
    await api.delete("leases", "lock")
    with pytest.raises(LeaseConflict):
        await leases.write(api.lease(), RENEWAL, old)
    assert await leases.read(api.lease()) is None


async def test_lease_that_was_made_anew_is_not_written(api, leases):
    old = await leases.write(api.lease(), NODE1, None)
    await api.delete("leases", "lock")
    await leases.write(api.lease(), NODE2, None)
    with pytest.raises(LeaseConflict):
        await leases.write(api.lease(), RENEWAL, old)


async def test_what_others_wrote_into_the_lease_survives(api, leases):
    metadata = {
        "name": "lock",
        "labels": {"team": "net"},
        "annotations": {"note": "mine"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "0b7e-4f"}],
        "finalizers": ["example.com/keep"],
    }
    made = await api.create("leases", {"metadata": metadata, "spec": {}})
    record = await leases.write(api.lease(), NODE1, await leases.read(api.lease()))
    await leases.write(api.lease(), RENEWAL, record)
    found = (await api.get("leases", "lock"))["metadata"]
    assert {name: found[name] for name in metadata} == metadata
    assert found["uid"] == made["metadata"]["uid"]


async def test_lease_without_a_spec_is_vacant(api, leases):
    await api.create("leases", {"metadata": {"name": "lock"}})
    record = await leases.read(api.lease())
    assert (record.vacant, record.duration, record.transitions) == (True, 0.0, 0)


async def test_missing_right_is_named(api):
    async with api.client(NOBODY) as client:
        with pytest.raises(Forbidden, match='cannot create resource "leases"'):
            await KubeLeases(client).write(api.lease(), NODE1, None)


async def test_reply_that_is_lost_leaves_it_open_whether_it_was_written(emulator):
    emulator.fault("lose-reply", verbs=("create",))
    with pytest.raises(ApiUnavailable):
        await KubeLeases(emulator.admin).write(emulator.lease(), NODE1, None)
    assert (await emulator.get("leases", "lock"))["spec"]["holderIdentity"] == "node1"


async def test_answer_that_is_no_lease_counts_as_none(scripted, tmp_path):
    """A proxy that answers 200 must not end the agent."""

    async def answer(_request):
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    scripted.answer = answer
    async with scripted.client(tmp_path) as client:
        leases = KubeLeases(client)
        with pytest.raises(ApiUnavailable, match="please log in"):
            await leases.read(LeaseKey("kube-system", "lock"))
        with pytest.raises(ApiUnavailable, match="please log in"):
            await leases.write(LeaseKey("kube-system", "lock"), NODE1, None)


# Watching


@attrs.define(eq=False)
class Seen:
    observations: list = attrs.field(factory=list)
    _news: anyio.Event = attrs.field(factory=anyio.Event)

    def __call__(self, observation):
        self.observations.append(observation)
        self._news.set()
        self._news = anyio.Event()

    @property
    def holders(self):
        return [each.record.holder if each.record else None for each in self.observations]

    async def wait(self, condition):
        with anyio.fail_after(10):
            while not condition(self):
                await self._news.wait()


@contextlib.asynccontextmanager
async def watching(leases, key):
    seen = Seen()
    async with leases.watch(key, seen):
        await seen.wait(lambda seen: seen.observations)
        yield seen


async def test_absence_is_seen_first(api, leases):
    async with watching(leases, api.lease()) as seen:
        assert seen.holders == [None]
        assert seen.observations[0].version.isdecimal()


async def test_present_state_is_seen_first(api, leases):
    record = await leases.write(api.lease(), NODE1, None)
    async with watching(leases, api.lease()) as seen:
        assert seen.observations[0].record == record
        assert seen.observations[0].version == record.version


async def test_each_change_is_seen(api, leases):
    async with watching(leases, api.lease()) as seen:
        first = await leases.write(api.lease(), NODE1, None)
        second = await leases.write(api.lease(), NODE2, first)
        await leases.write(api.lease(), RELEASE, second)
        await seen.wait(lambda seen: len(seen.observations) == 4)
        assert seen.holders == [None, "node1", "node2", ""]
        assert [each.version for each in seen.observations[1:3]] == [first.version, second.version]


async def test_deletion_is_seen_with_its_own_version(api, leases):
    record = await leases.write(api.lease(), NODE1, None)
    async with watching(leases, api.lease()) as seen:
        await api.delete("leases", "lock")
        await seen.wait(lambda seen: len(seen.observations) == 2)
        assert seen.holders == ["node1", None]
        assert int(seen.observations[1].version) > int(record.version)


async def test_other_leases_are_not_seen(api, leases):
    async with watching(leases, api.lease()) as seen:
        await leases.write(api.lease("other"), NODE2, None)
        await leases.write(api.lease(), NODE1, None)
        await seen.wait(lambda seen: len(seen.observations) == 2)
        assert seen.holders == [None, "node1"]


async def test_deletion_during_a_cut_is_seen(emulator):
    leases = KubeLeases(emulator.admin)
    await leases.write(emulator.lease(), NODE1, None)
    async with watching(leases, emulator.lease()) as seen:
        await until(lambda: emulator.server.statistics().streams)
        refusal = emulator.fault("status", status=503, verbs=("watch",))
        emulator.fault("cut-streams")
        await emulator.delete("leases", "lock")
        emulator.fault("expire")
        emulator.server.faults.remove(refusal)
        await seen.wait(lambda seen: seen.holders[-1] is None)


async def test_watch_ends_with_its_context(emulator):
    async with watching(KubeLeases(emulator.admin), emulator.lease()):
        await until(lambda: emulator.server.statistics().streams)
    await until(lambda: not emulator.server.statistics().streams)


# Texts


def test_what_is_not_known_of_a_spec_is_kept():
    raw = RawLease({"name": "lock", "resourceVersion": "7", "managedFields": [{}]}, {"preferredHolder": "x"})
    body = to_body(LeaseKey("ns", "lock"), NODE1, to_record(raw), datetime.datetime.now(datetime.UTC))
    assert body["spec"]["preferredHolder"] == "x"
    assert body["metadata"] == {"name": "lock", "namespace": "ns", "resourceVersion": "7"}


def test_record_of_another_store_is_written_too():
    body = to_body(LeaseKey("ns", "lock"), NODE1, Record("n", 5, 0, version="7"), datetime.datetime.now(datetime.UTC))
    assert body["metadata"] == {"name": "lock", "namespace": "ns", "resourceVersion": "7"}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.000000Z"),
        ("2026-01-02T03:04:05.000012+00:00", "2026-01-02T03:04:05.000012Z"),
        ("2026-01-02T03:04:05.5+05:30", "2026-01-01T21:34:05.500000Z"),
    ],
)
def test_micro_time_is_utc_with_six_digits(moment, text):
    assert micro_time(datetime.datetime.fromisoformat(moment)) == text


@pytest.mark.parametrize(
    "spec", [None, {}, {"holderIdentity": None, "leaseDurationSeconds": None, "leaseTransitions": None}]
)
def test_nothing_said_is_read_as_vacant(spec):
    record = to_record(RawLease({"resourceVersion": "3"}, spec))
    assert record == Record("", 0.0, 0, version="3")
