"""What one node does in spread mode: which addresses are its own, and which records it writes. Pure.

An address is this node's while the record of its *authority* names this node, in its present term. The authority is
that of the Services which use the address whose record of it is the newest, and the oldest one where several are;
records of the others are copies, so that whoever becomes the authority says the same.

What may be written follows from the roster: the record of a term that is over by anybody, any other one by
the node that it names. Each write is a compare-and-swap, so none needs to be waited for, and a lost one does no harm.
A driver tells of Services and Leases, asks ``update`` which addresses have come and gone, and ``steps`` what to do.
"""

import itertools
import math
from collections.abc import Collection
from collections.abc import Set as AbstractSet

import attrs

from kubevip.custody import Custody, Holder
from kubevip.lease import older
from kubevip.model import IPAddress, ServiceKey
from kubevip.placement import Placement
from kubevip.spread.assignment import PATIENCE, Assignment, by_name
from kubevip.spread.charges import Change, Charge, Step, Write
from kubevip.spread.docket import Docket
from kubevip.spread.doubts import DOUBTFUL, Doubts
from kubevip.spread.roster import Fate, Roster
from kubevip.spread.tenure import Tenure, cause_of, turn_of

# So many records are to be written at once.
SLICE = 64


@attrs.define(eq=False)
class Spreading:
    """One node's part in spreading Services. *term* is its present term, empty while it has none.

    One that is *alone* hears nobody of those who are there by their Leases: what is free is better off with them.
    """

    node: str
    roster: Roster
    patience: float = PATIENCE

    term: str = attrs.field(default="", init=False)
    alone: bool = attrs.field(default=False, init=False)
    own: dict[IPAddress, Holder] = attrs.field(factory=dict, init=False)
    assignment: Assignment = attrs.field(init=False)
    _doubts: Doubts = attrs.field(init=False)
    _begun: str = attrs.field(default="", init=False)
    _docket: Docket = attrs.field(factory=Docket, init=False)
    _state: dict[IPAddress, Tenure] = attrs.field(factory=dict, init=False)
    _pending: set[ServiceKey] = attrs.field(factory=set, init=False)
    _timed: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    _taking: dict[IPAddress, Change] = attrs.field(factory=dict, init=False)
    _doubtful: set[ServiceKey] = attrs.field(factory=set, init=False)
    _given: dict[IPAddress, tuple[int, ServiceKey]] = attrs.field(factory=dict, init=False)
    _wishes: dict[ServiceKey, str] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.assignment = Assignment(self.node, self.roster, self.patience)
        self._doubts = Doubts(self.node, self.roster)

    # What it is told

    def applied(self, charge: Charge, now: float) -> None:
        """A Service asks for addresses."""
        before = self._docket.charges.get(charge.key)
        if before is not None and before.uid == charge.uid:
            if older(charge.version, before.version):
                # Of the record more is known already; the rest comes again with the next event.
                charge = attrs.evolve(charge, version=before.version, record=before.record)
            if charge == before:
                self._docket.charges[charge.key] = charge
                return
        self._put(before, charge, now)

    def recorded(self, key: ServiceKey, uid: str, record: Custody | None, version: str, now: float) -> None:
        """An answer of the API server shows the record of a Service at *version*."""
        before = self._docket.charges.get(key)
        if before is not None and before.uid == uid and not older(version, before.version):
            self._put(before, attrs.evolve(before, record=record, version=version), now)

    def deleted(self, key: ServiceKey) -> None:
        """A Service asks for nothing any more."""
        if key in self._docket.charges:
            self._docket.drop(key)
            self.assignment.drop(key)
            self._wishes.pop(key, None)
            self._timed.pop(key, None)
            self._pending.discard(key)
            self._doubtful.discard(key)

    def _put(self, before: Charge | None, charge: Charge, now: float) -> None:
        self._docket.put(charge, now)
        if before is None or not charge.is_placed_like(before):
            self.assignment.ask(charge.key, charge.item)

    def changed(self, node: str) -> None:
        """More is known of *node* than that it has renewed its Lease."""
        self._docket.touch(node)
        self.assignment.forget_nodes()

    def listed(self, nodes: Collection[str], version: str, now: float) -> None:
        """These nodes have Leases, and no others: what is absent counts from now on."""
        news = set(self.roster.listed(nodes, version, now)) | (self._docket.nodes - set(nodes))
        for node in sorted(news):
            self.changed(node)

    def had_by(self, node: str) -> list[tuple[ServiceKey, IPAddress]]:
        """Return the addresses that *node* has by its present term, each with the Service that says so."""
        found = [(key, each) for key in self._docket.naming(node) for each in self._docket.charges[key].addresses]
        return [(key, address) for key, address in found if self._has(node, key, address)]

    def _has(self, node: str, key: ServiceKey, address: IPAddress) -> bool:
        state = self._state.get(address)
        if state is None or state.authority != key or state.holder is None or state.holder.node != node:
            return False
        return state.fate in (Fate.LIVE, Fate.SILENT)

    def lead(self, term: str) -> None:
        """This node's own Lease says *term* now; empty where this node doesn't lead it."""
        if term != self.term:
            self.term = term
            self._docket.touch(self.node)
            self.assignment.forget_nodes()

    def wish(self, key: ServiceKey, target: str) -> None:
        """Hand what is held for *key* over to *target*, if it is there and may have it."""
        if key in self._docket.charges:
            self._wishes[key] = target
            self._pending.add(key)

    def version_for(self, write: Write) -> str:
        """Return the resourceVersion at which a Service is as *write* expects it; empty where it isn't any more.

        Its record alone doesn't tell: a write that was decided on for other addresses would drop one that has come back
        meanwhile, and is this node's again.
        """
        charge = self._docket.charges.get(write.key)
        if charge is None or charge.uid != write.uid or charge.record != write.expected or not self.term:
            return ""
        return charge.version if charge.addresses == write.addresses else ""

    def handing_over(self, write: Write) -> None:
        """*write* is on its way: from now on another node may have what it gives away.

        Whatever becomes of it, this node has that again only by another write to the same record.
        """
        for address in write.giving:
            self._given[address] = (write.held[address].turn, write.key)
        self._docket.due.add(write.key)

    # Whose is what

    def update(self, now: float) -> list[Change]:
        """Look at all that has changed; return which addresses have come and gone."""
        docket = self._docket
        if self._timed:
            docket.due |= {key for key, until in self._timed.items() if until <= now}
        for node in self.roster.lapsed(now):
            self.changed(node)
        if not docket.due and not docket.orphans:
            return []
        orphans = sorted(docket.orphans, key=_by_number)
        changes = [self._lose(address) for address in orphans if not docket.is_used(address)]
        docket.orphans.clear()
        for key in by_name(docket.due):
            charge = docket.charges.get(key)
            self._timed.pop(key, None)
            for address in charge.addresses if charge is not None else ():
                changes.append(self._weigh(address, now))
            if charge is not None:
                self._file(charge, now)
        docket.due.clear()
        return [change for change in changes if change is not None]

    def _lose(self, address: IPAddress, *, given: bool = False) -> Change | None:
        if not self._docket.is_used(address):
            self._state.pop(address, None)
            self._given.pop(address, None)
        return Change(address, None, given) if self.own.pop(address, None) is not None else None

    def _weigh(self, address: IPAddress, now: float) -> Change | None:
        authority = self._docket.authority(address)
        charge = self._docket.charges[authority]
        holder = charge.record.holder(address) if charge.record is not None else None
        fate, until = (None, math.inf) if holder is None else self._fate(holder, self._docket.seen[authority], now)
        before = self._state.get(address)
        self._state[address] = Tenure(authority, holder, fate, until)
        if until < math.inf:
            self._timed[authority] = min(until, self._timed.get(authority, math.inf))
        if holder is None:
            return self._lose(address, given=address in self._given)
        if not self._is_ours(holder) or holder.turn <= self._given.get(address, (-1, authority))[0]:
            if not self._state[address].free and not self._is_ours(holder):
                self._taking.pop(address, None)
            return self._lose(address, given=address in self._given or holder.source == self.node)
        self._given.pop(address, None)
        if address in self.own:
            self.own[address] = holder
            return None
        self.own[address] = holder
        if address in self._taking:
            return self._taking.pop(address)
        state = self._state[address]
        return Change(address, cause_of(state, before), changed_hands=self._changed_hands(state))

    def _changed_hands(self, state: Tenure) -> float:
        """Return since when its record has been as it is; ``-inf`` where that names the first holder there was."""
        return self._docket.seen[state.authority] if state.holder is not None and state.holder.turn else -math.inf

    def _is_ours(self, holder: Holder) -> bool:
        return holder.node == self.node and holder.term == self.term != ""

    def _is_ours_or_free(self, state: Tenure) -> bool:
        return state.holder is None or state.free or self._is_ours(state.holder)

    def _is_undecided(self, charge: Charge, address: IPAddress) -> bool:
        """Tell whether this node has tried to hand *address* over by this record, which still names it."""
        if address not in self._given or not self._names_us(charge, address):
            return False
        if not self._is_ours_or_free(self._state[address]):
            # By a newer record it is another node's: somebody has written the old one again.
            return False
        turn, key = self._given[address]
        given_by = self._docket.charges.get(key)
        if given_by is None or not self._names_us(given_by, address):
            # That record is no more: the authority's has to be written.
            key = self._state[address].authority
        return key == charge.key and turn_of(charge, address) <= turn

    def _names_us(self, charge: Charge, address: IPAddress) -> bool:
        holder = charge.record.holder(address) if charge.record is not None else None
        return holder is not None and self._is_ours(holder)

    def _fate(self, holder: Holder, seen: float, now: float) -> tuple[Fate, float]:
        if holder.node != self.node:
            return self.roster.fate(holder, seen, now)
        # Of its own terms a node knows best; while it has none it decides nothing.
        return (Fate.LIVE if holder.term == self.term or not self.term else Fate.BURIED), math.inf

    def _lead_of(self, charge: Charge) -> IPAddress | None:
        """Return the first of its addresses for which the Service is the authority: the others follow it."""
        return next((each for each in charge.addresses if self._state[each].authority == charge.key), None)

    def _file(self, charge: Charge, now: float) -> None:
        """Note where a Service is, and whether something is to be done about it."""
        lead = self._lead_of(charge)
        state = self._state[lead] if lead is not None else None
        if state is None:
            self.assignment.drop(charge.key)
            self.assignment.ask(charge.key, charge.item)
        elif state.free:
            self.assignment.release(charge.key, now)
        elif state.holder is not None:
            self.assignment.settle(charge.key, state.holder.node, now)
            if state.holder.node != self.node:
                # It has been fulfilled, or is for another node to heed.
                self._wishes.pop(charge.key, None)
        self._pending.add(charge.key)
        if DOUBTFUL & {self._state[address].fate for address in charge.addresses}:
            self._doubtful.add(charge.key)
        else:
            self._doubtful.discard(charge.key)

    # What to do

    def steps(self, now: float, busy: AbstractSet[object] = frozenset(), most: int = SLICE) -> tuple[list[Step], float]:
        """Return what to do at *now*, and when to ask again if nothing happens; ``update`` has to come before.

        Of records no more than *most*, and none of the Services that are *busy*.
        """
        again = min([self.roster.next_end(now), *self._timed.values()], default=math.inf)
        if not self.term:
            return [], again
        if self.assignment.stale:
            # Who may have something has changed: what is here may have to go.
            self._pending |= {self._state[address].authority for address in self.own if address in self._state}
        placement = self.assignment.placement(now)
        if self._begun != self.term:
            self._begun = self.term
            self.assignment.begin(now)
        found, later = self.assignment.taken(now, self._docket.naming(self.node))
        if self.alone and len(placement.nodes) > 1:
            found, due = self.assignment.overdue(found, now)
            later = min(later, due)
        taken = dict.fromkeys(itertools.islice((key for key in found if key not in busy), most))
        writes: list[Step] = []
        for key in by_name(self._pending - busy):
            if len(writes) >= most:
                break
            write = self._write(self._docket.charges[key], False, placement) if key not in taken else None
            if write is not None:
                writes.append(write)
            else:
                self._pending.discard(key)
        if not self._pending:
            # An empty set keeps the room of thousands otherwise.
            self._pending.clear()
        takes = (self._write(self._docket.charges[key], True, placement) for key in taken)
        writes += itertools.islice(filter(None, takes), most - len(writes))
        tenures = (self._state[address] for key in self._doubtful for address in self._docket.charges[key].addresses)
        doubts, due = self._doubts.steps(tenures, placement, now)
        return [*doubts, *writes], min(again, later, due)

    def _write(self, charge: Charge, takes: bool, placement: Placement) -> Write | None:
        """Return what the record of a Service has to become, as far as that is this node's to say."""
        before = charge.record.held if charge.record is not None else {}
        held = {address: holder for address, holder in before.items() if self._keeps(charge, address, holder)}
        lead = self._lead_of(charge)
        leading = self._leading(charge, lead, takes, placement)
        giving: list[IPAddress] = []
        for address in charge.addresses:
            state = self._state[address]
            undecided = self._is_undecided(charge, address)
            turn = max(turn_of(charge, address), self._given[address][0] if undecided else -1) + 1
            if state.authority != charge.key and not undecided:
                if address in self.own:
                    held[address] = self.own[address]
            elif address in self.own or undecided:
                if leading not in ("", self.node) and self.roster.term(leading):
                    held[address] = Holder(leading, self.roster.term(leading), self.node, turn)
                    giving.append(address)
                elif undecided:
                    held[address] = Holder(self.node, self.term, turn=turn)
            elif state.free and leading == self.node:
                held[address] = Holder(self.node, self.term, turn=turn)
                silent_by = self.roster.ended(state.holder.node) if state.holder is not None else 0.0
                changed = self._changed_hands(state)
                self._taking[address] = Change(address, state.cause, silent_by=silent_by, changed_hands=changed)
        if held == before:
            return None
        return Write(charge.key, charge.uid, charge.addresses, charge.record, held, tuple(giving))

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
        if lead not in self.own and not self._is_undecided(charge, lead):
            return state.holder.node if state.fate is Fate.LIVE else ""
        return self._successor(charge.key, placement) or self.node

    def has_heirs(self, now: float) -> bool:
        """Tell whether there is another node for anything that this one should not keep."""
        placement = self.assignment.placement(now)
        keys = {self._state[address].authority for address in self.own if address in self._state}
        return any(key in self.assignment.items and self._successor(key, placement) for key in keys)

    def _successor(self, key: ServiceKey, placement: Placement) -> str:
        """Return whom this node hands over to what it has for *key*; empty where it keeps it."""
        item, wish = self.assignment.items[key], self._wishes.get(key, "")
        if wish and (wish == self.node or not placement.may_stay(item, wish)):
            del self._wishes[key]
            wish = ""
        if wish:
            return wish
        if placement.may_stay(item, self.node):
            return ""
        return placement.choose(item, besides=(self.node,)) or ""


def _by_number(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)
