"""Reading settings costs no YAML and no client, unless a file is named."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["kubevip.config", "kubevip.manifest"])
def test_no_costly_module_is_imported(package: str) -> None:
    code = f"import sys, {package}; print(*{{'yaml', 'kubernetes_asyncio', 'pyroute2'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
