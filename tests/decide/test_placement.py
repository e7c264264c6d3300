"""Placement: bounds, minimal moves, weights, zones, groups, and where something may be at all."""

import ipaddress
import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubevip.placement import Item, Node, Placement, place, score
from kubevip.spread.rebalancing import rebalance

NAMES = st.text("abcdefgh-0123", min_size=1, max_size=8)
NODES = st.lists(NAMES, min_size=1, max_size=12, unique=True).map(lambda names: nodes_of(*names))
ITEMS = st.lists(NAMES, min_size=0, max_size=60, unique=True).map(lambda keys: [Item(key=key) for key in keys])


def nodes_of(*names: str, **facts: Any) -> dict[str, Node]:
    return {name: Node(name=name, **facts) for name in names}


def items_of(count: int) -> list[Item]:
    return [Item(key=f"default/s{number}") for number in range(count)]


THOUSAND = items_of(1000)
TEN = nodes_of(*(f"n{number}" for number in range(10)))


def test_of_a_thousand_on_ten_nodes_none_has_more_than_its_share_and_a_quarter() -> None:
    load = Counter(place(THOUSAND, TEN, {}).values())
    assert max(load.values()) <= 125
    assert min(load.values()) >= 75


def test_a_lost_node_moves_its_own_share_only() -> None:
    before = place(THOUSAND, TEN, {})
    for lost in TEN:
        left = {name: node for name, node in TEN.items() if name != lost}
        after = place(THOUSAND, left, before)
        assert {key for key in before if after[key] != before[key]} == {key for key in before if before[key] == lost}
        assert max(Counter(after.values()).values()) <= 1.25 * 1000 / 9


def test_a_node_that_returns_takes_nothing() -> None:
    left = {name: node for name, node in TEN.items() if name != "n3"}
    held = place(THOUSAND, left, {})
    assert place(THOUSAND, TEN, held) == held


@given(ITEMS, NODES, st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order(items: list[Item], nodes: dict[str, Node], rnd: random.Random) -> None:
    shuffled = rnd.sample(items, len(items))
    renamed = dict(rnd.sample(list(nodes.items()), len(nodes)))
    assert place(shuffled, renamed, {}) == place(items, nodes, {})


@given(ITEMS, NODES)
def test_no_node_is_above_its_bound(items: list[Item], nodes: dict[str, Node]) -> None:
    share = len(items) / len(nodes)
    load = Counter(place(items, nodes, {}).values())
    assert all(count <= max(1.25 * share, -(-len(items) // len(nodes))) for count in load.values())
    assert load.total() == len(items)


@given(ITEMS, NODES, st.randoms(use_true_random=False))
def test_whoever_carries_out_a_part_changes_nothing_of_the_rest(
    items: list[Item], nodes: dict[str, Node], rnd: random.Random
) -> None:
    whole = place(items, nodes, {})
    part = {key: whole[key] for key in rnd.sample(sorted(whole), rnd.randint(0, len(whole)))}
    assert place(items, nodes, part) == whole


@given(ITEMS, NODES, st.data())
def test_only_what_a_lost_node_had_moves(items: list[Item], nodes: dict[str, Node], data: st.DataObject) -> None:
    before = place(items, nodes, {})
    lost = data.draw(st.sampled_from(sorted(nodes)))
    left = {name: node for name, node in nodes.items() if name != lost}
    after = place(items, left, before)
    assert all(after.get(key) == holder for key, holder in before.items() if holder != lost)


def test_nodes_have_as_much_as_they_weigh() -> None:
    nodes = nodes_of("a", "b", "c") | nodes_of("big", weight=3.0)
    load = Counter(place(THOUSAND, nodes, {}).values())
    assert load["big"] <= 1.25 * 500
    assert load["big"] >= 400
    assert all(load[name] <= 1.25 * 1000 / 6 for name in "abc")


def test_a_group_is_on_as_many_nodes_as_it_has_members() -> None:
    items = [Item(key=f"dns/{number}", group="dns") for number in range(10)]
    assert len({place([*THOUSAND, *items], TEN, {})[item.key] for item in items}) == 10


def test_a_group_is_in_different_zones_first() -> None:
    nodes = nodes_of("a1", "a2", "a3", "a4", zone="a") | nodes_of("b1", zone="b")
    items = [Item(key=f"dns/{number}", group="dns") for number in range(2)]
    placed = place(items, nodes, {})
    assert {nodes[node].zone for node in placed.values()} == {"a", "b"}


def test_an_item_goes_to_its_zone_while_a_node_is_there() -> None:
    nodes = nodes_of("a1", "a2", zone="a") | nodes_of("b1", zone="b")
    item = Item(key="default/web", zone="b")
    assert place([item], nodes, {}) == {item.key: "b1"}
    assert place([Item(key="default/web", zone="c")], nodes, {})


def test_only_a_node_with_an_endpoint_may_have_a_local_service() -> None:
    item = Item(key="default/web", local=frozenset({"n4"}))
    assert place([item], TEN, {}) == {item.key: "n4"}
    assert place([Item(key="default/web", local=frozenset())], TEN, {}) == {}


def test_a_holder_that_has_lost_its_endpoint_is_left() -> None:
    item = Item(key="default/web", local=frozenset({"n4"}))
    assert place([item], TEN, {item.key: "n5"}) == {item.key: "n4"}


def test_a_node_whose_links_can_hold_the_address_has_it() -> None:
    here, there = ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("10.9.0.0/24")
    nodes = nodes_of("a", "b", networks=(here,)) | nodes_of("c", networks=(there,))
    inside = Item(key="default/in", addresses=(ipaddress.ip_address("10.9.0.5"),))
    outside = Item(key="default/out", addresses=(ipaddress.ip_address("172.31.0.1"),))
    placed = place([inside, outside], nodes, {})
    assert placed[inside.key] == "c"
    assert placed[outside.key] in nodes


def test_an_unfit_node_is_left_while_there_are_others() -> None:
    nodes = nodes_of("a", "b") | nodes_of("c", unfit="cordoned")
    assert set(place(THOUSAND, nodes, dict.fromkeys((item.key for item in THOUSAND), "c")).values()) == {"a", "b"}
    assert set(place(THOUSAND, nodes_of("c", unfit="cordoned"), {}).values()) == {"c"}


@given(ITEMS, NODES)
def test_equal_weights_place_as_none_do(items: list[Item], nodes: dict[str, Node]) -> None:
    heavy = {name: Node(name=name, weight=2.0) for name in nodes}
    for item in items:
        best = max(heavy.values(), key=lambda node: (score(item, node), node.name)).name
        assert Placement(nodes, 10**6).choose(item) == best


# Rebalancing


def test_a_returned_node_gets_its_part_by_the_fewest_moves() -> None:
    left = {name: node for name, node in TEN.items() if name != "n3"}
    held = place(THOUSAND, left, {})
    moves = rebalance(THOUSAND, TEN, held)
    assert {move.target for move in moves} == {"n3"}
    assert 80 <= len(moves) <= 100
    assert rebalance(THOUSAND, TEN, held | {move.item: move.target for move in moves}) == []


def test_no_more_moves_than_asked_for() -> None:
    held = dict.fromkeys((item.key for item in THOUSAND), "n0")
    assert len(rebalance(THOUSAND, TEN, held, most=7)) == 7


def test_what_is_balanced_stays() -> None:
    assert rebalance(THOUSAND, TEN, place(THOUSAND, TEN, {})) == []


@settings(max_examples=50)
@given(ITEMS, NODES, st.randoms(use_true_random=False))
def test_rebalancing_brings_all_within_bounds(items: list[Item], nodes: dict[str, Node], rnd: random.Random) -> None:
    held = {item.key: rnd.choice(sorted(nodes)) for item in items}
    moves = rebalance(items, nodes, held)
    assert len({move.item for move in moves}) == len(moves)
    load = Counter((held | {move.item: move.target for move in moves}).values())
    share = len(items) / len(nodes)
    assert all(load[name] <= max(1.25 * share, -(-len(items) // len(nodes))) for name in nodes)
    assert all(load[name] >= int(share / 1.25) for name in nodes)


@given(st.integers(0, 10_000))
def test_after_a_rebalancing_there_is_nothing_left_to_move_whatever_is_asked_for(seed: int) -> None:
    chance = random.Random(seed)
    nodes = {
        f"n{number}": Node(name=f"n{number}", weight=chance.choice((0.5, 1.0, 2.0)), zone=chance.choice(("a", "b", "")))
        for number in range(chance.randint(3, 6))
    }
    items = [
        Item(
            key=f"s{number}",
            group=chance.choice(("db", "")),
            zone=chance.choice(("a", "", "")),
            local=frozenset(chance.sample(sorted(nodes), chance.randint(1, 3))) if chance.random() < 0.2 else None,
        )
        for number in range(chance.choice((2, 4, 8, 12)))
    ]
    held = {item.key: chance.choice(sorted(nodes)) for item in items}
    moves = rebalance(items, nodes, held)
    assert len({move.item for move in moves}) == len(moves)
    assert rebalance(items, nodes, held | {move.item: move.target for move in moves}) == []


def test_what_one_has_too_much_goes_to_who_has_too_little() -> None:
    nodes = {name: Node(name=name, weight=weight) for name, weight in (("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 1.0))}
    (move,) = rebalance(items_of(3), nodes, {"default/s0": "d", "default/s1": "a", "default/s2": "d"})
    assert (move.source, move.target) == ("d", "c")


@given(ITEMS, NODES, st.randoms(use_true_random=False))
def test_a_rebalancing_moves_no_more_than_what_is_too_much_or_too_little(
    items: list[Item], nodes: dict[str, Node], rnd: random.Random
) -> None:
    weighed = {name: Node(name=name, weight=rnd.choice((0.5, 1.0, 2.0))) for name in nodes}
    holders = {item.key: rnd.choice(list(weighed)) for item in items}
    load, bounds = Counter(holders.values()), Placement(weighed, len(items))
    above = sum(max(0, load[name] - bounds.most(name)) for name in weighed)
    below = sum(max(0, bounds.least(name) - load[name]) for name in weighed)
    assert len(rebalance(items, weighed, holders)) == max(above, below)


def test_members_of_a_group_that_share_a_node_are_parted() -> None:
    items = [Item(key=f"dns/{number}", group="dns") for number in range(3)]
    moves = rebalance(items, TEN, dict.fromkeys((item.key for item in items), "n0"))
    assert len(moves) == 2
    assert len({move.target for move in moves} | {"n0"}) == 3
