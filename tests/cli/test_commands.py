"""The commands that print something and end."""

import os
import platform
import subprocess
import sys

import pytest
import yaml

from kubevip.version import __version__
from tests.kernel import in_thread

SETTINGS = "--arp --interface eth0 --controlplane --services --address 172.31.0.99"


async def test_version_prints_the_lines_of_kube_vip(start):
    code, ran = await start.run("version")
    lines = ["kubevip Release Information", f"Version:  v{__version__}", f"Python:   {platform.python_version()}"]
    assert (code, ran.out.splitlines(), ran.err) == (0, lines, "")


async def test_backends_lists_name_family_and_origin_of_each(start):
    code, ran = await start.run("backends")
    assert (code, ran.err) == (0, "")
    listed = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ran.out.splitlines()}
    assert listed["arp"] == ["IPv4", f"kubevip_arp:ArpBackend of kubevip {__version__}"]
    assert listed["ndp"] == ["IPv6", f"kubevip_ndp:NdpBackend of kubevip {__version__}"]


@pytest.mark.parametrize("kind", ["Pod", "DaemonSet"])
async def test_manifest_is_all_that_is_on_stdout(start, kind):
    code, ran = await start.run("manifest", kind.lower(), *SETTINGS.split())
    assert (code, ran.err) == (0, "")
    assert yaml.safe_load(ran.out)["kind"] == kind


async def test_manifest_of_rights_needs_no_settings(start):
    code, ran = await start.run("manifest", "rbac")
    kinds = [each["kind"] for each in yaml.safe_load_all(ran.out)]
    assert (code, kinds) == (0, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"])


async def test_manifest_with_bad_settings_tells_all_problems_and_prints_nothing(start):
    code, ran = await start.run("manifest", "pod", "--arp", "--controlplane", "--leaseDuration", "1", port="0")
    assert (code, ran.out) == (2, "")
    for name in ("address", "vip_leaseduration", "port='0'"):
        assert name in ran.err


@pytest.mark.parametrize("arguments", [("agnt",), (), ("agent", "--nonsense"), ("manifest",), ("manifest", "job")])
async def test_wrong_command_line_ends_with_2_and_the_usage_on_stderr(start, arguments):
    code, ran = await start.run(*arguments)
    assert (code, ran.out) == (2, "")
    assert "usage: kubevip" in ran.err


@pytest.mark.parametrize("arguments", [("--help",), ("agent", "--help"), ("manager", "--help")])
async def test_help_is_on_stdout(start, arguments):
    code, ran = await start.run(*arguments)
    assert (code, ran.err) == (0, "")
    assert ran.out.startswith("usage: kubevip")


async def test_backend_that_cannot_be_used_is_listed_with_the_reason_and_ends_with_1(start, tmp_path):
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[kubevip.backends]\ncarp = there_is_no_such_module:Carp\n")
    code, ran = await start.run("backends", PYTHONPATH=str(tmp_path))
    (line,) = [line for line in ran.out.splitlines() if line.startswith("carp ")]
    assert code == 1
    assert "broken: " in line
    assert "No module named 'there_is_no_such_module' " in line
    assert line.endswith(" there_is_no_such_module:Carp of broken 1.0")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["arp", "bgp", "carp", "ndp", "routes", "ranges"]


@pytest.mark.parametrize("arguments", [("backends",), ("manifest", "rbac"), ("version",), ("--help",)])
async def test_whoever_reads_no_further_makes_no_traceback(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kubevip", *arguments]
    ran = await in_thread(lambda: subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False))
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, b"")
