"""The server's life: how it begins, what it lends, and that nothing is left of it."""

import asyncio
import gc
import io
import random
import socket
import ssl

import aiohttp
import pytest
import yaml

from kubevip.emulator import BY_PLURAL, Certificate, User, serve
from kubevip.errors import ConfigError, Conflict

NAMESPACES = "/api/v1/namespaces"


async def fetch(url, **options):
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status, await response.json()


async def test_new_server_has_namespaces_roles_and_its_own_service():
    async with serve() as server:
        _, found = await fetch(server.url + NAMESPACES)
        names = {item["metadata"]["name"] for item in found["items"]}
        assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
        _, service = await fetch(f"{server.url}{NAMESPACES}/default/services/kubernetes")
        assert service["spec"]["clusterIP"] == "10.96.0.1"
        assert server.store.get(BY_PLURAL["clusterroles"], ("", "cluster-admin"))


async def test_metrics_count_requests_by_what_they_asked_for_and_their_answer():
    async with serve() as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(server.url + NAMESPACES, json={"metadata": {"name": "one"}}):
                pass
        async with session.get(server.url + "/metrics") as response:
            lines = (await response.text()).splitlines()
    for code in (201, 409):
        labels = f'code="{code}",group="",resource="namespaces",subresource="",verb="POST"'
        assert f"apiserver_request_total{{{labels}}} 1" in lines


async def test_nothing_is_left_of_a_server():
    before = asyncio.all_tasks()
    async with (
        serve() as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}{NAMESPACES}?watch=true") as response,
    ):
        await response.content.readline()
        assert server.statistics().streams == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    with pytest.raises(aiohttp.ClientConnectorError):
        await fetch(server.url + "/version")


async def test_streams_end_cleanly_when_the_server_does():
    async with aiohttp.ClientSession() as session:
        async with serve() as server:
            response = await session.get(f"{server.url}{NAMESPACES}?watch=true")
        assert (await response.content.read()).count(b"\n") == 4


async def test_stream_ends_with_its_client():
    async with serve() as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}{NAMESPACES}?watch=true") as response:
            await response.content.readline()
        for _ in range(100):
            await fetch(server.url + "/version")
            if not server.statistics().streams:
                break
        assert server.statistics().streams == 0


async def test_request_that_hangs_does_not_hold_the_server_up():
    from kubevip.emulator import Fault

    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(5), serve() as server:
            server.faults.add(Fault(action="cut-off"))
            request = asyncio.ensure_future(session.get(server.url + "/version"))
            await asyncio.sleep(0.05)
        await asyncio.wait([request])
        assert request.exception() is None or isinstance(request.exception(), aiohttp.ClientError)


async def test_address_that_is_taken_is_an_error():
    async with serve() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with serve(port=port):
                pass


async def test_server_listens_on_ipv6():
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    async with serve(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert (await fetch(server.url + "/version"))[0] == 200


async def test_tls_is_checked_by_the_authority_of_the_kubeconfig(certificate):
    async with serve(tls=certificate) as server:
        config = yaml.safe_load(server.kubeconfig())
        cluster = config["clusters"][0]["cluster"]
        assert cluster["server"] == server.url
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cadata=certificate.authority.decode())
        assert (await fetch(server.url + "/version", ssl=context))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetch(server.url + "/version")


def test_certificate_from_files(tmp_path):
    import trustme

    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    assert Certificate.load(tmp_path / "cert", tmp_path / "key").authority.startswith(b"-----BEGIN")
    with pytest.raises(ConfigError, match=r"TLS: .* can't be used"):
        Certificate.load(tmp_path / "none", tmp_path / "key")


def test_missing_trustme_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trustme", None)
    with pytest.raises(ConfigError, match=r"pip install kubevip\[tls\]"):
        Certificate.generate("127.0.0.1")


async def test_kubeconfig_is_of_the_user_that_is_asked_for():
    tokens = {"a": User("admin", ("system:masters",)), "b": User.service_account("kube-system", "kube-vip")}
    async with serve(tokens=tokens) as server:
        assert yaml.safe_load(server.kubeconfig())["users"] == [{"name": "admin", "user": {"token": "a"}}]
        name = "system:serviceaccount:kube-system:kube-vip"
        assert yaml.safe_load(server.kubeconfig(name))["users"][0]["user"] == {"token": "b"}
        with pytest.raises(ConfigError, match="user 'nobody' has no token; admin, system:"):
            server.kubeconfig("nobody")


async def test_tokens_without_roles_keep_strangers_out():
    async with serve(tokens={"a": User("somebody")}) as server:
        assert (await fetch(server.url + NAMESPACES))[0] == 401
        assert (await fetch(server.url + NAMESPACES, headers={"Authorization": "Bearer a"}))[0] == 200
        assert (await fetch(server.url + NAMESPACES, headers={"Authorization": "Basic a"}))[0] == 401


async def test_roles_need_users():
    with pytest.raises(ConfigError, match="rbac: without tokens there are no users"):
        async with serve(rbac=True):
            pass


@pytest.mark.parametrize("cidrs", [(), ("nope",), ("10.0.0.0/24", "10.1.0.0/24"), ("10.0.0.1/24",)])
async def test_networks_that_cannot_be_used(cidrs):
    with pytest.raises(ConfigError, match="service_cidrs"):
        async with serve(service_cidrs=cidrs):
            pass


async def test_objects_can_be_made_from_manifests():
    async with serve() as server:
        document = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
        made = server.create(document)
        assert made["spec"]["clusterIP"] == "10.96.0.2"
        assert (await fetch(f"{server.url}{NAMESPACES}/default/services/s"))[1] == made
        with pytest.raises(Conflict):
            server.create(document)
        with pytest.raises(ConfigError, match="kind: v2/x Service is not served here"):
            server.create({**document, "apiVersion": "v2/x"})


async def test_same_seed_makes_the_same_uids():
    async def uid():
        async with serve(rng=random.Random(7)) as server:
            return server.store.get(BY_PLURAL["namespaces"], ("", "default")).value["metadata"]["uid"]

    assert await uid() == await uid()


async def test_body_that_is_too_large_is_refused():
    async with serve() as server, aiohttp.ClientSession() as session:
        body = b'{"data":{"k":"%s"}}' % (b"x" * (3 << 20))
        async with session.post(f"{server.url}{NAMESPACES}/default/configmaps", data=io.BytesIO(body)) as response:
            assert response.status == 413
            assert (await response.json())["reason"] == "RequestEntityTooLarge"


async def test_bookmarks_come_at_their_time():
    async with serve(bookmark_seconds=0.05) as server, aiohttp.ClientSession() as session:
        query = f"{server.url}/api/v1/nodes?watch=true&resourceVersion=1&allowWatchBookmarks=true"
        async with session.get(query) as response:
            line = await response.content.readline()
        assert line.startswith(b'{"type":"BOOKMARK","object":{"kind":"Node","apiVersion":"v1"')
        assert f'"resourceVersion":"{server.store.version}"'.encode() in line


async def test_watcher_that_is_too_far_behind_is_told_so():
    async with serve(history=4) as server, aiohttp.ClientSession() as session:
        path = f"{server.url}{NAMESPACES}/default/configmaps"
        start = server.store.version
        for number in range(12):
            async with session.post(path, json={"metadata": {"name": f"c{number}"}}) as response:
                assert response.status == 201
        async with session.get(f"{path}?watch=true&resourceVersion={start}") as response:
            assert response.status == 200
            event = yaml.safe_load(await response.content.read())
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_service_of_two_families():
    async with serve(service_cidrs=["10.96.0.0/24", "fd00:10:96::/112"]) as server, aiohttp.ClientSession() as session:
        path = f"{server.url}{NAMESPACES}/default/services"
        spec = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 1}]}
        async with session.post(path, json={"metadata": {"name": "s"}, "spec": spec}) as response:
            made = (await response.json())["spec"]
        assert made["ipFamilies"] == ["IPv4", "IPv6"]
        assert made["clusterIPs"] == ["10.96.0.2", "fd00:10:96::1"]
        patch = {"spec": {"ipFamilyPolicy": "SingleStack"}}
        kind = {"Content-Type": "application/merge-patch+json"}
        async with session.patch(f"{path}/s", json=patch, headers=kind) as response:
            assert (await response.json())["spec"]["clusterIPs"] == ["10.96.0.2"]
        patch = {"spec": {"ipFamilyPolicy": "PreferDualStack"}}
        async with session.patch(f"{path}/s", json=patch, headers=kind) as response:
            assert (await response.json())["spec"]["clusterIPs"] == ["10.96.0.2", "fd00:10:96::2"]


async def test_statistics():
    async with serve() as server:
        before = server.statistics()
        await fetch(server.url + "/version")
        after = server.statistics()
        assert after.requests == before.requests + 1
        assert (after.version, after.objects) == (server.store.version, server.store.count())


@pytest.mark.parametrize("turns", range(6))
async def test_connection_that_was_accepted_just_now_is_closed_too(turns, recwarn):
    with socket.socket() as client:
        client.setblocking(False)
        async with serve() as server:
            host, _, port = server.url.removeprefix("http://").partition(":")
            client.connect_ex((host, int(port)))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    gc.collect()
    assert not [str(found.message) for found in recwarn if issubclass(found.category, ResourceWarning)]
