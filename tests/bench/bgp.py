"""BGP with BIRD: from announce() to the router's kernel, ten thousand routes, and a node that is cut off."""

import asyncio
import contextlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

import anyio
import anyio.to_thread
from cluster import begin, progress
from figures import Figure, hand_over, spread
from kubevip_bgp import BgpBackend

from kubevip.model import Family, IPAddress, Vip
from kubevip.net.frames import Wire
from kubevip.net.monitor import Monitor
from kubevip.net.segment import Machine, Segment
from kubevip.registry import Registry
from kubevip.runtime.host import LocalHost

ADDRESSES = {
    "node": (ip_interface("10.7.0.1/24"), ip_interface("fd07::1/64")),
    "router": (ip_interface("10.7.0.2/24"), ip_interface("fd07::2/64")),
}
MANY, RUNS, BULK_RUNS, CUTS = 10_000, 200, 7, 9
FIRST: Mapping[Family, tuple[type[IPAddress], int]] = {
    Family.IPV4: (IPv4Address, 0x0A640000),
    Family.IPV6: (IPv6Address, 0xFD09 << 112),
}
KERNEL = (
    "protocol kernel { ipv4 { import none; export all; }; }\nprotocol kernel { ipv6 { import none; export all; }; }\n"
)
CONFIG = """\
router id 10.7.0.2;
protocol device {}
protocol bfd { interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }; }
protocol bgp node {
    local 10.7.0.2 as 65001; neighbor 10.7.0.1 as 65000; passive; bfd on; error wait time 1,2;
    ipv4 { import all; export none; };
    ipv6 { import all; export none; };
}
"""
RTM_NEWROUTE, RTM_DELROUTE, RTA_DST = 24, 25, 1
GROUPS = 0x40 | 0x400


class Bird:
    """BIRD on *machine*."""

    def __init__(self, machine: Machine, directory: str, text: str) -> None:
        self.control = Path(directory) / "ctl"
        config = Path(directory) / "bird.conf"
        config.write_text(text)
        program = shutil.which("bird", path="/usr/sbin:/usr/bin:/sbin") or sys.exit("no bird: install bird2")
        with machine.entered():
            self.process = subprocess.Popen(
                [program, "-f", "-c", config, "-s", self.control], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def count(self) -> int:
        """Return how many routes it has of us."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.control))
            sock.settimeout(10)
            sock.recv(1000)
            sock.sendall(b"show route count protocol node\n")
            answer = b""
            while b"Total:" not in answer:
                answer += sock.recv(4000)
        found = re.search(rb"Total: (\d+) of", answer)
        return int(found[1]) if found else 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Routes:
    """What happens to the routes of *machine*, by destination, with the time of each."""

    def __init__(self, machine: Machine) -> None:
        with machine.entered():
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        self.sock.bind((0, GROUPS))
        self.sock.setblocking(False)
        self.waited: dict[tuple[int, bytes], asyncio.Future[float]] = {}
        asyncio.get_running_loop().add_reader(self.sock, self.read)

    def read(self) -> None:
        now = time.perf_counter()
        with contextlib.suppress(BlockingIOError):
            while True:
                self.take(self.sock.recv(1 << 16), now)

    def take(self, data: bytes, now: float) -> None:
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            place = at + 28
            while place + 4 <= at + length:
                size, what = struct.unpack_from("=HH", data, place)
                if what == RTA_DST:
                    waiting = self.waited.pop((kind, data[place + 4 : place + size]), None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(now)
                place += (size + 3) & ~3
            at += (length + 3) & ~3

    def wait(self, kind: int, address: IPAddress) -> "asyncio.Future[float]":
        """Return when a route to *address* comes or goes."""
        future = asyncio.get_running_loop().create_future()
        self.waited[kind, address.packed] = future
        return future

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()


def vips(family: Family, count: int) -> list[Vip]:
    make, first = FIRST[family]
    return [Vip(make(first + number), "eth0") for number in range(count)]


@contextlib.contextmanager
def bird_on(machine: Machine, text: str) -> Iterator[Bird]:
    with tempfile.TemporaryDirectory(prefix="kubevip-bench-") as directory:
        bird = Bird(machine, directory, text)
        try:
            yield bird
        finally:
            bird.stop()


@contextlib.asynccontextmanager
async def speaking(peers: str = "10.7.0.2:65001") -> AsyncIterator[BgpBackend]:
    async with Monitor() as links:
        wire = Wire(links)
        settings = {"bgp_peers": peers, "bgp_hold_time": "9", "bgp_keepalive_interval": "3"}
        backend = Registry()["bgp"](LocalHost("node", settings, links, wire))
        assert isinstance(backend, BgpBackend)
        async with backend:
            await up(backend)
            yield backend
        wire.close()


async def up(backend: BgpBackend) -> None:
    while not backend.peerings()[0].established:
        await anyio.sleep(0.005)


async def steady(backend: BgpBackend) -> None:
    """Wait until the session has been up for some seconds: BFD starts slowly, and a busy machine can make it end."""
    since = time.monotonic()
    while time.monotonic() < since + 4:
        if not backend.peerings()[0].established:
            since = time.monotonic()
        await anyio.sleep(0.005)


async def singles(segment: Segment) -> list[Figure]:
    """One route at a time, to the router's kernel and out of it."""
    figures = []
    routes = Routes(segment.machines["router"])
    with bird_on(segment.machines["router"], KERNEL + CONFIG):
        async with speaking() as backend:
            for family in Family:
                verbs = (("announce", backend.announce, RTM_NEWROUTE), ("withdraw", backend.withdraw, RTM_DELROUTE))
                times: dict[str, list[float]] = {verb: [] for verb, *_ in verbs}
                for vip in vips(family, RUNS):
                    for verb, call, kind in verbs:
                        arrived = routes.wait(kind, vip.address)
                        began = time.perf_counter()
                        await call(vip)
                        times[verb].append((await arrived - began) * 1000)
                        await anyio.sleep(0.002)
                for verb, values in times.items():
                    progress(f"{verb} IPv{family.value}: {spread(values, 'ms', 2)}")
                    name = f"{verb}() to BIRD's kernel table, IPv{family.value}"
                    figures.append(Figure(name, "<= 1 ms", spread(values, "ms", 2)))
    routes.close()
    return figures


async def bulk(segment: Segment) -> list[Figure]:
    """Ten thousand routes into BIRD, and out of it."""
    times: dict[str, list[float]] = {"announced": [], "withdrawn": []}
    chosen = vips(Family.IPV4, MANY)
    with bird_on(segment.machines["router"], CONFIG) as bird:
        async with speaking() as backend:
            for _ in range(BULK_RUNS):
                for call, what, expected in ((backend.announce, "announced", MANY), (backend.withdraw, "withdrawn", 0)):
                    began = time.perf_counter()
                    for number, vip in enumerate(chosen, start=1):
                        await call(vip)
                        if number % 64 == 0:
                            await anyio.sleep(0)
                    await anyio.sleep(0)
                    while bird.count() != expected:
                        await anyio.sleep(0.005)
                    times[what].append(time.perf_counter() - began)
    for what, values in times.items():
        progress(f"{MANY} {what}: {spread(values, 's', 3)}")
    return [
        Figure(f"{MANY:,} prefixes {what} to all in BIRD", "<= 0.5 s", spread(values, "s", 3))
        for what, values in times.items()
    ]


async def cuts(segment: Segment) -> list[Figure]:
    """The node's cable is pulled: its route leaves the router's kernel."""
    routes, times = Routes(segment.machines["router"]), []
    (vip,) = vips(Family.IPV4, 1)
    with bird_on(segment.machines["router"], KERNEL + CONFIG):
        async with speaking("10.7.0.2:65001:::::true;50;50;3") as backend:
            await backend.announce(vip)
            for _ in range(CUTS):
                await steady(backend)
                gone = routes.wait(RTM_DELROUTE, vip.address)
                began = time.perf_counter()
                await anyio.to_thread.run_sync(segment.unplug, "node")
                with anyio.fail_after(30):
                    times.append((await gone - began) * 1000)
                    while backend.peerings()[0].established:
                        await anyio.sleep(0.005)
                await anyio.to_thread.run_sync(segment.plug, "node")
    routes.close()
    progress(f"cut off: {spread(times, 'ms')}")
    return [Figure("BFD (50 ms x 3): cable pulled to route withdrawn", "<= 200 ms", spread(times, "ms"))]


async def measure(segment: Segment) -> list[Figure]:
    return [*await singles(segment), *await bulk(segment), *await cuts(segment)]


if __name__ == "__main__":
    begin()
    with Segment.of(ADDRESSES) as made:
        made.machines["node"].network.enter()
        hand_over(anyio.run(measure, made))
