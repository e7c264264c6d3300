"""Services as the provider knows them."""

from kubevip.ipam import FamilyPolicy, read_address
from kubevip.model import Family, ServiceKey
from kubevip.provision.verdict import FINALIZER, Facts

IPV4, IPV6 = Family.IPV4, Family.IPV6
PREFER, REQUIRE = FamilyPolicy.PREFER_DUAL, FamilyPolicy.REQUIRE_DUAL


def key(name):
    return ServiceKey.parse(name, default_namespace="default")


def service(name, addresses="", origin="", **facts):
    """Return a Service that has *addresses* from *origin*, as the provider has written it; a new one without."""
    annotations, labels = {}, {}
    if addresses:
        annotations["kube-vip.io/loadbalancerIPs"] = addresses
    if origin:
        annotations["kubevip.io/assigned"] = f"{origin} {addresses}"
        labels["implementation"] = "kube-vip"
    facts = {
        "ports": frozenset({(80, "TCP")}),
        "load_balancer_ip": addresses.split(",")[0] if origin else "",
        "finalizers": (FINALIZER,) if origin else (),
        "annotations": annotations | facts.pop("annotations", {}),
        "labels": labels | facts.pop("labels", {}),
        **facts,
    }
    return Facts(key=key(name), **facts)


def ips(*texts):
    return tuple(map(read_address, texts))
