"""An Ethernet segment of network namespaces on one bridge: several machines on this one, for trials and tests.

The namespaces have no names and no mounts: they are gone when this process and those that run in them are
gone, however that comes about. Needs the capability SYS_ADMIN, if need be that of a user namespace.
"""

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from ipaddress import IPv4Interface, IPv6Interface
from typing import Self

import attrs
from pyroute2 import IPRoute

from kubevip.net.netns import CLONE_NEWNET, CLONE_NEWUTS, Namespace

CLONE_NEWUSER = 0x10000000
INTERFACE = "eth0"

Interface = IPv4Interface | IPv6Interface


def become_root() -> None:
    """Make this process, which must have one thread, root in a user namespace of its own, unless it is root.

    It leaves its network and its name too, since it could not return to those of another user namespace.

    :raises OSError: if the system doesn't allow that.
    """
    if os.geteuid() == 0:
        return
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWUTS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"making a user namespace: {os.strerror(code)}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


@attrs.frozen
class Machine:
    """A machine of a segment: a network and a host name of its own."""

    name: str
    network: Namespace
    naming: Namespace

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block, which must not await, on this machine; a process that it starts stays there."""
        with self.network.entered(), self.naming.entered():
            yield


@attrs.define(eq=False)
class Segment:
    """Machines on one bridge, each with an interface ``eth0``. Blocking calls: use it outside of the event loop."""

    machines: Mapping[str, Machine]
    _switch: Namespace

    @classmethod
    @contextlib.contextmanager
    def of(cls, addresses: Mapping[str, tuple[Interface, ...]]) -> Iterator[Self]:
        """Make a segment of machines with these addresses, by name of at most eight letters.

        :raises OSError: if this process may not.
        """
        with ExitStack() as stack:
            switch = stack.enter_context(Namespace.new())
            machines = {}
            for name in addresses:
                network = stack.enter_context(Namespace.new())
                naming = stack.enter_context(Namespace.new("uts"))
                machines[name] = machine = Machine(name, network, naming)
                with machine.entered():
                    socket.sethostname(name)
            segment = cls(machines, switch)
            segment._build(addresses)
            yield segment

    def _build(self, addresses: Mapping[str, tuple[Interface, ...]]) -> None:
        with self._switch.entered(), IPRoute() as kernel:
            kernel.link("add", ifname="br0", kind="bridge", br_mcast_snooping=0, br_forward_delay=0)
            (bridge,) = kernel.link_lookup(ifname="br0")
            kernel.link("set", index=bridge, state="up")
            for name, machine in self.machines.items():
                peer = {"ifname": INTERFACE, "net_ns_fd": machine.network.fd}
                kernel.link("add", ifname=_port(name), kind="veth", peer=peer)
                (port,) = kernel.link_lookup(ifname=_port(name))
                kernel.link("set", index=port, master=bridge, state="up")
        for name, machine in self.machines.items():
            with machine.entered(), IPRoute() as kernel:
                for interface in ("lo", INTERFACE):
                    kernel.link("set", index=kernel.link_lookup(ifname=interface)[0], state="up")
                (index,) = kernel.link_lookup(ifname=INTERFACE)
                for address in addresses[name]:
                    # Without waiting for duplicate address detection: we know who is there.
                    nodad = {"flags": 0x02} if address.version == 6 else {}
                    kernel.addr(
                        "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **nodad
                    )

    def unplug(self, name: str) -> None:
        """Pull the cable of a machine: it loses its carrier, and hears and says nothing any more."""
        self._set_port(name, "down")

    def plug(self, name: str) -> None:
        """Put the cable of a machine back."""
        self._set_port(name, "up")

    def _set_port(self, name: str, state: str) -> None:
        with self._switch.entered(), IPRoute() as kernel:
            kernel.link("set", index=kernel.link_lookup(ifname=_port(name))[0], state=state)


def _port(name: str) -> str:
    return f"p-{name}"
