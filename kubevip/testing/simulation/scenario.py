"""What a simulation is about: nodes, addresses, times, and what goes wrong when. All of it follows from a seed."""

import ipaddress
import random

import attrs

from kubevip.config import Arp, ControlPlane, Election, Node, Services, Serving, Settings
from kubevip.config.fitness import Fitness
from kubevip.config.modes import RoutingTable
from kubevip.config.segment import Segment
from kubevip.governance import own_lease
from kubevip.lease import Timing
from kubevip.model import IPAddress, LeaseKey, ServiceKey
from kubevip.testing.process import Clock
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.manners import (
    CHECK_EVERY,
    CHECK_WITHIN,
    FALL,
    PLAIN,
    RISE,
    SPREAD,
    SPREAD_IN_MIXED,
    SPREAD_PART,
    Manners,
    draw_manners,
)
from kubevip.testing.simulation.occasions import Occasions, draw_occasions, move_endpoints
from kubevip.testing.simulation.sharing import Happenings, draw_plans, draw_sharing
from kubevip.testing.simulation.troubles import draw_faults
from kubevip.testing.simulation.widening import Widening
from kubevip.testing.simulation.world import ServicePlan

NAMESPACE = "kube-system"
CONTROL_PLANE, SERVICES = LeaseKey(NAMESPACE, "plndr-cp-lock"), LeaseKey(NAMESPACE, "plndr-svcs-lock")
# What part of the seeds has heartbeats.
_FAST = 0.1
# In seconds; the shortest takes as long to simulate as ten others.
_HEARTBEATS = (0.01, *[0.1] * 5, *[0.2] * 4)
# Without a fault all is well after so many seconds.
_BEGINNING = 2.0
# What a bad quartz is wrong by, and more than the kernel lets NTP slew (500 ppm).
DRIFT = 0.001

TIMINGS = (
    Timing(duration=3, renew_deadline=2, retry_period=0.5),
    Timing(duration=4, renew_deadline=3, retry_period=1),
    Timing(duration=5, renew_deadline=3, retry_period=1),
    Timing(duration=6, renew_deadline=4, retry_period=1.5),
    Timing(duration=8, renew_deadline=5, retry_period=2),
)


@attrs.frozen(kw_only=True)
class Scenario:
    """A world and its troubles. Times are seconds.

    *latency* is the longest of each way to the API server. *clocks* has one for each node. *callers* tells of each
    whether it takes answers for confirmations.
    """

    seed: int
    timing: Timing
    linger: float
    latency: float = 0.005
    failover: str = "off"
    on_api_loss: str = "fence"
    heartbeat: float = 0.1
    manners: Manners = PLAIN
    clocks: tuple[Clock, ...]
    control_plane: tuple[IPAddress, ...]
    services: tuple[ServicePlan, ...]
    callers: tuple[bool, ...]
    faults: tuple[Fault, ...]

    @property
    def calm(self) -> float:
        """When all faults are over."""
        return max((fault.end for fault in self.faults), default=_BEGINNING)

    @property
    def mode(self) -> str:
        """The row of ``promises.TABLE`` that counts."""
        if self.manners.routed:
            return "routed"
        return self.failover if self.on_api_loss == "fence" else f"{self.failover}, {self.on_api_loss}"

    @property
    def modes(self) -> tuple[str, ...]:
        """All rows that count: in spread mode there is one for Services besides."""
        return (self.mode, self.mode_of_shared) if self.manners.spread else (self.mode,)

    @property
    def mode_of_shared(self) -> str:
        """The row that counts for what nodes share."""
        return "spread" if self.failover == "off" else "spread, fast"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return names(len(self.clocks))

    @property
    def governing(self) -> dict[IPAddress, LeaseKey]:
        """Each address that has a Lease of its own or is of one for many, with that."""
        if self.manners.spread:
            return dict.fromkeys(self.control_plane, CONTROL_PLANE)
        own = self.manners.own_leases
        of_services = {
            address: own_lease(ServiceKey("default", service.name)) if own else SERVICES
            for service in self.services
            for address in service.addresses
        }
        return of_services | dict.fromkeys(self.control_plane, CONTROL_PLANE)

    @property
    def shared(self) -> tuple[IPAddress, ...]:
        """The addresses that nodes share among them: each has what a record says."""
        found = (address for service in self.services for address in service.addresses)
        return tuple(dict.fromkeys(found)) if self.manners.spread else ()

    @property
    def wanted(self) -> tuple[IPAddress, ...]:
        """All addresses."""
        return (*self.governing, *self.shared)

    @property
    def claimant(self) -> str:
        """The node that asks for everything back, sooner or later; empty where none does."""
        manners = self.manners
        return manners.preferred[0] if manners.preferred and manners.failback is not None else ""

    @property
    def first_choice(self) -> str:
        """The node that has everything as long as all is well; empty where that is any."""
        manners = self.manners
        # Where an address could not be held, its node takes none for a minute; one that is not answered holds back.
        able = manners.verify != "resign" and not any(fault.delays for fault in self.faults)
        return self.claimant if able else ""

    def settings(self, node: str, witnesses: tuple[IPAddress, ...] = ()) -> Settings:
        """Return what the agent of *node* is told; *witnesses* are those that there are."""
        manners = self.manners
        return Settings(
            node=Node(name=node, interface="eth0", services_interface="auto" if manners.wide else None),
            arp=Arp(enable=not manners.routed),
            routing_table=RoutingTable(enable=manners.routed),
            control_plane=ControlPlane(enable=bool(self.control_plane), address=self.control_plane),
            services=self._services(self.nodes.index(node)),
            serving=Serving(prometheus=None),
            election=Election(
                duration=self.timing.duration,
                renew_deadline=self.timing.renew_deadline,
                retry_period=self.timing.retry_period,
                failover=self.failover,
                heartbeat=self.heartbeat,
                on_api_loss=self.on_api_loss,
                linger=self.linger,
            ),
            fitness=Fitness(
                command=("check",) if manners.checks else (),
                interval=CHECK_EVERY,
                timeout=CHECK_WITHIN,
                fall=FALL,
                rise=RISE,
                last_resort=manners.last_resort,
                preferred=manners.preferred,
                failback=manners.failback is not None,
                failback_delay=manners.failback or 0.0,
            ),
            segment=Segment(
                verify=manners.verify,
                verify_timeout=manners.verify_timeout,
                witnesses=witnesses if manners.named else (),
                conflict=manners.conflict,
            ),
        )

    def _services(self, number: int) -> Services:
        manners = self.manners
        return Services(
            enable=bool(self.services),
            election=manners.own_leases,
            placement="spread" if manners.spread else "together",
            weight=manners.weights[number] if manners.weights else 1.0,
            zone=manners.zones[number] if manners.zones else "",
        )

    def __str__(self) -> str:
        wanted = ", ".join(map(str, self.wanted))
        timing = f"{self.timing.duration:g}/{self.timing.renew_deadline:g}/{self.timing.retry_period:g} s"
        failover = f"fast, {1000 * self.heartbeat:g} ms" if self.failover == "fast" else self.failover
        how = f"failover {failover}, on API loss {self.on_api_loss}"
        lines = [f"seed {self.seed}: {len(self.clocks)} nodes, {timing}, {how}, {wanted}"]
        lines += [f"  {self.manners}"] if str(self.manners) else []
        lines += [f"  fault {number}: {fault}" for number, fault in enumerate(self.faults)]
        return "\n".join(lines)


def names(count: int) -> tuple[str, ...]:
    """Return the names of so many nodes."""
    return tuple(f"n{number}" for number in range(1, count + 1))


@attrs.frozen(kw_only=True)
class Choice:
    """What is chosen instead of what a seed would choose; ``None`` leaves it to the seed. *heartbeat* is in seconds."""

    failover: str | None = None
    on_api_loss: str | None = None
    heartbeat: float | None = None
    nodes: int | None = None
    kind: str | None = None

    def __str__(self) -> str:
        """Return the options of the command line."""
        options = [f"--failover {self.failover}"] if self.failover else []
        options += [f"--on-api-loss {self.on_api_loss}"] if self.on_api_loss else []
        options += [f"--heartbeat {1000 * self.heartbeat:g}"] if self.heartbeat else []
        options += [f"--nodes {self.nodes}"] if self.nodes else []
        options += [f"--kind {self.kind}"] if self.kind else []
        return " ".join(options)


SEEDS_CHOICE = Choice()


def draw(seed: int, choice: Choice = SEEDS_CHOICE) -> Scenario:
    """Return the scenario of *seed*, but for what *choice* says."""
    plain = _draw_plain(seed, choice)
    spreading = random.Random(f"spread {seed}")
    if choice.kind == SPREAD or (choice.kind is None and spreading.random() < SPREAD_PART):
        return _draw_spread(spreading, plain, choice)
    chance = random.Random(f"manners {seed}")
    manners = draw_manners(chance, plain.nodes, choice.kind)
    if manners.about_fitness and manners.about_conflicts and spreading.random() < SPREAD_IN_MIXED:
        return _spread(spreading, chance, plain, manners)
    if manners == PLAIN:
        return plain
    if manners.own_leases:
        services = _MANY[: chance.choice((2, 3, 4))]
        of_services = [service.name for service in services]
        faults = draw_faults(chance, plain.nodes, of_services, plain.timing.duration)
        if chance.random() < _MOVING:
            faults = move_endpoints(chance, plain.nodes, next(service.name for service in services if service.local))
        return attrs.evolve(plain, manners=manners, services=services, faults=faults)
    occasions = Occasions(chance, plain.nodes, plain.timing.duration, plain.governing, plain.services, manners)
    faults = draw_occasions(occasions, plain.faults)
    if manners.routed:
        return attrs.evolve(plain, failover="off", on_api_loss="fence", callers=(), manners=manners, faults=faults)
    if manners.about_links and choice.failover is None and chance.random() < 0.5:
        # There a link that is back has to be quicker than those who miss heartbeats.
        plain = attrs.evolve(plain, failover="fast")
    return attrs.evolve(plain, manners=manners, faults=faults)


def _draw_spread(chance: random.Random, plain: Scenario, choice: Choice) -> Scenario:
    """Return a scenario about Services that all nodes share; some have a control plane beside them."""
    count = choice.nodes or chance.choice((3, 3, 3, 4, 4, 5, 6))
    manners = draw_sharing(chance, names(count), Manners(kind=SPREAD))
    plans = draw_plans(chance, manners.simple)
    clocks, control_plane = tuple(_draw_clock(chance) for _node in range(count)), chance.choice((0, 0, 1))
    faults = Happenings(chance, names(count), plans, plain.timing.duration, manners).draw()
    widening = Widening(random.Random(f"links {plain.seed}"), names(count), plain.timing.duration)
    manners, plans, faults = widening.draw(manners, plans, faults)
    return attrs.evolve(
        plain,
        manners=manners,
        clocks=clocks,
        control_plane=_CONTROL_PLANE[:control_plane],
        services=plans,
        callers=plain.callers[:1],
        faults=faults,
    )


def _spread(spreading: random.Random, chance: random.Random, plain: Scenario, manners: Manners) -> Scenario:
    """Return a scenario about all at once, in which Services are shared."""
    manners = attrs.evolve(manners, spread=True, simple=True)
    plain = attrs.evolve(
        plain,
        manners=manners,
        control_plane=plain.control_plane or _CONTROL_PLANE[:1],
        services=draw_plans(spreading, True)[:3],
        faults=draw_faults(spreading, plain.nodes, (), plain.timing.duration),
    )
    occasions = Occasions(chance, plain.nodes, plain.timing.duration, plain.governing, (), manners)
    return attrs.evolve(plain, faults=draw_occasions(occasions, plain.faults))


def _draw_plain(seed: int, choice: Choice) -> Scenario:
    chance = random.Random(f"scenario {seed}")
    count = chance.choice((2, 3, 3, 3, 4, 5))
    count = choice.nodes or count
    services = _draw_services(chance)
    timing = chance.choice(TIMINGS)
    failover = _draw_failover(chance, choice)
    return Scenario(
        seed=seed,
        timing=timing,
        linger=chance.choice((1.0, 3.0)),
        latency=chance.choice((0.002, 0.005, 0.05, timing.retry_period / 3)),
        failover=failover,
        on_api_loss=choice.on_api_loss or _draw_on_api_loss(chance, failover),
        heartbeat=_draw_heartbeat(chance, choice),
        clocks=tuple(_draw_clock(chance) for _node in range(count)),
        control_plane=_draw_control_plane(chance) if services else _CONTROL_PLANE[:1],
        services=services,
        callers=tuple(chance.random() < 0.5 for _caller in range(chance.choice((1, 1, 2)))),
        faults=draw_faults(chance, names(count), [service.name for service in services], timing.duration),
    )


def _draw_failover(chance: random.Random, choice: Choice) -> str:
    drawn = "fast" if chance.random() < _FAST or choice.on_api_loss == "quorum" else "off"
    return choice.failover or drawn


def _draw_on_api_loss(chance: random.Random, failover: str) -> str:
    return chance.choice(("fence", "fence", "hold") if failover == "off" else ("fence", "fence", "hold", "quorum"))


def _draw_heartbeat(chance: random.Random, choice: Choice) -> float:
    drawn = chance.choice(_HEARTBEATS)
    return choice.heartbeat or drawn


def _draw_services(chance: random.Random) -> tuple[ServicePlan, ...]:
    count = chance.choice((0, 1, 1, 2))
    plans = (
        ServicePlan(name="web", addresses=_addresses("10.0.0.101", "fd00::101")[: chance.choice((1, 2))]),
        ServicePlan(name="dns", addresses=_addresses("10.0.0.102"), local=chance.random() < 0.3),
    )
    return plans[:count]


def _draw_control_plane(chance: random.Random) -> tuple[IPAddress, ...]:
    return _CONTROL_PLANE[: chance.choice((0, 1, 1, 2))]


def _draw_clock(chance: random.Random) -> Clock:
    return Clock(offset=chance.choice((0.0, 10.0, 1e5)) * chance.random(), rate=1 + chance.uniform(-DRIFT, DRIFT))


def _addresses(*texts: str) -> tuple[IPAddress, ...]:
    return tuple(map(ipaddress.ip_address, texts))


# What part of the seeds with such Services has its endpoints moving, and nothing else.
_MOVING = 0.3
# Services with Leases of their own; one of them has no address where it has no endpoint.
_MANY = (
    ServicePlan(name="web", addresses=_addresses("10.0.0.101", "fd00::101")),
    ServicePlan(name="app", addresses=_addresses("10.0.0.103"), local=True),
    ServicePlan(name="dns", addresses=_addresses("10.0.0.102")),
    ServicePlan(name="mail", addresses=_addresses("10.0.0.104")),
)
_CONTROL_PLANE = _addresses("10.0.0.100", "fd00::100")
