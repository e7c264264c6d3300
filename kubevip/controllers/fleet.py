"""The nodes of a fleet that spreads Services, as heartbeats want to know them: who has what, and where that is."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Set

import attrs

from kubevip.custody import Facts
from kubevip.lease import Record
from kubevip.model import IPAddress, ServiceKey, Vip
from kubevip.placement import Network
from kubevip.spread.roster import Roster
from kubevip.spread.spreading import Spreading


@attrs.define(eq=False)
class Fleet:
    """All nodes with their Leases, and the places of the addresses of Services. *changed* is called after each word.

    *networks* returns those that this node's own links are in.
    """

    _roster: Roster
    _spreading: Spreading
    _changed: Callable[[], None]
    _networks: Callable[[], Collection[Network]]
    _places: dict[ServiceKey, Mapping[IPAddress, Vip]] = attrs.field(factory=dict, init=False)
    _links: Counter[str] = attrs.field(factory=Counter, init=False)

    def note(self, key: ServiceKey, vips: Collection[Vip]) -> None:
        """A Service asks for *vips*, whichever node has them; for none where it is gone."""
        before = self._places.pop(key, {})
        for vip in before.values():
            self._links[vip.interface] -= 1
        if vips:
            self._places[key] = {vip.address: vip for vip in vips}
        for vip in vips:
            self._links[vip.interface] += 1

    @property
    def links(self) -> Set[str]:
        """The interfaces on which addresses of Services may be."""
        return {name for name, count in self._links.items() if count > 0}

    def places(self) -> Collection[Vip]:
        """Return an address of each family on each of these interfaces."""
        found: dict[tuple[str, int], Vip] = {}
        for vips in self._places.values():
            for vip in vips.values():
                found.setdefault((vip.interface, vip.address.version), vip)
        return list(found.values())

    def records(self) -> Mapping[str, Record]:
        """Return the Leases that nodes hold, by their nodes."""
        return self._roster.held()

    def had_by(self, node: str) -> Collection[Vip]:
        """Return what *node* has by its present term, where this node would have it.

        All of it, as this node knows: a Service that it doesn't know has no place here. None of it where some belongs
        to a link that *node* is on and this node isn't: who isn't there can't hear what goes on there.
        """
        had = self._spreading.had_by(node)
        if self._is_beyond_us(node, [address for _key, address in had]):
            return []
        return [self._places[key][each] for key, each in had if each in self._places.get(key, {})]

    def _is_beyond_us(self, node: str, addresses: Collection[IPAddress]) -> bool:
        record, ours = self._roster.record(node), self._networks()
        facts = Facts.parse(record.word) if record is not None else None
        theirs = [network for network in facts.networks if network not in ours] if facts is not None else []
        return any(
            any(address in network for network in theirs) and not any(address in network for network in ours)
            for address in (addresses if theirs else ())
        )

    def miss(self, node: str, record: Record) -> None:
        """*node*, whose Lease is still *record*, is gone: that may be taken away."""
        if self._roster.record(node) is record:
            self._roster.miss(node)
            self._spreading.changed(node)
            self._changed()

    def hear(self, node: str) -> None:
        """*node* is heard."""
        if self._roster.hear(node):
            self._spreading.changed(node)
            self._changed()

    def be_alone(self, alone: bool) -> None:
        """Nobody of those who were heard is any more, or somebody is again."""
        if alone != self._spreading.alone:
            self._spreading.alone = alone
            self._changed()
