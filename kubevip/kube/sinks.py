"""From what reflectors tell to what a knower of Services is told."""

from collections.abc import Collection
from typing import Protocol

import attrs

from kubevip.kube.convert import add_up, object_endpoints, slice_endpoints, slice_owner, to_view
from kubevip.kube.resources import EndpointSlice, EndpointsObject, Service
from kubevip.model import ObjectKey, ServiceKey
from kubevip.service import Endpoints, ServiceView


class Knower(Protocol):
    """Who knows Services and their endpoints; ``kubevip.controllers.services.Services`` is one."""

    @property
    def node(self) -> str:
        """The node that is here."""

    def applied(self, view: ServiceView) -> None:
        """The Service is there, and is like that."""

    def deleted(self, key: ServiceKey) -> None:
        """There is no such Service any more."""

    def retain(self, keys: Collection[ServiceKey]) -> None:
        """Of those known, only these Services are there."""

    def endpoints(self, key: ServiceKey, endpoints: Endpoints) -> None:
        """The Service has these endpoints."""


@attrs.define(eq=False)
class ServiceSink:
    """Takes Services."""

    _services: Knower

    def applied(self, found: Service) -> None:
        """The Service is there."""
        self._services.applied(to_view(found))

    def deleted(self, found: Service) -> None:
        """The Service is gone."""
        self._services.deleted(ServiceKey(found.metadata.namespace, found.metadata.name))

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """These Services are there, and no others."""
        self._services.retain([ServiceKey(key.namespace, key.name) for key in keys])


@attrs.define(eq=False)
class SliceSink:
    """Takes EndpointSlices: a Service may have many, and of each only the counts are kept.

    And the names of nodes, with *name_nodes*.
    """

    _services: Knower
    _name_nodes: bool = False
    _slices: dict[ObjectKey, tuple[ServiceKey, Endpoints]] = attrs.field(factory=dict, init=False)
    _of: dict[ServiceKey, tuple[ObjectKey, ...]] = attrs.field(factory=dict, init=False)

    def applied(self, found: EndpointSlice) -> None:
        """The slice is there."""
        owner = slice_owner(found)
        self._replace(found.key, owner, slice_endpoints(found, self._services.node, name_nodes=self._name_nodes))

    def deleted(self, found: EndpointSlice) -> None:
        """The slice is gone."""
        self._replace(found.key, None, Endpoints())

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """These slices are there, and no others."""
        for key in self._slices.keys() - set(keys):
            self._replace(key, None, Endpoints())

    def _replace(self, key: ObjectKey, owner: ServiceKey | None, endpoints: Endpoints) -> None:
        before = self._slices.pop(key, None)
        if before is not None:
            self._of[before[0]] = tuple(each for each in self._of[before[0]] if each != key)
        if owner is not None:
            known = self._of.get(owner, ())
            # One key for all slices of a Service: most of what is kept here is keys.
            owner = self._slices[known[0]][0] if known else owner
            self._slices[key] = (owner, endpoints)
            self._of[owner] = (*known, key)
        for each in {owner, before[0] if before else None} - {None}:
            assert each is not None
            self._sum_up(each)

    def _sum_up(self, owner: ServiceKey) -> None:
        total = add_up([self._slices[key][1] for key in self._of[owner]])
        if not self._of[owner]:
            del self._of[owner]
        self._services.endpoints(owner, total)


@attrs.define(eq=False)
class EndpointsSink:
    """Takes Endpoints objects, each of which has the name of its Service; see ``SliceSink``."""

    _services: Knower
    _name_nodes: bool = False
    _known: set[ServiceKey] = attrs.field(factory=set, init=False)

    def applied(self, found: EndpointsObject) -> None:
        """The object is there."""
        key = ServiceKey(found.metadata.namespace, found.metadata.name)
        self._known.add(key)
        endpoints = object_endpoints(found, self._services.node, name_nodes=self._name_nodes)
        self._services.endpoints(key, endpoints)

    def deleted(self, found: EndpointsObject) -> None:
        """The object is gone."""
        self._forget(ServiceKey(found.metadata.namespace, found.metadata.name))

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """These objects are there, and no others."""
        for key in self._known - {ServiceKey(key.namespace, key.name) for key in keys}:
            self._forget(key)

    def _forget(self, key: ServiceKey) -> None:
        self._known.discard(key)
        self._services.endpoints(key, Endpoints())
