"""Every flag of kube-vip is there, and a boolean may be written in each of its ways."""

import argparse

import pytest

from kubevip.config import add_flags, load
from kubevip.config.table import SETTINGS
from kubevip.errors import ConfigError

BASE = ("--arp", "--services")
_BOOLEANS = """
    allowInterfaceNotUp arp wireguard table preserveVipOnLeadershipLoss loseLeadership enableLoadBalancer ddns
    leaderElection bgp bgpAttachIPToInterface multihop zebra cleanRoutingTable controlplane autodetectcp services
    servicesElection lbClassOnly lbClassNameLegacyHandling onlyAllowTrafficServicePorts enableNodeLabeling
    disableServiceUpdates enableEndpoints loInterfaceGlobalScope egressWithNftables perServiceElectionOnDemand
    enableEndpointSlices metal lastResort leaveCordoned failback bgpTTLSecurity
"""
_OTHERS = """
    interface serviceInterface servicesInterface vip vipSubnet nodeName address port loseLeadershiptTimeoutSeconds
    lbPort lbForwardingMethod mirrorDestInterface leaderElectionType leaseName leaseDuration leaseRenewDuration
    leaseRetry bgpRouterID sourceIF sourceIP localAS bgpHoldTimer bgpKeepAliveInterval peerAddress peerAS peerPass
    bgppeers annotations zebraUrl zebraVersion zebraSoftwareName controlPlaneHealthCheckAddress
    controlPlaneHealthCheckPeriodSeconds controlPlaneHealthCheckTimeoutSeconds
    controlPlaneHealthCheckFailureThreshold controlPlaneHealthCheckCAPath namespace log tableID tableType
    routingProtocol lbClassName servicesLeaseName dnsMode dhcpMode dhcpBackoffAttempts healthCheckPort debounceTime
    prometheusHTTPServer promethuesHTTPServer etcdCACert etcdCert etcdKey etcdEndpoints k8sConfigPath config-file
    bgpConnection bgpGracefulRestart bgpCommunities bgpLocalPref bgpMED bgpPrepend
    instanceName cidr metalKey metalProject metalProjectID provider-config linger log-format backends failover heartbeat
    onApiLoss
    checkCommand checkHttp checkInterval checkTimeout checkFall checkRise checkGates preferredNodes failbackDelay
    verify verifyTimeout witnesses conflict servicesPlacement servicesWeight servicesZone
"""
BOOLEANS, OTHERS = _BOOLEANS.split(), _OTHERS.split()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="kubevip agent", allow_abbrev=False)
    add_flags(made)
    return made


def parsed(*words: str) -> argparse.Namespace:
    return parser().parse_args(words)


@pytest.mark.parametrize("flag", BOOLEANS)
def test_every_boolean_flag_of_kube_vip_stands_alone(flag: str) -> None:
    assert [*vars(parsed(f"--{flag}")).values()] == ["true"]


@pytest.mark.parametrize("flag", OTHERS)
def test_every_other_flag_of_kube_vip_takes_a_value(flag: str) -> None:
    assert [*vars(parsed(f"--{flag}", "x")).values()] in (["x"], [["x"]])


def test_no_flag_is_left_out_of_these_lists() -> None:
    known = {flag for setting in SETTINGS for alias in setting.names for flag in alias.flags}
    assert known - {f"--{flag}" for flag in (*BOOLEANS, *OTHERS)} == {"-n", "--loseLeadershipTimeoutSeconds"}


def test_flags_that_are_not_given_leave_nothing() -> None:
    assert vars(parsed()) == {}


@pytest.mark.parametrize(("word", "value"), [("--arp=true", True), ("--arp=T", True), ("--arp", True)])
def test_a_boolean_flag_may_have_a_value(word: str, value: bool) -> None:
    assert load({}, parsed(word, "--services")).settings.arp.enable is value


def test_a_boolean_flag_may_be_false() -> None:
    settings = load({}, parsed(*BASE, "--lbClassNameLegacyHandling=false")).settings
    assert not settings.services.class_legacy_handling


def test_a_wrong_flag_is_told_under_its_own_name_with_all_others() -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, parsed("--arp=maybe", "--services", "--port=x"))
    assert [sentence.partition(":")[0] for sentence in caught.value.problems] == ["--arp='maybe'", "--port='x'"]


def test_the_namespace_has_a_short_flag() -> None:
    assert load({}, parsed(*BASE, "-n", "vips")).settings.control_plane.namespace == "vips"


def test_a_flag_of_kube_vip_without_a_variable_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, parsed(*BASE, "--leaderElectionType=etcd", "--etcdEndpoints=a:1", "--etcdEndpoints=b:1"))
    assert caught.value.problems == (
        "--leaderElectionType='etcd': election by etcd is not there yet; leave it out to elect by Leases",
    )


def test_an_empty_flag_switches_the_metrics_off() -> None:
    assert load({}, parsed(*BASE, "--prometheusHTTPServer", "")).settings.serving.prometheus is None


def test_an_empty_flag_is_otherwise_not_set() -> None:
    assert load({}, parsed(*BASE, "--interface", "")).settings.node.interface is None


def test_an_empty_class_name_counts_as_a_flag_too() -> None:
    assert load({}, parsed(*BASE, "--lbClassName=")).settings.services.class_name == ""


def test_the_old_flag_of_the_address_is_told() -> None:
    loaded = load({}, parsed("--arp", "--controlplane", "--vip", "10.0.0.1"))
    assert loaded.notices == ("--vip='10.0.0.1' still counts, but address is the name to use",)


def test_a_removed_flag_is_accepted_and_told() -> None:
    assert load({}, parsed(*BASE, "--cidr", "32")).notices == (
        "--cidr='32' has no effect: kube-vip has ignored it since 0.9.0; vip_subnet sets the prefix",
    )


def test_a_removed_key_is_never_shown() -> None:
    (notice,) = load({}, parsed(*BASE, "--metalKey", "hush")).notices
    assert notice.startswith("--metalKey=(hidden) has no effect: ")


def test_help_shows_what_works_and_names_the_rest() -> None:
    text = parser().format_help()
    assert "announce addresses by ARP and neighbour discovery" in text
    assert "[vip_leaseduration, default 15]" in " ".join(text.split())
    assert "carry addresses through WireGuard" not in text
    assert "--wireguard," in text


def test_help_fits_a_terminal() -> None:
    assert max(map(len, parser().format_help().splitlines())) <= 100
