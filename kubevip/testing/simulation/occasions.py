"""Draws what a kind of scenario is about: unfit nodes, silent witnesses, machines that claim addresses."""

import random
from collections.abc import Callable, Mapping, Sequence

import attrs

from kubevip.model import IPAddress, LeaseKey
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_fitness import CardRefuses, CheckFails, Cordoned, HandoverAsked
from kubevip.testing.simulation.faults_node import Crash, Deletion, LinkDown, OnlyLinkDown, PowerOff, Restart
from kubevip.testing.simulation.faults_stored import EndpointsGone
from kubevip.testing.simulation.faults_strangers import Claimed, WitnessesCut, WitnessesOff
from kubevip.testing.simulation.manners import Manners
from kubevip.testing.simulation.troubles import Dice, collide
from kubevip.testing.simulation.world import ServicePlan

# What part of the seeds has only what it is about, and that again and again.
_TIDY = 0.6
# Faults beside which a routed scenario is to be judged: they strike a node, and leave what it knows.
_OF_ROUTES = (Crash, Deletion, EndpointsGone, LinkDown, PowerOff, Restart)


@attrs.define(eq=False)
class Occasions:
    """Draws for *nodes* and the addresses of *governing*, with their Leases, of which each lasts *lease* seconds."""

    chance: random.Random
    nodes: Sequence[str]
    lease: float
    governing: Mapping[IPAddress, LeaseKey]
    services: Sequence[ServicePlan]
    manners: Manners

    def dice(self, until: float) -> Dice:
        """Return dice for faults within *until* seconds."""
        return Dice(self.chance, self.nodes, (), until)

    def some_lease(self) -> LeaseKey:
        """Return one of the Leases."""
        return self.chance.choice(sorted(set(self.governing.values())))

    def some_address(self) -> IPAddress:
        """Return one of the addresses."""
        return self.chance.choice(sorted(self.governing, key=str))

    def to(self) -> str:
        """Return a node, or none."""
        return self.chance.choice((*self.nodes, ""))


Kind = Callable[[Occasions, Dice], Fault]


def _cordoned(_drawn: Occasions, dice: Dice) -> Fault:
    return Cordoned(**dice.times(), nodes=dice.some())


def _check_fails(drawn: Occasions, dice: Dice) -> Fault:
    return CheckFails(**dice.times(), nodes=dice.some(), hangs=drawn.chance.random() < 0.3)


def _card_refuses(_drawn: Occasions, dice: Dice) -> Fault:
    return CardRefuses(**dice.times(), nodes=dice.one())


def _asked(drawn: Occasions, dice: Dice) -> Fault:
    return HandoverAsked(start=dice.times()["start"], duration=0.0, lease=drawn.some_lease(), to=drawn.to())


def _witnesses_off(_drawn: Occasions, dice: Dice) -> Fault:
    return WitnessesOff(**dice.times())


def _witnesses_cut(_drawn: Occasions, dice: Dice) -> Fault:
    return WitnessesCut(**dice.times(), nodes=dice.some())


def _claimed(drawn: Occasions, dice: Dice) -> Fault:
    answers = drawn.chance.random() < 0.5
    return Claimed(**dice.times(), address=drawn.some_address(), answers=answers, every=drawn.chance.choice((0.5, 1.0)))


def _only_link_down(_drawn: Occasions, dice: Dice) -> Fault:
    return OnlyLinkDown(**dice.times(), nodes=dice.one())


def kinds(manners: Manners) -> list[Kind]:
    """Return what may happen where agents behave so."""
    found: list[Kind] = []
    if manners.about_fitness:
        found += [_cordoned, _card_refuses, _asked] + [_check_fails] * manners.checks
    if manners.about_witnesses:
        found += [_witnesses_off, _witnesses_cut, _asked]
    if manners.about_conflicts:
        found += [_claimed]
    if manners.about_links:
        found += [_only_link_down]
    return found


def draw_occasions(drawn: Occasions, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Return the faults of a scenario that would have *faults* if it were about nothing."""
    if drawn.manners.routed:
        tidy = drawn.chance.random() < _TIDY and drawn.services
        mixed = tuple(fault for fault in faults if isinstance(fault, _OF_ROUTES) or fault.hides_api)
        return tuple(_unserve_each(drawn)) if tidy else mixed
    if drawn.chance.random() < _TIDY:
        return tuple(_round(drawn))
    dice = drawn.dice(max(fault.end for fault in faults))
    chosen = list(faults)
    for _fault in range(min(1 + int(drawn.chance.expovariate(1 / 3)), 8)):
        fault = drawn.chance.choice(kinds(drawn.manners))(drawn, dice)
        if not any(collide(fault, other) for other in chosen):
            chosen.append(fault)
    return tuple(sorted(chosen, key=lambda fault: fault.start))


def _round(drawn: Occasions) -> list[Fault]:
    """Draw one kind of what it is about, again and again with pauses, so that nothing else can excuse what follows."""
    rounds: dict[Kind, Callable[[Occasions], list[Fault]]] = {
        _cordoned: _cordon_each,
        _check_fails: _fail_each,
        _card_refuses: _mute_each,
        _asked: _ask_each,
        _witnesses_off: _without_witnesses,
        _witnesses_cut: _cut_off_each,
        _claimed: _claim_each,
        _only_link_down: _flap_each,
    }
    return rounds[drawn.chance.choice(kinds(drawn.manners))](drawn)


def _times(drawn: Occasions, count: int, shortest: float) -> list[tuple[float, float]]:
    """Return beginnings and lengths, each after the one before it and a pause."""
    found, at = [], drawn.chance.uniform(6, 10)
    for _time in range(count):
        duration = shortest * drawn.chance.uniform(0.5, 1.5)
        found.append((at, duration))
        at += duration + drawn.chance.uniform(5.0, 8.0)
    return found


def _each(drawn: Occasions, make: Callable[[str, float, float], list[Fault]], shortest: float) -> list[Fault]:
    nodes = drawn.chance.sample(drawn.nodes, len(drawn.nodes))
    times = _times(drawn, len(nodes), shortest)
    return [fault for node, (start, length) in zip(nodes, times, strict=True) for fault in make(node, start, length)]


def _cordon_each(drawn: Occasions) -> list[Fault]:
    return _each(drawn, lambda node, at, length: [Cordoned(start=at, duration=length, nodes=(node,))], 12.0)


def _fail_each(drawn: Occasions) -> list[Fault]:
    hangs = drawn.chance.random() < 0.3

    def make(node: str, at: float, length: float) -> list[Fault]:
        return [CheckFails(start=at, duration=length, nodes=(node,), hangs=hangs)]

    return _each(drawn, make, 12.0)


def _mute_each(drawn: Occasions) -> list[Fault]:
    return _each(drawn, lambda node, at, length: [CardRefuses(start=at, duration=length, nodes=(node,))], 6.0)


def _ask_each(drawn: Occasions) -> list[Fault]:
    def make(node: str, at: float, _length: float) -> list[Fault]:
        return [HandoverAsked(start=at, duration=0.0, lease=drawn.some_lease(), to=node)]

    return _each(drawn, make, 3.0)


def _without_witnesses(drawn: Occasions) -> list[Fault]:
    off = WitnessesOff(start=drawn.chance.uniform(0, 3), duration=drawn.chance.uniform(15, 25))
    return [off, *(attrs.evolve(fault, start=fault.start) for fault in _ask_each(drawn)[:1])]


def _cut_off_each(drawn: Occasions) -> list[Fault]:
    """Let each take what it can't verify: whoever can would have let go."""

    def make(node: str, at: float, length: float) -> list[Fault]:
        cut = WitnessesCut(start=at, duration=length, nodes=(node,))
        return [cut, HandoverAsked(start=at + 0.5, duration=0.0, lease=drawn.some_lease(), to=node)]

    return _each(drawn, make, 14.0)


def move_endpoints(chance: random.Random, nodes: Sequence[str], service: str) -> tuple[Fault, ...]:
    """Let a Service lose its endpoints on one node after another."""
    found: list[Fault] = []
    at = chance.uniform(6, 9)
    for node in chance.sample(nodes, len(nodes)):
        length = chance.uniform(8.0, 14.0)
        found.append(EndpointsGone(start=at, duration=length, nodes=(node,), service=service))
        at += length + chance.uniform(5.0, 7.0)
    return tuple(found)


def _unserve_each(drawn: Occasions) -> list[Fault]:
    """Let a Service lose its endpoints on one node after another, and then everywhere."""
    service = drawn.chance.choice(drawn.services).name
    each = move_endpoints(drawn.chance, drawn.nodes, service)
    last = max(fault.end for fault in each) + 6.0
    return [*each, EndpointsGone(start=last, duration=9.0, nodes=tuple(drawn.nodes), service=service)]


def _flap_each(drawn: Occasions) -> list[Fault]:
    """Let the link of one node after another flap: down for moments, for some heartbeats, or for much of a Lease."""
    found: list[Fault] = []
    at = drawn.chance.uniform(6, 10)
    for node in drawn.chance.sample(drawn.nodes, len(drawn.nodes)):
        for _flap in range(drawn.chance.choice((1, 2, 4))):
            length = drawn.chance.choice((0.1, 0.5, 1.0, drawn.lease)) * drawn.chance.uniform(0.1, 1.2)
            found.append(OnlyLinkDown(start=at, duration=length, nodes=(node,)))
            at += length + drawn.chance.choice((0.02, 0.2, 1.0)) * drawn.chance.uniform(0.2, 1.0)
        at += drawn.chance.uniform(5.0, 8.0)
    return found


def _claim_each(drawn: Occasions) -> list[Fault]:
    """Claim an address some time after it was taken: it is certain then that no last holder does it."""
    at = 2.0 + max(drawn.lease, 3.0) + drawn.chance.uniform(3.0, 6.0)
    found: list[Fault] = []
    for _time in range(2):
        claimed = _claimed(drawn, drawn.dice(1.0))
        length = drawn.chance.uniform(8.0, 14.0)
        found.append(attrs.evolve(claimed, start=at, duration=length))
        at += length + drawn.chance.uniform(4.0, 8.0) + max(drawn.lease, 3.0)
    return found
