"""Held addresses are watched: who claims them is told, defended against or yielded to; our own handovers are not."""

import contextlib
import logging
from collections.abc import AsyncIterator

import anyio
import attrs
import pytest
from kubevip_arp import ArpBackend
from kubevip_ndp import NdpBackend

from kubevip.backend import Backend
from kubevip.election import Cause, Standing
from kubevip.model import Family, Vip
from kubevip.rivalry import OVER_AFTER, Policy, Rivalry
from kubevip.runtime.clearance import Manner
from kubevip.runtime.guarding import Guard
from kubevip.testing import FakeHost, FaultyLeases, MemoryLeases, Segment, frames, virtual
from tests.runtime.keeping import LEASE, TIMING, VIP, VIP2, VIP6, Keeping, keeping, now
from tests.runtime.machine import Machine
from tests.runtime.sites import LEASE as FLEET_LEASE
from tests.runtime.sites import TIMING as SHORT

both = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])
LINGER = 3.0


@attrs.define(eq=False)
class Guarding:
    a: Keeping
    guard: Guard
    foreign: FakeHost
    settled: list[tuple[float, Vip, str]] = attrs.field(factory=list)

    @property
    def mac(self) -> str:
        return self.foreign.link("eth0").mac.hex(":")

    @property
    def conflicts(self) -> list[tuple[Vip, str, Manner]]:
        return [(conflict.vip, conflict.mac, conflict.manner) for _time, conflict in self.a.conflicts]

    def backend(self, vip: Vip) -> Backend:
        return (ArpBackend if vip.family is Family.IPV4 else NdpBackend)(self.foreign)

    async def claim(self, vip: Vip, *, hold: float = 0) -> None:
        """Let the foreign machine announce *vip*, as arping does: its kernel knows nothing of it. Then *hold*."""
        await self.backend(vip).announce(vip)
        await anyio.sleep(0.01)
        await self.hold(hold)

    async def have(self, vip: Vip) -> None:
        """Let the foreign machine have *vip*: its kernel answers."""
        await self.foreign.addresses.put([(vip, 10**6)], not_after=float("inf"))

    async def hold(self, seconds: float) -> None:
        """Renew the Lease for so long."""
        until = now() + seconds
        while now() < until:
            await anyio.sleep(min(1.0, until - now()))
            self.a.renew()

    async def take(self, cause: Cause = Cause.VACANT, seconds: float = 60) -> None:
        """Take the Lease, and hold it for so long."""
        self.a.lead(cause=cause)
        await self.hold(seconds)


@contextlib.asynccontextmanager
async def guarding(segment: Segment, *vips: Vip, policy: Policy = Policy.ALARM) -> AsyncIterator[Guarding]:
    async with keeping(segment, *vips, linger=LINGER) as a:
        rivalry = Rivalry(policy, LINGER, TIMING.duration)
        guard = Guard(a.keeper, a.announcers, a.host.links, rivalry, TIMING.duration)
        made = Guarding(a, guard, FakeHost("foreign", segment))
        a.keeper.settled = lambda vip, mac: made.settled.append((now(), vip, mac))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guard.run)
            yield made
            tasks.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def holding(segment: Segment, *vips: Vip, policy: Policy = Policy.ALARM) -> AsyncIterator[Guarding]:
    """The same, a minute after the Lease was taken: no last holder can have the addresses any more."""
    async with guarding(segment, *vips, policy=policy) as here:
        await here.take()
        yield here


@both
@virtual
async def test_another_machine_that_announces_the_address_is_told_once_with_its_mac(
    segment: Segment, vip: Vip, caplog: pytest.LogCaptureFixture
) -> None:
    async with holding(segment, vip) as here:
        await here.claim(vip, hold=3)
        await here.claim(vip, hold=3)
        assert here.conflicts == [(vip, here.mac, Manner.KEEP)]
        assert here.guard.statistics().rivals == {vip: [here.mac]}
        assert here.guard.statistics().conflicts == 1
        (line,) = [each for each in caplog.records if each.message.startswith("address conflict")]
        assert (line.levelno, line.mac, line.vip, line.interface) == (logging.ERROR, here.mac, str(vip), "eth0")
        assert here.a.announced(vip)


@both
@virtual
async def test_a_machine_that_only_asks_from_the_address_claims_it_too(segment: Segment, vip: Vip) -> None:
    async with holding(segment, vip) as here:
        await here.backend(vip).inquire(vip, vip.address + 1)
        await here.hold(3)
        assert here.conflicts == [(vip, here.mac, Manner.KEEP)]


@both
@virtual
async def test_a_machine_that_answers_for_it_is_found_though_the_lease_was_taken_without_asking(
    segment: Segment, vip: Vip
) -> None:
    async with guarding(segment, vip) as here:
        await here.have(vip)
        await here.take(seconds=12)
        assert here.conflicts == [(vip, here.mac, Manner.KEEP)]


@both
@virtual
async def test_a_probe_is_no_claim(segment: Segment, vip: Vip) -> None:
    async with holding(segment, vip) as here:
        for _second in range(10):
            await here.backend(vip).probe(vip)
            await here.hold(1)
        assert here.conflicts == []


@virtual
async def test_claims_to_other_addresses_are_not_even_seen(segment: Segment) -> None:
    async with holding(segment, VIP) as here:
        await here.claim(VIP2, hold=3)
        assert here.conflicts == []
        await here.a.host.addresses.put([(VIP2, 5)], not_after=float("inf"))


@virtual
async def test_our_own_mac_on_another_interface_is_no_conflict(segment: Segment) -> None:
    async with holding(segment, VIP) as here:
        here.a.host.links.add("eth1", mac=here.foreign.link("eth0").mac)
        await here.claim(VIP, hold=3)
        assert here.conflicts == []
        here.a.host.links.remove("eth1")
        await here.claim(VIP, hold=3)
        assert len(here.conflicts) == 1


@virtual
async def test_addresses_that_come_later_are_watched_and_those_that_go_are_not(segment: Segment) -> None:
    async with holding(segment, VIP) as here:
        here.a.keeper.want(VIP2, LEASE)
        await here.hold(60)
        await here.claim(VIP2, hold=3)
        assert here.conflicts == [(VIP2, here.mac, Manner.KEEP)]
        here.a.keeper.unwant(VIP)
        await here.hold(1)
        await here.claim(VIP, hold=3)
        assert len(here.conflicts) == 1


@virtual
async def test_without_a_renewal_after_it_nothing_is_told(segment: Segment) -> None:
    """It may be our successor, of whom the API server has told us nothing yet."""
    async with holding(segment, VIP) as here:
        await here.claim(VIP)
        await anyio.sleep(TIMING.renew_deadline - 0.1)
        assert here.conflicts == []
        here.a.follow(Standing.EXPIRED)
        await anyio.sleep(60)
        assert here.conflicts == []


@virtual
async def test_a_conflict_is_over_when_the_other_machine_is_gone(segment: Segment) -> None:
    async with holding(segment, VIP) as here:
        await here.have(VIP)
        await here.claim(VIP)
        await here.hold(3 * OVER_AFTER)
        assert here.settled == []
        here.foreign.addresses.delete(VIP)
        gone = now()
        await here.hold(2 * OVER_AFTER)
        ((when, vip, mac),) = here.settled
        assert (vip, mac) == (VIP, here.mac)
        assert OVER_AFTER - 10 <= when - gone <= OVER_AFTER + 11
        assert here.guard.statistics().rivals == {}


@virtual
async def test_a_released_address_ends_its_conflict_here(segment: Segment) -> None:
    async with holding(segment, VIP) as here:
        await here.claim(VIP, hold=3)
        here.a.release()
        await anyio.sleep(0.1)
        assert [(vip, mac) for _time, vip, mac in here.settled] == [(VIP, here.mac)]


# The policies


def announcements(here: Guarding, vip: Vip) -> int:
    return here.a.verbs(vip).count("announce")


@both
@virtual
async def test_an_alarm_changes_nothing_on_the_wire(segment: Segment, vip: Vip) -> None:
    async with guarding(segment, vip, policy=Policy.ALARM) as here:
        for announcer in here.a.announcers.values():
            announcer.cadence = type(announcer.cadence)()
        await here.take()
        before = announcements(here, vip)
        for _second in range(20):
            await here.claim(vip)
            await here.hold(1)
        assert announcements(here, vip) == before
        assert len(here.conflicts) == 1


@both
@virtual
async def test_a_defence_announces_the_address_and_clients_believe_it(segment: Segment, vip: Vip) -> None:
    async with guarding(segment, vip, policy=Policy.DEFEND) as here:
        for announcer in here.a.announcers.values():
            announcer.cadence = type(announcer.cadence)()
        await here.take()
        client = FakeHost("client", segment)
        assert client.reach(vip.address) == "a"
        before = announcements(here, vip)
        await here.claim(vip)
        assert client.reach(vip.address) == ""
        await here.hold(2)
        assert client.reach(vip.address) == "a"
        assert announcements(here, vip) == before + 1
        for _second in range(29):
            await here.claim(vip)
            await here.hold(1)
        assert announcements(here, vip) - before <= 4
        assert here.guard.statistics().defended == announcements(here, vip) - before


@both
@virtual
async def test_yielding_lets_go_of_the_address_and_tells_whom_it_is_left_to(segment: Segment, vip: Vip) -> None:
    async with holding(segment, vip, VIP2, policy=Policy.YIELD) as here:
        await here.have(vip)
        await here.claim(vip, hold=3)
        assert here.conflicts == [(vip, here.mac, Manner.YIELD)]
        assert here.a.present == {VIP2}
        assert here.a.keeper.statistics().contested == {vip: here.mac}
        assert here.a.keeper.rival(vip) == here.mac
        await here.hold(300)
        assert here.a.present == {VIP2}
        assert len(here.conflicts) == 1


@virtual
async def test_what_was_yielded_is_held_again_when_the_other_machine_is_silent(segment: Segment) -> None:
    async with holding(segment, VIP, policy=Policy.YIELD) as here:
        await here.have(VIP)
        await here.claim(VIP)
        await here.hold(30)
        here.foreign.addresses.delete(VIP)
        await here.hold(3)
        assert here.a.announced(VIP)
        assert here.a.keeper.statistics().contested == {}


@virtual
async def test_with_a_machine_that_announces_and_never_answers_the_address_does_not_flap(segment: Segment) -> None:
    async with holding(segment, VIP, policy=Policy.YIELD) as here:
        for _second in range(600):
            await here.claim(VIP)
            await here.hold(1)
        assert 2 <= here.guard.statistics().yielded <= 15


@virtual
async def test_a_yielded_address_of_a_lost_lease_is_nobodys_business(segment: Segment) -> None:
    async with holding(segment, VIP, policy=Policy.YIELD) as here:
        await here.have(VIP)
        await here.claim(VIP, hold=3)
        here.a.follow()
        await anyio.sleep(100)
        assert here.a.keeper.statistics().contested == {}
        assert here.a.present == frozenset()


@virtual
async def test_a_plugin_that_cannot_watch_ends_nothing(segment: Segment, caplog: pytest.LogCaptureFixture) -> None:
    async with guarding(segment, VIP, VIP6) as here:

        def ill(*_arguments: object) -> object:
            raise RuntimeError("the plugin is ill")

        here.a.backends[Family.IPV4].claims = ill
        await here.take()
        await here.claim(VIP6, hold=3)
        assert here.conflicts == [(VIP6, here.mac, Manner.KEEP)]
        assert len([each for each in caplog.records if each.message.startswith("can't see who else")]) == 1


# Our own handovers


@both
@virtual
async def test_a_last_holder_that_does_not_see_us_lingers_without_an_alarm(segment: Segment, vip: Vip) -> None:
    async with guarding(segment, vip) as here:
        await here.have(vip)
        here.a.lead(cause=Cause.VACANT)
        for _tenth in range(round(LINGER * 10)):
            await here.backend(vip).inquire(vip, vip.address + 7)
            await anyio.sleep(0.1)
        here.foreign.addresses.delete(vip)
        await here.hold(60)
        assert here.conflicts == []


@both
@virtual
async def test_a_last_holder_that_was_cut_off_speaks_once_more_without_an_alarm(segment: Segment, vip: Vip) -> None:
    async with guarding(segment, vip) as here:
        await here.take(seconds=TIMING.duration - 2)
        await here.claim(vip)
        await here.hold(60)
        assert here.conflicts == []


@attrs.define(eq=False)
class Fleet:
    segment: Segment
    leases: MemoryLeases
    machines: dict[str, Machine]
    lines: dict[str, FaultyLeases]
    told: list[str]

    @property
    def holder(self) -> Machine:
        return self.machines[self.leases.holder(FLEET_LEASE)]


@contextlib.asynccontextmanager
async def fleet(
    names: str = "abc", heartbeat: float | None = None, policy: Policy = Policy.YIELD
) -> AsyncIterator[Fleet]:
    segment, leases = Segment(), MemoryLeases()
    made = Fleet(segment, leases, {}, {}, [])
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            line = FaultyLeases(leases, latency=0.005)
            machine = Machine(
                name,
                segment,
                line,
                {VIP: FLEET_LEASE, VIP6: FLEET_LEASE},
                timing=SHORT,
                heartbeat=heartbeat,
                policy=policy,
            )
            machine.told = made.told
            made.machines[name], made.lines[name] = machine, line
            await stack.enter_async_context(machine)
        await anyio.sleep(4.3)
        yield made


def talking(segment: Segment, machine: Machine) -> None:
    """Let the kernel of *machine* ask from its addresses, as it does when it answers a client that it forgot."""
    for vip in machine.host.addresses.present():
        mac = machine.host.link("eth0").mac
        segment.carry(machine.host, "eth0", frames.question(vip.address + 7, mac, vip.address))


@pytest.mark.parametrize("heartbeat", [None, 0.1])
@virtual
async def test_rolling_restarts_raise_no_alarm(heartbeat: float | None) -> None:
    async with fleet(heartbeat=heartbeat) as here:
        for _turn in range(6):
            machine = here.holder
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(machine.stop)
                for _tick in range(100):
                    for each in here.machines.values():
                        talking(here.segment, each)
                    await anyio.sleep(0.05)
            await machine.restart()
            await anyio.sleep(20)
        assert here.told == []


@pytest.mark.parametrize("heartbeat", [None, 0.1])
@virtual
async def test_crashes_and_partitions_raise_no_alarm(heartbeat: float | None) -> None:
    async with fleet(heartbeat=heartbeat) as here:
        for turn in range(12):
            machine = here.holder
            if turn % 3 == 0:
                machine.process.kill()
            elif turn % 3 == 1:
                machine.process.stop()
            else:
                here.segment.cut_off(machine.node)
                here.lines[machine.node].cut()
            for _tick in range(200):
                for each in here.machines.values():
                    talking(here.segment, each)
                await anyio.sleep(0.05)
            if turn % 3 == 0:
                await machine.restart()
            elif turn % 3 == 1:
                machine.process.resume()
            else:
                here.segment.cut_off()
                here.lines[machine.node].mend()
            for _tick in range(100):
                for each in here.machines.values():
                    talking(here.segment, each)
                await anyio.sleep(0.05)
        assert here.told == []


@virtual
async def test_and_in_the_same_fleet_a_foreign_machine_does() -> None:
    async with fleet() as here:
        await anyio.sleep(30)
        foreign = FakeHost("foreign", here.segment)
        await ArpBackend(foreign).announce(VIP)
        await anyio.sleep(5)
        assert here.told == [foreign.link("eth0").mac.hex(":")]
