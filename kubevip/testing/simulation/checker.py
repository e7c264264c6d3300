"""Judges a run: whether every promise was kept, at any time in it."""

from collections.abc import Callable, Iterator

import attrs

from kubevip.model import IPAddress, LeaseKey
from kubevip.testing.history import Tenure, gaps, overlaps
from kubevip.testing.simulation.chronicle import Announced, Moved, Reached, Told, Wrote
from kubevip.testing.simulation.faults_node import Restart
from kubevip.testing.simulation.promises import EPSILON, Promises, Situation
from kubevip.testing.simulation.simulation import Run
from kubevip.testing.simulation.terms import Terms, coverage, terms_of
from kubevip.testing.simulation.weather import START, Weather, without

# How much of the chronicle a violation shows, before and after it, in seconds.
BEFORE, AFTER = 1.5, 0.2
# An address is announced every three seconds; whoever talks to it does so five times a second.
REACHED_WITHIN = 3.5
# For so long after a release a caller may still go to who released.
HANDED_OVER = 0.5
# What an agent needs to be told that an address was removed.
NOTICE = 0.01


@attrs.frozen
class Violation:
    """A promise that was broken at *time*; *around* is what happened then."""

    seed: int
    time: float
    kind: str
    text: str
    around: tuple[str, ...] = attrs.field(repr=False)

    def __str__(self) -> str:
        events = "\n".join(f"    {line}" for line in self.around)
        return f"seed {self.seed}: at {self.time:.6f} s: {self.kind}: {self.text}\n{events}"


def check(run: Run) -> list[Violation]:
    """Return all violations in *run*, by their time."""
    return sorted(Checker(run).violations(), key=lambda violation: violation.time)


@attrs.define(eq=False)
class Checker:
    """Judges one run."""

    _run: Run
    _promises: Promises = attrs.field(init=False)
    _terms: Terms = attrs.field(init=False)
    _weather: Weather = attrs.field(init=False)
    _tenures: list[Tenure] = attrs.field(init=False)
    _rates: dict[str, float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        scenario, chronicle = self._run.scenario, self._run.chronicle
        self._promises = Promises(scenario)
        self._terms = terms_of(scenario, chronicle)
        self._weather = Weather(scenario.faults)
        self._tenures = tenures(list(chronicle.all(Moved)), self._run.end)
        self._rates = {name: clock.rate for name, clock in zip(scenario.nodes, scenario.clocks, strict=True)}

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        checks: tuple[Callable[[], Iterator[Violation]], ...] = (
            self._errors,
            self._two_leaders,
            self._two_holders,
            self._without_lease,
            self._without_term,
            self._without_holder,
            self._lost_handovers,
            self._unreached,
        )
        for each in checks:
            yield from each()

    def _violation(self, time: float, kind: str, text: str) -> Violation:
        around = self._run.chronicle.around(time - BEFORE, time + AFTER)
        return Violation(self._run.scenario.seed, time, kind, text, tuple(around))

    def _lease(self, address: IPAddress) -> LeaseKey:
        return self._run.scenario.governing[address]

    def _allowed(self, situation: Situation) -> float:
        return self._promises.allowed(situation)

    # The promises

    def _errors(self) -> Iterator[Violation]:
        for error in self._run.errors:
            yield self._violation(self._run.end, "not well in the end", error)

    def _two_leaders(self) -> Iterator[Violation]:
        places = sorted(self._terms.terms)
        for number, (node, lease) in enumerate(places):
            for other, same in places[number + 1 :]:
                if same == lease:
                    yield from self._both_lead(lease, node, other)

    def _both_lead(self, lease: LeaseKey, node: str, other: str) -> Iterator[Violation]:
        for one in self._terms.terms[node, lease]:
            for two in self._terms.terms[other, lease]:
                start, end = max(one.start, two.start), min(one.end, two.end)
                if end - start > self._allowed(Situation.TERMS) + EPSILON:
                    text = f"{node} and {other} both lead {lease.name} for {1000 * (end - start):.3f} ms"
                    yield self._violation(start, "two leaders", text)

    def _two_holders(self) -> Iterator[Violation]:
        for earlier, later in overlaps(self._tenures):
            overlap = earlier.overlap(later)
            release = self._release(earlier, later)
            allowed = self._unplanned(earlier, later) if release is None else self._planned(earlier, later, release)
            if overlap > allowed + EPSILON:
                text = (
                    f"{earlier.node} and {later.node} both hold {later.address} for {1000 * overlap:.3f} ms;"
                    f" {'planned' if release else 'unplanned'}, so {1000 * allowed:.0f} ms are allowed"
                )
                yield self._violation(later.start, "two holders", text)

    def _unplanned(self, earlier: Tenure, later: Tenure) -> float:
        heard = self._weather.carries((earlier.node, later.node), later.start - 2.0, later.start)
        return self._allowed(Situation.UNPLANNED if heard else Situation.UNHEARD)

    def _planned(self, earlier: Tenure, later: Tenure, release: Wrote) -> float:
        """Return how long a handover may take, until the old holder knows that it has released, and a bit."""
        told = self._told_of(release)
        if told is None:
            return self._allowed(Situation.PLANNED_STRUCK)
        end = max(later.start, told) + self._allowed(Situation.PLANNED)
        smooth = self._weather.is_smooth((earlier.node, later.node), release.asked, end)
        return end - later.start if smooth else self._allowed(Situation.PLANNED_STRUCK)

    def _told_of(self, release: Wrote) -> float | None:
        """Return when the node that released knew that it had; ``None`` where it never did."""
        return next(
            (
                told.time
                for told in self._run.chronicle.all(Told)
                if (told.node, told.life, told.lease) == (release.node, release.life, release.lease)
                and told.version >= release.version
            ),
            None,
        )

    def _release(self, earlier: Tenure, later: Tenure) -> Wrote | None:
        """Return how the earlier holder gave up its Lease for the later one; ``None`` where it did not."""
        writes = [
            write
            for write in self._run.chronicle.all(Wrote)
            if write.lease == self._lease(later.address) and write.time <= later.start
        ]
        last = next((write for write in reversed(writes) if write.node == earlier.node), None)
        return last if last is not None and not last.holder else None

    def _without_lease(self) -> Iterator[Violation]:
        for tenure in self._tenures:
            grants = self._terms.grants.get((tenure.node, self._lease(tenure.address)), [])
            covered = coverage(grants, self._allowed(Situation.LEASELESS) / self._rates[tenure.node])
            if not any(each.start - EPSILON <= tenure.start and tenure.end <= each.end + EPSILON for each in covered):
                ends = max((each.end for each in covered if each.start <= tenure.start), default=tenure.start)
                late = (
                    f"from {tenure.start:.6f} to {tenure.end:.6f} s, and its Lease ends at {ends:.6f} s at the latest"
                )
                yield self._violation(ends, "without a Lease", f"{tenure.node} has {tenure.address} {late}")

    def _without_term(self) -> Iterator[Violation]:
        slack = self._allowed(Situation.TERMLESS) + EPSILON
        for announced in self._run.chronicle.all(Announced):
            lease = self._lease(announced.address)
            if not self._terms.term_at(announced.node, lease, announced.time, slack):
                text = f"{announced.node} announces {announced.address} and has no term"
                yield self._violation(announced.time, "without a term", text)
            elif not self._holds(announced):
                text = f"{announced.node} announces {announced.address} and doesn't have it"
                yield self._violation(announced.time, "without an address", text)

    def _holds(self, announced: Announced) -> bool:
        return any(
            (tenure.node, tenure.address) == (announced.node, announced.address)
            and tenure.start <= announced.time <= tenure.end + NOTICE
            for tenure in self._tenures
        )

    def _without_holder(self) -> Iterator[Violation]:
        """Nobody holds an address though one node was well for long enough to take it."""
        for address in self._run.scenario.governing:
            for start, end in gaps(self._tenures, address, start=0.0, end=self._run.end):
                yield from self._gap(address, start, end)

    def _gap(self, address: IPAddress, start: float, end: float) -> Iterator[Violation]:
        again = self._run.scenario.timing.duration * self._weather.agents_struck(start, end)
        allowed = self._promises.takeover + again
        for node in self._run.scenario.nodes:
            for free, taken in self._weather.free_times(node, start, end):
                if taken - free > allowed:
                    text = (
                        f"nobody has {address} for {taken - free:.3f} s, {allowed:.3f} s are allowed: {node} was well"
                    )
                    yield self._violation(free + allowed, "without a holder", text)

    def _lost_handovers(self) -> Iterator[Violation]:
        """In a planned handover that meets no fault nobody notices anything."""
        for lost in self._run.chronicle.all(Reached):
            if not lost.node:
                released = self._released_lately(lost)
                if released is not None:
                    text = f"{lost.caller} doesn't reach {lost.address} while it is handed over"
                    yield self._violation(lost.time, "lost in a handover", text)

    def _released_lately(self, lost: Reached) -> Wrote | None:
        """Return the release of the Lease that *lost* came after, if there was one and no fault before and after it."""
        lease = self._lease(lost.address)
        for write in self._run.chronicle.all(Wrote):
            near = write.lease == lease and not write.holder and write.asked <= lost.time <= write.time + HANDED_OVER
            if near and self._is_only_stopped(write, lost.time):
                return write
        return None

    def _is_only_stopped(self, write: Wrote, until: float) -> bool:
        """Tell whether nothing else happened than that the agent that released was asked to stop."""
        if write.asked < 1.0 + START:
            # Agents still begin.
            return False
        since = write.asked - START
        (*others, last) = [None, *self._weather.striking(self._run.scenario.nodes, since, until)]
        return others == [None] and isinstance(last, Restart) and write.node in last.nodes and until < last.end

    def _unreached(self) -> Iterator[Violation]:
        """Who talks to an address reaches its only holder soon, where nothing keeps it from telling where it is."""
        for reached, until in self._reaches():
            for tenure in self._alone(reached.address):
                since, end = max(reached.time, tenure.start), min(until, tenure.end)
                if reached.node == tenure.node or end - since <= REACHED_WITHIN:
                    continue
                for start, stop in self._weather.quiet_times(tenure.node, since, end):
                    if stop - start > REACHED_WITHIN:
                        where = f"{tenure.node} at {reached.address}"
                        text = f"{reached.caller} doesn't reach {where} for {stop - start:.3f} s"
                        yield self._violation(start + REACHED_WITHIN, "not reached", text)

    def _reaches(self) -> Iterator[tuple[Reached, float]]:
        """Yield whom each caller reached, and until when."""
        last: dict[tuple[str, IPAddress], Reached] = {}
        for event in self._run.chronicle.all(Reached):
            before = last.get((event.caller, event.address))
            if before is not None:
                yield before, event.time
            last[event.caller, event.address] = event
        for event in last.values():
            yield event, self._run.end

    def _alone(self, address: IPAddress) -> list[Tenure]:
        """Return the tenures of *address*, each without the times at which another node had it, too."""
        found = [tenure for tenure in self._tenures if tenure.address == address]
        return [
            attrs.evolve(tenure, start=start, end=end)
            for tenure in found
            for start, end in without(
                [(tenure.start, tenure.end)],
                [(other.start, other.end) for other in found if other.node != tenure.node],
            )
        ]


def tenures(moves: list[Moved], end: float) -> list[Tenure]:
    """Return who held which address when; what is held in the end is held until *end*."""
    since: dict[tuple[str, IPAddress], float] = {}
    found = []
    for move in moves:
        if move.present:
            since[move.node, move.address] = move.time
        else:
            found.append(Tenure(since.pop((move.node, move.address)), move.time, move.node, move.address))
    found += [Tenure(start, end, node, address) for (node, address), start in since.items()]
    return sorted(found)
