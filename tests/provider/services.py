"""Services for tests, and what can be read off them: written down once more, plainly."""

import ipaddress
import itertools
from collections.abc import Mapping
from typing import Any

from kubevip.ipam import DHCP_MARKER, FamilyPolicy, read_address
from kubevip.model import Family, IPAddress, ServiceKey
from kubevip.provision.verdict import CLAIM, FINALIZER, LABEL, LABELLED, RECORD, Facts
from kubevip.service import ADDRESSES

V4, V6 = Family.IPV4, Family.IPV6
HTTP, HTTPS, DNS = (80, "TCP"), (443, "TCP"), (53, "UDP")
DUAL = {"policy": FamilyPolicy.REQUIRE_DUAL, "families": (V4, V6)}
PREFERS_DUAL = {"policy": FamilyPolicy.PREFER_DUAL, "families": (V4, V6)}
ONLY_V4 = {"policy": FamilyPolicy.SINGLE, "families": (V4,)}
ONLY_V6 = {"policy": FamilyPolicy.SINGLE, "families": (V6,)}


def ip(text: str) -> IPAddress:
    return ipaddress.ip_address(text)


def ips(text: str) -> tuple[IPAddress, ...]:
    return tuple(map(ip, text.split(",")))


def service(name: str = "a", *, text: str | None = None, spec: str = "", **more: Any) -> Facts:
    """A Service ``default/NAME``, or ``NAMESPACE/NAME``; *text* is its annotation of addresses."""
    annotations = merged(more.pop("annotations", {}), {} if text is None else {ADDRESSES: text})
    key = ServiceKey.parse(name, default_namespace="default")
    ports = frozenset(more.pop("ports", [HTTP]))
    return Facts(key=key, annotations=annotations, load_balancer_ip=spec, ports=ports, **more)


def labelled(name: str = "a", text: str | None = None, spec: str | None = None, **more: Any) -> Facts:
    """As kube-vip-cloud-provider leaves it; *spec* is the first of *text* unless it is told."""
    first = (text or "").partition(",")[0] if spec is None else spec
    finalizers = more.pop("finalizers", (FINALIZER,))
    return service(name, text=text, spec=first, labels={LABEL: LABELLED}, finalizers=finalizers, **more)


def recorded_as(origin: str, listed: str, name: str = "a", **more: Any) -> Facts:
    """As our provider leaves it; *text* and *spec* tell what its user has made of it since."""
    text, spec = more.pop("text", listed), more.pop("spec", listed.partition(",")[0])
    more = {"labels": {LABEL: LABELLED}, "finalizers": (FINALIZER,)} | more
    annotations = {RECORD: f"{origin} {listed}"} | more.pop("annotations", {})
    return service(name, text=text, spec=spec, annotations=annotations, **more)


def merged(present: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**present, **changes}.items() if value is not None}


def readable(*texts: str) -> frozenset[IPAddress]:
    """Whatever addresses are in texts."""
    found = set()
    for text in itertools.chain.from_iterable(text.split(",") for text in texts):
        try:
            found.add(read_address(text.strip()))
        except ValueError:
            continue
    return frozenset(found)


def served(facts: Facts | None) -> frozenset[IPAddress]:
    """What announcers take for the addresses of a Service."""
    if facts is None or facts.type != "LoadBalancer":
        return frozenset()
    found = readable(facts.annotations.get(ADDRESSES, ""), facts.load_balancer_ip)
    return frozenset(address for address in found if address != DHCP_MARKER)


def recorded(facts: Facts | None) -> frozenset[IPAddress]:
    if facts is None:
        return frozenset()
    return readable(note(facts).partition(" ")[2])


def note(facts: Facts) -> str:
    """What is written down: where its addresses are from, and which they are. Whose it is, is left out."""
    return facts.annotations.get(RECORD, "").partition(" uid=")[0]


def claimed(facts: Facts) -> frozenset[IPAddress]:
    return readable(facts.annotations.get(CLAIM, "").partition(" ")[2])


def in_use(facts: Facts) -> frozenset[IPAddress]:
    """What a Service that isn't served may have yet, or what stands in its status."""
    found = served(facts) | recorded(facts) | readable(*facts.ingress)
    return found | claimed(facts) if facts.load_balancer_class else found


def origin(facts: Facts) -> str:
    return facts.annotations.get(RECORD, "").partition(" ")[0]


def get_along(one: Facts, other: Facts) -> bool:
    """Whether two Services may share an address where sharing is allowed."""
    if not one.ports or not other.ports or one.ports & other.ports:
        return False
    same = bool(one.selector) and (one.key.namespace, one.selector) == (other.key.namespace, other.selector)
    return same or not (one.local or other.local)
