"""Classic BPF: programs by which the kernel keeps back what this process would only throw away."""

import ctypes
import socket
import struct
from collections.abc import Sequence

from kubevip.backend import BpfInstruction

SO_ATTACH_FILTER = 26

LOAD_HALF, LOAD_BYTE = 0x28, 0x30  # ldh [k], ldb [k]: network byte order
JUMP_EQUAL = 0x15
RETURN = 0x06
ACCEPT, REJECT = (RETURN, 0, 0, 0xFFFFFFFF), (RETURN, 0, 0, 0)


def attach(sock: socket.socket, program: Sequence[BpfInstruction]) -> None:
    """Let only what *program* accepts reach *sock* from now on."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))
