"""Watches an address from all sides: which node has it on its link, and what a client hears of it."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

import attrs

from kubevip.demo.probe import RECORD, SENT
from kubevip.demo.record import HolderRecord, ProbeRecord
from kubevip.model import IPAddress
from kubevip.net import netlink
from kubevip.net.netns import Namespace
from kubevip.net.segment import INTERFACE, Segment


@attrs.define(eq=False)
class _LinkWatch:
    """Follows one address and the carrier on one node."""

    _node: str
    _address: IPAddress
    _tell: Callable[[str, float, bool], None]
    _present: bool = False
    _up: bool = True

    def take(self, datagram: bytes) -> None:
        """Take what the kernel tells."""
        for kind, _flags, _sequence, body in netlink.messages(datagram):
            if kind in (netlink.RTM_NEWADDR, netlink.RTM_DELADDR):
                message = netlink.parse_address(kind, body)
                if message is not None and message.address == self._address:
                    self._present = not message.removed
            elif kind == netlink.RTM_NEWLINK:
                link = netlink.parse_link(kind, body)
                if link.name == INTERFACE:
                    self._up = link.operstate == netlink.IF_OPER_UP
        self._tell(self._node, asyncio.get_running_loop().time(), self._present and self._up)


@contextlib.contextmanager
def watch_holders(
    segment: Segment, nodes: tuple[str, ...], address: IPAddress, changed: Callable[[], None]
) -> Iterator[HolderRecord]:
    """Record which of *nodes* has *address* on a link that works; *changed* is called with each change."""
    record = HolderRecord()

    def tell(node: str, at: float, held: bool) -> None:
        before = record.holders
        record.holds(node, at, held)
        if record.holders != before:
            changed()

    with contextlib.ExitStack() as stack:
        for node in nodes:
            watch = _LinkWatch(node, address, tell)
            stack.enter_context(_following(segment.machines[node].network, watch.take))
        yield record


@contextlib.contextmanager
def _following(network: Namespace, take: Callable[[bytes], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    with network.entered():
        sock = netlink.event_socket()
    groups = netlink.RTMGRP_LINK | netlink.RTMGRP_IPV4_IFADDR | netlink.RTMGRP_IPV6_IFADDR
    sock.bind((0, groups))

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                take(sock.recv(1 << 16))

    loop.add_reader(sock, readable)
    try:
        yield
    finally:
        loop.remove_reader(sock)
        sock.close()


@contextlib.contextmanager
def recording(probe: "subprocess.Popen[bytes]") -> Iterator[ProbeRecord]:
    """Record what the probe program tells on its stdout."""
    assert probe.stdout is not None
    loop = asyncio.get_running_loop()
    record = ProbeRecord()
    stdout = probe.stdout.fileno()
    rest = b""

    def readable() -> None:
        nonlocal rest
        data = rest + os.read(stdout, 1 << 16)
        whole = len(data) - len(data) % RECORD.size
        rest = data[whole:]
        for sequence, at, node in RECORD.iter_unpack(data[:whole]):
            if node == SENT:
                record.sent(sequence, at / 1e9)
            else:
                record.answered(sequence, at / 1e9, node)
        if not data:
            loop.remove_reader(stdout)

    loop.add_reader(stdout, readable)
    try:
        yield record
    finally:
        loop.remove_reader(stdout)
