"""A world of nodes that spread Services: one store that compares and swaps, and all that can fail on the way to it.

Time is discrete: an event at a time, from a heap. Nothing but the seed decides what happens. After each event it is
looked at who has which address: a node that is told so by ``Spreading``, in a term of its own Lease.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from functools import partial

import attrs

from kubevip.custody import Custody, Facts, Holder
from kubevip.election import Candidate, Cause, Read, Wait, Write
from kubevip.lease import Claim, Record, Timing
from kubevip.model import IPAddress, LeaseKey, ServiceKey
from kubevip.spread.charges import Bury, Charge, Look, Step
from kubevip.spread.charges import Write as Swap
from kubevip.spread.roster import Roster
from kubevip.spread.spreading import Spreading

TIMING = Timing(duration=5, renew_deadline=3, retry_period=1)
TIMEOUT = 1.5


class Violation(AssertionError):
    """Something that must never happen has happened."""


@attrs.define(eq=False)
class Agent:
    """One node: its side of its election, what it decides, and its driver."""

    name: str
    candidate: Candidate
    spreading: Spreading
    offset: float
    weight: float = 1.0
    unfit: str = ""
    paused: bool = False
    busy: bool = False
    flying: set[str] = attrs.field(factory=set)
    backlog: list[Callable[[], None]] = attrs.field(factory=list)
    shown_until: float = 0.0
    led: bool = False
    cleared: set[IPAddress] = attrs.field(factory=set)


@attrs.define(eq=False)
class World:
    """*faults*: requests and answers get lost or late, and the watch lags. *strict*: two holders end it."""

    seed: int
    count: int = 3
    faults: bool = True
    strict: bool = True

    now: float = 0.0
    version: int = 1000
    agents: dict[str, Agent] = attrs.field(factory=dict)
    leases: dict[str, Record] = attrs.field(factory=dict)
    services: dict[ServiceKey, Charge] = attrs.field(factory=dict)
    chance: random.Random = attrs.field(init=False)
    _heap: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for number in range(self.count):
            name = f"n{number}"
            candidate = Candidate(LeaseKey("kube-system", name), name, TIMING, self.chance.random)
            spreading = Spreading(name, Roster(TIMING.duration), patience=2.0)
            self.agents[name] = agent = Agent(name, candidate, spreading, self.chance.uniform(0, 1000))
            self.after(self.chance.uniform(0, 1), lambda agent=agent: self._start(agent))

    # Time

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._numbers), what))

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _number, what = heapq.heappop(self._heap)
            what()
            self.check()
        self.now = until

    def clock(self, agent: Agent) -> float:
        return self.now + agent.offset

    def owners(self, address: IPAddress) -> list[str]:
        """Return who has an address, after having asked on the wire for one that nobody is known to have had."""
        having = [
            agent
            for agent in self.agents.values()
            if address in agent.spreading.own and agent.spreading.term and agent.candidate.leading(self.clock(agent))
        ]
        if len(having) == 1:
            having[0].cleared.add(address)
        return [agent.name for agent in having if address in agent.cleared]

    def check(self) -> None:
        for address in {each for charge in self.services.values() if self.strict for each in charge.addresses}:
            if len(self.owners(address)) > 1:
                raise Violation(f"seed {self.seed}: at {self.now:.3f} s {address} has {self.owners(address)}")

    # The API server

    def apply(self, charge: Charge) -> None:
        """A Service is created or changed."""
        self.version += 1
        self.services[charge.key] = charge = attrs.evolve(charge, version=str(self.version))
        for agent in self.agents.values():
            self._show(agent, lambda agent=agent: agent.spreading.applied(charge, self.clock(agent)))

    def remove(self, key: ServiceKey) -> None:
        """A Service is deleted."""
        del self.services[key]
        for agent in self.agents.values():
            self._show(agent, lambda agent=agent: agent.spreading.deleted(key))

    def edit(self, key: ServiceKey, record: Custody | None) -> None:
        """Somebody writes into its record."""
        self.apply(attrs.evolve(self.services[key], record=record))

    def drop(self, node: str) -> None:
        """Somebody deletes a Lease."""
        if self.leases.pop(node, None) is not None:
            self.version += 1
            self._tell_of(node, None)

    def _tell_of(self, node: str, record: Record | None) -> None:
        version = str(self.version)
        for agent in self.agents.values():
            self._show(agent, lambda agent=agent: self._saw(agent, node, record, version))

    def _write_lease(self, node: str, claim: Claim, base: Record | None) -> Record | None:
        present = self.leases.get(node)
        if (present.version if present else "") != (base.version if base else ""):
            return None
        self.version += 1
        acquired = present.acquired if present is not None and not claim.fresh else str(self.version)
        record = Record(
            claim.holder,
            claim.duration,
            claim.transitions,
            acquired,
            str(self.version),
            str(self.version),
            word=claim.word or (present.word if present is not None else ""),
        )
        self.leases[node] = record
        self._tell_of(node, record)
        return record

    # The ways

    def _late(self) -> float:
        if not self.faults:
            return 0.005
        return self.chance.choice((0.002, 0.01, 0.05, self.chance.uniform(0, 0.8), self.chance.uniform(0, 4)))

    def _show(self, agent: Agent, what: Callable[[], None]) -> None:
        lag = self._late() if self.faults else 0.005
        agent.shown_until = max(agent.shown_until, self.now + lag)
        self.after(agent.shown_until - self.now, lambda: self._do(agent, what))

    def _do(self, agent: Agent, what: Callable[[], None]) -> None:
        if agent.paused:
            agent.backlog.append(what)
        else:
            what()
            self._think(agent)

    def ask(
        self, agent: Agent, serve: Callable[[], object], answered: Callable[[object], None], failed: Callable[[], None]
    ) -> None:
        """Send a request; it may be served though nobody learns of it, also after its sender has given up."""
        lost = self.faults and self.chance.random() < 0.1
        open_ = [True]

        def give(answer: object) -> None:
            if open_.pop() if open_ else False:
                answered(answer)

        def give_up() -> None:
            if open_.pop() if open_ else False:
                failed()

        def arrive() -> None:
            answer = serve()
            if not (self.faults and self.chance.random() < 0.1):
                self.after(self._late(), lambda: self._do(agent, lambda: give(answer)))

        if not lost:
            self.after(self._late(), arrive)
        self.after(TIMEOUT, lambda: self._do(agent, give_up))

    # An agent's driver

    def _start(self, agent: Agent) -> None:
        for charge in self.services.values():
            agent.spreading.applied(charge, self.clock(agent))
        agent.spreading.listed([], "0", self.clock(agent))
        self._tick(agent)

    def _tick(self, agent: Agent) -> None:
        self._do(agent, lambda: None)
        self.after(0.25, lambda: self._tick(agent))

    def pause(self, agent: Agent, seconds: float) -> None:
        agent.paused = True
        self.after(seconds, lambda: self.resume(agent))

    def resume(self, agent: Agent) -> None:
        agent.paused = False
        backlog, agent.backlog = agent.backlog, []
        for what in backlog:
            self._do(agent, what)

    def _saw(self, agent: Agent, node: str, record: Record | None, version: str) -> None:
        if agent.spreading.roster.saw(node, record, version, self.clock(agent)):
            agent.spreading.changed(node)
        if node == agent.name:
            agent.candidate.saw(record, version, self.clock(agent))

    def _think(self, agent: Agent) -> None:
        self._stand(agent)
        if not agent.busy:
            self._campaign(agent)
        self._update(agent)
        steps, _again = agent.spreading.steps(self.clock(agent))
        for step in steps:
            name = str(step.key if isinstance(step, Swap) else step.node)
            if name not in agent.flying:
                agent.flying.add(name)
                self._carry_out(agent, step, name)

    def _stand(self, agent: Agent) -> None:
        leads = agent.candidate.leading(self.clock(agent))
        if leads and not agent.led:
            for node in agent.spreading.roster.wake(self.clock(agent)):
                agent.spreading.changed(node)
        agent.led = leads
        record = agent.candidate.record
        facts = Facts.parse(record.word) if leads and record is not None else None
        agent.spreading.lead(facts.term if facts is not None else "")
        self._update(agent)

    def _update(self, agent: Agent) -> None:
        for change in agent.spreading.update(self.clock(agent)):
            if change.cause in (Cause.VACANT, Cause.EXPIRED):
                agent.cleared.add(change.address)
            else:
                agent.cleared.discard(change.address)

    def _campaign(self, agent: Agent) -> None:
        asked = self.clock(agent)
        match agent.candidate.next(asked):
            case Wait():
                return
            case Read():
                agent.busy = True
                self.ask(
                    agent,
                    lambda: self.leases.get(agent.name),
                    lambda record: self._done(agent, lambda: agent.candidate.read(record, self.clock(agent))),
                    lambda: self._done(agent, lambda: agent.candidate.no_answer(asked, self.clock(agent))),
                )
            case Write(claim, base):
                agent.busy = True
                claim = attrs.evolve(claim, word=self._word(agent, claim, base))
                self.ask(
                    agent,
                    lambda: self._write_lease(agent.name, claim, base),
                    lambda record: self._done(agent, lambda: self._wrote(agent, record, asked)),
                    lambda: self._done(agent, lambda: agent.candidate.no_answer(asked, self.clock(agent))),
                )

    def _wrote(self, agent: Agent, record: object, asked: float) -> None:
        if isinstance(record, Record):
            agent.candidate.wrote(record, asked, self.clock(agent))
        else:
            agent.candidate.lost_race(self.clock(agent))

    def _done(self, agent: Agent, what: Callable[[], None]) -> None:
        agent.busy = False
        what()

    def _word(self, agent: Agent, claim: Claim, base: Record | None) -> str:
        said = Facts.parse(base.word) if base is not None else None
        if not claim.holder:
            return str(Facts(term=said.term, left=True)) if said is not None else ""
        term = said.term if said is not None and base is not None and base.holder == agent.name else ""
        fresh = f"{self.chance.getrandbits(48):012x}"
        return str(Facts(term=term or fresh, weight=agent.weight, unfit=agent.unfit))

    def _carry_out(self, agent: Agent, step: Step, name: str) -> None:
        def over(*_answer: object) -> None:
            agent.flying.discard(name)

        match step:
            case Swap() if self.chance.random() < 0.5:
                self._swap_at_once(agent, step, over)
            case Swap():
                self._take_up(agent, step, over)
            case Bury(node, base):
                facts = Facts.parse(base.word)
                claim = Claim("", 1, base.transitions, fresh=True, word=str(Facts(term=facts.term)) if facts else "")
                self.ask(agent, lambda: self._write_lease(node, claim, base), over, over)
            case Look(node):
                asked = self.clock(agent)

                def read(record: object) -> None:
                    agent.spreading.roster.read(node, record, asked, self.clock(agent))
                    agent.spreading.changed(node)
                    over()

                self.ask(agent, lambda: self.leases.get(node), read, over)

    def _take_up(self, agent: Agent, step: Swap, over: Callable[[], None]) -> None:
        def found(charge: object) -> None:
            self._swap(agent, step, charge, over)

        self.ask(agent, lambda: self.services.get(step.key), found, over)

    def _swap_at_once(self, agent: Agent, step: Swap, over: Callable[[], None]) -> None:
        """As it was seen; where that is old, it is read after all."""
        version = agent.spreading.version_for(step)
        if not version:
            over()
            return
        if step.giving:
            agent.spreading.handing_over(step)
            self._update(agent)

        def answered(charge: object) -> None:
            if isinstance(charge, Charge):
                agent.spreading.recorded(step.key, charge.uid, charge.record, charge.version, self.clock(agent))
                over()
            else:
                self._take_up(agent, step, over)

        self.ask(agent, partial(self._write_record, step, version), answered, over)

    def _write_record(self, step: Swap, version: str) -> Charge | None:
        """Write what *step* wants, as the API server does: unless there is a newer version."""
        present = self.services.get(step.key)
        if present is None or present.version != version:
            return None
        self.apply(attrs.evolve(present, record=Custody(step.uid, step.held)))
        return self.services[step.key]

    def _swap(self, agent: Agent, step: Swap, found: object, over: Callable[[], None]) -> None:
        if not isinstance(found, Charge):
            over()
            return
        agent.spreading.recorded(step.key, found.uid, found.record, found.version, self.clock(agent))
        if found.version != agent.spreading.version_for(step):
            over()
            return
        if step.giving:
            agent.spreading.handing_over(step)
            self._update(agent)

        def answered(charge: object) -> None:
            if isinstance(charge, Charge):
                agent.spreading.recorded(step.key, charge.uid, charge.record, charge.version, self.clock(agent))
            over()

        self.ask(agent, partial(self._write_record, step, found.version), answered, over)


def holder(node: str, term: str = "none") -> Holder:
    return Holder(node, term)
