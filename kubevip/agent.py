"""The agent: the only place, beside ``hold()``, that knows every part."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.to_thread
import attrs

from kubevip import mode
from kubevip.assembly import Parts, holding
from kubevip.campaigns import Campaign, Campaigns
from kubevip.claims import CONTROL_PLANE, Claims
from kubevip.config import Settings, kubeconfig_candidates
from kubevip.controllers.annotated import Annotated
from kubevip.controllers.electing import Electing
from kubevip.controllers.health import Health
from kubevip.controllers.ownership import AtOnce, Ownership
from kubevip.controllers.peers import NodeTeller, Peers
from kubevip.controllers.placing import AUTO, Placing
from kubevip.controllers.publishing import Publishing
from kubevip.controllers.services import Services
from kubevip.dump import dump
from kubevip.errors import BrokenBackend, ConfigError, UnknownBackend
from kubevip.kube.events import Events
from kubevip.kube.leases import KubeLeases
from kubevip.kube.leasewatch import SharedLeases
from kubevip.kube.publisher import Publisher
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    SERVICES,
    EndpointSlice,
    EndpointsObject,
    RawLease,
    Service,
)
from kubevip.kube.sinks import EndpointsSink, ServiceSink, SliceSink
from kubevip.model import Family, LeaseKey
from kubevip.net.routes import default_interface
from kubevip.persevice import OwnCampaigns, claims, common_leases, elects_per_service, unheeded
from kubevip.ports import Api, Links
from kubevip.registry import Registry
from kubevip.runtime.supervise import supervised
from kubevip.safeguards import Safeguards
from kubevip.service import ClassFilter
from kubevip.spreadmode import SpreadMode
from kubevip.statistics import AgentStatistics
from kubevip.surroundings import Surroundings

if TYPE_CHECKING:
    from kubevip.server import Server

log = logging.getLogger(__name__)

# So many seconds after the start metrics and health are served.
SERVE_AFTER = 0.5

AnyReflector = Reflector[RawLease] | Reflector[Service] | Reflector[EndpointSlice] | Reflector[EndpointsObject]


@attrs.define(eq=False)
class Agent:
    """One node's agent, from ``run()`` until ``stop()`` has come to its end or it is cancelled."""

    settings: Settings
    _environ: Mapping[str, str]
    _surroundings: Surroundings = attrs.field(factory=Surroundings)

    _stopping: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _parts: Parts | None = attrs.field(default=None, init=False)
    _waiting: str = attrs.field(default="", init=False)
    _annotated: Annotated | None = attrs.field(default=None, init=False)
    _campaigns: Campaigns = attrs.field(init=False)
    _electing: Electing | None = attrs.field(default=None, init=False)
    _safeguards: Safeguards | None = attrs.field(default=None, init=False)
    _services: Services | None = attrs.field(default=None, init=False)
    _health: Health | None = attrs.field(default=None, init=False)
    _spread: SpreadMode | None = attrs.field(default=None, init=False)
    _reflectors: dict[str, AnyReflector] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._campaigns = Campaigns(self.settings, mode.timing(self.settings))

    def stop(self) -> None:
        """Hand over what is held, release the Leases, and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Do the work of an agent.

        :raises ConfigError: if there are no credentials, no interface to work on, or no such backend.
        :raises KubeVipError: if the interface that is named isn't there.
        """
        settings = self.settings
        async with AsyncExitStack() as stack:
            registry = self._surroundings.registry()
            backends = self._choose_backends(registry)
            candidates = kubeconfig_candidates(settings, self._environ)
            client = await stack.enter_async_context(await self._surroundings.connect(candidates))
            events = Events(client, settings.node.name)
            teller = NodeTeller(settings.node.name, events)
            told = await self._settings_of_backends(client, events, teller)
            if told is None:
                return
            self._parts = parts = await stack.enter_async_context(
                holding(
                    settings.node.name,
                    backends=backends,
                    registry=registry,
                    timing=mode.timing(settings),
                    linger=settings.election.linger,
                    period=mode.period(settings),
                    settings=told,
                    kernel=self._surroundings.kernel(host_scope_on_loopback=not settings.node.loopback_global),
                    attached=mode.attached(settings),
                )
            )
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._start_servers(tasks)
            tasks.start_soon(supervised, "writing Events", events.run)
            if self._annotated is not None:
                self._annotated.start(tasks, parts.reconfigure)
            if parts.has_peers:
                tasks.start_soon(supervised, "telling of peers", Peers(parts.peerings, teller).run)
            self._safeguards = safeguards = Safeguards(
                settings.segment, parts, self._campaigns.electors, mode.timing(settings), mode.longest_stay(settings)
            )
            safeguards.start(tasks)
            tasks.start_soon(self._begin, client, events, parts, safeguards, tasks)
            await self._stopping.wait()
            await self._leave(parts)
            tasks.cancel_scope.cancel()

    def _choose_backends(self, registry: Registry) -> dict[Family, str]:
        names = mode.backend_names(self.settings)
        try:
            return registry.choose(names)
        except (BrokenBackend, UnknownBackend) as error:
            raise ConfigError([f"vip_backends={','.join(names)}: {error}"]) from error

    async def _settings_of_backends(self, client: Api, events: Events, teller: NodeTeller) -> Mapping[str, str] | None:
        """Return the environment, with what the node's annotations add to it; ``None`` if told to stop meanwhile."""
        prefix = self.settings.bgp.annotation
        if not self.settings.bgp.enable or not prefix:
            return self._environ
        self._annotated = annotated = Annotated(client, self.settings.node.name, prefix, teller, self._environ)
        async with anyio.create_task_group() as tasks:
            self._start_servers(tasks)
            tasks.start_soon(supervised, "writing Events", events.run)
            tasks.start_soon(supervised, "watching the node", annotated.watch)
            found = await annotated.wait(self._stopping)
            tasks.cancel_scope.cancel()
        return found

    # Starting

    async def _begin(
        self, client: Api, events: Events, parts: Parts, safeguards: Safeguards, tasks: anyio.abc.TaskGroup
    ) -> None:
        settings = self.settings
        placing = await self._placing(parts)
        leases = KubeLeases(client, self._surroundings.wall)
        control_plane = settings.control_plane.lease if settings.control_plane.enable else None
        services = settings.services_lease if settings.services.enable else None
        addresses = settings.control_plane.addresses if control_plane else ()
        governing = dict.fromkeys(addresses, control_plane) if control_plane else {}
        timing, probes = mode.timing(settings), self._surroundings.probes(settings.fitness)
        self._health = health = Health(
            *(settings, client, leases, parts.keeper, parts.links, timing, probes), parts.unheard
        )
        if services and settings.services.placement == mode.SPREAD:
            self._spread = shared = SpreadMode.assemble(settings, client, leases, parts, timing, governing)
            leases = shared.common
            services = shared.campaign(settings, self._campaigns, health, parts, safeguards, tasks)
            ownership = Ownership(Claims(shared.spread), parts.keeper, shared.spread)
        else:
            holding = self._elect_per_service(client, parts, health, tasks) if elects_per_service(settings) else None
            ownership = Ownership(claims(settings), parts.keeper, holding or AtOnce(parts.keeper))
        for key in dict.fromkeys(key for key in (control_plane, services) if key and key not in self._campaigns):
            self._campaigns.add(key, leases, parts, health, safeguards, tasks)
        await self._surroundings.warn(tuple(self._campaigns.electors))
        if control_plane:
            ownership.claim(CONTROL_PLANE, [placing.control_plane(address) for address in addresses])
            tasks.start_soon(self._campaigns[control_plane].run)
        if services:
            self._start_services(client, events, ownership, placing, services, tasks)
            if services != control_plane:
                tasks.start_soon(self._campaign_when_synced, self._campaigns[services])
            if self._electing is not None:
                tasks.start_soon(self._campaign_when_synced, self._electing)
        tasks.start_soon(health.run)
        tasks.start_soon(supervised, "renewing credentials", client.keep_credentials_fresh)

    def _elect_per_service(self, client: Api, parts: Parts, health: Health, tasks: anyio.abc.TaskGroup) -> Electing:
        store = SharedLeases(client, self._surroundings.wall)
        tasks.start_soon(supervised, "watching Leases", store.run)
        own = OwnCampaigns(self.settings, mode.timing(self.settings), self._campaigns, store, parts, health, tasks)
        self._electing = own.electing()
        return self._electing

    def _start_services(
        self,
        client: Api,
        events: Events,
        ownership: Ownership,
        placing: Placing,
        lease: LeaseKey,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        settings = self.settings
        campaign = self._campaigns[lease]
        classes = ClassFilter(
            name=settings.services.class_name,
            only=settings.services.class_only,
            legacy=settings.services.class_legacy_handling,
        )
        self._services = services = Services(
            settings.node.name,
            ownership,
            classes,
            placing.service,
            events,
            self._spread.spread.speaks if self._spread else lambda: campaign.term is not None,
            names_host=settings.services.election or lease in self._campaigns.electors,
            unheeded=unheeded(settings),
        )
        self._reflectors = _reflectors(client, services, settings)
        if self._spread:
            self._reflectors["nodeleases"] = self._spread.leases.reflector
            self._spread.start(services, tasks)
        for reflector in self._reflectors.values():
            tasks.start_soon(reflector.run)
        if not settings.services.disable_updates:
            nodes = self._spread.spread.nodes if self._spread else lambda: 1
            tasks.start_soon(supervised, "publishing", Publishing(services, Publisher(client), nodes).run)

    async def _campaign_when_synced(self, campaign: Campaign | Electing) -> None:
        """Whoever leads has to know what there is to hold: a node that may not list Services leaves it to others."""
        for reflector in self._reflectors.values():
            await reflector.wait_synced()
        await campaign.run()

    def _start_servers(self, tasks: anyio.abc.TaskGroup) -> None:
        serving = self.settings.serving
        places = [(str(serving.prometheus.host or ""), serving.prometheus.port)] if serving.prometheus else []
        if serving.health_check_port:
            places.append(("", serving.health_check_port))
        for host, port in places:
            tasks.start_soon(supervised, "serving metrics and health", partial(self._serve, host, port))

    async def _serve(self, host: str, port: int) -> None:
        """Serve metrics and health. What that takes is loaded late, and beside: the first Lease would wait for it."""
        await anyio.sleep(SERVE_AFTER)
        server = await anyio.to_thread.run_sync(_load_server, host, port, self.statistics)
        await server.run()

    async def _placing(self, parts: Parts) -> Placing:
        node = self.settings.node
        interface = node.interface or await default_interface()
        if interface is None:
            raise ConfigError(["vip_interface is not set, and there is no default route to take its interface from"])
        services_interface = node.services_interface or interface
        for name in sorted({interface, services_interface} - {AUTO}):
            await self._wait_until_up(parts.links, name)
            parts.kernel.prepare(name)
        return Placing(
            interface=interface,
            services_interface=services_interface,
            prefix_length=node.prefixes.of,
            towards=parts.links.towards,
        )

    async def _wait_until_up(self, links: Links, name: str) -> None:
        """Wait for an interface that is down; one that isn't there is most likely misspelt, and told at once."""
        if self.settings.node.allow_interface_not_up or links.get(name).up:
            return
        self._waiting = f"interface {name} is not up"
        log.error("waiting for the interface to come up", extra={"interface": name})
        changed = anyio.Event()
        unsubscribe = links.subscribe(lambda _name: changed.set())
        try:
            while not links.get(name).up:
                await changed.wait()
                changed = anyio.Event()
        finally:
            unsubscribe()
        self._waiting = ""
        log.info("the interface is up", extra={"interface": name})

    # Ending

    async def _leave(self, parts: Parts) -> None:
        """Release all Leases at once, and let go of each address when its successor is seen."""
        log.info("stopping")
        if self._spread is not None:
            await self._spread.drain(self.settings.election.linger)
        bound = self.settings.election.linger + mode.timing(self.settings).attempt_timeout
        with anyio.move_on_after(bound) as scope:
            if self._electing is not None:
                self._electing.stop()
            await self._campaigns.resign(parts)
        if scope.cancelled_caught:
            log.warning("stopping without a word from the API server; the Leases end by themselves")

    # Telling

    def dump(self, given: Mapping[str, object]) -> str:
        """Return the state as text for people; *given* is what was written for each setting."""
        links = self._parts.links if self._parts else None
        return dump(given, self.statistics(), [links.get(name) for name in links.names()] if links else [])

    def statistics(self) -> AgentStatistics:
        """Return a snapshot."""
        parts = self._parts
        return AgentStatistics(
            node=self.settings.node.name,
            waiting=self._waiting,
            electors=self._campaigns.statistics(),
            keeper=parts.keeper.statistics() if parts else None,
            announcers={each.name: each.statistics() for each in parts.announcers.values()} if parts else {},
            services=self._services.statistics() if self._services else None,
            reflectors={name: reflector.statistics() for name, reflector in self._reflectors.items()},
            health=self._health.statistics() if self._health else None,
            pulses=self._campaigns.pulses(),
            verification=self._safeguards.verification() if self._safeguards else None,
            conflicts=self._safeguards.conflicts() if self._safeguards else None,
            unelected=self._campaigns.unelected,
            own=self._campaigns.electors.keys() - common_leases(self.settings),
            peerings=parts.peerings() if parts else (),
            spread=self._spread.spread.statistics() if self._spread else None,
            annotations=self._annotated.statistics() if self._annotated else None,
        )


def _load_server(host: str, port: int, statistics: Callable[[], AgentStatistics]) -> "Server":
    from kubevip.server import of_agent

    return of_agent(host, port, statistics)


def _reflectors(client: Api, services: Services, settings: Settings) -> dict[str, AnyReflector]:
    namespace = settings.services.namespace or ""
    spread = settings.services.placement == mode.SPREAD
    found: dict[str, AnyReflector] = {
        "services": Reflector(client, SERVICES, ServiceSink(services), namespace=namespace)
    }
    if settings.services.enable_endpoints:
        found["endpoints"] = Reflector(client, ENDPOINTS, EndpointsSink(services, spread), namespace=namespace)
    else:
        found["endpointslices"] = Reflector(client, ENDPOINT_SLICES, SliceSink(services, spread), namespace=namespace)
    return found
