"""Who uses which address, and which Lease governs it.

What is owned is an address, not a Service: it has exactly one governing Lease, all that use it are served by
that Lease's holder, and it goes when its last user goes. The addresses of the control plane are governed by
the control plane's Lease, also where Services use them; all others by the Services' Lease.
"""

from collections.abc import Collection, Mapping

import attrs

from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip

# A user of addresses: a Service, or the control plane.
CONTROL_PLANE = "control plane"
User = ServiceKey | str


@attrs.frozen
class Changes:
    """What a claim changed: VIPs that are wanted from now on, each with its Lease, and VIPs that are not."""

    want: Mapping[Vip, LeaseKey] = attrs.field(factory=dict)
    unwant: frozenset[Vip] = frozenset()


_NONE = Changes()


@attrs.define(eq=False)
class Claims:
    """The users of each address.

    An address that two users want on different interfaces is held on the first one's; the control plane goes
    before Services, and among those the one that claimed it first.
    """

    _governing: Mapping[IPAddress, LeaseKey]
    _default: LeaseKey | None
    _users: dict[IPAddress, dict[User, Vip]] = attrs.field(factory=dict, init=False)
    _claimed: dict[User, frozenset[Vip]] = attrs.field(factory=dict, init=False)

    def claim(self, user: User, vips: Collection[Vip]) -> Changes:
        """Let *user* have *vips* and no others from now on."""
        before, now = self._claimed.get(user, frozenset()), frozenset(vips)
        if before == now:
            return _NONE
        touched = {vip.address for vip in before ^ now}
        held_before = {address: self.held(address) for address in touched}
        for vip in before - now:
            self._users[vip.address].pop(user)
        for vip in now - before:
            self._users.setdefault(vip.address, {})[user] = vip
        if now:
            self._claimed[user] = now
        else:
            self._claimed.pop(user, None)
        return self._changes(held_before)

    def _changes(self, held_before: Mapping[IPAddress, Vip | None]) -> Changes:
        want: dict[Vip, LeaseKey] = {}
        unwant = set()
        for address, before in held_before.items():
            after = self.held(address)
            lease = self.lease(address)
            if after == before:
                continue
            if before is not None:
                unwant.add(before)
            if after is not None and lease is not None:
                want[after] = lease
            if after is None:
                del self._users[address]
        return Changes(want, frozenset(unwant))

    def held(self, address: IPAddress) -> Vip | None:
        """Return where *address* is to be held; ``None`` where nobody uses it."""
        users = self._users.get(address)
        if not users:
            return None
        return users[CONTROL_PLANE] if CONTROL_PLANE in users else next(iter(users.values()))

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*; ``None`` where no election serves it."""
        return self._governing.get(address, self._default)

    def users(self, address: IPAddress) -> tuple[User, ...]:
        """Return who uses *address*."""
        return tuple(self._users.get(address, ()))

    def of(self, user: User) -> frozenset[Vip]:
        """Return what *user* claims."""
        return self._claimed.get(user, frozenset())
