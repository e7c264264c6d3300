"""What can be wrong with a Service, each fault in the words and the order of the real server."""

from collections.abc import Iterator, Mapping
from typing import Any

from kubevip.emulator import validation as check
from kubevip.emulator.allocation import (
    family_of,
    is_headless,
    is_reachable_from_outside,
    needs_address,
    needs_health_port,
    needs_node_ports,
)
from kubevip.emulator.rules import PROTOCOLS, Old, Value
from kubevip.emulator.status import Cause, duplicate, invalid, not_allowed, required, unsupported

Spec = dict[str, Any]
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_SINGLE, _POLICIES = "SingleStack", ("PreferDualStack", "RequireDualStack", "SingleStack")
_LOAD_BALANCERS_ONLY = "may only be used when `type` is 'LoadBalancer'"
_IMMUTABLE = "may not change once set"


def validate(new: Value, old: Old) -> list[Cause]:
    """All that is wrong with the spec."""
    spec = new["spec"]
    found = [*_change_causes(spec, old["spec"])] if old else []
    found += [*_type_causes(spec), *_port_causes(spec)]
    found += check.labels(spec.get("selector", {}), "spec.selector")
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        found.append(unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
    found += address_causes(spec) if needs_address(spec) else []
    for index, text in enumerate(spec.get("externalIPs", ())):
        found += check.told(f"spec.externalIPs[{index}]", text, check.endpoint_address(text))
    if spec["type"] not in _TYPES:
        found.append(unsupported("spec.type", spec["type"], _TYPES))
    return [*found, *_node_port_causes(spec), *_load_balancer_causes(spec), *_policy_causes(spec)]


def _type_causes(spec: Spec) -> Iterator[Cause]:
    if not spec.get("ports") and not is_headless(spec) and needs_address(spec):
        yield required("spec.ports")
    if needs_node_ports(spec) and is_headless(spec):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {spec['type']} services")
    if needs_address(spec):
        return
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            yield not_allowed(f"spec.{name}", "may not be set for ExternalName services")
    name = spec.get("externalName", "").removesuffix(".")
    yield from (
        check.told("spec.externalName", name, check.dns_subdomain(name)) if name else [required("spec.externalName")]
    )


def _port_causes(spec: Spec) -> Iterator[Cause]:
    ports, names = spec.get("ports", ()), set()
    for index, port in enumerate(ports):
        field, name, target = f"spec.ports[{index}]", port.get("name", ""), port["targetPort"]
        if name:
            yield from check.told(f"{field}.name", name, check.dns_label(name))
            if name in names:
                yield duplicate(f"{field}.name", name)
            names.add(name)
        elif len(ports) > 1:
            yield required(f"{field}.name")
        yield from check.told(f"{field}.port", port["port"], check.port_number(port["port"]))
        if port["protocol"] not in PROTOCOLS:
            yield unsupported(f"{field}.protocol", port["protocol"], PROTOCOLS)
        wrong = check.port_number(target) if isinstance(target, int) else check.port_name(target)
        yield from check.told(f"{field}.targetPort", target, wrong)
        if (protocol := port.get("appProtocol")) is not None:
            yield from check.told(f"{field}.appProtocol", protocol, check.qualified_name(protocol))


def address_causes(spec: Spec) -> list[Cause]:
    """What is wrong with the cluster addresses and families, by themselves and together."""
    addresses, families = spec.get("clusterIPs", []), spec.get("ipFamilies", [])
    found = []
    if spec.get("clusterIP", "") != (addresses[0] if addresses else ""):
        detail = "first value must match `clusterIP`"
        unset = "must be empty when `clusterIP` is not specified"
        found.append(invalid("spec.clusterIPs", addresses, detail if spec.get("clusterIP") else unset))
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            found.append(unsupported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
        if family in families[:index]:
            found.append(duplicate(f"spec.ipFamilies[{index}]", family))
    if (policy := spec.get("ipFamilyPolicy", _SINGLE)) not in _POLICIES:
        found.append(unsupported("spec.ipFamilyPolicy", policy, _POLICIES))
    if is_headless(spec):
        detail = "'None' must be the first and only value"
        return found + ([invalid("spec.clusterIPs", addresses, detail)] if len(addresses) > 1 else [])
    wrong = [
        c for i, text in enumerate(addresses) for c in check.told(f"spec.clusterIPs[{i}]", text, check.address(text))
    ]
    if len(addresses) > 2:
        wrong.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if wrong:
        return found + wrong
    if len({family_of(text) for text in addresses}) < len(addresses):
        found.append(invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family"))
    for index, (text, family) in enumerate(zip(addresses, families, strict=False)):
        if family in ("IPv4", "IPv6") and family_of(text) != family:
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            found.append(invalid(f"spec.clusterIPs[{index}]", text, detail))
    return found


def _node_port_causes(spec: Spec) -> Iterator[Cause]:
    ports = spec.get("ports", ())
    node = [(port["protocol"], port.get("nodePort")) for port in ports]
    own = [(port["protocol"], port["port"]) for port in ports]
    for index, (_, number) in enumerate(node):
        if number and spec["type"] == "ClusterIP":
            yield not_allowed(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    for index, (_, number) in enumerate(node):
        if number and node[index] in node[:index]:
            yield duplicate(f"spec.ports[{index}].nodePort", number)
    for index, (protocol, number) in enumerate(own):
        if own[index] in own[:index]:
            key = {
                "Name": "",
                "Protocol": protocol,
                "AppProtocol": None,
                "Port": number,
                "TargetPort": 0,
                "NodePort": 0,
            }
            yield duplicate(f"spec.ports[{index}]", key)


def _load_balancer_causes(spec: Spec) -> Iterator[Cause]:
    balanced, ranges = spec["type"] == "LoadBalancer", spec.get("loadBalancerSourceRanges", ())
    field = "spec.LoadBalancerSourceRanges"
    if ranges and not balanced:
        yield not_allowed(field, _LOAD_BALANCERS_ONLY)
    for index, text in enumerate(ranges):
        yield from check.told(f"{field}[{index}]", text.strip(), check.network(text.strip()))
    if "allocateLoadBalancerNodePorts" in spec and not balanced:
        yield not_allowed("spec.allocateLoadBalancerNodePorts", _LOAD_BALANCERS_ONLY)
    yield from _class_causes(spec)


def _class_causes(spec: Spec) -> list[Cause]:
    name, field = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if name is None:
        return []
    if spec["type"] != "LoadBalancer":
        return [not_allowed(field, _LOAD_BALANCERS_ONLY)]
    return check.told(field, name, check.qualified_name(name))


def _policy_causes(spec: Spec) -> Iterator[Cause]:
    policies, policy = ("Cluster", "Local"), spec.get("externalTrafficPolicy")
    if policy is not None and not is_reachable_from_outside(spec):
        yield invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    elif policy is not None and policy not in policies:
        yield unsupported("spec.externalTrafficPolicy", policy, policies)
    port = spec.get("healthCheckNodePort")
    if port and not needs_health_port(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid("spec.healthCheckNodePort", port, detail)
    policy = spec.get("internalTrafficPolicy")
    if policy is not None and policy not in policies:
        yield unsupported("spec.internalTrafficPolicy", policy, policies)


def _change_causes(spec: Spec, old: Mapping[str, Any]) -> Iterator[Cause]:
    if needs_address(spec) and needs_address(old) and not (is_headless(spec) and is_headless(old)):
        addresses, held = spec.get("clusterIPs", []), old.get("clusterIPs", [])
        for index, (new, kept) in enumerate(zip(addresses, held, strict=False)):
            if new != kept:
                yield invalid(f"spec.clusterIPs[{index}]", addresses, _IMMUTABLE)
        families = spec.get("ipFamilies", [])
        if is_headless(spec) == is_headless(old) and families[:1] != old.get("ipFamilies", [])[:1]:
            yield invalid("spec.ipFamilies[0]", families, _IMMUTABLE)
    both = spec["type"] == old["type"] == "LoadBalancer"
    if both and spec.get("loadBalancerClass") != old.get("loadBalancerClass"):
        yield invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _IMMUTABLE)
    yield from _class_causes(spec)
    both = needs_health_port(spec) and needs_health_port(old)
    if both and spec.get("healthCheckNodePort") != old.get("healthCheckNodePort"):
        yield not_allowed("spec.healthCheckNodePort", "field is immutable")


def validate_status(new: Value, old: Old) -> list[Cause]:
    """All that is wrong with the status."""
    ingresses, field = new["status"]["loadBalancer"].get("ingress", ()), "status.loadBalancer.ingress"
    if ingresses and new["spec"]["type"] != "LoadBalancer":
        return [not_allowed(field, "may only be used when `spec.type` is 'LoadBalancer'")]
    return [cause for i, ingress in enumerate(ingresses) for cause in _ingress_causes(ingress, f"{field}[{i}]")]


def _ingress_causes(ingress: Mapping[str, Any], field: str) -> Iterator[Cause]:
    text, mode, host = ingress.get("ip", ""), ingress.get("ipMode"), ingress.get("hostname", "")
    if text:
        yield from check.told(f"{field}.ip", text, check.address(text))
        if mode is None:
            yield required(f"{field}.ipMode", "must be specified when `ip` is set")
    elif mode is not None:
        yield not_allowed(f"{field}.ipMode", "may not be specified when `ip` is not set")
    if text and mode not in (None, "Proxy", "VIP"):
        yield unsupported(f"{field}.ipMode", mode, ("Proxy", "VIP"))
    if host:
        yield from check.told(f"{field}.hostname", host, check.dns_subdomain(host))
        if not check.address(host):
            yield invalid(f"{field}.hostname", host, "must be a DNS name, not an IP address")
