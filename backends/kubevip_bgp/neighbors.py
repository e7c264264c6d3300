"""The routers to talk to, as the operator names them: values, and kube-vip's grammar of ``bgp_peers``."""

import ipaddress
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

import attrs

from kubevip.plugin import IPAddress, KubeVipError

Address = TypeVar("Address", IPv4Address, IPv6Address)

PORT = 179
# The hops that kube-vip allows to a peer that is said to be further away.
MULTIHOP = 50
_FIELDS = ("address", "AS", "password", "multihop", "port", "mpbgp", "bfd")
_PLAIN = 4
_OUTSIDE_BRACKETS = r":(?![^\[]*\])"
_PASSWORD_LIMIT = 80
_UNNUMBERED = "unnumbered"
# What Linux lets the name of an interface be, without what has a meaning here.
_INTERFACE = re.compile(r"[^\s/:,%\[\]]{1,15}")
_SHORT_NUMBER = re.compile(r"[0-9]{0,12}")
_NEXT_HOPS = ("fixed", "auto_sourceip", "auto_sourceif")
# Shorter ones are no promise that a process could keep; the longest are RFC 5880's, or nothing that BFD is for.
_BFD_INTERVALS, _BFD_MULTIPLIERS = (10, 60_000), (1, 255)
_LARGEST_NUMBER = 2**32 - 1
_DIGITS = len(str(_LARGEST_NUMBER))
_BOOLEANS = {"": False, "true": True, "false": False}


@attrs.frozen(kw_only=True)
class NextHops:
    """By which address a peer reaches us in the family that the session isn't of.

    *mode* is kube-vip's ``mpbgp_nexthop``: the ``fixed`` addresses, one of the interface that has the source
    address, one of the source interface; empty: one of the interface that the session starts from.
    """

    mode: str = ""
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


@attrs.frozen(kw_only=True)
class Detection:
    """Asks a peer for signs of life many times a second (BFD); times in seconds."""

    receive: float = 0.3
    transmit: float = 0.3
    multiplier: int = 3


@attrs.frozen(kw_only=True)
class Neighbor:
    """One router. *password* signs the segments of TCP (RFC 2385).

    An unnumbered one is the router on *interface*, whatever its address: that is ``::`` until it is found.
    """

    address: IPAddress
    number: int
    password: str = attrs.field(default="", repr=False)
    multihop: bool = False
    port: int = PORT
    next_hops: NextHops = attrs.field(factory=NextHops)
    detection: Detection | None = None
    interface: str = ""

    @property
    def found(self) -> bool:
        """Whether its address is known."""
        return not self.address.is_unspecified

    @property
    def name(self) -> str:
        """How it is called in logs and metrics, as kube-vip does it."""
        if self.interface:
            return f"{_UNNUMBERED}:{self.interface}"
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


class Malformed(KubeVipError):
    """What is written of a peer can't be used."""


def parse_neighbors(text: str, next_hops: NextHops) -> tuple[Neighbor, ...]:
    """Read kube-vip's ``bgp_peers``: peers separated by commas.

    Each is ``address:AS:password:multihop:port:mpbgp:bfd``, where all behind the AS number may be left out or be
    empty, and ``unnumbered:interface`` may stand for the address. *next_hops* is for peers that say nothing of theirs.

    :raises Malformed: naming the peer by its address, never with its password.
    """
    peers = [part.strip() for part in text.split(",")]
    return tuple(_parse_neighbor(number, peer, next_hops) for number, peer in enumerate(peers, start=1) if peer)


def _parse_neighbor(number: int, text: str, next_hops: NextHops) -> Neighbor:
    unnumbered, rest_of = text.partition(":")[0] == _UNNUMBERED, text.partition(":")[2]
    host, rest = _split_host(rest_of if unnumbered else text)
    host = f"{_UNNUMBERED}:{host}" if unnumbered else host
    fields = dict(zip(_FIELDS, [host, *rest], strict=False))
    try:
        if len(rest) > len(_FIELDS) - 1:
            raise ValueError(f"there are {len(rest) + 1} fields, and no more than {':'.join(_FIELDS)} can be")
        return _neighbor(fields, next_hops)
    except ValueError as error:
        raise Malformed(f"peer {number}, {host or 'without an address'}: {error}") from error


def _split_host(text: str) -> tuple[str, list[str]]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        rest = rest.removeprefix(":")
    else:
        host, _, rest = text.partition(":")
    if not rest:
        return host, []
    *plain, last = rest.split(":", _PLAIN)
    # Behind the port, an IPv6 address may stand in brackets; a password may have brackets of its own.
    return host, [*plain, *(re.split(_OUTSIDE_BRACKETS, last) if len(plain) == _PLAIN else [last])]


def _neighbor(fields: Mapping[str, str], next_hops: NextHops) -> Neighbor:
    interface = _interface(fields["address"])
    return Neighbor(
        address=IPv6Address(f"::%{interface}") if interface else parse_address(fields["address"]),
        interface=interface,
        number=parse_number(fields.get("AS", "")),
        password=parse_password(fields.get("password", "")),
        multihop=_choose(_BOOLEANS, fields.get("multihop", "").lower(), "multihop"),
        port=_port(fields.get("port", "")),
        next_hops=_next_hops(fields["mpbgp"]) if fields.get("mpbgp") else next_hops,
        detection=_detection(fields["bfd"]) if fields.get("bfd") else None,
    )


def _interface(host: str) -> str:
    """Return the interface of an unnumbered peer; empty for others."""
    word, _, interface = host.partition(":")
    if word != _UNNUMBERED:
        return ""
    if not _INTERFACE.fullmatch(interface):
        raise ValueError(
            f"interface {interface!r}; write {_UNNUMBERED}:<interface>:<AS>, such as unnumbered:eth1:65001"
        )
    return interface


def parse_address(text: str) -> IPAddress:
    """Read the address of a peer; a link-local one names its interface behind a percent sign.

    :raises ValueError: with what would be right.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IP address; write one such as 10.0.0.1, an IPv6 address in brackets, and no name"
        ) from None
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{text} is not the address of one machine")
    scope = address.scope_id if isinstance(address, IPv6Address) else None
    if address.is_link_local and address.version == 6 and not scope:
        raise ValueError(f"a link-local address needs its interface; write [{text}%eth0]")
    return address


def parse_number(text: str) -> int:
    """Read an AS number.

    :raises ValueError: with what would be right.
    """
    if not text.isdecimal() or len(text) > _DIGITS or not 1 <= int(text) <= _LARGEST_NUMBER:
        raise ValueError(f"AS {text[: _DIGITS + 1]!r}; write a number from 1 to {_LARGEST_NUMBER}")
    return int(text)


def parse_password(text: str) -> str:
    """Return a password that the kernel takes.

    :raises ValueError: if it is too long; it isn't shown.
    """
    if len(text.encode()) > _PASSWORD_LIMIT:
        raise ValueError(f"the password has more than {_PASSWORD_LIMIT} bytes, which is all that the kernel takes")
    return text


def _port(text: str) -> int:
    if not text:
        return PORT
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {text!r}; write a number from 1 to 65535")
    return int(text)


def _choose(choices: Mapping[str, bool], text: str, what: str) -> bool:
    if text not in choices:
        raise ValueError(f"{what} {text!r}; write true or false")
    return choices[text]


def _next_hops(text: str) -> NextHops:
    """Read ``key=value;key=value``."""
    values: dict[str, str] = {}
    for part in filter(None, text.split(";")):
        key, equals, value = part.partition("=")
        if key not in ("mpbgp_nexthop", "mpbgp_ipv4", "mpbgp_ipv6") or not equals:
            raise ValueError(f"{part!r}; write mpbgp_nexthop=, mpbgp_ipv4= or mpbgp_ipv6=[]")
        values[key] = value
    return parse_next_hops(values)


def parse_next_hops(values: Mapping[str, str]) -> NextHops:
    """Read ``mpbgp_nexthop``, ``mpbgp_ipv4`` and ``mpbgp_ipv6``, of the environment or of one peer.

    :raises ValueError: with what would be right.
    """
    mode = values.get("mpbgp_nexthop", "")
    if mode and mode not in _NEXT_HOPS:
        raise ValueError(f"mpbgp_nexthop={mode!r}; write one of {', '.join(_NEXT_HOPS)}")
    ipv4 = _typed(values.get("mpbgp_ipv4", ""), IPv4Address, "mpbgp_ipv4")
    ipv6 = _typed(values.get("mpbgp_ipv6", ""), IPv6Address, "mpbgp_ipv6")
    if mode == "fixed" and ipv4 is None and ipv6 is None:
        raise ValueError("mpbgp_nexthop=fixed needs mpbgp_ipv4, mpbgp_ipv6 or both")
    return NextHops(mode=mode, ipv4=ipv4, ipv6=ipv6)


def _typed(text: str, kind: type[Address], name: str) -> Address | None:
    try:
        return kind(text.removeprefix("[").removesuffix("]")) if text else None
    except ValueError:
        raise ValueError(f"{name}={text!r} is not an {kind.__name__[:4]} address") from None


def _detection(text: str) -> Detection | None:
    """Read ``enabled;receive ms;transmit ms;multiplier``."""
    enabled, *numbers = text.split(";")
    if len(numbers) != 3 or not all(_SHORT_NUMBER.fullmatch(number) for number in numbers):
        raise ValueError(f"bfd {text!r}; write enabled;300;300;3: milliseconds to receive and transmit, multiplier")
    if not _choose(_BOOLEANS, enabled.lower(), "bfd"):
        return None
    receive, transmit, multiplier = numbers
    return Detection(
        receive=_within(receive, _BFD_INTERVALS, "bfd interval", 300) / 1000,
        transmit=_within(transmit, _BFD_INTERVALS, "bfd interval", 300) / 1000,
        multiplier=_within(multiplier, _BFD_MULTIPLIERS, "bfd multiplier", 3),
    )


def _within(text: str, bounds: tuple[int, int], what: str, default: int) -> int:
    """Return a number, or *default* where there is none, or 0."""
    number = int(text or 0) or default
    if not bounds[0] <= number <= bounds[1]:
        raise ValueError(f"{what} {text}; write a number from {bounds[0]} to {bounds[1]}")
    return number
