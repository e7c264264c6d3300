"""How pools are written: ``10.0.0.0/24,fd00::/120`` or ``10.0.0.5-10.0.0.9``, as kube-vip-cloud-provider has it.

A slash anywhere makes all elements CIDRs, otherwise all are ranges. Host bits are masked, blanks around elements
don't matter, families may be mixed. The strictness is that of Go's ``net/netip``: no leading zeros, no netmasks.
"""

import functools
import ipaddress
import re
from collections.abc import Callable
from functools import partial

from kubevip.errors import ConfigError
from kubevip.ipam.blocks import Block
from kubevip.model import IPAddress

_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
# Messages are read by people: so many problems of a text are told, and so many characters of what is wrong.
_TOLD = 10
_SHOWN = 60


def read_pool(text: str, *, skip_ends: bool = False) -> tuple[Block, ...]:
    """Read the text of a pool; with *skip_ends*, IPv4 CIDRs lose their first and last address, but for /31 and /32.

    :raises ConfigError: naming each element that can't be used, and what would be right.
    """
    read_cidr = partial(_read_cidr, skip_ends=skip_ends)
    blocks, problems = _sift(text, read_cidr if "/" in text else _read_range)
    if problems:
        raise ConfigError(problems)
    return blocks


def read_blocks(text: str) -> tuple[Block, ...]:
    """Read addresses, CIDRs and ranges, mixed as one likes.

    :raises ConfigError: as ``read_pool()``.
    """
    blocks, problems = sift_blocks(text)
    if problems:
        raise ConfigError(problems)
    return blocks


def sift_blocks(text: str) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Read as ``read_blocks()``; return what can be used, and what is wrong with the rest."""
    return _sift(text, _read_any)


def _sift(text: str, read: Callable[[str], Block]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    blocks, problems = [], []
    for element in map(str.strip, text.split(",")):
        try:
            blocks.append(read(element))
        except ValueError as error:
            problems.append(str(error))
    if len(problems) > _TOLD:
        problems[_TOLD:] = [f"and {len(problems) - _TOLD} more"]
    return tuple(blocks), tuple(problems)


@functools.lru_cache(maxsize=256)  # of a Service they are looked at several times in a row
def read_address(text: str) -> IPAddress:
    """Read one address, strictly.

    :raises ValueError: saying what is wrong.
    """
    if "%" in text:
        raise ValueError(f"{shown(text)!r} has a zone: write the address without it")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{shown(text)!r} is not an IP address{_hint(text)}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"{shown(text)!r} is IPv4 in the form of IPv6: write {address.ipv4_mapped}")
    return address


def shown(text: str) -> str:
    """Return *text*, no longer than a message should have it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _hint(text: str) -> str:
    plain = ".".join(octet.lstrip("0") or octet[:1] for octet in text.split("."))
    try:
        return f": write it without leading zeros, {ipaddress.IPv4Address(plain)}"
    except ValueError:
        return " such as 10.0.0.5 or fd00::5"


def _read_any(element: str) -> Block:
    if "/" in element:
        return _read_cidr(element)
    if "-" in element or not element:
        return _read_range(element)
    address = read_address(element)
    return Block.between(address, address)


def _read_cidr(element: str, skip_ends: bool = False) -> Block:
    head, slash, length = element.partition("/")
    if not element:
        raise ValueError("there is an empty element between commas, or at an end")
    if not slash:
        raise ValueError(f"{shown(element)!r} has no prefix length: write CIDRs such as 10.0.0.0/24, or ranges alone")
    if not head:
        raise ValueError(f"{shown(element)!r} has no address: write CIDRs such as 10.0.0.0/24")
    address = read_address(head)
    if not _LENGTH.fullmatch(length) or int(length) > address.max_prefixlen:
        raise ValueError(
            f"{shown(element)!r} needs a plain number from 0 to {address.max_prefixlen} after the slash, "
            f"such as {address}/{address.max_prefixlen}"
        )
    network = ipaddress.ip_network((address, int(length)), strict=False)
    block = Block.between(network[0], network[-1])
    if skip_ends and network.version == 4 and block.size > 2:
        return Block(block.first + 1, block.last - 1)
    return block


def _read_range(element: str) -> Block:
    ends = [end.strip() for end in element.split("-")]
    if not element:
        raise ValueError("there is an empty element between commas, or at an end")
    if len(ends) != 2 or not all(ends):
        raise ValueError(
            f"unable to parse IP range [{shown(element)}]: write first-last, such as 10.0.0.5-10.0.0.9{_alone(element)}"
        )
    first, last = read_address(ends[0]), read_address(ends[1])
    if first.version != last.version:
        raise ValueError(f"the range {first}-{last} mixes IPv4 and IPv6: write one range for each")
    block = Block.between(first, last)
    if block.first > block.last:
        raise ValueError(f"the range {first}-{last} runs backwards: write {last}-{first}")
    return block


def _alone(element: str) -> str:
    try:
        address = read_address(element)
    except ValueError:
        return ""
    return f", or for one address {address}-{address}"
