"""Spreading under arbitrary faults: never two holders, and one again soon after the faults have ended.

A failure names its seed; the same seed is the same run.
"""

import ipaddress
from collections import Counter

import attrs
import pytest

from kubevip.custody import Custody
from kubevip.model import IPAddress, ServiceKey
from kubevip.spread.charges import Charge, Write
from tests.decide.spreadworld import TIMING, World, holder

FAULTS_FOR = 60.0
# A Lease that nobody renews expires, who gave up a request pauses, and who should take something is waited for.
SETTLED = 40.0


def address(number: int) -> IPAddress:
    return ipaddress.ip_address("10.0.0.1") + number


def service(number: int, *addresses: int, **facts: object) -> Charge:
    key = ServiceKey("default", f"s{number}")
    found = tuple(address(each) for each in addresses or (number,))
    return attrs.evolve(Charge(key=key, uid=f"u{number}", created=f"2026-{number:04}", addresses=found), **facts)


def world_of(seed: int, services: int = 8, count: int = 3, *, faults: bool = True) -> World:
    world = World(seed, count, faults=faults)
    for number in range(services):
        shared = number // 2 if world.chance.random() < 0.2 else number
        extra = (100 + number,) if world.chance.random() < 0.2 else ()
        world.apply(service(number, shared, *extra))
    return world


def trouble(world: World, seconds: float) -> None:
    """Stall nodes, ask for moves, move endpoints, find nodes unfit, delete and create Services."""
    at = 0.0
    while at < seconds:
        at += world.chance.expovariate(1 / 1.5)
        world.after(at, lambda: strike(world))


def strike(world: World) -> None:
    agent = world.chance.choice(list(world.agents.values()))
    key = world.chance.choice(sorted(world.services))
    match world.chance.randint(0, 5):
        case 0 | 1:
            world.pause(agent, world.chance.choice((0.5, 3.0, 8.0)))
        case 2:
            agent.spreading.wish(key, world.chance.choice(list(world.agents)))
        case 3:
            nodes = world.chance.sample(list(world.agents), world.chance.randint(1, len(world.agents)))
            world.apply(attrs.evolve(world.services[key], local=frozenset(nodes)))
        case 4:
            agent.unfit = "" if agent.unfit else "cordoned"
        case 5:
            number = world.chance.randint(200, 250)
            gone = world.services[key]
            world.remove(key)
            uid = f"{gone.uid}-{number}"
            world.after(1.0, lambda: world.apply(attrs.evolve(gone, uid=uid, record=None)))


def addresses(world: World) -> set[IPAddress]:
    return {each for charge in world.services.values() for each in charge.addresses}


def calm(world: World) -> None:
    world.faults = False
    for agent in world.agents.values():
        world.resume(agent)
    world.run(world.now + SETTLED)


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_never_two_have_an_address_and_one_has_it_after_the_faults(first: int) -> None:
    for seed in range(first, first + 10):
        world = world_of(seed, count=2 + seed % 3)
        trouble(world, FAULTS_FOR)
        world.run(FAULTS_FOR)
        calm(world)
        held = {each: world.owners(each) for each in addresses(world)}
        assert all(len(owners) == 1 for owners in held.values()), f"seed {seed}: {held}"


def test_in_peace_all_is_held_soon_and_nothing_moves() -> None:
    world = world_of(1, 60, 5, faults=False)
    world.run(8)
    held = {each: world.owners(each) for each in addresses(world)}
    assert all(len(owners) == 1 for owners in held.values())
    versions = {key: charge.version for key, charge in world.services.items()}
    world.run(120)
    assert {key: charge.version for key, charge in world.services.items()} == versions


def test_what_a_silent_node_had_is_taken_within_its_lease_and_nothing_else_moves() -> None:
    world = world_of(2, 40, 4, faults=False)
    world.run(10)
    before = {each: world.owners(each)[0] for each in addresses(world)}
    world.agents["n1"].paused = True
    world.run(10 + TIMING.duration + 2)
    after = {each: world.owners(each) for each in addresses(world)}
    assert all(len(owners) == 1 for owners in after.values())
    assert {each for each in before if after[each] != [before[each]]} == {
        each for each in before if before[each] == "n1"
    }


def test_a_node_that_returns_takes_nothing() -> None:
    world = world_of(2, 40, 4, faults=False)
    world.run(10)
    world.agents["n1"].paused = True
    world.run(20)
    before = {each: world.owners(each) for each in addresses(world)}
    world.resume(world.agents["n1"])
    world.run(60)
    assert {each: world.owners(each) for each in addresses(world)} == before
    assert world.agents["n1"].spreading.term


def test_a_record_that_names_a_node_that_never_was_is_overwritten_after_a_lease() -> None:
    world = World(3, 3, faults=False)
    world.apply(service(1, record=Custody("u1", {address(1): holder("ghost")})))
    world.run(4)
    assert world.owners(address(1)) == []
    world.run(TIMING.duration + 5)
    assert len(world.owners(address(1))) == 1


def test_another_services_record_in_a_copied_manifest_means_nothing() -> None:
    world = World(3, 3, faults=False)
    world.apply(service(1))
    world.run(5)
    record = world.services[ServiceKey("default", "s1")].record
    assert Custody.parse(str(record), "u1") == record
    assert Custody.parse(str(record), "u2") is None


@pytest.mark.parametrize("seed", range(5))
def test_foreign_edits_and_deleted_leases_are_healed(seed: int) -> None:
    world = world_of(seed, faults=False)
    world.run(5)
    keys = sorted(world.services)
    world.strict = False
    world.edit(keys[0], None)
    world.edit(keys[1], Custody(world.services[keys[1]].uid, {address(1): holder("ghost")}))
    world.edit(keys[2], Custody("of another one", {address(2): holder("n1")}))
    world.drop("n2")
    world.run(5 + SETTLED)
    held = {each: world.owners(each) for each in addresses(world)}
    assert all(len(owners) == 1 for owners in held.values()), held


def test_an_address_stays_where_it_is_when_its_oldest_service_goes() -> None:
    world = World(4, 3, faults=False)
    world.apply(service(1, 9))
    world.apply(service(2, 9))
    world.run(5)
    before = world.owners(address(9))
    world.remove(ServiceKey("default", "s1"))
    world.run(10)
    assert world.owners(address(9)) == before != []


def test_both_addresses_of_a_service_are_on_one_node() -> None:
    world = World(5, 4, faults=False)
    for number in range(12):
        world.apply(service(number, number, 100 + number))
    world.run(6)
    assert all(world.owners(address(number)) == world.owners(address(100 + number)) != [] for number in range(12))


def test_a_node_that_is_asked_to_hands_over() -> None:
    world = World(6, 3, faults=False)
    world.apply(service(1))
    world.run(5)
    (before,) = world.owners(address(1))
    target = next(name for name in world.agents if name != before)
    world.agents[before].spreading.wish(ServiceKey("default", "s1"), target)
    world.run(6)
    assert world.owners(address(1)) == [target]


@pytest.mark.parametrize("seed", [5, 7, 19])
def test_an_old_record_that_somebody_writes_again_takes_nothing_from_who_has_it_by_another(seed: int) -> None:
    world = World(seed, 3, faults=False)
    key = ServiceKey("default", "s1")
    world.apply(service(1, 9))
    world.apply(service(2, 9))
    world.run(5)
    old = world.services[key].record
    (before,) = world.owners(address(9))
    target = next(name for name in world.agents if name != before)
    world.agents[before].spreading.wish(key, target)
    world.run(8)
    world.edit(key, old)
    for second in range(9, 20):
        world.run(second)
        assert world.owners(address(9)) == [target]


def test_an_unfit_node_hands_over_all_that_it_has() -> None:
    world = world_of(7, 30, 3, faults=False)
    world.run(8)
    world.agents["n0"].unfit = "cordoned"
    world.run(12)
    load = Counter(owner for each in addresses(world) for owner in world.owners(each))
    assert load["n0"] == 0
    assert load.total() == len(addresses(world))


def test_a_fleet_that_was_cut_off_buries_nobody_when_it_is_back() -> None:
    world = world_of(8, 30, 4, faults=False)
    world.run(10)
    before = {each: world.owners(each) for each in addresses(world)}
    for agent in world.agents.values():
        world.pause(agent, 20)
    world.run(45)
    assert {each: world.owners(each) for each in addresses(world)} == before


def test_a_write_for_other_addresses_than_a_service_asks_for_now_is_not_wanted() -> None:
    world = World(8, 1, faults=False)
    world.apply(service(1))
    world.run(5)
    agent = world.agents["n0"]
    asked, now = world.services[ServiceKey("default", "s1")], world.clock(agent)
    agent.spreading.applied(attrs.evolve(asked, addresses=(address(2),), version="2001"), now)
    agent.spreading.update(now)
    (write,) = (step for step in agent.spreading.steps(now)[0] if isinstance(step, Write))
    assert agent.spreading.version_for(write) == "2001"
    agent.spreading.applied(attrs.evolve(asked, version="2002"), now)
    assert agent.spreading.version_for(write) == ""
