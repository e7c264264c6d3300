"""Judges a run: whether every promise was kept, at any time in it."""

from collections.abc import Iterator

from kubevip.testing.simulation.checks_absence import Absences
from kubevip.testing.simulation.checks_callers import Callers
from kubevip.testing.simulation.checks_fitness import Fitness
from kubevip.testing.simulation.checks_lease import Coverage
from kubevip.testing.simulation.checks_overlap import Overlaps
from kubevip.testing.simulation.checks_routes import Routes, Served
from kubevip.testing.simulation.checks_strangers import Strangers
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
    return sorted(found, key=lambda violation: violation.time)


def _errors(evidence: Evidence) -> Iterator[Violation]:
    for error in evidence.run.errors:
        yield evidence.violation(evidence.run.end, "not well in the end", error)
