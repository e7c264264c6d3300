"""What can go wrong with machines that are no nodes: witnesses are silent, and others claim addresses."""

import attrs

from kubevip.model import IPAddress
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.world import World


@attrs.frozen(kw_only=True)
class WitnessesOff(Fault):
    """All witnesses are off: nobody answers, and it is nobody's fault."""

    what = "the witnesses are off"

    @property
    def slots(self) -> frozenset[str]:
        """The witnesses."""
        return frozenset({"witnesses"})

    def strike(self, world: World) -> None:
        """Switch them off."""
        for witness in world.witnesses:
            witness.set_power(False)

    def heal(self, world: World) -> None:
        """Switch them on."""
        for witness in world.witnesses:
            witness.set_power(True)


@attrs.frozen(kw_only=True)
class WitnessesCut(Fault):
    """*nodes* and the witnesses don't hear each other: an uplink that is dead behind the next switch."""

    what = "the witnesses can't be reached"

    @property
    def slots(self) -> frozenset[str]:
        """None: cuts add up."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Cut."""
        there = tuple(witness.node for witness in world.witnesses)
        world.switch.block(self.nodes, there)
        world.switch.block(there, self.nodes)

    def heal(self, world: World) -> None:
        """Mend."""
        there = tuple(witness.node for witness in world.witnesses)
        world.switch.unblock(self.nodes, there)
        world.switch.unblock(there, self.nodes)


@attrs.frozen(kw_only=True)
class Claimed(Fault):
    """Another machine says every so many seconds that *address* is its own; one that *answers* also to who asks."""

    address: IPAddress
    answers: bool = False
    every: float = 1.0
    delays = True
    misleads = True

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"another machine claims {self.address}{' and answers' if self.answers else ''} every {self.every:g} s"

    @property
    def slots(self) -> frozenset[str]:
        """The address."""
        return frozenset({f"claim {self.address}"})

    def strike(self, world: World) -> None:
        """Begin to claim it."""
        world.intruder.begin(self.address, answers=self.answers, every=self.every)

    def heal(self, world: World) -> None:
        """End that; note who has noticed."""
        world.intruder.end(self.address)
        for node in world.nodes.values():
            node.note_conflicts()
