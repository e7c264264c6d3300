"""On which interface, and with which prefix length, an address is put."""

from collections.abc import Callable

import attrs

from kubevip.model import Family, IPAddress, Vip

AUTO = "auto"


@attrs.frozen(kw_only=True)
class Placing:
    """The operator's choice of interfaces and prefix lengths.

    *services_interface* may be ``auto``: the interface whose network the address is in, else *interface*.
    *prefix_length* returns the one for a family, or ``None`` for that of the network that the address is in.
    *towards* returns interface and prefix length of the node's own network that an address is in.
    """

    interface: str
    services_interface: str
    prefix_length: Callable[[Family], int | None]
    towards: Callable[[IPAddress], tuple[str, int] | None]

    def control_plane(self, address: IPAddress) -> Vip:
        """Return where an address of the control plane is put."""
        return Vip(address, self.interface, self._prefix_length(address))

    def service(self, address: IPAddress, annotated: str) -> tuple[str, int]:
        """Return interface and prefix length for a Service whose annotation names *annotated*, or nothing."""
        chosen = annotated or self.services_interface
        if chosen == AUTO:
            network = self.towards(address)
            chosen = network[0] if network else self.interface
        return chosen, self._prefix_length(address)

    def _prefix_length(self, address: IPAddress) -> int:
        family = Family.of(address)
        asked = self.prefix_length(family)
        if asked is not None:
            return asked
        network = self.towards(address)
        return network[1] if network else family.bits
