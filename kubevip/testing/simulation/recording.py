"""Writes down, in spread mode, what the API server is told of who has which address: Services' records, nodes' terms.

These are events like those of ``chronicle``; without spread mode there are none.
"""

import ipaddress

import attrs

from kubevip.custody import HOLDER, Custody, Facts, Holder
from kubevip.emulator import BY_PLURAL, Store, Stored
from kubevip.emulator.store import Change, Shelf
from kubevip.kube.nodeleases import PREFIX
from kubevip.model import IPAddress
from kubevip.succession import WORD
from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Chronicle, Event

ADDRESSES = "kube-vip.io/loadbalancerIPs"


@attrs.frozen
class Recorded(Event):
    """*writer*, who has sent that at *asked*, has written a Service: it wants *addresses*, and its record has *held*.

    A *writer* that is empty is somebody who knows nothing of records. A Service that is no more asks for nothing.
    """

    writer: str
    asked: float
    service: str
    addresses: tuple[IPAddress, ...]
    held: tuple[tuple[IPAddress, Holder], ...]

    def __str__(self) -> str:
        who = [f"{address} {holder.node} (term {holder.term}, turn {holder.turn})" for address, holder in self.held]
        return f"{self.writer or 'somebody'} writes {self.service}, held: {', '.join(who) or 'by nobody'}"


@attrs.frozen
class Termed(Event):
    """*writer*, who has sent that at *asked*, has written the Lease of *node*: it names *holder* now, and says *term*.

    *left*: it names nobody because its node let go of it.
    """

    writer: str
    asked: float
    node: str
    holder: str
    term: str
    left: bool

    def __str__(self) -> str:
        state = f"held, term {self.term}" if self.holder else f"vacant after term {self.term}"
        return f"the Lease of {self.node} is {state} (written by {self.writer or 'somebody'})"


@attrs.frozen
class Evened(Event):
    """Somebody has rebalanced: what was on each node *before*, what was moved, and what is still to be moved then.

    *stuck* weren't moved in time. *asked* is when that began, *most* how many it was to move at most.
    """

    asked: float
    most: int | None
    before: tuple[tuple[str, int], ...]
    moves: int
    stuck: int
    left: int

    def __str__(self) -> str:
        loads = ", ".join(f"{node} {count}" for node, count in self.before)
        return f"rebalanced: {loads} before, {self.moves} moves, {self.stuck} stuck, {self.left} left"


@attrs.define(eq=False)
class Recorder:
    """Looks at what has changed in *store*."""

    _store: Store
    _chronicle: Chronicle
    _services: "_News" = attrs.field(init=False)
    _leases: "_News" = attrs.field(init=False)
    _terms: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._services, self._leases = (_News(self._store.shelf(BY_PLURAL[name])) for name in ("services", "leases"))

    def look(self, writer: str, asked: float) -> None:
        """Write down what *writer*, who had asked for that at *asked*, has changed just now."""
        for change in self._services.take():
            addresses, held = () if change.gone else _asked(change.new), () if change.gone else _held(change.new)
            self._chronicle.add(Recorded(universal_time(), writer, asked, change.new.key[1], addresses, held))
        for change in self._leases.take():
            if change.new.key[1].startswith(PREFIX):
                self._note_term(writer, asked, change)

    def _note_term(self, writer: str, asked: float, change: Change) -> None:
        node = change.new.key[1].removeprefix(PREFIX)
        facts = Facts.parse(_annotation(change.new, WORD))
        holder = "" if change.gone else str(change.new.value["spec"].get("holderIdentity") or "")
        term = facts.term if facts is not None and not change.gone else ""
        if self._terms.get(node) != (holder, term):
            self._terms[node] = (holder, term)
            left = facts is not None and facts.left
            self._chronicle.add(Termed(universal_time(), writer, asked, node, holder, term, left))


@attrs.define(eq=False)
class _News:
    """The changes of one resource, each once."""

    _shelf: Shelf
    _position: int = attrs.field(default=0, init=False)

    def take(self) -> list[Change]:
        found = self._shelf.after(max(self._position, self._shelf.dropped))
        self._position = self._shelf.end
        return found


def _annotation(stored: Stored, name: str) -> str:
    return str((stored.value["metadata"].get("annotations") or {}).get(name, ""))


def _asked(stored: Stored) -> tuple[IPAddress, ...]:
    return tuple(ipaddress.ip_address(text) for text in _annotation(stored, ADDRESSES).split(",") if text)


def _held(stored: Stored) -> tuple[tuple[IPAddress, Holder], ...]:
    record = Custody.parse(_annotation(stored, HOLDER), str(stored.value["metadata"].get("uid", "")))
    return tuple(record.held.items()) if record is not None else ()
