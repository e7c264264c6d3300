"""Frames that arrive at the client, and whose they are."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

from kubevip.demo.cluster import CLIENT
from kubevip.net.segment import Segment

ARP, IPV6 = 0x0806, 0x86DD


def mac_of(segment: Segment, machine: str) -> bytes:
    """Return the MAC address of a machine."""
    with segment.machines[machine].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        mac: bytes = sock.getsockname()[4]
        return mac


@contextlib.contextmanager
def listening(segment: Segment, ethertype: int, received: Callable[[bytes], None]) -> Iterator[socket.socket]:
    """Hand each frame that arrives at the client to *received*; give the socket, to send others."""
    with segment.machines[CLIENT].entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("eth0", ethertype))
    loop = asyncio.get_running_loop()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                received(sock.recv(2048))

    loop.add_reader(sock, readable)
    try:
        yield sock
    finally:
        loop.remove_reader(sock)
        sock.close()
