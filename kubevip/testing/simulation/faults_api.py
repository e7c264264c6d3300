"""What can go wrong with the API server, and on the way to it."""

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.world import World


class _ApiFault(Fault):
    delays = True
    hides_api = True

    @property
    def slots(self) -> frozenset[str]:
        """What of the line is changed, of each node."""
        return self._of_nodes(type(self).__name__)


@attrs.frozen(kw_only=True)
class ApiCut(_ApiFault):
    """What *nodes* ask the API server doesn't get there (*requests*), or nothing gets back (*replies*)."""

    requests: bool = True
    replies: bool = True

    @property
    def what(self) -> str:
        """Say what it is."""
        both = self.requests and self.replies
        return f"the API server can't be reached{'' if both else ': requests' if self.requests else ': replies'}"

    def strike(self, world: World) -> None:
        """Cut."""
        for line in world.lines(self.nodes):
            line.cut(requests=self.requests, replies=self.replies)

    def heal(self, world: World) -> None:
        """Mend."""
        for line in world.lines(self.nodes):
            line.mend(requests=self.requests, replies=self.replies)


@attrs.frozen(kw_only=True)
class ApiRefusing(_ApiFault):
    """The API server is not there for *nodes*: connections are refused, and those that were open are cut."""

    what = "the API server refuses connections"

    def strike(self, world: World) -> None:
        """Let it end."""
        for line in world.lines(self.nodes):
            line.conditions.refusing += 1
            line.break_streams()

    def heal(self, world: World) -> None:
        """Let it be there again."""
        for line in world.lines(self.nodes):
            line.conditions.refusing -= 1


@attrs.frozen(kw_only=True)
class ApiSlow(_ApiFault):
    """Requests and answers take up to *latency* seconds each, and watches up to *lag* seconds more."""

    latency: float = 0.005
    lag: float = 0.0

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"the API server takes {self.latency:g} s, watches lag {self.lag:g} s"

    def strike(self, world: World) -> None:
        """Make it slow."""
        for line in world.lines(self.nodes):
            line.conditions.latency, line.conditions.lag = self.latency, self.lag

    def heal(self, world: World) -> None:
        """Make it fast."""
        for line in world.lines(self.nodes):
            line.conditions.latency, line.conditions.lag = line.usual_latency, 0.0


@attrs.frozen(kw_only=True)
class ApiErring(_ApiFault):
    """Of the requests, *erring* get *status*, *losing* lose their answer, and *doubling* arrive twice: parts to 1."""

    erring: float = 0.0
    status: int = 500
    losing: float = 0.0
    doubling: float = 0.0

    @property
    def what(self) -> str:
        """Say what it is."""
        return (
            f"the API server answers {self.status} to {self.erring:.0%}, nothing to {self.losing:.0%},"
            f" and gets {self.doubling:.0%} twice"
        )

    def strike(self, world: World) -> None:
        """Let it be so."""
        for line in world.lines(self.nodes):
            conditions = line.conditions
            conditions.erring, conditions.status = self.erring, self.status
            conditions.losing, conditions.doubling = self.losing, self.doubling

    def heal(self, world: World) -> None:
        """Let it be well."""
        for line in world.lines(self.nodes):
            line.conditions.erring = line.conditions.losing = line.conditions.doubling = 0.0


@attrs.frozen(kw_only=True)
class ApiForgets(Fault):
    """The API server is restarted, and has forgotten what was: watches end, and can't go on where they were (410)."""

    what = "the API server forgets"
    delays = True
    hides_api = True

    @property
    def slots(self) -> frozenset[str]:
        """None: it takes no time."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Forget."""
        world.server.forget()
        for line in world.lines():
            line.break_streams()

    def heal(self, world: World) -> None:
        """Do nothing."""
