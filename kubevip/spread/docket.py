"""What Services ask for and what their records say, as last seen; and which of them have to be looked at. Pure.

There are thousands of Services, and an event is about one of them, one address or one node: so it is known which
Services use an address and whose records name a node, and only those are looked at again.
"""

from collections.abc import Set as AbstractSet

import attrs

from kubevip.model import IPAddress, ServiceKey
from kubevip.spread.charges import Charge
from kubevip.spread.tenure import turn_of


@attrs.define(eq=False)
class Docket:
    """The Services that ask for addresses. *due* are those to be looked at, *orphans* addresses that lost a user."""

    charges: dict[ServiceKey, Charge] = attrs.field(factory=dict, init=False)
    due: set[ServiceKey] = attrs.field(factory=set, init=False)
    orphans: set[IPAddress] = attrs.field(factory=set, init=False)
    # Since when each record has been as it is, in seconds.
    seen: dict[ServiceKey, float] = attrs.field(factory=dict, init=False)
    # Tuples, since nearly all have one member, and there are thousands.
    _users: dict[IPAddress, tuple[ServiceKey, ...]] = attrs.field(factory=dict, init=False)
    _named: dict[str, set[ServiceKey]] = attrs.field(factory=dict, init=False)

    def put(self, charge: Charge, now: float) -> None:
        """A Service asks for this now, and not any more for what it asked for before."""
        before = self.charges.get(charge.key)
        if before is not None:
            self._forget(before)
            if before.record == charge.record and before.uid == charge.uid:
                now = self.seen[charge.key]
        self.charges[charge.key] = charge
        self.seen[charge.key] = now
        for address in charge.addresses:
            self._users[address] = users = (*self._users.get(address, ()), charge.key)
            self.due.update(users)
        for node in charge.record.nodes if charge.record else ():
            self._named.setdefault(node, set()).add(charge.key)
        self.due.add(charge.key)

    def drop(self, key: ServiceKey) -> None:
        """A Service, which asked for something, asks for nothing any more."""
        self._forget(self.charges.pop(key))
        del self.seen[key]

    def _forget(self, charge: Charge) -> None:
        for address in charge.addresses:
            users = tuple(key for key in self._users[address] if key != charge.key)
            self.due.update(users)
            if users:
                self._users[address] = users
            else:
                del self._users[address]
                self.orphans.add(address)
        for node in charge.record.nodes if charge.record else ():
            self._named.get(node, set()).discard(charge.key)
        self.due.discard(charge.key)

    def touch(self, node: str) -> None:
        """Have all looked at whose records name *node*."""
        self.due |= self._named.get(node, set())

    # What follows

    @property
    def nodes(self) -> set[str]:
        """The nodes that records name, or have named."""
        return set(self._named)

    def naming(self, node: str) -> AbstractSet[ServiceKey]:
        """Return the Services whose records name *node*."""
        return self._named.get(node, frozenset())

    def is_used(self, address: IPAddress) -> bool:
        """Tell whether a Service asks for *address*."""
        return address in self._users

    def authority(self, address: IPAddress) -> ServiceKey:
        """Return the Service whose record of *address* counts: the newest, and of several the oldest one's."""
        keys = self._users[address]
        if len(keys) == 1:
            return keys[0]
        users = [self.charges[key] for key in keys]
        return min(users, key=lambda each: (-turn_of(each, address), each.created, each.key)).key
