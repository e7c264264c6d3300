"""What a fault is. Their kinds are in the modules whose names begin with ``faults_``."""

import abc
from typing import ClassVar

import attrs

from kubevip.testing.simulation.segments import LINKS
from kubevip.testing.simulation.world import World


@attrs.frozen(kw_only=True)
class Fault(abc.ABC):
    """Something that goes wrong from *start* on, for *duration* seconds; *nodes* are those that it strikes.

    What goes wrong with links or segments does so on each of *links*; on all where none is named.
    Of two faults that share one of their *slots* only one may strike at a time.
    """

    loses_frames: ClassVar[bool] = False
    """Whether frames may not arrive because of it."""
    strikes_agent: ClassVar[bool] = False
    """Whether it strikes the agents of *nodes*, and nothing else of them."""
    delays: ClassVar[bool] = False
    """Whether nobody may be able to take an address because of it, or may be able and not do so."""

    hides_api: ClassVar[bool] = False
    """Whether *nodes* may not reach the API server because of it."""
    hands_over: ClassVar[bool] = False
    """Whether *nodes* only hand over because of it, if they do, without losing anything."""
    unfits: ClassVar[bool] = False
    """Whether *nodes* may not take an address because of it."""
    misleads: ClassVar[bool] = False
    """Whether callers may be led to somebody who isn't the holder."""

    start: float
    duration: float
    nodes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def loses_on(self, link: str) -> bool:
        """Tell whether frames on the segment of *link* may not arrive because of it."""
        return self.loses_frames and (not self.links or link in self.links)

    @property
    def end(self) -> float:
        """When it is over."""
        return self.start + self.duration

    @property
    def silences(self) -> bool:
        """Whether nobody else on the segment hears anything of *nodes*."""
        return False

    @property
    @abc.abstractmethod
    def slots(self) -> frozenset[str]:
        """What it needs for itself."""

    @abc.abstractmethod
    def strike(self, world: World) -> None:
        """Let it begin."""

    @abc.abstractmethod
    def heal(self, world: World) -> None:
        """Let it be over."""

    @property
    @abc.abstractmethod
    def what(self) -> str:
        """Say what it is."""

    def __str__(self) -> str:
        where = f" on {', '.join(self.nodes)}" if self.nodes else ""
        return f"{self.what}{where}, at {self.start:.3f} s for {self.duration:.3f} s"

    def _of_links(self) -> frozenset[str]:
        return self._of_nodes(*(f"link {name}" for name in self.links or LINKS))

    def _of_nodes(self, *parts: str) -> frozenset[str]:
        return frozenset(f"{part} {node}" for part in parts for node in self.nodes)
