"""The columns of each kind, with the cells that the real server prints in them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

Value = Mapping[str, Any]
_SHOWN = 3
"""Lists of addresses are cut after as many."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_ROLE_PREFIX = "node-role.kubernetes.io/"


@attrs.frozen
class Column:
    """One column. Wide ones are shown with ``-o wide`` only."""

    name: str
    cell: Callable[[Value, float], Any]
    """What to show of an object at a time in seconds since 1970."""
    wide: bool = False
    type: str = "string"

    def definition(self) -> dict[str, Any]:
        """The column as a Table announces it."""
        form = "name" if self.name == "Name" else ""
        return {"name": self.name, "type": self.type, "format": form, "description": "", "priority": int(self.wide)}


def human_duration(seconds: float) -> str:
    """A span of time in two or three figures, as kubectl shows ages."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole == -1 else "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _pair(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _pair(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _pair(whole, _DAY, "d", _HOUR, "h")
    if whole < 730 * _DAY:
        return f"{whole // _DAY}d"
    return _pair(whole, 365 * _DAY, "y", _DAY, "d") if whole < 8 * 365 * _DAY else f"{whole // (365 * _DAY)}y"


def _pair(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large}{large_unit}" + (f"{rest}{small_unit}" if rest else "")


def _since(stamp: str | None, now: float) -> str:
    if not stamp:
        return "<unknown>"
    return human_duration(now - datetime.fromisoformat(stamp).astimezone(UTC).timestamp())


def _name(value: Value, now: float) -> str:
    return str(value["metadata"].get("name", ""))


def _age(value: Value, now: float) -> str:
    return _since(value["metadata"].get("creationTimestamp"), now)


def _at(path: str, default: Any = "") -> Callable[[Value, float], Any]:
    names = path.split(".")

    def cell(value: Value, now: float) -> Any:
        item: Any = value
        for name in names:
            item = item.get(name) if isinstance(item, Mapping) else None
        return default if item is None or item == "" else item

    return cell


def _labels(path: str) -> Callable[[Value, float], str]:
    find = _at(path, {})
    return lambda value, now: ",".join(f"{k}={v}" for k, v in sorted(find(value, now).items())) or "<none>"


def _some(items: Iterable[str]) -> str:
    texts = list(items)
    more = f" + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else ""
    return (",".join(texts[:_SHOWN]) or "<unset>") + more


def _external_ip(value: Value, now: float) -> str:
    spec, ingresses = value["spec"], value["status"]["loadBalancer"].get("ingress", ())
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", ""))
    balanced = spec["type"] == "LoadBalancer"
    names = sorted({i.get("ip") or i.get("hostname") for i in ingresses} - {None}) if balanced else []
    return ",".join([*names, *spec.get("externalIPs", ())]) or ("<pending>" if balanced else "<none>")


def _service_ports(value: Value, now: float) -> str:
    def text(port: Value) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port['protocol']}"

    return ",".join(map(text, value["spec"].get("ports", ()))) or "<none>"


def _cluster_ip(value: Value, now: float) -> str:
    return str(next(iter(value["spec"].get("clusterIPs", ())), "<none>"))


def _endpoints(value: Value, now: float) -> str:
    found: list[str] = []
    for subset in value.get("subsets", ()):
        addresses = [item["ip"] for item in subset.get("addresses", ())]
        hosts = [f"[{ip}]" if ":" in ip else ip for ip in addresses]
        ports = [port["port"] for port in subset.get("ports", ())]
        found += [f"{host}:{port}" for port in ports for host in hosts] if ports else addresses
    return (_some(found) if found else "") if value.get("subsets") else "<none>"


def _slice_ports(value: Value, now: float) -> str:
    return _some(str(port.get("port") or port.get("name") or "*") for port in value["ports"] or ())


def _slice_addresses(value: Value, now: float) -> str:
    return _some(text for endpoint in value["endpoints"] or () for text in endpoint["addresses"] or ())


def _node_status(value: Value, now: float) -> str:
    ready = [c["status"] for c in value["status"].get("conditions", ()) if c["type"] == "Ready"]
    text = ("Ready" if ready[-1] == "True" else "NotReady") if ready else "Unknown"
    return text + (",SchedulingDisabled" if value["spec"].get("unschedulable") else "")


def _node_roles(value: Value, now: float) -> str:
    labels = value["metadata"].get("labels", {})
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    return ",".join(sorted((roles | {labels.get("kubernetes.io/role", "")}) - {""})) or "<none>"


def _node_address(kind: str) -> Callable[[Value, float], str]:
    def cell(value: Value, now: float) -> str:
        addresses = value["status"].get("addresses", ())
        return next((item["address"] for item in addresses if item["type"] == kind), "<none>")

    return cell


def _first_seen(value: Value, now: float) -> str:
    return _since(value.get("firstTimestamp") or value.get("eventTime"), now)


def _last_seen(value: Value, now: float) -> str:
    stamp = value.get("series", {}).get("lastObservedTime") or value.get("lastTimestamp")
    return _since(stamp, now) if stamp else _first_seen(value, now)


def _involved(value: Value, now: float) -> str:
    subject = value["involvedObject"]
    return "/".join(filter(None, (subject.get("kind", "").lower(), subject.get("name", ""))))


def _event_source(value: Value, now: float) -> str:
    source = value["source"]
    component = source.get("component") or value.get("reportingComponent", "")
    return ", ".join(filter(None, (component, source.get("host") or value.get("reportingInstance"))))


def _event_count(value: Value, now: float) -> int:
    return int(value.get("series", {}).get("count") or value.get("count") or 1)


def _containers(field: str) -> Callable[[Value, float], str]:
    find = _at("spec.template.spec.containers", ())
    return lambda value, now: ",".join(item.get(field, "") for item in find(value, now))


def _pods_ready(value: Value, now: float) -> str:
    return f"{value['status'].get('readyReplicas', 0)}/{value['spec'].get('replicas', 0)}"


def _containers_ready(value: Value, now: float) -> str:
    ready = sum(bool(item.get("ready")) for item in value["status"].get("containerStatuses", ()))
    return f"{ready}/{len(value['spec'].get('containers', ()))}"


def _restarts(value: Value, now: float) -> str:
    return str(sum(item.get("restartCount", 0) for item in value["status"].get("containerStatuses", ())))


def _role(value: Value, now: float) -> str:
    return f"{value['roleRef']['kind']}/{value['roleRef']['name']}"


def _subjects(kind: str) -> Callable[[Value, float], str]:
    def cell(value: Value, now: float) -> str:
        chosen = [subject for subject in value.get("subjects", ()) if subject["kind"] == kind]
        return ", ".join("/".join(filter(None, (s.get("namespace"), s["name"]))) for s in chosen)

    return cell


def _stamp(value: Value, now: float) -> str:
    return str(value["metadata"].get("creationTimestamp", ""))


def _count(*names: str) -> Callable[[Value, float], int]:
    return lambda value, now: sum(len(value.get(name, ())) for name in names)


def _wide(name: str, cell: Callable[[Value, float], Any]) -> Column:
    return Column(name, cell, wide=True)


def _integer(name: str, path: str) -> Column:
    return Column(name, _at(path, 0), type="integer")


_NAME, _AGE = Column("Name", _name), Column("Age", _age)
PLAIN_COLUMNS = (_NAME, _AGE)
"""What is shown of a kind without columns of its own."""
_TEMPLATE = (
    _wide("Containers", _containers("name")),
    _wide("Images", _containers("image")),
    _wide("Selector", _labels("spec.selector.matchLabels")),
)
_BINDING = (
    _NAME,
    Column("Role", _role),
    _AGE,
    *(_wide(f"{kind}s", _subjects(kind)) for kind in ("User", "Group", "ServiceAccount")),
)

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "Namespace": (_NAME, Column("Status", _at("status.phase")), _AGE),
    "Service": (
        _NAME,
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _cluster_ip),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
        _AGE,
        _wide("Selector", _labels("spec.selector")),
    ),
    "Endpoints": (_NAME, Column("Endpoints", _endpoints), _AGE),
    "EndpointSlice": (
        _NAME,
        Column("AddressType", _at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        _AGE,
    ),
    "Node": (
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion")),
        _wide("Internal-IP", _node_address("InternalIP")),
        _wide("External-IP", _node_address("ExternalIP")),
        _wide("OS-Image", _at("status.nodeInfo.osImage", "<unknown>")),
        _wide("Kernel-Version", _at("status.nodeInfo.kernelVersion", "<unknown>")),
        _wide("Container-Runtime", _at("status.nodeInfo.containerRuntimeVersion", "<unknown>")),
    ),
    "ConfigMap": (_NAME, Column("Data", _count("data", "binaryData")), _AGE),
    "Secret": (_NAME, Column("Type", _at("type")), Column("Data", _count("data")), _AGE),
    "Lease": (_NAME, Column("Holder", _at("spec.holderIdentity")), _AGE),
    "Event": (
        Column("Last Seen", _last_seen),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _involved),
        _wide("Subobject", _at("involvedObject.fieldPath")),
        _wide("Source", _event_source),
        Column("Message", lambda value, now: str(value.get("message", "")).strip()),
        _wide("First Seen", _first_seen),
        _wide("Count", _event_count),
        _wide("Name", _name),
    ),
    "Pod": (
        _NAME,
        Column("Ready", _containers_ready),
        Column("Status", _at("status.phase")),
        Column("Restarts", _restarts),
        _AGE,
        _wide("IP", _at("status.podIP", "<none>")),
        _wide("Node", _at("spec.nodeName", "<none>")),
        _wide("Nominated Node", _at("status.nominatedNodeName", "<none>")),
        _wide("Readiness Gates", lambda value, now: "<none>"),
    ),
    "DaemonSet": (
        _NAME,
        _integer("Desired", "status.desiredNumberScheduled"),
        _integer("Current", "status.currentNumberScheduled"),
        _integer("Ready", "status.numberReady"),
        _integer("Up-to-date", "status.updatedNumberScheduled"),
        _integer("Available", "status.numberAvailable"),
        Column("Node Selector", _labels("spec.template.spec.nodeSelector")),
        _AGE,
        *_TEMPLATE,
    ),
    "Deployment": (
        _NAME,
        Column("Ready", _pods_ready),
        Column("Up-to-date", _at("status.updatedReplicas", 0)),
        Column("Available", _at("status.availableReplicas", 0)),
        _AGE,
        *_TEMPLATE,
    ),
    "ReplicaSet": (
        _NAME,
        _integer("Desired", "spec.replicas"),
        _integer("Current", "status.replicas"),
        _integer("Ready", "status.readyReplicas"),
        _AGE,
        *_TEMPLATE,
    ),
    "Role": (_NAME, Column("Created At", _stamp, type="date")),
    "ClusterRole": (_NAME, Column("Created At", _stamp, type="date")),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}
