"""``kubevip provider`` as a process: its flags, its environment, what it serves about itself, and how it ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import anyio
import pytest

from kubevip.cli import main
from kubevip.cli import provider as command
from kubevip.version import __version__
from tests.kernel import in_thread
from tests.provider_system.objects import ACCOUNT, LEASE
from tests.provider_system.running import ask, free_port, metrics
from tests.provider_system.site import file_of
from tests.waiting import until

POOL = {"range_global": "10.0.0.5-10.0.0.7,fd00::5-fd00::9"}
POD_FLAGS = "--allow-untagged-cloud", "--cluster-name=kubernetes", "--kube-api-qps", "100", "--vmodule=a=4"


def run(*arguments, directory, **environment):
    """Run the command to its end, without credentials anywhere; return its exit code and what it says."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "kubevip", "provider", *arguments],
        env={**kept, "HOME": str(directory), "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


# Flags and environment


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    code, _out, err = run(
        "serve",
        "--leader-elect=perhaps",
        "--leader-elect-lease-duration=15",
        "--leader-elect-renew-deadline=1.2.3s",
        "--leader-elect-retry-period=",
        "--leader-elect-resource-lock=endpoints",
        "--leader-elect-resource-namespace=No_Name",
        "--concurrent-service-syncs=0",
        "--prometheusHTTPServer=2112x",
        "--logging-format=xml",
        "--master=:::",
        "--OutSideCluster=maybe",
        "-v=many",
        directory=tmp_path,
        KUBEVIP_ENABLE_LOADBALANCERCLASS="foo",
    )
    assert code == 2
    lines = err.splitlines()
    assert all(line.startswith("kubevip: ") for line in lines)
    for wrong in (
        "no arguments are taken beside flags, which begin with --; got 'serve'",
        "--leader-elect value 'perhaps' is invalid: write true or false",
        "--leader-elect-lease-duration=15: write a duration such as 15s or 1m30s",
        "--leader-elect-renew-deadline=1.2.3s: write a duration such as 15s or 1m30s",
        "--leader-elect-retry-period=: write a duration such as 15s or 1m30s",
        "--leader-elect-resource-lock=endpoints: only leases are there",
        "--leader-elect-resource-namespace=No_Name: ",
        "--concurrent-service-syncs=0: write a whole number from 1 to 1000",
        "--prometheusHTTPServer=2112x: ",
        "--logging-format=xml: write text, json or auto",
        "--master=:::: ",
        "--OutSideCluster value 'maybe' is invalid: write true or false",
        "-v=many: write a whole number from 0 to 1000",
        "KUBEVIP_ENABLE_LOADBALANCERCLASS value 'foo' is invalid: write true or false",
    ):
        assert any(line.startswith(f"kubevip: {wrong}") for line in lines), wrong
    assert len(lines) == 14


def refusal(capsys, *flags):
    """What the command says of *flags* that it can't use."""
    assert main(["provider", *flags]) == 2
    return capsys.readouterr().err


def test_times_that_do_not_fit_together_are_refused(capsys):
    told = refusal(capsys, "--leader-elect-lease-duration=10s", "--leader-elect-renew-deadline=15s")
    assert "10" in told
    assert "15" in told


@pytest.mark.parametrize("text", ["true", "false"])
def test_mode_that_serves_nothing_is_refused(capsys, monkeypatch, text):
    monkeypatch.setenv("KUBEVIP_ENABLE_LOADBALANCERCLASS", text)
    monkeypatch.setenv("KUBEVIP_CUSTOM_LOADBALANCERCLASS_NAME", " , ")
    told = refusal(capsys, "--classless=false")
    assert told == "kubevip: --classless=false, and no class is named: no Service would be served\n"


@pytest.mark.parametrize("flag", ["--leader-elect", "--classless", "--OutSideCluster"])
def test_truth_value_of_a_flag_is_one(capsys, flag):
    assert f"{flag} value 'yes' is invalid: write true or false" in refusal(capsys, f"{flag}=yes")


def test_kubeconfig_that_is_missing_is_named(tmp_path):
    code, _out, err = run("--kubeconfig=/nowhere/config", "--logging-format=json", directory=tmp_path)
    assert code == 2
    assert "kubeconfig /nowhere/config (--kubeconfig names it): there is no such file" in err


def test_version_and_help(tmp_path):
    assert run("--version", directory=tmp_path)[:2] == (0, f"{__version__}\n")
    code, out, _err = run("--help", directory=tmp_path)
    assert code == 0
    for flag in (
        "--leader-elect-resource-name",
        "--load-balancer-classes",
        "--concurrent-service-syncs",
        "--kubeconfig",
    ):
        assert flag in out


def test_name_of_the_command_in_the_image_is_the_provider(tmp_path):
    (entry,) = (each for each in entry_points(group="console_scripts") if each.name == "kube-vip-cloud-provider")
    assert entry.load() is command.main
    script = Path(sysconfig.get_path("scripts")) / "kube-vip-cloud-provider"
    done = subprocess.run([script, "foo"], capture_output=True, text=True, timeout=20, env={"HOME": str(tmp_path)})
    assert (done.returncode, "got 'foo'" in done.stderr) == (2, True)


async def test_flags_of_a_controller_manager_are_warned_of_once(emulator):
    await emulator.configure(**POOL)
    provider = emulator.start(*POD_FLAGS, "--profiling=false")
    await emulator.add_service("web")
    await emulator.wait_served("web")
    (line,) = [line for line in provider.logged() if line["level"] == "warning" and "no effect here" in line["message"]]
    assert line["message"].endswith(": --allow-untagged-cloud, --cluster-name, --kube-api-qps, --vmodule, --profiling")


async def test_file_of_the_flag_goes_before_the_one_of_the_environment(emulator):
    await emulator.configure(**POOL)
    good = emulator.directory / file_of(ACCOUNT)
    async with emulator.provider(f"--kubeconfig={good}", "--OutSideCluster", KUBECONFIG="/nowhere/config"):
        await emulator.add_service("web")
        await emulator.wait_served("web")


async def test_master_takes_the_place_of_the_server_in_the_file(emulator):
    await emulator.configure(**POOL)
    moved = emulator.directory / "moved"
    text = emulator.server.kubeconfig(ACCOUNT).replace(emulator.server.url, "http://127.0.0.1:9")
    await in_thread(moved.write_text, text)
    for flags in ((f"--kubeconfig={moved}",), ()):
        async with emulator.provider(*flags, f"--master={emulator.server.url}", KUBECONFIG=str(moved)):
            await emulator.add_service("web")
            await emulator.wait_served("web")
            await emulator.delete("web")
            await emulator.wait_gone("web")


async def test_lease_has_the_name_and_the_place_that_flags_give_it(emulator):
    await emulator.add_namespaces("leases")
    flags = "--leader-elect-resource-name=mine", "--leader-elect-resource-namespace=leases"

    async def held():
        listed = await emulator.read("/apis/coordination.k8s.io/v1/leases")
        return [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in listed["items"]]

    async with emulator.provider(*flags):
        assert await until(held) == [("leases", "mine")]


# What it serves


def listening():
    port = free_port()
    return port, f"--prometheusHTTPServer=127.0.0.1:{port}"


async def test_metrics_count_each_family_of_each_pool_and_who_waits(emulator):
    await emulator.configure(**POOL)
    await emulator.add_node("node1", "10.0.0.7")
    port, flag = listening()
    async with emulator.provider(flag):
        for name in ("one", "other"):
            await emulator.add_service(name)
            await emulator.wait_served(name)
        await emulator.add_service("next")
        await emulator.wait_event("next", "AddressPoolExhausted")
        found = await metrics(port)
        await anyio.sleep(0.2)
        later = await metrics(port)
    wanted = {
        'kubevip_pool_size{family="IPv4",pool="range-global"}': 3,
        'kubevip_pool_used{family="IPv4",pool="range-global"}': 3,
        'kubevip_pool_free{family="IPv4",pool="range-global"}': 0,
        'kubevip_pool_size{family="IPv6",pool="range-global"}': 5,
        'kubevip_pool_free{family="IPv6",pool="range-global"}': 5,
        "kubevip_pending_services": 1,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert found['kubevip_assignment_failures_total{reason="AddressPoolExhausted"}'] >= 1
    (leads,) = (value for name, value in found.items() if name.startswith("kube_vip_is_leader{"))
    assert leads == 1
    oldest = "kubevip_oldest_pending_seconds"
    assert later[oldest] >= found[oldest] + 0.2


async def test_probes_of_a_leader_and_of_who_stands_by(emulator):
    (one, first), (two, second) = listening(), listening()
    async with emulator.provider(first) as leader:
        await until(lambda: leader.statistics().accounts)
        async with emulator.provider(second):
            for port in (one, two):
                await until(lambda port=port: ready(port), what="ready")
                for path in ("/healthz", "/livez", "/readyz"):
                    assert await ask(port, path) == (200, "ok\n")
            assert not [name for name in await metrics(two) if name.startswith("kubevip_pool")]


async def ready(port):
    return (await ask(port, "/readyz"))[0] == 200


async def test_probes_while_the_server_is_away(emulator):
    cut = emulator.fault("cut-off", hang=False)
    port, flag = listening()
    async with emulator.provider(flag):
        named = f"Lease kube-system/{LEASE}: the API server {emulator.server.url} does not answer"
        await until(lambda: complains(port, named), what=named)
        assert await ask(port, "/healthz") == (200, "ok\n")
        emulator.server.faults.remove(cut)
        await until(lambda: ready(port), what="ready")


async def complains(port, text):
    status, told = await ask(port, "/readyz")
    return status == 503 and told.startswith(text)


async def test_port_that_is_taken_costs_no_address(emulator, caplog):
    await emulator.configure(**POOL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with emulator.provider(f"--prometheusHTTPServer=127.0.0.1:{taken.getsockname()[1]}"):
            await emulator.add_service("web")
            await emulator.wait_served("web")
            await until(lambda: "not serving metrics and health" in caplog.messages)


# As a process


async def test_process_says_what_it_serves(emulator):
    provider = emulator.start()
    await provider.wait_logged("providing")
    assert await provider.ask("/readyz") == (200, "ok\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_signal_releases_the_lease_and_ends_it_well(emulator, number):
    provider = emulator.start()
    await provider.wait_logged("providing")
    assert await emulator.holder()
    provider.tell(number)
    assert await provider.wait() == 0
    assert await emulator.holder() == ""
    messages = provider.messages()
    assert messages[messages.index("stopping") :] == [
        "stopping",
        "released the Lease",
        "not leading any more",
        "stopped",
    ]
    assert not [line for line in provider.logged() if line["level"] == "error"]


async def test_signal_before_there_is_a_server_ends_it_too(emulator):
    emulator.fault("cut-off")
    provider = emulator.start()
    await provider.wait_logged("using the API server")
    await asyncio.sleep(0.2)
    provider.tell(signal.SIGTERM)
    assert await provider.wait(5) == 0


async def test_provider_that_works_without_election_ends_on_a_signal_and_has_no_lease(emulator):
    provider = emulator.start("--leader-elect=false")
    await provider.wait_logged("providing")
    assert await provider.stop() == 0
    assert await emulator.holder() == ""
