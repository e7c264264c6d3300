"""What the kernel tells about links and addresses, as it happens.

The socket is our own: pyroute2's dies for good when its buffer overflows. This one has a buffer that takes
40,000 events, and after an overflow it reads everything anew and reports what has gone meanwhile.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address
from typing import Self

import attrs

from kubevip.backend import Link
from kubevip.errors import LinkNotFound
from kubevip.model import Family, IPAddress
from kubevip.net import bpf, netlink
from kubevip.net.netns import Enter
from kubevip.placement import Network

log = logging.getLogger(__name__)

# Every address that is added or extended is an event, ours by the thousand. Host addresses are kept back, since
# those of the node itself come with the prefix of their network.
_FILTER = (
    (bpf.LOAD_HALF, 0, 0, 4),
    (bpf.JUMP_EQUAL, 0, 3, socket.htons(netlink.RTM_NEWADDR)),
    (bpf.LOAD_BYTE, 0, 0, 17),
    (bpf.JUMP_EQUAL, 2, 0, 32),
    (bpf.JUMP_EQUAL, 1, 0, 128),
    bpf.ACCEPT,
    bpf.REJECT,
)


@attrs.define(eq=False)
class Monitor:
    """Follows the links of a network namespace, and which addresses go. Open it in a running event loop."""

    _enter: Enter = contextlib.nullcontext
    _socket: socket.socket | None = attrs.field(default=None, init=False)
    _links: dict[int, netlink.LinkMessage] = attrs.field(factory=dict, init=False)
    _described: dict[str, Link] = attrs.field(factory=dict, init=False)
    _own: dict[tuple[IPAddress, int], netlink.AddressMessage] = attrs.field(factory=dict, init=False)
    # The first interface that has an address, made of *_own* when it is asked for: with each renewal, for each VIP.
    _places: dict[IPAddress, int] | None = attrs.field(default=None, init=False)
    _on_removed: list[Callable[[IPAddress, str], None]] = attrs.field(factory=list, init=False)
    _on_overflow: list[Callable[[AbstractSet[tuple[IPAddress, str]]], None]] = attrs.field(factory=list, init=False)
    _on_link: list[Callable[[str], None]] = attrs.field(factory=list, init=False)

    async def __aenter__(self) -> Self:
        """Begin to follow, and read what there is."""
        with self._enter():
            self._socket = netlink.event_socket()
        bpf.attach(self._socket, _FILTER)
        self._socket.bind((0, netlink.RTMGRP_LINK | netlink.RTMGRP_IPV4_IFADDR | netlink.RTMGRP_IPV6_IFADDR))
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        self._read_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop to follow."""
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    # The port: Links, and the events of Addresses

    def get(self, name: str) -> Link:
        """Describe an interface; see ``kubevip.ports.Links``."""
        known_link = self._described.get(name)
        if known_link is not None:
            return known_link
        for message in self._links.values():
            if message.name == name:
                self._described[name] = link = self._describe(message)
                return link
        known = ", ".join(sorted(message.name for message in self._links.values()))
        raise LinkNotFound(f"there is no interface {name!r}; there are: {known}", errno.ENODEV)

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call *changed* with the name of each interface that comes, goes or changes; return what ends that."""
        self._on_link.append(changed)
        return lambda: self._on_link.remove(changed)

    def subscribe_addresses(
        self,
        removed: Callable[[IPAddress, str], None],
        overflow: Callable[[AbstractSet[tuple[IPAddress, str]]], None],
    ) -> Callable[[], None]:
        """Call *removed* with address and interface of each address that goes; return what ends that.

        After events were lost, *overflow* is called with every address that is there, and its interface.
        """
        self._on_removed.append(removed)
        self._on_overflow.append(overflow)

        def unsubscribe() -> None:
            self._on_removed.remove(removed)
            self._on_overflow.remove(overflow)

        return unsubscribe

    def name_of(self, index: int) -> str:
        """Return the name of the interface with *index*; empty where there is none."""
        message = self._links.get(index)
        return message.name if message else ""

    def own(self, address: IPAddress) -> str | None:
        """Return the interface that has *address* as the node's own; see ``kubevip.ports.Links``."""
        if self._places is None:
            self._places = dict(reversed(self._own))
        index = self._places.get(address)
        return self.name_of(index) if index is not None else None

    def towards(self, address: IPAddress) -> tuple[str, int] | None:
        """Return interface and prefix length of the network that *address* is in; see ``kubevip.ports.Links``."""
        found = [
            (message.prefix_length, index)
            for (_known, index), message in self._own.items()
            if message.scope == netlink.RT_SCOPE_UNIVERSE and _contains(message, address)
        ]
        if not found:
            return None
        prefix_length, index = max(found)
        return self.name_of(index), prefix_length

    def subnets(self, but: Collection[str] = ()) -> list[Network]:
        """Return the networks that this node is in; see ``kubevip.ports.Links``."""
        found = {
            ipaddress.ip_network((message.address, message.prefix_length), strict=False)
            for (_known, index), message in self._own.items()
            if message.scope == netlink.RT_SCOPE_UNIVERSE and self.name_of(index) not in but
        }
        return sorted(found, key=lambda network: (network.version, int(network.network_address), network.prefixlen))

    def names(self) -> list[str]:
        """Return the names of all interfaces."""
        return sorted(message.name for message in self._links.values())

    def _describe(self, message: netlink.LinkMessage) -> Link:
        # A link that is made up says UNKNOWN until the kernel has looked whether there is a carrier.
        has_carrier = bool(message.flags & netlink.IFF_UP and message.flags & netlink.IFF_LOWER_UP)
        up = has_carrier and message.operstate in (netlink.IF_OPER_UP, netlink.IF_OPER_UNKNOWN)
        return Link(
            message.name,
            message.index,
            message.mac,
            up,
            loopback=bool(message.flags & netlink.IFF_LOOPBACK),
            link_local=self._link_local(message.index),
            addresses=tuple(address for address, where in self._own if where == message.index),
        )

    def _forget_described(self) -> None:
        self._described.clear()
        self._places = None

    def _link_local(self, index: int) -> IPv6Address | None:
        for address, where in self._own:
            if where == index and isinstance(address, IPv6Address) and address.is_link_local:
                return address
        return None

    # The events

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            while True:
                for kind, _flags, _sequence, body in netlink.messages(self._socket.recv(1 << 16)):
                    self._take(kind, body)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._recover()

    def _take(self, kind: int, body: bytes) -> None:
        if kind in (netlink.RTM_NEWLINK, netlink.RTM_DELLINK):
            self._take_link(netlink.parse_link(kind, body))
        elif kind in (netlink.RTM_NEWADDR, netlink.RTM_DELADDR):
            message = netlink.parse_address(kind, body)
            if message is not None:
                self._take_address(message)

    def _take_link(self, message: netlink.LinkMessage) -> None:
        self._forget_described()
        before = self._links.get(message.index)
        if message.removed:
            self._links.pop(message.index, None)
            self._own = {place: known for place, known in self._own.items() if place[1] != message.index}
        else:
            self._links[message.index] = message
        if before is not None and before.name != message.name:
            # Under its old name it has gone.
            self._tell_link(before.name)
        if message.removed or before != message:
            self._tell_link(message.name)

    def _take_address(self, message: netlink.AddressMessage) -> None:
        if message.removed:
            if self._own.pop((message.address, message.index), None) is not None:
                self._forget_described()
        elif message.proto != netlink.OUR_PROTO and not message.flags & netlink.IFA_F_DEPRECATED:
            self._own[message.address, message.index] = message
            self._forget_described()
        if message.removed:
            for removed in tuple(self._on_removed):
                removed(message.address, self.name_of(message.index))

    def _tell_link(self, name: str) -> None:
        for changed in tuple(self._on_link):
            changed(name)

    def _read_all(self) -> list[netlink.AddressMessage]:
        with self._enter():
            requests = netlink.Requests()
        with requests:
            links = [netlink.parse_link(kind, body) for kind, body in requests.all(netlink.RTM_GETLINK)]
            answers = requests.all(netlink.RTM_GETADDR)
        self._links = {link.index: link for link in links}
        self._own.clear()
        self._forget_described()
        addresses = [found for kind, body in answers if (found := netlink.parse_address(kind, body))]
        for found in addresses:
            self._take_address(found)
        return addresses

    def _recover(self) -> None:
        log.warning("more network events than the socket could keep; reading links and addresses anew")
        gone = set(self.names())
        present = {(found.address, self.name_of(found.index)) for found in self._read_all()}
        for overflow in tuple(self._on_overflow):
            overflow(present)
        for name in gone.union(self.names()):
            self._tell_link(name)


def _contains(message: netlink.AddressMessage, address: IPAddress) -> bool:
    if message.address.version != address.version:
        return False
    shift = Family.of(address).bits - message.prefix_length
    return shift > 0 and int(message.address) >> shift == int(address) >> shift
