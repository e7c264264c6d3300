"""The settings of what makes a node fit to hold addresses, and of which node is preferred."""

import shlex

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import Form, setting

_CHECKS = ("vip_check_command", "vip_check_http")


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"write a program and its arguments as for a shell: {error}") from None
    if any("\0" in word for word in words):
        raise ValueError("write a program and its arguments without null characters")
    return words


def _nodes(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(form.NODE_NAME.read(part.strip()) for part in text.split(",")))


COMMAND = Form("command", _command, shlex.join)
NODES = Form("node names", _nodes, ",".join)
TIMES = form.integer(1, 1000)
WHICH = form.choice("all", "controlplane", "services")


@attrs.frozen(kw_only=True)
class Fitness:
    """Which nodes may hold addresses, and in which order; docs/health.md tells how it works."""

    command: tuple[str, ...] = setting(
        env="vip_check_command",
        flags=("--checkCommand",),
        form=COMMAND,
        default=(),
        since="kubevip",
        help="program that tells by exit code 0 that this node is fit; arguments as for a shell, without one",
    )
    url: str = setting(
        env="vip_check_http",
        flags=("--checkHttp",),
        form=net.HTTP_URL,
        default="",
        since="kubevip",
        help="URL that tells by a status from 200 to 399 that this node is fit; certificates are not verified",
    )
    interval: float = setting(
        env="vip_check_interval",
        flags=("--checkInterval",),
        form=form.some_seconds(0.1, 3600),
        default=2.0,
        needs=_CHECKS,
        since="kubevip",
        help="seconds from the start of a check to that of the next one",
    )
    timeout: float = setting(
        env="vip_check_timeout",
        flags=("--checkTimeout",),
        form=form.some_seconds(0.1, 3600),
        default=2.0,
        needs=_CHECKS,
        since="kubevip",
        help="seconds that a check may take; then it is killed, and has failed",
    )
    fall: int = setting(
        env="vip_check_fall",
        flags=("--checkFall",),
        form=TIMES,
        default=3,
        needs=_CHECKS,
        since="kubevip",
        help="failures in a row that make a node unfit",
    )
    rise: int = setting(
        env="vip_check_rise",
        flags=("--checkRise",),
        form=TIMES,
        default=2,
        needs=_CHECKS,
        since="kubevip",
        help="successes in a row that make it fit again",
    )
    gates: str = setting(
        env="vip_check_gates",
        flags=("--checkGates",),
        form=WHICH,
        default="all",
        needs=_CHECKS,
        since="kubevip",
        help="which addresses an unfit node leaves to others",
    )
    last_resort: bool = setting(
        env="vip_last_resort",
        flags=("--lastResort",),
        form=form.BOOLEAN,
        default=True,
        since="kubevip",
        help="hold addresses in spite of a failing check when no other node takes them",
    )
    leave_cordoned: bool = setting(
        env="vip_leave_cordoned",
        flags=("--leaveCordoned",),
        form=form.BOOLEAN,
        default=True,
        since="kubevip",
        help="hand over when this node is cordoned, as kubectl drain does first, if another node takes over",
    )
    preferred: tuple[str, ...] = setting(
        env="vip_preferred_nodes",
        flags=("--preferredNodes",),
        form=NODES,
        default=(),
        since="kubevip",
        help="nodes that take a free Lease first, in this order; the same on all nodes",
    )
    failback: bool = setting(
        env="vip_failback",
        flags=("--failback",),
        form=form.BOOLEAN,
        default=False,
        needs=("vip_preferred_nodes",),
        since="kubevip",
        help="let a preferred node ask for the addresses when it is fit again",
    )
    failback_delay: float = setting(
        env="vip_failback_delay",
        flags=("--failbackDelay",),
        form=form.seconds(0),
        default=60.0,
        needs=("vip_failback",),
        since="kubevip",
        help="seconds that it has to be fit before it asks",
    )

    @property
    def delay(self) -> float | None:
        """How many seconds a preferred node waits before it asks for a Lease; ``None``: it never does."""
        return self.failback_delay if self.failback else None
