"""From ``Settings`` back to the environment that gives the same ones."""

from collections.abc import Iterator

from kubevip.config import Settings
from kubevip.config.parse_network import Prefixes, subnet_of
from kubevip.config.setting import Setting
from kubevip.config.table import VALUES

# kube-vip's order, so that manifests can be compared. What it doesn't write comes after, as in the table.
_ORDER = (
    "vip_arp",
    "port",
    "vip_interface",
    "vip_interfaceloglobal",
    "vip_servicesinterface",
    "vip_allow_interface_not_up",
    "vip_subnet",
    "cp_enable",
    "cp_namespace",
    "svc_enable",
    "svc_leasename",
    "svc_election",
    "lb_class_only",
    "vip_leaderelection",
    "vip_leasename",
    "vip_leaseduration",
    "vip_renewdeadline",
    "vip_retryperiod",
    "address",
    "prometheus_server",
    "disable_service_updates",
    "health_check_port",
)
_CONTROL_PLANE = ("cp_enable", "cp_namespace")
_SERVICES = ("svc_enable", "svc_leasename")
_ELECTION = (
    "vip_leaderelection",
    "vip_leasename",
    "vip_leaseduration",
    "vip_renewdeadline",
    "vip_retryperiod",
)
_FROM_THE_POD = frozenset({"vip_nodename", "k8s_config_file"})


def environment(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return names and texts that ``load`` reads as *settings*, each once, in kube-vip's order.

    Defaults are left out, except those that kube-vip's manifests show. The node's name and the kubeconfig
    are not among them: a Pod gets the first from its own fields, the second from a volume.
    """
    values = dict(_values(settings))
    shown = _shown(settings, values)
    names = dict.fromkeys((*_ORDER, *values))
    return tuple((name, _text(settings, name, values)) for name in names if name in shown)


def _values(settings: Settings) -> Iterator[tuple[str, tuple[Setting, object]]]:
    for group in VALUES:
        held = getattr(settings, group.field)
        for name, setting in zip(group.names, group.settings, strict=True):
            if setting.env and setting.env not in _FROM_THE_POD:
                yield setting.env, (setting, getattr(held, name))


def _shown(settings: Settings, values: dict[str, tuple[Setting, object]]) -> frozenset[str]:
    differing = {name for name, (setting, value) in values.items() if setting.is_on(value)}
    gates = {values[name][0].gate for name in differing if values[name][0].gate}
    always = {"vip_arp", "port", "prometheus_server"}
    if settings.control_plane.enable:
        always.update(_CONTROL_PLANE)
    if settings.services.enable:
        always.update(_SERVICES)
    if settings.election.enabled:
        always.update(_ELECTION)
    if settings.control_plane.addresses:
        always.add("vip_subnet")
    return frozenset(always | differing | gates)


def _text(settings: Settings, name: str, values: dict[str, tuple[Setting, object]]) -> str:
    setting, value = values[name]
    if name == "vip_subnet" and value == Prefixes():
        return subnet_of(settings.control_plane.addresses)
    return setting.form.write(value)
