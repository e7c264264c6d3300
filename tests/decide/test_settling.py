"""How much a node takes while its fleet is starting."""

import math

import pytest

from kubevip.custody import Facts
from kubevip.lease import Record
from kubevip.spread.roster import Roster
from kubevip.spread.settling import LONGEST, QUIET, Settling

DURATION = 15.0


def lease(holder: str, *, transitions: int = 3) -> Record:
    word = str(Facts(term="t1", left=not holder))
    return Record(holder, DURATION, transitions, version="1", word=word)


def starting(*present: str, absent: tuple[str, ...] = (), transitions: int = 3, free: int = 100) -> Settling:
    """Return that of n1 at 10 s, in a fleet of 100 Services."""
    roster = Roster(DURATION)
    for name in present:
        roster.saw(name, lease(name, transitions=transitions), "1", 10.0)
    for name in absent:
        roster.saw(name, lease(""), "1", 10.0)
    found = Settling("n1", roster)
    found.begin(10.0, free=free, total=100)
    return found


def test_nothing_is_settled_where_most_services_have_holders() -> None:
    assert starting("n1", absent=("n2",), free=49).end(10.0) == -math.inf


def test_a_node_whose_fleet_is_complete_waits_for_nobody() -> None:
    assert starting("n1", "n2").end(10.0) == -math.inf


def test_a_node_takes_its_part_while_others_that_were_there_are_not_back() -> None:
    found = starting("n1", absent=("n2", "n3", "n4"))
    assert found.end(10.0) == 10.0 + QUIET
    assert found.part(100) == 25


def test_nothing_is_taken_in_a_fleet_that_starts_for_the_first_time_until_nobody_has_come_for_a_while() -> None:
    found = starting("n1", transitions=0)
    assert found.part(100) == 0
    assert found.end(10.0) == 10.0 + QUIET
    assert found.end(10.0 + QUIET) == -math.inf


def test_each_node_that_comes_is_followed_by_a_wait() -> None:
    found = starting("n1", transitions=0)
    found.roster.saw("n2", lease("n2", transitions=0), "2", 10.9)
    assert found.end(11.0) == 10.9 + QUIET


def test_a_renewal_is_not_a_node_that_comes() -> None:
    found = starting("n1", transitions=0)
    found.roster.saw("n1", lease("n1", transitions=0), "2", 10.9)
    assert found.end(10.9) == 10.0 + QUIET


@pytest.mark.parametrize("transitions", [0, 3])
def test_it_ends_though_nodes_go_on_coming(transitions: int) -> None:
    found = starting("n1", absent=("gone",), transitions=transitions)
    for number in range(2, 20):
        found.roster.saw(f"n{number}", lease(f"n{number}"), "2", 10.0 + number / 2)
    assert found.end(10.0 + LONGEST) == -math.inf


def test_what_has_ended_does_not_begin_again_in_the_same_term() -> None:
    found = starting("n1", transitions=0)
    assert found.end(10.0 + QUIET) == -math.inf
    found.roster.saw("n2", lease("n2", transitions=0), "2", 10.0 + QUIET)
    assert found.end(10.0 + QUIET) == -math.inf
