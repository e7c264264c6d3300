"""Whole agents whose Services have Leases of their own, on simulated machines, with troubles by seed."""

import attrs
import pytest

from kubevip.config import Settings
from kubevip.governance import own_lease
from kubevip.model import IPAddress, LeaseKey, ServiceKey
from kubevip.testing.simulation.scenario import CONTROL_PLANE, Choice, Scenario, draw
from kubevip.testing.simulation.verdict import judge


@attrs.frozen(kw_only=True)
class OwnLeases(Scenario):
    """A scenario in which each Service has its own Lease."""

    @property
    def governing(self) -> dict[IPAddress, LeaseKey]:
        """Each address that is wanted, with its Lease."""
        own = {
            address: own_lease(ServiceKey("default", service.name))
            for service in self.services
            for address in service.addresses
        }
        return own | dict.fromkeys(self.control_plane, CONTROL_PLANE)

    def settings(self, node: str, witnesses: tuple[IPAddress, ...] = ()) -> Settings:
        """Return what the agent of *node* is told."""
        settings = Scenario.settings(self, node, witnesses)
        return attrs.evolve(settings, services=attrs.evolve(settings.services, election=True))


def drawn(seed: int, kind: str = "plain") -> OwnLeases:
    scenario = draw(seed, Choice(failover="off", kind=kind))
    return OwnLeases(**{field.name: getattr(scenario, field.name) for field in attrs.fields(Scenario)})


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_promise_is_kept_with_a_lease_for_each_service(seed: int) -> None:
    _run, violations = judge(drawn(seed))
    assert violations == []
