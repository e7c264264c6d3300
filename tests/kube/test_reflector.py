"""The reflector: whoever is told by it knows what there is, whatever happens to the connection."""

import contextlib
import json
import logging
import time

import anyio
import attrs
import pytest
from aiohttp import web

from kubevip.kube import reflector as reflector_module
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import ENDPOINT_SLICES, LEASES, SERVICES
from tests.kube.conftest import NOBODY
from tests.waiting import until

BOUND = 10


@attrs.define(eq=False)
class Told:
    """A sink that knows what it was told, and lets a test wait until that is so."""

    calls: list[tuple[str, str]] = attrs.field(factory=list)
    known: dict[str, object] = attrs.field(factory=dict)
    versions: list[str] = attrs.field(factory=list)
    _news: anyio.Event = attrs.field(factory=anyio.Event)

    def applied(self, found):
        self.known[found.key.name] = found
        self._tell("applied", found.key.name)

    def deleted(self, found):
        self.known.pop(found.key.name, None)
        self._tell("deleted", found.key.name)

    def listed(self, keys, version):
        self.known = {name: found for name, found in self.known.items() if name in {key.name for key in keys}}
        self.versions.append(version)
        self._tell("listed", ",".join(sorted(key.name for key in keys)))

    def _tell(self, verb, name):
        self.calls.append((verb, name))
        self._news.set()
        self._news = anyio.Event()

    async def wait(self, condition):
        with anyio.fail_after(BOUND):
            while not condition():
                await self._news.wait()

    async def wait_known(self, *names):
        await self.wait(lambda: set(self.known) == set(names))


@contextlib.asynccontextmanager
async def following(client, resource=SERVICES, **options):
    told = Told()
    reflector = Reflector(client, resource, told, **options)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reflector.run)
        yield reflector, told
        tasks.cancel_scope.cancel()


# Listing


async def test_all_that_is_there_is_told_first(api):
    await api.create_service("a")
    await api.create_service("b")
    async with api.client() as client, following(client, namespace=api.namespace) as (reflector, told):
        with anyio.fail_after(BOUND):
            await reflector.wait_synced()
        assert sorted(told.calls[:2]) == [("applied", "a"), ("applied", "b")]
        assert told.calls[2] == ("listed", "a,b")


async def test_nothing_there_is_told_too(api):
    async with api.client() as client, following(client, namespace=api.namespace) as (_reflector, told):
        await told.wait(lambda: told.calls == [("listed", "")])
        assert told.versions[0].isdecimal()


async def test_long_list_comes_in_pages(api, monkeypatch):
    monkeypatch.setattr(reflector_module, "PAGE", 2)
    for name in "abcde":
        await api.create_service(name)
    async with api.client() as client, following(client, namespace=api.namespace) as (reflector, told):
        await told.wait(lambda: ("listed", "a,b,c,d,e") in told.calls)
        assert len(told.calls) == 6
        assert reflector.statistics().lists == 1


async def test_list_that_expires_between_its_pages_begins_anew(emulator, monkeypatch):
    monkeypatch.setattr(reflector_module, "PAGE", 2)
    for name in "abc":
        await emulator.create_service(name)
    emulator.fault("status", status=410, verbs=("list",), count=1)
    async with following(emulator.admin, namespace=emulator.namespace) as (_reflector, told):
        await told.wait(lambda: ("listed", "a,b,c") in told.calls)


async def test_field_selector_is_kept_to(api):
    for name in ("mine", "other"):
        await api.create("leases", {"metadata": {"name": name}, "spec": {}})
    options = {"namespace": api.namespace, "field_selector": "metadata.name=mine"}
    async with api.client() as client, following(client, LEASES, **options) as (_reflector, told):
        await told.wait_known("mine")
        await api.create("leases", {"metadata": {"name": "another"}, "spec": {}})
        await api.delete("leases", "mine")
        await told.wait_known()
        assert not [name for _verb, name in told.calls if name in ("other", "another")]


async def test_all_namespaces_are_watched_without_one(api):
    await api.create_service("unique-of-this-test")
    async with api.client() as client, following(client) as (_reflector, told):
        await told.wait(lambda: {"unique-of-this-test", "kubernetes"} <= set(told.known))


# Watching


async def test_changes_are_told_without_another_list(api):
    async with api.client() as client, following(client, namespace=api.namespace) as (reflector, told):
        await told.wait(lambda: bool(told.versions))
        made = await api.create_service("a")
        await told.wait(lambda: told.calls[-1] == ("applied", "a"))
        made["spec"]["ports"] = [{"port": 81}]
        await api.replace("services", made)
        await told.wait(lambda: "a" in told.known and told.known["a"].spec.ports[0].port == 81)
        await api.delete("services", "a")
        await told.wait_known()
        assert told.calls == [("listed", ""), ("applied", "a"), ("applied", "a"), ("deleted", "a")]
        assert reflector.statistics().lists == 1


async def test_events_are_counted_by_type(emulator):
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await told.wait(lambda: bool(told.versions))
        await emulator.create_service("a")
        await emulator.delete("services", "a")
        await until(lambda: reflector.statistics().events.get("BOOKMARK", 0) > 0)
        found = reflector.statistics().events
        assert (found["ADDED"], found["DELETED"]) == (1, 1)


async def test_cut_stream_is_taken_up_where_it_ended(emulator):
    await emulator.create_service("a")
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await told.wait_known("a")
        await until(lambda: reflector.statistics().streams == 1)
        emulator.fault("status", status=503, verbs=("watch",), count=2)
        emulator.fault("cut-streams")
        await emulator.create_service("b")
        await told.wait_known("a", "b")
        assert told.calls == [("applied", "a"), ("listed", "a"), ("applied", "b")]
        found = reflector.statistics()
        assert (found.lists, found.streams, found.failures) == (1, 2, 3)


async def test_deletion_during_a_cut_is_told(emulator):
    await emulator.create_service("a")
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 1)
        emulator.fault("status", status=503, verbs=("watch",), count=1)
        emulator.fault("cut-streams")
        await emulator.delete("services", "a")
        await told.wait(lambda: told.calls[-1] == ("deleted", "a"))
        assert reflector.statistics().lists == 1


async def test_stream_that_ends_in_time_is_no_failure(emulator, monkeypatch):
    monkeypatch.setattr(reflector_module, "WATCH_SECONDS", 1)
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 2)
        await emulator.create_service("a")
        await told.wait_known("a")
        found = reflector.statistics()
        assert (found.lists, found.failures, found.last_error) == (1, 0, "")


async def test_bookmark_moves_the_version_on(emulator):
    async with following(emulator.admin, ENDPOINT_SLICES, namespace=emulator.namespace) as (reflector, _told):
        await until(lambda: reflector.statistics().streams == 1)
        await emulator.create_service("a")
        seen = reflector.statistics().events.get("BOOKMARK", 0)
        await until(lambda: reflector.statistics().events.get("BOOKMARK", 0) > seen + 1)
        # Without the bookmark it would go on from before the history that is left, and have to list.
        emulator.fault("expire")
        emulator.fault("cut-streams")
        await until(lambda: reflector.statistics().streams == 2)
        assert reflector.statistics().lists == 1


# Expired versions


async def expire_while_cut(emulator, change):
    """Let the stream end, and *change* happen; when the server can be asked again it has forgotten about it."""
    refusal = emulator.fault("status", status=503, verbs=("watch",))
    emulator.fault("cut-streams")
    await change()
    emulator.fault("expire")
    emulator.server.faults.remove(refusal)


async def test_expired_version_is_healed_by_a_list(emulator):
    await emulator.create_service("a")
    await emulator.create_service("b")

    async def change():
        await emulator.delete("services", "a")
        await emulator.create_service("c")

    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 1)
        await expire_while_cut(emulator, change)
        await told.wait(lambda: told.calls[-1] == ("listed", "b,c"))
        assert set(told.known) == {"b", "c"}
        assert reflector.statistics().lists == 2


async def test_expiry_told_by_an_event_is_healed_by_a_list_at_once(emulator):
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 1)
        await emulator.create_service("a")
        await told.wait_known("a")
        emulator.fault("cut-streams", status=410)
        await until(lambda: reflector.statistics().lists == 2)
        assert reflector.statistics().failures == 0
        await emulator.create_service("b")
        await told.wait_known("a", "b")


async def test_other_error_event_is_no_reason_to_list(emulator):
    async with following(emulator.admin, namespace=emulator.namespace) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 1)
        emulator.fault("cut-streams", status=500)
        await until(lambda: reflector.statistics().streams == 2)
        await emulator.create_service("a")
        await told.wait_known("a")
        found = reflector.statistics()
        assert (found.lists, found.failures) == (1, 1)


# Servers that don't work


def listing(*items, version="7"):
    return web.json_response({"metadata": {"resourceVersion": version}, "items": list(items) or None})


def event(kind, found):
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def service(name, **parts):
    return {"metadata": {"name": name, "namespace": "ns", "resourceVersion": "8"}, **parts}


async def stay_open(request, *lines):
    response = web.StreamResponse()
    await response.prepare(request)
    for line in lines:
        await response.write(line)
    await anyio.sleep_forever()


def asks_to_watch(request):
    return "watch=true" in request.query_string


async def test_server_that_ends_every_watch_is_asked_less_and_less(scripted, tmp_path):
    async def answer(request):
        return web.Response() if asks_to_watch(request) else listing()

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, _told):
        await anyio.sleep(1.5)
        assert 3 <= len(scripted.requests) <= 8
        assert "ends every watch of services at once" in reflector.statistics().last_error
        assert reflector.statistics().lists == 1


async def test_server_to_which_its_own_list_is_too_old_is_asked_less_and_less(scripted, tmp_path):
    async def answer(request):
        return web.Response(status=410) if asks_to_watch(request) else listing()

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client):
        await anyio.sleep(1.5)
        assert 4 <= len(scripted.requests) <= 16


async def test_server_that_ends_every_watch_by_an_error_is_asked_less_and_less(scripted, tmp_path):
    async def answer(request):
        return web.Response(body=event("ERROR", {"code": 500})) if asks_to_watch(request) else listing()

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, _told):
        await anyio.sleep(1.5)
        assert 3 <= len(scripted.requests) <= 8
        assert reflector.statistics().lists == 1


async def test_watch_that_lasts_is_well_though_nothing_is_told(emulator, monkeypatch):
    monkeypatch.setattr(reflector_module, "AT_ONCE", 0.05)
    async with following(emulator.admin, LEASES, namespace=emulator.namespace) as (reflector, _told):
        await until(lambda: reflector.statistics().streams == 1)
        refusal = emulator.fault("status", status=503, verbs=("watch",))
        emulator.fault("cut-streams")
        await until(lambda: "503" in reflector.statistics().last_error)
        emulator.server.faults.remove(refusal)
        await until(lambda: reflector.statistics().last_error == "")


async def test_refused_list_is_asked_for_less_and_less(emulator):
    emulator.fault("status", status=500, verbs=("list",))
    before = emulator.server.statistics().requests
    async with following(emulator.admin) as (reflector, _told):
        await anyio.sleep(1.5)
        assert 3 <= emulator.server.statistics().requests - before <= 8
        assert not reflector.statistics().synced


async def test_pause_is_not_longer_than_the_longest(emulator, monkeypatch):
    monkeypatch.setattr(reflector_module, "FIRST_PAUSE", 0.01)
    emulator.fault("status", status=500, verbs=("list",))
    async with following(emulator.admin, longest_pause=0.02) as (reflector, _told):
        await until(lambda: reflector.statistics().failures > 20)


async def test_time_that_the_server_asks_for_is_waited(emulator):
    emulator.fault("status", status=429, retry_after=1, verbs=("list",), count=1)
    start = time.monotonic()
    async with following(emulator.admin) as (reflector, _told):
        with anyio.fail_after(BOUND):
            await reflector.wait_synced()
    assert time.monotonic() - start >= 1


async def test_silent_stream_is_given_up_and_opened_anew(emulator):
    async with following(emulator.admin, namespace=emulator.namespace, silence=0.5) as (reflector, told):
        await until(lambda: reflector.statistics().streams == 1)
        emulator.fault("cut-off", verbs=("watch",), duration=0.8)
        await emulator.create_service("a")
        await told.wait_known("a")
        found = reflector.statistics()
        assert (found.lists, found.streams, found.failures) == (1, 2, 1)


async def test_missing_right_is_named_once_and_healed_when_granted(emulator, caplog):
    caplog.set_level(logging.INFO, "kubevip")
    async with emulator.client(NOBODY) as client, following(client) as (reflector, _told):
        await until(lambda: reflector.statistics().failures > 2)
        assert 'cannot list resource "services"' in reflector.statistics().last_error
        binding = {
            "metadata": {"name": "late"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:kube-vip-role"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NOBODY}],
        }
        path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        await emulator.admin.request("POST", path, body=binding)
        with anyio.fail_after(BOUND):
            await reflector.wait_synced()
        assert reflector.statistics().last_error == ""
    assert len([each for each in caplog.messages if each == "watching services failed"]) == 1
    assert "watching services again" in caplog.messages


async def test_refused_reader_tries_again(emulator):
    emulator.fault("status", status=403, verbs=("list",), count=2)
    async with following(emulator.admin) as (reflector, _told):
        with anyio.fail_after(BOUND):
            await reflector.wait_synced()


# Objects that can't be read


async def test_list_goes_on_past_an_object_that_can_not_be_read(scripted, tmp_path, caplog):
    async def answer(request):
        if asks_to_watch(request):
            return await stay_open(request)
        return listing(service("a"), service("bad", spec={"ports": "none"}), service("c"))

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (_reflector, told):
        await told.wait_known("a", "c")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.object == "ns/bad"
    assert "ports" in record.reason


async def test_watch_goes_on_past_an_object_that_can_not_be_read(scripted, tmp_path):
    async def answer(request):
        if not asks_to_watch(request):
            return listing()
        bad = service("bad", status={"loadBalancer": 5})
        return await stay_open(request, event("ADDED", bad), event("ADDED", service("a")))

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, told):
        await told.wait_known("a")
        assert reflector.statistics().streams == 1


async def test_object_that_was_known_is_kept_when_a_list_shows_it_unreadable(scripted, tmp_path):
    """Giving up its address would be the worse mistake."""
    lists = 0

    async def answer(request):
        nonlocal lists
        if asks_to_watch(request):
            return web.Response(status=410) if lists == 1 else await stay_open(request)
        lists += 1
        return listing(service("a") if lists == 1 else service("a", spec={"ports": 1}))

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, told):
        await until(lambda: reflector.statistics().lists == 2)
        assert set(told.known) == {"a"}


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("<html>please log in</html>", "text/html"),
        ("[]", "application/json"),
        ('{"items": 5}', "application/json"),
        ("", "application/json"),
    ],
)
async def test_list_that_is_none_is_asked_for_again(scripted, tmp_path, body, form):
    async def answer(request):
        if asks_to_watch(request):
            return await stay_open(request)
        return web.Response(text=body, content_type=form) if len(scripted.requests) < 3 else listing(service("a"))

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, told):
        await told.wait_known("a")
        assert reflector.statistics().failures == 2


async def test_line_that_is_no_event_ends_the_stream(scripted, tmp_path):
    async def answer(request):
        if not asks_to_watch(request):
            return listing()
        line = b"garbage\n" if len(scripted.requests) == 2 else event("ADDED", service("a"))
        return await stay_open(request, line)

    scripted.answer = answer
    async with scripted.client(tmp_path) as client, following(client) as (reflector, told):
        await told.wait_known("a")
        assert reflector.statistics().streams == 2


# The end


async def test_cancelled_reflector_leaves_no_connection(emulator):
    async with following(emulator.admin) as (reflector, _told):
        await until(lambda: reflector.statistics().streams == 1)
    assert not emulator.admin._transport._session.connector._acquired
    await until(lambda: not emulator.server.statistics().streams)


async def test_cancelled_many_times_leaves_no_connection(emulator):
    for _ in range(20):
        with anyio.move_on_after(0.02):
            await Reflector(emulator.admin, SERVICES, Told()).run()
    assert not emulator.admin._transport._session.connector._acquired
    await until(lambda: not emulator.server.statistics().streams)
