"""What a Service says of who holds its addresses, and what a node says of itself, in spread mode. Pure.

The record of an address names a node and a *term* of it. A node's terms are those of its own Lease: a new one begins,
with a new name, whenever the Lease was let go of, was taken away or is created anew. So a record is worth something
exactly while the Lease of its node says the same term, and whoever has seen a term end knows that for ever: a record
of it may be overwritten by one compare-and-swap, however long that takes on its way.

A record also names the Service that it is of, by its uid: it means nothing in a manifest that somebody has copied.
"""

import ipaddress
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self

import attrs

from kubevip.model import IPAddress, ServiceKey
from kubevip.placement import Network, Node

# The annotation of a Service with its record.
HOLDER = "kubevip.io/holder"
# Annotations of a Service by which users say where it should be.
GROUP, ZONE = "kubevip.io/group", "kubevip.io/zone"
OF_SPREADING = frozenset({GROUP, ZONE})
# More than this in an annotation is none of ours, and more networks than these aren't told.
_LONGEST, _NETWORKS = 16384, 64
# No node weighs more than so many others.
HEAVIEST = 1000


@attrs.frozen
class Holder:
    """The node that has an address, and the term by which it does; *source* is the node that handed it over.

    *turn* grows with each change of holder: of several records of an address the one with the highest counts.
    """

    node: str
    term: str
    source: str = ""
    turn: int = 0


Entry = tuple[IPAddress, Holder]


def _sorted(held: Mapping[IPAddress, Holder]) -> tuple[Entry, ...]:
    return tuple(held.items()) if len(held) < 2 else tuple(sorted(held.items(), key=_in_order))


@attrs.frozen(weakref_slot=False)
class Custody:
    """The record of the Service *uid*: the holder of each of its addresses."""

    uid: str
    # Thousands are kept, nearly all with one entry.
    _entries: tuple[Entry, ...] = attrs.field(default=(), alias="held", converter=_sorted)

    @property
    def held(self) -> dict[IPAddress, Holder]:
        """The holder of each address."""
        return dict(self._entries)

    def holder(self, address: IPAddress) -> Holder | None:
        """Return the holder of *address*."""
        for known, holder in self._entries:
            if known == address:
                return holder
        return None

    @property
    def nodes(self) -> list[str]:
        """The nodes that it names."""
        return [holder.node for _address, holder in self._entries]

    @classmethod
    def parse(cls, text: str, uid: str) -> Self | None:
        """Read the record of the Service *uid*; what is none, or another Service's, is nothing."""
        found = _object(text)
        entries = found.get("held")
        if not uid or found.get("uid") != uid or not isinstance(entries, dict):
            return None
        return cls(uid, dict(filter(None, (_entry(*entry) for entry in entries.items()))))

    def __str__(self) -> str:
        held = {str(address): _words(holder) for address, holder in self._entries}
        return json.dumps({"uid": self.uid, "held": held}, separators=(",", ":"))


def _words(holder: Holder) -> list[str | int]:
    return [holder.turn, holder.node, holder.term, *([holder.source] if holder.source else [])]


def _in_order(entry: Entry) -> tuple[int, int]:
    return entry[0].version, int(entry[0])


def _entry(text: str, words: object) -> Entry | None:
    if not isinstance(words, list) or not 3 <= len(words) <= 4 or type(words[0]) is not int:
        return None
    if not all(isinstance(word, str) for word in words[1:]):
        return None
    node, term, *source = words[1:]
    try:
        return ipaddress.ip_address(text), _holder(node, term, "".join(source), words[0])
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _holder(node: str, term: str, source: str, turn: int) -> Holder:
    """Share what is the same in the records of thousands of Services."""
    return Holder(node, term, source, turn)


@attrs.frozen(kw_only=True)
class Facts:
    """What a node says of itself in its Lease: its *term*, and what matters for a placement.

    In a Lease that nobody holds: *left* where the node itself let go of it, else another node took it away.
    """

    term: str
    weight: float = 1.0
    zone: str = ""
    networks: tuple[Network, ...] = ()
    unfit: str = ""
    left: bool = False

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read it; what is none is nothing, and a wrong detail is as if it weren't there."""
        found = _object(text)
        term = found.get("term")
        if not isinstance(term, str) or not term:
            return None
        return cls(
            term=term,
            weight=_weight(found.get("weight")),
            zone=_text(found.get("zone")),
            networks=_networks(found.get("networks")),
            unfit=_text(found.get("unfit")),
            left=found.get("left") is True,
        )

    def __str__(self) -> str:
        said: dict[str, object] = {
            "term": self.term,
            "weight": self.weight if self.weight != 1.0 else None,
            "zone": self.zone,
            "networks": [str(network) for network in self.networks[:_NETWORKS]],
            "unfit": self.unfit[:256],
            "left": self.left,
        }
        return json.dumps({name: value for name, value in said.items() if value}, separators=(",", ":"))

    def node(self, name: str) -> Node:
        """Return what a placement has to know of the node *name* that says this."""
        return Node(name=name, weight=self.weight, zone=self.zone, networks=self.networks, unfit=self.unfit)


@attrs.frozen
class Orders:
    """Somebody asks a node, in its present *term*, to hand Services over to other nodes; *id* tells orders apart."""

    term: str
    id: str
    moves: Mapping[ServiceKey, str] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read them; what is none is nothing."""
        found = _object(text)
        moves = found.get("moves")
        term, name = _text(found.get("term")), _text(found.get("id"))
        if not term or not name or not isinstance(moves, dict):
            return None
        pairs = ((service.partition("/"), node) for service, node in moves.items() if isinstance(node, str))
        return cls(term, name, {ServiceKey(where, key): node for (where, slash, key), node in pairs if slash})

    def __str__(self) -> str:
        moves = {str(key): node for key, node in self.moves.items()}
        return json.dumps({"term": self.term, "id": self.id, "moves": moves}, separators=(",", ":"))


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1.0
    return float(value) if math.isfinite(value) and 0 < value <= HEAVIEST else 1.0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _networks(value: object) -> tuple[Network, ...]:
    found = []
    for text in value[:_NETWORKS] if isinstance(value, list) else ():
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            continue
    return tuple(found)


def _object(text: str) -> dict[str, Any]:
    if not text or len(text) > _LONGEST:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
