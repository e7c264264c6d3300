"""Probes several addresses until its stdin is closed; then prints how long each was silent at the longest.

``python scale_probe.py PORT PERIOD ADDRESS [ADDRESS ...]``; each address is probed every PERIOD seconds.
"""

import contextlib
import json
import select
import socket
import struct
import sys
import time

PATIENCE = 1.0
_PROBE = struct.Struct("=QI")


def main() -> None:
    """Probe."""
    port, period, addresses = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sent: list[float] = []
    answered: list[set[int]] = [set() for _ in addresses]
    due, ending = time.monotonic(), None
    while ending is None or time.monotonic() < ending:
        now = time.monotonic()
        if ending is None and now >= due:
            # A probe that is late is sent late: a stalled machine must not look like a silent address.
            due = max(due + period, now - 10 * period)
            for index, address in enumerate(addresses):
                with contextlib.suppress(OSError):
                    sock.sendto(_PROBE.pack(len(sent), index), (address, port))
            sent.append(now)
        wait = max(0.0, (due if ending is None else ending) - time.monotonic())
        readable, _, _ = select.select([sock, sys.stdin] if ending is None else [sock], [], [], wait)
        with contextlib.suppress(BlockingIOError):
            while sock in readable:
                sequence, index = _PROBE.unpack_from(sock.recv(64))
                answered[index].add(sequence)
        if sys.stdin in readable:
            ending = time.monotonic() + PATIENCE
    silences = {address: silence(sent, heard) for address, heard in zip(addresses, answered, strict=True)}
    lost = {address: len(sent) - len(heard) for address, heard in zip(addresses, answered, strict=True)}
    print(json.dumps({"sent": len(sent), "silences": silences, "lost": lost}))


def silence(sent: list[float], heard: set[int]) -> float:
    """Return the longest time from a probe that was lost to the next one that wasn't, in seconds."""
    longest, began = 0.0, None
    for sequence, at in enumerate(sent):
        if sequence in heard:
            longest, began = (max(longest, at - began) if began is not None else longest), None
        elif began is None:
            began = at
    return longest if began is None or not sent else max(longest, sent[-1] - began)


if __name__ == "__main__":
    main()
