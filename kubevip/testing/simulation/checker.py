"""Judges a run: whether every promise was kept, at any time in it."""

from collections.abc import Iterator

from kubevip.testing.simulation.checks_absence import Absences
from kubevip.testing.simulation.checks_callers import Callers
from kubevip.testing.simulation.checks_fitness import Fitness
from kubevip.testing.simulation.checks_lease import Coverage
from kubevip.testing.simulation.checks_overlap import Overlaps
from kubevip.testing.simulation.checks_routes import Routes, Served
from kubevip.testing.simulation.checks_shares import SharedCallers, Shares
from kubevip.testing.simulation.checks_spread import SharedCoverage, SharedOverlaps
from kubevip.testing.simulation.checks_strangers import Strangers
from kubevip.testing.simulation.custodies import Custodies
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.simulation import Run

_CHECKS = (Overlaps, Coverage, Absences, Callers, Fitness, Strangers, Served)
_CHECKS_OF_ROUTES = (Absences, Routes, Served)


def check(run: Run) -> list[Violation]:
    """Return all violations in *run*, by their time."""
    return judge_evidence(Evidence.of(run))


def judge_evidence(evidence: Evidence) -> list[Violation]:
    """Return all violations, by their time; *evidence* knows then how often each situation was met."""
    found = [*_errors(evidence)]
    for each in _CHECKS_OF_ROUTES if evidence.run.scenario.manners.routed else _CHECKS:
        found += each(evidence).violations()
    if evidence.run.scenario.manners.spread:
        found += _judge_shared(evidence.of_shared)
    return sorted(found, key=lambda violation: violation.time)


def _judge_shared(evidence: Evidence) -> Iterator[Violation]:
    custodies = Custodies.of(evidence.run.chronicle)
    for each in (SharedOverlaps, SharedCoverage, Shares, SharedCallers):
        yield from each(evidence, custodies).violations()
    yield from Callers(evidence).unreached()
    yield from Served(evidence).violations()


def _errors(evidence: Evidence) -> Iterator[Violation]:
    for error in evidence.run.errors:
        yield evidence.violation(evidence.run.end, "not well in the end", error)
