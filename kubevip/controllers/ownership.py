"""Joins claims to the keeper: what its users want of an address becomes what is held under one Lease."""

from collections.abc import Callable, Collection

import attrs

from kubevip.claims import Claims, User
from kubevip.model import IPAddress, LeaseKey, Vip
from kubevip.runtime.keeper import Keeper


@attrs.define(eq=False)
class Ownership:
    """The addresses of this agent: who wants them, and which of them are held here."""

    _claims: Claims
    _keeper: Keeper
    _watchers: list[Callable[[User, Vip], None]] = attrs.field(factory=list, init=False)
    _conflict_watchers: list[Callable[[User, Vip, str], None]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.changed = self._changed
        self._keeper.conflicting = self._conflicting

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

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """Return the Lease that governs *address*."""
        return self._claims.lease(address)

    def watch(self, changed: Callable[[User, Vip], None], conflicting: Callable[[User, Vip, str], None]) -> None:
        """Call *changed* for each user of a VIP that begins or ceases to be announced here.

        *conflicting* is called for each one whose VIP another machine answers for, with its MAC address.
        """
        self._watchers.append(changed)
        self._conflict_watchers.append(conflicting)

    def _changed(self, vip: Vip) -> None:
        for user in self._claims.users(vip.address):
            for watcher in self._watchers:
                watcher(user, vip)

    def _conflicting(self, vip: Vip, mac: str) -> None:
        for user in self._claims.users(vip.address):
            for watcher in self._conflict_watchers:
                watcher(user, vip, mac)
