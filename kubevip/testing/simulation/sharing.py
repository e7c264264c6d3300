"""Draws what a scenario in spread mode is about: Services and nodes of all sorts, and what is done to them."""

import ipaddress
import random
from collections.abc import Callable, Sequence

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.faults_fitness import CardRefuses, CheckFails, Cordoned
from kubevip.testing.simulation.faults_node import Crash, LinkDown, PowerOff, Restart, Stall
from kubevip.testing.simulation.faults_spread import NodeLeaseGone, PassOn, Rebalance, RecordGone, ServiceChanged
from kubevip.testing.simulation.faults_stored import EndpointsGone, ServiceGone
from kubevip.testing.simulation.manners import Manners
from kubevip.testing.simulation.troubles import Dice, collide, draw_faults
from kubevip.testing.simulation.world import ServicePlan

# What part of the seeds has only Services that may be on any node, all nodes being alike: their bounds can be judged.
_SIMPLE = 0.5
# What part of the seeds has one kind of happening, again and again; and what part is rebalanced in the end.
_TIDY, _EVENED = 0.45, 0.6
# How long an operator's command is given, in seconds.
GIVEN = 16.0
_V4, _V6 = ipaddress.ip_address("10.0.0.120"), ipaddress.ip_address("fd00::120")
_ZONES, _GROUPS = ("a", "b", ""), ("db", "")


def draw_plans(chance: random.Random, simple: bool) -> tuple[ServicePlan, ...]:
    """Return some Services; where they are not *simple*, a few of them ask for more than an address."""
    plans = []
    for number in range(chance.choice((2, 3, 4, 5, 6, 8))):
        addresses = [_V4 if not simple and chance.random() < 0.15 else _V4 + number]
        if chance.random() < 0.25:
            addresses.append(_V6 + number)
        plan = ServicePlan(name=f"s{number}", addresses=tuple(addresses))
        plans.append(plan if simple else _particular(chance, plan))
    return tuple(plans)


def _particular(chance: random.Random, plan: ServicePlan) -> ServicePlan:
    local = chance.random() < 0.2
    return attrs.evolve(plan, local=local, group=chance.choice(_GROUPS), zone=chance.choice(_ZONES))


def draw_sharing(chance: random.Random, nodes: Sequence[str], manners: Manners) -> Manners:
    """Return *manners*, with nodes that share the Services in simple ways, or are all different."""
    simple = chance.random() < _SIMPLE
    weights = tuple(chance.choice((1.0, 1.0, 2.0, 0.5)) for _node in nodes) if chance.random() < 0.3 else ()
    if simple:
        return attrs.evolve(manners, spread=True, simple=True, weights=weights, checks=chance.random() < 0.5)
    zones = tuple(chance.choice(_ZONES) for _node in nodes)
    narrow = (chance.choice(nodes),) if chance.random() < 0.3 else ()
    return attrs.evolve(manners, spread=True, weights=weights, zones=zones, narrow=narrow, checks=chance.random() < 0.5)


@attrs.define(eq=False)
class Happenings:
    """Draws what is done to *plans* and *nodes*. A Lease lasts *lease* seconds."""

    chance: random.Random
    nodes: Sequence[str]
    plans: Sequence[ServicePlan]
    lease: float
    manners: Manners

    def draw(self) -> tuple[Fault, ...]:
        """Return some, in the order of their beginnings."""
        faults = self._again_and_again() if self.chance.random() < _TIDY else self._storm()
        if self.chance.random() < _EVENED:
            # By then all is well again, also for who waited long.
            at = max(fault.end for fault in faults) + 3 * max(fault.duration for fault in faults) + 3 * self.lease + 8
            faults = (*faults, Rebalance(start=at, duration=GIVEN))
        return faults

    # One kind of happening

    def _again_and_again(self) -> tuple[Fault, ...]:
        make = self.chance.choice((self._unfit, self._struck, self._of_services, self._of_records, self._errands))
        found: list[Fault] = []
        at = self.chance.uniform(8, 12)
        for fault in make():
            fault = attrs.evolve(fault, start=at)
            found.append(fault)
            at = fault.end + 2 * self.lease + self.chance.uniform(5, 9)
        return tuple(found)

    def _unfit(self) -> list[Fault]:
        kinds: list[Callable[[str, float], Fault]] = [
            lambda node, length: Cordoned(start=0, duration=length, nodes=(node,)),
            lambda node, length: LinkDown(start=0, duration=length, nodes=(node,)),
        ]
        if self.manners.checks:
            kinds.append(lambda node, length: CheckFails(start=0, duration=length, nodes=(node,)))
        make = self.chance.choice(kinds)
        return [make(node, self.chance.uniform(8, 14)) for node in self._some_nodes()]

    def _struck(self) -> list[Fault]:
        kind = self.chance.choice((Crash, Crash, Restart, PowerOff, Stall))
        longest = self.lease * self.chance.choice((0.3, 1.0, 2.5))
        return [kind(start=0, duration=self.chance.uniform(0.5, 1.2) * longest, nodes=(n,)) for n in self._some_nodes()]

    def _of_services(self) -> list[Fault]:
        return [self._of_service(self.chance.uniform(4, 12)) for _time in range(3)]

    def _of_service(self, length: float) -> Fault:
        plan = self.chance.choice(self.plans)
        kind = self.chance.choice(("gone", "changed", "unserved"))
        if kind == "gone":
            return ServiceGone(start=0, duration=length, service=plan.name)
        if kind == "unserved" and plan.local:
            return EndpointsGone(start=0, duration=length, nodes=self._few_nodes(), service=plan.name)
        return ServiceChanged(start=0, duration=length, services=(plan.name,), plan=self._changed(plan))

    def _changed(self, plan: ServicePlan) -> ServicePlan:
        """Return *plan* as it is for some time: with another policy, group, zone, or one more address."""
        more = _V4 + 64 + int(plan.name.removeprefix("s"))
        changes = [attrs.evolve(plan, addresses=(*plan.addresses, more)), attrs.evolve(plan, addresses=(more,))]
        if not self.manners.simple:
            changes.append(attrs.evolve(plan, local=not plan.local))
            changes.append(attrs.evolve(plan, group="web"))
            changes.append(attrs.evolve(plan, zone=self.chance.choice(_ZONES)))
        return self.chance.choice(changes)

    def _of_records(self) -> list[Fault]:
        return [self._of_record() for _time in range(3)]

    def _of_record(self) -> Fault:
        if self.chance.random() < 0.4:
            return NodeLeaseGone(start=0, duration=0, nodes=(self.chance.choice(self.nodes),))
        names = sorted(plan.name for plan in self.plans)
        return RecordGone(
            start=0,
            duration=0,
            services=tuple(self.chance.sample(names, self.chance.randint(1, len(names)))),
            old=self.chance.random() < 0.5,
        )

    def _errands(self) -> list[Fault]:
        """Let a node be away, so that there is something to even out, and move addresses to nodes."""
        gone = Crash(start=0, duration=1.5 * self.lease, nodes=(self.chance.choice(self.nodes),))
        return [gone, self._rebalance(), *(self._pass_on() for _time in range(2))]

    def _rebalance(self) -> Fault:
        return Rebalance(start=0, duration=GIVEN, most=self.chance.choice((None, 1, 2)))

    def _pass_on(self) -> Fault:
        address = self.chance.choice(self.plans).addresses[0]
        return PassOn(start=0, duration=GIVEN, address=address, to=self.chance.choice(self.nodes))

    def _some_nodes(self) -> list[str]:
        return self.chance.sample(self.nodes, min(3, len(self.nodes)))

    def _few_nodes(self) -> tuple[str, ...]:
        return tuple(sorted(self.chance.sample(self.nodes, self.chance.randint(1, len(self.nodes) - 1))))

    # All sorts of them

    def _storm(self) -> tuple[Fault, ...]:
        names = [plan.name for plan in self.plans]
        chosen = list(draw_faults(self.chance, self.nodes, names, self.lease))
        dice = Dice(self.chance, self.nodes, names, max(fault.end for fault in chosen))
        for _fault in range(min(int(self.chance.expovariate(1 / 3)), 8)):
            fault = self._any(dice)
            if not any(collide(fault, other) for other in chosen):
                chosen.append(fault)
        return tuple(sorted(chosen, key=lambda fault: fault.start))

    def _any(self, dice: Dice) -> Fault:
        times = dice.times()
        kinds: list[Callable[[], Fault]] = [
            lambda: self._of_service(times["duration"]),
            self._of_record,
            self._rebalance,
            self._pass_on,
            lambda: Cordoned(**times, nodes=dice.some()),
            lambda: CardRefuses(**times, nodes=dice.one()),
        ]
        if self.manners.checks:
            kinds.append(lambda: CheckFails(**times, nodes=dice.some(), hangs=self.chance.random() < 0.3))
        return attrs.evolve(self.chance.choice(kinds)(), start=times["start"])
