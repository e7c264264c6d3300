"""What the operator has set, under kube-vip's names and a few of our own."""

import ipaddress
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import TypeVar

import attrs

from kubevip.plugin import ConfigError, IPAddress
from kubevip_bgp.neighbors import (
    Malformed,
    Neighbor,
    NextHops,
    parse_address,
    parse_neighbors,
    parse_next_hops,
    parse_number,
    parse_password,
)
from kubevip_bgp.routes import DEFAULT_PREFERENCE, Route

Value = TypeVar("Value")

LIMIT = 2**32 - 1
_DEFAULT_NUMBER = "65000"
_CONNECTIONS = ("active", "passive", "both")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@attrs.frozen(kw_only=True)
class Configuration:
    """All settings of the backend; times in seconds.

    *router_id* and *router_interface* name the identifier, or where it is taken from; neither: it is the first
    IPv4 address of the node.
    """

    number: int
    neighbors: tuple[Neighbor, ...]
    route: Route
    router_id: IPv4Address | None = None
    router_interface: str = ""
    source_address: IPAddress | None = None
    source_interface: str = ""
    hold_time: int = 30
    keepalive: float = 10.0
    graceful_restart: int = 0
    connect: bool = True
    accept: bool = False
    ttl_security: bool = False


@attrs.define(eq=False)
class _Reading:
    """Reads settings one by one, and keeps what is wrong with each."""

    texts: Mapping[str, str]
    problems: list[str] = attrs.field(factory=list)

    def take(self, name: str, read: Callable[[str], Value], default: Value) -> Value:
        text = self.texts.get(name, "").strip()
        try:
            return read(text) if text else default
        except (ValueError, Malformed) as error:
            self.problems.append(f"{name}: {error}")
            return default

    def text(self, name: str) -> str:
        return self.texts.get(name, "").strip()


def read_configuration(texts: Mapping[str, str]) -> Configuration:
    """Read the settings out of an environment.

    :raises ConfigError: with every problem; no password is shown.
    """
    reading = _Reading(texts)
    hold_time = reading.take("bgp_hold_time", whole(0, 65535), 30)
    keepalive = reading.take("bgp_keepalive_interval", whole(0, 65535), 10)
    source_address, source_interface = reading.take("bgp_sourceip", _address, None), reading.text("bgp_sourceif")
    next_hops = _next_hops(reading)
    neighbors = _neighbors(reading, next_hops)
    if hold_time in (1, 2):
        reading.problems.append(f"bgp_hold_time: {hold_time} s; write 0 for none, or at least 3")
    if hold_time and keepalive > hold_time:
        reading.problems.append(f"bgp_keepalive_interval: {keepalive} s is longer than bgp_hold_time, {hold_time} s")
    if source_address is not None and source_interface:
        reading.problems.append("bgp_sourceip, bgp_sourceif: these exclude each other; leave one of them")
    connection = reading.take("bgp_connection", _connection, "active")
    configuration = Configuration(
        number=reading.take("bgp_as", parse_number, parse_number(_DEFAULT_NUMBER)),
        neighbors=neighbors,
        route=_route(reading),
        router_id=reading.take("bgp_routerid", _router_id, None),
        router_interface=reading.text("bgp_routerinterface"),
        source_address=source_address,
        source_interface=source_interface,
        hold_time=hold_time,
        keepalive=keepalive,
        graceful_restart=reading.take("bgp_graceful_restart", whole(0, 4095), 0),
        connect=connection != "passive",
        accept=connection != "active",
        ttl_security=reading.text("bgp_ttl_security") in _TRUE,
    )
    if reading.problems:
        raise ConfigError(reading.problems)
    return configuration


def _neighbors(reading: _Reading, next_hops: NextHops) -> tuple[Neighbor, ...]:
    """Return the peers of ``bgp_peers``, and behind them that of ``bgp_peeraddress``."""
    none: tuple[Neighbor, ...] = ()
    peers = reading.take("bgp_peers", lambda text: parse_neighbors(text, next_hops), none)
    single = reading.take("bgp_peeraddress", parse_address, None)
    if single is not None:
        peers = (
            *peers,
            Neighbor(
                address=single,
                number=reading.take("bgp_peeras", parse_number, parse_number(_DEFAULT_NUMBER)),
                password=reading.take("bgp_peerpass", parse_password, ""),
                multihop=reading.text("bgp_multihop") in _TRUE,
                next_hops=next_hops,
            ),
        )
    if not peers and not reading.problems:
        found = repr(reading.text("bgp_peers")) if reading.text("bgp_peers") else "(not set)"
        reading.problems.append(f"bgp_peers {found}: BGP needs a peer; write bgp_peers=<address>:<AS>")
    addresses = [peer.address for peer in peers]
    for address in sorted({str(each) for each in addresses if addresses.count(each) > 1}):
        reading.problems.append(f"bgp_peers: {address} is there more than once; leave one of them")
    return peers


def _next_hops(reading: _Reading) -> NextHops:
    names = ("mpbgp_nexthop", "mpbgp_ipv4", "mpbgp_ipv6")
    try:
        return parse_next_hops({name: reading.text(name) for name in names})
    except ValueError as error:
        reading.problems.append(str(error))
        return NextHops()


def _route(reading: _Reading) -> Route:
    communities = reading.take("bgp_communities", parse_communities, Communities())
    return Route(
        communities=communities.standard,
        large_communities=communities.large,
        local_pref=reading.take("bgp_local_pref", whole(0, LIMIT), DEFAULT_PREFERENCE),
        med=reading.take("bgp_med", whole(0, LIMIT), None),
        prepend=reading.take("bgp_prepend", whole(0, 20), 0),
    )


@attrs.frozen
class Communities:
    """Marks that routes carry."""

    standard: tuple[int, ...] = ()
    large: tuple[tuple[int, int, int], ...] = ()


def parse_communities(text: str) -> Communities:
    """Read standard communities, ``65000:1``, and large ones, ``65000:1:2``, separated by commas.

    :raises ValueError: with what would be right.
    """
    standard: list[int] = []
    large: list[tuple[int, int, int]] = []
    for part in filter(None, map(str.strip, text.split(","))):
        numbers = [int(each) if each.isdecimal() else -1 for each in part.split(":")]
        if len(numbers) == 2 and all(0 <= each <= 0xFFFF for each in numbers):
            standard.append(numbers[0] << 16 | numbers[1])
        elif len(numbers) == 3 and all(0 <= each <= LIMIT for each in numbers):
            large.append((numbers[0], numbers[1], numbers[2]))
        else:
            raise ValueError(f"{part!r} is no community; write 65000:1, or 65000:1:2 for a large one")
    return Communities(tuple(standard), tuple(large))


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from *low* to *high*."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"{text!r}; write a whole number from {low} to {high}")
        return int(text)

    return read


def _address(text: str) -> IPAddress:
    return ipaddress.ip_address(text)


def _router_id(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError(f"{text!r}; write an IPv4 address, also where sessions are over IPv6") from None


def _connection(text: str) -> str:
    if text not in _CONNECTIONS:
        raise ValueError(f"{text!r}; write {', '.join(_CONNECTIONS[:-1])} or {_CONNECTIONS[-1]}")
    return text
