"""Joins claims to the keeper: what its users want of an address becomes what is held under one Lease."""

from collections.abc import Callable, Collection
from typing import Protocol

import attrs

from kubevip.claims import Changes, Claims, User
from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.runtime.keeper import Keeper
from kubevip.service import ServiceView


class Watcher(Protocol):
    """Who is told what becomes of the VIPs of each user."""

    def changed(self, user: User, vip: Vip) -> None:
        """It begins or ceases to be announced here."""

    def conflicting(self, user: User, conflict: Conflict) -> None:
        """Another machine answers for it."""

    def settled(self, user: User, vip: Vip) -> None:
        """The other machine doesn't claim it any more."""

    def failing(self, user: User, vip: Vip, reason: str) -> None:
        """It can't be held here now; that is tried again."""


class Holding(Protocol):
    """Who sees to it that a VIP is held here whenever this node is the one to do so."""

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """Hold *vip* whenever this node leads *lease*; where it is wanted under another one, it moves."""

    def unwant(self, vip: Vip) -> None:
        """Hold *vip* no more; it is removed at once."""

    def hand_over(self, vip: Vip) -> None:
        """Hold *vip* no more: others can and will. It may stay until one of them is there."""


@attrs.define(eq=False)
class AtOnce:
    """Under one Lease for all nobody else is there to take a single VIP: what isn't wanted goes at once."""

    _keeper: Keeper

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """See ``Holding``."""
        self._keeper.want(vip, lease)

    def unwant(self, vip: Vip) -> None:
        """See ``Holding``."""
        self._keeper.unwant(vip)

    hand_over = unwant


@attrs.define(eq=False)
class Ownership:
    """The addresses of this agent: who wants them, and which of them are held here.

    *holding* is told what is to be held, in place of the keeper.
    """

    _claims: Claims
    _keeper: Keeper
    _holding: Holding = attrs.field()
    _watchers: list[Watcher] = attrs.field(factory=list, init=False)
    _rivals: dict[Vip, dict[str, None]] = attrs.field(factory=dict, init=False)

    @_holding.default
    def _at_once(self) -> Holding:
        return AtOnce(self._keeper)

    def __attrs_post_init__(self) -> None:
        self._keeper.changed = lambda vip: self._tell(vip, lambda watcher, user: watcher.changed(user, vip))
        self._keeper.conflicting = self._conflicting
        self._keeper.settled = self._settled
        self._keeper.failing = lambda vip, reason: self._tell(
            vip, lambda watcher, user: watcher.failing(user, vip, reason)
        )

    def claim(self, user: User, vips: Collection[Vip]) -> None:
        """Let *user* have *vips* and no others."""
        self._apply(self._claims.claim(user, vips))

    def serve(
        self,
        key: ServiceKey,
        view: ServiceView | None,
        asked: Collection[Vip],
        vips: Collection[Vip],
        *,
        elsewhere: bool = False,
    ) -> None:
        """Let a Service have *vips* and no others, of those *asked* for, by whichever node can serve them.

        *view* is ``None`` where it is gone. *elsewhere*: other nodes can serve what it doesn't have any more.
        """
        touched = {*self._claims.governance.asks(key, view, asked), *self._claims.note(key, vips)}
        self._apply(self._claims.regovern(touched), elsewhere=elsewhere)

    def objection(self, view: ServiceView) -> str:
        """Return why no Lease can govern what this Service asks for; empty where one can."""
        return self._claims.governance.objection(view)

    def regovern(self, addresses: Collection[IPAddress]) -> None:
        """Act on another Lease governing *addresses* from now on, where one does."""
        self._apply(self._claims.regovern(addresses))

    def _apply(self, changes: Changes, *, elsewhere: bool = False) -> None:
        let_go = self._holding.hand_over if elsewhere else self._holding.unwant
        for vip in changes.unwant:
            let_go(vip)
        for vip, lease in changes.want.items():
            self._holding.want(vip, lease)

    def claimed(self, user: User) -> frozenset[Vip]:
        """Return what *user* has."""
        return self._claims.of(user)

    def announced(self, address: IPAddress) -> bool:
        """Tell whether *address* is held and announced here now."""
        vip = self._claims.held(address)
        return vip is not None and self._keeper.term_of(vip) is not None

    def rivals(self, address: IPAddress) -> tuple[str, ...]:
        """Return the MAC addresses of the machines that claim *address* too, or that it is left to."""
        vip = self._claims.held(address)
        if vip is None:
            return ()
        left_to = self._keeper.rival(vip)
        return (left_to,) if left_to else tuple(sorted(self._rivals.get(vip, ())))

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*."""
        return self._claims.lease(address)

    def watch(self, watcher: Watcher) -> None:
        """Tell *watcher* from now on."""
        self._watchers.append(watcher)

    def _conflicting(self, conflict: Conflict) -> None:
        if conflict.manner is Manner.KEEP:
            self._rivals.setdefault(conflict.vip, {})[conflict.mac] = None
        self._tell(conflict.vip, lambda watcher, user: watcher.conflicting(user, conflict))

    def _settled(self, vip: Vip, mac: str) -> None:
        rivals = self._rivals.get(vip, {})
        rivals.pop(mac, None)
        if not rivals and self._rivals.pop(vip, None) is not None:
            self._tell(vip, lambda watcher, user: watcher.settled(user, vip))

    def _tell(self, vip: Vip, tell: Callable[[Watcher, User], None]) -> None:
        for user in self._claims.users(vip.address):
            for watcher in self._watchers:
                tell(watcher, user)
