"""The interfaces of a simulated node: the in-memory twin of ``kubevip.ports.Links``."""

import errno
import ipaddress
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs

from kubevip import placement
from kubevip.backend import Link
from kubevip.errors import LinkNotFound
from kubevip.model import IPAddress
from kubevip.testing.process import Listener

Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface
LOOPBACK = "lo"


@attrs.define(eq=False)
class MemoryLinks:
    """The interfaces of one node, each with the node's own addresses. A loopback is there from the start.

    *on_down* is called with the index of an interface that goes down, and true where it goes away for good,
    before anybody is told.
    """

    on_down: Callable[[int, bool], None] = lambda _index, _gone: None
    _links: dict[str, Link] = attrs.field(factory=dict, init=False)
    _networks: dict[str, tuple[Network, ...]] = attrs.field(factory=dict, init=False)
    _subscribers: list[Listener] = attrs.field(factory=list, init=False)
    _indexes: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self.add(LOOPBACK, mac=bytes(6), loopback=True, networks=("127.0.0.1/8", "::1/128"))

    # What happens to them

    def add(
        self,
        name: str,
        *,
        mac: bytes | None = None,
        up: bool = True,
        loopback: bool = False,
        networks: Iterable[str] = (),
    ) -> Link:
        """Add an interface with the node's own addresses in *networks*, such as ``10.0.0.11/24``."""
        index = next(self._indexes)
        mac = mac if mac is not None else bytes([2, 0, 0, 0, *index.to_bytes(2, "big")])
        self._links[name] = Link(name, index, mac, up, loopback)
        self.address(name, *networks)
        return self.get(name)

    def address(self, name: str, *networks: str) -> None:
        """Let the node's own addresses on an interface be these and no others."""
        parsed = tuple(ipaddress.ip_interface(text) for text in networks)
        local = [each.ip for each in parsed if isinstance(each.ip, ipaddress.IPv6Address) and each.ip.is_link_local]
        self._networks[name] = parsed
        self._links[name] = attrs.evolve(
            self.get(name),
            link_local=local[0] if local else None,
            addresses=tuple(each.ip for each in parsed),
        )
        self._tell(name)

    def remove(self, name: str) -> None:
        """Take an interface away, with all addresses that are on it."""
        index = self.get(name).index
        del self._links[name], self._networks[name]
        self.on_down(index, True)
        self._tell(name)

    def set_up(self, name: str, up: bool) -> None:
        """Set an interface up or down."""
        self._links[name] = link = attrs.evolve(self.get(name), up=up)
        if not up:
            self.on_down(link.index, False)
        self._tell(name)

    def rename(self, name: str, to: str) -> None:
        """Give an interface another name; its index and all addresses on it stay."""
        self._links[to] = attrs.evolve(self.get(name), name=to)
        del self._links[name]
        self._networks[to] = self._networks.pop(name)
        self._tell(name)
        self._tell(to)

    # The port

    def get(self, name: str) -> Link:
        """Describe an interface; see ``kubevip.ports.Links``."""
        if name not in self._links:
            known = ", ".join(sorted(self._links))
            raise LinkNotFound(f"there is no interface {name!r}; there are: {known}", errno.ENODEV)
        return self._links[name]

    def own(self, address: IPAddress) -> str | None:
        """Return the interface that has *address* as the node's own; see ``kubevip.ports.Links``."""
        return next((name for name, network in self._each() if network.ip == address), None)

    def towards(self, address: IPAddress) -> tuple[str, int] | None:
        """Return interface and prefix length of the network that *address* is in; see ``kubevip.ports.Links``."""
        found = [
            (network.network.prefixlen, name)
            for name, network in self._each()
            if not self._links[name].loopback and not network.ip.is_link_local and address in network.network
        ]
        if not found:
            return None
        prefix_length, name = max(found)
        return name, prefix_length

    def subnets(self, but: Collection[str] = ()) -> list[placement.Network]:
        """Return the networks that this node is in; see ``kubevip.ports.Links``."""
        return [
            network.network
            for name, network in self._each()
            if name not in but and not self._links[name].loopback and not network.ip.is_link_local
        ]

    def names(self) -> list[str]:
        """Return the names of all interfaces."""
        return sorted(self._links)

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call *changed* with the name of each interface that comes, goes or changes; return what ends that."""
        listener = Listener(changed)
        self._subscribers.append(listener)
        return lambda: self._subscribers.remove(listener)

    def name_of(self, index: int) -> str:
        """Return the name of the interface with *index*; empty where there is none."""
        return next((link.name for link in self._links.values() if link.index == index), "")

    def networks(self) -> Mapping[str, tuple[Network, ...]]:
        """Return the node's own addresses by interface."""
        return dict(self._networks)

    def _each(self) -> Iterable[tuple[str, Network]]:
        return [(name, network) for name, networks in self._networks.items() for network in networks]

    def _tell(self, name: str) -> None:
        for listener in tuple(self._subscribers):
            listener.tell(name)
