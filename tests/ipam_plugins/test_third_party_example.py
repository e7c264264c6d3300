"""The example of a pool source in a package of its own: its tests run here too, and it is as short as it says."""

import importlib.util
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_ipam"

_spec = importlib.util.spec_from_file_location("test_kubevip_netbox", EXAMPLE / "test_kubevip_netbox.py")
assert _spec is not None
assert _spec.loader is not None
_tests = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _tests
_spec.loader.exec_module(_tests)
# pytest collects what a module has by name: the tests, and the fixtures that they ask for.
globals().update({name: value for name, value in vars(_tests).items() if not name.startswith("_")})


def test_the_module_is_under_60_lines_and_imports_the_plugin_facade_alone() -> None:
    lines = (EXAMPLE / "kubevip_netbox.py").read_text().splitlines()
    assert len(lines) < 60
    imports = [line for line in lines if "import" in line and "kubevip" in line]
    assert [line.split(" import ")[0] for line in imports] == ["from kubevip.plugin"]
