"""A program that probes an address by UDP every millisecond, and reports each probe and each answer on stdout.

``python -m kubevip.demo.probe ADDRESS PORT``. A record is packed: sequence number, monotonic nanoseconds, and
255 for a probe sent or the number of the node that answered it.
"""

import contextlib
import ipaddress
import os
import select
import socket
import struct
import sys
import time

RECORD = struct.Struct("=QQB")
SENT = 255
PERIOD_NS = 1_000_000
# Records are handed on in this many nanoseconds at the latest.
FLUSH_NS = 5_000_000
_PROBE = struct.Struct("=Q")


def main() -> None:
    """Probe until killed, or until nobody reads."""
    address, port = sys.argv[1], int(sys.argv[2])
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    while True:
        with contextlib.suppress(OSError):
            sock.connect((address, port))
            break
        time.sleep(0.01)
    records: list[bytes] = []
    sequence = 0
    due = flushed = time.monotonic_ns()
    while True:
        now = time.monotonic_ns()
        if now >= due:
            # A probe that is late is sent late: a stalled machine must not look like a lost probe.
            due = max(due + PERIOD_NS, now - 10 * PERIOD_NS)
            with contextlib.suppress(OSError):
                sock.send(_PROBE.pack(sequence))
            records.append(RECORD.pack(sequence, now, SENT))
            sequence += 1
        if now - flushed >= FLUSH_NS:
            os.write(1, b"".join(records))
            records.clear()
            flushed = now
        if select.select([sock], [], [], max(0, due - time.monotonic_ns()) / 1e9)[0]:
            _take_answers(sock, records)


def _take_answers(sock: socket.socket, records: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while True:
            answer = sock.recv(64)
            records.append(RECORD.pack(*_PROBE.unpack_from(answer), time.monotonic_ns(), answer[_PROBE.size]))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
