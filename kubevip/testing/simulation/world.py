"""Everything that there is in a simulation: nodes, the switch between them, the API server, and who talks to VIPs."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from kubevip.custody import GROUP, ZONE
from kubevip.model import IPAddress
from kubevip.service import INTERFACE
from kubevip.testing.simulation.caller import Caller
from kubevip.testing.simulation.chronicle import Chronicle
from kubevip.testing.simulation.errands import Errands
from kubevip.testing.simulation.line import Line
from kubevip.testing.simulation.node import Node
from kubevip.testing.simulation.segments import FIRST, Segments
from kubevip.testing.simulation.server import NODES, SERVICES, SLICES, ApiServer
from kubevip.testing.simulation.strangers import Intruder, Witness
from kubevip.testing.simulation.switch import Switch

_NAMESPACE = "default"
# What a plan says of a Service.
_PLANNED = frozenset({"kube-vip.io/loadbalancerIPs", GROUP, ZONE, INTERFACE})


@attrs.frozen(kw_only=True)
class ServicePlan:
    """A Service of type LoadBalancer with *addresses*; *local* is its externalTrafficPolicy.

    *group* and *zone* say where it is to be in spread mode, *interface* on which link its annotation wants it.
    """

    name: str
    addresses: tuple[IPAddress, ...]
    local: bool = False
    group: str = ""
    zone: str = ""
    interface: str = ""


@attrs.frozen(kw_only=True)
class World:
    """All that faults can strike. *chance* is for what strikes by chance."""

    chronicle: Chronicle
    chance: random.Random
    segments: Segments
    server: ApiServer
    nodes: Mapping[str, Node]
    callers: Sequence[Caller]
    witnesses: Sequence[Witness]
    intruder: Intruder
    services: Mapping[str, ServicePlan]
    errands: Errands

    def lines(self, names: Iterable[str] = ()) -> list[Line]:
        """Return the ways to the API server of some nodes; of all where none is named."""
        wanted = set(names)
        return [node.line for name, node in self.nodes.items() if not wanted or name in wanted]

    @property
    def switch(self) -> Switch:
        """The switch of all that have one interface."""
        return self.segments.switches[FIRST]

    # Nodes

    def create_nodes(self) -> None:
        """Create a Node for each."""
        for name in self.nodes:
            self.server.create(NODES, "", {"metadata": {"name": name}})

    def cordon(self, name: str, cordoned: bool) -> None:
        """Cordon a node, or uncordon it."""

        def change(value: dict[str, object]) -> None:
            value["spec"] = {"unschedulable": True} if cordoned else {}

        self.server.edit(NODES, "", name, change)

    # Services

    def change_service(self, plan: ServicePlan) -> None:
        """Let the Service of that name, if it is there, be as *plan* says; its record and its status stay."""

        def change(value: dict[str, Any]) -> None:
            told = value["metadata"].get("annotations") or {}
            kept = {name: text for name, text in told.items() if name not in _PLANNED}
            value["metadata"]["annotations"] = kept | annotations(plan)
            value["spec"]["externalTrafficPolicy"] = _policy(plan)

        self.server.edit(SERVICES, _NAMESPACE, plan.name, change)

    def create_service(self, name: str) -> None:
        """Create a Service, with endpoints on all nodes."""
        plan = self.services[name]
        self.server.create(SERVICES, _NAMESPACE, _service(plan))
        self.server.create(SLICES, _NAMESPACE, _slice(name, list(self.nodes)))

    def delete_service(self, name: str) -> None:
        """Delete a Service and its endpoints."""
        self.server.delete(SERVICES, _NAMESPACE, name)
        self.server.delete(SLICES, _NAMESPACE, name)

    def set_endpoints(self, name: str, nodes: Sequence[str]) -> None:
        """Let a Service have a ready endpoint on each of *nodes*, and no others."""

        def change(value: dict[str, object]) -> None:
            value["endpoints"] = _endpoints(nodes)

        self.server.edit(SLICES, _NAMESPACE, name, change)

    def ingress(self, name: str) -> list[str]:
        """Return the addresses that a Service's status lists."""
        found = self.server.store.get(SERVICES, (_NAMESPACE, name))
        if found is None:
            return []
        status = found.value.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        return [entry.get("ip", "") for entry in status]


def annotations(plan: ServicePlan) -> dict[str, str]:
    """Return what the Service says of itself."""
    found = {
        "kube-vip.io/loadbalancerIPs": ",".join(map(str, plan.addresses)),
        GROUP: plan.group,
        ZONE: plan.zone,
        INTERFACE: plan.interface,
    }
    return {name: text for name, text in found.items() if text}


def _service(plan: ServicePlan) -> dict[str, object]:
    return {
        "metadata": {"name": plan.name, "annotations": annotations(plan)},
        "spec": {
            "type": "LoadBalancer",
            "ports": [{"port": 80}],
            "externalTrafficPolicy": _policy(plan),
        },
    }


def _policy(plan: ServicePlan) -> str:
    return "Local" if plan.local else "Cluster"


def _slice(name: str, nodes: Sequence[str]) -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": _endpoints(nodes),
    }


def _endpoints(nodes: Sequence[str]) -> list[dict[str, object]]:
    return [
        {"addresses": [f"10.244.0.{number}"], "nodeName": node, "conditions": {"ready": True}}
        for number, node in enumerate(nodes, start=1)
    ]
