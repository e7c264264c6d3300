"""For whom the kernel has asked in vain is asked when the link is back."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

import anyio
import attrs

from kubevip.errors import LinkNotFound
from kubevip.model import IPAddress
from kubevip.runtime.seeking import MOST, Seeker
from kubevip.testing import FakeHost, MemoryLeases, Segment, frames, virtual
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from tests.runtime.machine import Machine
from tests.runtime.sites import LEASE, TIMING, VIP, VIP6

CLIENT, CLIENT6 = ip_address("10.0.0.11"), ip_address("fd00::11")


@attrs.define(eq=False)
class Hood(MemoryNeighbourhood):
    """One that can't be asked while it *fails*."""

    fails: bool = False

    async def sought(self, interface: str) -> Sequence[IPAddress]:
        if self.fails:
            raise LinkNotFound(f"there is no interface {interface!r}")
        return await super().sought(interface)


@attrs.define
class Place:
    """A machine that holds the VIPs, and whom it has asked for since a moment."""

    machine: Machine
    segment: Segment
    hood: Hood
    since: int = 0

    async def flap(self) -> None:
        self.machine.host.links.set_up("eth0", False)
        await anyio.sleep(0.05)
        self.since = len(self.segment.sent)
        self.machine.host.links.set_up("eth0", True)
        await anyio.sleep(0.005)

    def asked_for(self) -> list[tuple[IPAddress | None, IPAddress | None]]:
        """Return by which address of the machine it has asked for whom, but for announcements."""
        words = [word for sent in self.segment.sent[self.since :] if (word := frames.read(sent.frame)) is not None]
        return [
            (word.claimed, word.asked)
            for word in words
            if word.asked not in (None, word.claimed) and word.mac == self.machine.host.link("eth0").mac
        ]


@contextlib.asynccontextmanager
async def place(*asked_for: IPAddress) -> AsyncIterator[Place]:
    segment, leases = Segment(), MemoryLeases()
    FakeHost("client", segment)
    hood = Hood(asked_for={"eth0": asked_for})
    async with Machine("a", segment, leases, {VIP: LEASE, VIP6: LEASE}, timing=TIMING) as machine:
        seeker = Seeker(machine.keeper, machine.announcers, machine.host.links, hood)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seeker.run)
            await anyio.sleep(4.3)
            yield Place(machine, segment, hood)
            tasks.cancel_scope.cancel()


@virtual
async def test_whom_the_kernel_asks_for_is_asked_from_the_nodes_own_address_in_each_family() -> None:
    async with place(CLIENT, CLIENT6) as here:
        await here.flap()
        own, own6, _local = here.machine.host.link("eth0").addresses
        assert {(own, CLIENT), (own6, CLIENT6)} <= set(here.asked_for())


@virtual
async def test_an_address_of_no_network_of_the_interface_is_not_asked_for() -> None:
    async with place(ip_address("192.0.2.7"), ip_address("fe80::7")) as here:
        await here.flap()
        assert here.asked_for() == []


@virtual
async def test_a_link_that_stays_up_asks_for_nobody() -> None:
    async with place(CLIENT) as here:
        here.since = len(here.segment.sent)
        here.machine.host.links.address("eth0", "10.0.0.12/24")
        await anyio.sleep(0.005)
        assert here.asked_for() == []


@virtual
async def test_of_thousands_only_some_are_asked_for() -> None:
    async with place(*(CLIENT + number for number in range(5, 200))) as here:
        await here.flap()
        assert len(here.asked_for()) == MOST


@virtual
async def test_a_kernel_that_can_not_be_asked_ends_nothing() -> None:
    async with place(CLIENT) as here:
        here.hood.fails = True
        await here.flap()
        here.hood.fails = False
        await here.flap()
        assert CLIENT in [asked for _own, asked in here.asked_for()]
