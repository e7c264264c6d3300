"""Which node should hold what: bounded-load rendezvous hashing, with all that may forbid a node. Pure.

Every agent computes it from the same facts and comes to the same answer, whatever the order in which it learnt them:
hashes are BLAKE2's, never Python's own, and what is to be placed goes in the order of its hash.

*Rendezvous*: each node has a score for each item, and the best one that may have it does; so a node that goes leaves
the items of all others where they are. *Bounded load* (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with
Bounded Loads"): a node that has its share, and a fifth of it more, is passed over. *Sticky*: what is held stays, so a
node that returns takes nothing by itself. Who carries out only a part of a placement, in any order, changes nothing
of the rest: agents need not wait for each other.
"""

import hashlib
import ipaddress
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import attrs

from kubevip.model import IPAddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# How far above its share a node may be loaded. The promise is 1.25; what is left of that is for rounding.
SLACK = 1.2
# A node with so many times its share is passed over already where others have less: who comes later finds more then.
EVEN = 1.1
_MASK = 2**64 - 1


def digest(text: str) -> int:
    """Return 64 bits that are the same for the same text, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _mixed(value: int) -> int:
    """Scatter 64 bits (the finalizer of splitmix64): of what has been hashed, it makes another hash, fast."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


@attrs.frozen(kw_only=True, cache_hash=True)
class Node:
    """A node that may hold items. *unfit* says why it shouldn't; empty where nothing is against it.

    *weight* is its part of the load, against that of others. *networks* are those that its links are in.
    """

    name: str
    weight: float = 1.0
    zone: str = ""
    networks: tuple[Network, ...] = ()
    unfit: str = ""
    seed: int = attrs.field(init=False, eq=False, repr=False)

    @seed.default
    def _seed(self) -> int:
        return digest(f"node {self.name}")

    def reaches(self, addresses: Collection[IPAddress]) -> bool:
        """Tell whether its links are in networks of *addresses*."""
        return all(any(address in network for network in self.networks) for address in addresses)


@attrs.frozen(kw_only=True, cache_hash=True)
class Item:
    """What a node is to hold: a name, and what has to be heeded.

    *group*: items of a group go to different zones, and to different nodes, as long as there are any. *zone*: where it
    is wanted, if a node is there. *local*: the only nodes that may have it; ``None`` for all.
    """

    key: str
    addresses: tuple[IPAddress, ...] = ()
    group: str = ""
    zone: str = ""
    local: frozenset[str] | None = None
    seed: int = attrs.field(init=False, eq=False, repr=False)

    @seed.default
    def _seed(self) -> int:
        return digest(f"item {self.key}")


@attrs.frozen
class Move:
    """*item* is to go from one node to another."""

    item: str
    source: str
    target: str


def score(item: Item, node: Node) -> float:
    """Return how well *item* belongs on *node*; nodes win in proportion to their weights.

    With weights the logarithm makes it so (weighted rendezvous hashing, draft-ietf-bess-weighted-hrw): -ln(-ln u)
    + ln w puts nodes in the same order as ln(u) / w. Where all weights are equal, u alone will do.
    """
    return math.log(node.weight) - math.log(-math.log(((_mixed(item.seed ^ node.seed) >> 12) + 0.5) / 2**52))


def _best_of_equals(item: Item, nodes: Iterable[Node]) -> Node:
    """Return the node with the best score where all weigh the same; a placement of thousands spends its time here."""
    seed, best, found = item.seed, -1, None
    for node in nodes:
        value = seed ^ node.seed
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
        if value > best or (value == best and found is not None and node.name > found.name):
            best, found = value, node
    assert found is not None
    return found


@attrs.define(eq=False)
class Placement:
    """What is where among *nodes*, and where something else should go. *total* is how many items there are in all.

    Items are added where they are held. Asking is cheap: a new item costs one look at each node.
    """

    nodes: Mapping[str, Node]
    total: int

    _load: Counter[str] = attrs.field(factory=Counter, init=False)
    _groups: dict[str, Counter[str]] = attrs.field(factory=dict, init=False)
    _share: dict[str, float] = attrs.field(init=False)
    _most: dict[str, int] = attrs.field(init=False)
    _even: dict[str, int] = attrs.field(init=False)
    _equal: bool = attrs.field(init=False)
    _able: dict[tuple[Network, ...], list[str]] = attrs.field(factory=dict, init=False)
    _known: dict[tuple[frozenset[str] | None, tuple[bool, ...]], tuple[Node, ...]] = attrs.field(
        factory=dict, init=False
    )

    def __attrs_post_init__(self) -> None:
        self._equal = len({node.weight for node in self.nodes.values()}) < 2
        for node in self.nodes.values():
            self._able.setdefault(node.networks, []).append(node.name)
        self.resize(self.total)

    def resize(self, total: int) -> None:
        """There are *total* items now."""
        self.total = total
        counting = [node for node in self.nodes.values() if not node.unfit] or list(self.nodes.values())
        weight = sum(node.weight for node in counting)
        self._share = dict.fromkeys(self.nodes, 0.0) | {
            node.name: self.total * node.weight / weight for node in counting
        }
        self._most = {name: max(math.ceil(share), math.floor(SLACK * share)) for name, share in self._share.items()}
        self._even = {name: min(most, math.ceil(EVEN * self._share[name])) for name, most in self._most.items()}

    def add(self, item: Item, node: str) -> None:
        """*item* is on *node*."""
        self._load[node] += 1
        if item.group:
            self._groups.setdefault(item.group, Counter())[node] += 1

    def remove(self, item: Item, node: str) -> None:
        """*item* is not on *node* any more."""
        self._load[node] -= 1
        if item.group:
            self._groups[item.group][node] -= 1

    # Bounds

    def load(self, node: str) -> int:
        """Return how many items are on *node*."""
        return self._load[node]

    def share(self, node: str) -> float:
        """Return how many items are *node*'s part by its weight; none where it is unfit and others aren't."""
        return self._share[node]

    def most(self, node: str) -> int:
        """Return how many items *node* takes at most, as long as others have room."""
        return self._most[node]

    def least(self, node: str) -> int:
        """Return below how many items a rebalancing brings *node* more."""
        return math.floor(self._share[node] / SLACK)

    # Choosing

    def eligible(self, item: Item) -> tuple[Node, ...]:
        """Return the nodes that may have *item*; none only where all that may are gone.

        Only a node with an endpoint may, where that is asked for. Beyond that: those whose links can hold it, if there
        are any; and of those the fit ones, if there are any.
        """
        reached = tuple(self.nodes[names[0]].reaches(item.addresses) for names in self._able.values())
        key = (item.local, reached)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._choose_eligible(item.local, reached)
        return found

    def _choose_eligible(self, local: frozenset[str] | None, reached: tuple[bool, ...]) -> tuple[Node, ...]:
        able = {name for names, yes in zip(self._able.values(), reached, strict=True) if yes for name in names}
        near = [node for node in self.nodes.values() if local is None or node.name in local]
        reaching = [node for node in near if node.name in able] or near
        return tuple([node for node in reaching if not node.unfit] or reaching)

    def may_stay(self, item: Item, node: str) -> bool:
        """Tell whether nothing forbids that *item* stays on *node*."""
        return any(each.name == node for each in self.eligible(item))

    def choose(self, item: Item, *, besides: Collection[str] = ()) -> str | None:
        """Return the node that *item* should go to, none of those in *besides*; ``None`` where there is none."""
        nodes = [node for node in self.eligible(item) if node.name not in besides]
        if not nodes:
            return None
        if item.zone:
            nodes = [node for node in nodes if node.zone == item.zone] or nodes
        if item.group:
            nodes = self._apart(item.group, nodes)
        room = self._with_room(nodes, self._even) or self._with_room(nodes, self._most) or self._least_loaded(nodes)
        if self._equal:
            return _best_of_equals(item, room).name
        return max(room, key=lambda node: (score(item, node), node.name)).name

    def _apart(self, group: str, nodes: list[Node]) -> list[Node]:
        """Return those of *nodes* with the fewest of *group* in their zone, and among those on themselves."""
        on = self._groups.get(group, Counter())
        zones: Counter[str] = Counter()
        for name, count in on.items():
            if name in self.nodes:
                zones[self.nodes[name].zone] += count
        # Without a zone, nodes are not known to be near each other.
        crowd = {node.name: (zones[node.zone] if node.zone else 0, on[node.name]) for node in nodes}
        fewest = min(crowd.values())
        return [node for node in nodes if crowd[node.name] == fewest]

    def _with_room(self, nodes: list[Node], most: Mapping[str, int]) -> list[Node]:
        load = self._load
        return [node for node in nodes if load[node.name] < most[node.name]]

    def _least_loaded(self, nodes: list[Node]) -> list[Node]:
        loads = {node.name: self._load[node.name] / node.weight for node in nodes}
        least = min(loads.values())
        return [node for node in nodes if loads[node.name] == least]

    def crowded(self, item: Item, node: str) -> bool:
        """Tell whether *item* shares *node* with another of its group, though there is one without any."""
        on = self._groups.get(item.group, Counter()) if item.group else Counter()
        return on[node] > 1 and any(not on[each.name] for each in self.eligible(item))


def in_order(items: Iterable[Item]) -> list[Item]:
    """Return *items* in the order in which they are placed."""
    return sorted(items, key=lambda item: (item.seed, item.key))


def settled(items: Collection[Item], nodes: Mapping[str, Node], holders: Mapping[str, str]) -> Placement:
    """Return a placement in which every item is where *holders* says, if that node is there and may keep it."""
    placement = Placement(nodes, len(items))
    for item in items:
        holder = holders.get(item.key)
        if holder is not None and holder in nodes and placement.may_stay(item, holder):
            placement.add(item, holder)
    return placement


def place(items: Collection[Item], nodes: Mapping[str, Node], holders: Mapping[str, str]) -> dict[str, str]:
    """Return the node of each item: its present holder where that may keep it, else the one that should have it.

    An item that no node may have isn't in it.
    """
    placement = settled(items, nodes, holders)
    placed: dict[str, str] = {}
    for item in in_order(items):
        holder = holders.get(item.key)
        if holder is not None and holder in nodes and placement.may_stay(item, holder):
            placed[item.key] = holder
        elif (chosen := placement.choose(item)) is not None:
            placed[item.key] = chosen
            placement.add(item, chosen)
    return placed
