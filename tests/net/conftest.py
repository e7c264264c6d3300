"""What the tests of the kernel share: an Ethernet segment of two machines, and a node's parts on one of them."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_interface
from typing import Any

import attrs
import pytest
from blockbuster import BlockBuster

from kubevip.model import Vip
from kubevip.net.addresses import KernelAddresses
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.net.segment import Machine, Segment
from tests.kernel import pytest_collection_finish, require_namespaces

__all__ = ["pytest_collection_finish"]

MAC = "02:00:00:00:00:01"
MACHINES = {
    "n1": (ip_interface("10.9.0.1/16"), ip_interface("fd09::1/64")),
    "n2": (ip_interface("10.9.0.2/16"), ip_interface("fd09::2/64")),
}


@pytest.fixture(autouse=True)
def state_is_read_at_the_start(nothing_blocks_the_loop: BlockBuster) -> None:
    """Let links and addresses be read when the monitor begins, and after an overflow."""
    for function in nothing_blocks_the_loop.functions.values():
        function.can_block_in("kubevip/net/monitor.py", {"_read_all"})


@pytest.fixture
def segment() -> Iterator[Segment]:
    """Two machines on one bridge."""
    require_namespaces()
    with Segment.of(MACHINES) as segment:
        yield segment


@attrs.frozen
class Node:
    """A machine, and what kubevip opens on it."""

    machine: Machine
    monitor: Monitor
    addresses: KernelAddresses
    wire: Wire


@contextlib.asynccontextmanager
async def opened(machine: Machine, **options: Any) -> AsyncIterator[Node]:
    """Open a node's parts in this process, on *machine*."""
    async with (
        Monitor(machine.entered) as monitor,
        KernelAddresses(monitor, machine.entered, **options) as addresses,
    ):
        with contextlib.closing(Wire(monitor, machine.entered)) as wire:
            yield Node(machine, monitor, addresses, wire)


@pytest.fixture
async def node(segment: Segment) -> AsyncIterator[Node]:
    """The machine n1 with its parts."""
    async with opened(segment.machines["n1"]) as node:
        yield node


@pytest.fixture
def peer(segment: Segment) -> Machine:
    """The machine n2: somebody else on the segment."""
    return segment.machines["n2"]


def vip(text: str, interface: str = "eth0") -> Vip:
    return Vip.parse(text, interface=interface)


@pytest.fixture
async def mouth(peer: Machine) -> AsyncIterator[Callable[[bytes], int]]:
    """Sends frames from the other machine."""
    with peer.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        sock.bind(("eth0", 0))
    with contextlib.closing(sock):
        yield sock.send
