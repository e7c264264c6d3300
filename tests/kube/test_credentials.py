"""What a request carries beside its body, and which way it takes."""

import threading

import pytest
from aiohttp import web

from kubevip.kube.client import Client
from kubevip.kube.credentials import Credentials


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_proxy_the_way_is_direct():
    assert Credentials(host="https://10.0.0.1:6443").way() is None


def test_the_proxy_of_the_environment_is_taken(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert Credentials(host="https://10.0.0.1:6443").way() == "http://proxy.example:3128"
    assert Credentials(host="http://10.0.0.1:8080").way() is None


def test_who_is_exempt_from_the_proxy_is_reached_directly(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.1,.example")
    assert Credentials(host="https://10.0.0.1:6443").way() is None
    assert Credentials(host="https://api.example").way() is None


def test_the_proxy_of_the_kubeconfig_goes_first(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert Credentials(host="https://10.0.0.1:6443", proxy="http://own.example:1").way() == "http://own.example:1"


def test_a_server_without_tls_needs_no_context():
    assert Credentials(host="http://10.0.0.1:8080").tls() is None


def test_a_token_is_not_shown():
    assert "secret" not in repr(Credentials(api_key={"BearerToken": "Bearer secret"}))


async def test_a_renewal_may_be_awaited():
    async def renew(credentials):
        credentials.api_key["BearerToken"] = "Bearer new"

    credentials = Credentials(api_key={"BearerToken": "Bearer old"}, refresh_api_key_hook=renew)
    assert await credentials.authorization() == "Bearer new"


async def test_requests_go_by_the_proxy_and_say_who_asks(scripted):
    scripted.answer = lambda request: _ok()
    proxy = scripted.url.replace("http://", "http://user:word@")
    async with Client(Credentials(host="http://api.example", proxy=proxy)) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["Host"] == "api.example"
    assert scripted.requests[0].headers["Proxy-Authorization"] == "Basic dXNlcjp3b3Jk"


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("home")
async def test_neither_netrc_nor_threads_are_asked(scripted):
    scripted.answer = lambda request: _ok()
    before = threading.active_count()
    async with Client(Credentials(host=scripted.url, api_key={"BearerToken": "Bearer own"})) as client:
        await client.request("GET", "/api")
    assert scripted.requests[0].headers["Authorization"] == "Bearer own"
    assert threading.active_count() == before


async def _ok():
    return web.Response(text="{}", content_type="application/json")
