"""A node that heartbeats tell to be gone: its Lease counts as silent, until anything is heard of it."""

import math

from kubevip.custody import Facts, Holder
from kubevip.lease import Record
from kubevip.spread.roster import Fate, Roster

HOLDER = Holder("a", "t1")


def record(renewed: str = "1", holder: str = "a", term: str = "t1", version: str = "1") -> Record:
    return Record(holder, 5 if holder else 1, 1, renewed=renewed, version=version, word=str(Facts(term=term)))


def known() -> Roster:
    roster = Roster(5.0)
    roster.saw("a", record(), "1", 0.0)
    return roster


def test_a_missing_node_is_silent_and_not_present_though_its_lease_goes_on() -> None:
    roster = known()
    roster.miss("a")
    assert roster.fate(HOLDER, 0.0, 1.0)[0] is Fate.SILENT
    assert roster.present(1.0) == {}
    assert roster.lapsed(1.0) == ["a"]
    assert roster.ends("a") == -math.inf


def test_a_missing_node_that_is_heard_again_is_as_before() -> None:
    roster = known()
    roster.miss("a")
    assert roster.lapsed(1.0) == ["a"]
    assert roster.hear("a")
    assert not roster.hear("a")
    assert roster.fate(HOLDER, 0.0, 1.0)[0] is Fate.LIVE
    assert list(roster.present(1.0)) == ["a"]
    assert roster.lapsed(5.0) == ["a"]


def test_a_missing_node_that_renews_is_as_before() -> None:
    roster = known()
    roster.miss("a")
    assert roster.saw("a", record("2", version="2"), "2", 1.0)
    assert roster.fate(HOLDER, 0.0, 1.0)[0] is Fate.LIVE


def test_a_term_is_not_over_before_the_lease_is_taken_away() -> None:
    roster = known()
    roster.miss("a")
    assert not roster.fate(HOLDER, 0.0, 100.0)[0].over


def test_the_kernel_of_a_node_may_answer_for_as_long_as_its_lease_would_have_gone_on() -> None:
    roster = known()
    assert roster.ended("a") == 0.0
    roster.saw("a", record("2", version="2"), "2", 2.0)
    roster.miss("a")
    roster.saw("a", record("3", "", version="3"), "3", 2.5)
    assert roster.fate(HOLDER, 0.0, 3.0)[0] is Fate.BURIED
    assert roster.ended("a") == 7.0


def test_that_counts_too_where_the_node_was_seen_again_in_another_term_alone() -> None:
    roster = known()
    roster.saw("a", record("2", term="t2", version="4"), "4", 3.0)
    assert roster.ended("a") == 5.0


def test_of_nodes_that_are_unknown_nothing_is_missed() -> None:
    roster = Roster(5.0)
    roster.miss("x")
    assert not roster.hear("x")
    assert not roster.misses("x")
