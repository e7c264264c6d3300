"""Sets of addresses as intervals of integers: a /8 costs no more than a /30.

Both families share one line of numbers, on which IPv4 comes first. So one dictionary holds what is in use, and
an address is one integer, which says its family.
"""

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

import attrs

from kubevip.model import Family, IPAddress

# Where IPv6 begins.
IPV6_BASE = 1 << 32
END = IPV6_BASE + (1 << 128)
_NETWORK = 256
# So many blocks are written into a message.
_SHOWN = 8


def position(address: IPAddress) -> int:
    """Return the place of *address* on the line of all addresses."""
    return int(address) if address.version == 4 else int(address) + IPV6_BASE


def address_at(place: int) -> IPAddress:
    """Return the address at *place*; the inverse of ``position()``."""
    return ipaddress.IPv4Address(place) if place < IPV6_BASE else ipaddress.IPv6Address(place - IPV6_BASE)


def family_at(place: int) -> Family:
    """Return the family of the address at *place*."""
    return Family.IPV4 if place < IPV6_BASE else Family.IPV6


@attrs.frozen(order=True)
class Block:
    """The addresses from *first* to *last*, both included and of one family, by their places."""

    first: int
    last: int

    @classmethod
    def between(cls, first: IPAddress, last: IPAddress) -> "Block":
        """Return the block from *first* to *last*."""
        return cls(position(first), position(last))

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return self.last - self.first + 1

    def overlaps(self, other: "Block") -> bool:
        """Tell whether both have an address in common."""
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        """Write it as a CIDR if it is one, else as a range."""
        first, last = address_at(self.first), address_at(self.last)
        bits = (self.size - 1).bit_length()
        offset = 0 if self.first < IPV6_BASE else IPV6_BASE
        if self.size == 1 << bits and (self.first - offset) % self.size == 0:
            return f"{first}/{Family.of(first).bits - bits}"
        return f"{first}-{last}"


def merged(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Return the least number of blocks with the same addresses, ascending; a family never runs into the other."""
    found: list[Block] = []
    for block in sorted(blocks, key=attrgetter("first")):
        if found and block.first <= found[-1].last + 1 and family_at(found[-1].last) is family_at(block.first):
            found[-1] = Block(found[-1].first, max(found[-1].last, block.last))
        else:
            found.append(block)
    return tuple(found)


@attrs.frozen
class Blocks:
    """A set of addresses: disjoint blocks, ascending.

    With *sparing*, IPv4 addresses whose last number is 0 or 255 don't belong to it, as kube-vip-cloud-provider has it.
    """

    blocks: tuple[Block, ...] = attrs.field(converter=merged)
    sparing: bool = True
    _starts: list[int] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_starts", [block.first for block in self.blocks])

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self._starts, place) - 1
        return at >= 0 and place <= self.blocks[at].last and not (self.sparing and _is_spared(place))

    def __bool__(self) -> bool:
        return bool(self.blocks)

    def __len__(self) -> int:
        raise TypeError("an IPv6 pool has more addresses than len() can say; use size")

    @property
    def size(self) -> int:
        """How many addresses belong to it."""
        return sum(block.size - (_spared_within(block) if self.sparing else 0) for block in self.blocks)

    def count(self, places: Sequence[int]) -> int:
        """Return how many of *places*, which ascend, belong to it."""
        found = 0
        for block in self.blocks:
            within = places[bisect_left(places, block.first) : bisect_right(places, block.last)]
            found += sum(not _is_spared(place) for place in within) if self.sparing else len(within)
        return found

    def without(self, others: Iterable[Block]) -> "Blocks":
        """Return what is left when *others* are taken away."""
        return Blocks(tuple(_rest(self.blocks, merged(others))), self.sparing)

    def of(self, family: Family) -> "Blocks":
        """Return the part of *family*."""
        return Blocks(tuple(block for block in self.blocks if family_at(block.first) is family), self.sparing)

    def runs(self, *, descending: bool = False) -> Iterator[Block]:
        """Return its addresses as runs without a gap, in order."""
        for block in reversed(self.blocks) if descending else self.blocks:
            if self.sparing and block.first < IPV6_BASE:
                yield from _unspared(block, descending)
            else:
                yield block

    @property
    def excerpt(self) -> str:
        """Write it no longer than a message should be."""
        more = len(self.blocks) - _SHOWN
        return ",".join(map(str, self.blocks[:_SHOWN])) + (f" and {more} more" if more > 0 else "")

    def __str__(self) -> str:
        return ",".join(map(str, self.blocks))


def _rest(blocks: Sequence[Block], others: Sequence[Block]) -> Iterator[Block]:
    """Take *others* away; both ascend, so each is looked at once."""
    at = 0
    for block in blocks:
        first = block.first
        while at < len(others) and others[at].first <= block.last:
            other = others[at]
            if first < other.first:
                yield Block(first, other.first - 1)
            first = max(first, other.last + 1)
            if other.last > block.last:
                break
            at += 1
        if first <= block.last:
            yield Block(first, block.last)


def _is_spared(place: int) -> bool:
    return place < IPV6_BASE and place & 255 in (0, 255)


def _spared_within(block: Block) -> int:
    if block.first >= IPV6_BASE:
        return 0
    return sum(
        (block.last - number) // _NETWORK - (block.first - 1 - number) // _NETWORK for number in (0, _NETWORK - 1)
    )


def _unspared(block: Block, descending: bool) -> Iterator[Block]:
    networks = range(block.first // _NETWORK, block.last // _NETWORK + 1)
    for network in reversed(networks) if descending else networks:
        base = network * _NETWORK
        first, last = max(block.first, base + 1), min(block.last, base + _NETWORK - 2)
        if first <= last:
            yield Block(first, last)
