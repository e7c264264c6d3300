"""Which nodes are heard, and on which links, where each has a Lease of its own (spread mode). Pure.

A node sends one heartbeat for its own Lease, by the key in that, on each link where Services may have addresses,
whatever their number. So it speaks for all that it has, and each node that is heard is company for all others: proof
that not all of a link is cut off.

A heartbeat on any link tells that a node lives. One that comes once more on another link tells of that link alone, and
only while it is the last one: what was recorded before brings nobody back.
"""

from collections.abc import Callable, Collection, Mapping

import attrs

from kubevip.heartbeat import MISSED, Badge, Unreadable, Vigil, lease_id, lease_of, unseal
from kubevip.lease import Record
from kubevip.model import LeaseKey


@attrs.define
class _Heard:
    """One node in its present term: *badge* is the text in its Lease, *on* says when it was heard on each link."""

    badge: str
    vigil: Vigil
    on: dict[str, float] = attrs.field(factory=dict)

    def lately(self, now: float, link: str | None = None) -> bool:
        if not self.vigil.knows_holder or self.vigil.silent_for(now, MISSED):
            return False
        return link is None or (link in self.on and now - self.on[link] <= MISSED * self.vigil.badge.interval)

    def is_heard_beside(self, links: Collection[str]) -> bool:
        since = max(self.on.values()) - self.vigil.badge.interval
        return any(at > since for link, at in self.on.items() if link not in links)


@attrs.define(eq=False)
class Lookout:
    """What the node *own* hears of all others. *lease_of_node* names the Lease of a node."""

    own: str
    lease_of_node: Callable[[str], LeaseKey]
    _nodes: dict[str, _Heard] = attrs.field(factory=dict, init=False)
    _names: dict[bytes, str] = attrs.field(factory=dict, init=False)

    def follow(self, records: Mapping[str, Record], now: float) -> None:
        """These are the Leases of all nodes: who sends heartbeats says so there, for as long as it holds its Lease."""
        for node in [node for node in self._nodes if node not in records]:
            self._forget(node)
        for node, record in records.items():
            known = self._nodes.get(node)
            if node != self.own and (known is None or known.badge != record.badge or record.holder != node):
                self._learn(node, record, now)

    def _learn(self, node: str, record: Record, now: float) -> None:
        badge = Badge.parse(record.badge) if record.badge else None
        if badge is None or not badge.holder == record.holder == node or badge.term != record.transitions:
            self._forget(node)
            return
        self._nodes[node] = _Heard(record.badge, Vigil(badge, self.own, now))
        self._names[lease_id(self.lease_of_node(node))] = node

    def _forget(self, node: str) -> None:
        if self._nodes.pop(node, None) is not None:
            self._names.pop(lease_id(self.lease_of_node(node)), None)

    def hear(self, frame: bytes, link: str, at: float) -> str:
        """Note a frame that came by *link*; return the node that it shows to live, empty where it tells nothing new.

        :raises Unreadable: if it is no heartbeat, or not to be believed.
        """
        node = self._names.get(lease_of(frame))
        if node is None:
            # For a Lease of another kind, or for that of a node which says to send none.
            return ""
        heard = self._nodes[node]
        beat = unseal(frame, self.lease_of_node(node), heard.vigil.badge)
        if beat.sender != node or beat.term != heard.vigil.badge.term:
            raise Unreadable("its sender is not the node that has the Lease")
        fresh = heard.vigil.heard(beat, at)
        if fresh or heard.vigil.is_last(beat):
            heard.on[link] = at
        return node if fresh else ""

    def excuse(self, now: float) -> None:
        """Whoever was not heard meanwhile could not be: this process itself has stood still."""
        for heard in self._nodes.values():
            heard.vigil.excuse(now)
            heard.on = dict.fromkeys(heard.on, now)

    def excuse_some(self, nodes: Collection[str], now: float) -> None:
        """*nodes* could not be heard until now."""
        for node in nodes:
            if node in self._nodes:
                self._nodes[node].vigil.excuse(now)

    def heard_by(self, links: Collection[str]) -> frozenset[str]:
        """Return the nodes that were heard last on *links*, and on no other one: where those are down, nobody hears."""
        return frozenset(node for node, heard in self._nodes.items() if heard.on and not heard.is_heard_beside(links))

    # What follows

    def badge(self, node: str) -> str:
        """Return what the Lease of *node* says of its heartbeats; it is another text with each of its terms."""
        known = self._nodes.get(node)
        return known.badge if known is not None else ""

    def misses(self, node: str, intervals: int, now: float) -> bool:
        """Tell whether *node* was heard in its present term, and then for so many of its intervals no more."""
        known = self._nodes.get(node)
        return known is not None and known.vigil.silent_for(now, intervals)

    def missed(self, intervals: int, now: float) -> list[str]:
        """Return the nodes that are missed for so many intervals."""
        return [node for node in self._nodes if self.misses(node, intervals, now)]

    def lately(self, now: float) -> list[str]:
        """Return the nodes that were heard lately."""
        return [node for node, heard in self._nodes.items() if heard.lately(now)]

    def rank(self, node: str, now: float) -> int:
        """Return how many of those that are heard go before us in taking the Lease of *node* away.

        All know the order: that of the names, from the one behind *node* on.
        """
        there = {*self.lately(now), self.own} - {node}
        return sorted(there, key=lambda name: (name < node, name)).index(self.own)

    def has_company(self, link: str, now: float, *, but: str) -> bool:
        """Tell whether a node other than *but* was heard on *link* lately: then we are not cut off from it."""
        return any(node != but and heard.lately(now, link) for node, heard in self._nodes.items())

    def is_alone(self, now: float) -> bool:
        """Tell whether all of those that were heard are missed."""
        known = [heard for heard in self._nodes.values() if heard.vigil.knows_holder]
        return bool(known) and not any(heard.lately(now) for heard in known)

    def deaf_to(self, now: float) -> list[str]:
        """Return the nodes whose heartbeats don't get through: their Leases say that they send some."""
        return [node for node, heard in self._nodes.items() if heard.vigil.is_deaf(now)]
