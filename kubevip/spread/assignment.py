"""Where each Service is, and which node takes what nobody has, as one node knows it. Pure.

Thousands may be free at once, and something happens every few milliseconds. So where each free one should go is
worked out once, and again only when nodes have come or gone, or when others have taken what they should not have.
"""

import math
from collections.abc import Collection, Iterable, Mapping

import attrs

from kubevip.model import ServiceKey
from kubevip.placement import Item, Node, Placement, in_order, score
from kubevip.spread.roster import Roster
from kubevip.spread.settling import Settling

# So long a node that should take something, and takes nothing, is waited for, in seconds; then the next one takes it.
PATIENCE = 5.0
# One that takes others is waited for so many times as long: it may have hundreds to take.
AT_WORK = 6
# Who hesitates waits so many times as long.
HESITATION = 3
# When others have placed something differently, all that is free is looked at anew, no more often than this.
RECONSIDER = 0.5


@attrs.frozen
class SpreadStatistics:
    """A snapshot: this node's *term*, the nodes that are *present*, and how many Services each one has.

    *own* is how many addresses are this node's; *moves* counts from the start.
    """

    term: str
    present: tuple[str, ...]
    loads: Mapping[str, int]
    own: int
    moves: Mapping[str, int]


@attrs.define(eq=False)
class Assignment:
    """What is where, as *node* knows it, among the nodes of *roster*."""

    node: str
    roster: Roster
    patience: float = PATIENCE

    items: dict[ServiceKey, Item] = attrs.field(factory=dict, init=False)
    on: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    # In the order in which they became free.
    _free_since: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _placement: Placement | None = attrs.field(default=None, init=False)
    # Of what is free: where it should go, what of that is for this node, and what is still to be looked at.
    _meant: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    _mine: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _fresh: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _turns: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    # When each node was last seen to take something.
    _at_work: dict[str, float] = attrs.field(factory=dict, init=False)
    _differs: bool = attrs.field(default=False, init=False)
    _considered: float = attrs.field(default=-math.inf, init=False)
    _settling: Settling = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._settling = Settling(self.node, self.roster)

    @property
    def free(self) -> Collection[ServiceKey]:
        """What nobody has."""
        return self._free_since.keys()

    @property
    def total(self) -> int:
        """How many there are in all."""
        return len(self.on) + len(self._free_since)

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
            if key in self._free_since:
                self._fresh[key] = None

    def drop(self, key: ServiceKey) -> None:
        """*key* is not to be placed any more."""
        self.put(key, None)
        self.items.pop(key, None)
        self._free_since.pop(key, None)
        self._fresh.pop(key, None)

    def settle(self, key: ServiceKey, node: str, now: float) -> None:
        """*key* is seen to be on *node*."""
        if self.on.get(key) != node:
            self._at_work[node] = now
            self.put(key, node)

    def put(self, key: ServiceKey, node: str | None) -> None:
        """*key* is on *node*."""
        before, meant = self.on.pop(key, None), self._withdraw(key)
        if node is not None:
            self.on[key] = node
            self._free_since.pop(key, None)
            self._fresh.pop(key, None)
            self._differs |= meant is not None and meant != node
        if self._placement is None or before == node:
            return
        if before is not None:
            self._placement.remove(self.items[key], before)
        if node is not None:
            self._placement.add(self.items[key], node)

    def release(self, key: ServiceKey, now: float) -> None:
        """Nobody has *key*."""
        if key in self._free_since:
            return
        self.put(key, None)
        self._free_since[key] = now
        self._fresh[key] = None

    def placement(self, now: float) -> Placement:
        """Return what is where, and what is meant to go where."""
        total = self.total
        if self._placement is None:
            self._placement = Placement(self.roster.present(now), total)
            for key, node in self.on.items():
                self._placement.add(self.items[key], node)
            for known in (self._meant, self._mine, self._turns):
                known.clear()
            self._fresh = dict.fromkeys(self._free_since)
        elif self._placement.total != total:
            self._placement.resize(total)
        return self._placement

    def begin(self, now: float) -> None:
        """A term of this node begins."""
        self._settling.begin(now, free=len(self._free_since), total=self.total)

    def taken(self, now: float, had: Iterable[ServiceKey] = ()) -> tuple[Collection[ServiceKey], float]:
        """Return what of all that is free this node takes now, the first ones first, and when to look again.

        It takes what it should have, and after a while what others should have and don't take. While its fleet is
        starting it takes no more than its part, and what it *had* before goes first.
        """
        found, again = self._due(now)
        end = self._settling.end(now)
        if end <= now:
            return found, again
        most = max(0, self._settling.part(self.total) - sum(node == self.node for node in self.on.values()))
        before = [key for key in by_name(had) if key in self._free_since]
        return list(dict.fromkeys((*before, *found)))[:most], min(again, end)

    def _due(self, now: float) -> tuple[Collection[ServiceKey], float]:
        again = self._consider(now)
        found = dict.fromkeys(self._mine)
        for key, since in self._free_since.items():
            if now < since + self.patience:
                again = min(again, since + self.patience)
                break
            meant = self._meant.get(key, self.node)
            if meant == self.node:
                continue
            due = self._waits_until(since, meant)
            if now >= due:
                due += self._turn(key, meant)
            if now >= due:
                found[key] = None
            else:
                again = min(again, due)
        return found.keys(), again

    def _waits_until(self, since: float, meant: str) -> float:
        """Return until when something that has been free since *since* is left to the node that it is meant for."""
        at_work = self._at_work.get(meant, since)
        return max(since, min(at_work, since + (AT_WORK - 1) * self.patience)) + self.patience

    def _consider(self, now: float) -> float:
        """Decide where each free one should go, as far as that isn't known; return when to do so again."""
        placement = self.placement(now)
        if not self._free_since:
            self._differs = False
        if self._differs and now >= self._considered + RECONSIDER:
            for key in tuple(self._meant):
                self._withdraw(key)
            self._fresh = dict.fromkeys(self._free_since)
        if len(self._fresh) == len(self._free_since):
            self._considered, self._differs = now, False
        keys = {self.items[key].key: key for key in self._fresh}
        for item in in_order(self.items[key] for key in self._fresh):
            node = placement.choose(item)
            if node is not None:
                placement.add(item, node)
                self._meant[keys[item.key]] = node
                if node == self.node:
                    self._mine[keys[item.key]] = None
        self._fresh.clear()
        return self._considered + RECONSIDER if self._differs else math.inf

    def _withdraw(self, key: ServiceKey) -> str | None:
        """Mean *key* for no node any more; return the one that it was meant for."""
        meant = self._meant.pop(key, None)
        if meant is not None:
            self._mine.pop(key, None)
            self._turns.pop(key, None)
            if self._placement is not None:
                self._placement.remove(self.items[key], meant)
        return meant

    def _turn(self, key: ServiceKey, chosen: str) -> float:
        """Return how much longer this node waits for those who should take *key* before it does."""
        known = self._turns.get(key)
        if known is None:
            item = self.items[key]
            eligible = self.placement(0.0).eligible(item)
            names = [each.name for each in best_first(item, eligible) if each.name != chosen]
            known = self.patience * (names.index(self.node) / 2) if self.node in names else math.inf
            self._turns[key] = known
        return known

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


def by_name(keys: Iterable[ServiceKey]) -> list[ServiceKey]:
    """Return *keys* in their order: fast, since there are thousands."""
    return sorted(keys, key=lambda key: (key.namespace, key.name))


def best_first(item: Item, nodes: Iterable[Node]) -> list[Node]:
    """Return *nodes* in the order in which *item* would belong on them."""
    return sorted(nodes, key=lambda node: (-score(item, node), node.name))
