"""What ``docs/routes.md`` says of settings and of BIRD is so."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kubevip_routes.configuration import read_configuration

from kubevip.config import load
from kubevip.config.table import BY_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "routes.md").read_text("utf-8")
ROUTING = {name for name in BY_NAME if "routing" in name}


def block(start):
    (found,) = [each for each in re.findall(r"```\w*\n(.*?)```", PAGE, re.S) if each.startswith(start)]
    return found


def test_every_setting_of_the_mode_is_on_the_page():
    assert {name for name in ROUTING if f"`{name}" not in PAGE and name not in block("env:")} == set()


def test_every_name_on_the_page_is_a_setting():
    assert set(re.findall(r"`((?:vip|backend|control_plane)_\w+)", PAGE)) <= set(BY_NAME)


def test_environment_of_the_page_can_be_used():
    texts = dict(re.findall(r"name: (\w+), value: \"?([^\"}]+)", block("env:")))
    assert load(texts).settings.routing_table.enable
    assert read_configuration(texts).clean


@pytest.mark.peer
def test_bird_reads_its_example(tmp_path):
    program = shutil.which("bird", path="/usr/sbin:/usr/bin") or pytest.skip("no bird: install bird2")
    config = tmp_path / "bird.conf"
    config.write_text(block("router id"))
    done = subprocess.run([program, "-p", "-c", config], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
