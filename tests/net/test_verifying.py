"""Takeovers on a real kernel: a gateway that answers, one that is silent, and an uplink that is dead."""

import contextlib
import json
from ipaddress import ip_address

import anyio
import pytest

from kubevip.net.neighbourhood import KernelNeighbourhood
from kubevip.runtime.offering import Offers
from kubevip.runtime.verifying import Verifier, Verify
from kubevip.runtime.witnesses import Witnesses
from kubevip.testing.leases import MemoryLeases
from tests.kernel import addresses_on, in_thread, run_on
from tests.net.conftest import opened, vip
from tests.net.holding import LEASE, holding
from tests.waiting import until

pytestmark = pytest.mark.kernel

BOTH = [vip("10.9.0.99"), vip("fd09::99")]


async def add_gateways(machine):
    """Let the machine n2 be the gateway."""
    await run_on(machine, "ip", "route", "add", "default", "via", "10.9.0.2", "dev", "eth0")
    await run_on(machine, "ip", "-6", "route", "add", "default", "via", "fd09::2", "dev", "eth0")


@contextlib.asynccontextmanager
async def verifying(node, leases, *, name="n1", verify=Verify.WARN, timeout=1.0, given=()):
    async with holding(node, leases, *BOTH, name=name) as holder:
        witnesses = Witnesses(given, node.monitor, KernelNeighbourhood(node.monitor, node.machine.entered))
        offers = Offers(holder.keeper, {LEASE: holder.elector})
        verifier = Verifier(
            *(holder.keeper, holder.announcers, node.monitor, witnesses, offers),
            verify=verify,
            timeout=timeout,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(verifier.run)
            yield holder, verifier
            tasks.cancel_scope.cancel()


def verified(verifier):
    trials = verifier.statistics().trials
    return len(trials) == 2 and all(trial.verified for trial in trials)


async def neighbour_of(machine, address):
    (found,) = json.loads(await run_on(machine, "ip", "-json", "neigh", "show", str(address)))
    return found["lladdr"]


async def test_a_gateway_that_answers_verifies_both_families_and_knows_where_the_addresses_are(node, peer):
    await add_gateways(node.machine)
    async with verifying(node, MemoryLeases()) as (_holder, verifier):
        await until(lambda: verified(verifier), bound=3)
        mac = node.monitor.get("eth0").mac.hex(":")
        for each in BOTH:
            assert await neighbour_of(peer, each) == mac
        for durations in verifier.statistics().durations.values():
            assert durations.total < 1


async def test_a_neighbour_stands_in_for_gateways(node, peer):
    for address in ("10.9.0.2", "fd09::2"):
        await run_on(node.machine, "ping", "-c", "1", "-W", "2", address)
    async with verifying(node, MemoryLeases()) as (_holder, verifier):
        await until(lambda: verified(verifier), bound=3)


async def test_gateways_that_do_not_answer_are_named_and_the_addresses_stay(node, caplog):
    await run_on(node.machine, "ip", "route", "add", "default", "via", "10.9.0.254", "dev", "eth0")
    async with verifying(node, MemoryLeases()) as (holder, verifier):
        await until(lambda: verifier.statistics().timeouts, bound=4)
        (line,) = [each for each in caplog.records if each.message == "no witness answers"]
        assert (line.witness, line.source) == ("10.9.0.254", "gateways")
        assert holder.elector.term is not None
        assert holder.keeper.statistics().announced == 2


async def test_a_gateway_that_comes_late_verifies_and_is_told_again(node, peer, segment):
    await add_gateways(node.machine)
    await in_thread(segment.unplug, "n2")
    async with verifying(node, MemoryLeases(), timeout=1) as (_holder, verifier):
        await until(lambda: len(verifier.statistics().timeouts) == 2, bound=4)
        await in_thread(segment.plug, "n2")
        await run_on(peer, "ip", "addr", "replace", "fd09::2/64", "dev", "eth0", "nodad")
        await until(lambda: verified(verifier), bound=12)


async def test_a_node_whose_cable_is_pulled_gives_up_its_lease_to_one_that_is_heard(segment, node):
    leases = MemoryLeases()
    await add_gateways(node.machine)
    await run_on(segment.machines["n2"], "ip", "addr", "add", "10.9.0.3/16", "dev", "eth0")
    await in_thread(segment.unplug, "n1")
    witness = (ip_address("10.9.0.2"), ip_address("10.9.0.1"))
    async with (
        opened(segment.machines["n2"]) as other,
        verifying(node, leases, verify=Verify.RESIGN, given=witness) as (dead, verifier),
    ):
        await until(lambda: dead.elector.term is not None, bound=3)
        async with holding(other, leases, *BOTH, name="n2") as alive:
            await until(lambda: alive.elector.term is not None, bound=10)
            assert verifier.statistics().resignations == {LEASE: 1}

            async def gone():
                return not {str(each) for each in BOTH} & set(await addresses_on(node.machine))

            await until(gone, bound=5)
            assert alive.elector.term is not None
