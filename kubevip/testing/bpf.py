"""Runs classic BPF programs, so that a simulated kernel keeps back the frames that a real one would.

Only what a filter of Ethernet frames needs: loads from fixed places, comparisons, jumps and returns
(``linux/filter.h``; the numbers are those of ``linux/bpf_common.h``).
"""

from collections.abc import Callable, Mapping, Sequence

from kubevip.backend import BpfInstruction

_LOADS: Mapping[int, int] = {0x20: 4, 0x28: 2, 0x30: 1}
_COMPARISONS: Mapping[int, Callable[[int, int], bool]] = {
    0x15: int.__eq__,
    0x25: int.__gt__,
    0x35: int.__ge__,
    0x45: lambda value, operand: bool(value & operand),
}
_JUMP, _RETURN, _AND, _LENGTH = 0x05, 0x06, 0x54, 0x80


def accepts(program: Sequence[BpfInstruction], frame: bytes) -> bool:
    """Tell whether *program* lets *frame* through; an empty one lets everything through.

    :raises ValueError: if it has an instruction that isn't known here, or doesn't come to a return.
    """
    accumulator, at = 0, 0
    while program:
        if at >= len(program):
            raise ValueError(f"the BPF program jumps beyond its {len(program)} instructions without a return")
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == _RETURN:
            return operand > 0
        if code in _LOADS:
            octets = frame[operand : operand + _LOADS[code]]
            if len(octets) < _LOADS[code]:
                # The kernel ends a program that reads beyond the frame as if it returned 0.
                return False
            accumulator = int.from_bytes(octets, "big")
        elif code == _LENGTH:
            accumulator = len(frame)
        elif code in _COMPARISONS:
            at += if_true if _COMPARISONS[code](accumulator, operand) else if_false
        elif code == _AND:
            accumulator &= operand
        elif code == _JUMP:
            at += operand
        else:
            raise ValueError(f"instruction {code:#04x} of the BPF program isn't known to this simulation")
    return True
