"""Where each Service is, and which node takes what nobody has, as one node knows it. Pure."""

import math
from collections.abc import Iterable

import attrs

from kubevip.model import ServiceKey
from kubevip.placement import Item, Node, Placement, in_order, score
from kubevip.roster import Roster

# So long a node that should take something is waited for, in seconds; then the next one takes it.
PATIENCE = 5.0
# Who hesitates waits so many times as long.
HESITATION = 3


@attrs.define(eq=False)
class Assignment:
    """What is where, as *node* knows it, among the nodes of *roster*."""

    node: str
    roster: Roster
    patience: float = PATIENCE

    items: dict[ServiceKey, Item] = attrs.field(factory=dict, init=False)
    on: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    _free_since: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _placement: Placement | None = attrs.field(default=None, init=False)

    @property
    def free(self) -> Iterable[ServiceKey]:
        """What nobody has."""
        return self._free_since.keys()

    @property
    def stale(self) -> bool:
        """Whether nodes have come, gone or changed since ``placement`` was asked for."""
        return self._placement is None

    def forget_nodes(self) -> None:
        """Nodes have come, gone or changed."""
        self._placement = None

    def ask(self, key: ServiceKey, item: Item) -> None:
        """*key* is to be placed as *item*."""
        if self.items.get(key) != item:
            on = self.on.get(key)
            self.put(key, None)
            self.items[key] = item
            self.put(key, on)

    def drop(self, key: ServiceKey) -> None:
        """*key* is not to be placed any more."""
        self.put(key, None)
        self.items.pop(key, None)
        self._free_since.pop(key, None)

    def put(self, key: ServiceKey, node: str | None) -> None:
        """*key* is on *node*."""
        before = self.on.pop(key, None)
        if node is not None:
            self.on[key] = node
            self._free_since.pop(key, None)
        if self._placement is None or before == node:
            return
        if before is not None:
            self._placement.remove(self.items[key], before)
        if node is not None:
            self._placement.add(self.items[key], node)

    def release(self, key: ServiceKey, now: float) -> None:
        """Nobody has *key*."""
        self.put(key, None)
        self._free_since.setdefault(key, now)

    def placement(self, now: float) -> Placement:
        """Return what is where."""
        total = len(self.on) + len(self._free_since)
        if self._placement is None:
            self._placement = Placement(self.roster.present(now), total)
            for key, node in self.on.items():
                self._placement.add(self.items[key], node)
        elif self._placement.total != total:
            self._placement.resize(total)
        return self._placement

    def taken(self, now: float) -> tuple[set[ServiceKey], float]:
        """Return what of all that is free this node takes now, and when to look again.

        It takes what it should have, and after a while what others should have and don't take.
        """
        placement = self.placement(now)
        found, again = set(), math.inf
        chosen: list[tuple[Item, str]] = []
        keys = {self.items[key].key: key for key in self._free_since}
        for item in in_order(self.items[key] for key in self._free_since):
            node = placement.choose(item)
            if node is None:
                continue
            placement.add(item, node)
            chosen.append((item, node))
            due = self._free_since[keys[item.key]] + (0.0 if node == self.node else self.patience)
            if now >= due and node != self.node:
                due += self._turn(item, node, placement)
            if now >= due:
                found.add(keys[item.key])
            else:
                again = min(again, due)
        for item, node in chosen:
            placement.remove(item, node)
        return found, again

    def _turn(self, item: Item, chosen: str, placement: Placement) -> float:
        """Return how much longer this node waits for those who should take *item* before it does."""
        names = [each.name for each in best_first(item, placement.eligible(item)) if each.name != chosen]
        return self.patience * (names.index(self.node) / 2) if self.node in names else math.inf

    def overdue(self, keys: Iterable[ServiceKey], now: float) -> tuple[list[ServiceKey], float]:
        """Return which of *keys* have been free for longer than others leave anything to this node, and when more are.

        That is what a node takes that has reason to leave everything to others.
        """
        due = {key: self._free_since[key] + HESITATION * self.patience for key in keys}
        later = (moment for moment in due.values() if moment > now)
        return [key for key, moment in due.items() if moment <= now], min(later, default=math.inf)

    def why(self, key: ServiceKey, now: float) -> str:
        """Say for people why *key* is where it is."""
        item, placement = self.items.get(key), self.placement(now)
        if item is None:
            return "it asks for no address"
        node, first = self.on.get(key), placement.choose(item)
        if node is None:
            return f"nobody has it; {first} should take it" if first else "no node may have it"
        bounds = f"{node} has {placement.load(node)} of {placement.total}"
        if node not in placement.nodes or not placement.may_stay(item, node):
            return f"{node} holds it and should not any more; {first or 'nobody'} may take it; {bounds}"
        best = best_first(item, placement.eligible(item))[0].name
        reason = "has the best score" if best == node else f"got it when it was free; {best} has a better score"
        return f"{node} {reason}; {bounds}, at most {placement.most(node)}"


def best_first(item: Item, nodes: Iterable[Node]) -> list[Node]:
    """Return *nodes* in the order in which *item* would belong on them."""
    return sorted(nodes, key=lambda node: (-score(item, node), node.name))
