"""What ``docs/bgp.md`` says of settings and routers is so."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kubevip_bgp.configuration import read_configuration
from kubevip_bgp.neighbors import Detection

from kubevip.config.setting import Supported
from kubevip.config.table import BY_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "bgp.md").read_text("utf-8")
PATHS = "/usr/sbin:/usr/bin:/usr/lib/frr"


def block(start):
    (found,) = [each for each in re.findall(r"```\w*\n(.*?)```", PAGE, re.S) if each.startswith(start)]
    return found


def test_every_name_on_the_page_is_a_setting():
    names = set(re.findall(r"`((?:mp)?bgp_[a-z0-9_]+)", PAGE))
    assert names - {"bgp_session_info"} <= set(BY_NAME)


def test_every_supported_setting_of_bgp_is_on_the_page():
    ours = {name for name, each in BY_NAME.items() if "bgp" in name and isinstance(each.support, Supported)}
    assert {name for name in ours if name not in PAGE} == set()


def test_environment_of_the_page_can_be_read():
    texts = dict(re.findall(r"name: (\w+), value: \"?([^\"}]+)", block("env:")))
    assert [str(each.address) for each in read_configuration(texts).neighbors] == ["10.0.0.1", "10.0.0.2"]


def test_peers_of_the_page_can_be_read():
    (signed,) = read_configuration({"bgp_peers": "10.0.0.1:65001:s3cret::::true;50;50;3"}).neighbors
    assert "`10.0.0.1:65001:s3cret::::true;50;50;3` a password, too" in PAGE
    assert (signed.password, signed.detection) == ("s3cret", Detection(receive=0.05, transmit=0.05, multiplier=3))
    for text in ("10.0.0.1:65001:::::true;50;50;3", "10.0.0.1:65001::::mpbgp_nexthop=fixed;mpbgp_ipv6=[fd00::5]"):
        assert text.partition("mpbgp")[2] in PAGE
        assert read_configuration({"bgp_peers": text}).neighbors


@pytest.mark.peer
def test_bird_reads_its_example(tmp_path):
    program = shutil.which("bird", path=PATHS) or pytest.skip("no bird: install bird2")
    config = tmp_path / "bird.conf"
    config.write_text("router id 10.0.0.1;\nprotocol device {}\n" + block("protocol kernel"))
    done = subprocess.run([program, "-p", "-c", config], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.peer
def test_bird_reads_the_options_of_the_routers_side(tmp_path):
    program = shutil.which("bird", path=PATHS) or pytest.skip("no bird: install bird2")
    detection, options = (
        'protocol bfd { interface "*" { interval 50 ms; multiplier 3; }; }',
        (
            'password "s3cret";',
            "ttl security on;",
            "bfd on;",
        ),
    )
    assert all(f"`{each}`" in PAGE for each in (detection, *options))
    words = " ".join((*options, "ipv4 { import all; export none; };"))
    peer = f"protocol bgp {{ local as 1; neighbor 10.0.0.9 as 2; {words} }}"
    config = tmp_path / "bird.conf"
    config.write_text(f"router id 10.0.0.1;\n{detection}\n{peer}\n")
    done = subprocess.run([program, "-p", "-c", config], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
