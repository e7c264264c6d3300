"""The fewest moves that bring every node within its bounds again. Pure.

A placement is sticky, so after nodes have come and gone some have much and some little. What is moved here is what
someone asked for: first what is where it shouldn't be, then from those who have too much, then to those who have too
little. Nothing else moves.
"""

from collections.abc import Collection, Iterator, Mapping

import attrs

from kubevip.placement import Item, Move, Node, Placement, in_order, score


def rebalance(
    items: Collection[Item], nodes: Mapping[str, Node], holders: Mapping[str, str], *, most: int | None = None
) -> list[Move]:
    """Return what to move, at most *most* items, in an order in which each move makes it better.

    Only items that a node of *nodes* holds are moved: all others are about to be taken by somebody anyway.
    """
    run = _Rebalancing(nodes, {item.key: item for item in in_order(items)}, dict(holders))
    found: dict[str, Move] = {}
    for move in run.moves():
        # What is moved again goes to its last place at once.
        source = found[move.item].source if move.item in found else move.source
        found[move.item] = Move(move.item, source, move.target)
    return [move for move in found.values() if move.source != move.target][:most]


@attrs.define(eq=False)
class _Rebalancing:
    nodes: Mapping[str, Node]
    items: Mapping[str, Item]
    holders: dict[str, str]

    placement: Placement = attrs.field(init=False)
    on: dict[str, dict[str, Item]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.placement = Placement(self.nodes, len(self.items))
        self.on = {name: {} for name in self.nodes}
        for key, item in self.items.items():
            holder = self.holders.get(key)
            if holder in self.on:
                self.on[holder][key] = item
                self.placement.add(item, holder)

    def moves(self) -> Iterator[Move]:
        """Yield moves until none makes it better.

        That comes to an end: no move puts more items where they must not be, or more of a group on one node; of those
        that change neither, each brings a node nearer to its bounds, and none farther away.
        """
        moved = True
        while moved:
            moved = False
            for move in (*self._misplaced(), *self._from_the_rich(), *self._to_the_poor()):
                moved = True
                yield move

    def _misplaced(self) -> Iterator[Move]:
        for item in self.items.values():
            holder = self.holders.get(item.key)
            if holder not in self.on:
                continue
            stays = self.placement.may_stay(item, holder)
            if stays and not self.placement.crowded(item, holder):
                continue
            target = self.placement.choose(item, besides=(holder,))
            if target is not None and not (stays and self._has_one_of(item.group, target)):
                yield self._move(item, holder, target)

    def _from_the_rich(self) -> Iterator[Move]:
        for name in sorted(self.nodes):
            while self.placement.load(name) > self.placement.most(name):
                found = self._best(name, [each for each in self._by_need() if self._has_room(each)])
                if found is None:
                    break
                yield self._move(found[0], name, found[1])

    def _to_the_poor(self) -> Iterator[Move]:
        for name in sorted(self.nodes):
            while self.placement.load(name) < self.placement.least(name):
                donors = [each for each in reversed(self._by_need()) if self._can_give(each)]
                found = next((best for each in donors if (best := self._best(each, [name])) is not None), None)
                if found is None:
                    break
                yield self._move(found[0], self.holders[found[0].key], name)

    def _by_need(self) -> list[str]:
        """Return the names of the nodes: first those that have too little, of each kind the one with least first."""

        def need(name: str) -> tuple[bool, float, str]:
            load = self.placement.load(name)
            return load >= self.placement.least(name), load / self.nodes[name].weight, name

        return sorted(self.nodes, key=need)

    def _has_room(self, name: str) -> bool:
        return self.placement.load(name) < self.placement.most(name)

    def _can_give(self, name: str) -> bool:
        return self.placement.load(name) > self.placement.least(name)

    def _best(self, source: str, targets: list[str]) -> tuple[Item, str] | None:
        """Return the item of *source* that belongs best on the first of *targets* that may have one."""
        for target in targets:
            node = self.nodes[target]
            fitting = [item for item in self.on[source].values() if self._may_go(item, target)]
            if target != source and fitting:
                return max(fitting, key=lambda item: (score(item, node), item.key)), target
        return None

    def _may_go(self, item: Item, target: str) -> bool:
        if not self.placement.may_stay(item, target) or (item.zone and self.nodes[target].zone != item.zone):
            return False
        return not item.group or not self._has_one_of(item.group, target)

    def _has_one_of(self, group: str, name: str) -> bool:
        return any(other.group == group for other in self.on[name].values())

    def _move(self, item: Item, source: str, target: str) -> Move:
        self.placement.remove(item, source)
        self.placement.add(item, target)
        self.on[target][item.key] = self.on[source].pop(item.key)
        self.holders[item.key] = target
        return Move(item.key, source, target)
