"""Probes several addresses, each every few milliseconds, until its stdin is closed; then prints what was lost.

``python sample_probe.py PORT ADDRESS [ADDRESS ...]``
"""

import contextlib
import json
import select
import socket
import struct
import sys
import time

PERIOD = 0.005
PATIENCE = 1.0
_PROBE = struct.Struct("=Q")


def main() -> None:
    """Probe."""
    port, addresses = int(sys.argv[1]), sys.argv[2:]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sent = 0
    answered: dict[int, int] = {}
    due = time.monotonic()
    ending: float | None = None
    while ending is None or time.monotonic() < ending:
        now = time.monotonic()
        if ending is None and now >= due:
            due += PERIOD
            for address in addresses:
                with contextlib.suppress(OSError):
                    sock.sendto(_PROBE.pack(sent), (address, port))
                sent += 1
        readable, _, _ = select.select([sock, sys.stdin] if ending is None else [sock], [], [], max(0, due - now))
        with contextlib.suppress(BlockingIOError):
            while sock in readable:
                answer = sock.recv(64)
                answered.setdefault(_PROBE.unpack_from(answer)[0], answer[_PROBE.size])
        if sys.stdin in readable:
            ending = time.monotonic() + PATIENCE
            due = ending
    print(
        json.dumps(
            {"sent": sent, "lost": sent - len(answered), "last_nodes": sorted(set(list(answered.values())[-200:]))}
        )
    )


if __name__ == "__main__":
    main()
