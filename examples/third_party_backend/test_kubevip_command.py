"""The example's own tests: its entry point, its side of the contract, and what it is for."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import anyio
import pytest

from kubevip.plugin import NetworkError, Vip
from kubevip.registry import Registry
from kubevip.testing import FakeHost, Segment, check_backend

HERE = Path(__file__).parent
VIP = Vip.parse("10.0.0.5", interface="eth0")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The entry points of this package, as they are when it is installed."""
    monkeypatch.syspath_prepend(str(HERE))
    points = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"]["kubevip.backends"]
    return Registry([EntryPoint(name, value, "kubevip.backends") for name, value in points.items()])


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A command that writes down how it was called."""
    script = tmp_path / "move-address"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    script.chmod(0o755)
    return {"VIP_COMMAND": f"{script} --quiet"}


async def test_keeps_the_contract(registry: Registry, settings: dict[str, str]) -> None:
    await check_backend("command", registry=registry, settings=settings)


async def test_runs_the_command_with_verb_address_and_interface(
    registry: Registry, settings: dict[str, str], tmp_path: Path
) -> None:
    backend = registry["command"](FakeHost("node", Segment(), settings))
    await backend.announce(VIP)
    await backend.withdraw(VIP)
    calls = await anyio.Path(tmp_path / "calls").read_text()
    assert calls == "--quiet announce 10.0.0.5 eth0\n--quiet withdraw 10.0.0.5 eth0\n"


@pytest.mark.parametrize(("command", "said"), [("", "is not set"), ("false", "failed"), ("/no/such/thing", "failed")])
async def test_a_command_that_does_not_work_is_a_network_error(registry: Registry, command: str, said: str) -> None:
    backend = registry["command"](FakeHost("node", Segment(), {"VIP_COMMAND": command}))
    with pytest.raises(NetworkError, match=said):
        await backend.announce(VIP)
