"""Programs by which the kernel keeps back all frames but those about a few of many addresses (classic BPF).

A backend that watches what others claim would otherwise be woken by every frame of a busy segment.
"""

import itertools
from collections.abc import Iterable

from kubevip.backend import BpfInstruction

# A program may have 4,096 instructions (linux/filter.h, BPF_MAXINSNS). A range takes three of them.
MOST_RANGES = 256
_AT_LEAST, _ABOVE, _RETURN = 0x35, 0x25, 0x06
ACCEPT: BpfInstruction = (_RETURN, 0, 0, 0xFFFFFFFF)
REJECT: BpfInstruction = (_RETURN, 0, 0, 0)


def accept_any(words: Iterable[int], *, most: int = MOST_RANGES) -> tuple[BpfInstruction, ...]:
    """Return the end of a program: it accepts a frame where the word that was loaded last is one of *words*.

    Of very many words, neighbours are taken together with what is between them: look again at what comes through.
    """
    program: list[BpfInstruction] = []
    for first, last in ranges(words, most):
        program += [(_AT_LEAST, 0, 2, first), (_ABOVE, 1, 0, last), ACCEPT]
    return (*program, REJECT)


def ranges(words: Iterable[int], most: int) -> list[tuple[int, int]]:
    """Return at most *most* ranges, both ends included, in which all *words* are, with little else."""
    known = sorted(set(words))
    gaps = sorted((after - before, at) for at, (before, after) in enumerate(itertools.pairwise(known)))
    wide = {at for gap, at in gaps[len(gaps) - most + 1 :] if gap > 1} if most > 1 else set()
    found: list[tuple[int, int]] = []
    for at, word in enumerate(known):
        if found and at - 1 not in wide:
            found[-1] = (found[-1][0], word)
        else:
            found.append((word, word))
    return found
