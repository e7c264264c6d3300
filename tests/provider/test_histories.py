"""Arbitrary histories: whatever users edit, and whatever crashes, lags or gets lost, no address is given out twice.

A failure prints its history; ``Fleet(many).play(history)`` makes it happen again. ``KUBEVIP_EXAMPLES`` is how many
histories each test tries.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.provider.configs import CONFIGS
from tests.provider.fleet import FATES, NODE_ADDRESSES, UNANSWERED, WELL, Fleet
from tests.provider.users import KEYS, MARKS, PORTS, STACKS, TEXTS

EXAMPLES = int(os.environ.get("KUBEVIP_EXAMPLES", "250"))
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


# What went wrong once: with how many providers, and by which history.
KNOWN: dict[str, tuple[int, list[Step]]] = {
    "a conflict after a lost answer": (
        1,
        [
            ("configure", 1),
            ("heed", 0),
            ("create", 0),
            ("create", 1),
            ("see", 0, 2),
            ("decide", 0),
            ("attempt", 0, WELL),
            ("land", 0, 0, UNANSWERED),
            ("answer", 0),
            ("attempt", 0, WELL),
            ("configure", 1),
            ("heed", 0),
            ("attempt", 0, WELL),
            ("attempt", 0, WELL),
        ],
    ),
    "two users write the same, and one is being written": (
        1,
        [("create", 0), ("create", 3), ("annotate", 0, 1), ("annotate", 3, 1), ("learn", 0, 3), ("decide", 0)],
    ),
    "an edited annotation frees what the spec says": (
        1,
        [("create", 0), ("create", 2), ("work", 0), ("annotate", 2, 1), ("create", 1)],
    ),
    "a spec of several addresses": (1, [("create", 0), ("create", 1, 2), ("configure", 2), ("specify", 0, 4)]),
    "a user removes all marks before the deletion": (1, [("create", 0), ("work", 0), ("clean", 0), ("delete", 0)]),
    "a pool that has the second family": (1, [("create", 0), ("restack", 0, 3), ("configure", 2), ("work", 0)]),
    "the one that blocks another loses its marks": (
        1,
        [("create", 1), ("work", 0), ("create", 0, 0, 0, 0, 1), ("work", 0), ("clean", 1)],
    ),
    "a users address that is removed where there is no pool": (
        1,
        [("create", 0, 0, 0, 1), ("work", 0), ("configure", 6), ("annotate", 0, 0), ("work", 0), ("create", 1)],
    ),
    "a list tells claims in another order": (
        2,
        [
            ("create", 1),
            ("see", 1, 1),
            ("create", 0),
            ("learn", 0, 0),
            ("attempt", 1, WELL),
            ("attempt", 0, WELL),
            ("relist", 0),
            ("step", 0),
            ("work", 1),
        ],
    ),
    "a claim is left behind on one that is refused": (
        2,
        [("create", 0), ("work", 0), ("create", 1), ("annotate", 0, 2), ("strip", 0, 0)],
    ),
    "a claim outlives its pool": (2, [("configure", 3), ("create", 0), ("learn", 0, 0), ("step", 0)]),
    "a claim is removed, and a user writes its address": (
        2,
        [("create", 0), ("learn", 0, 0), ("step", 0), ("create", 1, 0, 0, 0, 1), ("clean", 0)],
    ),
    "a claim survives its provider": (
        2,
        [("configure", 1), ("create", 0), ("learn", 0, 0), ("step", 0), ("restart", 0)],
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_went_wrong_once(name: str) -> None:
    many, history = KNOWN[name]
    Fleet(many).play(history)


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
