"""The contract between the core and what makes a network send traffic for a VIP to this node.

The author of a backend subclasses ``Backend`` and registers the class as an entry point of the group
``kubevip.backends``. All that he needs is in ``kubevip.plugin``.
"""

import abc
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from ipaddress import IPv6Address
from typing import ClassVar, Protocol, Self

import attrs

from kubevip.model import Family, IPAddress, Vip

# One instruction of a classic BPF program: code, jump if true, jump if false, operand.
BpfInstruction = tuple[int, int, int, int]

ENTRY_POINT_GROUP = "kubevip.backends"


@attrs.frozen
class Link:
    """A network interface as the kernel describes it.

    *up* is true while it can carry frames: administratively up, and its operational state up or unknown.
    *link_local* is its IPv6 link-local address, where it has one. *addresses* are all that are the node's own on
    it, no VIPs among them.
    """

    name: str
    index: int
    mac: bytes
    up: bool
    loopback: bool = False
    link_local: IPv6Address | None = None
    addresses: tuple[IPAddress, ...] = ()


@attrs.frozen
class Cadence:
    """When the core calls ``announce()`` again, in seconds after the first call.

    After *burst* it goes on every *period* seconds; with ``None`` it does not.
    """

    burst: tuple[float, ...] = ()
    period: float | None = None


@attrs.frozen
class Sighting:
    """Another machine was seen on the wire to claim *address*, with the link-layer address *mac*.

    *announcing*: it told everybody; otherwise it answered a question.
    """

    address: IPAddress
    mac: str
    announcing: bool


@attrs.frozen
class Answer:
    """*witness*, with the link-layer address *mac*, has answered a question that was asked from *asker*."""

    witness: IPAddress
    asker: IPAddress
    mac: str


@attrs.frozen(kw_only=True)
class Peering:
    """What a backend knows of another machine that it speaks with about VIPs: a router, say.

    *state* is in the words of the protocol. *established*: it hears what is announced, of *families*. *reason* says
    why it doesn't, or ceased to. *routes* are the VIPs that it was told; *flaps* and *malformed* count from the start:
    sessions that ended, and messages that could not be used, of which *complaint* tells the last one.
    """

    peer: str
    state: str
    established: bool
    reason: str = ""
    families: tuple[Family, ...] = ()
    routes: int = 0
    flaps: int = 0
    malformed: int = 0
    complaint: str = ""


def silence(peerings: Sequence[Peering]) -> list[str]:
    """Say of each peer why it doesn't hear this node; nothing where at least one does, or where there are none."""
    if any(each.established for each in peerings):
        return []
    return [f"{each.peer}: {each.reason or each.state}" for each in peerings]


@attrs.frozen(kw_only=True)
class Route:
    """A route to one address, in a table of this node's kernel.

    *protocol* marks whose it is. *kind* is the number of its type (RTN_UNICAST is 1); *interface* is empty for those
    that lead nowhere: blackhole, unreachable and prohibit.
    """

    address: IPAddress
    table: int
    protocol: int
    kind: int = 1
    interface: str = ""


class Host(Protocol):
    """What the core lends a backend."""

    @property
    def node(self) -> str:
        """The name that this node campaigns with."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment of the agent, for settings that only the backend knows."""

    def now(self) -> float:
        """Return the time in seconds on the monotonic clock of the event loop."""

    def link(self, interface: str) -> Link:
        """Describe *interface* as it is now.

        :raises LinkNotFound: if there is none of that name.
        """

    def interfaces(self) -> Sequence[str]:
        """Return the names of all interfaces that there are now."""

    def failed(self, vips: Collection[Vip]) -> None:
        """Say that *vips*, which were announced, are so no more, though nobody has withdrawn them.

        A session has ended, say. The core counts them as not announced from now on, and calls ``announce()`` at once;
        while that raises, it tells why, tries again with back-off, and a holder hands over. Other VIPs are passed over.
        """

    def recovered(self) -> None:
        """Say that what has failed may succeed now: the core tries it again at once, not after its pause."""

    def send(self, interface: str, frame: bytes) -> None:
        """Send one whole Ethernet *frame* at once, by a socket that stays open.

        :raises NetworkError: if the kernel doesn't take it: the link is down or gone.
        """

    def listen(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[None]:
        """Hand each frame of *ethertype* that arrives on *interface* to *received* while the context is open.

        *bpf* is a classic BPF program by which the kernel keeps back all other frames. *group* is an Ethernet
        multicast address that the interface is to let through, too.

        :raises NetworkError: if the interface is gone.
        """

    def gather(
        self,
        interface: str,
        ethertype: int,
        received: Callable[[bytes, float], None],
        *,
        bpf: Sequence[BpfInstruction] = (),
        group: bytes = b"",
    ) -> AbstractContextManager[Callable[[], None]]:
        """Have the kernel keep each frame of *ethertype* that arrives on *interface* while the context is open.

        A call of what the context returns hands them to *received*, each with the time of its arrival on the clock of
        ``now()``. That is for those who look often anyway: a frame that is kept wakes nobody. *bpf* and *group* are
        as for ``listen()``.

        :raises NetworkError: if the interface is gone.
        """

    async def routes(self, table: int, protocol: int) -> Sequence[Route]:
        """Return the routes to single addresses that *protocol* has in *table* now, of both families.

        :raises NetworkError: if the kernel doesn't tell.
        """

    async def put_route(self, route: Route) -> None:
        """Put *route* into its table, in the place of the one that its own protocol has there for the address.

        :raises NetworkError: if another protocol has a route to the address there, or the kernel doesn't take it:
            the interface is down or gone.
        """

    async def remove_route(self, route: Route) -> None:
        """Remove the route to its address that its protocol has in its table; none is right, too.

        :raises NetworkError: if the kernel refuses.
        """


class Backend(abc.ABC):
    """Makes a network send traffic for VIPs to this node, or stop to.

    The core puts the address on the link before ``announce()`` and removes it after ``withdraw()``; it calls
    ``announce()`` again at its cadence, retries with back-off when a call raises, and keeps the metrics. So a
    backend needs no task, no timer and no ``finally``. What outlives one VIP is opened in ``__aenter__``.
    """

    families: ClassVar[frozenset[Family]] = frozenset(Family)
    """The address families that it announces."""
    exclusive: ClassVar[bool] = True
    """True where only one node may announce an address at a time."""
    cadence: ClassVar[Cadence] = Cadence()
    """When to announce again, unless the settings say otherwise."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def __aenter__(self) -> Self:
        """Open what outlives one VIP."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close what ``__aenter__`` opened."""

    @abc.abstractmethod
    async def announce(self, vip: Vip) -> None:
        """Make the network send traffic for *vip* here. Calling it again repeats the announcement.

        :raises NetworkError: if that isn't possible now; the core tries again.
        """

    @abc.abstractmethod
    async def withdraw(self, vip: Vip) -> None:
        """Stop announcing *vip*. Withdrawing what is not announced does nothing."""

    async def probe(self, vip: Vip) -> None:
        """Ask on the wire who holds *vip*, without claiming it; answers are seen in ``sightings()``."""
        return

    def sightings(self, interface: str, report: Callable[[Sighting], None]) -> AbstractContextManager[None]:
        """*report* each claim that other machines make on *interface* while the context is open.

        A backend that can't see them leaves this as it is: nothing is ever reported.
        """
        return contextlib.nullcontext()

    def claims(
        self, interface: str, addresses: Collection[IPAddress], report: Callable[[Sighting], None]
    ) -> AbstractContextManager[None]:
        """*report* each claim that other machines make to *addresses* on *interface* while the context is open.

        It is open for as long as addresses are held, so a backend that can has the kernel keep back all other
        frames (``accept_any``). What it reports of other addresses is passed over. A question without a sender
        (RFC 5227, RFC 4862) is no claim: the kernel answers it. Unless overridden it is ``sightings()``.
        """
        return self.sightings(interface, report)

    async def inquire(self, vip: Vip, witness: IPAddress) -> bool:
        """Ask *witness* for its place from *vip*, as its holder does; tell whether it was asked.

        Who answers has learnt where *vip* is, and both ways of the network carry frames. The core asks after
        ``announce()``, one VIP for all of its kind. A backend that can't ask leaves this as it is: nothing is
        verified then.

        :raises NetworkError: if that isn't possible now.
        """
        return False

    def answers(self, interface: str, report: Callable[[Answer], None]) -> AbstractContextManager[None]:
        """*report* each answer to ``inquire()`` that arrives on *interface* while the context is open."""
        return contextlib.nullcontext()

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Go by *settings* in place of the host's: annotations of the node, which are part of them, have changed.

        What they leave as it was goes on without a break, and all that is announced stays so, or is announced anew.
        A backend that reads no such annotations leaves this as it is.

        :raises ConfigError: if they can't be used; everything is as before then.
        :raises NetworkError: if that isn't possible now; the core tries again.
        """
        return

    def peerings(self) -> Sequence[Peering]:
        """Return a snapshot of the machines that it speaks with about VIPs; none, where it speaks to all."""
        return ()
