"""What people do to a fleet in spread mode: to its Services, to what is written about them, and by commands."""

import functools

import attrs

from kubevip.custody import HOLDER
from kubevip.kube.nodeleases import PREFIX
from kubevip.model import IPAddress
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.server import LEASES, SERVICES
from kubevip.testing.simulation.world import ServicePlan, World

_DEFAULT, _LEASES_OF = "default", "kube-system"


@attrs.frozen(kw_only=True)
class OfService(Fault):
    """Something that strikes the Services of these names, and those that share an address with one of them."""

    delays = True
    services: tuple[str, ...]

    @property
    def slots(self) -> frozenset[str]:
        """The Services."""
        return frozenset(f"service {name}" for name in self.services)


@attrs.frozen(kw_only=True)
class ServiceChanged(OfService):
    """Somebody changes a Service, which is as *plan* says meanwhile."""

    hands_over = True

    plan: ServicePlan

    @property
    def what(self) -> str:
        """Say what it is."""
        plan = self.plan
        told = [", ".join(map(str, plan.addresses)), plan.group and f"group {plan.group}", "local" * plan.local]
        return f"Service {plan.name} is changed to {', '.join(filter(None, told))}"

    def strike(self, world: World) -> None:
        """Change it."""
        world.change_service(self.plan)

    def heal(self, world: World) -> None:
        """Change it back."""
        world.change_service(world.services[self.plan.name])


@attrs.frozen(kw_only=True)
class RecordGone(OfService):
    """Somebody replaces Services by manifests: what is written about their holders is no more, or is an *old* one."""

    old: bool = False

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"somebody replaces {', '.join(self.services)} {'as it was before' if self.old else 'without a record'}"

    def strike(self, world: World) -> None:
        """Replace them."""
        for name in self.services:
            text = _first_record(world, name) if self.old else ""
            world.server.edit(SERVICES, _DEFAULT, name, functools.partial(_set_record, text))

    def heal(self, world: World) -> None:
        """Do nothing: agents do."""


def _set_record(text: str, value: dict[str, object]) -> None:
    metadata = value["metadata"]
    assert isinstance(metadata, dict)
    kept = {name: found for name, found in (metadata.get("annotations") or {}).items() if name != HOLDER}
    metadata["annotations"] = {**kept, HOLDER: text} if text else kept


def _first_record(world: World, name: str) -> str:
    """Return the oldest record of a Service that is remembered."""
    for change in world.server.store.shelf(SERVICES).changes:
        if change.new.key == (_DEFAULT, name):
            text = (change.new.value["metadata"].get("annotations") or {}).get(HOLDER, "")
            if text:
                return str(text)
    return ""


@attrs.frozen(kw_only=True)
class NodeLeaseGone(Fault):
    """Somebody deletes the Leases of *nodes*: ``kubectl delete lease``."""

    what = "somebody deletes the Lease of the node"
    delays = True

    @property
    def slots(self) -> frozenset[str]:
        """None: it takes no time."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Delete them."""
        for name in self.nodes:
            world.server.delete(LEASES, _LEASES_OF, PREFIX + name)

    def heal(self, world: World) -> None:
        """Do nothing: agents do."""


class Errand(Fault):
    """What an operator asks for by a command."""

    hands_over = True

    @property
    def slots(self) -> frozenset[str]:
        """What an operator does, he does alone."""
        return frozenset({"operator"})

    def heal(self, world: World) -> None:
        """Do nothing: it ends by itself."""


@attrs.frozen(kw_only=True)
class Rebalance(Errand):
    """Somebody moves at most *most* Services: ``kubevip rebalance``. *duration* is the time that it is given."""

    most: int | None = None

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"somebody rebalances{f', at most {self.most}' if self.most else ''}"

    def strike(self, world: World) -> None:
        """Ask for it."""
        world.errands.rebalance(self.most)


@attrs.frozen(kw_only=True)
class PassOn(Errand):
    """Somebody hands the address of a Service over: ``kubevip handover``. *duration* is the time that it is given."""

    address: IPAddress
    to: str

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"somebody asks for {self.address} to go to {self.to}"

    def strike(self, world: World) -> None:
        """Ask for it."""
        world.errands.hand_over(self.address, self.to)
