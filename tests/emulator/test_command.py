"""``kubevip emulator`` as a process."""

import argparse
import asyncio
import os
import signal
import stat
import sys

import aiohttp
import pytest
import yaml

from kubevip.cli import emulator as command
from kubevip.errors import ConfigError

SCRIPT = (
    "import argparse, sys; from kubevip.cli import emulator; parser = argparse.ArgumentParser(); "
    "emulator.add_arguments(parser); sys.exit(emulator.run(parser.parse_args()))"
)


async def start(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serves_until_it_is_told_to_end(tmp_path, number):
    file = tmp_path / "kubeconfig"
    process = await start("--kubeconfig", str(file))
    assert (await process.stdout.readline()).startswith(b"serving http://127.0.0.1:")
    config = yaml.safe_load(await asyncio.to_thread(file.read_text))
    assert stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode) == 0o600
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["kubeconfig"]
    url = config["clusters"][0]["cluster"]["server"]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200
        watch = await session.get(f"{url}/api/v1/namespaces?watch=true")
        process.send_signal(number)
        assert await process.wait() == 0
        assert await process.stderr.read() == b""
        await watch.read()


async def test_users_roles_and_tls(tmp_path):
    file = tmp_path / "kubeconfig"
    process = await start("--kubeconfig", str(file), "--tls", "--rbac", "--user", "kube-system/kube-vip=t")
    await process.stdout.readline()
    config = yaml.safe_load(await asyncio.to_thread(file.read_text))
    url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    async with aiohttp.ClientSession() as session:
        for sent, status in ((token, 200), ("t", 403), ("x", 401)):
            headers = {"Authorization": f"Bearer {sent}"}
            async with session.get(f"{url}/api/v1/nodes", headers=headers, ssl=False) as response:
                assert response.status == status
                if status == 403:
                    message = (await response.json())["message"]
                    assert 'User "system:serviceaccount:kube-system:kube-vip" cannot list' in message
    process.terminate()
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--listen", "nonsense"], "--listen: 'nonsense' is not HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "is not HOST:PORT"),
        (["--user", "x"], "--user: 'x' is not NAME"),
        (["--rbac"], "--user and --rbac need --tls"),
        (["--user", "bob=b"], "--user and --rbac need --tls"),
        (["--tls-cert", "x"], "--tls-cert and --tls-key belong together"),
        (["--tls-cert", "x", "--tls-key", "y"], "TLS: x and y can't be used"),
        (["--service-cidr", "x"], "service_cidrs: 'x' does not appear"),
        (["--kubeconfig", "/none/x"], "No such file or directory"),
    ],
)
async def test_bad_option_is_told_and_nothing_served(arguments, text):
    process = await start(*arguments)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert text in err.decode()
    assert err.startswith(b"kubevip emulator: ")


def test_address_forms():
    assert command.parse_listen("127.0.0.1:6443") == ("127.0.0.1", 6443)
    assert command.parse_listen("[::1]:0") == ("::1", 0)


def test_users_have_an_administrator_among_them():
    users = command.parse_users(["bob:devs,ops=b", "kube-system/kube-vip=v"])
    assert [user.name for user in users.values()] == ["admin", "bob", "system:serviceaccount:kube-system:kube-vip"]
    assert users["b"].groups == ("devs", "ops")
    assert list(command.parse_users(["root:system:masters=r"])) == ["r"]


@pytest.mark.parametrize("text", ["x", "=t", "x=", ""])
def test_user_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match="--user"):
        command.parse_users([text])


def test_options_have_help():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert "--kubeconfig FILE" in parser.format_help()
