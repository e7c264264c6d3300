"""Where settings may stand, and which place wins."""

import argparse
import json
from pathlib import Path

import pytest

from kubevip.config import Loaded, add_flags, load
from kubevip.errors import ConfigError

BASE = {"vip_arp": "true", "svc_enable": "true"}


def flags(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return parser.parse_args(words)


def with_file(path: Path, text: str, **environ: str) -> Loaded:
    path.write_text(text)
    return load(BASE | environ | {"config_file": str(path)})


def problem(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(BASE | environ)
    return caught.value.problems[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kubevip.yaml"


def test_a_flag_beats_a_default() -> None:
    assert load(BASE, flags("--port", "7443")).settings.control_plane.port == 7443


def test_the_environment_beats_a_flag() -> None:
    assert load(BASE | {"port": "8443"}, flags("--port=7443")).settings.control_plane.port == 8443


def test_an_empty_variable_leaves_the_flag() -> None:
    assert load(BASE | {"port": ""}, flags("--port=7443")).settings.control_plane.port == 7443


def test_a_file_beats_a_default(file: Path) -> None:
    assert with_file(file, "port: 9443").settings.control_plane.port == 9443


def test_a_flag_beats_a_file(file: Path) -> None:
    file.write_text("port: 9443")
    assert load(BASE, flags("--config-file", str(file), "--port=7443")).settings.control_plane.port == 7443


def test_the_environment_beats_a_file(file: Path) -> None:
    assert with_file(file, "port: 9443", port="8443").settings.control_plane.port == 8443


def test_the_file_may_be_named_by_a_flag(file: Path) -> None:
    file.write_text("vip_arp: true\nsvc_enable: true\nvip_interface: eth7\n")
    assert load({}, flags("--config-file", str(file))).settings.node.interface == "eth7"


@pytest.mark.parametrize("key", ["LoadBalancerClassOnly", "loadbalancerclassonly", "lb_class_only", "LB_CLASS_ONLY"])
def test_a_file_takes_our_names_and_those_of_kube_vip_in_any_case(file: Path, key: str) -> None:
    assert with_file(file, f"{key}: true").settings.services.class_only


def test_the_key_vipsubnet_sets_the_prefix(file: Path) -> None:
    assert with_file(file, "VIPSubnet: 24").settings.node.prefixes.v4 == 24


def test_a_file_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "kubevip.json"
    loaded = with_file(path, json.dumps({"LeaseDuration": 20, "EnableARP": True, "Interface": None}))
    assert loaded.settings.election.duration == 20


def test_a_list_in_a_file_is_read_as_one_with_commas(file: Path) -> None:
    loaded = with_file(file, "cp_enable: true\naddress: [10.0.0.1, fd00::1]\n")
    assert len(loaded.settings.control_plane.addresses) == 2


def test_svc_enable_in_a_file_opens_the_gate(file: Path) -> None:
    file.write_text("svc_enable: true\nlb_class_only: true\n")
    assert load({"vip_arp": "true", "config_file": str(file)}).settings.services.class_only


def test_an_empty_class_name_in_a_file_counts(file: Path) -> None:
    assert with_file(file, "lb_class_name: ''").settings.services.class_name == ""


def test_an_empty_file_says_nothing(file: Path) -> None:
    assert with_file(file, "").notices == ()


def test_an_unknown_key_of_a_file_is_told_with_the_nearest(file: Path) -> None:
    assert with_file(file, "vip_arprat: 5000").notices == (
        f"vip_arprat in {file} is ignored: there is no setting of that name; is vip_arpRate meant?",
    )


def test_a_wrong_value_of_a_file_names_key_value_and_file(file: Path) -> None:
    file.write_text("Port: many")
    assert problem({"config_file": str(file)}) == f"Port='many' in {file}: write a port from 1 to 65535"


def test_a_setting_that_stands_twice_is_refused(file: Path) -> None:
    file.write_text("EnableARP: false\nvip_arp: true\n")
    assert problem({"config_file": str(file)}) == (
        f"vip_arp in {file}: EnableARP is the same setting; write one of them"
    )


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("a.toml", "", "ends in .json, .yaml or .yml"),
        ("a.yaml", "a: [", "write YAML (while parsing"),
        ("a.json", "{", "write JSON (Expecting property name"),
        ("a.yaml", "- vip_arp", "write a mapping of settings"),
        ("a.json", "[]", "write a mapping of settings"),
        ("a.yml", b"\xff\xfe\xfa", "write the file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_problem(tmp_path: Path, name: str, text: str | bytes, right: str) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    told = problem({"config_file": str(path)})
    assert told.startswith(f"config_file='{path}': ")
    assert right in told


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert problem({"config_file": str(path)}) == (
        f"config_file='{path}': write the name of a file that can be read (No such file or directory)"
    )


def test_a_missing_file_hides_no_other_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(BASE | {"config_file": str(tmp_path / "none.yaml"), "port": "x"})
    assert len(caught.value.problems) == 2
