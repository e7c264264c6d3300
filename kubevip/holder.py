"""``kubevip.hold()``: an address for as long as this process leads, for programs that are not agents."""

import os
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import attrs

from kubevip.assembly import LAYER_2, holding
from kubevip.config import Settings, kubeconfig_candidates
from kubevip.election import Cause, Standing
from kubevip.errors import ConfigError, LeadershipLost, LinkNotFound
from kubevip.lease import Timing
from kubevip.model import Family, LeaseKey, Term, Vip
from kubevip.ports import LeaseStore
from kubevip.runtime.elector import Elector
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.supervise import shielded


@attrs.define(eq=False)
class _Holding:
    """Follows one election for one VIP: tells when it is announced, and cancels *scope* when that may be over.

    *error* is what goes wrong inside: it is raised again outside of all task groups, which would wrap it.
    """

    _keeper: Keeper
    _vip: Vip
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope, init=False)
    lost: str = attrs.field(default="", init=False)
    error: Exception | None = attrs.field(default=None, init=False)
    _entered: bool = attrs.field(default=False, init=False)
    _announced: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._keeper.changed = self._changed

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """A write is on its way."""
        self._keeper.campaigning(lease, cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """Cancel first: what the caller does with the address has to end before the address goes."""
        if term is None and self._entered:
            self.lost = self.lost or standing.value
            self.scope.cancel()
        self._keeper.standing(lease, standing, term)

    def _changed(self, _vip: Vip) -> None:
        self._announced.set()

    async def wait_announced(self) -> Term:
        """Wait until the VIP is announced here; return the term by which it is."""
        while True:
            term = self._keeper.term_of(self._vip)
            if term is not None:
                self._entered = True
                return term
            self._announced = anyio.Event()
            await self._announced.wait()


@asynccontextmanager
async def hold(
    address: str,
    *,
    interface: str,
    lease: str | LeaseKey,
    identity: str | None = None,
    timing: Timing | None = None,
    store: LeaseStore | None = None,
    linger: float = 3.0,
    backends: Mapping[Family, str] = LAYER_2,
) -> AsyncIterator[Term]:
    """Hold *address* on *interface* while this process leads *lease*.

    The block is entered when we lead, the address is on the link and announced; that may take for ever. It is
    cancelled the moment leadership may be lost, and ends with ``LeadershipLost`` then; enter a new ``hold()``
    to campaign again. ``term.token`` is a fencing token for whatever the block writes elsewhere.

    At the end the Lease is released, and the address stays until a successor is seen to announce it, at most
    *linger* seconds; then it is removed.

    *address* is ``10.0.0.5`` or ``10.0.0.5/32``, IPv4 or IPv6. *lease* is ``namespace/name``. *identity* has
    to differ between all who campaign; it is the host's name unless given. *store* keeps the Lease; unless
    given it is the Kubernetes API, with the credentials that kubectl would use. The process needs the
    capabilities NET_ADMIN and NET_RAW.

    :raises ConfigError: if an argument can't be used, or there are no credentials.
    :raises LinkNotFound: if there is no such interface.
    :raises LeadershipLost: when leadership may be lost.
    """
    vip = Vip.parse(address, interface=interface)
    if vip.family not in backends:
        raise ConfigError([f"no backend is given for {vip}; add one for IPv{vip.family.value} to backends"])
    key = lease if isinstance(lease, LeaseKey) else LeaseKey.parse(lease)
    name = identity or platform.node().lower()
    times = timing if timing is not None else Timing()
    async with AsyncExitStack() as stack:
        leases = store if store is not None else await _kubernetes(stack)
        parts = await stack.enter_async_context(
            holding(name, timing=times, linger=linger, backends=backends, settings=os.environ)
        )
        held = _Holding(parts.keeper, vip)
        try:
            parts.links.get(interface)
        except LinkNotFound as error:
            held.error = error
        else:
            async with _campaign(parts.keeper, held, vip, Elector(key, name, times, leases, held)) as term:
                yield term
    if held.error is not None:
        raise held.error
    if held.scope.cancelled_caught:
        raise LeadershipLost(f"{vip} is not ours any more: {held.lost}")


@asynccontextmanager
async def _campaign(keeper: Keeper, held: _Holding, vip: Vip, elector: Elector) -> AsyncIterator[Term]:
    campaigning = anyio.CancelScope(shield=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded, campaigning, elector.run)
        try:
            keeper.want(vip, elector.lease)
            term = await held.wait_announced()
            with held.scope:
                try:
                    yield term
                except Exception as error:
                    held.error = error
        finally:
            # The caller may have been cancelled: the Lease is released nevertheless.
            await _leave(keeper, elector)
            campaigning.cancel()


async def _leave(keeper: Keeper, elector: Elector) -> None:
    with anyio.move_on_after(keeper.linger + 1, shield=True):
        keeper.expect_successor(elector.lease)
        elector.resign()
        await elector.wait_ended()
        await keeper.wait_released()


async def _kubernetes(stack: AsyncExitStack) -> LeaseStore:
    from kubevip.kube.connect import connect
    from kubevip.kube.leases import KubeLeases

    client = await connect(kubeconfig_candidates(Settings(), os.environ))
    return KubeLeases(await stack.enter_async_context(client))
