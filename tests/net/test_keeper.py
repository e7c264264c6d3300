"""The keeper on a real kernel: healing, adopting, clearing up after others, and who else answers on the wire."""

import contextlib

import anyio
import pytest

from kubevip.lease import Record
from kubevip.runtime.clearance import Manner
from kubevip.testing.leases import MemoryLeases
from tests.kernel import addresses_on, in_thread, run_on
from tests.net.conftest import opened, vip
from tests.net.holding import LEASE, holding
from tests.net.test_frames import Ear
from tests.waiting import until

pytestmark = pytest.mark.kernel

VIP4, VIP6 = vip("10.9.0.99"), vip("fd09::99")
BOTH = [VIP4, VIP6]
OWN = {"10.9.0.1", "fd09::1"}
# Longer than the addresses of a killed process have left.
OUTLIVED = 5.2


@pytest.fixture
def leases():
    return MemoryLeases()


async def held(holder, *vips):
    await until(lambda: all(holder.keeper.term_of(each) for each in vips))


async def shown(machine):
    return set(await addresses_on(machine)) - OWN


async def until_shown(machine, *vips, bound=10.0):
    wanted = {str(each) for each in vips}

    async def so():
        return wanted <= await shown(machine)

    await until(so, bound)


# Holding and letting go


async def test_addresses_are_held_while_leading(node, leases):
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        assert {str(each) for each in BOTH} <= await shown(node.machine)


async def test_nothing_is_left_at_the_end(node, leases):
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        # Pacing addresses come and go too.
        await anyio.sleep(1.2)
    assert await shown(node.machine) == set()


async def test_addresses_go_at_once_when_another_holder_is_seen(node, leases):
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        leases.put(LEASE, Record("n2", 5, 7))
        await until(lambda: holder.keeper.statistics().held == 0, bound=1)
        assert not {str(each) for each in BOTH} & await shown(node.machine)


async def test_successor_announces_before_the_last_holder_lets_go(segment, leases):
    nodes = segment.machines
    async with opened(nodes["n1"]) as first, opened(nodes["n2"]) as second, holding(first, leases, *BOTH) as last:
        await held(last, *BOTH)
        async with holding(second, leases, *BOTH, name="n2") as successor:
            await anyio.sleep(0.1)
            last.keeper.expect_successor(LEASE)
            last.elector.resign()
            await held(successor, *BOTH)
            assert last.keeper.statistics().held == 2
            # Well before the two seconds that it would linger for a successor that it doesn't see.
            await until(lambda: last.keeper.statistics().held == 0, bound=1)


# Healing


async def test_removed_addresses_are_put_back(node, leases):
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        for each in BOTH:
            await run_on(node.machine, "ip", "addr", "del", f"{each}/{each.prefix_length}", "dev", "eth0")
        await until(lambda: holder.keeper.statistics().healed == 2)
        await until_shown(node.machine, *BOTH, bound=1)


async def test_what_is_put_back_is_announced_again(node, peer, leases):
    async with holding(node, leases, VIP4) as holder:
        await held(holder, VIP4)
        await anyio.sleep(2.5)
        # The burst is over, and the next announcement is due in seconds.
        with contextlib.closing(Ear(peer, 0x0806)) as ear:
            await run_on(node.machine, "ip", "addr", "del", f"{VIP4}/32", "dev", "eth0")
            with anyio.fail_after(0.4):
                frame = await ear.next()
        assert frame[28:32] == VIP4.address.packed


async def test_all_addresses_of_the_link_are_put_back(node, leases):
    """Of one network, the kernel removes every other one with the first."""
    vips = [vip(f"10.9.0.{number}/16") for number in (97, 98, 99)]
    async with holding(node, leases, *vips) as holder:
        await held(holder, *vips)
        await run_on(node.machine, "ip", "addr", "flush", "dev", "eth0", "to", "10.9.0.96/29")
        await until_shown(node.machine, *vips, bound=2)


async def test_first_of_a_network_can_be_let_go_alone(node, leases):
    vips = [vip(f"10.20.0.{number}/16") for number in (97, 98, 99)]
    async with holding(node, leases, *vips) as holder:
        await held(holder, *vips)
        holder.keeper.unwant(vips[0])
        await until(lambda: holder.keeper.term_of(vips[0]) is None)
        await held(holder, *vips[1:])
        await until_shown(node.machine, *vips[1:], bound=2)
        assert str(vips[0]) not in await shown(node.machine)


async def test_link_that_goes_down_and_up_has_its_addresses_again(node, peer, leases):
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        await run_on(node.machine, "ip", "link", "set", "eth0", "down")
        await until(lambda: not node.monitor.get("eth0").up)
        await run_on(node.machine, "ip", "link", "set", "eth0", "up")
        # With the link the kernel has removed the machine's own IPv6 address too, by which it answers.
        await run_on(node.machine, "ip", "addr", "add", "fd09::1/64", "dev", "eth0", "nodad")
        await held(holder, *BOTH)
        await until_shown(node.machine, *BOTH)
        for each in BOTH:
            await run_on(peer, "ping", "-c", "1", "-W", "5", str(each))


async def test_cable_that_is_pulled_and_put_back_is_told_to_the_network(node, peer, segment, leases):
    async with holding(node, leases, VIP4) as holder:
        await held(holder, VIP4)
        await in_thread(segment.unplug, "n1")
        await until(lambda: not node.monitor.get("eth0").up)
        with contextlib.closing(Ear(peer, 0x0806)) as ear:
            await in_thread(segment.plug, "n1")
            with anyio.fail_after(2):
                while (await ear.next())[28:32] != VIP4.address.packed:
                    pass


async def test_link_that_is_made_anew_has_its_addresses_again(node, leases):
    vips = [vip("10.9.0.99", "lan0"), vip("fd09::99", "lan0")]
    make = ("ip", "link", "add", "lan0", "up", "type", "veth", "peer", "name", "lan0-end")
    await run_on(node.machine, *make)
    await run_on(node.machine, "ip", "link", "set", "lan0-end", "up")
    async with holding(node, leases, *vips) as holder:
        await held(holder, *vips)
        await run_on(node.machine, "ip", "link", "del", "lan0")
        await until(lambda: not holder.keeper.term_of(vips[0]))
        await run_on(node.machine, *make)
        await run_on(node.machine, "ip", "link", "set", "lan0-end", "up")
        await held(holder, *vips)
        await until_shown(node.machine, *vips)


async def test_address_on_a_missing_link_does_not_keep_back_the_others(node, leases):
    lost = vip("10.9.0.98", "gone0")
    async with holding(node, leases, VIP4, lost) as holder:
        await held(holder, VIP4)
        await until(lambda: holder.keeper.statistics().failing)
        assert "there is no interface 'gone0'" in holder.keeper.statistics().failing[lost]


# Adopting and clearing up


async def test_addresses_of_a_killed_process_are_kept_by_the_next_one(node, leases):
    async with holding(node, leases, *BOTH) as killed:
        await held(killed, *BOTH)
        killed.kill()
    removed = []
    node.addresses.subscribe(lambda address, _interface: removed.append(address))
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)
        await anyio.sleep(OUTLIVED)
        assert not [each for each in BOTH if each.address in removed]
        assert holder.keeper.statistics().healed == 0


def leftover(each, interface="eth0"):
    """An address as kube-vip leaves it when it is killed: without an end, and not preferred."""
    where = f"{each}/{each.prefix_length}"
    return ("ip", "addr", "add", where, "dev", interface, "preferred_lft", "0", *(["nodad"] if ":" in where else []))


async def test_leftovers_are_removed_while_another_node_leads(node, leases):
    for each, interface in ((VIP4, "eth0"), (VIP4, "lo"), (VIP6, "eth0")):
        await run_on(node.machine, *leftover(each, interface))
    leases.put(LEASE, Record("n2", 60, 0))
    async with holding(node, leases, *BOTH):

        async def gone():
            return not await shown(node.machine)

        await until(gone)


async def test_leftovers_are_taken_over_where_they_belong_and_removed_elsewhere(node, leases):
    for each, interface in ((VIP4, "eth0"), (VIP4, "lo"), (VIP6, "eth0")):
        await run_on(node.machine, *leftover(each, interface))
    async with holding(node, leases, *BOTH) as holder:
        await held(holder, *BOTH)

        async def only_ours():
            found = await node.addresses.find([each.address for each in BOTH])
            return {each.vip for each in found if each.ours and not each.permanent} == {*BOTH} and len(found) == 2

        await until(only_ours)


async def test_own_address_is_refused_and_stays(node, leases):
    own = vip("10.9.0.1/16")
    async with holding(node, leases, own, VIP4) as holder:
        await held(holder, VIP4)
        await until(lambda: holder.keeper.statistics().failing)
        assert holder.keeper.statistics().failing[own] == (
            "10.9.0.1 is this node's own address on eth0; choose another one"
        )
        holder.keeper.unwant(own)
        leases.put(LEASE, Record("n2", 5, 7))
        await until(lambda: holder.keeper.statistics().held == 0)
    (found,) = await node.addresses.find([own.address])
    assert (found.permanent, found.preferred) == (True, True)


# Who else answers


@pytest.fixture
async def contested(peer):
    """Somebody else on the segment has the addresses."""
    for each in BOTH:
        where = f"{each}/{each.prefix_length}"
        await run_on(peer, "ip", "addr", "add", where, "dev", "eth0", *(["nodad"] if ":" in where else []))

    async def end():
        for each in BOTH:
            await run_on(peer, "ip", "addr", "del", f"{each}/{each.prefix_length}", "dev", "eth0")

    return end


def conflicts_of(holder):
    conflicts = {}

    def conflicting(conflict):
        conflicts.setdefault(conflict.vip, []).append((conflict.mac, conflict.manner))

    holder.keeper.conflicting = conflicting
    return conflicts


async def mac_of(machine):
    async with opened(machine) as node:
        return node.monitor.get("eth0").mac.hex(":")


async def test_address_that_another_machine_has_is_not_taken_before_it_is_free(node, peer, contested, leases):
    mac = await mac_of(peer)
    async with holding(node, leases, *BOTH, vip("10.9.0.50")) as holder:
        conflicts = conflicts_of(holder)
        await held(holder, vip("10.9.0.50"))
        await until(lambda: len(conflicts) == 2)
        assert conflicts == {each: [(mac, Manner.YIELD)] for each in BOTH}
        assert not {str(each) for each in BOTH} & await shown(node.machine)
        await contested()
        await held(holder, *BOTH)
        assert conflicts == {each: [(mac, Manner.YIELD)] for each in BOTH}


async def test_address_of_an_expired_lease_is_taken_though_another_machine_answers(node, peer, contested, leases):
    mac = await mac_of(peer)
    leases.put(LEASE, Record("n2", 1, 0))
    async with holding(node, leases, *BOTH) as holder:
        conflicts = conflicts_of(holder)
        await held(holder, *BOTH)
        assert conflicts == {each: [(mac, Manner.INSIST)] for each in BOTH}


async def test_address_of_a_released_lease_is_taken_at_once_though_another_machine_answers(node, contested, leases):
    """Its last holder answers until it sees us."""
    leases.put(LEASE, Record("", 1, 0))
    async with holding(node, leases, *BOTH) as holder:
        conflicts = conflicts_of(holder)
        await until(lambda: all(holder.keeper.term_of(each) for each in BOTH), bound=0.9)
        assert conflicts == {}
