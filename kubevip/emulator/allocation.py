"""Cluster addresses and node ports of Services: who holds which, and the choice of IP families.

A write first claims what it needs; when the object turns out to be invalid, the claim gives it back. Addresses and
ports are handed out in order, so that runs can be repeated.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from kubevip.emulator.status import Cause, internal, invalid, unprocessable
from kubevip.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Spec = dict[str, Any]


def family_of(text: str) -> str:
    """``IPv4`` or ``IPv6``."""
    return "IPv6" if ":" in text else "IPv4"


def is_headless(spec: Mapping[str, Any]) -> bool:
    """Whether the Service wants no cluster address."""
    return bool(spec.get("clusterIPs", [])[:1] == ["None"])


def needs_address(spec: Mapping[str, Any]) -> bool:
    """Whether the Service is of a type that has a cluster address, were it only ``None``."""
    return bool(spec["type"] != "ExternalName")


def needs_health_port(spec: Mapping[str, Any]) -> bool:
    """Whether load balancers ask each node if it has endpoints."""
    return bool(spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def needs_node_ports(spec: Mapping[str, Any]) -> bool:
    """Whether the type goes through ports of the nodes."""
    return spec["type"] in ("NodePort", "LoadBalancer")


def is_reachable_from_outside(spec: Mapping[str, Any]) -> bool:
    """Whether traffic comes in from outside the cluster."""
    return needs_node_ports(spec) or bool(spec["type"] == "ClusterIP" and spec.get("externalIPs"))


def allocates_node_ports(spec: Mapping[str, Any]) -> bool:
    """Whether ports of the nodes are chosen for the Service."""
    return needs_node_ports(spec) and bool(
        spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
    )


def node_ports(spec: Mapping[str, Any]) -> set[int]:
    """The node ports of the Service's ports."""
    return {port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")}


def held_by(spec: Mapping[str, Any]) -> set[str | int]:
    """The addresses and ports that a stored Service holds."""
    addresses = set() if is_headless(spec) else set(spec.get("clusterIPs", ()))
    ports = node_ports(spec) | ({spec["healthCheckNodePort"]} if "healthCheckNodePort" in spec else set())
    return addresses | ports


@attrs.define(eq=False)
class Allocator:
    """What there is to hand out. The family of the first network is the default."""

    networks: Mapping[str, Network]
    ports: range = range(30000, 32768)
    _held: set[str | int] = attrs.field(factory=set, init=False)
    _next: dict[str, Iterator[str | int]] = attrs.field(factory=dict, init=False)

    @classmethod
    def of(cls, cidrs: Sequence[str]) -> "Allocator":
        """An allocator of one network of each family at most; raises ConfigError otherwise."""
        try:
            networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
        except ValueError as error:
            raise ConfigError([f"service_cidrs: {error}"]) from error
        families = {f"IPv{network.version}": network for network in networks}
        if not networks or len(families) != len(networks):
            raise ConfigError([f"service_cidrs: one network, or one of each family, not {', '.join(cidrs)!r}"])
        return cls(families)

    def _circle(self, family: str) -> Iterator[str | int]:
        while True:
            if family == "port":
                yield from self.ports
            else:
                yield from map(str, self.networks[family].hosts())

    def take_next(self, family: str) -> str | int | None:
        """Hand out a free address of *family*, or a free ``port``; None when all are held."""
        circle = self._next.setdefault(family, self._circle(family))
        size = len(self.ports) if family == "port" else self.networks[family].num_addresses
        for _ in range(min(size, len(self._held) + 2)):
            found = next(circle)
            if found not in self._held:
                self._held.add(found)
                return found
        return None

    def take(self, wanted: str | int) -> str:
        """Hand out what is wanted; the answer is what stands against it, or empty."""
        if isinstance(wanted, int) and wanted not in self.ports:
            first, last = self.ports[0], self.ports[-1]
            return f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
        if isinstance(wanted, str) and ipaddress.ip_address(wanted) not in self.networks[family_of(wanted)]:
            return "the provided network does not match the current range"
        if wanted in self._held:
            return f"provided {'port' if isinstance(wanted, int) else 'IP'} is already allocated"
        self._held.add(wanted)
        return ""

    def free(self, held: Iterable[str | int]) -> None:
        """Take back."""
        self._held.difference_update(held)


@attrs.define(eq=False)
class Claim:
    """What one write of a Service takes and gives back."""

    allocator: Allocator
    name: str
    old: Mapping[str, Any] | None
    """The spec that is stored."""
    _taken: set[str | int] = attrs.field(factory=set, init=False)

    def close(self, spec: Mapping[str, Any] | None) -> None:
        """End the claim: *spec* is stored, and what the old one held and it doesn't is free; or nothing was (None)."""
        if spec is None:
            self.allocator.free(self._taken)
        elif self.old is not None:
            self.allocator.free(held_by(self.old) - held_by(spec))

    def refuse(self, *causes: Cause) -> None:
        """Raise Invalid if there are causes."""
        if causes:
            raise unprocessable("Service", "", self.name, causes)

    def take(self, wanted: str | int | None, family: str, field: str, value: Any) -> Any:
        """The wanted address or port, or any one of *family*; *value* is what an error shows of *field*."""
        if wanted:
            prefix = "" if family == "port" else f"failed to allocate IP {wanted}: "
            if detail := self.allocator.take(wanted):
                self.refuse(invalid(field, value, prefix + detail))
        else:
            wanted = self.allocator.take_next(family)
            if wanted is None:
                what = "nodePort" if family == "port" else "serviceIP"
                raise internal(f"failed to allocate a {what}: range is full")
        self._taken.add(wanted)
        return wanted

    def take_addresses(self, spec: Spec) -> None:
        """Complete ``clusterIPs`` for each of the Service's families."""
        if not needs_address(spec) or is_headless(spec):
            return
        kept = len(self.old.get("clusterIPs", ())) if self.old else 0
        addresses = spec.get("clusterIPs", [])
        for index, family in enumerate(spec["ipFamilies"]):
            wanted = addresses[index] if index < len(addresses) else None
            if index >= kept:
                found = self.take(wanted, family, "spec.clusterIPs", addresses or [""])
                addresses = [*addresses[:index], found, *addresses[index + 1 :]]
        spec["clusterIPs"] = addresses
        spec["clusterIP"] = addresses[0]

    def take_ports(self, spec: Spec) -> None:
        """Give each port its node port, and the health check its own.

        On creation the protocols of one port share a node port, as the real server has it.
        """
        held = held_by(self.old) if self.old else set()
        given: set[tuple[str, int]] = set()
        for index, port in enumerate(spec["ports"]) if needs_node_ports(spec) else ():
            number = port.get("nodePort")
            if number is None and not allocates_node_ports(spec):
                continue
            shared = None if self.old else _shared_node_port(spec["ports"], index)
            if number is None:
                number = shared
            if number is None or (number not in held and not (number in self._taken and (self.old or shared))):
                number = self.take(number, "port", f"spec.ports[{index}].nodePort", number)
            port["nodePort"] = number
            if self.old and (port["protocol"], number) in given:
                raise internal(f"duplicate nodePort: {{{port['protocol']} {number}}}")
            given.add((port["protocol"], number))
        wanted = spec.get("healthCheckNodePort")
        if needs_health_port(spec) and wanted not in held:
            spec["healthCheckNodePort"] = self.take(wanted, "port", "spec.healthCheckNodePort", wanted)

    def choose_families(self, spec: Spec) -> None:
        """Complete ``ipFamilyPolicy`` and ``ipFamilies`` from each other, from the addresses and the cluster."""
        networks, old = self.allocator.networks, self.old or {}
        bare = spec.get("clusterIP") == "None" and not spec.get("selector")
        policy = spec.get("ipFamilyPolicy") or old.get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = policy = policy or ("RequireDualStack" if bare else "SingleStack")
        if old:
            self._narrow(spec, old, policy)
        self.refuse(*_single_stack_causes(spec, policy))
        families = list(spec.get("ipFamilies", ()))
        for index, address in enumerate([] if is_headless(spec) else spec.get("clusterIPs", [])):
            if index >= len(families):
                families.append(family_of(address))
                if families[-1] not in networks:
                    detail = f"{families[-1]} is not configured on this cluster"
                    self.refuse(invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], detail))
        if not bare:
            self.refuse(*_unconfigured_causes(families, policy, networks))
        families = families or [next(iter(networks))]
        if policy != "SingleStack" and len(families) == 1 and (bare or len(networks) == 2):
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        spec["ipFamilies"] = families

    def _narrow(self, spec: Spec, old: Mapping[str, Any], policy: str) -> None:
        for name, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
            new, held = spec.get(name, []), old.get(name, [])
            if policy == "SingleStack" and new == held:
                spec[name] = new[:1]
            elif policy != "SingleStack" and 0 < len(new) < len(held):
                detail = f"must be 'SingleStack' to release the secondary {what}"
                self.refuse(invalid("spec.ipFamilyPolicy", policy, detail))


def _shared_node_port(ports: Sequence[Mapping[str, Any]], index: int) -> int | None:
    """The node port of another protocol on the same port: one that is chosen already, or that is asked for."""
    same = [
        port.get("nodePort") for at, port in enumerate(ports) if at != index and port["port"] == ports[index]["port"]
    ]
    return next(filter(None, same), None)


def _single_stack_causes(spec: Spec, policy: str) -> Iterator[Cause]:
    for name, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if policy == "SingleStack" and len(spec.get(name, ())) == 2:
            detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            yield invalid("spec.ipFamilyPolicy", policy, detail)


def _unconfigured_causes(families: Sequence[str], policy: str, networks: Mapping[str, Network]) -> Iterator[Cause]:
    if policy == "RequireDualStack" and len(networks) < 2:
        yield invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(families):
        if family not in networks:
            yield invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
