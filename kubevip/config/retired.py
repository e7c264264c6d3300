"""Names without a field: removed, renamed, without effect in kube-vip too, or read by somebody else.

An operator's manifest may hold any of them. None stops the start, and each tells why it does nothing.
"""

from kubevip.config import parse as form
from kubevip.config.setting import Form, NoEffect, Setting

_EQUINIX = "kube-vip has no support of Equinix Metal since 0.9.0"
_RAFT = "kube-vip has neither raft nor the load balancer that belonged to it since 0.4.0"
_DEAD = "kube-vip reads it and never uses it"
_SWITCH = Form("boolean", str)  # takes no value as a flag, and any text: a dead name is no reason to stop


def _ignored(env: str, why: str, since: str, *flags: str, takes: Form[str] = form.TEXT) -> Setting:
    return Setting(env=env, flags=flags, form=takes, since=since, support=NoEffect(why), help=why)


def _off(env: str, why: str, since: str, *flags: str, key: str = "") -> Setting:
    keys = (key,) if key else ()
    dead = NoEffect(why)
    return Setting(
        env=env, flags=flags, keys=keys, form=form.BOOLEAN, default=False, since=since, support=dead, help=why
    )


CONFIG_FILE: Setting = Setting(
    env="config_file",
    flags=("--config-file",),
    form=form.PATH,
    since="1.0.1",
    help="file of settings, .json, .yaml or .yml, with these names or kube-vip's, as in EnableARP: true",
)

RETIRED: tuple[Setting, ...] = (
    _ignored("vip_cidr", "kube-vip has ignored it since 0.9.0; vip_subnet sets the prefix", "0.1.8", "--cidr"),
    _ignored("vipSubnet", "it has never been a name in kube-vip's environment; vip_subnet is the name", ""),
    _off(
        "vip_preserve_on_leadership_loss",
        "an address never outlives its Lease here; for handovers without a gap there is vip_linger",
        "1.0.2",
        "--preserveVipOnLeadershipLoss",
    ),
    _ignored("debounce_time", "changes of one Service are always taken together", "1.2.2", "--debounceTime"),
    _ignored("vip_leaseannotations", "client-go, and so kube-vip, never writes them", "0.6.1"),
    _off("vip_singlenode", _DEAD, "0.1.5", key="SingleNode"),
    _off("vip_startleader", _DEAD, "0.1.5", key="StartAsLeader"),
    _ignored("vip_configmap", _DEAD, "0.1.5"),
    _ignored("iptables_backend", "kubevip doesn't use iptables", "0.8.0"),
    _ignored("bgp_source_if", "kube-vip renamed it to bgp_sourceif in 0.4.2", "0.3.8"),
    _ignored("bgp_source_ip", "kube-vip renamed it to bgp_sourceip in 0.4.2", "0.3.8"),
    _ignored(
        "enable_endpointslices",
        "EndpointSlices are always read; kube-vip replaced it by enable_endpoints in 1.0.0",
        "0.7.0",
        "--enableEndpointSlices",
        takes=_SWITCH,
    ),
    _ignored("enableUPNP", "kube-vip renamed it to enable_upnp in 1.0.0", "0.8.8"),
    _ignored("vip_packet", _EQUINIX, "0.1.8", "--metal", takes=_SWITCH),
    _ignored("vip_packetproject", _EQUINIX, "0.1.8", "--metalProject"),
    _ignored("vip_packetprojectid", _EQUINIX, "0.1.8", "--metalProjectID"),
    Setting(env="", flags=("--metalKey",), form=form.TEXT, support=NoEffect(_EQUINIX), help=_EQUINIX, secret=True),
    _ignored("provider_config", _EQUINIX, "", "--provider-config"),
    _ignored("vip_peers", _RAFT, ""),
    _ignored("vip_localpeer", _RAFT, ""),
    _ignored("vip_remotepeers", _RAFT, ""),
    _ignored("vip_addpeerstolb", _RAFT, ""),
    _ignored("lb_name", _RAFT, ""),
    _ignored("lb_type", _RAFT, ""),
    _ignored("lb_backends", _RAFT, ""),
    _ignored("lb_backendport", _RAFT, ""),
    _ignored("lb_bindtovip", _RAFT, ""),
)


ELSEWHERE: tuple[Setting, ...] = (
    Setting(env="KUBECONFIG", form=form.TEXT, help="kubeconfig, or several separated by colons, tried first"),
    Setting(env="HOME", form=form.TEXT, help="where .kube/config is looked for"),
    Setting(env="KUBERNETES_SERVICE_HOST", form=form.TEXT, help="the API server's address inside a cluster"),
    Setting(env="KUBERNETES_SERVICE_PORT", form=form.TEXT, help="the API server's port inside a cluster"),
    Setting(
        env="KUBERNETES_SERVICE_PORT_HTTPS",
        form=form.TEXT,
        support=NoEffect("kube-vip needs it in WireGuard mode", silent=True),
        help="the API server's port inside a cluster",
    ),
    Setting(
        env="HOSTNAME",
        form=form.TEXT,
        support=NoEffect("the kernel is asked for the host's name", silent=True),
        help="the host's name",
    ),
)
