"""What is found about one pool: addresses that can't work, that are never given out, or that are read otherwise."""

import ipaddress
from collections.abc import Iterator

import attrs

from kubevip.ipam.blocks import IPV6_BASE, Block, Blocks, address_at, merged
from kubevip.ipam.dialect import SKIP_ENDS, USE_0_AND_255, Pool
from kubevip.ipam.findings import Finding, Surroundings, error, note, plural, shorten, warning
from kubevip.ipam.notation import read_pool
from kubevip.model import Family, IPAddress

# 0.0.0.0 and ::
_UNSPECIFIED = (Block(0, 0), Block(IPV6_BASE, IPV6_BASE))


@attrs.frozen
class Subject:
    """A pool that can be read, with what is written for it, before anything is left out.

    *elements* have their texts; *blocks* are all of them, merged and ascending.
    """

    pool: Pool
    elements: tuple[tuple[str, Block], ...]
    blocks: tuple[Block, ...]
    skip_ends: bool
    sparing: bool

    @classmethod
    def of(cls, pool: Pool, *, skip_ends: bool, sparing: bool) -> "Subject":
        """Read the text of *pool* once more."""
        texts, blocks = [text.strip() for text in pool.text.split(",")], read_pool(pool.text)
        return cls(pool, tuple(zip(texts, blocks, strict=True)), merged(blocks), skip_ends, sparing)

    @property
    def size(self) -> int:
        """How many addresses it can give out."""
        return sum(self.pool.of(family).size for family in Family)


def _network(text: str) -> Block:
    """Return the block of a network."""
    found = ipaddress.ip_network(text)
    return Block.between(found[0], found[-1])


_LOOPBACK = (_network("127.0.0.0/8"), _network("::1/128"))
_MULTICAST = (_network("224.0.0.0/4"), _network("ff00::/8"))
_LINK_LOCAL = (_network("169.254.0.0/16"), _network("fe80::/10"))
_REFUSED = (Block(1, (1 << 24) - 1), _network("240.0.0.0/4"))


def check_pool(subject: Subject, around: Surroundings) -> Iterator[Finding]:
    """Yield what is found about a pool with addresses of its own."""
    yield from _check_emptiness(subject)
    yield from _check_marker(subject)
    yield from _check_special(subject)
    yield from _check_networks(subject, around)
    yield from _check_nodes(subject, around)
    yield from _check_writing(subject)
    yield from _check_ends(subject)


def _check_emptiness(subject: Subject) -> Iterator[Finding]:
    pool = subject.pool
    whole = Blocks(tuple(block for block in subject.blocks if block not in _UNSPECIFIED), sparing=False)
    for family in Family:
        written = whole.of(family)
        if not written or pool.of(family).size:
            continue
        part = f"its IPv{family.value} part has no address to give out" if subject.size else "no address is left of it"
        report = warning if subject.size else error
        yield report(pool.key, f"{part}: of {written}, {_reasons(subject, written)}")


def _reasons(subject: Subject, written: Blocks) -> str:
    spared, reasons = _spared(subject, written), []
    if spared:
        reasons.append(f'{plural(spared, "ends", "end")} in .0 or .255, which {USE_0_AND_255}: "true" would use')
    if written.size > spared:
        reasons.append(f"{plural(written.size - spared, 'is', 'are')} kept free by reserved or {SKIP_ENDS}")
    return " and ".join(reasons)


def _spared(subject: Subject, written: Blocks) -> int:
    return written.size - Blocks(written.blocks, subject.sparing).size


def _check_marker(subject: Subject) -> Iterator[Finding]:
    pool = subject.pool
    blocks = {block for _text, block in subject.elements}
    report = warning if subject.size or pool.dhcp else error
    if pool.dhcp:
        text = "each Service gets 0.0.0.0 as its IPv4 address: whoever announces it has to get one by DHCP"
        yield note(pool.key, text)
    elif _UNSPECIFIED[0] in blocks:
        text = "0.0.0.0 is left out: it asks for an address by DHCP where 0.0.0.0/32 is all that is written for IPv4"
        yield report(pool.key, text)
    if _UNSPECIFIED[1] in blocks:
        yield report(pool.key, ":: is left out: it can't be the address of a Service")


def _check_special(subject: Subject) -> Iterator[Finding]:
    key = subject.pool.key
    for text in _within(subject, _LOOPBACK):
        yield error(key, f"no other machine can reach loopback addresses: {text}")
    for text in _within(subject, _MULTICAST):
        yield error(key, f"no Service can have multicast addresses: {text}")
    for text in _within(subject, _LINK_LOCAL):
        yield warning(key, f"no router forwards to link-local addresses: {text}")
    for text in _within(subject, _REFUSED):
        yield warning(key, f"most systems refuse reserved addresses: {text}")


def _check_networks(subject: Subject, around: Surroundings) -> Iterator[Finding]:
    for what, blocks in (("Pods", around.pods), ("Services' cluster addresses", around.services)):
        for text in _within(subject, blocks):
            yield error(subject.pool.key, f"nobody outside can reach what is in the network of {what}: {text}")


def _check_nodes(subject: Subject, around: Surroundings) -> Iterator[Finding]:
    pool = subject.pool
    owners: dict[IPAddress, str] = {
        address: name for name, addresses in around.nodes.items() for address in addresses if address in pool
    }
    if not owners:
        return
    told = shorten([f"{address} of {f'node {name}' if name else 'a node'}" for address, name in owners.items()])
    text = f"{told} {'is' if len(owners) == 1 else 'are'} not given out"
    if len(owners) == subject.size:
        yield error(pool.key, f"{text}, so no address is left of it")
    else:
        yield warning(pool.key, text)


def _check_writing(subject: Subject) -> Iterator[Finding]:
    key = subject.pool.key
    masked = [f"{text} is {block}" for text, block in subject.elements if "/" in text and _is_masked(text)]
    if masked:
        yield note(key, f"{shorten(masked)}: bits after the prefix don't count")
    doubled = sum(block.size for _text, block in subject.elements) - sum(block.size for block in subject.blocks)
    if doubled:
        text = plural(doubled, "address is", "addresses are")
        yield warning(key, f"{text} written more than once, which doesn't make them more")


def _is_masked(text: str) -> bool:
    interface = ipaddress.ip_interface(text)
    return interface.ip != interface.network.network_address


def _check_ends(subject: Subject) -> Iterator[Finding]:
    pool = subject.pool
    spared = _spared(subject, Blocks(subject.blocks, sparing=False).of(Family.IPV4))
    if spared and pool.ipv4.size:
        text = f"{plural(spared, 'address ends', 'addresses end')} in .0 or .255 and {'is' if spared == 1 else 'are'}"
        yield note(pool.key, f'{text} not given out; {USE_0_AND_255}: "true" would')
    ends = [block for text, block in subject.elements if "/" in text and _ends(subject, block)]
    if ends:
        more = f", and so on in {len(ends) - 1:,} more," if len(ends) > 1 else ""
        text = f"{' and '.join(_ends(subject, ends[0]))} of {ends[0]}{more} can be given out; where that is a network"
        yield note(
            pool.key,
            f'{text} of its own, its first and last address can\'t be used, and {SKIP_ENDS}: "true" leaves them out',
        )


def _ends(subject: Subject, block: Block) -> list[str]:
    """Return those ends of an IPv4 CIDR that are given out, although a network of its own would need them."""
    if subject.skip_ends or block.first >= IPV6_BASE or block.size <= 2:
        return []
    return [str(address_at(place)) for place in (block.first, block.last) if place in subject.pool.ipv4]


def _within(subject: Subject, blocks: tuple[Block, ...]) -> list[str]:
    """Return which addresses that the pool may give out are within *blocks*, as one text or none."""
    given = [block for family in Family for block in subject.pool.of(family).blocks]
    pairs = ((one, other) for other in merged(blocks) for one in given if one.overlaps(other))
    found = [str(Block(max(one.first, other.first), min(one.last, other.last))) for one, other in pairs]
    return [shorten(found)] if found else []
