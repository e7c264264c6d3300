"""The segments of a simulation: one switch for all first interfaces, and one for all second ones, where there are any.

The networks of the second one are 10.0.1.0/24 and fd01::/64: an address belongs on one of them by its number alone.
"""

import ipaddress
from collections.abc import Mapping

import attrs

from kubevip.model import IPAddress
from kubevip.testing.segment import Station
from kubevip.testing.simulation.switch import Switch

LINKS = FIRST, SECOND = "eth0", "eth1"
# What the networks of each begin with, for each family.
PREFIXES: Mapping[str, Mapping[int, str]] = {FIRST: {4: "10.0.0.", 6: "fd00::"}, SECOND: {4: "10.0.1.", 6: "fd01::"}}
_STEP = {4: 1 << 8, 6: 1 << 112}
_ON_SECOND = (ipaddress.ip_network("10.0.1.0/24"), ipaddress.ip_network("fd01::/64"))


def segment_of(address: IPAddress) -> str:
    """Return the interface whose network *address* is in."""
    return SECOND if any(address in network for network in _ON_SECOND) else FIRST


def on_second(address: IPAddress) -> IPAddress:
    """Return the address of the second segment that has the number of *address*, which is of the first one."""
    return address + _STEP[address.version]


def own_networks(segment: str, number: int) -> tuple[str, ...]:
    """Return the own addresses, with their networks, of the machine with *number* on *segment*."""
    prefix = PREFIXES[segment]
    return f"{prefix[4]}{number}/24", f"{prefix[6]}{number}/64", f"fe80::{number}/64"


@attrs.frozen
class Segments:
    """What machines are plugged to, each of their interfaces to the switch of its name in *switches*."""

    switches: Mapping[str, Switch]

    def number(self) -> int:
        """Return a number that nobody else has."""
        return self.switches[FIRST].number()

    def plug(self, station: Station, interface: str) -> None:
        """Connect an interface of *station*."""
        self.switches[interface].plug(station, interface)

    def others(self, station: Station) -> list[tuple[Station, str]]:
        """Return the ports of all others that hear *station*, on any segment."""
        return [port for switch in self.switches.values() for port in switch.others(station)]

    def carry(self, sender: Station, interface: str, frame: bytes) -> None:
        """Bring a frame to whom it is for on the segment of *interface*."""
        self.switches[interface].carry(sender, interface, frame)

    def forget(self, name: str, interface: str) -> None:
        """Forget who is at the port of *interface* of a machine: that went down."""
        self.switches[interface].forget(name)

    def chosen(self, names: tuple[str, ...]) -> list[Switch]:
        """Return the switches of these names; all where none is named."""
        return [switch for name, switch in self.switches.items() if not names or name in names]
