"""Which IPv4 address that others have a request can join: one whose ports are others, deterministically the first.

Sharing is by port *and protocol*. All users of an address are served by one node, so requests whose traffic has to
stay there share only with requests for the same Pods. One without ports can't share: nothing tells it apart.
"""

from bisect import bisect_left
from collections.abc import Mapping

from kubevip.ipam.blocks import IPV6_BASE, Blocks
from kubevip.ipam.request import Request

Users = Mapping[str, Request | None]
# For how many kinds of requests is known where to begin.
KINDS = 256
# Pool and ports. Selectors don't belong to it: most requests have one of their own.
_Kind = tuple[int, frozenset[tuple[int, str]]]


class Sharing:
    """Finds addresses to share among those of *taken*, in which those that can be shared have a mapping of users."""

    def __init__(self, taken: Mapping[int, str | Users], *, descending: bool) -> None:
        self._taken = taken
        self._step = -1 if descending else 1
        # Ordered by place, or by its negative.
        self._places: list[int] = []
        # Before these places of a pool, all have one of the ports.
        self._searched: dict[_Kind, int] = {}

    def joined(self, place: int) -> None:
        """Note that somebody has joined at *place*, or was the first there."""
        if place < IPV6_BASE:
            ordered = place * self._step
            at = bisect_left(self._places, ordered)
            known = at < len(self._places) and self._places[at] == ordered
            shareable = self._is_shareable(place)
            if shareable and not known:
                self._places.insert(at, ordered)
                self._search_again(ordered)
            elif known and not shareable:
                del self._places[at]

    def left(self, place: int) -> None:
        """Note that somebody has left *place*, while it is still noted who else is there."""
        if place < IPV6_BASE:
            self.joined(place)
            self._search_again(place * self._step)

    def _is_shareable(self, place: int) -> bool:
        users = self._taken.get(place)
        return isinstance(users, Mapping) and bool(users) and all(users.values())

    def _search_again(self, ordered: int) -> None:
        for kind, searched in self._searched.items():
            if searched > ordered:
                self._searched[kind] = ordered

    def find(self, blocks: Blocks, request: Request) -> int | None:
        """Return the place of the first address of *blocks* that *request* can join, or ``None``.

        It doesn't join itself, so an address that it alone has is none.
        """
        if not self._places or not request.ports:
            return None
        kind = (id(blocks), request.ports)
        at = bisect_left(self._places, self._searched[kind]) if kind in self._searched else 0
        if len(self._searched) > KINDS:
            self._searched.clear()
        begin = found = None
        while found is None and at < len(self._places):
            ordered = self._places[at]
            place = ordered * self._step
            users = self._taken[place]
            if place in blocks and not isinstance(users, str) and not _clash(users, request):
                begin = ordered if begin is None else begin
                if request.key not in users and self.may_join(users, request, request.key):
                    found = place
            at += 1
        self._searched[kind] = self._places[-1] if begin is None else begin
        return found

    @staticmethod
    def may_join(users: Users, request: Request | None, key: str) -> bool:
        """Tell whether *key* may be one more of *users*; ``None`` is a request that isn't to be shared."""
        others = [user for name, user in users.items() if name != key]
        if not others:
            return True
        return request is not None and all(user is not None and _get_along(user, request) for user in others)


def _clash(users: Users, request: Request) -> bool:
    """Tell whether *users* leave no place for the ports of *request*, whatever else it is."""
    return any(user is None or not user.ports or not user.ports.isdisjoint(request.ports) for user in users.values())


def _get_along(one: Request, other: Request) -> bool:
    if not one.ports or not other.ports or not one.ports.isdisjoint(other.ports):
        return False
    if not (one.local or other.local):
        return True
    return bool(one.selector) and one.namespace == other.namespace and one.selector == other.selector
