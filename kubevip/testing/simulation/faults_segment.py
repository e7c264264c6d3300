"""What can go wrong between nodes: frames get lost, all or some, both ways or one."""

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.world import World


@attrs.frozen(kw_only=True)
class BadSegment(Fault):
    """The switch loses a part of the frames (*loss*), doubles some (*doubling*), and takes *delay* seconds."""

    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.0001
    loses_frames = True

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"the switch loses {self.loss:.0%}, doubles {self.doubling:.0%}, takes {1000 * self.delay:g} ms"

    @property
    def slots(self) -> frozenset[str]:
        """The switch."""
        return frozenset({"switch"})

    def strike(self, world: World) -> None:
        """Let it be so."""
        self._set(world, self.loss, self.doubling, self.delay)

    def heal(self, world: World) -> None:
        """Let it be well."""
        self._set(world, 0.0, 0.0, 0.0001)

    @staticmethod
    def _set(world: World, loss: float, doubling: float, delay: float) -> None:
        world.switch.loss, world.switch.doubling, world.switch.delay = loss, doubling, delay


@attrs.frozen(kw_only=True)
class Cut(Fault):
    """*nodes* are not *heard* by others, or don't *hear* them, or both; among themselves they do."""

    heard: bool = False
    hear: bool = False
    loses_frames = True

    @property
    def what(self) -> str:
        """Say what it is."""
        return {(False, False): "cut off", (True, False): "deaf", (False, True): "dumb"}[self.heard, self.hear]

    @property
    def silences(self) -> bool:
        """Whether nobody hears *nodes*."""
        return not self.heard

    @property
    def slots(self) -> frozenset[str]:
        """None: cuts add up."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Cut."""
        others = self._others(world)
        if not self.heard:
            world.switch.block(self.nodes, others)
        if not self.hear:
            world.switch.block(others, self.nodes)

    def heal(self, world: World) -> None:
        """Mend."""
        others = self._others(world)
        if not self.heard:
            world.switch.unblock(self.nodes, others)
        if not self.hear:
            world.switch.unblock(others, self.nodes)

    def _others(self, world: World) -> tuple[str, ...]:
        return tuple(name for name in world.everybody() if name not in self.nodes)
