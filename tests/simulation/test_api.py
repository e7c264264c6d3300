"""The API server of a simulation, and the ways to it: real answers, and everything that can happen to them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import anyio
import attrs
import msgspec
import pytest

from kubevip.errors import ApiError, ApiUnavailable, Conflict, NotFound, ResourceExpired
from kubevip.testing import virtual
from kubevip.testing.simulation.chronicle import Chronicle, Told, Wrote
from kubevip.testing.simulation.client import SimulatedClient
from kubevip.testing.simulation.line import DEAD_AFTER, Line
from kubevip.testing.simulation.server import LEASES, ApiServer

LIST = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
LEASE = f"{LIST}/lock"


@attrs.define(eq=False)
class Site:
    """A server, and two nodes that ask it."""

    chronicle: Chronicle = attrs.field(factory=Chronicle)
    server: ApiServer = attrs.field(init=False)
    line: Line = attrs.field(init=False)
    client: SimulatedClient = attrs.field(init=False)
    other: SimulatedClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.server = ApiServer(random.Random(1), self.chronicle)
        self.line = Line(self.server, random.Random(2), 0.01)
        self.client = SimulatedClient("a", 1, self.line, self.chronicle)
        self.other = SimulatedClient("b", 1, Line(self.server, random.Random(3), 0.01), self.chronicle)

    def versions(self) -> list[int]:
        return [write.version for write in self.chronicle.all(Wrote)]


def body(holder: str, version: str = "") -> dict[str, Any]:
    metadata = {"name": "lock", "namespace": "kube-system", **({"resourceVersion": version} if version else {})}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 5, "leaseTransitions": 0}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


async def create(client: SimulatedClient, holder: str = "a") -> str:
    answer = msgspec.json.decode(await client.request("POST", LIST, body=body(holder)))
    return str(answer["metadata"]["resourceVersion"])


async def holder(client: SimulatedClient) -> str:
    return str(msgspec.json.decode(await client.request("GET", LEASE))["spec"]["holderIdentity"])


@contextlib.asynccontextmanager
async def watching(client: SimulatedClient, version: str, silence: float = 30.0) -> AsyncIterator[AsyncIterator[bytes]]:
    query = [("watch", "true"), ("resourceVersion", version), ("fieldSelector", "metadata.name=lock")]
    async with client.stream(LIST, query=query, silence=silence) as lines:
        yield lines


def shown(line: bytes) -> tuple[str, str]:
    event = msgspec.json.decode(line)
    return event["type"], event["object"]["spec"]["holderIdentity"]


async def failure(asked: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await asked
    return caught.value


@virtual
async def test_who_writes_a_version_that_is_gone_meets_a_conflict() -> None:
    site = Site()
    version = await create(site.client)
    await site.other.request("PUT", LEASE, body=body("b", version))
    assert isinstance(await failure(site.client.request("PUT", LEASE, body=body("a", version))), Conflict)
    assert await holder(site.client) == "b"


@virtual
async def test_a_lease_that_is_not_there_is_not_found() -> None:
    assert isinstance(await failure(Site().client.request("GET", LEASE)), NotFound)


@virtual
async def test_a_watch_shows_each_change_in_order() -> None:
    site = Site()
    version = await create(site.client)
    async with watching(site.other, version) as lines:
        for name in "xyz":
            answer = msgspec.json.decode(await site.client.request("PUT", LEASE, body=body(name, version)))
            version = answer["metadata"]["resourceVersion"]
        assert [shown(await anext(lines)) for _name in "xyz"] == [("MODIFIED", name) for name in "xyz"]


@virtual
async def test_a_watch_begins_where_the_list_ended() -> None:
    site = Site()
    version = await create(site.client)
    await site.client.request("PUT", LEASE, body=body("b", version))
    async with watching(site.client, version) as lines:
        assert shown(await anext(lines)) == ("MODIFIED", "b")


@virtual
async def test_a_watch_from_a_forgotten_version_is_refused() -> None:
    site = Site()
    version = await create(site.client)
    await site.client.request("PUT", LEASE, body=body("b", version))
    site.server.forget()
    with pytest.raises(ResourceExpired):
        async with watching(site.client, version):
            pass


@virtual
async def test_a_watch_that_lags_shows_all_the_same_later() -> None:
    site = Site()
    version = await create(site.client)
    site.line.conditions.lag = 100.0
    async with watching(site.client, version, silence=1000.0) as lines:
        await site.other.request("PUT", LEASE, body=body("b", version))
        before = asyncio.get_running_loop().time()
        assert shown(await anext(lines)) == ("MODIFIED", "b")
        assert asyncio.get_running_loop().time() - before > 1


@virtual
async def test_a_silent_watch_counts_as_dead() -> None:
    site = Site()
    version = await create(site.client)
    async with watching(site.client, version, silence=3.0) as lines:
        before = asyncio.get_running_loop().time()
        with pytest.raises(ApiUnavailable):
            await anext(lines)
        assert asyncio.get_running_loop().time() - before == pytest.approx(3.0)


@virtual
async def test_a_request_over_a_cut_line_gets_no_answer_in_time() -> None:
    site = Site()
    site.line.cut(requests=True, replies=True)
    before = asyncio.get_running_loop().time()
    assert isinstance(await failure(site.client.request("GET", LEASE, timeout=4.0)), ApiUnavailable)
    assert asyncio.get_running_loop().time() - before == pytest.approx(4.0)


@virtual
async def test_a_request_that_was_held_up_is_carried_out_though_its_sender_has_given_up() -> None:
    site = Site()
    # Of five that are held up one or another gets through.
    site.line.cut(requests=True, replies=False)
    for _try in range(5):
        await failure(site.client.request("POST", LIST, body=body("a"), timeout=0.1))
    assert site.server.store.get(LEASES, ("kube-system", "lock")) is None
    site.line.mend(requests=True, replies=False)
    await anyio.sleep(1)
    assert await holder(site.other) == "a"


@virtual
async def test_where_only_replies_are_cut_a_write_happens_without_an_answer() -> None:
    site = Site()
    site.line.cut(requests=False, replies=True)
    await failure(site.client.request("POST", LIST, body=body("a"), timeout=1.0))
    assert await holder(site.other) == "a"


@virtual
async def test_a_lost_reply_breaks_the_connection_after_the_write() -> None:
    site = Site()
    site.line.conditions.losing = 1.0
    assert isinstance(await failure(site.client.request("POST", LIST, body=body("a"))), ApiUnavailable)
    assert await holder(site.other) == "a"


@virtual
async def test_a_write_that_arrives_twice_conflicts_with_itself() -> None:
    site = Site()
    version = await create(site.client)
    site.line.conditions.doubling = 1.0
    assert isinstance(await failure(site.client.request("PUT", LEASE, body=body("b", version))), Conflict)
    assert await holder(site.other) == "b"


@virtual
async def test_a_server_that_errs_says_so_and_when_to_come_again() -> None:
    site = Site()
    site.line.conditions.erring, site.line.conditions.status = 1.0, 429
    error = await failure(site.client.request("POST", LIST, body=body("a")))
    assert isinstance(error, ApiUnavailable)
    assert (error.status, error.retry_after) == (429, 1.0)
    assert site.versions() == []


@virtual
async def test_a_server_that_refuses_says_so_at_once_and_ends_watches() -> None:
    site = Site()
    version = await create(site.client)
    async with watching(site.client, version) as lines:
        site.line.conditions.refusing += 1
        site.line.break_streams()
        assert isinstance(await failure(anext(lines)), ApiUnavailable)
    before = asyncio.get_running_loop().time()
    assert isinstance(await failure(site.client.request("GET", LEASE)), ApiUnavailable)
    assert asyncio.get_running_loop().time() - before < 0.1


@virtual
async def test_a_watch_over_a_cut_line_is_found_dead_and_one_over_a_mended_one_goes_on() -> None:
    site = Site()
    version = await create(site.client)
    async with watching(site.client, version, silence=1000) as lines:
        site.line.cut(requests=True, replies=True)
        await site.other.request("PUT", LEASE, body=body("b", version))
        await anyio.sleep(DEAD_AFTER / 2)
        site.line.mend(requests=True, replies=True)
        assert shown(await anext(lines)) == ("MODIFIED", "b")
        site.line.cut(requests=True, replies=True)
        assert isinstance(await failure(anext(lines)), ApiUnavailable)


@virtual
async def test_the_chronicle_has_who_wrote_and_who_learnt() -> None:
    site = Site()
    version = int(await create(site.client))
    (wrote,) = site.chronicle.all(Wrote)
    assert (wrote.node, wrote.holder, wrote.before, wrote.version) == ("a", "a", "", version)
    assert wrote.asked < wrote.time
    await holder(site.other)
    assert [(told.node, told.holder, told.version) for told in site.chronicle.all(Told)] == [
        ("a", "a", version),
        ("b", "a", version),
    ]


@virtual
async def test_a_closed_watch_is_told_nothing() -> None:
    site = Site()
    version = await create(site.client)
    async with watching(site.client, version):
        assert len(site.server.watches.all()) == 1
    assert site.server.watches.all() == ()
