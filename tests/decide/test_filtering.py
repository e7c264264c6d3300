"""Filters for many addresses: nothing that is looked for is kept back, however few the instructions."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kubevip.filtering import MOST_RANGES, accept_any, ranges
from kubevip.testing.bpf import accepts

WORDS = st.sets(st.integers(0, 0xFFFFFFFF), max_size=60)
LOAD = ((0x20, 0, 0, 0),)


@given(WORDS, st.integers(1, 12))
def test_all_words_are_in_at_most_so_many_ranges(words: set[int], most: int) -> None:
    found = ranges(words, most)
    assert len(found) <= most
    assert all(any(first <= word <= last for first, last in found) for word in words)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


@given(WORDS, st.integers(0, 0xFFFFFFFF))
def test_with_enough_ranges_nothing_else_is_let_through(words: set[int], other: int) -> None:
    program = (*LOAD, *accept_any(words))
    assert accepts(program, other.to_bytes(4, "big")) == (other in words)
    assert all(accepts(program, word.to_bytes(4, "big")) for word in words)


def test_neighbours_are_one_range() -> None:
    assert ranges(range(100, 200), MOST_RANGES) == [(100, 199)]


def test_the_widest_gaps_are_kept_back() -> None:
    assert ranges([1, 3, 1000, 1002, 5000], 3) == [(1, 3), (1000, 1002), (5000, 5000)]


def test_a_program_for_thousands_fits_the_kernel() -> None:
    program = accept_any(range(0, 1_000_000, 100))
    assert len(program) <= 4096
    assert accepts((*LOAD, *program), (300).to_bytes(4, "big"))
