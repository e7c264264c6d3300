"""Who uses which address, and which Lease governs it.

What is owned is an address, not a Service: it has exactly one governing Lease, all that use it are served by
that Lease's holder, and it goes when its last user goes. Which Lease that is, a ``Governance`` says: with one Lease
for all Services it never changes, with a Lease for each it may whenever a Service comes or goes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import attrs

from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip
from kubevip.service import ServiceView

# A user of addresses: a Service, or the control plane.
CONTROL_PLANE = "control plane"
User = ServiceKey | str


class Governance(Protocol):
    """Says which Lease governs an address. All nodes that know the same Services have to say the same."""

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address* now; ``None`` where no election serves it."""

    def asks(self, key: ServiceKey, view: ServiceView | None, vips: Collection[Vip]) -> Collection[IPAddress]:
        """Learn that a Service asks for *vips*, wherever it can be served; *view* is ``None`` where it is gone.

        Return the addresses that another Lease may govern from now on.
        """

    def objection(self, view: ServiceView) -> str:
        """Return why no Lease can govern what this Service asks for; empty where one can."""


@attrs.frozen
class Fixed:
    """One Lease for all Services: *default* governs all addresses but those of *governing*, the control plane's."""

    governing: Mapping[IPAddress, LeaseKey]
    default: LeaseKey | None

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """See ``Governance``."""
        return self.governing.get(address, self.default)

    def asks(self, key: ServiceKey, view: ServiceView | None, vips: Collection[Vip]) -> Collection[IPAddress]:
        """See ``Governance``: no Service changes anything."""
        return ()

    def objection(self, view: ServiceView) -> str:
        """See ``Governance``: there is nothing that a Service could ask for in vain."""
        return ""


@attrs.frozen
class Changes:
    """What is different now: VIPs that are wanted under this Lease from now on, and VIPs that are not wanted.

    A VIP that is wanted already, under another Lease, moves to this one.
    """

    want: Mapping[Vip, LeaseKey] = attrs.field(factory=dict)
    unwant: frozenset[Vip] = frozenset()


_NONE = Changes()


@attrs.define(eq=False)
class Claims:
    """The users of each address.

    An address that two users want on different interfaces is held on the first one's; the control plane goes
    before Services, and among those the one that claimed it first.
    """

    governance: Governance
    # Tuples, since nearly all have one member, and there are thousands.
    _users: dict[IPAddress, tuple[tuple[User, Vip], ...]] = attrs.field(factory=dict, init=False)
    _claimed: dict[User, tuple[Vip, ...]] = attrs.field(factory=dict, init=False)
    _told: dict[IPAddress, tuple[Vip, LeaseKey]] = attrs.field(factory=dict, init=False)

    def claim(self, user: User, vips: Collection[Vip]) -> Changes:
        """Let *user* have *vips* and no others from now on."""
        return self.regovern(self.note(user, vips))

    def note(self, user: User, vips: Collection[Vip]) -> Collection[IPAddress]:
        """Note that *user* has *vips* and no others, and return the addresses that ``regovern`` has to look at."""
        before, now = self._claimed.get(user, ()), tuple(vips)
        if now == before:
            return ()
        gone, new = set(before).difference(now), set(now).difference(before)
        for vip in gone:
            self._users[vip.address] = tuple(each for each in self._users[vip.address] if each != (user, vip))
        for vip in new:
            self._users[vip.address] = (*self._users.get(vip.address, ()), (user, vip))
        if now:
            self._claimed[user] = now
        else:
            self._claimed.pop(user, None)
        return {vip.address for vip in (*gone, *new)}

    def regovern(self, addresses: Iterable[IPAddress]) -> Changes:
        """Return what is different for *addresses*, after what is known of them, or of their Leases, has changed."""
        want: dict[Vip, LeaseKey] = {}
        unwant = set()
        for address in addresses:
            before, after = self._told.get(address), self._due(address)
            if after == before:
                continue
            if before is not None and (after is None or after[0] != before[0]):
                unwant.add(before[0])
            if after is None:
                del self._told[address]
            else:
                want[after[0]] = after[1]
                self._told[address] = after
        return Changes(want, frozenset(unwant)) if want or unwant else _NONE

    def _due(self, address: IPAddress) -> tuple[Vip, LeaseKey] | None:
        vip = self.held(address)
        if vip is None:
            self._users.pop(address, None)
            return None
        lease = self.governance.lease(address)
        return (vip, lease) if lease is not None else None

    def held(self, address: IPAddress) -> Vip | None:
        """Return where *address* is to be held; ``None`` where nobody uses it."""
        users = self._users.get(address)
        if not users:
            return None
        return next((vip for user, vip in users if user == CONTROL_PLANE), users[0][1])

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*; ``None`` where no election serves it."""
        return self.governance.lease(address)

    def users(self, address: IPAddress) -> tuple[User, ...]:
        """Return who uses *address*."""
        return tuple(dict.fromkeys(user for user, _vip in self._users.get(address, ())))

    def of(self, user: User) -> frozenset[Vip]:
        """Return what *user* claims."""
        return frozenset(self._claimed.get(user, ()))
