"""From leadership to frames on the wire, for one address and for a thousand, after a released Lease."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import anyio
from cluster import begin, progress
from figures import Figure, hand_over, spread

from kubevip.assembly import LAYER_2
from kubevip.demo.cluster import addresses
from kubevip.election import Cause, Standing
from kubevip.lease import Timing
from kubevip.model import LeaseKey, Term, Vip
from kubevip.net.addresses import KernelAddresses
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.net.segment import Segment
from kubevip.registry import Registry
from kubevip.runtime.announcer import Announcer
from kubevip.runtime.host import LocalHost
from kubevip.runtime.keeper import Keeper

RUNS = 9
LEASE = LeaseKey("kube-system", "plndr-cp-lock")
SO_TIMESTAMPNS = 35


async def measure(segment: Segment) -> list[Figure]:
    """Become the leader several times, for one address and for a thousand."""
    figures = []
    for count, asked in ((1, "<= 1 ms"), (1000, "<= 50 ms")):
        vips = [Vip(IPv4Address(0x0A080001 + number), "eth0") for number in range(count)]
        times = [await _take_over(segment, vips) for _ in range(RUNS + 1)][1:]
        progress(f"{count} addresses: {spread(times, 'ms', 2)}")
        figures.append(
            Figure(f"leadership to first frame, {count:,} VIPs (the last one's)", asked, spread(times, "ms", 2))
        )
    return figures


async def _take_over(segment: Segment, vips: list[Vip]) -> float:
    """Return how many milliseconds after leadership the last VIP's first frame arrived at another machine."""
    enter = segment.machines["node1"].network.entered
    timing = Timing(duration=5, renew_deadline=3, retry_period=1)
    async with Monitor(enter) as links, KernelAddresses(links, enter) as kernel:
        wire = Wire(links, enter)
        host = LocalHost("node1", {}, links, wire)
        backends = {family: Registry()[name](host) for family, name in LAYER_2.items()}
        announcers = {family: Announcer("", backend, backend.cadence) for family, backend in backends.items()}
        keeper = Keeper(kernel, links, announcers, timing, linger=1.0)
        for vip in vips:
            keeper.want(vip, LEASE)
        announced: set[Vip] = set()
        keeper.changed = announced.add
        with _listening(segment) as sock:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keeper.run)
                keeper.standing(LEASE, Standing.FOLLOWING, None)
                await anyio.sleep(0.3)
                keeper.standing(LEASE, Standing.VACANT, None)
                now = anyio.current_time()
                led = time.time_ns()
                keeper.campaigning(LEASE, Cause.VACANT)
                keeper.standing(LEASE, Standing.LEADING, Term(LEASE, "node1", 0, now + 3, now + 5))
                while len(announced) < len(vips):
                    await anyio.sleep(0.005)
                tasks.cancel_scope.cancel()
            await keeper.drop_all()
            arrived = _first_arrivals(sock)
        wire.close()
    assert len(arrived) == len(vips), f"{len(arrived)} of {len(vips)} were announced"
    return (max(arrived.values()) - led) / 1e6


@contextlib.contextmanager
def _listening(segment: Segment) -> Iterator[socket.socket]:
    with segment.machines["client"].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("eth0", 0x0806))
        sock.setblocking(False)
        yield sock


def _first_arrivals(sock: socket.socket) -> dict[bytes, int]:
    """Return when the first frame of each address arrived, by the kernel's clock, in nanoseconds."""
    arrived: dict[bytes, int] = {}
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, ancillary, _flags, _sender = sock.recvmsg(2048, 128)
            seconds, nanoseconds = struct.unpack_from("=qq", ancillary[0][2])
            arrived.setdefault(frame[28:32], seconds * 10**9 + nanoseconds)
    return arrived


if __name__ == "__main__":
    begin()
    with Segment.of(addresses(("node1",))) as made:
        hand_over(anyio.run(measure, made))
