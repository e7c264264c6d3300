"""What others do to the objects that are stored in the API server."""

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.server import LEASES
from kubevip.testing.simulation.world import World


@attrs.frozen(kw_only=True)
class LeaseTouched(Fault):
    """Somebody labels the Leases: nothing that an election looks at, but another version."""

    what = "somebody labels the Leases"

    @property
    def slots(self) -> frozenset[str]:
        """None: it takes no time."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Label them."""
        for namespace, name in list(world.server.store.shelf(LEASES).objects):
            world.server.edit(LEASES, namespace, name, self._label)

    def _label(self, value: dict[str, object]) -> None:
        metadata = value["metadata"]
        assert isinstance(metadata, dict)
        metadata["labels"] = {"touched": f"at-{round(1000 * self.start)}"}

    def heal(self, world: World) -> None:
        """Do nothing."""


@attrs.frozen(kw_only=True)
class ServiceGone(Fault):
    """A Service is deleted, and created again."""

    delays = True
    service: str = ""

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"Service {self.service} is deleted"

    @property
    def slots(self) -> frozenset[str]:
        """The Service."""
        return frozenset({f"service {self.service}"})

    def strike(self, world: World) -> None:
        """Delete it."""
        world.delete_service(self.service)

    def heal(self, world: World) -> None:
        """Create it."""
        world.create_service(self.service)


@attrs.frozen(kw_only=True)
class EndpointsGone(Fault):
    """A Service loses its endpoints on *nodes*."""

    delays = True
    service: str = ""

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"Service {self.service} loses its endpoints"

    @property
    def slots(self) -> frozenset[str]:
        """The Service."""
        return frozenset({f"service {self.service}"})

    def strike(self, world: World) -> None:
        """Remove them."""
        world.set_endpoints(self.service, [name for name in world.nodes if name not in self.nodes])

    def heal(self, world: World) -> None:
        """Have them back."""
        world.set_endpoints(self.service, list(world.nodes))
