"""Which addresses several have in common, found in one pass over their blocks in order."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from kubevip.ipam.blocks import Block, merged

Name = TypeVar("Name")
# Whoever has more than these to tell has told enough.
MOST_PAIRS = 1000


def find_overlaps(sets: Mapping[Name, Iterable[Block]]) -> tuple[Mapping[tuple[Name, Name], tuple[Block, ...]], bool]:
    """Return what each two of *sets* have in common, and whether that is all: ``MOST_PAIRS`` common blocks are told."""
    found: dict[tuple[Name, Name], list[Block]] = {}
    complete = True
    for count, (one, other, block) in enumerate(_common(sets)):
        if count == MOST_PAIRS:
            complete = False
            break
        found.setdefault((one, other), []).append(block)
    return {pair: merged(blocks) for pair, blocks in found.items()}, complete


def _common(sets: Mapping[Name, Iterable[Block]]) -> Iterator[tuple[Name, Name, Block]]:
    order = {name: number for number, name in enumerate(sets)}
    blocks = sorted((block, order[name]) for name, each in sets.items() for block in merged(each))
    names = list(sets)
    reaching: list[tuple[Block, int]] = []
    for block, number in blocks:
        reaching = [known for known in reaching if known[0].last >= block.first]
        for known, other in reaching:
            first, second = sorted((number, other))
            yield names[first], names[second], Block(block.first, min(block.last, known.last))
        reaching.append((block, number))
