"""What one node does in spread mode: which addresses are its own, and which records it writes. Pure.

An address is this node's while the record of its *authority* names this node, in its present term. The authority is
the oldest of the Services that use the address and have a record of it, or the oldest of all; records of the others
are copies, so that whoever becomes the authority says the same.

What may be written follows from ``kubevip.roster``: the record of a term that is over by anybody, any other one by
the node that it names. Each write is a compare-and-swap, so none needs to be waited for, and a lost one does no harm.
A driver tells of Services and Leases, asks ``update`` which addresses have come and gone, and ``steps`` what to do.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import attrs

from kubevip.custody import Custody, Holder
from kubevip.election import Cause
from kubevip.lease import Record, older
from kubevip.model import IPAddress, ServiceKey
from kubevip.placement import Item, Node, Placement, in_order, score
from kubevip.roster import Fate, Roster

# So long a node that should take something is waited for, in seconds; then the next one takes it.
PATIENCE = 5.0
# Candidates for taking a silent Lease away go one after the other, so many seconds apart.
TURN = 0.05


@attrs.frozen(kw_only=True)
class Charge:
    """A Service that asks for *addresses*. *version* is its resourceVersion, *record* what it says of their holders.

    *group*, *zone* and *local* are those of ``kubevip.placement.Item``.
    """

    key: ServiceKey
    uid: str
    created: str = ""
    version: str = attrs.field(default="", eq=False)
    addresses: tuple[IPAddress, ...]
    record: Custody | None = None
    group: str = ""
    zone: str = ""
    local: frozenset[str] | None = None

    @property
    def item(self) -> Item:
        """What is to be placed."""
        return Item(key=str(self.key), addresses=self.addresses, group=self.group, zone=self.zone, local=self.local)


@attrs.frozen
class Write:
    """Write *held* into the record of the Service *key*, if that still is *expected*; *giving* is handed over by it."""

    key: ServiceKey
    uid: str
    expected: Custody | None
    held: Mapping[IPAddress, Holder]
    giving: tuple[IPAddress, ...] = ()


@attrs.frozen
class Bury:
    """Take its silent Lease away from *node*."""

    node: str
    base: Record


@attrs.frozen
class Look:
    """Read the Lease of *node*."""

    node: str


Step = Write | Bury | Look


@attrs.frozen
class Change:
    """*address* has become this node's, for *cause*; with ``None`` it isn't any more.

    *given*: this node has handed it over, so a successor will show up.
    """

    address: IPAddress
    cause: Cause | None
    given: bool = False


@attrs.define
class _Address:
    """What is known of an address: who says who has it, whom that names, and what has become of that."""

    authority: ServiceKey
    holder: Holder | None = None
    fate: Fate | None = None
    until: float = math.inf

    @property
    def free(self) -> bool:
        return self.fate is None or self.fate.over


_CAUSES = {Fate.LEFT: Cause.VACANT, Fate.BURIED: Cause.EXPIRED}


@attrs.define(eq=False)
class Spreading:
    """One node's part in spreading Services. *term* is its present term, empty while it has none."""

    node: str
    roster: Roster
    patience: float = PATIENCE

    term: str = attrs.field(default="", init=False)
    own: dict[IPAddress, Holder] = attrs.field(factory=dict, init=False)
    _charges: dict[ServiceKey, Charge] = attrs.field(factory=dict, init=False)
    _items: dict[ServiceKey, Item] = attrs.field(factory=dict, init=False)
    _seen: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _users: dict[IPAddress, set[ServiceKey]] = attrs.field(factory=dict, init=False)
    _state: dict[IPAddress, _Address] = attrs.field(factory=dict, init=False)
    _named: dict[str, set[ServiceKey]] = attrs.field(factory=dict, init=False)
    _dirty: set[ServiceKey] = attrs.field(factory=set, init=False)
    _orphans: set[IPAddress] = attrs.field(factory=set, init=False)
    _pending: set[ServiceKey] = attrs.field(factory=set, init=False)
    _timed: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _free_since: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _taking: dict[IPAddress, Cause] = attrs.field(factory=dict, init=False)
    _doubtful: set[ServiceKey] = attrs.field(factory=set, init=False)
    _giving: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    _wishes: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    _on: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)
    _placement: Placement | None = attrs.field(default=None, init=False)

    # What it is told

    def applied(self, charge: Charge, now: float) -> None:
        """A Service asks for addresses."""
        before = self._charges.get(charge.key)
        if before is not None and before.uid == charge.uid:
            if older(charge.version, before.version):
                # Of the record more is known already; the rest comes again with the next event.
                charge = attrs.evolve(charge, version=before.version, record=before.record)
            if charge == before:
                self._settle(charge)
                return
        self._replace(before, charge, now)

    def recorded(self, key: ServiceKey, uid: str, record: Custody | None, version: str, now: float) -> None:
        """An answer of the API server shows the record of a Service at *version*."""
        before = self._charges.get(key)
        if before is not None and before.uid == uid and not older(version, before.version):
            self._replace(before, attrs.evolve(before, record=record, version=version), now)

    def deleted(self, key: ServiceKey) -> None:
        """A Service asks for nothing any more."""
        before = self._charges.get(key)
        if before is not None:
            self._forget(before)
            self._put(key, None)
            del self._charges[key], self._seen[key], self._items[key]
            self._giving.pop(key, None)
            self._wishes.pop(key, None)
            self._timed.pop(key, None)
            self._free_since.pop(key, None)
            self._pending.discard(key)
            self._doubtful.discard(key)

    def _replace(self, before: Charge | None, charge: Charge, now: float) -> None:
        if before is not None:
            self._forget(before)
            if before.record == charge.record and before.uid == charge.uid:
                now = self._seen[charge.key]
        self._settle(charge)
        self._seen[charge.key] = now
        item = charge.item
        if self._items.get(charge.key) != item:
            on = self._on.get(charge.key)
            self._put(charge.key, None)
            self._items[charge.key] = item
            self._put(charge.key, on)
        for address in charge.addresses:
            self._users.setdefault(address, set()).add(charge.key)
            self._dirty |= self._users[address]
        for holder in charge.record.held.values() if charge.record else ():
            self._named.setdefault(holder.node, set()).add(charge.key)
        self._dirty.add(charge.key)

    def _settle(self, charge: Charge) -> None:
        self._charges[charge.key] = charge
        if self._giving.get(charge.key, charge.version) != charge.version:
            # Whatever became of what was handed over: it is decided.
            del self._giving[charge.key]
            self._dirty.add(charge.key)

    def _forget(self, charge: Charge) -> None:
        for address in charge.addresses:
            users = self._users[address]
            users.discard(charge.key)
            self._dirty |= users
            if not users:
                del self._users[address]
                self._orphans.add(address)
        for holder in charge.record.held.values() if charge.record else ():
            self._named.get(holder.node, set()).discard(charge.key)
        self._dirty.discard(charge.key)

    def changed(self, node: str) -> None:
        """More is known of *node* than that it has renewed its Lease."""
        self._dirty |= self._named.get(node, set())
        self._placement = None

    def lead(self, term: str) -> None:
        """This node's own Lease says *term* now; empty where this node doesn't lead it."""
        if term != self.term:
            self.term = term
            self._dirty |= self._named.get(self.node, set())
            self._placement = None

    def wish(self, key: ServiceKey, target: str) -> None:
        """Hand what is held for *key* over to *target*, if it is there and may have it."""
        self._wishes[key] = target
        self._pending.add(key)

    def handing_over(self, write: Write) -> None:
        """*write* is on its way: from now on another node may have what it gives away."""
        self._giving[write.key] = self._charges[write.key].version if write.key in self._charges else ""
        self._dirty.add(write.key)

    # Whose is what

    def update(self, now: float) -> list[Change]:
        """Look at all that has changed; return which addresses have come and gone."""
        self._dirty |= {key for key, until in self._timed.items() if until <= now}
        for node in self.roster.lapsed(now):
            self.changed(node)
        changes = [self._lose(address) for address in self._orphans if address not in self._users]
        self._orphans.clear()
        for key in tuple(self._dirty):
            charge = self._charges.get(key)
            self._timed.pop(key, None)
            for address in charge.addresses if charge is not None else ():
                changes.append(self._weigh(address, now))
            if charge is not None:
                self._file(charge, now)
        self._dirty.clear()
        return [change for change in changes if change is not None]

    def _lose(self, address: IPAddress, *, given: bool = False) -> Change | None:
        if address not in self._users:
            self._state.pop(address, None)
        return Change(address, None, given) if self.own.pop(address, None) is not None else None

    def _weigh(self, address: IPAddress, now: float) -> Change | None:
        authority = self._authority(address)
        charge = self._charges[authority]
        holder = charge.record.held.get(address) if charge.record is not None else None
        fate, until = (None, math.inf) if holder is None else self._fate(holder, self._seen[authority], now)
        before = self._state.get(address)
        self._state[address] = _Address(authority, holder, fate, until)
        if until < math.inf:
            self._timed[authority] = min(until, self._timed.get(authority, math.inf))
        ours = holder is not None and holder.node == self.node and holder.term == self.term != ""
        if not ours and not self._state[address].free:
            self._taking.pop(address, None)
        if not ours or authority in self._giving:
            given = authority in self._giving or (holder is not None and holder.source == self.node)
            return self._lose(address, given=given)
        assert holder is not None
        if address in self.own:
            self.own[address] = holder
            return None
        self.own[address] = holder
        return Change(address, self._taking.pop(address, None) or _cause(holder, before, self.node))

    def _fate(self, holder: Holder, seen: float, now: float) -> tuple[Fate, float]:
        if holder.node != self.node:
            return self.roster.fate(holder, seen, now)
        # Of its own terms a node knows best; while it has none it decides nothing.
        return (Fate.LIVE if holder.term == self.term or not self.term else Fate.BURIED), math.inf

    def _authority(self, address: IPAddress) -> ServiceKey:
        users = [self._charges[key] for key in self._users[address]]
        if len(users) == 1:
            return users[0].key
        saying = [each for each in users if each.record is not None and address in each.record.held]
        return min(saying or users, key=lambda each: (each.created, each.key)).key

    def _lead_of(self, charge: Charge) -> IPAddress | None:
        """Return the first of its addresses for which the Service is the authority: the others follow it."""
        return next((each for each in charge.addresses if self._state[each].authority == charge.key), None)

    def _file(self, charge: Charge, now: float) -> None:
        """Note where a Service is, and whether something is to be done about it."""
        lead = self._lead_of(charge)
        state = self._state[lead] if lead is not None else None
        if state is not None and state.free:
            self._free_since.setdefault(charge.key, now)
        else:
            self._free_since.pop(charge.key, None)
        self._put(charge.key, state.holder.node if state is not None and state.holder and not state.free else None)
        self._pending.add(charge.key)
        if {self._state[address].fate for address in charge.addresses} & {Fate.SILENT, Fate.UNSURE}:
            self._doubtful.add(charge.key)
        else:
            self._doubtful.discard(charge.key)

    # Placement

    def _put(self, key: ServiceKey, node: str | None) -> None:
        before = self._on.pop(key, None)
        if node is not None:
            self._on[key] = node
        if self._placement is None or before == node:
            return
        if before is not None:
            self._placement.remove(self._items[key], before)
        if node is not None:
            self._placement.add(self._items[key], node)

    def _placed(self, now: float) -> Placement:
        total = len(self._on) + len(self._free_since)
        if self._placement is not None and self._placement.total != total:
            self._placement.resize(total)
        if self._placement is None:
            self._placement = Placement(self.roster.present(now), total)
            for key, node in self._on.items():
                self._placement.add(self._items[key], node)
            # Who may have something has changed: what is here may have to go, and what is free may find a place.
            self._pending |= {self._state[address].authority for address in self.own if address in self._state}
            self._pending |= self._free_since.keys()
        return self._placement

    def _assign(self, placement: Placement, now: float) -> tuple[set[ServiceKey], float]:
        """Return what of all that is free this node takes now, and when to look again."""
        taken, again = set(), math.inf
        chosen: list[tuple[Item, str]] = []
        keys = {self._items[key].key: key for key in self._free_since}
        for item in in_order(self._items[key] for key in self._free_since):
            node = placement.choose(item)
            if node is None:
                continue
            placement.add(item, node)
            chosen.append((item, node))
            due = self._free_since[keys[item.key]] + (0.0 if node == self.node else self.patience)
            if now >= due and node != self.node:
                due += self._turn(item, node, placement)
            if now >= due:
                taken.add(keys[item.key])
            else:
                again = min(again, due)
        for item, node in chosen:
            placement.remove(item, node)
        return taken, again

    def _turn(self, item: Item, chosen: str, placement: Placement) -> float:
        """Return how much longer this node waits for those who should take *item* before it does."""
        names = [each.name for each in _best_first(item, placement.eligible(item)) if each.name != chosen]
        return self.patience * (names.index(self.node) / 2) if self.node in names else math.inf

    def why(self, key: ServiceKey, now: float) -> str:
        """Say for people why a Service is where it is."""
        charge, placement = self._charges.get(key), self._placed(now)
        if charge is None:
            return "it asks for no address"
        item, node = self._items[key], self._on.get(key)
        first = placement.choose(item)
        if node is None:
            return f"nobody has it; {first} should take it" if first else "no node may have it"
        bounds = f"{node} has {placement.load(node)} of {placement.total}"
        if node in placement.nodes:
            bounds += f", at most {placement.most(node)}"
        if node not in placement.nodes or not placement.may_stay(item, node):
            return f"{node} holds it and should not any more; {first or 'nobody'} may take it; {bounds}"
        best = next(iter(_best_first(item, placement.eligible(item)))).name
        reason = "has the best score" if best == node else f"got it when it was free; {best} has a better score"
        return f"{node} {reason}; {bounds}"

    # What to do

    def steps(self, now: float) -> tuple[list[Step], float]:
        """Return what to do at *now*, and when to ask again if nothing happens; ``update`` has to come before."""
        again = min([self.roster.next_end(now), *self._timed.values()], default=math.inf)
        if not self.term:
            return [], again
        placement = self._placed(now)
        taken, later = self._assign(placement, now)
        writes: list[Step] = []
        for key in tuple(self._pending | taken):
            write = self._write(self._charges[key], key in taken, placement)
            if write is None:
                self._pending.discard(key)
            else:
                writes.append(write)
        doubts, due = self._doubts(placement, now)
        return [*doubts, *writes], min(again, later, due)

    def _doubts(self, placement: Placement, now: float) -> tuple[list[Step], float]:
        """Return what has to be found out about terms that may be over, and when to ask for more."""
        fates: dict[str, set[Fate]] = {}
        for key in self._doubtful:
            for address in self._charges[key].addresses:
                state = self._state[address]
                if state.holder is not None and state.fate in (Fate.SILENT, Fate.UNSURE):
                    fates.setdefault(state.holder.node, set()).add(state.fate)
        steps: list[Step] = []
        again = math.inf
        for node, doubts in sorted(fates.items()):
            record = self.roster.record(node)
            due = self.roster.ends(node) + TURN * self._rank(node, placement)
            if Fate.UNSURE in doubts or record is None:
                steps.append(Look(node))
            elif now >= due:
                steps.append(Bury(node, record))
            else:
                again = min(again, due)
        return steps, again

    def _rank(self, node: str, placement: Placement) -> int:
        grave = Item(key=f"Lease of {node}")
        names = [each.name for each in _best_first(grave, placement.nodes.values()) if each.name != node]
        return names.index(self.node) if self.node in names else len(names)

    def _write(self, charge: Charge, takes: bool, placement: Placement) -> Write | None:
        """Return what the record of a Service has to become, as far as that is this node's to say."""
        before = dict(charge.record.held) if charge.record is not None else {}
        held = {address: holder for address, holder in before.items() if self._keeps(charge, address, holder)}
        lead = self._lead_of(charge)
        leading = self._leading(charge, lead, takes, placement)
        giving: list[IPAddress] = []
        for address in charge.addresses:
            state = self._state[address]
            if state.authority != charge.key:
                if address in self.own:
                    held[address] = self.own[address]
            elif charge.key in self._giving and state.holder is not None and state.holder.node == self.node:
                # It may still be on its way: another write makes sure that it comes to nothing.
                held[address] = attrs.evolve(state.holder, source="" if state.holder.source else self.node)
            elif address in self.own and leading != self.node and leading and self.roster.term(leading):
                held[address] = Holder(leading, self.roster.term(leading), self.node)
                giving.append(address)
            elif state.free and leading == self.node:
                held[address] = Holder(self.node, self.term)
                self._taking[address] = _CAUSES.get(state.fate, Cause.ABSENT) if state.fate else Cause.ABSENT
        if held == before:
            return None
        return Write(charge.key, charge.uid, charge.record, held, tuple(giving))

    def _keeps(self, charge: Charge, address: IPAddress, holder: Holder) -> bool:
        """Tell whether a record goes on to speak of *address*: of another one it does only for another node."""
        return address in charge.addresses or (holder.node, holder.term) != (self.node, self.term)

    def _leading(self, charge: Charge, lead: IPAddress | None, takes: bool, placement: Placement) -> str:
        """Return the node that is to have the first address of a Service, and so the others."""
        if lead is None:
            return ""
        state = self._state[lead]
        if state.free:
            return self.node if takes else ""
        assert state.holder is not None
        if lead not in self.own:
            return state.holder.node if state.fate is Fate.LIVE else ""
        return self._successor(charge.key, placement) or self.node

    def _successor(self, key: ServiceKey, placement: Placement) -> str:
        """Return whom this node hands over to what it has for *key*; empty where it keeps it."""
        item, wish = self._items[key], self._wishes.get(key, "")
        if wish and (wish == self.node or not placement.may_stay(item, wish)):
            del self._wishes[key]
            wish = ""
        if wish:
            return wish
        if placement.may_stay(item, self.node):
            return ""
        return placement.choose(item, besides=(self.node,)) or ""


def _cause(holder: Holder, before: _Address | None, node: str) -> Cause:
    """Tell how *node* has come by an address that it hasn't asked for."""
    known = before is not None and before.holder is not None and before.holder.node == holder.source != node
    return Cause.VACANT if holder.source and known else Cause.OURS


def _best_first(item: Item, nodes: Iterable[Node]) -> Iterator[Node]:
    return iter(sorted(nodes, key=lambda node: (-score(item, node), node.name)))
