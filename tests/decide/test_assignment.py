"""Which node takes what nobody has."""

from collections import Counter

from kubevip.custody import Facts
from kubevip.lease import Record
from kubevip.model import ServiceKey
from kubevip.placement import Item
from kubevip.spread.assignment import AT_WORK, PATIENCE, RECONSIDER, Assignment
from kubevip.spread.roster import Roster
from kubevip.spread.settling import QUIET

NODES = ("n1", "n2", "n3", "n4")


def known_by(node: str, services: int, *, nodes: tuple[str, ...] = NODES) -> Assignment:
    """Return what *node* knows at 0 s, when nobody has anything."""
    roster = Roster(1000.0)
    for name in nodes:
        roster.saw(name, Record(name, 1000.0, 1, version="1", word=str(Facts(term=f"of {name}"))), "1", 0.0)
    found = Assignment(node, roster)
    for number in range(services):
        found.ask(key(number), Item(key=str(key(number))))
        found.release(key(number), 0.0)
    return found


def key(number: int) -> ServiceKey:
    return ServiceKey("default", f"s{number}")


def taken(assignment: Assignment, now: float) -> set[ServiceKey]:
    return set(assignment.taken(now)[0])


def test_all_nodes_together_take_each_service_once() -> None:
    each = [taken(known_by(node, 100), 0.0) for node in NODES]
    assert Counter(service for found in each for service in found) == Counter(key(number) for number in range(100))
    assert max(map(len, each)) <= 30


def test_the_answer_does_not_depend_on_the_order_of_what_others_have_taken() -> None:
    one, other = known_by("n1", 60), known_by("n1", 60)
    before = taken(one, 0.0)
    others = [number for number in range(60) if key(number) not in before]
    for number in others:
        one.put(key(number), one._meant[key(number)])
    taken(other, 0.0)
    for number in reversed(others):
        other.put(key(number), other._meant[key(number)])
    assert taken(one, 1.0) == taken(other, 1.0) == before


def test_what_one_more_service_asks_for_goes_to_one_node() -> None:
    each = [known_by(node, 50) for node in NODES]
    before = [taken(found, 0.0) for found in each]
    for found in each:
        found.ask(key(99), Item(key=str(key(99))))
        found.release(key(99), 1.0)
    assert sum(taken(found, 1.0) != had for found, had in zip(each, before, strict=True)) == 1


def test_what_others_took_against_expectation_makes_all_that_is_free_be_considered_anew_after_a_while() -> None:
    found = known_by("n1", 100)
    mine = taken(found, 0.0)
    for number in range(100):
        if key(number) not in mine:
            found.put(key(number), "n2")
    # n2 has far too much, so whatever is left is for others.
    assert taken(found, 0.0) == mine
    _keys, again = found.taken(0.0)
    assert again == RECONSIDER
    assert set(found._meant) == mine
    assert "n2" not in {found._meant[each] for each in taken(found, RECONSIDER)}
    assert found._differs is False


def test_what_a_node_does_not_take_is_taken_by_the_next_one_after_patience() -> None:
    found = known_by("n1", 40, nodes=("n1", "n2"))
    mine = taken(found, 0.0)
    assert taken(found, PATIENCE - 0.1) == mine
    assert taken(found, PATIENCE) == {key(number) for number in range(40)}


def test_who_has_gone_is_not_waited_for() -> None:
    found = known_by("n1", 40, nodes=("n1", "n2"))
    assert len(taken(found, 0.0)) < 40
    found.roster.saw("n2", Record("", 1.0, 1, version="2", word=str(Facts(term="of n2", left=True))), "2", 1.0)
    found.forget_nodes()
    assert len(taken(found, 1.0)) == 40


def test_the_placement_counts_what_is_meant_for_a_node_until_that_has_it() -> None:
    found = known_by("n1", 40)
    mine = taken(found, 0.0)
    placement = found.placement(0.0)
    assert placement.load("n1") == len(mine)
    for service in mine:
        found.put(service, "n1")
    assert placement.load("n1") == len(mine)
    found.drop(next(iter(mine)))
    assert placement.load("n1") == len(mine) - 1


def test_a_free_service_that_asks_for_something_else_is_placed_anew() -> None:
    found = known_by("n1", 10)
    service = next(iter(taken(found, 0.0)))
    found.ask(service, Item(key=str(service), local=frozenset({"n2"})))
    assert service not in taken(found, 0.0)


def test_while_its_fleet_starts_a_node_takes_its_part_and_first_what_it_had() -> None:
    found = known_by("n1", 40, nodes=("n1",))
    found.roster.saw("n2", Record("", 1.0, 1, version="1", word=str(Facts(term="of n2", left=True))), "1", 0.0)
    had = [key(number) for number in range(7)]
    found.begin(0.0)
    keys, again = found.taken(0.0, had)
    assert (len(keys), again) == (20, QUIET)
    assert list(keys)[:7] == had
    assert len(found.taken(QUIET, had)[0]) == 40


def test_a_node_that_takes_one_after_the_other_is_waited_for_but_not_for_ever() -> None:
    found = known_by("n1", 40, nodes=("n1", "n2"))
    mine = taken(found, 0.0)
    others = [key(number) for number in range(40) if key(number) not in mine]
    for at in range(1, AT_WORK):
        found.settle(others.pop(), "n2", at * PATIENCE - 0.1)
        assert taken(found, at * PATIENCE) == mine
    assert taken(found, AT_WORK * PATIENCE) == mine | set(others)
