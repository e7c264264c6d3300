"""Requests and streams: what comes back, and which error says what went wrong."""

import asyncio
import json
import socket

import anyio
import pytest
from aiohttp import web

from kubevip.config import Kubeconfig
from kubevip.emulator import serve
from kubevip.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ResourceExpired,
    Unauthorized,
)
from kubevip.kube import client as client_module
from kubevip.kube.connect import connect
from kubevip.version import __version__
from tests.kube.conftest import NOBODY, kubeconfig, write
from tests.waiting import until

WATCH = [("watch", "true")]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def connected_to(path, text):
    return await connect([Kubeconfig(paths=(write(path, text),), reason="the test's")])


# Answers


async def test_body_of_a_successful_answer_is_returned(api):
    answer = json.loads(await api.admin.request("GET", api.path("services")))
    assert answer["kind"] == "ServiceList"


async def test_query_and_body_arrive(api):
    made = {"metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {"ports": [{"port": 80}]}}
    await api.admin.request("POST", api.path("services"), body=made)
    found = await api.admin.request("GET", api.path("services"), query=[("labelSelector", "a=c")])
    assert json.loads(found)["items"] == []


async def test_requests_name_their_sender(scripted, tmp_path):
    scripted.answer = lambda request: _text(200, "{}")
    async with scripted.client(tmp_path) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["User-Agent"] == f"kubevip/{__version__}"


async def _text(status, text, **headers):
    return web.Response(status=status, text=text, headers={"Content-Type": "application/json", **headers})


async def test_page_of_a_proxy_is_no_answer(scripted, tmp_path):
    scripted.answer = lambda request: _text(200, "<html>please log in</html>", **{"Content-Type": "text/html"})
    async with scripted.client(tmp_path) as client:
        with pytest.raises(ApiUnavailable, match="GET /api: the answer isn't JSON: <html>please log in</html>"):
            await client.request("GET", "/api")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, ResourceExpired),
        (422, Invalid),
        (429, ApiUnavailable),
        (500, ApiUnavailable),
        (503, ApiUnavailable),
        (504, ApiUnavailable),
    ],
)
async def test_status_has_its_error(emulator, status, kind):
    emulator.fault("status", status=status)
    with pytest.raises(ApiError) as caught:
        await emulator.admin.request("GET", emulator.path("services"))
    assert (type(caught.value), caught.value.status) == (kind, status)


async def test_missing_right_is_named(api):
    async with api.client(NOBODY) as client:
        with pytest.raises(Forbidden) as caught:
            await client.request("GET", api.path("leases", "lock"))
    text = str(caught.value)
    assert f'"{NOBODY}" cannot get resource "leases" in API group "coordination.k8s.io"' in text
    assert f'in the namespace "{api.namespace}"' in text


async def test_missing_right_to_watch_is_named(api):
    async with api.client(NOBODY) as client:
        with pytest.raises(Forbidden, match=r'cannot watch resource "services"'):
            async with client.stream(api.path("services"), query=WATCH, silence=5):
                pytest.fail("the watch was granted")


async def test_unknown_token_is_unauthorized(api, tmp_path):
    text = api.server.kubeconfig("admin").replace("admin-token", "wrong")
    async with await connected_to(tmp_path / "wrong", text) as client:
        with pytest.raises(Unauthorized):
            await client.request("GET", api.path("services"))


async def test_conflict_says_what_it_is_about(api):
    made = await api.create("leases", {"metadata": {"name": "lock"}, "spec": {}})
    await api.replace("leases", {**made, "spec": {"holderIdentity": "somebody"}})
    with pytest.raises(Conflict, match='"lock"'):
        await api.replace("leases", {**made, "spec": {"holderIdentity": "me"}})


@pytest.mark.parametrize("status", [429, 503])
async def test_time_to_wait_is_kept(scripted, tmp_path, status):
    scripted.answer = lambda request: _text(status, "busy", **{"Retry-After": "7"})
    async with scripted.client(tmp_path) as client:
        with pytest.raises(ApiUnavailable, match="busy") as caught:
            await client.request("GET", "/api")
    assert caught.value.retry_after == 7


async def test_time_to_wait_that_is_a_date_is_none(scripted, tmp_path):
    scripted.answer = lambda request: _text(503, "", **{"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
    async with scripted.client(tmp_path) as client:
        with pytest.raises(ApiUnavailable) as caught:
            await client.request("GET", "/api")
    assert caught.value.retry_after is None


async def test_error_page_of_a_proxy_is_quoted(scripted, tmp_path):
    scripted.answer = lambda request: _text(502, "<html>bad gateway</html>")
    async with scripted.client(tmp_path) as client:
        with pytest.raises(ApiUnavailable, match=r"GET /api: <html>bad gateway</html> \(502\)"):
            await client.request("GET", "/api")


@pytest.mark.parametrize("body", ["[]", '"text"', '{"message": 5}', "null", ""])
async def test_error_that_is_no_status_object_is_still_an_error(scripted, tmp_path, body):
    scripted.answer = lambda request: _text(404, body)
    async with scripted.client(tmp_path) as client:
        with pytest.raises(NotFound):
            await client.request("GET", "/api")


# No answer


async def test_silent_server_is_unavailable_after_the_timeout(emulator):
    emulator.fault("cut-off")
    start = asyncio.get_running_loop().time()
    with pytest.raises(ApiUnavailable, match=r"does not answer: no answer within 0\.2 s"):
        await emulator.admin.request("GET", emulator.path("services"), timeout=0.2)
    assert asyncio.get_running_loop().time() - start < 2


async def test_server_that_is_gone_is_unavailable(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    async with await connected_to(tmp_path / "gone", kubeconfig(url)) as client:
        with pytest.raises(ApiUnavailable, match=f"the API server {url} does not answer"):
            await client.request("GET", "/api")


@pytest.mark.parametrize("action", ["drop", "lose-reply"])
async def test_cut_connection_is_unavailable(emulator, action):
    emulator.fault(action)
    with pytest.raises(ApiUnavailable):
        await emulator.admin.request("GET", emulator.path("services"))


async def test_answer_that_breaks_off_is_unavailable(scripted, tmp_path):
    async def broken(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    scripted.answer = broken
    async with scripted.client(tmp_path) as client:
        with pytest.raises(ApiUnavailable):
            await client.request("GET", "/api")


async def test_cancelled_request_gives_its_connection_back(emulator):
    emulator.fault("cut-off")
    with anyio.move_on_after(0.1):
        await emulator.admin.request("GET", emulator.path("services"))
    emulator.server.faults.clear()
    assert not _open_connections(emulator.admin)


def _open_connections(client):
    return client._transport._session.connector._acquired


# TLS


async def test_closed_client_leaves_no_socket_of_a_cancelled_stream(certificate, tmp_path):
    """TLS says goodbye, and waits for an answer; who closes doesn't."""
    async with serve(tls=certificate) as server:
        async with await connected_to(tmp_path / "tls", server.kubeconfig()) as client:
            with anyio.move_on_after(0.2):
                async with client.stream("/api/v1/services", query=WATCH, silence=5) as lines:
                    await anext(lines)
        assert not client._transport._sockets._open()


async def test_server_is_reached_by_tls(certificate, tmp_path):
    async with (
        serve(tls=certificate) as server,
        await connected_to(tmp_path / "tls", server.kubeconfig()) as client,
    ):
        assert client.server.startswith("https://")
        await client.request("GET", "/api/v1/services")


async def test_certificate_of_another_authority_is_not_accepted(certificate, other_certificate, tmp_path):
    async with serve(tls=certificate) as server:
        text = server.kubeconfig().replace(certificate.authority_data, other_certificate.authority_data)
        async with await connected_to(tmp_path / "tls", text) as client:
            with pytest.raises(ApiUnavailable, match=r"(?i)certificate"):
                await client.request("GET", "/api/v1/services")


# Streams


async def read_to_the_end(api, silence):
    async with api.admin.stream(api.path("services"), query=WATCH, silence=silence) as lines:
        return [line async for line in lines]


async def test_stream_gives_one_line_for_each_event(api):
    await api.create_service("a")
    await api.create_service("b")
    async with api.client() as client, client.stream(api.path("services"), query=WATCH, silence=5) as lines:
        found = [json.loads(await anext(lines)) for _ in range(2)]
    assert {event["object"]["metadata"]["name"] for event in found} == {"a", "b"}


async def test_lines_are_whole_however_they_arrive(scripted, tmp_path):
    async def in_pieces(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"a"', b":1}\n", b'{"b":2}\n\n{"c"', b":3}\n{", b"}\n"):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    scripted.answer = in_pieces
    async with scripted.client(tmp_path) as client, client.stream("/api", query=WATCH, silence=5) as lines:
        assert [line async for line in lines] == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b"{}"]


async def test_line_of_two_megabytes_arrives(scripted, tmp_path):
    line = b'"' + b"x" * (2 << 20) + b'"'
    scripted.answer = lambda request: _text(200, line.decode() + "\n")
    async with scripted.client(tmp_path) as client, client.stream("/api", query=WATCH, silence=5) as lines:
        assert [found async for found in lines] == [line]


async def test_refused_stream_has_the_error_of_its_status(emulator):
    emulator.fault("status", status=410)
    with pytest.raises(ResourceExpired):
        async with emulator.admin.stream(emulator.path("services"), query=WATCH, silence=5):
            pytest.fail("the watch was granted")


async def test_stream_that_goes_silent_is_unavailable(emulator):
    start = asyncio.get_running_loop().time()
    with pytest.raises(ApiUnavailable, match=r"no answer within 0\.3 s"):
        await read_to_the_end(emulator, silence=0.3)
    assert 0.3 <= asyncio.get_running_loop().time() - start < 2


async def test_stream_that_is_cut_is_unavailable(emulator):
    asyncio.get_running_loop().call_later(0.1, emulator.fault, "cut-streams")
    with pytest.raises(ApiUnavailable):
        await read_to_the_end(emulator, silence=5)


async def test_stream_that_never_begins_says_how_long_was_waited(emulator, monkeypatch):
    monkeypatch.setattr(client_module, "DEFAULT_TIMEOUT", 0.2)
    emulator.fault("cut-off")
    with pytest.raises(ApiUnavailable, match=r"no answer within 0\.2 s"):
        async with emulator.admin.stream(emulator.path("services"), query=WATCH, silence=30):
            pytest.fail("the watch was granted")


async def test_stream_ends_where_the_server_ends_it(emulator):
    query = [*WATCH, ("timeoutSeconds", "1")]
    async with emulator.admin.stream(emulator.path("services"), query=query, silence=5) as lines:
        assert [line async for line in lines] == []


async def test_error_of_the_reader_passes_through(emulator):
    with pytest.raises(KeyError):
        async with emulator.admin.stream(emulator.path("services"), query=WATCH, silence=5):
            raise KeyError
    assert not _open_connections(emulator.admin)


async def test_cancelled_stream_leaves_no_connection(emulator):
    with anyio.move_on_after(0.1):
        async with emulator.admin.stream(emulator.path("services"), query=WATCH, silence=5) as lines:
            await anext(lines)
    assert not _open_connections(emulator.admin)
    await until(lambda: not emulator.server.statistics().streams)


async def test_kernel_looks_after_a_silent_connection(emulator):
    async with emulator.admin.stream(emulator.path("services"), query=WATCH, silence=5):
        (protocol,) = _open_connections(emulator.admin)
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


# Credentials


async def test_token_is_sent(scripted, tmp_path):
    scripted.answer = lambda request: _text(200, "{}")
    text = kubeconfig(scripted.url, user="{token: secret}")
    async with await connected_to(tmp_path / "token", text) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["Authorization"] == "Bearer secret"


async def test_credentials_that_can_not_be_renewed_are_unauthorized(emulator):
    """An in-cluster token is read from its file anew each minute; the file may be empty at that moment."""
    from kubernetes_asyncio.config import ConfigException

    def renew(_configuration, *_args):
        raise ConfigException("Token file exists but empty.")

    emulator.admin._credentials.refresh_api_key_hook = renew
    with pytest.raises(Unauthorized, match="Token file exists but empty"):
        await emulator.admin.request("GET", emulator.path("services"))


async def test_passwords_of_other_programs_are_not_sent_along(scripted, tmp_path, monkeypatch):
    scripted.answer = lambda request: _text(200, "{}")
    netrc = write(tmp_path / "netrc", "machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    text = kubeconfig(scripted.url, user="{token: ours}")
    async with await connected_to(tmp_path / "token", text) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["Authorization"] == "Bearer ours"


async def test_proxy_of_the_environment_is_asked(scripted, tmp_path, monkeypatch):
    scripted.answer = lambda request: _text(200, "{}")
    monkeypatch.setenv("http_proxy", scripted.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    text = kubeconfig("http://nowhere.invalid", user="{}")
    async with await connected_to(tmp_path / "nowhere", text) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["Host"] == "nowhere.invalid"
