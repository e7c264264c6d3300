"""Pool sources by name, and the command that lists them beside the backends."""

import argparse
from importlib.metadata import EntryPoint

import pytest

from kubevip.cli import backends
from kubevip.errors import BrokenPoolSource, KubeVipError, UnknownPoolSource
from kubevip.ranges import Ranges
from kubevip.registry import Registry, SourceRegistry
from kubevip.source import ENTRY_POINT_GROUP

RANGES = "kubevip.ranges:Ranges"


def point(name, value):
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


def test_the_bundled_source_is_found_by_its_entry_point():
    assert SourceRegistry()["ranges"] is Ranges


def test_backends_are_no_sources_and_sources_no_backends():
    assert not set(SourceRegistry()) & set(Registry())


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(
        UnknownPoolSource, match="no pool source 'netbox' is installed; there are: phpipam, ranges"
    ) as it:
        SourceRegistry([point("ranges", "x:Y"), point("phpipam", "x:Y")])["netbox"]
    assert isinstance(it.value, KubeVipError)


def test_one_that_does_not_import_is_broken_and_says_why():
    with pytest.raises(BrokenPoolSource, match=r"'mine' \(no_such_module:Mine\) doesn't import: No module named"):
        SourceRegistry([point("mine", "no_such_module:Mine")])["mine"]


@pytest.mark.parametrize("value", ["kubevip.backend:Backend", "kubevip.source:Capacity", "kubevip.source:fault_of"])
def test_what_is_no_source_is_broken(value):
    with pytest.raises(BrokenPoolSource, match=r"isn't a subclass of kubevip\.plugin\.PoolSource"):
        SourceRegistry([point("mine", value)])["mine"]


def test_a_name_that_two_register_is_broken_and_both_are_named():
    registry = SourceRegistry([point("ranges", RANGES), point("ranges", "other:Ranges")])
    with pytest.raises(BrokenPoolSource, match=r"kubevip\.ranges:Ranges.*, other:Ranges.*; uninstall all but one"):
        registry["ranges"]


def test_a_broken_one_does_not_break_the_others():
    registry = SourceRegistry([point("ranges", RANGES), point("mine", "no_such_module:Mine")])
    assert sorted(registry) == ["mine", "ranges"]
    assert registry["ranges"] is Ranges


def listed(capsys, monkeypatch, *points):
    monkeypatch.setattr(backends, "SourceRegistry", lambda: SourceRegistry(points))
    code = backends.run(argparse.Namespace())
    return code, capsys.readouterr().out.splitlines()


def test_the_command_lists_sources_after_the_backends_with_their_origin(capsys, monkeypatch):
    code, lines = listed(capsys, monkeypatch, point("ranges", RANGES))
    assert (code, lines[-1].split(maxsplit=3)) == (0, ["ranges", "pool", "source", RANGES])
    assert [line.split()[0] for line in lines[:-1]] == sorted(Registry())


def test_the_command_names_what_is_broken_and_lists_the_rest(capsys, monkeypatch):
    code, lines = listed(capsys, monkeypatch, point("mine", "no_such_module:Mine"), point("ranges", RANGES))
    assert code == 1
    assert lines[-2].startswith(
        "mine        broken: pool source 'mine' (no_such_module:Mine) doesn't import: No module"
    )
    assert lines[-1].split()[0] == "ranges"


def test_the_command_names_both_of_a_doubled_name(capsys, monkeypatch):
    code, lines = listed(capsys, monkeypatch, point("ranges", RANGES), point("ranges", "other:Ranges"))
    assert code == 1
    assert f"registered more than once: {RANGES}, other:Ranges; uninstall all but one" in lines[-1]
