"""Real kernels for tests: machines in network namespaces, and what ``ip`` of iproute2 says of them.

Whoever may not make namespaces becomes root in a user namespace, before the first test begins. The tests of
other directories then see a network with nothing but its loopback, which is all that they need.
"""

import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from fcntl import ioctl
from typing import Any

import anyio.to_thread
import pytest

from kubevip.net.segment import Machine, become_root

MARKERS = ("kernel", "peer")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def pytest_collection_finish(session: pytest.Session) -> None:
    """Become root if a test needs it; pytest calls this in each conftest that imports it."""
    if os.geteuid() != 0 and any(item.get_closest_marker(name) for item in session.items for name in MARKERS):
        try:
            become_root()
        except OSError:
            return
        _set_loopback_up()


def _set_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name, flags = struct.unpack("16sh", ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh", name, flags | _IFF_UP))


def require_namespaces() -> None:
    """Skip a test where this process may not make namespaces."""
    if os.geteuid() != 0:
        pytest.skip("no network namespaces: needs root, or a system that allows unprivileged user namespaces")


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking function outside of the event loop."""
    return await anyio.to_thread.run_sync(lambda: function(*arguments))


async def run_on(machine: Machine, *command: str, check: bool = True) -> str:
    """Run a command on *machine*, and return what it prints."""

    def run() -> str:
        with machine.entered():
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    return await in_thread(run)


async def addresses_on(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what ``ip -details addr`` shows of each address of *machine*, but for those of the link itself."""
    shown = json.loads(await run_on(machine, "ip", "-json", "-details", "addr", "show"))
    return {
        address["local"]: {**address, "interface": link["ifname"]}
        for link in shown
        for address in link["addr_info"]
        if address["scope"] != "link" and address["local"] not in ("127.0.0.1", "::1")
    }
