"""What can go wrong on a node: with its process, its power, its link, its kernel, its time of day."""

import attrs

from kubevip.testing.simulation.faults import Fault
from kubevip.testing.simulation.world import World


class _ProcessFault(Fault):
    strikes_agent = True

    @property
    def slots(self) -> frozenset[str]:
        """The process."""
        return self._of_nodes("process")


@attrs.frozen(kw_only=True)
class Stall(_ProcessFault):
    """The agent does nothing: SIGSTOP, a starved cgroup, a disk that hangs."""

    what = "the agent is stalled"

    def strike(self, world: World) -> None:
        """Stop it."""
        for name in self.nodes:
            world.nodes[name].stall()

    def heal(self, world: World) -> None:
        """Let it go on."""
        for name in self.nodes:
            world.nodes[name].resume()


@attrs.frozen(kw_only=True)
class Crash(_ProcessFault):
    """The agent is killed, and started again: SIGKILL, out of memory."""

    what = "the agent is killed"

    def strike(self, world: World) -> None:
        """Kill it."""
        for name in self.nodes:
            world.nodes[name].kill()

    def heal(self, world: World) -> None:
        """Start it."""
        for name in self.nodes:
            world.nodes[name].start()


@attrs.frozen(kw_only=True)
class Restart(_ProcessFault):
    """The agent is asked to end, and started again; if it hasn't ended by then, it is killed first."""

    what = "the agent is restarted"

    def strike(self, world: World) -> None:
        """Ask it to end."""
        for name in self.nodes:
            world.nodes[name].ask_to_stop()

    def heal(self, world: World) -> None:
        """Start it."""
        for name in self.nodes:
            world.nodes[name].kill()
            world.nodes[name].start()


@attrs.frozen(kw_only=True)
class PowerOff(Fault):
    """The machine loses its power, and starts again later."""

    what = "the power is off"
    loses_frames = True
    strikes_agent = True

    @property
    def silences(self) -> bool:
        """Whether nobody hears *nodes*."""
        return True

    @property
    def slots(self) -> frozenset[str]:
        """The whole machine."""
        return self._of_nodes("process", "kernel") | self._of_links()

    def strike(self, world: World) -> None:
        """Switch it off."""
        for name in self.nodes:
            world.nodes[name].kill()
            world.nodes[name].machine.lose_power()

    def heal(self, world: World) -> None:
        """Switch it on."""
        for name in self.nodes:
            world.nodes[name].machine.get_power()
            world.nodes[name].start()


class _LinkFault(Fault):
    loses_frames = True
    delays = True

    @property
    def silences(self) -> bool:
        """Whether nobody hears *nodes*."""
        return not self.links

    @property
    def slots(self) -> frozenset[str]:
        """The links."""
        return self._of_links()

    def strike(self, world: World) -> None:
        """Set them down."""
        for name in self.nodes:
            world.nodes[name].machine.set_link(False, self.links)

    def heal(self, world: World) -> None:
        """Set them up."""
        for name in self.nodes:
            world.nodes[name].machine.set_link(True, self.links)


@attrs.frozen(kw_only=True)
class LinkDown(_LinkFault):
    """The network interface is down; the API server is reached by another one."""

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"the link {', '.join(self.links)} is down" if self.links else "the link is down"


@attrs.frozen(kw_only=True)
class OnlyLinkDown(_LinkFault):
    """The network interface is down by which the API server is reached."""

    hides_api = True

    @property
    def what(self) -> str:
        """Say what it is."""
        if not self.links:
            return "the only link is down"
        return f"the link {', '.join(self.links)} is down, which leads to the API server"

    def strike(self, world: World) -> None:
        """Set it down."""
        for line in world.lines(self.nodes):
            line.cut(requests=True, replies=True)
        super().strike(world)

    def heal(self, world: World) -> None:
        """Set it up."""
        for line in world.lines(self.nodes):
            line.mend(requests=True, replies=True)
        super().heal(world)


class _KernelFault(Fault):
    delays = True

    @property
    def slots(self) -> frozenset[str]:
        """The kernel."""
        return self._of_nodes("kernel")


@attrs.frozen(kw_only=True)
class SlowKernel(_KernelFault):
    """Each netlink request takes *delay* seconds until its turn comes, and *locked* seconds after that."""

    delay: float = 0.0
    locked: float = 0.0

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"netlink takes {self.delay:g} + {self.locked:g} s"

    def strike(self, world: World) -> None:
        """Make it slow."""
        for name in self.nodes:
            addresses = world.nodes[name].machine.addresses
            addresses.delay, addresses.locked = self.delay, self.locked

    def heal(self, world: World) -> None:
        """Make it fast."""
        for name in self.nodes:
            addresses = world.nodes[name].machine.addresses
            addresses.delay = addresses.locked = 0.0


@attrs.frozen(kw_only=True)
class RefusingKernel(_KernelFault):
    """The kernel refuses to put addresses on links."""

    what = "netlink refuses"

    def strike(self, world: World) -> None:
        """Let it refuse."""
        for name in self.nodes:
            world.nodes[name].machine.refusing = True

    def heal(self, world: World) -> None:
        """Let it do as it is told."""
        for name in self.nodes:
            world.nodes[name].machine.refusing = False


@attrs.frozen(kw_only=True)
class Deletion(_KernelFault):
    """Somebody deletes the virtual addresses."""

    what = "the addresses are deleted"

    def strike(self, world: World) -> None:
        """Delete them."""
        for name in self.nodes:
            addresses = world.nodes[name].machine.addresses
            for vip in sorted(addresses.present(), key=str):
                addresses.delete(vip)

    def heal(self, world: World) -> None:
        """Do nothing: the agent does."""


@attrs.frozen(kw_only=True)
class DateStep(Fault):
    """Somebody sets the time of day on *nodes*, wrong by *seconds* more."""

    seconds: float = 0.0

    @property
    def what(self) -> str:
        """Say what it is."""
        return f"the time of day is off by {self.seconds:g} s"

    @property
    def slots(self) -> frozenset[str]:
        """None: steps add up."""
        return frozenset()

    def strike(self, world: World) -> None:
        """Set it."""
        for name in self.nodes:
            world.nodes[name].date_off += self.seconds

    def heal(self, world: World) -> None:
        """Leave it: nothing may depend on it."""
