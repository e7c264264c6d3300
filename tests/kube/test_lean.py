"""The lean way to load kubernetes_asyncio, which only the agent's process takes. Each test has a process of its own."""

import subprocess
import sys
import textwrap

import pytest


def run(code: str) -> str:
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=50
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_only_what_is_used_is_loaded():
    loaded = run("""
        import sys
        from kubevip.kube.lean import load_lean
        assert load_lean()
        import kubevip.agent
        import kubernetes_asyncio.config.kube_config
        print(len([name for name in sys.modules if name.startswith("kubernetes_asyncio.client.models.")]))
    """)
    assert int(loaded) == 0


def test_client_speaks_to_a_server():
    answer = run("""
        from kubevip.kube.lean import load_lean
        assert load_lean()
        import asyncio, pathlib, tempfile
        from kubevip.config import Kubeconfig
        from kubevip.emulator import serve
        from kubevip.kube.connect import connect

        async def main():
            async with serve() as server:
                with tempfile.NamedTemporaryFile("w") as file:
                    file.write(server.kubeconfig())
                    file.flush()
                    client = await connect([Kubeconfig(paths=(pathlib.Path(file.name),), reason="")])
                async with client:
                    print((await client.request("GET", "/api/v1/services")).decode()[:21])

        asyncio.run(main())
    """)
    assert answer == '{"kind":"ServiceList"'


def test_credentials_of_a_pod_are_looked_for():
    said = run("""
        from kubevip.kube.lean import load_lean
        assert load_lean()
        import asyncio
        from kubevip.config import InCluster
        from kubevip.errors import ConfigError
        from kubevip.kube.connect import connect
        try:
            asyncio.run(connect([InCluster(reason="the Pod's ServiceAccount")]))
        except ConfigError as error:
            print(error)
    """)
    assert "the Pod's ServiceAccount (Service host/port is not set.)" in said


def test_nothing_changes_where_it_is_loaded_already():
    run("""
        import kubernetes_asyncio.client
        from kubevip.kube.lean import load_lean
        assert not load_lean()
        assert kubernetes_asyncio.client.CoreV1Api
    """)


@pytest.mark.parametrize(
    "change",
    [
        "sys.modules['kubernetes_asyncio.config.incluster_config'] = None",
        "importlib.util.find_spec = lambda name, package=None: None",
        "sys.modules['kubernetes_asyncio.config.kube_config'] = None",
    ],
    ids=["no incluster_config", "no package", "no kube_config"],
)
def test_other_layout_is_loaded_whole(change):
    run(f"""
        import importlib, importlib.util, sys
        from kubevip.kube.lean import load_lean
        find_spec = importlib.util.find_spec
        {change}
        assert not load_lean()
        importlib.util.find_spec = find_spec
        left = [name for name in sys.modules if name.startswith("kubernetes_asyncio")]
        assert not left, left
        from kubernetes_asyncio.client import ApiClient, CoreV1Api
    """)


@pytest.mark.parametrize(
    "use",
    [
        "import kubevip",
        "import kubevip; kubevip.Timing(); kubevip.Vip.parse('10.0.0.5', interface='eth0')",
        "import kubevip.plugin",
        "import kubevip.testing",
        "import kubevip; kubevip.hold",
        "from kubevip import *",
    ],
)
def test_library_does_not_load_the_api_client(use):
    loaded = run(f"""
        import sys
        {use}
        print([name for name in sys.modules if name.startswith("kubernetes_asyncio")])
    """)
    assert loaded == "[]"


@pytest.mark.parametrize("use", ["import kubevip", "import kubevip.plugin"])
def test_library_is_imported_without_what_does_io(use):
    loaded = run(f"""
        import sys
        {use}
        parts = ("asyncio", "anyio", "aiohttp", "pyroute2", "kubernetes_asyncio", "msgspec")
        print([name for name in parts if name in sys.modules])
    """)
    assert loaded == "[]"


def test_logging_of_the_host_is_left_alone():
    run("""
        import logging
        import kubevip, kubevip.testing
        kubevip.hold
        assert not logging.getLogger().handlers
        assert not logging.getLogger("kubevip").handlers
    """)
