"""Packet sockets: how they are opened, and how a link is made to let a multicast group through."""

import errno
import socket
import struct

from kubevip.errors import NetworkError
from kubevip.net import bpf
from kubevip.net.netlink import force_buffer, network_error

# The link was taken away, or replaced by another one of its name: a new socket may do.
STALE = (errno.ENXIO, errno.ENODEV, errno.EBADF)
# linux/if_packet.h
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_MULTICAST = 263, 1, 0

# Takes the announcements of a thousand addresses: those that get lost are taken for a successor that isn't there.
_BUFFER = 4 << 20


def packet_socket(interface: str, ethertype: int) -> socket.socket:
    """Open a socket for *interface* whose filter lets nothing through yet; it receives frames of *ethertype*.

    :raises NetworkError: if the interface is gone, or this process may not.
    """
    try:
        # Without a protocol it receives nothing until it's bound, so the filter is in place before the first frame.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        message = "opening a packet socket: operation not permitted; it needs the capability NET_RAW"
        raise NetworkError(message, errno.EPERM) from error
    try:
        bpf.attach(sock, (bpf.REJECT,))
        force_buffer(sock, _BUFFER)
        sock.bind((interface, ethertype))
    except OSError as error:
        sock.close()
        raise network_error(error.errno or 0, "", f"opening a packet socket on {interface}") from error
    return sock


def join(sock: socket.socket, index: int, group: bytes) -> None:
    """Have the link let *group* through, while *sock* is open (packet(7), PACKET_ADD_MEMBERSHIP)."""
    request = struct.pack("iHH8s", index, _PACKET_MR_MULTICAST, len(group), group)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def drain(sock: socket.socket) -> None:
    """Throw away what has arrived already: whoever listens next wants to hear what comes then."""
    try:
        while True:
            sock.recv(1)
    except OSError:
        return
