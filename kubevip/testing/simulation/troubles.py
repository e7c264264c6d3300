"""Draws faults by chance: which, when, where, and for how long."""

import random
from collections.abc import Callable, Sequence
from typing import TypedDict

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut, ApiErring, ApiForgets, ApiRefusing, ApiSlow
from kubevip.testing.simulation.faults_node import (
    Crash,
    DateStep,
    Deletion,
    LinkDown,
    PowerOff,
    RefusingKernel,
    Restart,
    SlowKernel,
    Stall,
)
from kubevip.testing.simulation.faults_segment import BadSegment, Cut
from kubevip.testing.simulation.faults_stored import EndpointsGone, LeaseTouched, ServiceGone

# What part of the seeds is one kind of fault, again and again.
_TIDY = 0.3
# What part of those is a time without the API server, for all.
_OUTAGE = 0.15
# The shortest of all faults, in seconds.
_SHORTEST = 0.001


class Times(TypedDict):
    """When a fault begins, and for how long, in seconds."""

    start: float
    duration: float


@attrs.define(eq=False)
class Dice:
    """Draws one fault after another, within *until* seconds."""

    chance: random.Random
    nodes: Sequence[str]
    services: Sequence[str]
    until: float

    def times(self) -> Times:
        """Return when a fault begins, and for how long: moments, about a second, or a good part of all."""
        start = self.chance.uniform(0, self.until)
        longest = self.chance.choice((0.05, 1.0, 4.0, 12.0))
        return {"start": start, "duration": min(self.chance.uniform(_SHORTEST, longest), self.until - start)}

    def one(self) -> tuple[str, ...]:
        """Return one node."""
        return (self.chance.choice(self.nodes),)

    def some(self) -> tuple[str, ...]:
        """Return one node, some, or all."""
        if self.chance.random() < 0.5:
            return self.one()
        count = self.chance.randint(1, len(self.nodes))
        return tuple(sorted(self.chance.sample(self.nodes, count)))

    def service(self) -> str:
        """Return a Service."""
        return self.chance.choice(self.services)

    def one_of(self, *values: float) -> float:
        """Return one of *values*."""
        return self.chance.choice(values)


def _cut(dice: Dice) -> Fault:
    heard, hear = dice.chance.choice(((False, False), (False, False), (True, False), (False, True)))
    nodes = dice.some()
    return Cut(**dice.times(), nodes=nodes[: len(dice.nodes) - 1] or nodes, heard=heard, hear=hear)


def _api_cut(dice: Dice) -> Fault:
    requests, replies = dice.chance.choice(((True, True), (True, True), (True, False), (False, True)))
    return ApiCut(**dice.times(), nodes=dice.some(), requests=requests, replies=replies)


def _api_erring(dice: Dice) -> Fault:
    return ApiErring(
        **dice.times(),
        nodes=dice.some(),
        erring=dice.one_of(0.0, 0.3, 1.0),
        status=int(dice.one_of(429, 500, 503)),
        losing=dice.one_of(0.0, 0.3),
        doubling=dice.one_of(0.0, 0.3),
    )


def _bad_segment(dice: Dice) -> Fault:
    return BadSegment(
        **dice.times(),
        loss=dice.one_of(0.0, 0.05, 0.5),
        doubling=dice.one_of(0.0, 0.3),
        delay=dice.one_of(0.0001, 0.002, 0.02),
    )


def _service_gone(dice: Dice) -> Fault:
    return ServiceGone(**dice.times(), service=dice.service())


def _endpoints_gone(dice: Dice) -> Fault:
    return EndpointsGone(**dice.times(), nodes=dice.some(), service=dice.service())


_KINDS: tuple[tuple[int, Callable[[Dice], Fault]], ...] = (
    (5, lambda dice: Stall(**dice.times(), nodes=dice.one())),
    (5, lambda dice: Crash(**dice.times(), nodes=dice.one())),
    (5, lambda dice: Restart(**dice.times(), nodes=dice.one())),
    (3, lambda dice: PowerOff(**dice.times(), nodes=dice.one())),
    (3, lambda dice: LinkDown(**dice.times(), nodes=dice.one())),
    (2, lambda dice: SlowKernel(**dice.times(), nodes=dice.one(), delay=dice.one_of(0.01, 0.2, 0.9))),
    (1, lambda dice: SlowKernel(**dice.times(), nodes=dice.one(), locked=dice.one_of(0.01, 0.1, 0.3))),
    (1, lambda dice: RefusingKernel(**dice.times(), nodes=dice.one())),
    (2, lambda dice: Deletion(**dice.times(), nodes=dice.some())),
    (4, _cut),
    (3, _bad_segment),
    (5, _api_cut),
    (3, lambda dice: ApiRefusing(**dice.times(), nodes=dice.some())),
    (3, lambda dice: ApiSlow(**dice.times(), nodes=dice.some(), latency=dice.one_of(0.2, 2.0), lag=dice.one_of(0, 4))),
    (3, _api_erring),
    (1, lambda dice: ApiForgets(**dice.times())),
    (1, lambda dice: LeaseTouched(**dice.times())),
    (1, lambda dice: DateStep(**dice.times(), nodes=dice.one(), seconds=dice.one_of(-7200, -1, 1, 7200))),
    (1, _service_gone),
    (1, _endpoints_gone),
)
_INSTANT = (Deletion, ApiForgets, LeaseTouched, DateStep)


_ROUNDS: tuple[tuple[int, Callable[[str, float, float], Fault]], ...] = (
    (5, lambda node, start, duration: Restart(start=start, duration=duration, nodes=(node,))),
    (5, lambda node, start, duration: Crash(start=start, duration=duration, nodes=(node,))),
    (3, lambda node, start, duration: Stall(start=start, duration=duration, nodes=(node,))),
    (3, lambda node, start, duration: PowerOff(start=start, duration=duration, nodes=(node,))),
    (1, lambda node, start, duration: LinkDown(start=start, duration=duration, nodes=(node,))),
    (2, lambda node, start, duration: ApiCut(start=start, duration=duration, nodes=(node,))),
    (2, lambda node, start, duration: Cut(start=start, duration=duration, nodes=(node,))),
)


def draw_faults(
    chance: random.Random, nodes: Sequence[str], services: Sequence[str], lease: float
) -> tuple[Fault, ...]:
    """Return some faults, in the order of their beginnings. A Lease lasts *lease* seconds.

    Mostly they come as it happens. Else the same happens to one node after another, and nothing besides, as in a
    rolling update: so it strikes whoever holds an address, and nothing can be excused by anything else.
    """
    if chance.random() < _TIDY:
        return _round(chance, nodes, lease)
    return _storm(Dice(chance, nodes, services, chance.uniform(6, 22)))


def _round(chance: random.Random, nodes: Sequence[str], lease: float) -> tuple[Fault, ...]:
    if chance.random() < _OUTAGE:
        return (ApiCut(start=chance.uniform(5, 8), duration=lease * chance.uniform(0.5, 3), nodes=tuple(nodes)),)
    (kind,) = chance.choices([kind for _weight, kind in _ROUNDS], [weight for weight, _kind in _ROUNDS])
    faults, at = [], chance.uniform(3, 8)
    for node in chance.sample(nodes, len(nodes)):
        duration = chance.uniform(0.5, 1.2) * chance.choice((1.0, lease, 1.7 * lease))
        faults.append(kind(node, at, duration))
        at += duration + chance.uniform(2.0, 8.0)
    return tuple(faults)


def _storm(dice: Dice) -> tuple[Fault, ...]:
    storms = [
        (weight, kind) for weight, kind in _KINDS if dice.services or kind not in (_service_gone, _endpoints_gone)
    ]
    chosen: list[Fault] = []
    for _fault in range(min(1 + int(dice.chance.expovariate(1 / 4)), 12)):
        (kind,) = dice.chance.choices([kind for _weight, kind in storms], [weight for weight, _kind in storms])
        fault = kind(dice)
        if isinstance(fault, _INSTANT):
            fault = attrs.evolve(fault, duration=0.0)
        if not any(collide(fault, other) for other in chosen):
            chosen.append(fault)
    return tuple(sorted(chosen, key=lambda fault: fault.start))


def collide(one: Fault, other: Fault) -> bool:
    """Tell whether two faults need the same at the same time."""
    together = one.start <= other.end and other.start <= one.end
    return together and bool(one.slots & other.slots)
