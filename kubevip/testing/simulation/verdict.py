"""From a seed to a verdict; and from a scenario that fails to the smallest part of it that still does."""

import logging
from collections import Counter
from collections.abc import Iterator

import attrs

from kubevip.testing.process import running_process, universal_time
from kubevip.testing.simulation.checker import check, judge_evidence
from kubevip.testing.simulation.chronicle import Chronicle, Logged, line
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.promises import Promises, Situation
from kubevip.testing.simulation.scenario import SEEDS_CHOICE, Choice, Scenario, draw
from kubevip.testing.simulation.simulation import Run, Simulation


@attrs.frozen
class Verdict:
    """What came of one seed. *virtual* is how many seconds were simulated, *judged* how often what was tried."""

    seed: int
    violations: tuple[Violation, ...]
    digest: str
    virtual: float
    judged: Counter[Situation] = attrs.field(factory=Counter)


def judge(scenario: Scenario) -> tuple[Run, list[Violation]]:
    """Run *scenario*, and return what came of it and which promises were broken."""
    run = _run(scenario)
    return run, check(run)


def _run(scenario: Scenario) -> Run:
    return Simulation(scenario, Promises(scenario).recovery).run_to_end()


def judge_seed(seed: int, choice: Choice = SEEDS_CHOICE) -> Verdict:
    """Run the scenario of *seed*, but for what *choice* says."""
    evidence = Evidence.of(_run(draw(seed, choice)))
    violations = tuple(judge_evidence(evidence))
    return Verdict(seed, violations, evidence.run.chronicle.digest(), evidence.run.end, evidence.judged)


def shrink(scenario: Scenario) -> Scenario:
    """Return *scenario* with as few of its faults as it takes to break the same kind of promise."""
    _run, violations = judge(scenario)
    kinds = {violation.kind for violation in violations}
    changed = bool(kinds)
    while changed:
        changed = False
        for smaller in _without_one(scenario):
            if kinds & {violation.kind for violation in judge(smaller)[1]}:
                scenario, changed = smaller, True
                break
    return scenario


def _without_one(scenario: Scenario) -> Iterator[Scenario]:
    for fault in scenario.faults:
        yield attrs.evolve(scenario, faults=tuple(each for each in scenario.faults if each is not fault))


def tell(scenario: Scenario) -> Iterator[str]:
    """Yield the whole story of *scenario* as lines, with what the agents log; then what was broken."""
    simulation = Simulation(scenario, Promises(scenario).recovery)
    told = _Teller(simulation.chronicle)
    logger = logging.getLogger("kubevip")
    disabled, level = logger.manager.disable, logger.level
    logging.disable(logging.NOTSET)
    logger.addHandler(told)
    logger.setLevel(logging.INFO)
    try:
        run = simulation.run_to_end()
    finally:
        logger.removeHandler(told)
        logger.setLevel(level)
        logging.disable(disabled)
    yield str(scenario)
    yield from (line(event) for event in run.chronicle.events)
    for violation in check(run):
        yield f"at {violation.time:.6f} s: {violation.kind}: {violation.text}"


class _Teller(logging.Handler):
    """Writes what an agent logs into the chronicle."""

    _PLAIN = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__()
        self._chronicle = chronicle

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line down."""
        extra = ", ".join(f"{name}={value}" for name, value in vars(record).items() if name not in self._PLAIN)
        text = f"{record.getMessage()}{f' ({extra})' if extra else ''}"
        process = running_process()
        if process is not None and not process.dead:
            self._chronicle.add(Logged(universal_time(), process.name, text))
