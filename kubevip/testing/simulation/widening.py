"""Makes scenarios of spread mode ones whose machines have two interfaces, and draws what goes wrong with one link.

All of it is drawn by chance of its own: what a scenario with one interface was, it still is.
"""

import random
from collections.abc import Callable, Sequence

import attrs

from kubevip.model import IPAddress
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_api import ApiCut
from kubevip.testing.simulation.faults_node import Crash, LinkDown, OnlyLinkDown, PowerOff, Stall
from kubevip.testing.simulation.faults_segment import BadSegment, Cut
from kubevip.testing.simulation.faults_spread import PassOn, Rebalance, ServiceChanged
from kubevip.testing.simulation.manners import Manners
from kubevip.testing.simulation.segments import LINKS, on_second, segment_of
from kubevip.testing.simulation.troubles import collide
from kubevip.testing.simulation.world import ServicePlan

# What part of the seeds has machines with two interfaces; in what part of those a node has one nevertheless.
_WIDE, _UNEVEN = 1 / 3, 0.25
# What part of them has only what goes wrong with links, again and again.
_TIDY = 0.6
# How long a link is down, in seconds: for a moment, for some heartbeats, for a while, or until nobody waits any more.
_LENGTHS = ((0.02, 0.1), (0.1, 0.8), (0.6, 4.0), (8.0, 14.0))
# Addresses have numbers in their order; a Service may ask for one more, so many above its own.
_FIRST_NUMBERS, _MORE = {4: 120, 6: 0x120}, 64


@attrs.frozen
class Widening:
    """Draws for *nodes*, of which each has a Lease that lasts *lease* seconds."""

    chance: random.Random
    nodes: Sequence[str]
    lease: float

    def draw(
        self, manners: Manners, plans: tuple[ServicePlan, ...], faults: tuple[Fault, ...]
    ) -> tuple[Manners, tuple[ServicePlan, ...], tuple[Fault, ...]]:
        """Return all of that as it is with two interfaces; most of the time, as it was."""
        if self.chance.random() >= _WIDE:
            return manners, plans, faults
        places = _Places.draw(self.chance, len(plans))
        moved = tuple(self._annotated(places.plan(plan)) for plan in plans)
        wide = self._wide()
        simple = manners.simple and len(wide) == len(self.nodes)
        return attrs.evolve(manners, wide=wide, simple=simple), moved, self._faults(tuple(map(places.fault, faults)))

    def _wide(self) -> tuple[str, ...]:
        left = self.chance.choice(self.nodes) if self.chance.random() < _UNEVEN else ""
        return tuple(node for node in self.nodes if node != left)

    def _annotated(self, plan: ServicePlan) -> ServicePlan:
        places = {segment_of(address) for address in plan.addresses}
        if self.chance.random() < 0.3 and len(places) == 1:
            return attrs.evolve(plan, interface=places.pop())
        return plan

    # What goes wrong

    def _faults(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        api = self.chance.choice(LINKS)
        if self.chance.random() >= _TIDY:
            return self._beside(faults, api)
        found = self._again_and_again(api)
        (*_others, last) = faults
        if isinstance(last, Rebalance):
            longest = max(fault.duration for fault in found)
            found.append(attrs.evolve(last, start=found[-1].end + 3 * longest + 3 * self.lease + 8))
        return tuple(found)

    def _beside(self, faults: tuple[Fault, ...], api: str) -> tuple[Fault, ...]:
        chosen = list(faults)
        until = max([8.0, *(fault.end for fault in faults if not isinstance(fault, Rebalance))])
        for _fault in range(1 + min(int(self.chance.expovariate(1 / 3)), 6)):
            fault = self.chance.choice(self._kinds(api))(self.chance.uniform(2, until), self._length(3))
            if not any(collide(fault, other) for other in chosen):
                chosen.append(fault)
        return tuple(sorted(chosen, key=lambda fault: fault.start))

    def _again_and_again(self, api: str) -> list[Fault]:
        kind, flaps = self.chance.randrange(len(self._kinds(api))), self.chance.choice((1, 1, 2, 4))
        lengths = self.chance.choice((2, 3, len(_LENGTHS)))
        found: list[Fault] = []
        at = self.chance.uniform(8, 12)
        for _time in range(self.chance.choice((2, 3, 4))):
            make = self._kinds(api)[kind]
            for _flap in range(flaps):
                found.append(make(at, self._length(lengths)))
                at = found[-1].end + self.chance.choice((0.02, 0.2, 1.0)) * self.chance.uniform(0.2, 1.0)
                if self.chance.random() < 0.2:
                    found += self._at_the_same_time(found[-1])
            at += 2 * self.lease + self.chance.uniform(5, 9)
        return found

    def _at_the_same_time(self, fault: Fault) -> list[Fault]:
        """Strike the agents of its nodes, or the way to the API server, while *fault* lasts."""
        kind = self.chance.choice((Stall, Crash, ApiCut))
        other: Fault = kind(start=fault.start, duration=fault.duration, nodes=fault.nodes)
        return [] if not fault.nodes or collide(fault, other) else [other]

    def _length(self, longest: int) -> float:
        return self.chance.uniform(*self.chance.choice(_LENGTHS[:longest]))

    def _kinds(self, api: str) -> list[Callable[[float, float], Fault]]:
        """Return what may happen from a time on, for so many seconds; *api* is the link to the API server."""
        chance, node = self.chance, self.chance.choice(self.nodes)
        one = (chance.choice(LINKS),)
        (other,) = (link for link in LINKS if link != api)
        few = tuple(sorted(chance.sample(self.nodes, chance.randint(1, len(self.nodes) - 1))))
        heard, hear = chance.choice(((False, False), (False, False), (True, False), (False, True)))
        return [
            lambda at, length: LinkDown(start=at, duration=length, nodes=(node,), links=(other,)),
            lambda at, length: LinkDown(start=at, duration=length, nodes=(node,)),
            lambda at, length: OnlyLinkDown(start=at, duration=length, nodes=(node,), links=(api,)),
            *2 * [lambda at, length: OnlyLinkDown(start=at, duration=length, nodes=(node,))],
            lambda at, length: Cut(start=at, duration=length, nodes=few, links=one, heard=heard, hear=hear),
            lambda at, length: BadSegment(start=at, duration=length, loss=1.0, links=one),
            lambda at, length: PowerOff(start=at, duration=length, nodes=(node,)),
        ]


@attrs.frozen
class _Places:
    """The addresses that are on the second segment: versions and numbers."""

    second: frozenset[tuple[int, int]]

    @classmethod
    def draw(cls, chance: random.Random, count: int) -> "_Places":
        """Of each of so many Services all addresses are there, or none, or some."""
        found = set()
        for number in range(count):
            versions = chance.choice(((), (), (4, 6), (4, 6), (4,), (6,)))
            found |= {(version, number) for version in versions}
        return cls(frozenset(found))

    def address(self, address: IPAddress) -> IPAddress:
        number = (int(address) - _FIRST_NUMBERS[address.version]) % 2**8 % _MORE
        return on_second(address) if (address.version, number) in self.second else address

    def plan(self, plan: ServicePlan) -> ServicePlan:
        return attrs.evolve(plan, addresses=tuple(map(self.address, plan.addresses)))

    def fault(self, fault: Fault) -> Fault:
        """Return *fault* as it is for addresses that have another place."""
        if isinstance(fault, ServiceChanged):
            return attrs.evolve(fault, plan=self.plan(fault.plan))
        if isinstance(fault, PassOn):
            return attrs.evolve(fault, address=self.address(fault.address))
        return fault
