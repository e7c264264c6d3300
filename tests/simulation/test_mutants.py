"""The simulation can fail: it finds bugs of one line each. ``make mutants`` looks for all of them, this for a few."""

import importlib.util
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, found_in, run_with

CHEAP = {
    "a-renewal-does-not-restart-the-wait": "two leaders",
    "the-successor-is-not-believed": "two holders",
    "break-before-make": "lost in a handover",
    "it-is-given-up-without-a-word": "two holders",
    "a-lifetime-is-the-whole-lease": "time stands still",
    "orders-are-not-heeded": "not balanced",
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_each_is_one_place_in_its_module(mutant: Mutant) -> None:
    spec = importlib.util.find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    assert mutant.change(Path(spec.origin).read_text()).count(mutant.wrong) >= 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHEAP)
def test_a_bug_is_found(name: str) -> None:
    told = found_in(run_with(MUTANTS[name], timeout=290))
    assert CHEAP[name] in told, told


def test_a_line_that_is_not_there_is_told() -> None:
    mutant = Mutant("gone", "kubevip.election", "no such line", "another one")
    with pytest.raises(ValueError, match=r"'no such line' is 0 times in kubevip\.election, and has to be once"):
        mutant.change("some text")
