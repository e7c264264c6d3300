"""Credentials: which count, and what is said of those that can't be used."""

import base64
import json
import os
import tempfile
from pathlib import Path

import anyio
import pytest
from kubernetes_asyncio.config import incluster_config

from kubevip.config import InCluster, Kubeconfig
from kubevip.config.kubeconfig import Server
from kubevip.emulator import User, serve
from kubevip.errors import ConfigError
from kubevip.kube.connect import connect, warn_of_other_namespace
from kubevip.model import LeaseKey
from tests.kube.conftest import kubeconfig, write

POD = InCluster(reason="the Pod's ServiceAccount")


@pytest.fixture(autouse=True)
def outside_of_clusters(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)


def written(path: Path, text: str, **options) -> Kubeconfig:
    return Kubeconfig(paths=(write(path, text),), reason="KUBECONFIG names it", required=True, **options)


def asked_for(*paths: Path) -> Kubeconfig:
    return Kubeconfig(paths=paths, reason="KUBECONFIG names it", required=True)


def usual(path: Path) -> Kubeconfig:
    return Kubeconfig(paths=(path,), reason="the user's own")


# Which count


async def test_first_that_exists_counts(tmp_path):
    second = written(tmp_path / "second", kubeconfig("http://second"))
    third = written(tmp_path / "third", kubeconfig("http://third"))
    client = await connect([usual(tmp_path / "first"), second, third, POD])
    assert client.server == "http://second"


async def test_files_of_a_list_are_merged_and_the_first_is_strongest(tmp_path):
    written(tmp_path / "a", kubeconfig("http://a"))
    written(tmp_path / "b", kubeconfig("http://b"))
    client = await connect([asked_for(tmp_path / "missing", tmp_path / "a", tmp_path / "b")])
    assert client.server == "http://a"


async def test_other_server_takes_the_place_of_the_files(tmp_path):
    found = written(tmp_path / "c", kubeconfig("http://vip"), server=Server(url="http://own"))
    assert (await connect([found])).server == "http://own"


async def test_other_server_counts_where_its_name_resolves(tmp_path):
    found = written(tmp_path / "c", kubeconfig("http://vip"), server=Server(url="http://own", if_resolves="localhost"))
    assert (await connect([found])).server == "http://own"


async def test_other_server_does_not_count_where_its_name_does_not_resolve(tmp_path):
    server = Server(url="http://own", if_resolves="no-such-name.invalid")
    found = written(tmp_path / "c", kubeconfig("http://vip"), server=server)
    assert (await connect([found])).server == "http://vip"


async def test_service_account_of_the_pod_counts(certificate, tmp_path, monkeypatch):
    write(tmp_path / "token", "pod-token")
    write(tmp_path / "ca.crt", base64.b64decode(certificate.authority_data).decode())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    tokens = {"pod-token": User.service_account("kube-system", "kube-vip")}
    async with serve(tls=certificate, tokens=tokens) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
        async with await connect([usual(tmp_path / "none"), POD]) as client:
            await client.request("GET", "/api/v1/services")


async def test_token_of_a_plugin_counts(tmp_path):
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "plugged-in"},
    }
    plugin = write(tmp_path / "plugin", f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    user = f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}}}}}"
    async with (
        serve(tokens={"plugged-in": User("somebody")}) as server,
        await connect([written(tmp_path / "c", kubeconfig(server.url, user=user))]) as client,
    ):
        await client.request("GET", "/api/v1/services")


# What is said


async def test_files_that_somebody_asked_for_have_to_exist(tmp_path):
    paths = (tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError) as caught:
        await connect([asked_for(*paths), written(tmp_path / "c", kubeconfig("http://c"))])
    assert str(caught.value) == f"kubeconfig {paths[0]}:{paths[1]} (KUBECONFIG names it): there is no such file"


async def test_all_that_was_tried_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        await connect([usual(tmp_path / "a"), usual(tmp_path / "b"), POD])
    (problem,) = caught.value.problems
    assert problem == (
        f"no credentials for the API server were found; tried: {tmp_path / 'a'} (there is no such file);"
        f" {tmp_path / 'b'} (there is no such file);"
        " the Pod's ServiceAccount (Service host/port is not set.)"
    )


async def test_pod_without_a_token_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigError, match=r"the Pod's ServiceAccount \(Service token file does not exist"):
        await connect([POD])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "expected"),
        ("", ""),
        ("- a\n- b\n", ""),
        ("just words", ""),
        ("apiVersion: v1\nkind: Config\n", "current-context"),
        (kubeconfig("http://s").replace("current-context: c", "current-context: other"), "other"),
        (kubeconfig("http://s").replace("cluster: c,", "cluster: other,"), "other"),
        (kubeconfig("https://s", cluster="certificate-authority: missing.pem"), "missing.pem"),
        (kubeconfig("https://s", cluster="certificate-authority-data: '!'"), ""),
        (kubeconfig("https://s", user="{client-certificate: missing.pem, client-key: missing.key}"), "missing.pem"),
        (kubeconfig("http://s", user="{exec: {apiVersion: v1, command: no-such-plugin}}"), "no-such-plugin"),
    ],
    ids=range(11),
)
async def test_file_that_can_not_be_used_is_named(tmp_path, text, what):
    path = tmp_path / "config"
    with pytest.raises(ConfigError) as caught:
        async with await connect([written(path, text)]):
            pytest.fail("it was used")
    assert f"kubeconfig {path} (KUBECONFIG names it): " in str(caught.value)
    assert what in str(caught.value)
    assert not str(caught.value).endswith(": ")


async def test_directory_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="irectory"):
        await connect([asked_for(tmp_path)])


@pytest.fixture
def nobodys():
    """A directory of somebody who isn't root, who may read every file; meanwhile that is who we are."""
    mine, nobody = os.geteuid(), 65534
    with tempfile.TemporaryDirectory() as directory:
        if mine == 0:
            os.chown(directory, nobody, -1)
            os.seteuid(nobody)
        try:
            yield Path(directory)
        finally:
            Path(directory).chmod(0o700)
            os.seteuid(mine)


async def test_file_that_may_not_be_read_is_named(nobodys):
    found = written(nobodys / "c", kubeconfig("http://s"))
    found.paths[0].chmod(0)
    with pytest.raises(ConfigError, match="ermission denied"):
        await connect([found])


async def test_directory_that_may_not_be_entered_is_named(nobodys):
    found = written(nobodys / "c", kubeconfig("http://s"))
    nobodys.chmod(0)
    with pytest.raises(ConfigError, match="ermission denied"):
        await connect([found])


async def test_usual_place_that_may_not_be_entered_is_passed_over(nobodys):
    nobodys.chmod(0)
    with pytest.raises(ConfigError, match=r"no credentials .* tried: .*ermission denied"):
        await connect([usual(nobodys / "c")])


@pytest.mark.parametrize("name", ["certificate-authority", "client-certificate"])
async def test_certificate_that_is_none_is_named(tmp_path, name):
    write(tmp_path / "bad.pem", "-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n")
    if name == "certificate-authority":
        text = kubeconfig("https://s", cluster="certificate-authority: bad.pem")
    else:
        text = kubeconfig("https://s", user="{client-certificate: bad.pem, client-key: bad.pem}")
    with pytest.raises(ConfigError, match=f"kubeconfig {tmp_path / 'config'} "):
        async with await connect([written(tmp_path / "config", text)]):
            pytest.fail("it was used")


# Renewing


@pytest.mark.parametrize("user", ["{}", "{token: t}"])
async def test_nothing_is_to_be_renewed_of_a_token(tmp_path, user):
    client = await connect([written(tmp_path / "c", kubeconfig("http://s", user=user))])
    with anyio.fail_after(5):
        await client.keep_credentials_fresh()


async def test_nothing_is_to_be_renewed_without_a_user(tmp_path):
    text = kubeconfig("http://s").replace(", user: u", "")
    client = await connect([written(tmp_path / "c", text)])
    with anyio.fail_after(5):
        await client.keep_credentials_fresh()


# Where the Leases are


def test_lease_outside_of_the_pods_namespace_is_warned_of(tmp_path, caplog):
    file = tmp_path / "namespace"
    file.write_text("vips\n")
    warn_of_other_namespace([LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("vips", "plndr-svcs-lock")], file)
    (record,) = caplog.records
    assert record.lease == "kube-system/plndr-cp-lock"
    assert "the Pod is in vips" in record.reason


def test_outside_of_a_pod_there_is_nothing_to_warn_of(tmp_path, caplog):
    warn_of_other_namespace([LeaseKey("kube-system", "plndr-cp-lock")], tmp_path / "namespace")
    assert not caplog.records
