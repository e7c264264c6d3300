"""A node, where the tests run, and a router on one segment."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import attrs
import pytest
import pytest_asyncio
from blockbuster import BlockBuster
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.routes import Route
from kubevip_bgp.sockets import Source
from kubevip_bgp.speaker import Identity, Speaker

from kubevip.net.netns import Namespace
from kubevip.net.segment import Machine, Segment
from tests.bgp_peers.routers import NODE, OURS, ROUTER, THEIRS, Bird, Frr, GoBgp
from tests.kernel import pytest_collection_finish, require_namespaces
from tests.waiting import until

__all__ = ["pytest_collection_finish"]


@pytest.fixture(autouse=True)
def tests_may_block(nothing_blocks_the_loop: BlockBuster) -> None:
    """Routers are started from the loop."""
    nothing_blocks_the_loop.deactivate()


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """The two machines; this process is on that of the node meanwhile."""
    require_namespaces()
    addresses = {
        name: (ip_interface(f"{ipv4}/24"), ip_interface(f"{ipv6}/64"))
        for name, (ipv4, ipv6) in (("node", NODE), ("router", ROUTER))
    }
    with Namespace.open("/proc/thread-self/ns/net") as home, Segment.of(addresses) as segment:
        segment.machines["node"].network.enter()
        try:
            yield segment
        finally:
            home.enter()


@pytest.fixture
def router(segment: Segment) -> Machine:
    """The machine of the router."""
    return segment.machines["router"]


@pytest.fixture
def bird(router: Machine, tmp_path) -> Iterator[Bird]:
    """BIRD, not started yet."""
    daemon = Bird(router, tmp_path / "bird")
    yield daemon
    daemon.kill()


@pytest.fixture(params=[Bird, Frr, GoBgp], ids=lambda kind: kind.__name__)
def daemon(request: pytest.FixtureRequest, router: Machine, tmp_path) -> Iterator[Bird | Frr | GoBgp]:
    """Each router in turn, not started yet."""
    daemon = request.param(router, tmp_path / "router")
    yield daemon
    daemon.kill()


@attrs.define(eq=False)
class Node:
    """Starts speakers of the node, and stops them at the end of a test."""

    stack: AsyncExitStack

    async def speak(self, *, neighbor=None, source=None, interfaces=None, **identity) -> Speaker:
        """Return a speaker with one neighbor, by default the router's IPv4 address."""
        neighbor = neighbor or Neighbor(address=IPv4Address(ROUTER[0]), number=THEIRS)
        known = interfaces or {"eth0": tuple(map(ip_address, NODE))}
        facts = {"number": OURS, "identifier": IPv4Address(NODE[0]), "hold_time": 9, "keepalive": 3} | identity
        speaker = Speaker(Identity(**facts), [neighbor], source or Source(), lambda: known)
        return await self.stack.enter_async_context(speaker)


@pytest_asyncio.fixture
async def node() -> AsyncIterator[Node]:
    """Starts speakers."""
    async with AsyncExitStack() as stack:
        yield Node(stack)


async def wait_up(speaker, bound=10.0):
    """Wait until a session is established."""
    await until(lambda: speaker.established, bound, "a session")


async def wait_reason(speaker, text, bound=10.0):
    """Wait until the speaker says *text* of why there is no session."""
    await until(lambda: text in speaker.statistics()[0].reason, bound, text)


def announce(speaker, *prefixes, **route):
    """Announce prefixes."""
    for prefix in prefixes:
        speaker.announce(ip_network(prefix), Route(**route))


def withdraw(speaker, *prefixes):
    """Withdraw prefixes."""
    for prefix in prefixes:
        speaker.withdraw(ip_network(prefix))


def crash(speaker):
    """Let a speaker's connections end as the kernel ends those of a process that is killed."""
    for peer in speaker._peers:
        peer.active = False
        for connection in tuple(peer._connections):
            connection.cut("killed")
