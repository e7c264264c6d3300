"""What is promised, in seconds; and that the documents say the same."""

from pathlib import Path

import attrs
import pytest

from kubevip.testing.simulation.promises import TABLE, Bound, Promises, Situation
from kubevip.testing.simulation.scenario import Choice, draw

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulation.md"
MODES = list(TABLE)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_promises_something_for_each_situation(mode: str) -> None:
    assert set(TABLE[mode]) == set(Situation)


def test_the_document_has_the_same_table() -> None:
    rows = [
        f"| {situation.value} | {' | '.join(TABLE[mode][situation].value for mode in MODES)} |"
        for situation in Situation
    ]
    assert "\n".join(rows) in DOCUMENT.read_text()


def test_each_bound_has_its_seconds() -> None:
    scenario = draw(1, Choice(failover="off", kind="plain"))
    promises = Promises(scenario)
    lease = scenario.timing.duration
    assert promises.allowed(Situation.UNPLANNED) == 0
    assert promises.allowed(Situation.PLANNED) == 0.05
    assert promises.allowed(Situation.LEASELESS) == 0.325
    assert promises.allowed(Situation.PLANNED_STRUCK) == lease + 0.325


def test_heartbeats_promise_less_where_nobody_hears() -> None:
    off, fast = (Promises(draw(1, Choice(failover=mode, kind="plain"))) for mode in ("off", "fast"))
    assert off.allowed(Situation.UNHEARD) < fast.allowed(Situation.UNHEARD)
    assert fast.allowed(Situation.TERMS) == float("inf")


def test_recovery_is_allowed_longer_after_long_faults() -> None:
    scenario = draw(1, Choice(kind="plain"))
    assert Promises(attrs.evolve(scenario, faults=())).recovery < Promises(scenario).recovery


def test_a_bound_is_written_once() -> None:
    assert len({bound.value for bound in Bound}) == len(Bound)
