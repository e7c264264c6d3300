"""What can go wrong between nodes: frames get lost, all or some, both ways or one."""

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.segments import LINKS
from kubevip.testing.simulation.switch import Switch
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
        where = f"the switch{' of ' * bool(self.links)}{', '.join(self.links)}"
        return f"{where} loses {self.loss:.0%}, doubles {self.doubling:.0%}, takes {1000 * self.delay:g} ms"

    @property
    def slots(self) -> frozenset[str]:
        """The switches."""
        return frozenset(f"switch {name}" for name in self.links or LINKS)

    def strike(self, world: World) -> None:
        """Let it be so."""
        self._set(world, self.loss, self.doubling, self.delay)

    def heal(self, world: World) -> None:
        """Let it be well."""
        self._set(world, 0.0, 0.0, 0.0001)

    def _set(self, world: World, loss: float, doubling: float, delay: float) -> None:
        for switch in world.segments.chosen(self.links):
            switch.loss, switch.doubling, switch.delay = loss, doubling, delay


@attrs.frozen(kw_only=True)
class Cut(Fault):
    """*nodes* are not *heard* by others, or don't *hear* them, or both; among themselves they do."""

    heard: bool = False
    hear: bool = False
    loses_frames = True

    @property
    def what(self) -> str:
        """Say what it is."""
        how = {(False, False): "cut off", (True, False): "deaf", (False, True): "dumb"}[self.heard, self.hear]
        return f"{how}{' from ' * bool(self.links)}{', '.join(self.links)}"

    @property
    def silences(self) -> bool:
        """Whether nobody hears *nodes*."""
        return not self.heard and not self.links

    @property
    def slots(self) -> frozenset[str]:
        """None: cuts add up."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Cut."""
        for switch in world.segments.chosen(self.links):
            others = self._others(switch)
            if not self.heard:
                switch.block(self.nodes, others)
            if not self.hear:
                switch.block(others, self.nodes)

    def heal(self, world: World) -> None:
        """Mend."""
        for switch in world.segments.chosen(self.links):
            others = self._others(switch)
            if not self.heard:
                switch.unblock(self.nodes, others)
            if not self.hear:
                switch.unblock(others, self.nodes)

    def _others(self, switch: Switch) -> tuple[str, ...]:
        return tuple(name for name in switch.names() if name not in self.nodes)
