"""Joins claims to the keeper: what its users want of an address becomes what is held under one Lease."""

from collections.abc import Callable, Collection
from typing import Protocol

import attrs

from kubevip.claims import Claims, User
from kubevip.model import IPAddress, LeaseKey, Vip
from kubevip.runtime.clearance import Conflict, Manner
from kubevip.runtime.keeper import Keeper


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


@attrs.define(eq=False)
class Ownership:
    """The addresses of this agent: who wants them, and which of them are held here."""

    _claims: Claims
    _keeper: Keeper
    _watchers: list[Watcher] = attrs.field(factory=list, init=False)
    _rivals: dict[Vip, dict[str, None]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.changed = lambda vip: self._tell(vip, lambda watcher, user: watcher.changed(user, vip))
        self._keeper.conflicting = self._conflicting
        self._keeper.settled = self._settled
        self._keeper.failing = lambda vip, reason: self._tell(
            vip, lambda watcher, user: watcher.failing(user, vip, reason)
        )

    def claim(self, user: User, vips: Collection[Vip]) -> None:
        """Let *user* have *vips* and no others."""
        changes = self._claims.claim(user, vips)
        for vip in changes.unwant:
            self._keeper.unwant(vip)
        for vip, lease in changes.want.items():
            self._keeper.want(vip, lease)

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
