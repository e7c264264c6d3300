"""The table holds every name that kube-vip has ever read, and no name twice."""

from collections import Counter

import pytest

from kubevip.config.retired import ELSEWHERE
from kubevip.config.setting import NoEffect, NotYet
from kubevip.config.table import BY_NAME, KEYS, NAMES, SETTINGS, is_ours, nearest

_ENVIRONMENT = """
    vip_loglevel instance_name INSTANCE_NAME vip_interface vip_interfaceloglobal vip_loseleadership
    vip_loseleadership_timeout_seconds vip_servicesinterface vip_allow_interface_not_up vip_subnet vip_address
    address port annotation vip_ddns vip_nodename vip_singlenode vip_startleader vip_arp vip_arpRate
    vip_preserve_on_leadership_loss vip_skipdad vip_leaderelection vip_leasename vip_leaseduration
    vip_renewdeadline vip_retryperiod vip_leaseannotations cp_enable cp_detect cp_namespace kubernetes_addr
    svc_enable svc_namespace svc_election svc_leasename lb_class_only lb_class_name lb_class_legacy_handling
    lb_enable lb_port lb_fwdmethod backend_health_check_interval enable_service_security enable_node_labeling
    prometheus_server k8s_config_file dns_mode dhcp_mode dhcp_backoff_attempts disable_service_updates
    enable_endpoints bgp_enable bgp_attach_ip_to_interface bgp_routerid bgp_routerinterface bgp_as
    bgp_peeraddress bgp_peeras bgp_peerpass bgp_multihop bgp_peers bgp_sourceif bgp_sourceip bgp_hold_time
    bgp_keepalive_interval control_plane_health_check_address control_plane_health_check_period_seconds
    control_plane_health_check_timeout_seconds control_plane_health_check_failure_threshold
    control_plane_health_check_ca_path zebra_enable zebra_url zebra_version zebra_software_name mpbgp_nexthop
    mpbgp_ipv4 mpbgp_ipv6 vip_wireguard vip_routingtable vip_routingtableid vip_routingtabletype
    vip_routingprotocol vip_cleanroutingtable egress_podcidr egress_servicecidr egress_withnftables
    egress_enableinternalsnat egress_clean EGRESS_CLEAN per_service_election_on_demand mirror_dest_interface
    iptables_backend health_check_port enable_upnp config_file debounce_time vip_configmap HOME
    KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS HOSTNAME
"""
_REMOVED = """
    vip_cidr vipSubnet bgp_source_if bgp_source_ip enable_endpointslices enableUPNP vip_packet
    vip_packetproject vip_packetprojectid provider_config vip_peers vip_localpeer vip_remotepeers
    vip_addpeerstolb lb_name lb_type lb_backends lb_backendport lb_bindtovip
"""
ENVIRONMENT = _ENVIRONMENT.split()
REMOVED = _REMOVED.split()
OWN = ["vip_linger", "log_format"]


@pytest.mark.parametrize("name", [*ENVIRONMENT, *REMOVED, *OWN])
def test_every_name_that_kube_vip_has_read_is_in_the_table(name: str) -> None:
    assert name in NAMES


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_name_tells_its_fate(name: str) -> None:
    support = BY_NAME[name].support
    assert isinstance(support, NoEffect)
    assert not support.silent


def test_no_name_stands_for_two_settings() -> None:
    names = Counter(alias.env for setting in SETTINGS for alias in setting.names if alias.env)
    assert [name for name, times in names.items() if times > 1] == []


def test_no_flag_stands_for_two_settings() -> None:
    flags = Counter(flag for setting in SETTINGS for alias in setting.names for flag in alias.flags)
    assert [flag for flag, times in flags.items() if times > 1] == []


@pytest.mark.parametrize(("key", "name"), [("vipsubnet", "vip_subnet"), ("enableupnp", "enable_upnp")])
def test_a_key_of_a_file_means_the_living_setting(key: str, name: str) -> None:
    assert KEYS[key] == name


def test_every_setting_can_stand_in_a_file() -> None:
    elsewhere = {setting.env for setting in ELSEWHERE}
    overruled = {"vipSubnet", "enableUPNP", "INSTANCE_NAME", "EGRESS_CLEAN"} | elsewhere
    assert {alias.env for setting in SETTINGS for alias in setting.names if alias.env} - {*KEYS.values()} == overruled


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_a_setting_needs_is_in_the_table(setting) -> None:
    assert {*setting.needs, *filter(None, [setting.gate])} <= BY_NAME.keys()


@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS if setting.default is not None], ids=lambda setting: setting.name
)
def test_every_default_is_read_back_as_it_is_written(setting) -> None:
    text = setting.form.write(setting.default)
    assert not text or setting.form.read(text) == setting.default


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_says_what_it_means(setting) -> None:
    assert setting.help
    assert setting.help == setting.help.strip(" .")


def test_what_is_not_there_yet_says_what_to_do_instead() -> None:
    waiting = [setting.support for setting in SETTINGS if isinstance(setting.support, NotYet)]
    assert waiting
    assert all(support.feature and support.instead for support in waiting)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("vip_arprate", "vip_arpRate"),
        ("svc_enabled", "svc_enable"),
        ("cp_enabel", "cp_enable"),
        ("vip_lease_duration", "vip_leaseduration"),
        ("VIP_ARP", "vip_arp"),
        ("egress_cleen", "egress_clean"),
    ],
)
def test_the_nearest_known_name_is_found(name: str, known: str) -> None:
    assert nearest(name) == known


def test_nothing_is_near_to_a_name_of_another_kind() -> None:
    assert nearest("vip_zzzzzzzzzzzzzzzzzz") is None


@pytest.mark.parametrize("name", ["vip_x", "cp_x", "svc_x", "lb_x", "bgp_x", "mpbgp_x", "zebra_x", "VIP_ARP"])
def test_a_name_of_a_known_family_is_meant_for_us(name: str) -> None:
    assert is_ours(name)


@pytest.mark.parametrize("name", ["PATH", "LB_API_SERVICE_HOST", "SVC_PORT", "addresses", "lbx", "PORT", "vipSub"])
def test_an_unrelated_name_is_not_meant_for_us(name: str) -> None:
    assert not is_ours(name)
