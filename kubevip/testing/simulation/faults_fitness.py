"""What makes a node unfit to hold addresses, and who asks for them: none of it loses a packet by itself."""

from typing import ClassVar

import attrs

from kubevip.model import LeaseKey
from kubevip.succession import REQUEST, Request
from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.server import LEASES
from kubevip.testing.simulation.world import World


@attrs.frozen(kw_only=True)
class Cordoned(Fault):
    """Somebody cordons *nodes*, as ``kubectl drain`` does first, and uncordons them."""

    what = "the node is cordoned"
    hands_over = True

    @property
    def slots(self) -> frozenset[str]:
        """What the Node says."""
        return self._of_nodes("cordon")

    def strike(self, world: World) -> None:
        """Cordon them."""
        for name in self.nodes:
            world.cordon(name, True)

    def heal(self, world: World) -> None:
        """Uncordon them."""
        for name in self.nodes:
            world.cordon(name, False)


@attrs.frozen(kw_only=True)
class CheckFails(Fault):
    """The check of *nodes* fails; one that *hangs* gives no result."""

    hangs: bool = False
    hands_over = True
    unfits: ClassVar[bool] = True

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"the check {'hangs' if self.hangs else 'fails'}"

    @property
    def slots(self) -> frozenset[str]:
        """What is checked."""
        return self._of_nodes("check")

    def strike(self, world: World) -> None:
        """Let it fail."""
        for name in self.nodes:
            world.nodes[name].check = "hangs" if self.hangs else "fails"

    def heal(self, world: World) -> None:
        """Let it succeed."""
        for name in self.nodes:
            world.nodes[name].check = ""


@attrs.frozen(kw_only=True)
class CardRefuses(Fault):
    """What the agents of *nodes* send doesn't leave: the kernel says so. What kernels answer does."""

    what = "sending fails"
    loses_frames = True
    delays = True

    @property
    def slots(self) -> frozenset[str]:
        """The card."""
        return self._of_nodes("card")

    def strike(self, world: World) -> None:
        """Let it refuse."""
        for name in self.nodes:
            world.nodes[name].machine.mute = True

    def heal(self, world: World) -> None:
        """Let it send."""
        for name in self.nodes:
            world.nodes[name].machine.mute = False


@attrs.frozen(kw_only=True)
class HandoverAsked(Fault):
    """Somebody asks whoever holds *lease* to hand over *to* a node, or to any other one: ``kubevip handover``."""

    lease: LeaseKey
    to: str = ""
    hands_over = True

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"somebody asks for {self.lease.name} to go {f'to {self.to}' if self.to else 'elsewhere'}"

    @property
    def slots(self) -> frozenset[str]:
        """None: it takes no time."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Ask."""
        world.server.edit(LEASES, self.lease.namespace, self.lease.name, self._ask)

    def _ask(self, value: dict[str, object]) -> None:
        spec, metadata = value["spec"], value["metadata"]
        assert isinstance(spec, dict)
        assert isinstance(metadata, dict)
        if spec.get("holderIdentity"):
            request = Request(
                spec["holderIdentity"],
                int(spec.get("leaseTransitions") or 0),
                self.to,
                f"at-{round(1000 * self.start)}",
                "somebody",
            )
            metadata["annotations"] = {**(metadata.get("annotations") or {}), REQUEST: str(request)}

    def heal(self, world: World) -> None:
        """Do nothing."""
