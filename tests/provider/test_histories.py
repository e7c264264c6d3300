"""Arbitrary histories: whatever users edit, and whatever crashes, lags or gets lost, no address is given out twice.

A failure prints its history; ``Fleet(many).play(history)`` makes it happen again. ``KUBEVIP_EXAMPLES`` is how many
histories each test tries.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.provider.configs import CONFIGS
from tests.provider.fleet import FATES, NODE_ADDRESSES, Fleet
from tests.provider.users import KEYS, MARKS, PORTS, STACKS, TEXTS

EXAMPLES = int(os.environ.get("KUBEVIP_EXAMPLES", "150"))
# Of seconds, for each history that is tried.
PATIENCE = 60 + EXAMPLES
Step = tuple[str | int, ...]

# What users and administrators do: a method of Fleet, and of how many each of its arguments is one.
EDITS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("create", (len(KEYS), 2, 2)),
    ("create", (len(KEYS), len(STACKS), len(PORTS))),
    ("create", (len(KEYS), len(STACKS), len(PORTS), len(TEXTS), len(TEXTS), 3)),
    ("annotate", (len(KEYS), len(TEXTS))),
    ("specify", (len(KEYS), len(TEXTS))),
    ("both", (len(KEYS), len(TEXTS))),
    ("restack", (len(KEYS), len(STACKS))),
    ("retype", (len(KEYS), 2)),
    ("reclass", (len(KEYS),)),
    ("strip", (len(KEYS), len(MARKS))),
    ("clean", (len(KEYS),)),
    ("report", (len(KEYS), len(PORTS))),
    ("localise", (len(KEYS),)),
    ("touch", (len(KEYS), 3)),
    ("wait_for", (len(KEYS),)),
    ("publish", (len(KEYS),)),
    ("delete", (len(KEYS),)),
    ("configure", (len(CONFIGS),)),
    ("renode", (len(NODE_ADDRESSES),)),
    ("wait", (9,)),
)
# What becomes of providers, the first argument; each as often as its weight.
TURNS: tuple[tuple[str, tuple[int, ...], int], ...] = (
    ("see", (4,), 3),
    ("heed", (), 3),
    ("decide", (), 3),
    ("land", (3, len(FATES)), 3),
    ("answer", (3,), 3),
    ("attempt", (len(FATES),), 4),
    ("drift", (2,), 2),
    ("learn", (len(KEYS),), 2),
    ("relist", (), 1),
    ("step", (), 3),
    ("work", (), 3),
    ("restart", (2,), 1),
)


def step(name: str, sizes: tuple[int, ...]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *(st.integers(0, size - 1) for size in sizes))


def histories(many: int) -> st.SearchStrategy[list[Step]]:
    edits = st.one_of([step(name, sizes) for name, sizes in EDITS])
    turns = st.one_of([step(name, (many, *sizes)) for name, sizes, weight in TURNS for _ in range(weight)])
    parts = st.lists(st.lists(st.one_of(edits, turns), min_size=1, max_size=12), max_size=12)
    return parts.map(lambda listed: [each for part in listed for each in part])


@pytest.mark.timeout(PATIENCE)
@settings(max_examples=EXAMPLES, report_multiple_bugs=False)
@given(histories(1))
def test_a_provider_that_is_alone_gives_nothing_twice(history: list[Step]) -> None:
    Fleet(1).play(history)


@pytest.mark.timeout(PATIENCE)
@settings(max_examples=EXAMPLES, report_multiple_bugs=False)
@given(histories(2))
def test_two_providers_give_nothing_twice(history: list[Step]) -> None:
    Fleet(2).play(history)


@pytest.mark.timeout(PATIENCE)
@settings(max_examples=EXAMPLES, report_multiple_bugs=False)
@given(histories(3))
def test_three_providers_give_nothing_twice(history: list[Step]) -> None:
    Fleet(3).play(history)
