"""The seams to the outside. Each has an in-memory twin in ``kubevip.testing``."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs

from kubevip.backend import Host, Link, Route
from kubevip.errors import LinkNotFound, NetworkError
from kubevip.lease import Claim, Record
from kubevip.model import Family, IPAddress, LeaseKey, Vip
from kubevip.placement import Network

__all__ = [
    "Addresses",
    "Api",
    "Asking",
    "Host",
    "LeaseStore",
    "Link",
    "Links",
    "Neighbourhood",
    "Observation",
    "Presence",
    "Route",
    "Routes",
    "is_up",
]

# The form of all patches (RFC 7386).
MERGE_PATCH = "application/merge-patch+json"


class Api(Protocol):
    """Requests to a Kubernetes API server; what it answers with is JSON. Every failure is an ``ApiError``."""

    async def request(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: object = None, timeout: float = 10
    ) -> bytes:
        """Return the body of a successful answer; *timeout* is for all of it, in seconds.

        The *body* of a PATCH is a merge patch.

        :raises ApiUnavailable: if there is no answer. A write may have happened then.
        """

    def stream(
        self, path: str, *, query: Sequence[tuple[str, str]], silence: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a watch and give its lines. After *silence* seconds without a byte the server counts as gone."""

    async def keep_credentials_fresh(self) -> None:
        """Run what renews short-lived credentials, until cancelled."""


@attrs.frozen
class Observation:
    """A Lease as the watch showed it: *record* is ``None`` where it was deleted, *version* when that was."""

    record: Record | None
    version: str


class LeaseStore(Protocol):
    """Where Leases are kept: something that can compare and swap."""

    async def read(self, lease: LeaseKey) -> Record | None:
        """Return the Lease as it is now, by a consistent read; ``None`` where there is none.

        :raises ApiError: if there is no answer, or not that one.
        """

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """Make the Lease say *claim* if it still is at *base*, or create it where *base* is ``None``.

        :raises LeaseConflict: if it isn't.
        :raises ApiError: if there is no answer, or another one. The write may have happened then.
        """

    def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AbstractAsyncContextManager[None]:
        """Report each change of the Lease while the context is open, and its present state at first.

        The watch heals itself; what happens in between is only seen as its result.
        """


class Asking(Protocol):
    """Lets others than its holder write into a Lease, without touching what an election goes by."""

    async def ask(self, lease: LeaseKey, request: str, base: Record) -> Record:
        """Write *request* (``kubevip.succession``) into the Lease if it still is at *base*; empty removes it.

        :raises LeaseConflict: if it isn't.
        :raises ApiError: if there is no answer, or another one.
        """


@attrs.frozen
class Presence:
    """An address where it is on a link of this node.

    *ours*: kubevip put it there. *permanent*: it has no end, so nobody renews it. *preferred*: it is the
    node's own, since a VIP never is; connections start from it.
    """

    vip: Vip
    ours: bool
    permanent: bool
    preferred: bool


class Addresses(Protocol):
    """The addresses on this node's links."""

    async def put(self, vips: Sequence[tuple[Vip, int]], *, not_after: float) -> Mapping[Vip, NetworkError]:
        """Put each VIP on its link for a number of seconds, or extend it; return what failed, and why.

        What has not been put at *not_after* (monotonic seconds) fails with ``TooLate``: the process may have been
        stopped, or the kernel busy.
        """

    async def remove(self, vips: Sequence[Vip]) -> Mapping[Vip, NetworkError]:
        """Remove each VIP from its link; return what failed. One that isn't there is removed already."""

    async def find(self, addresses: Collection[IPAddress]) -> Sequence[Presence]:
        """Return every place where one of *addresses* is on a link of this node now."""

    async def pace(self, families: Collection[Family], turn: int, lifetime: int) -> None:
        """Set the pacing addresses of ``kubevip.fence``; *turn* alternates between 0 and 1."""

    async def stop_pacing(self) -> None:
        """Remove the pacing addresses."""

    def subscribe(self, removed: Callable[[IPAddress, str], None]) -> Callable[[], None]:
        """Call *removed* with address and interface whenever an address goes; return what ends that."""


class Routes(Protocol):
    """The routes to single addresses in this node's tables; see ``kubevip.backend.Host`` for what each call does."""

    async def of(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes that *protocol* has in *table* now."""

    async def put(self, route: Route) -> None:
        """Put *route* into its table, or replace the one of its own protocol there."""

    async def remove(self, route: Route) -> None:
        """Remove the route to its address that its protocol has in its table."""


class Links(Protocol):
    """This node's interfaces."""

    def get(self, name: str) -> Link:
        """Describe an interface.

        :raises LinkNotFound: if there is none of that name; it lists those that there are.
        """

    def own(self, address: IPAddress) -> str | None:
        """Return the interface that has *address* as the node's own, which no VIP may be; ``None`` where none has."""

    def towards(self, address: IPAddress) -> tuple[str, int] | None:
        """Return interface and prefix length of the node's own network that *address* is in, where there is one."""

    def subnets(self, but: Collection[str] = ()) -> Sequence[Network]:
        """Return the networks that the node's own addresses are in, none of them local to the node or to a link.

        Those on the interfaces *but* are left out.
        """

    def names(self) -> list[str]:
        """Return the names of all interfaces."""

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call *changed* with a name whenever that interface comes, goes or changes; return what ends that."""


def is_up(links: Links, name: str) -> bool:
    """Tell whether there is an interface of that name, and it is up."""
    try:
        return links.get(name).up
    except LinkNotFound:
        return False


class Neighbourhood(Protocol):
    """What the kernel knows of other machines on its links."""

    async def gateways(self, interface: str) -> Sequence[IPAddress]:
        """Return the gateways of the routes through *interface*, those of default routes first.

        :raises NetworkError: if the kernel can't be asked, or the interface is gone.
        """

    async def neighbours(self, interface: str) -> Sequence[IPAddress]:
        """Return who was reachable on *interface* a moment ago, the last one first.

        :raises NetworkError: if the kernel can't be asked, or the interface is gone.
        """

    async def sought(self, interface: str) -> Sequence[IPAddress]:
        """Return for whom the kernel asks on *interface* now, because something is to be sent there.

        :raises NetworkError: if the kernel can't be asked, or the interface is gone.
        """
