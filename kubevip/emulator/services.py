"""How a Service is written: defaults, what is allocated for it, and what a change of its type drops."""

from collections.abc import Mapping
from typing import Any

from kubevip.emulator import validation as check
from kubevip.emulator.allocation import (
    Allocator,
    Claim,
    allocates_node_ports,
    held_by,
    is_reachable_from_outside,
    needs_address,
    needs_health_port,
    needs_node_ports,
    node_ports,
)
from kubevip.emulator.rules import Old, Rules, Value
from kubevip.emulator.service_checks import address_causes, validate, validate_status

Spec = dict[str, Any]
_CLIENT_AFFINITY_SECONDS = 10800


def service_rules(allocator: Allocator) -> Rules:
    """The rules of Services whose addresses and ports come from *allocator*."""
    return Rules(
        name=check.service_name,
        default=default,
        begin=lambda new, old: begin(allocator, new, old),
        end=lambda value: allocator.free(held_by(value["spec"])),
        prepare=prepare,
        validate=validate,
        validate_status=validate_status,
    )


def default(value: Value) -> None:
    """Fill in what doesn't depend on the cluster."""
    spec = value["spec"]
    if spec.setdefault("sessionAffinity", "None") == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP" and not (spec.get("sessionAffinityConfig") or {}).get("clientIP"):
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_AFFINITY_SECONDS}}
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port["targetPort"] = port.get("targetPort") or port["port"]
    if is_reachable_from_outside(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in value["status"]["loadBalancer"].get("ingress", ()):
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def begin(allocator: Allocator, new: Value, old: Old) -> Claim:
    """Claim the addresses and ports of *new*, keeping those of *old* that the client left out."""
    spec, before = new["spec"], old["spec"] if old else None
    claim = Claim(allocator, new["metadata"].get("name", ""), before)
    try:
        if before:
            _keep_allocated(spec, before)
        elif spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        if needs_address(spec):
            claim.refuse(*address_causes(spec))
            claim.choose_families(spec)
            claim.take_addresses(spec)
        if spec.get("ports"):
            claim.take_ports(spec)
    except BaseException:
        claim.close(None)
        raise
    return claim


def _keep_allocated(spec: Spec, old: Mapping[str, Any]) -> None:
    if needs_address(old) and needs_address(spec):
        for name in ("clusterIP", "clusterIPs"):
            spec[name] = spec.get(name) or old[name]
    if spec.get("clusterIP") != old.get("clusterIP") and spec.get("clusterIPs") == old.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else []
    if allocates_node_ports(old) and allocates_node_ports(spec):
        used = node_ports(old) & node_ports(spec)
        by_name = {port.get("name", ""): port["nodePort"] for port in old.get("ports", ()) if "nodePort" in port}
        for port in spec.get("ports", ()):
            kept = by_name.get(port.get("name", ""))
            if kept and kept not in used:
                port.setdefault("nodePort", kept)
    if needs_health_port(old) and needs_health_port(spec) and "healthCheckNodePort" in old:
        spec.setdefault("healthCheckNodePort", old["healthCheckNodePort"])


def prepare(new: Value, old: Old) -> None:
    """Drop what the type of *new* can't have, unless the client has set it anew: then validation complains."""
    if old is None:
        new["status"] = {"loadBalancer": {}}
        return
    spec, before = new["spec"], old["spec"]
    if needs_address(before) and not needs_address(spec):
        if all(spec.get(name) == before.get(name) for name in ("clusterIP", "clusterIPs")):
            _drop(spec, before, "clusterIP", "clusterIPs")
        _drop(spec, before, "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if needs_node_ports(before) and not needs_node_ports(spec) and node_ports(before) >= node_ports(spec):
        for port in spec.get("ports", ()):
            port.pop("nodePort", None)
    if needs_health_port(before) and not needs_health_port(spec):
        _drop(spec, before, "healthCheckNodePort")
    if before["type"] == "LoadBalancer" != spec["type"]:
        _drop(spec, before, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if is_reachable_from_outside(before) and not is_reachable_from_outside(spec):
        _drop(spec, before, "externalTrafficPolicy")
    if spec["type"] != "LoadBalancer":
        new["status"] = {**new["status"], "loadBalancer": {}}


def _drop(spec: Spec, old: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if spec.get(name) == old.get(name):
            spec.pop(name, None)
