"""What stands in a Lease about its succession: who may read what from it, and until when."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.succession import Request, Word
from tests.decide.records import record

TEXTS = st.text(max_size=60)
REQUESTS = st.builds(Request, st.text(min_size=1, max_size=60), st.integers(0, 2**31), TEXTS, TEXTS, TEXTS)
WORDS = st.builds(Word, TEXTS, st.integers(0, 2**31), TEXTS, TEXTS, TEXTS)


@given(REQUESTS)
def test_a_request_reads_as_it_was_written(request_: Request) -> None:
    assert Request.parse(str(request_)) == request_


@given(WORDS)
def test_a_word_reads_as_it_was_written(word: Word) -> None:
    assert Word.parse(str(word)) == word


@given(TEXTS | st.recursive(st.none() | st.integers() | TEXTS, st.lists).map(str))
def test_whatever_somebody_writes_is_read_or_passed_over(text: str) -> None:
    assert Request.parse(text) is None or isinstance(Request.parse(text), Request)
    assert Word.parse(text) is None or isinstance(Word.parse(text), Word)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"from":"a"}',
        '{"from":"","term":1}',
        '{"from":"a","term":true}',
        '{"from":"a","term":1,"to":2}',
        '{"from":"a","term":1,"by":"' + 5000 * "x" + '"}',
        5000 * "[",
    ],
)
def test_what_is_no_request_is_nothing(text: str) -> None:
    assert Request.parse(text) is None


def test_a_request_counts_for_its_holder_and_for_those_who_may_succeed_him() -> None:
    request = Request("a", 4, "b")
    for holder in ("a", ""):
        assert Request.of(attrs.evolve(record(holder, 7, transitions=4), request=str(request))) == request


@pytest.mark.parametrize(("holder", "transitions"), [("a", 5), ("b", 4), ("", 5)])
def test_a_request_of_another_term_is_nothing(holder: str, transitions: int) -> None:
    assert Request.of(attrs.evolve(record(holder, 7, transitions=transitions), request=str(Request("a", 4)))) is None


def test_no_lease_carries_no_request() -> None:
    assert Request.of(None) is None
    assert Request.of(record("a", 7)) is None


@pytest.mark.parametrize(("holder", "transitions"), [("a", 5), ("b", 4), ("", 4)])
def test_a_word_counts_for_its_holder_alone(holder: str, transitions: int) -> None:
    word = Word("a", 4, unfit="ill")
    assert Word.of(attrs.evolve(record("a", 7, transitions=4), word=str(word))) == word
    assert Word.of(attrs.evolve(record(holder, 7, transitions=transitions), word=str(word))) is None
