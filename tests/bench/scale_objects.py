"""Services with addresses and EndpointSlices, as a large cluster has them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

# 172.31.0.0/16 is the segment; its first addresses are the nodes' own.
FIRST = IPv4Address("172.31.16.0")
PORT = 7000
ENDPOINTS = 4
ADDRESSES = "kube-vip.io/loadbalancerIPs"
Manifest = Mapping[str, Any]


def name_of(number: int) -> str:
    """Return the name of a Service."""
    return f"service-{number}"


def address_of(number: int) -> str:
    """Return its address."""
    return str(FIRST + number)


def service(number: int, *, kind: str = "LoadBalancer", prefix: str = "service") -> Manifest:
    """Return a Service; of type LoadBalancer it asks for an address."""
    named = {"app.kubernetes.io/name": f"{prefix}-{number}", "app.kubernetes.io/managed-by": "Helm"}
    annotations = {"meta.helm.sh/release-name": f"{prefix}-{number}", "meta.helm.sh/release-namespace": "default"}
    balanced = {"type": kind, "allocateLoadBalancerNodePorts": False} if kind == "LoadBalancer" else {"type": kind}
    if kind == "LoadBalancer":
        annotations[ADDRESSES] = address_of(number)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"{prefix}-{number}",
            "namespace": "default",
            "labels": named,
            "annotations": annotations,
        },
        "spec": {
            **balanced,
            "selector": named,
            "ports": [{"name": "udp", "port": PORT, "protocol": "UDP"}, {"name": "http", "port": 80}],
        },
    }


def slice_(number: int, which: str, nodes: Sequence[str], *, prefix: str = "service") -> Manifest:
    """Return one of the EndpointSlices of a Service."""
    owner = f"{prefix}-{number}"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{owner}-{which}",
            "namespace": "default",
            "labels": {
                "kubernetes.io/service-name": owner,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "endpoints": endpoints(number, nodes),
        "ports": [{"port": PORT, "protocol": "UDP", "name": "udp"}, {"port": 80, "protocol": "TCP", "name": "http"}],
    }


def endpoints(number: int, nodes: Sequence[str], *, ready: bool = True) -> list[dict[str, Any]]:
    """Return the endpoints of a slice, on some of the nodes."""
    return [
        {
            "addresses": [f"10.{1 + each}.{number >> 8 & 255}.{number & 255}"],
            "conditions": {"ready": ready, "serving": ready, "terminating": False},
            "nodeName": nodes[(number + each) % len(nodes)],
            "targetRef": {
                "kind": "Pod",
                "name": f"pod-{number}-7d4b9c6f5d-{each}",
                "namespace": "default",
                "uid": f"00000000-0000-4000-8000-{number:08x}{each:04x}",
            },
            "zone": "zone-a",
        }
        for each in range(ENDPOINTS)
    ]


def cluster(numbers: Sequence[int], nodes: Sequence[str]) -> Iterator[Manifest]:
    """Give Services of type LoadBalancer with two EndpointSlices each."""
    return itertools.chain.from_iterable(
        (slice_(number, "a", nodes), slice_(number, "b", nodes), service(number)) for number in numbers
    )


def others(count: int, slices: int, nodes: Sequence[str]) -> Iterator[Manifest]:
    """Give Services that no agent serves, and their EndpointSlices: most of a cluster."""
    for number in range(count):
        for which in range(slices):
            yield slice_(number, str(which), nodes, prefix="other")
        yield service(number, kind="ClusterIP", prefix="other")
