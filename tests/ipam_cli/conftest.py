"""What the tests of ``kubevip ipam`` share: the command in this process, the command as a process, and a cluster."""

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from kubevip.cli import main
from kubevip.emulator import Emulator, serve


@attrs.frozen
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, the commands are told nothing, and the output is no terminal's."""
    for name in [*filter(lambda name: name.startswith("KUBEVIP_"), os.environ), "KUBECONFIG", "COLUMNS", "NO_COLOR"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ipam(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``kubevip ipam`` with these arguments, in this process: for what needs no API server."""

    def run(*arguments: str) -> Ran:
        try:
            code = main(["ipam", *map(str, arguments)])
        except SystemExit as error:
            code = int(error.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file; return its path."""

    def write(text: str | bytes, name: str = "pools.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@attrs.define(eq=False)
class Cluster:
    """An API server, and commands that know where it is."""

    server: Emulator
    directory: Path

    async def process(self, *program: str, stdin: str | bytes = "", **environment: str) -> Ran:
        """Run a program to its end."""
        process = await self.start(*program, **environment)
        out, err = await process.communicate(stdin if isinstance(stdin, bytes) else stdin.encode())
        return Ran(process.returncode, out.decode(), err.decode())

    async def start(self, *program: str, **environment: str) -> asyncio.subprocess.Process:
        """Start a program."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        config = {"KUBECONFIG": str(self.directory / "kubeconfig"), "HOME": str(self.directory)}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *program,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**kept, **config, "PYTHONWARNINGS": "error", **environment},
            cwd=self.directory,
        )

    async def ipam(self, *arguments: str, **options: str) -> Ran:
        """Run ``kubevip ipam``."""
        return await self.process(sys.executable, "-m", "kubevip", "ipam", *arguments, **options)

    def pools(self, **data: str) -> None:
        """Create the ConfigMap; ``_`` in a key is ``-``."""
        named = {key.replace("_", "-"): text for key, text in data.items()}
        metadata = {"name": "kubevip", "namespace": "kube-system"}
        self.server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": named})

    def service(self, name: str, addresses: str = "", origin: str = "", **spec: object) -> None:
        """Create a Service of namespace ``default`` that has *addresses* from *origin*, as the provider writes it."""
        annotations, labels = {}, {}
        if addresses:
            annotations["kube-vip.io/loadbalancerIPs"] = addresses
            spec["loadBalancerIP"] = addresses.split(",")[0]
        if origin:
            annotations["kubevip.io/assigned"] = f"{origin} {addresses}"
            labels["implementation"] = "kube-vip"
        metadata = {"name": name, "annotations": annotations, "labels": labels}
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
        self.server.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    def node(self, name: str, *addresses: str) -> None:
        """Create a node."""
        listed = [{"type": "InternalIP", "address": address} for address in addresses]
        listed.append({"type": "Hostname", "address": name})
        self.server.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": listed}}
        )

    async def replace(self, plural: str, namespace: str, document: dict[str, Any]) -> None:
        """Replace an object."""
        url = f"{self.server.url}/api/v1/namespaces/{namespace}/{plural}/{document['metadata']['name']}"
        async with aiohttp.ClientSession() as session, session.put(url, json=document) as response:
            assert response.status == 200, await response.text()


@contextlib.asynccontextmanager
async def serving(directory: Path, user: str | None = None, **options: Any) -> AsyncIterator[Cluster]:
    """Serve an API; the commands are *user*."""
    async with serve(rng=random.Random(1), **options) as server:
        config = directory / "kubeconfig"
        await asyncio.to_thread(config.write_text, server.kubeconfig(user))
        yield Cluster(server, directory)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A new cluster."""
    async with serving(tmp_path) as cluster:
        yield cluster
