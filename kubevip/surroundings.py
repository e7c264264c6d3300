"""Where an agent lives: API server, kernel, time of day, installed backends. A simulation gives others."""

import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio.to_thread
import attrs

from kubevip.assembly import Kernel, local_kernel
from kubevip.config import InCluster, Kubeconfig
from kubevip.config.fitness import Fitness
from kubevip.kube.connect import connect, warn_of_other_namespace
from kubevip.kube.leases import utc_now
from kubevip.model import LeaseKey
from kubevip.ports import Api
from kubevip.registry import Registry
from kubevip.runtime.checking import Probe, probes


class Connect(Protocol):
    """Finds an API server; ``kubevip.kube.connect.connect`` does."""

    def __call__(self, candidates: Sequence[Kubeconfig | InCluster]) -> Awaitable[AbstractAsyncContextManager[Api]]:
        """Return a client, not yet open, with the first credentials of *candidates* that exist.

        :raises ConfigError: if there are none.
        """


class OpenKernel(Protocol):
    """Opens a kernel; ``kubevip.assembly.local_kernel`` does."""

    def __call__(self, *, host_scope_on_loopback: bool) -> AbstractAsyncContextManager[Kernel]:
        """Open it."""


async def warn(leases: Sequence[LeaseKey]) -> None:
    """Warn of Leases that other agents may look for elsewhere."""
    await anyio.to_thread.run_sync(warn_of_other_namespace, leases)


@attrs.frozen(kw_only=True)
class Surroundings:
    """What an agent finds where it runs; unless told otherwise, what there really is."""

    connect: Connect = connect
    kernel: OpenKernel = local_kernel
    warn: Callable[[Sequence[LeaseKey]], Awaitable[None]] = warn
    wall: Callable[[], datetime.datetime] = utc_now
    registry: Callable[[], Registry] = Registry
    probes: Callable[[Fitness], Mapping[str, Probe]] = probes
