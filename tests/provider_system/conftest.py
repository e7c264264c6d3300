"""What the tests of the provider share: API servers with the operator's setup, and providers before them."""

import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from kubevip.emulator import User, serve
from kubevip.emulator.faults import Faults, Target
from tests.provider_system.objects import ACCOUNT, SECOND
from tests.provider_system.site import Site
from tests.realapi import find_assets, serve_real

TOKENS = {
    "admin-token": User("admin", ("system:masters",)),
    "account-token": User.service_account("kube-system", "kube-vip-cloud-controller"),
    "second-token": User.service_account("kube-system", "second"),
}


@pytest.fixture(autouse=True)
def tests_read_files(nothing_blocks_the_loop: BlockBuster) -> None:
    """Let files be read while connecting, which happens once, and let tests start processes and read their logs."""
    for function in nothing_blocks_the_loop.functions.values():
        function.can_block_in("kubevip/kube/connect.py", {"connect"})
        function.can_block_in("kubevip/kube/client.py", {"__aenter__"})
        # Of what the process has used, the kernel tells at once.
        function.can_block_in("kubevip/metrics.py", {"exposition"})
        function.can_block_in("tests/provider_system/site.py", {"client_of", "start", "end_processes"})
        function.can_block_in("tests/provider_system/running.py", {"logged", "wait_logged"})


@pytest.fixture(scope="session", autouse=True)
def no_authorities_are_read() -> Iterator[None]:
    """Spare each client to read this machine's certificate authorities: that takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        patch.setenv("SSL_CERT_DIR", os.devnull)
        yield


@contextlib.asynccontextmanager
async def emulated(directory: Path, **options: Any) -> AsyncIterator[Site]:
    async with (
        serve(
            tokens=TOKENS, rbac=True, service_cidrs=["10.96.0.0/12", "fd96::/108"], rng=random.Random(1), **options
        ) as server,
        Site.on(server, directory) as site,
    ):
        yield site


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Site]:
    """The built-in API server, which makes faults on request."""
    async with emulated(tmp_path) as site:
        yield site


@pytest.fixture(scope="session")
def real_server() -> Iterator[Any]:
    """A real kube-apiserver for the whole session; skips where there is none."""
    assets = find_assets()
    if assets is None:
        pytest.skip("no real kube-apiserver: KUBEBUILDER_ASSETS names no directory with kube-apiserver and etcd")
    arguments = ("--service-cluster-ip-range=10.96.0.0/12,fd96::/108",)
    with serve_real(assets, users={ACCOUNT: (), SECOND: ()}, arguments=arguments) as server:
        yield server


@pytest.fixture(params=["emulator", pytest.param("real", marks=pytest.mark.real_api)])
def kind_of_server(request: pytest.FixtureRequest) -> Any:
    """A real server that runs; ``None`` stands for the built-in one, which needs the test's event loop."""
    return request.getfixturevalue("real_server") if request.param == "real" else None


@pytest.fixture
async def site(kind_of_server: Any, tmp_path: Path) -> AsyncIterator[Site]:
    """The built-in API server, and then the real one."""
    async with emulated(tmp_path) if kind_of_server is None else Site.on(kind_of_server, tmp_path) as site:
        yield site


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """All that providers ask the built-in server for, from now on."""
    found: list[Target] = []
    strike = Faults.strike

    def noting(faults: Faults, target: Target) -> Any:
        if target.user in (ACCOUNT, SECOND):
            found.append(target)
        return strike(faults, target)

    monkeypatch.setattr(Faults, "strike", noting)
    return found
