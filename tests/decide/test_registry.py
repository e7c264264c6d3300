"""Backends by name: loaded when they are asked for, and only then broken."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kubevip.backend import ENTRY_POINT_GROUP, Backend
from kubevip.errors import BrokenBackend, UnknownBackend
from kubevip.registry import Registry


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that notes that it was imported."""
    (tmp_path / "lazy_backend_module.py").write_text("from kubevip_arp import ArpBackend as Backend\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lazy_backend_module", raising=False)
    return "lazy_backend_module"


@pytest.mark.parametrize("name", ["arp", "ndp"])
def test_the_bundled_backends_are_found_by_their_entry_points(name: str) -> None:
    assert issubclass(Registry()[name], Backend)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownBackend, match="no backend 'bgp' is installed; there are: arp, ndp"):
        Registry([point("ndp", "x:Y"), point("arp", "x:Y")])["bgp"]


def test_where_none_is_installed_that_is_said() -> None:
    with pytest.raises(UnknownBackend, match="there are: none"):
        Registry([])["arp"]


def test_a_module_that_does_not_import_is_broken_and_says_why() -> None:
    with pytest.raises(BrokenBackend, match=r"'mine' \(no_such_module:Mine\) doesn't import: No module named"):
        Registry([point("mine", "no_such_module:Mine")])["mine"]


def test_a_module_that_fails_while_it_is_imported_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_backend_module.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BrokenBackend, match="no licence"):
        Registry([point("mine", "failing_backend_module:Mine")])["mine"]


def test_a_module_that_wants_to_exit_does_not_end_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exiting_backend_module.py").write_text("raise SystemExit('goodbye')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BrokenBackend, match="goodbye"):
        Registry([point("mine", "exiting_backend_module:Mine")])["mine"]


@pytest.mark.parametrize("value", ["kubevip.backend:Host", "kubevip.backend:ENTRY_POINT_GROUP", "json"])
def test_what_is_no_backend_is_broken(value: str) -> None:
    with pytest.raises(BrokenBackend, match=r"isn't a subclass of kubevip\.plugin\.Backend"):
        Registry([point("mine", value)])["mine"]


def test_a_name_that_two_register_is_broken_and_both_are_named() -> None:
    registry = Registry([point("arp", "kubevip_arp:ArpBackend"), point("arp", "other:Arp")])
    with pytest.raises(BrokenBackend, match=r"kubevip_arp:ArpBackend.*, other:Arp.*; uninstall all but one"):
        registry["arp"]


def test_one_that_is_installed_twice_is_no_conflict() -> None:
    registry = Registry([point("arp", "kubevip_arp:ArpBackend")] * 2)
    assert issubclass(registry["arp"], Backend)
    assert len(registry) == 1


def test_nothing_is_imported_before_it_is_asked_for(module: str) -> None:
    registry = Registry([point("lazy", f"{module}:Backend")])
    assert list(registry) == ["lazy"]
    assert "lazy" in registry
    assert module not in sys.modules
    assert issubclass(registry["lazy"], Backend)


def test_a_broken_one_does_not_break_the_others() -> None:
    registry = Registry([point("arp", "kubevip_arp:ArpBackend"), point("mine", "no_such_module:Mine")])
    assert sorted(registry) == ["arp", "mine"]
    assert issubclass(registry["arp"], Backend)


def test_a_name_that_nobody_registers_is_not_in_it() -> None:
    assert "bgp" not in Registry([])


def test_get_returns_the_default_for_an_unknown_name() -> None:
    assert Registry([]).get("bgp") is None


def test_the_origin_names_the_object() -> None:
    assert Registry([point("mine", "some.module:Mine")]).origin("mine") == "some.module:Mine"


def test_the_origin_of_an_installed_one_names_its_distribution() -> None:
    assert Registry().origin("arp").startswith("kubevip_arp:ArpBackend of kubevip ")
