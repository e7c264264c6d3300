"""The provider: gives LoadBalancer Services their addresses, as kube-vip-cloud-provider does. A composition root."""

import asyncio
import contextlib
import logging
import platform
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import anyio.abc
import attrs

from kubevip.config.provider import ProviderSettings
from kubevip.controllers.provisioning import Provisioning
from kubevip.controllers.sources import Sources
from kubevip.election import Cause, Standing
from kubevip.errors import ApiError
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.kube.editing import Editor
from kubevip.kube.events import Events
from kubevip.kube.leases import KubeLeases
from kubevip.kube.provided import CONFIG_MAPS, NODES, PROVIDED_SERVICES, ConfigMap, Node, ProvidedService
from kubevip.kube.reflector import Reflector
from kubevip.metrics import exposition
from kubevip.model import LeaseKey, ObjectKey, ServiceKey, Term
from kubevip.ports import Observation
from kubevip.provider_metrics import provider_metrics
from kubevip.provider_statistics import ProviderStatistics
from kubevip.provision.accounts import Accounts
from kubevip.provision.verdict import Classes
from kubevip.registry import SourceRegistry
from kubevip.runtime.elector import Elector
from kubevip.runtime.supervise import supervised
from kubevip.server import Server

log = logging.getLogger(__name__)

# Each Service that gets an address is told so.
BACKLOG = 20_000
# How soon is asked whether there is a right to list nodes at all.
NODES_PATIENCE = 0.5


@attrs.define(eq=False)
class Provider:
    """One replica, from ``run()`` until ``stop()`` has come to its end or it is cancelled.

    It works while it leads, each time from a list of its own: what another one wrote just before is in it.
    """

    settings: ProviderSettings
    _environ: Mapping[str, str]
    _stopping: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _elector: Elector | None = attrs.field(default=None, init=False)
    _leading: "_Leading" = attrs.field(factory=lambda: _Leading(), init=False)
    _accounts: Accounts | None = attrs.field(default=None, init=False)
    _provisioning: Provisioning | None = attrs.field(default=None, init=False)
    _sources: Sources | None = attrs.field(default=None, init=False)
    _reflectors: dict[str, Reflector[ProvidedService] | Reflector[Node] | Reflector[ConfigMap]] = attrs.field(
        factory=dict, init=False
    )

    def stop(self) -> None:
        """Let others work, and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Do the work of a provider.

        :raises ConfigError: if there are no credentials.
        """
        name = f"{platform.node().lower()}_{uuid.uuid4()}"
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(await connect(self.settings.credentials(self._environ)))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            if self.settings.metrics is not None:
                tasks.start_soon(supervised, "serving metrics and health", self._server(name).run)
            tasks.start_soon(supervised, "renewing credentials", client.keep_credentials_fresh)
            if self.settings.leader_elect:
                store = _Leases(client, period=self.settings.timing.retry_period)
                self._elector = Elector(self.settings.lease, name, self.settings.timing, store, self._leading)
                tasks.start_soon(self._elector.run)
                tasks.start_soon(self._work_while_leading, client, name)
            else:
                tasks.start_soon(supervised, "providing", lambda: self._work(client, name, alone=False))
            await self._stopping.wait()
            log.info("stopping")
            await self._hand_over()
            tasks.cancel_scope.cancel()

    async def _hand_over(self) -> None:
        """Release the Lease once nothing is on its way any more that the next one couldn't see."""
        patience = self.settings.timing.attempt_timeout
        self._leading.end()
        if self._provisioning is not None:
            with anyio.move_on_after(patience):
                await self._provisioning.close()
        self._leading.stop()
        if self._elector is not None:
            self._elector.resign()
            with anyio.move_on_after(patience):
                await self._elector.wait_ended()

    async def _work_while_leading(self, client: Client, name: str) -> None:
        while True:
            begins = self._leading.begins
            await begins.wait()
            if begins is not self._leading.begins:
                continue  # It has come to lead, and has ceased to, in one turn of the event loop.
            with anyio.CancelScope() as scope:
                self._leading.scope = scope
                await supervised("providing", lambda: self._work(client, name, alone=True))
            self._accounts = None
            self._reflectors = {}

    async def _work(self, client: Client, name: str, *, alone: bool) -> None:
        """Work on what there is, until cancelled."""
        settings = self.settings
        classes = Classes(classless=settings.classless, names=settings.classes)
        identity = "" if alone else name
        self._accounts = accounts = Accounts(classes, f"the ConfigMap {settings.config_map}", identity)
        events = Events(client, platform.node(), backlog=BACKLOG, component="kube-vip-cloud-provider")
        async with Sources(SourceRegistry(), self._environ, accounts.present) as sources:
            may_write = self._leads if alone else lambda: True
            work = Provisioning(accounts, Editor(client), events, sources, settings.workers, may_write)
            sink = _ServiceSink(work, lambda: services.is_listing)
            services: Reflector[ProvidedService] = Reflector(client, PROVIDED_SERVICES, sink)
            nodes = Reflector(client, NODES, _NodeSink(work))
            config = settings.config_map
            config_map = Reflector(
                client,
                CONFIG_MAPS,
                _ConfigSink(work),
                namespace=config.namespace,
                field_selector=f"metadata.name={config.name}",
            )
            self._reflectors = {"services": services, "nodes": nodes, "configmaps": config_map}
            async with anyio.create_task_group() as tasks:
                for reflector in (services, nodes, config_map):
                    tasks.start_soon(reflector.run)
                tasks.start_soon(supervised, "writing Events", events.run)
                await services.wait_synced()
                await config_map.wait_synced()
                await _wait_for_nodes(nodes)
                log.info("providing", extra={"services": len(accounts.keys)})
                self._provisioning, self._sources = work, sources
                try:
                    await work.run()
                finally:
                    self._provisioning = self._sources = None
                tasks.cancel_scope.cancel()

    def _leads(self) -> bool:
        """Tell whether this replica leads now. Who was suspended may learn only after it that it doesn't any more."""
        return self._elector is not None and self._elector.term is not None

    def _server(self, name: str) -> Server:
        listen = self.settings.metrics
        assert listen is not None

        def statistics() -> ProviderStatistics:
            return self.statistics(name)

        return Server(
            str(listen.host or ""), listen.port, lambda: exposition(provider_metrics(statistics())), statistics
        )

    def statistics(self, name: str = "") -> ProviderStatistics:
        """Return a snapshot of the replica called *name*."""
        return ProviderStatistics(
            name=name,
            time=asyncio.get_running_loop().time(),
            electors=(self._elector.statistics(),) if self._elector else (),
            accounts=self._accounts.statistics() if self._accounts else None,
            reflectors={name: reflector.statistics() for name, reflector in self._reflectors.items()},
            failing=self._provisioning.failing() if self._provisioning else {},
            sources=self._sources.statistics() if self._sources else {},
        )


async def _wait_for_nodes(nodes: Reflector[Node]) -> None:
    """Wait until the nodes are known, unless nobody may know them: then their addresses can't be kept free."""
    while True:
        with anyio.move_on_after(NODES_PATIENCE):
            await nodes.wait_synced()
            return
        error = nodes.statistics().last_error
        if "(403)" in error:
            log.warning("nodes' addresses aren't known, and may be given out", extra={"reason": error})
            return


@attrs.define(eq=False)
class _Leases(KubeLeases):
    """Leases that need not be watched, which kube-vip-cloud-provider's role doesn't allow.

    A leader renews each *period*. Where nothing is told of it for longer, it is asked for, as client-go always does.
    """

    period: float = attrs.field(kw_only=True)
    _told: float = attrs.field(default=0.0, init=False)

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """See ``kubevip.ports.LeaseStore``."""

        def note(observation: Observation) -> None:
            self._told = anyio.current_time()
            seen(observation)

        async with KubeLeases.watch(self, lease, note), anyio.create_task_group() as tasks:
            tasks.start_soon(self._ask_in_silence, lease, note)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _ask_in_silence(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> None:
        while True:
            await anyio.sleep(self.period)
            if anyio.current_time() - self._told < 1.5 * self.period:
                continue
            with contextlib.suppress(ApiError):
                record = await self.read(lease)
                if record is not None:
                    seen(Observation(record, record.version))


@attrs.define(eq=False)
class _Leading:
    """Follows the election: *begins* is set while this replica leads, *scope* is cancelled when it ceases to."""

    begins: anyio.Event = attrs.field(factory=anyio.Event)
    scope: anyio.CancelScope | None = None
    _ending: bool = attrs.field(default=False, init=False)

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """See ``kubevip.runtime.elector.Follower``."""

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """See ``kubevip.runtime.elector.Follower``."""
        if term is None:
            self.stop()
        elif not self._ending:
            self.begins.set()

    def end(self) -> None:
        """Begin nothing any more, whatever a renewal that is on its way says; what goes on isn't stopped yet."""
        self._ending = True
        self.begins = anyio.Event()

    def stop(self) -> None:
        """Stop working."""
        if self.begins.is_set():
            self.begins = anyio.Event()
        if self.scope is not None:
            self.scope.cancel()
            self.scope = None


@attrs.define(eq=False)
class _ServiceSink:
    """Takes Services."""

    _work: Provisioning
    _is_listing: Callable[[], bool]

    def applied(self, found: ProvidedService) -> None:
        self._work.service_applied(found, in_order=not self._is_listing())

    def deleted(self, found: ProvidedService) -> None:
        self._work.service_deleted(found.facts.key, found.facts)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        self._work.services_listed([ServiceKey(key.namespace, key.name) for key in keys])


@attrs.define(eq=False)
class _NodeSink:
    """Takes nodes."""

    _work: Provisioning

    def applied(self, found: Node) -> None:
        self._work.node_applied(found)

    def deleted(self, found: Node) -> None:
        self._work.node_deleted(found.metadata.name)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        self._work.nodes_listed([key.name for key in keys])


@attrs.define(eq=False)
class _ConfigSink:
    """Takes the ConfigMap."""

    _work: Provisioning

    def applied(self, found: ConfigMap) -> None:
        self._work.configured(found)

    def deleted(self, found: ConfigMap) -> None:
        self._work.configured(None)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        if not keys:
            self._work.configured(None)
