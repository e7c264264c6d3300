"""What is special about each kind when it is written: defaults, preparation, validation.

Workloads and pods are kept as they come: their specs are neither filled with defaults nor looked into.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from kubevip.emulator import validation as check
from kubevip.emulator.allocation import Claim
from kubevip.emulator.status import Cause, duplicate, invalid, not_allowed, required, unsupported

Value = dict[str, Any]
Old = Mapping[str, Any] | None
"""The stored object; it is read, never changed."""
_RBAC_GROUP = "rbac.authorization.k8s.io"
PROTOCOLS = ("SCTP", "TCP", "UDP")


def _nothing(value: Value) -> None:
    """Most kinds need no defaults."""


def _no_change(new: Value, old: Old) -> None:
    """Most kinds are written as they come."""


def _no_claim(new: Value, old: Old) -> Claim | None:
    """Most kinds need nothing allocated."""
    return None


def _all_right(new: Value, old: Old) -> list[Cause]:
    return []


@attrs.frozen(kw_only=True)
class Rules:
    """How one kind is written. Defaults come first, then preparation, then validation; *old* is None on creation."""

    name: Callable[[str], list[str]] = check.dns_subdomain
    default: Callable[[Value], None] = _nothing
    """Fills in what the client left out; of the object as it was sent, before anything else."""
    begin: Callable[[Value, Old], Claim | None] = _no_claim
    """Claims what has to be allocated; the claim is closed when the write is decided."""
    end: Callable[[Value], None] = _nothing
    """Gives back what a deleted object held."""
    prepare: Callable[[Value, Old], None] = _no_change
    """Makes the object fit what is stored; not for writes of the status."""
    validate: Callable[[Value, Old], list[Cause]] = _all_right
    validate_status: Callable[[Value, Old], list[Cause]] = _all_right


def _prepare_namespace(new: Value, old: Old) -> None:
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]
    new["spec"] = {"finalizers": ["kubernetes"]} if old is None else old["spec"]
    if old is None:
        new["status"] = {"phase": "Active"}


def _frozen_data(new: Value, old: Old, *names: str) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    found = [] if new.get("immutable") else [not_allowed("immutable", detail)]
    return found + [not_allowed(name, detail) for name in names if new.get(name) != old.get(name)]


def _validate_config_map(new: Value, old: Old) -> list[Cause]:
    found = _frozen_data(new, old, "data", "binaryData") + _key_causes(new, "data")
    both = new.get("data", {}).keys() & new.get("binaryData", {}).keys()
    found += [invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
    return found + _key_causes(new, "binaryData")


def _key_causes(new: Value, name: str) -> list[Cause]:
    return [cause for key in new.get(name, ()) for cause in check.told(f"{name}[{key}]", key, check.data_key(key))]


def _default_secret(value: Value) -> None:
    value.setdefault("type", "Opaque")
    texts = value.pop("stringData", {})
    if texts:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        value["data"] = {**value.get("data", {}), **encoded}


def _validate_secret(new: Value, old: Old) -> list[Cause]:
    found = check.immutable(new["type"], old["type"], "type") if old else []
    return found + _frozen_data(new, old, "data") + _key_causes(new, "data")


def _validate_lease(new: Value, old: Old) -> list[Cause]:
    spec, found = new["spec"], []
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        found.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        found.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return found


def _default_endpoints(value: Value) -> None:
    for subset in value.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _validate_endpoints(new: Value, old: Old) -> list[Cause]:
    found: list[Cause] = []
    for index, subset in enumerate(new.get("subsets", ())):
        field = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(required(field, "must specify `addresses` or `notReadyAddresses`"))
        for name in ("addresses", "notReadyAddresses"):
            for at, item in enumerate(subset.get(name, ())):
                found += check.told(f"{field}.{name}[{at}].ip", item["ip"], check.endpoint_address(item["ip"]))
                found += _host_causes(item, f"{field}.{name}[{at}]")
        ports = subset.get("ports", ())
        for at, port in enumerate(ports):
            found += _validate_endpoint_port(port, f"{field}.ports[{at}]", needs_name=len(ports) > 1)
    return found


def _host_causes(endpoint: Mapping[str, Any], field: str) -> Iterator[Cause]:
    for name, rule in (("hostname", check.dns_label), ("nodeName", check.dns_subdomain)):
        if (text := endpoint.get(name)) is not None:
            yield from check.told(f"{field}.{name}", text, rule(text))


def _validate_endpoint_port(port: Mapping[str, Any], field: str, *, needs_name: bool) -> list[Cause]:
    name, protocol = port.get("name", ""), port["protocol"]
    found = [required(f"{field}.name")] if needs_name and not name else []
    if name:
        found += check.told(f"{field}.name", name, check.dns_label(name))
    found += check.told(f"{field}.port", port["port"], check.port_number(port["port"]))
    return found + ([] if protocol in PROTOCOLS else [unsupported(f"{field}.protocol", protocol, PROTOCOLS)])


def _default_slice(value: Value) -> None:
    for port in value.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _validate_slice(new: Value, old: Old) -> list[Cause]:
    kind, families = new["addressType"], {"IPv4": 4, "IPv6": 6}
    found = [] if kind else [required("addressType")]
    if kind and kind not in ("FQDN", *families):
        found.append(unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6")))
    names = [port["name"] for port in new["ports"] or ()]
    for at, port in enumerate(new["ports"] or ()):
        found += [duplicate(f"ports[{at}].name", port["name"])] if port["name"] in names[:at] else []
        if port["protocol"] not in PROTOCOLS:
            found.append(unsupported(f"ports[{at}].protocol", port["protocol"], PROTOCOLS))
    for index, endpoint in enumerate(new["endpoints"] or ()):
        field = f"endpoints[{index}].addresses"
        if not endpoint["addresses"]:
            found.append(required(field, "must contain at least 1 address"))
        for at, text in enumerate(endpoint["addresses"] or ()):
            if kind in families:
                found += check.told(f"{field}[{at}]", text, check.endpoint_address(text))
                if not check.address(text) and (":" in text) is not (kind == "IPv6"):
                    found.append(invalid(field, text, f"must be an {kind} address"))
        found += _host_causes(endpoint, f"endpoints[{index}]")
    return found + (check.immutable(kind, old["addressType"], "addressType") if old else [])


def _validate_event(new: Value, old: Old) -> list[Cause]:
    field, subject = "involvedObject.namespace", new["involvedObject"].get("namespace", "")
    namespace, detail = new["metadata"]["namespace"], "does not match event.namespace"
    if "eventTime" not in new:
        agreed = subject == namespace if subject else namespace == "default"
        return [] if agreed else [invalid(field, subject, detail)]
    found = [] if subject or namespace in ("default", "kube-system") else [invalid(field, subject, detail)]
    return found + [
        required(name) for name in ("reportingComponent", "reportingInstance", "action", "reason") if not new.get(name)
    ]


def _default_role_ref(value: Value) -> None:
    value["roleRef"]["apiGroup"] = value["roleRef"].get("apiGroup") or _RBAC_GROUP
    for subject in value.get("subjects", ()):
        if subject["kind"] in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC_GROUP)


def _validate_binding(new: Value, old: Old) -> list[Cause]:
    kinds = ("ClusterRole", "Role") if "namespace" in new["metadata"] else ("ClusterRole",)
    role, found = new["roleRef"], []
    if role["kind"] not in kinds:
        found.append(unsupported("roleRef.kind", role["kind"], kinds))
    if not role["name"]:
        found.append(required("roleRef.name"))
    if old and role != old["roleRef"]:
        found.append(invalid("roleRef", role, "cannot change roleRef"))
    for index, subject in enumerate(new.get("subjects", ())):
        found += _subject_causes(subject, f"subjects[{index}]", namespaced="namespace" in new["metadata"])
    return found


def _subject_causes(subject: Mapping[str, str], field: str, *, namespaced: bool) -> Iterator[Cause]:
    kind, group, kinds = subject["kind"], subject.get("apiGroup", ""), ("ServiceAccount", "User", "Group")
    if not subject["name"]:
        yield required(f"{field}.name")
    expected = "" if kind == "ServiceAccount" else _RBAC_GROUP
    if kind not in kinds:
        yield unsupported(f"{field}.kind", kind, kinds)
    elif group != expected:
        yield unsupported(f"{field}.apiGroup", group, (expected,))
    elif kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
        yield required(f"{field}.namespace")


def _validate_role(new: Value, old: Old) -> list[Cause]:
    namespaced = "namespace" in new["metadata"]
    rules = enumerate(new["rules"] or ())
    return [cause for at, rule in rules for cause in _rule_causes(rule, f"rules[{at}]", namespaced=namespaced)]


def _rule_causes(rule: Mapping[str, Any], field: str, *, namespaced: bool) -> Iterator[Cause]:
    paths = rule.get("nonResourceURLs")
    if not rule["verbs"]:
        yield required(f"{field}.verbs", "verbs must contain at least one value")
    if paths and namespaced:
        yield invalid(f"{field}.nonResourceURLs", paths, "namespaced rules cannot apply to non-resource URLs")
    elif paths and (rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames")):
        detail = "rules cannot apply to both regular resources and non-resource URLs"
        yield invalid(f"{field}.nonResourceURLs", paths, detail)
    if paths:
        return
    if not rule.get("apiGroups"):
        yield required(f"{field}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{field}.resources", "resource rules must supply at least one resource")


def _default_replicas(value: Value) -> None:
    value.setdefault("spec", {}).setdefault("replicas", 1)


def _clear_status(new: Value, old: Old) -> None:
    if old is None:
        new["status"] = {}


def _prepare_pod(new: Value, old: Old) -> None:
    if old is None:
        new["status"] = {"phase": "Pending"}


KIND_RULES: Mapping[str, Rules] = {
    "Namespace": Rules(name=check.dns_label, prepare=_prepare_namespace),
    "ConfigMap": Rules(validate=_validate_config_map),
    "Secret": Rules(default=_default_secret, validate=_validate_secret),
    "Lease": Rules(validate=_validate_lease),
    "Endpoints": Rules(default=_default_endpoints, validate=_validate_endpoints),
    "EndpointSlice": Rules(default=_default_slice, validate=_validate_slice),
    "Event": Rules(validate=_validate_event),
    "Role": Rules(name=check.path_segment, validate=_validate_role),
    "ClusterRole": Rules(name=check.path_segment, validate=_validate_role),
    "RoleBinding": Rules(name=check.path_segment, default=_default_role_ref, validate=_validate_binding),
    "ClusterRoleBinding": Rules(name=check.path_segment, default=_default_role_ref, validate=_validate_binding),
    "Pod": Rules(prepare=_prepare_pod),
    "DaemonSet": Rules(prepare=_clear_status),
    "Deployment": Rules(default=_default_replicas, prepare=_clear_status),
    "ReplicaSet": Rules(default=_default_replicas, prepare=_clear_status),
}
"""The kinds that have rules of their own, but for Service."""
