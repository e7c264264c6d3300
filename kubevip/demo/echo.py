"""A program that answers UDP probes on every node, in place of the Pods that kube-proxy would forward them to.

``python -m kubevip.demo.echo FD [FD ...]``: one bound socket a node, inherited. The answer to a probe is
the probe and the number of the node, from the address that the probe was sent to.
"""

import selectors
import socket
import struct
import sys

IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50
_SPACE = socket.CMSG_SPACE(20)


def bind(port: int) -> socket.socket:
    """Open a socket that takes probes for every address of this namespace, IPv4 and IPv6."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    # Probes wait here while this program doesn't get a processor: that is not to look like a lost address.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("::", port))
    return sock


def answer(sock: socket.socket, number: int) -> None:
    """Answer every probe that has arrived."""
    while True:
        try:
            probe, ancillary, _flags, sender = sock.recvmsg(64, _SPACE)
            # Without this the kernel would answer from the node's own address, since a VIP is never preferred.
            pktinfo = [(level, kind, data) for level, kind, data in ancillary if kind == IPV6_PKTINFO]
            sock.sendmsg([probe, struct.pack("B", number)], pktinfo, 0, sender)
        except BlockingIOError:
            return
        except OSError:
            # The address went while we answered: to the client that is a lost probe, as it should be.
            continue


def main() -> None:
    """Answer until killed."""
    selector = selectors.DefaultSelector()
    for number, fd in enumerate(map(int, sys.argv[1:])):
        selector.register(socket.socket(fileno=fd), selectors.EVENT_READ, number)
    while True:
        for key, _events in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            answer(key.fileobj, key.data)


if __name__ == "__main__":
    main()
