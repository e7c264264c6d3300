"""``kubevip ipam check``."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest
import yaml

GOOD = """\
kind: ConfigMap
metadata: {name: kubevip, namespace: kube-system}
data: {range-global: 172.31.0.99-172.31.0.99}
"""


def test_the_operators_config_map_is_right(ipam, file):
    ran = ipam("check", file(GOOD))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "kube-system/kubevip\n\n"
        "POOL          NAMESPACE    FAMILY  SIZE  USE           ADDRESSES\n"
        "range-global  every other  IPv4       1  first choice  172.31.0.99/32\n\n"
        "nothing is wrong\n"
    )


def test_errors_exit_1_and_have_key_line_and_text(ipam, file):
    ran = ipam("check", file("cidr-a: 10.0.0.8/29\nrange-global: 10.0.0.9-10.0.0.1\n"))
    assert ran.code == 1
    assert "  error    range-global (line 2): the range 10.0.0.9-10.0.0.1 runs backwards" in ran.out
    assert ran.out.endswith("1 error, 1 note\n")


def test_warnings_exit_0_and_name_the_nearest_key(ipam, file):
    ran = ipam("check", file("cidr-a: 10.0.0.8/30\nserch-order: desc\n"))
    assert ran.code == 0
    assert "  warning  serch-order (line 2): there is no such key; did you mean search-order?" in ran.out


def test_a_key_that_is_there_twice_exits_1(ipam, file):
    ran = ipam("check", file("range-a: 10.0.0.1-10.0.0.2\nrange-a: 10.0.0.1-10.0.0.3\n"))
    assert ran.code == 1
    assert "range-a (line 2): it is there 2 times, in lines 1 and 2" in ran.out


def test_a_truth_value_without_quotes_exits_1(ipam, file):
    ran = ipam("check", file("range-a: 10.0.0.1-10.0.0.2\nallow-share-a: true\n"))
    assert ran.code == 1
    assert 'quote it, "true"' in ran.out


def test_networks_are_told_by_flags(ipam, file):
    path = file("range-a: 10.0.0.1-10.0.0.9\n")
    assert ipam("check", path).code == 0
    assert ipam("check", path, "--pod-cidr", "10.1.0.0/16,10.0.0.8/29").code == 1
    assert ipam("check", path, "--service-cidr=10.1.0.0/16", "--service-cidr=10.0.0.0/29").code == 1
    ran = ipam("check", path, "--node-ip", "10.0.0.3,fd00::1")
    assert (ran.code, "10.0.0.3 of a node is not given out" in ran.out) == (0, True)


def test_all_config_maps_of_a_file_are_checked(ipam, file):
    ran = ipam("check", file(f"{GOOD}---\n{GOOD.replace('name: kubevip', 'name: other').replace('-172', ' 172')}"))
    assert ran.code == 1
    assert [line for line in ran.out.splitlines() if line.startswith("kube-system")] == [
        "kube-system/kubevip",
        "kube-system/other",
    ]


def test_a_name_that_the_provider_doesnt_read_is_warned_about(ipam, file, monkeypatch):
    path = file(GOOD.replace("namespace: kube-system", "namespace: default"))
    assert "the provider reads kube-system/kubevip" in ipam("check", path).out
    assert "the provider reads" not in ipam("check", path, "--namespace", "default").out
    monkeypatch.setenv("KUBEVIP_NAMESPACE", "default")
    assert "the provider reads" not in ipam("check", path).out
    assert "the provider reads default/pools" in ipam("check", path, "--config-map", "pools").out


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_all_of_it(ipam, file, form, load):
    ran = ipam("check", file("cidr-v6: fd00::/64\nrange-web: x\nrnge-web: y\n"), "-o", form)
    assert ran.code == 1
    (found,) = load(ran.out)["configMaps"]
    assert (found["name"], found["valid"]) == (str(file("", "other")).replace("other", "pools.yaml"), False)
    keys = {each["key"]: (each["severity"], each["line"], each["nearest"]) for each in found["findings"]}
    assert keys == {"range-web": ("error", 2, None), "rnge-web": ("warning", 3, "range-web")}
    assert found["pools"][0] == {
        "key": "cidr-v6",
        "namespace": "v6",
        "family": "IPv6",
        "size": 2**64,
        "use": "first choice",
        "addresses": ["fd00::/64"],
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"kind: Service\n", "no ConfigMap in it, but Service"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"a: b: c\n", "line 1, column 5"),
        (b"#" * 10_000_000, "longer than 4 MiB, and a ConfigMap has 1 MiB at most"),
        (b"[" * 3_000_000, "in one another"),
    ],
    ids=["empty", "another kind", "no text", "no YAML", "10 MB", "brackets"],
)
def test_what_cant_be_read_exits_2_with_the_file_and_the_reason(ipam, file, content, why):
    path = file(content)
    ran = ipam("check", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"kubevip ipam: {path}: ")
    assert why in ran.err


def test_more_than_kubernetes_stores_is_one_error(ipam, file):
    ran = ipam("check", file(f"cidr-a: {'10.0.0.0/24,' * 100_000}10.0.0.0/24\n"))
    assert ran.code == 1
    assert "1048576" in ran.out
    assert len(ran.out) < 1000


def test_a_missing_file_and_a_directory_exit_2(ipam, tmp_path):
    assert "No such file" in ipam("check", tmp_path / "missing").err
    assert ipam("check", tmp_path / "missing").code == 2
    assert ipam("check", tmp_path).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("check",),
        ("chek", "x"),
        ("check", "x", "--pod-cidr", "nonsense"),
        ("check", "x", "--node-ip", "10.0.0.01"),
        ("check", "x", "-o", "xml"),
        ("check", "x", "--nonsense"),
        ("plan",),
    ],
)
def test_wrong_usage_exits_2_with_the_usage(ipam, arguments):
    ran = ipam(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("usage: kubevip ipam")


@pytest.mark.parametrize("arguments", [("--help",), ("check", "--help"), ("show", "--help"), ("plan", "--help")])
def test_help_is_on_stdout(ipam, arguments):
    ran = ipam(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("usage: kubevip ipam ")


def test_lines_fit_the_terminal(ipam, file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    ran = ipam("check", file("cidr-a: 192.168.0.210/29\nrange-a: 10.0.0.1-10.0.0.9\n"))
    assert max(map(len, ran.out.splitlines())) <= 70
    assert "\x1b" not in ran.out


def test_what_is_in_keys_doesnt_steer_the_terminal(ipam, file):
    assert "\x1b" not in ipam("check", file('range-a: 10.0.0.1-10.0.0.2\n"\\e[31mred": x\n')).out


def test_on_a_terminal_lines_fit_its_width_and_errors_are_red(file):
    path = file("cidr-a: 192.168.0.210/29\nrange-a: 10.0.0.1-10.0.0.9\nrange-b: x\n")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    program = [sys.executable, "-m", "kubevip", "ipam", "check", str(path)]
    ran = subprocess.run(program, stdout=theirs, env=kept, check=False)
    os.close(theirs)
    lines = os.read(ours, 1 << 16).decode().splitlines()
    os.close(ours)
    assert ran.returncode == 1
    assert max(len(re.sub("\x1b\\[[0-9]+m", "", line)) for line in lines) <= 80
    assert any("\x1b[31merror\x1b[0m" in line for line in lines)


async def test_stdin_is_read(cluster):
    ran = await cluster.ipam("check", "-", stdin="range-a: 10.0.0.9-10.0.0.1\n")
    assert ran.code == 1
    assert ran.out.startswith("stdin\n  error    range-a (line 1)")


@pytest.mark.parametrize(("reader", "out"), [("head -1", "stdin\n"), ("true", "")])
async def test_whoever_stops_to_read_is_no_error(cluster, reader, out):
    many = "".join(f"cidr-n{number}: 10.0.{number}.0/24\n" for number in range(200 if out else 1))
    shell = f"{sys.executable} -m kubevip ipam check - | {reader}"
    ran = await cluster.process("sh", "-c", shell, stdin=many)
    assert (ran.out, ran.err) == (out, "")
