"""The paths of routes: how they are read, and how the long numbers are put in the place of AS_TRANS (RFC 6793)."""

import struct

from kubevip_bgp.attributes import AsSegment, SegmentKind

_KINDS = frozenset(int(kind) for kind in SegmentKind)
_ONE_STEP = (SegmentKind.SET,)
_NO_STEP = (SegmentKind.CONFED_SET, SegmentKind.CONFED_SEQUENCE)


def read_path(value: bytes, width: int) -> tuple[AsSegment, ...]:
    """Read a path whose numbers take *width* bytes each.

    :raises ValueError: if it can't be read, with what is wrong.
    """
    found: list[AsSegment] = []
    at = 0
    while at < len(value):
        kind, count = value[at], value[at + 1] if at + 1 < len(value) else 0
        numbers = value[at + 2 : at + 2 + count * width]
        if kind not in _KINDS or not count or len(numbers) < count * width:
            raise ValueError(f"an AS path with a segment of kind {kind} and {count} numbers in {len(numbers)} bytes")
        unpacked = struct.unpack(f"!{count}{'I' if width == 4 else 'H'}", numbers)
        found.append(AsSegment(SegmentKind(kind), unpacked))
        at += 2 + count * width
    return tuple(found)


def lengthened(path: tuple[AsSegment, ...], long: tuple[AsSegment, ...]) -> tuple[AsSegment, ...]:
    """Return *path*, of short numbers, with its end as *long* tells it (RFC 6793 section 4.2.3)."""
    extra = _count(path) - _count(long)
    return _joined(_first(path, extra), long) if extra >= 0 else path


def _count(path: tuple[AsSegment, ...]) -> int:
    return sum(_steps(segment) for segment in path)


def _steps(segment: AsSegment) -> int:
    if segment.kind in _NO_STEP:
        return 0
    return 1 if segment.kind in _ONE_STEP else len(segment.numbers)


def _joined(front: tuple[AsSegment, ...], back: tuple[AsSegment, ...]) -> tuple[AsSegment, ...]:
    """Return one path; a sequence that was cut in two is one again."""
    sequence = SegmentKind.SEQUENCE
    if front and back and front[-1].kind is sequence and back[0].kind is sequence:
        whole = AsSegment(sequence, front[-1].numbers + back[0].numbers)
        return (*front[:-1], whole, *back[1:])
    return front + back


def _first(path: tuple[AsSegment, ...], count: int) -> tuple[AsSegment, ...]:
    """Return the front of *path* that is *count* steps long."""
    front: list[AsSegment] = []
    for segment in path:
        if count <= 0:
            break
        whole = segment.kind is not SegmentKind.SEQUENCE or len(segment.numbers) <= count
        front.append(segment if whole else AsSegment(segment.kind, segment.numbers[:count]))
        count -= _steps(segment)
    return tuple(front)
