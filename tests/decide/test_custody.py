"""Records and facts: what is written can be read, and what is nonsense is nothing."""

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.custody import Custody, Facts, Holder, Orders
from kubevip.lease import Record
from kubevip.model import ServiceKey
from kubevip.spread.roster import Fate, Roster

TEXTS = st.text(min_size=1, max_size=12)
HOLDERS = st.builds(Holder, TEXTS, TEXTS, st.text(max_size=12), st.integers(0, 2**31))
NETWORKS = st.lists(st.ip_addresses().map(ipaddress.ip_network), max_size=4).map(tuple)
FACTS = st.builds(
    Facts,
    term=TEXTS,
    weight=st.floats(0.01, 1000),
    zone=st.text(max_size=8),
    networks=NETWORKS,
    unfit=st.text(max_size=8),
    left=st.booleans(),
)
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["uid", "held", "term", "x"]), inner),
    max_leaves=8,
).map(json.dumps)


@given(st.dictionaries(st.ip_addresses(), HOLDERS, max_size=4), TEXTS)
def test_a_record_reads_as_it_was_written(held: dict[object, Holder], uid: str) -> None:
    custody = Custody(uid, held)
    assert Custody.parse(str(custody), uid) == custody
    assert Custody.parse(str(custody), uid + "2") is None


@given(FACTS)
def test_facts_read_as_they_were_written(facts: Facts) -> None:
    assert Facts.parse(str(facts)) == facts


@given(st.dictionaries(st.builds(ServiceKey, st.just("a"), TEXTS.filter(lambda text: "/" not in text)), TEXTS))
def test_orders_read_as_they_were_written(moves: dict[ServiceKey, str]) -> None:
    assert Orders.parse(str(Orders("t", "1", moves))) == Orders("t", "1", moves)


@given(NONSENSE | st.text(max_size=40))
def test_nonsense_is_nothing(text: str) -> None:
    custody, facts = Custody.parse(text, "u"), Facts.parse(text)
    assert custody is None or isinstance(custody.held, dict)
    assert facts is None or facts.term


@pytest.mark.parametrize("weight", ["true", '"2"', "0", "-1", "1e9", "null"])
def test_a_weight_that_is_none_is_one(weight: str) -> None:
    facts = Facts.parse(f'{{"term": "t", "weight": {weight}}}')
    assert facts is not None
    assert facts.weight == 1.0


# What follows from them


def lease(term: str, *, holder: str = "n1", version: int = 1, left: bool = False) -> Record:
    return Record(holder, 5, 0, "", str(version), str(version), word=str(Facts(term=term, left=left)))


def roster_with(record: Record, now: float = 0.0) -> Roster:
    roster = Roster(5)
    roster.listed(["n1"], "0", now)
    roster.saw("n1", record, record.version, now)
    return roster


def test_a_term_lives_while_its_lease_is_renewed() -> None:
    roster = roster_with(lease("a"))
    assert roster.fate(Holder("n1", "a"), 0, 4.9)[0] is Fate.LIVE
    assert roster.fate(Holder("n1", "a"), 0, 5.0)[0] is Fate.SILENT
    roster.saw("n1", lease("a", version=2), "2", 4.0)
    assert roster.fate(Holder("n1", "a"), 0, 8.9)[0] is Fate.LIVE


def test_a_lease_that_was_let_go_of_ends_its_term_for_ever() -> None:
    roster = roster_with(lease("a", holder="", left=True))
    assert roster.fate(Holder("n1", "a"), 0, 0)[0] is Fate.LEFT


def test_a_term_that_the_watch_does_not_know_may_be_a_newer_one() -> None:
    roster = roster_with(lease("a"))
    assert roster.fate(Holder("n1", "b"), 1.0, 2.0)[0] is Fate.UNSURE
    roster.read("n1", lease("a"), 1.5, 2.0)
    assert roster.fate(Holder("n1", "b"), 1.0, 2.0)[0] is Fate.BURIED


def test_an_absent_lease_ends_a_term_after_its_duration_and_a_look() -> None:
    roster = Roster(5)
    roster.listed([], "0", 0)
    assert roster.fate(Holder("n1", "a"), 0, 4.9)[0] is Fate.WAITING
    assert roster.fate(Holder("n1", "a"), 0, 5.0)[0] is Fate.UNSURE
    roster.read("n1", None, 5.1, 5.2)
    assert roster.fate(Holder("n1", "a"), 0, 5.2)[0] is Fate.GONE


def test_whoever_was_away_itself_takes_nobody_for_silent() -> None:
    roster = roster_with(lease("a"))
    assert roster.lapsed(20) == ["n1"]
    assert roster.wake(20) == ["n1"]
    assert roster.fate(Holder("n1", "a"), 0, 24.9)[0] is Fate.LIVE
    assert roster.lapsed(25) == ["n1"]
