"""Other machines as a simulated node's kernel knows them: the in-memory twin of ``kubevip.ports.Neighbourhood``."""

from collections.abc import Sequence

import attrs

from kubevip.model import IPAddress


@attrs.define(eq=False)
class MemoryNeighbourhood:
    """What a test says that it is, by interface."""

    routes: dict[str, Sequence[IPAddress]] = attrs.field(factory=dict)
    reachable: dict[str, Sequence[IPAddress]] = attrs.field(factory=dict)
    asked_for: dict[str, Sequence[IPAddress]] = attrs.field(factory=dict)

    async def gateways(self, interface: str) -> Sequence[IPAddress]:
        """Return *routes* of *interface*."""
        return self.routes.get(interface, ())

    async def neighbours(self, interface: str) -> Sequence[IPAddress]:
        """Return those *reachable* on *interface*."""
        return self.reachable.get(interface, ())

    async def sought(self, interface: str) -> Sequence[IPAddress]:
        """Return those *asked_for* on *interface*."""
        return self.asked_for.get(interface, ())
