"""Backends read their settings from an environment; flags and the config file count there too."""

import argparse

from kubevip.cli.agent import settings_of_backends
from kubevip.config import add_flags, load


def test_flags_reach_backends_and_the_environment_wins(monkeypatch) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    words = ["--bgp", "--services", "--bgppeers", "10.0.0.1:65001", "--bgppeers", "10.0.0.2:65001", "--localAS", "7"]
    environ = {"bgp_as": "65000", "OTHER": "x"}
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    told = settings_of_backends(load(environ, parser.parse_args(words)))
    assert told["bgp_peers"] == "10.0.0.1:65001,10.0.0.2:65001"
    assert told["bgp_as"] == "65000"
    assert told["OTHER"] == "x"
